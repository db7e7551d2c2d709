"""Copies of this checkout for tests that change or build it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def copy_checkout(target: Path) -> Path:
    """What a clone of the working tree would hold: tracked and new files, nothing generated."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        source, copy = ROOT / name, target / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    return target


def run_in(folder: Path, *module: str) -> subprocess.CompletedProcess:
    """Run a module of this environment in `folder`, with its output as text."""
    return _run(folder, [sys.executable, "-m", *module])


def build_book(folder: Path) -> subprocess.CompletedProcess:
    """What a reader types: jupyter-book build book/."""
    return _run(folder, [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"])


def _run(folder: Path, command: list[str]) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, timeout=1500
    )


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    """A clean clone, at a path with a space and a letter outside ASCII, with its book built."""
    folder = copy_checkout(tmp_path_factory.mktemp("fresh") / "clean clöne")
    built = build_book(folder)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def built_book(clone) -> Path:
    """The HTML folder of the clean clone's book."""
    return clone / "book" / "_build" / "html"
