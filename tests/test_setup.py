"""What a person meets before the first result: set-up, metadata, and the book's frame."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import conftest
import pytest
import yaml
from conftest import ROOT, cases, sphinx_build
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from test_house import imports

from companion.engine.sphinx.offline import foreign_resources

BOOK = ROOT / "book"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CASES = cases("setup")
SUPPORTED = ["3.11", "3.12", "3.13"]


def read_yaml(path):
    return yaml.safe_load(path.read_text())


# Metadata


def test_conda_environment_is_in_step_with_pyproject():
    *conda, pip = read_yaml(ROOT / "environment.yml")["dependencies"]
    requirements = {r.name: r.specifier for r in map(Requirement, conda)}
    assert set(requirements) == {"python", "pip"}, "all else belongs into pyproject.toml"
    for allowed in (requirements["python"], SpecifierSet(PROJECT["requires-python"])):
        assert [*allowed.filter([*SUPPORTED, "3.9", "3.10"])] == SUPPORTED
    (install,) = pip["pip"]
    extras = re.fullmatch(r'-e "?\.\[([a-z,]+)\]"?', install)
    assert extras and set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_workflows_are_valid_and_call_what_is_here():
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    subprocess.run([*command, "vendor.github-workflows", *map(str, workflows)], check=True)
    text = "".join(p.read_text() for p in workflows)
    called = re.findall(r"run: make ([\w-]+)", text)
    targets = set(re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    assert set(called) <= targets and "test" in {
        *called,
        *re.findall(r"make (test)", (ROOT / ".ci/run").read_text()),
    }
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", one) for one in used)


def test_only_the_jobs_that_publish_may_write_and_they_run_nothing_of_ours():
    """Neither packages nor this repository's code run where there is something to be written."""
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        workflow = read_yaml(path)
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            if set(job.get("permissions", {}).values()) - {"read"}:
                used = [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step]
                assert set(used) <= {"actions/deploy-pages", "actions/download-artifact"}, name
                assert "pip" not in str(job) and "make" not in str(job), name


def undeclared(folders, lines):
    """Packages that Python files below `folders` import and no line of requirements names."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    imported = {name.split(".")[0] for path in paths for name, _ in imports(path)}
    homes = ("data/benchmarks", "tests", "tests/faults", "book/_extensions")
    ours = {path.stem for home in homes for path in (ROOT / home).iterdir()}
    ours |= {path.name for path in ROOT.iterdir()}
    outside = imported - ours - set(sys.stdlib_module_names)
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    return {canonicalize_name(CASES["packages"].get(name, name)) for name in outside} - declared


def test_everything_imported_is_declared():
    """A library that comes along with another may go with it."""
    extras = PROJECT["optional-dependencies"]
    folders = ("analysis", "companion", "notebooks", "book/_extensions")
    declared = chain(PROJECT["dependencies"], PYPROJECT["build-system"]["requires"])
    missing = undeclared(folders, [*declared, *chain(*extras.values())])
    assert not missing, f"declare in pyproject.toml: {sorted(missing)}"


def test_citation_names_the_companion_and_the_paper():
    citation = read_yaml(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert PROJECT["license"].startswith(citation["license"]) and "Apache" in citation["license"]
    (paper,) = citation["references"]
    assert paper["year"] == 2024 and len(paper["authors"]) == 5
    assert paper["title"] in citation["title"]
    # GitHub offers what is preferred alone, and takes the year from the date
    assert "preferred-citation" not in citation and "Crabbé" in citation["message"]
    heading = re.search(r"^## (\S+), (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heading.groups() == (citation["version"], str(citation["date-released"]))


@pytest.mark.parametrize("path", ["environment.yml", ".binder/environment.yml"])
def test_environments_install_this_project_from_where_they_lie(path):
    """conda runs pip in the folder of the file."""
    file = ROOT / path
    *_, of_pip = read_yaml(file)["dependencies"]
    words = of_pip["pip"][0].replace('"', "")
    place, _, extras = words.removeprefix("-e ").partition("[")
    assert (file.parent / place).resolve() == ROOT and (ROOT / "pyproject.toml").is_file()
    assert {*filter(None, extras.rstrip("]").split(","))} <= {*PROJECT["optional-dependencies"]}


def test_vendored_scripts_are_as_published():
    vendor = ROOT / "companion/engine/static/vendor"
    table = (vendor / "README.md").read_text()
    rows = re.findall(r"^\| `\w+` .*?`(?:dist|es5)/", table, re.M)
    digests = set(re.findall(r"`([0-9a-f]{64})`", table))
    scripts = list(vendor.rglob("*.js"))
    assert len(rows) == len(scripts) == len(digests)
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in scripts} == digests
    assert all((path.parent / "LICENSE").is_file() for path in scripts)


# The book's frame


def test_settings_execute_nothing_and_load_nothing_from_elsewhere():
    config = read_yaml(BOOK / "_config.yml")
    assert config["execute"]["execute_notebooks"] == "off"
    assert config["only_build_toc_files"] is True
    sphinx = config["sphinx"]["config"]
    assert not {"sphinx_thebe", "sphinx.ext.intersphinx"} & set(sphinx["extensions"])
    assert sphinx["suppress_warnings"] == []


# The extension that keeps the book self-contained


def test_what_a_browser_would_fetch_is_seen():
    for line in CASES["fetched"].splitlines():
        assert "example.org/a" in "".join(foreign_resources(line)), line
    assert foreign_resources(CASES["left_alone"]) == []


def small_build(folder, **pages):
    """Build a book of a few pages with the extension; return Sphinx's status."""
    return int(sphinx_build(folder, pages, "companion.engine.sphinx.offline")[0].statuscode)


TOC = "# Start\n\n```{toctree}\n:glob:\n\n*\n```\n"


def test_a_page_is_the_same_in_a_second_build(tmp_path):
    """MyST-NB's style is in place before a page is written: its address has a checksum, or not."""
    pages = []
    settings = {"nb_execution_mode": "off"}
    settings["extensions"] = ["myst_nb", "companion.engine.sphinx.offline"]
    for _ in range(2):
        sphinx_build(tmp_path, {"index": "# Start\n"}, **settings)
        pages.append((tmp_path / "html" / "index.html").read_bytes())
        (tmp_path / "html" / "index.html").unlink()
    assert pages[0] == pages[1] and re.search(rb"mystnb\.\w+\.css\?v=", pages[0])


def test_a_label_that_moves_to_another_page_is_no_duplicate(tmp_path):
    for holder in ("z", "a"):
        pages = {name: "(moves)=\n" * (name == holder) + f"# {name}\n" for name in ("a", "z")}
        assert small_build(tmp_path, index=TOC, **pages) == 0


def test_figures_are_numbered_again_where_a_page_is_another_or_gone(tmp_path, monkeypatch):
    from sphinx.environment.collectors.toctree import TocTreeCollector

    numbered, plain = [], TocTreeCollector.assign_figure_numbers
    monkeypatch.setattr(
        TocTreeCollector,
        "assign_figure_numbers",
        lambda *given: (numbered.append(1), plain(*given))[1],
    )
    table = "```{{list-table}} Shown\n:name: {0}\n\n* - 1\n```\n"
    one, two = (f"# {name}\n\n{table.format(name)}" for name in ("one", "two"))
    both = {"a": one, "b": f"{two}\n{{numref}}`two`\n"}
    counted = []
    for pages in (both, both | {"a": "# None\n"}, {"b": both["b"]}):
        numbered.clear()
        app, _ = sphinx_build(
            tmp_path, {"index": TOC, **pages}, "companion.engine.sphinx.offline", numfig=True
        )
        app.build()  # with nothing to read
        shown = re.search(r"std-numref.>(Table \d)<", (tmp_path / "html/b.html").read_text())
        counted.append((len(numbered), shown and shown[1]))
    assert counted == [(1, "Table 2"), (1, "Table 1"), (1, "Table 1")]


def test_a_page_that_needs_another_host_stops_the_build(tmp_path):
    from sphinx.errors import ExtensionError

    page = "# Start\n\n<script src='https://example.org/a.js'></script>\n"
    with pytest.raises(ExtensionError, match=r"page index would load https://example\.org/a\.js"):
        small_build(tmp_path, index=page)


def test_a_warning_fails_this_build_and_the_next(tmp_path):
    page = "# Start\n\n[nowhere](missing.md)\n"
    assert small_build(tmp_path, index=page) == 1
    assert small_build(tmp_path, index=page) == 1
    assert small_build(tmp_path, index="# Start\n") == 0


# make


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_every_command_is_listed_and_reads():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    done = [
        subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True)
        for words in (["help"], *(["-n", target] for target in phony.split()))
    ]
    assert [each.returncode for each in done] == [0] * len(done)
    assert re.findall(r"^  make ([\w-]+) ", done[0].stdout, re.M) == phony.split()


def test_equations_that_docstrings_name_are_numbered_in_the_book():
    definitions = (ROOT / "book/appendix/definitions.md").read_text()
    labels = set(re.findall(r":label: (eq-[a-z-]+)", definitions))
    named = {
        label
        for path in (ROOT / "analysis").rglob("*.py")
        for label in re.findall(r"`(eq-[a-z-]+)`", path.read_text())
    }
    assert {"eq-logit", "eq-baseline", "eq-effective-robustness"} <= named <= labels


def test_a_book_is_taken_over_while_nothing_that_it_is_made_from_is_newer(tmp_path, monkeypatch):
    monkeypatch.setattr(conftest, "ROOT", tmp_path)
    for name in ("pyproject.toml", "CITATION.cff", "book/a.md", "book/_build/html/a.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert not conftest.is_built()
    environment = tmp_path / "book/_build/.doctrees/environment.pickle"
    environment.parent.mkdir()
    environment.touch()
    later = time.time_ns() + 10**9
    os.utime(environment, ns=(later, later))
    (tmp_path / "book/_build/html/b.html").touch()  # what is built may be newer
    assert conftest.is_built()
    os.utime(environment, ns=(1, 1))
    assert not conftest.is_built()


def test_the_book_is_built_first_and_what_waits_for_it_comes_last():
    """However long the others took the last time."""
    files = {"browser": ["clone"], "rules": [], "book": ["clone"], "probe": ["tmp_path"]}
    items = [
        SimpleNamespace(path=Path(f"test_{name}.py"), fixturenames=names)
        for name, names in files.items()
    ]
    taken = {"test_browser": 300, "test_rules": 4, "test_probe": 9, "test_book": 2}
    config = SimpleNamespace(cache=SimpleNamespace(get=lambda *_: taken))
    conftest.pytest_collection_modifyitems(config, items)
    assert [i.path.stem for i in items] == ["test_book", "test_probe", "test_rules", "test_browser"]


# The book's own source, to take along


def test_the_last_commit_is_packed_once_and_nothing_stays_without_git(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BOOK / "_extensions")
    from companion_here import write_archive

    root, archive = tmp_path / "root", tmp_path / "source" / "companion.tar.gz"
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for text in ("first", "second"):
        root.mkdir(exist_ok=True)
        (root / "page.md").write_text(text)
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", text]):
            subprocess.run([*git, *command], check=True)
        (root / "page.md").write_text("not committed")
        assert write_archive(root, archive)
        with tarfile.open(archive) as packed:
            assert packed.extractfile("companion/page.md").read().decode() == text
        before = archive.stat().st_mtime_ns
        assert write_archive(root, archive) and archive.stat().st_mtime_ns == before
    shutil.rmtree(root / ".git")
    assert not write_archive(root, archive) and not archive.exists()
