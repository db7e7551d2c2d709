"""Speed of the engine, measured in one go on a clean copy of this checkout.

Prints what a build with nothing to do costs over plain `jupyter-book build` (the same book and
settings with the extension `companion_runs` switched off, the two taken in turns), and how long
all runs take from nothing. Run it from the environment: `python benchmarks/engine.py`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from conftest import build_book, copy_checkout, run_in

REPEATS = 5
NO_OP_GOAL, FRESH_GOAL = 0.3, 90.0  # seconds, on two idle cores


def timed(function, *arguments) -> float:
    """Seconds that a command takes; an error if it fails."""
    began = time.perf_counter()
    done = function(*arguments)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return seconds


def without_engine(folder: Path) -> subprocess.CompletedProcess:
    """The same build, with the hook that looks at the runs replaced by nothing."""
    extension = folder / "book/_extensions/companion_runs.py"
    source = extension.read_text(encoding="utf-8")
    hook = 'app.connect("config-inited", update_runs, priority=100)'
    assert hook in source
    extension.write_text(source.replace(hook, "pass"), encoding="utf-8")
    try:
        return build_book(folder)
    finally:
        extension.write_text(source, encoding="utf-8")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = copy_checkout(Path(name) / "book")
        fresh = timed(run_in, folder, "companion.cli", "build", "--runs")
        runs = len(list((folder / "book/runs").rglob("*.ipynb")))
        build_book(folder)
        pairs = [(timed(build_book, folder), timed(without_engine, folder)) for _ in range(REPEATS)]
    differences = [ours - plain for ours, plain in pairs]
    ours, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{os.cpu_count()} cores, medians of {REPEATS} pairs")
    print(f"all {runs} runs from nothing: {fresh:.1f} s (goal: {FRESH_GOAL:.0f} s)")
    print(f"build with nothing to do: {ours:.2f} s, without the engine {plain:.2f} s, ratio "
          f"{ours / plain:.2f}")  # fmt: skip
    print(
        f"difference: {statistics.median(differences):+.2f} s, from {min(differences):+.2f} to "
        f"{max(differences):+.2f} (goal: at most {NO_OP_GOAL} s)"
    )


if __name__ == "__main__":
    main()
