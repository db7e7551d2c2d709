"""What the fault matrix stands on: a small project with a book of its own, commands, snapshots."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from conftest import OF_A_BOOK, ROOT, cases, make_project, start_line, wait_until_nobody_works_in
from test_grid import CHECKPOINTS, family
from tiny import recipe, save_folder

COMPANION = (sys.executable, "-m", "companion.cli")
JUPYTER_BOOK = (str(Path(sys.executable).with_name("jupyter-book")), "build", "book/")
CHECKPOINT = f"{CHECKPOINTS}/pocket-cnn-web-large.safetensors"

TEXTS = cases("projects")
#: Pages that the runs refer to, and the runs.
PAGES = (
    *("guide/contribute", "guide/probe", "guide/your_checkpoint"),
    *("outlier_features", "privileged_directions"),
)
LISTED = [*(f"file: {name}" for name in (*PAGES, "runs/not_measured")), "glob: runs/*/*"]
TOC = "format: jb-book\nroot: index\nchapters:\n" + "".join(f"- {one}\n" for one in LISTED)
FILES = {"data/number.txt": "1", "book/_toc.yml": TOC} | {
    f"book/{name}.md": "# A page\n\nAll there is.\n" for name in ("index", *PAGES)
}

#: Left out of snapshots: caches, logs, and what Sphinx keeps for itself.
CACHES = (".companion", ".snakemake", "__pycache__", "_build", ".jupyter_cache", ".cache")
COMMANDS = {
    name: (*COMPANION, *line.split()) for name, line in cases("faults")["commands"].items()
} | {"build": JUPYTER_BOOK}


def template(folder: Path) -> Path:
    """A project of one reader's family, two folders of pictures and two notebooks."""
    pocket = (ROOT / "families/pocket_cnn.yaml").read_text("utf-8")
    pocket = pocket.replace("edition: pocket", "edition: reader")  # a build extracts nothing of it
    data = (
        *("data/pocket", "data/emoji", "data/probe.yaml", "data/measurements.schema.json"),
        *("data/embeddings.yaml", "data/artifacts.yaml", "notebooks/checkpoint_report.py"),
        *("book/captions/checkpoint_report.yaml", *OF_A_BOOK),
    )
    families = {"mine": family("mine-web"), "pocket_cnn": pocket}
    notebooks = {name: TEXTS[name] for name in ("per_family", "of_features")}
    made = make_project(folder, families, notebooks, FILES, data)
    for name, count in (("one", 30), ("two", 45)):
        save_folder(made / name, count)
    recipe(made, "finetuned", batch=8, epochs=6, warmup_steps=2, precision="fp32")
    return made


def start(project: Path, line: Sequence[str]) -> subprocess.Popen[str]:
    (project.parent / "tmp").mkdir(exist_ok=True)
    own = {"COMPANION_STORE": project / "store", "TMPDIR": project.parent / "tmp"}
    more = {name: str(path) for name, path in own.items()} | {"OMP_NUM_THREADS": "1"}
    return start_line(project, line, stderr=subprocess.STDOUT, **more)


def run(project: Path, line: Sequence[str]) -> tuple[int, str]:
    """The exit status of a command and what it said."""
    process = start(project, line)
    said, _ = process.communicate(timeout=900)
    return process.returncode, said


def do(project: Path, *steps: str) -> None:
    """Do commands by name, one after another, each of which must succeed."""
    for step in steps:
        code, said = run(project, COMMANDS[step])
        assert code == 0, said


def kill(project: Path, process: subprocess.Popen[str], *, all_of_it: bool) -> None:
    """SIGKILL to a command, or to it and its children; return when none of them is left."""
    if all_of_it:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate(timeout=60)
    wait_until_nobody_works_in(project)


def snapshot(project: Path) -> dict[str, str]:
    """The checksum of every file that a reader would call a result, or a leftover."""
    found = {}
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project)
        if path.is_file() and not set(name.parts) & set(CACHES) and path.suffix != ".lock":
            found[name.as_posix()] = hashlib.sha256(_what_counts(path)).hexdigest()[:16]
    for path in sorted((project.parent / "tmp").iterdir()):
        # Python's own folder for the sockets of processes stays where it was killed.
        if not path.name.startswith(("torchinductor", "pymp-")):
            found[f"TMPDIR/{path.name}"] = ""
    return found


def _what_counts(path: Path) -> bytes:
    """A file's bytes; of what training made neither the times nor the note of them."""
    content = path.read_bytes()
    if path.parent.name == "out" and path.suffix == ".safetensors":
        return content[8 + int.from_bytes(content[:8], "little") :]
    if path.parent.name == "out" and path.suffix == ".json":
        return json.dumps(json.loads(content)["curve"]).encode()
    return content


def differences(expected: dict[str, str], found: dict[str, str]) -> str:
    """What is absent, left over or different, in a line."""
    absent, more = sorted(expected.keys() - found), sorted(found.keys() - expected)
    other = sorted(name for name in expected.keys() & found if expected[name] != found[name])
    parts = {"absent": absent, "left over": more, "different": other}
    return "; ".join(f"{what}: {', '.join(names[:4])}" for what, names in parts.items() if names)


def fresh(kept: Path, project: Path) -> Path:
    """A copy at the same place each time: absolute paths may stand in what is compared."""
    shutil.rmtree(project.parent, ignore_errors=True)
    shutil.copytree(kept, project, symlinks=True)
    (project.parent / "tmp").mkdir()
    return project


def moved(project: Path, target: Path) -> Path:
    """Keep a project as it is now, to start from."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.move(project, target))


def random(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])
