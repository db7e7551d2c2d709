"""`make book` on a clean clone with nothing installed, on one of the Pythons here (slow)."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import copy_checkout, drawn

PYTHONS = ("python3.11", "python3.12", "python3.13")


def is_here(python):
    path = shutil.which(python)  # may be a stub
    return path and not subprocess.run([path, "-c", ""], capture_output=True).returncode


@pytest.mark.slow
def test_make_book_without_torch(tmp_path):
    for python in drawn([*filter(is_here, PYTHONS)], 1):
        make_book(copy_checkout(tmp_path / python), python)


def make_book(folder, python):
    """Make the book as someone does who has nothing but a Python."""
    # Neither this environment nor the `make` that runs the tests is the reader's.
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "MAKELEVEL", "MAKEFLAGS", "MFLAGS")
    environment = {k: v for k, v in os.environ.items() if k not in foreign}
    made = subprocess.run(
        ["make", "book", "EXTRAS=", f"PYTHON={python}"], cwd=folder, env=environment, text=True,
        capture_output=True, timeout=1500,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    index = folder / "book/_build/html/index.html"
    assert made.stdout.splitlines()[-1] == f"The book is at {index}"
    assert index.is_file()
    torch = [folder / ".venv/bin/python", "-c", "import torch"]
    assert subprocess.run(torch, capture_output=True).returncode != 0
    line = [folder / ".venv/bin/companion", "status", "--json"]
    rows = json.loads(subprocess.run(line, cwd=folder, env=environment, capture_output=True).stdout)
    assert {row["state"] for row in rows} == {"up to date", "not measured"}
