"""What a change can break, in about a minute: chooses tests by what they import and name.

The change is all that differs from the place where this branch left main, committed or not. A
test file is chosen if it imports a changed module itself, or names a changed file; what reaches
the change through other modules, and what takes longest (`first` in tests/cases/suite.yaml), is
named and left to `make test`. A module's own test, of the same name, is always chosen.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from analysis.base.code import imported_names

#: What every test depends on: only `make test` tells what a change to it breaks.
EVERYTHING = ("analysis/base/*", "tests/conftest.py", "tests/cases/suite.yaml", "pyproject.toml")
#: Tests that read all files of a kind, whatever these are called.
READ_ALL = {
    "*.py": "house",
    "book/*.md": "api page prose slides",
    "book/captions/*.yaml": "page prose tables",
    "notebooks/*.py": "claims page",
    "families/*.yaml": "registry",
    "data/measurements/*.json": "measurements records tables",
    "companion/engine/static/*": "explorables explorer lite quoting",
    "book/_static/*": "explorables explorer",
    ".github/workflows/*": "setup",
}
#: What is read by its bare name: the call that names it.
CALLS = {"book/captions/": "read_captions", "tests/cases/": "cases"}


class Chosen(NamedTuple):
    """Test files and why, those that are left and why, and what reaches everything."""

    run: dict[str, str]
    left: dict[str, str]
    everything: list[str]


def choose(root: Path, changed: Iterable[str]) -> Chosen:
    """Which tests of a checkout to run for changed files, given by their paths in it."""
    sources = dict(_sources(root))
    modules = {_dotted(path): path for path in sources}
    imports = {path: _imports(source, modules) for path, source in sources.items()}
    tests = [path for path in sources if Path(path).match("tests/test_*.py")]
    suite = root / "tests/cases/suite.yaml"
    first = yaml.safe_load(suite.read_text(encoding="utf-8"))["first"].split()
    run, left = dict[str, str](), dict[str, str]()
    changed = sorted(changed)
    for test in tests:
        for file in changed:
            why = _why(test, file, sources, imports)
            if why and (_is_own(test, file) or test[len("tests/test_") : -3] not in first):
                run.setdefault(test, why)
            elif why:
                left.setdefault(test, f"{why}, and takes long")
        further = sorted(_reached(test, imports) & {*changed})
        if further and test not in run:
            left.setdefault(test, f"reaches {further[0]}")
    left = {test: why for test, why in left.items() if test not in run}
    return Chosen(run, left, [f for f in changed if any(fnmatch.fnmatch(f, e) for e in EVERYTHING)])


def _sources(root: Path) -> Iterator[tuple[str, str]]:
    """Our modules, the tests with their helpers, and the book's extensions: path and text."""
    packages = [path.parent for path in root.glob("*/__init__.py")]
    paths = [path for package in packages for path in package.rglob("*.py")]
    paths += [*root.glob("tests/*.py"), *root.glob("book/_extensions/*.py")]
    for path in sorted(paths):
        yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def _dotted(path: str) -> str:
    """The name by which a module is imported; tests and extensions are by their bare name."""
    bare = path.startswith(("tests/", "book/"))
    name = Path(path).stem if bare else path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def _imports(source: str, modules: dict[str, str]) -> set[str]:
    """Paths of the modules that a source imports itself. What all tests share leads nowhere."""
    found = {modules[name] for name in imported_names(source) if name in modules}
    return found - {"tests/conftest.py"}


def _reached(test: str, imports: dict[str, set[str]]) -> set[str]:
    found, waiting = set[str](), [test]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imports[path]
    return found - {test}


def _why(test: str, file: str, sources: dict[str, str], imports: dict[str, set[str]]) -> str:
    """Why a test is near a changed file, or nothing."""
    if test == file:
        return "changed itself"
    if file in imports[test]:
        return f"imports {file}"
    if _names(sources[test], file):
        return f"names {file}"
    if not file.endswith(".py"):
        for module in sorted(imports[test]):
            if not module.startswith("tests/") and _names(sources[module], file):
                return f"imports {module}, which names {file}"
    short = test[len("tests/test_") : -3]
    kinds = [kind for kind, names in READ_ALL.items() if fnmatch.fnmatch(file, kind)]
    if any(short in READ_ALL[kind].split() for kind in kinds):
        return f"reads all files like {file}"
    return "the module's own" if _is_own(test, file) else ""


def _is_own(test: str, file: str) -> bool:
    """Whether a test is a file's own: `test_probe` of `companion/probe/report.py`."""
    path = Path(file)
    named = {path.stem, path.parent.name} if file.endswith(".py") else set[str]()
    return test == file or test[len("tests/test_") : -3] in named


def _names(source: str, file: str) -> bool:
    """Whether a source names a file in quotes: by its path, its name, or its folder's path."""
    path = Path(file)
    folders = [parent.as_posix() for parent in path.parents if len(parent.parts) > 1]
    names = [file, path.name, *folders] if path.suffix != ".py" else [file]
    patterns = [rf"[\"'/]{re.escape(name)}/?[\"']" for name in names]
    calls = [call for folder, call in CALLS.items() if file.startswith(folder)]
    patterns += [rf"{call}\([\"']{re.escape(path.stem)}[\"']" for call in calls]
    return any(re.search(pattern, source) for pattern in patterns)


def changed_files(root: Path, base: str = "") -> list[str]:
    """Files that differ from where this branch left main: committed, not committed, and new.

    Raises SystemExit with a sentence if this is no clone, or has no such branch.
    """
    for branch in [base] if base else ["origin/main", "main"]:
        if found := _git(root, "merge-base", "HEAD", branch):
            listed = [_git(root, "diff", "--name-only", "-z", "--no-renames", found[0])]
            listed.append(_git(root, "ls-files", "-z", "--others", "--exclude-standard"))
            return sorted({name for names in listed for name in names if name})
    raise SystemExit(
        f"check: there is no {base or 'branch main'} here to compare with, so nobody can tell what "
        "changed: work in a clone with git, name a commit (make check BASE=COMMIT), or run "
        "make test."
    )


def _git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return re.split("[\0\n]", done.stdout) if done.returncode == 0 else []


def main() -> int:
    """Choose, say what and why, check style and types, and run the tests; pytest's status."""
    sys.stdout.reconfigure(line_buffering=True)  # in order with what others print, in a file too
    root = Path(__file__).resolve().parents[1]
    changed = changed_files(root, *sys.argv[1:2])
    if not changed:
        print("Nothing differs from main: there is nothing to check.")
        return 0
    chosen = choose(root, changed)
    code = any(name.endswith(".py") for name in changed)
    lines = [["ruff", "check", "-q", "."], ["ruff", "format", "-q", "--check", "."]]
    lines += [["mypy"]] if code else []
    failed = [line for line in lines if subprocess.run(line, cwd=root, check=False).returncode]
    print(f"{len(changed)} changed files; {len(chosen.run)} files of tests are run:")
    print("".join(f"  {test}: {why}\n" for test, why in chosen.run.items()), end="")
    status = 0
    if chosen.run:
        words = ["-m", "not slow", "-n", "2", "--no-loadscope-reorder", "--dist", "loadfile", "-q"]
        pytest = [sys.executable, "-m", "pytest", *words, *chosen.run]
        status = subprocess.run(pytest, cwd=root, check=False).returncode % 5  # 5: all are slow
    _say_what_is_left(chosen)
    for line in failed:
        print(f"`{' '.join(line)}` found something, see above.")
    return status or bool(failed)


def _say_what_is_left(chosen: Chosen) -> None:
    for file in chosen.everything:
        print(f"All tests depend on {file}: only `make test` tells what this breaks.")
    if chosen.left:
        names = ", ".join(Path(test).stem for test in chosen.left)
        print("Left to `make test`, since they reach the change from further away or take long:")
        print(textwrap.fill(names, 100, initial_indent="  ", subsequent_indent="  "))
    print("Whatever starts the command line or builds the book is left to `make test`, too.")


if __name__ == "__main__":
    sys.exit(main())
