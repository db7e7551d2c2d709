"""Bring runs up to date, and never leave half of one behind.

First what they read beyond the repository, which is a matter of the `project`, then the notebooks
that are not current.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.base.files import check_writable, looks, remove_parts
from analysis.base.roots import ROOT
from companion.engine import execute, experiments, fingerprints, processes, project
from companion.engine.execute import check_parameters
from companion.engine.experiments import RunError
from companion.engine.fingerprints import Parts, Status
from companion.engine.jobs import STATE, Call, alone, attempt, do_all, keep, recalled
from companion.engine.run import OUTPUTS, Run

#: How often runs are made again whose features came or went while they were.
ROUNDS = 3


def expect_runs() -> None:
    """Have what runs import loaded once for all; for a command that calls other functions first."""
    processes.expect(len(experiments.possible_runs()))


def bring_up_to_date(jobs: int = 2) -> int:
    """Execute every run that is not current; returns how many there were.

    Raises RunError, after all others have finished, if any failed.
    """
    executed = 0
    with alone("a build of the book"):
        _remove_parts()
        known = project.current().knowledge()
        state = [known, looks(OUTPUTS, ending=".ipynb")]
        if known and recalled("runs", state):
            return 0
        expect_runs()
        for _ in range(ROUNDS):
            outdated, failed, wanted = _one_round(jobs)
            executed += outdated
            if not failed or any(entry.state == "failed" for entry in failed):
                break  # else features came or went meanwhile, and what read them is stale again
    if failed:
        lines = [f"  {entry.run}: {entry.why or entry.state}" for entry in failed]
        first = f"{len(failed)} of {wanted} runs failed, so no book is built:"
        raise RunError("\n".join([first, *lines]))
    if known and not executed:  # else the state is another now
        keep("runs", state, "up to date")
    return executed


def _one_round(jobs: int) -> tuple[int, list[Status], int]:
    """Bring outdated runs up to date once: how many there were, which are left, how many in all."""
    project.current().prepare(experiments.possible_runs(), jobs, only_theirs=False)
    everything = experiments.all_runs()  # what was just measured is evidence, too
    _remove_leftovers(everything)
    outdated = [s for s in fingerprints.statuses(everything) if s.state != "up to date"]
    ready = [entry for entry in outdated if entry.parts]
    if ready:
        for name, why in do_all("runs", [_call(s.run, s.parts) for s in ready], jobs).items():
            _say_what_is_left_out(name, why)
    # Without parts it is not known what the run would be made from.
    failed = [entry for entry in outdated if not entry.parts]
    # A run that failed is outdated still, and so is one whose inputs changed meanwhile.
    again = fingerprints.statuses(entry.run for entry in ready)
    failed += [entry for entry in again if entry.state != "up to date"]
    return len(outdated), failed, len(everything)


def run(wanted: Run, given: Mapping[str, str], output: Path | None = None) -> Path:
    """Execute a run into the book; with parameters or an output of its own, elsewhere.

    Returns where the notebook lies. Raises RunError for parameters and an output that cannot be,
    and where there is nothing to show; CompanionError if the run fails.
    """
    values = check_parameters(wanted, given)
    check_output(output)
    project.current().prepare([wanted], jobs=2, only_theirs=True)
    if not experiments.has_evidence(wanted):
        what = f"{wanted.experiment.name} for {wanted.subject}"
        why = project.current().why_nothing(wanted)
        raise RunError(f"there is nothing to show of {what}: {why}.")
    if given:  # no matter of the book's
        output = output or ROOT / "runs" / wanted.experiment.name / f"{wanted.subject}.ipynb"
    left_out = attempt(_call(wanted, fingerprints.parts(wanted), values, output))
    _say_what_is_left_out(str(wanted), left_out)
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
    fingerprints.note_folders(made_from)
    return Call(name, execute.execute, words, made_from)


def _remove_leftovers(everything: Sequence[Run]) -> None:
    """Remove the runs of notebooks or subjects that are gone, and notes of folders as none was."""
    wanted = {run.output for run in everything}
    folders = {
        of for run in everything for of in experiments.made(run).get("made_from", {}).values()
    }
    for path in fingerprints.FOLDERS.glob("*.json"):
        if path.stem not in folders:
            path.unlink(missing_ok=True)
    for path in OUTPUTS.rglob("*.ipynb"):
        if path not in wanted:
            path.unlink(missing_ok=True)


def _remove_parts() -> None:
    """Remove what killed writers left."""
    places = (OUTPUTS, STATE, *project.current().written)
    remove_parts(part for place in places for part in place.rglob(".*.part"))
