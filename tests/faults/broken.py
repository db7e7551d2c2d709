"""Break recorded measurements, one at a time or an experiment's all at once, and make the pages.

A page may lack what needs a broken file, and says so; none may stop.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from mutations import in_a_fork, pages

from companion.measurements import records
from companion.measurements.quantities import Experiment
from companion.runs import execute, experiments
from companion.runs.experiments import Run


def main(whole: bool) -> None:
    """Print what is lost of which run by which files, and which runs stopped, as JSON."""
    lost: dict[str, Any] = {}
    stopped: dict[str, str] = {}
    for name, paths in cases(whole):
        first = json.loads(paths[0].read_text(encoding="utf-8"))
        runs = pages(first) if whole else [r for r in pages(first) if r.subject == "paper"]
        runs = [run for run in runs if run.subject != "pocket"]  # which reads no recorded file
        with broken(paths):
            for run in filter(experiments.has_evidence, runs):
                print(name, run, file=sys.stderr, flush=True)
                found, error = in_a_fork(lambda run=run: lacks(run))
                if error:
                    stopped[f"{run} by {name}"] = error
                elif found:
                    lost[f"{run} by {name}"] = found
    print(json.dumps([lost, stopped]))


def cases(whole: bool) -> Iterator[tuple[str, Sequence[Path]]]:
    """What is broken together: all of an experiment, and if ``whole`` each file alone."""
    for one in get_args(Experiment):
        if paths := sorted((records.FOLDER / one).glob("*.json")):
            yield one, paths
            for path in paths if whole else ():
                yield f"{one}/{path.name}", [path]


def lacks(run: Run) -> list[str]:
    """Labels of what a run publishes, and what it says is broken, if it lacks anything."""
    given: dict[str, Any] = {run.experiment.scope: run.subject}
    notebook, about = execute._papermill(run, given, execute.Reads())
    if not about:
        return []
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert not any(output["output_type"] == "error" for output in outputs)
    return [output["metadata"]["companion"]["label"] for output in outputs if output["metadata"]]


@contextlib.contextmanager
def broken(paths: Sequence[Path]) -> Iterator[None]:
    """Let files end in the middle for a while."""
    kept = {path: path.read_bytes() for path in paths}
    for path, content in kept.items():
        path.write_bytes(content[: len(content) // 2])
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


if __name__ == "__main__":
    main("whole" in sys.argv)
