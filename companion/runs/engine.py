"""Bring runs up to date, with what they read in the store, and never leave half of one behind.

First the pocket lab's features, then live measurements, then the notebooks that are not current.
With nothing to do, what reads images is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.common import ROOT, check_writable, fingerprint, remove_parts, sha256_of, write_text
from analysis.features.store import default_folder
from analysis.reach import Code
from companion.runs import experiments, fingerprints, status
from companion.runs.execute import check_parameters
from companion.runs.experiments import Run, RunError
from companion.runs.fingerprints import Parts, Status
from results.jobs import STATE, Call, alone, attempt, do_all

#: How often runs are made again whose features came or went while they were.
ROUNDS = 3
#: What decides which features and live measurements there should be, apart from the store.
STORE_CODE = "from companion.runs import grid\ngrid"
STORE_DATA = ("emoji", "imagenet", "pocket", "measurements")


def bring_up_to_date(jobs: int = 2) -> int:
    """Execute every run that is not current; returns how many there were.

    Raises RunError, after all others have finished, if any failed.
    """
    executed = 0
    with alone("a build of the book"):
        for _ in range(ROUNDS):
            outdated, failed, wanted = _one_round(jobs)
            executed += outdated
            if not failed or any(entry.state == "failed" for entry in failed):
                break  # else features came or went meanwhile, and what read them is stale again
    if failed:
        lines = [f"  {entry.run}: {entry.why or entry.state}" for entry in failed]
        first = f"{len(failed)} of {wanted} runs failed, so no book is built:"
        raise RunError("\n".join([first, *lines]))
    return executed


def _one_round(jobs: int) -> tuple[int, list[Status], int]:
    """Bring outdated runs up to date once: how many there were, which are left, how many in all."""
    prepare(experiments.possible_runs(), jobs)
    everything = experiments.all_runs()  # what was just measured is evidence, too
    _remove_leftovers(everything)
    outdated = [s for s in fingerprints.statuses(everything) if s.state != "up to date"]
    ready = [entry for entry in outdated if entry.parts]
    if ready:
        for name, why in do_all("runs", [_call(s.run, s.parts) for s in ready], jobs).items():
            _say_what_is_left_out(name, why)
    failed = [entry for entry in outdated if not entry.parts]
    again = fingerprints.statuses(entry.run for entry in ready)
    failed += [entry for entry in again if entry.state != "up to date"]
    return len(outdated), failed, len(everything)


def prepare(runs: Sequence[Run], jobs: int = 2, *, only_theirs: bool = False) -> None:
    """Bring what runs read in the store up to date: pocket lab's features, live measurements.

    ``only_theirs``: of these the ones alone that the runs' headers name.

    That nothing is to be done is remembered by the content of everything it follows from, because
    finding it out again takes seconds. Raises RunError, after all others have finished, if a job
    failed.
    """
    reading = [run for run in runs if fingerprints.folders_in_store(run)]
    families = {f.name: f for run in reading for f in fingerprints.families_read(run)}
    named = {name for run in reading for name in run.experiment.measurements}
    measured = named if only_theirs else None
    if not families or any(mark.exists() for mark in _marks(families, measured)):
        return
    from companion.runs import grid

    with alone("what measures features in the store"):
        grid.refresh_pocket_lab([f.name for f in families.values() if f.edition == "pocket"], jobs)
        grid.measure_live(families.values(), jobs, measured)
        write_text(_marks(families, measured)[-1], "")


def run(wanted: Run, given: Mapping[str, str], output: Path | None = None) -> Path:
    """Execute a run into the book; with parameters or an output of its own, elsewhere.

    Returns where the notebook lies. Raises RunError for parameters and an output that cannot be,
    and where there is nothing to show; CompanionError if the run fails.
    """
    values = check_parameters(wanted, given)
    check_output(output)
    prepare([wanted], only_theirs=True)
    if not experiments.has_evidence(wanted):
        what = f"{wanted.experiment.name} for {wanted.subject}"
        raise RunError(f"there is nothing to show of {what}: {status.why_nothing(wanted)}.")
    if given:  # no matter of the book's
        output = output or ROOT / "runs" / wanted.experiment.name / f"{wanted.subject}.ipynb"
    why = attempt(_call(wanted, fingerprints.parts(wanted), values, output))
    _say_what_is_left_out(str(wanted), why)
    return output or wanted.output


def _say_what_is_left_out(run: str, why: Sequence[str]) -> None:
    """Print that a run has no results, and which file is the reason."""
    if why:
        print(f"{run} is without its results: {why[0]}", file=sys.stderr)


def check_output(output: Path | None) -> None:
    """Raise CompanionError if a notebook cannot be written there."""
    if output is not None:
        if output.suffix != ".ipynb":
            raise RunError(f"--output must name an .ipynb file, got {output}.")
        check_writable(output)


def _call(
    run: Run, made_from: Parts, values: dict[str, Any] | None = None, output: Path | None = None
) -> Call:
    """The call that executes a run; for the book, it has no parameters and no place."""
    values, place = values or {run.experiment.scope: run.subject}, output or run.output
    words = run.experiment.name, run.subject, values, str(place.absolute()), made_from
    name = f"{run} by hand" if output else str(run)
    return Call(name, "companion.runs.execute:execute", words, made_from)


def _marks(families: Iterable[str], measured: Iterable[str] | None) -> list[Path]:
    """The files that remember that the store is up to date, named by what decides that.

    The first is of all that can be measured, the last of what is ``measured``, all if None.
    """
    parts = fingerprints.code_and_libraries(STORE_CODE, Code())
    folders = [default_folder(), ROOT / "families", *(ROOT / "data" / name for name in STORE_DATA)]
    files = [path for folder in folders for path in folder.rglob("*.*") if path.is_file()]
    features = {*default_folder().rglob("*.safetensors")}  # their sidecars have the checksums
    content = {path for path in {*files} - features if path.suffix not in (".lock", ".part")}
    parts |= {str(path): sha256_of(path) for path in content}
    kept = sorted(map(str, features))
    state = [parts, kept, sorted(families), os.environ.get("COMPANION_DATA")]
    whole = STATE / "store-up-to-date" / fingerprint(state)
    part = "" if measured is None else f"-{fingerprint(sorted(measured))}"
    return [whole, whole.with_name(whole.name + part)]


def _remove_leftovers(everything: Sequence[Run]) -> None:
    """Remove what killed writers left and the runs of notebooks or families that are gone."""
    wanted = {run.output for run in everything}
    for path in experiments.OUTPUTS.rglob("*.ipynb"):
        if path not in wanted:
            path.unlink(missing_ok=True)
    places = (experiments.OUTPUTS, STATE, default_folder(), ROOT / "data", ROOT / "families")
    remove_parts(part for place in places for part in place.rglob(".*.part"))
