"""What the fault matrix stands on: a small project with a book of its own, commands, snapshots."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conftest import (
    ROOT,
    SUITE,
    cases,
    make_project,
    programs,
    start_line,
    wait_until_nobody_works_in,
)
from test_grid import CHECKPOINTS, family
from tiny import save_folder

COMPANION = (sys.executable, "-m", "companion.cli")
JUPYTER_BOOK = (str(Path(sys.executable).with_name("jupyter-book")), "build", "book/")
CHECKPOINT = f"{CHECKPOINTS}/pocket-cnn-web-large.safetensors"

TEXTS, CASES = programs("projects"), cases("faults")
PAGES = CASES["pages"]
LISTED = [*(f"file: {name}" for name in PAGES), "glob: runs/*/*"]
TOC = "format: jb-book\nroot: index\nchapters:\n" + "".join(f"- {entry}\n" for entry in LISTED)
FILES = {"data/number.txt": "1", "book/_toc.yml": TOC} | {
    f"book/{name}.md": "# A page\n\nAll there is.\n" for name in ("index", *PAGES[:-1])
}

#: Left out of snapshots: caches, logs, and what Sphinx keeps for itself. Built pages count.
CACHES = (".companion", ".snakemake", "__pycache__", ".doctrees", ".jupyter_cache", ".cache")
CACHES += ("jupyter_execute",)
COMMANDS = {name: (*COMPANION, *line.split()) for name, line in CASES["commands"].items()} | {
    "build": JUPYTER_BOOK
}


def template(folder):
    """A project of one reader's family, two folders of pictures and two notebooks."""
    pocket = (ROOT / "families/pocket_cnn.yaml").read_text()
    pocket = pocket.replace("edition: pocket", "edition: reader")  # a build extracts nothing of it
    families = {"mine": family("mine-web"), "pocket_cnn": pocket}
    notebooks = {name: TEXTS[name] for name in ("per_family", "of_features")}
    made = make_project(folder, families, notebooks, FILES, [*CASES["data"], *SUITE["of_a_book"]])
    for name, count in (("one", 30), ("two", 45)):
        save_folder(made / name, count)
    return made


def start(project, line):
    (project.parent / "tmp").mkdir(exist_ok=True)
    folders = {"COMPANION_STORE": project / "store", "TMPDIR": project.parent / "tmp"}
    more = {name: str(path) for name, path in folders.items()} | {"OMP_NUM_THREADS": "1"}
    return start_line(project, line, stderr=subprocess.STDOUT, **more)


def run(project, line):
    """The exit status of a command and what it said."""
    process = start(project, line)
    said, _ = process.communicate(timeout=900)
    return process.returncode, said


def do(project, *steps):
    """Do commands by name, one after another, each of which must succeed."""
    for step in steps:
        code, said = run(project, COMMANDS[step])
        assert code == 0, said


def kill(project, process, *, all_of_it):
    """SIGKILL to a command, or to it and its children; return when none of them is left."""
    if all_of_it:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate(timeout=60)
    wait_until_nobody_works_in(project)


def snapshot(project):
    """The checksum of every file that a reader would call a result, or a leftover."""
    checksums = {}
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project)
        if path.is_file() and not set(name.parts) & set(CACHES) and path.suffix != ".lock":
            checksums[name.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    for path in sorted((project.parent / "tmp").iterdir()):
        # Python's own folder for the sockets of processes stays where it was killed.
        if not path.name.startswith(("torchinductor", "pymp-")):
            checksums[f"TMPDIR/{path.name}"] = ""
    return checksums


def differences(expected, actual):
    """What is absent, left over or different, in a line."""
    absent, more = sorted(expected.keys() - actual), sorted(actual.keys() - expected)
    other = sorted(name for name in expected.keys() & actual if expected[name] != actual[name])
    parts = {"absent": absent, "left over": more, "different": other}
    return "; ".join(f"{what}: {', '.join(names[:4])}" for what, names in parts.items() if names)


def fresh(kept, project):
    """A copy at the same place each time: absolute paths may stand in what is compared."""
    shutil.rmtree(project.parent, ignore_errors=True)
    shutil.copytree(kept, project, symlinks=True)
    (project.parent / "tmp").mkdir()
    return project


def begun(kept, project, *steps):
    """A copy of a project in which commands were done, to start from."""
    do(fresh(kept, project), *steps)
    target = project.parent.with_name("begun")
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.move(project, target))
