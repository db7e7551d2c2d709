"""Doing what is left of a grid: here (`jobs`), or elsewhere by Snakemake (`cluster`).

A model that fails, because its weights cannot be had, say, is left out and named with the reason,
as is a data set with damaged images, and the others go on.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from analysis.base.texts import CompanionError
from analysis.families.registry import Family, Model, load_family
from analysis.features.plan import ExtractionSettings
from companion.engine.experiments import RunError
from companion.engine.jobs import Call, do_all, read_failure
from companion.measurements import from_store, pending, records
from companion.runs import cluster
from companion.runs.grid import (
    NAMED,
    Grid,
    GridPlan,
    Lacks,
    Task,
    absences,
    plan,
    to_measure,
)
from companion.runs.sizes import Needs

NEEDED = ("torch", "torchvision", "open_clip", "timm", "tqdm")
#: Why some models were left out: the reason → their names.
LeftOut = dict[str, list[str]]
#: How a job is told its grid, as JSON.
GRID = TypeAdapter(Grid)


class IncompleteError(RunError):
    """Some of a grid's jobs are undone, or done only for some models; the others are done."""


def run(found: GridPlan, profile: str = "local", cores: int | None = None) -> int:
    """Do what is missing; returns how many jobs there were.

    ``profile`` is ``local``, ``slurm`` or a folder with a ``config.yaml`` of Snakemake. Raises
    IncompleteError, after all others have finished, if a job failed or went on without a model.
    """
    if not found.data:
        raise RunError(f"none of the grid's data sets is here: {' '.join(absences(found.absent))}")
    folder = cluster.profile_folder(profile)
    done, problems = 0, list[str]()
    lacking = found.lacking if folder else partial(_for_gpus, found)
    for find_jobs in (lacking, found.unrecorded):
        needs = {job: found.needs(job, about) for job, about in find_jobs().items()}
        problems += _do("grid", needs, found.grid, cores, folder) if needs else []
        done += len(needs)
    if problems:
        raise IncompleteError(
            f"the grid of {done} jobs is incomplete; the same command continues with the rest:"
            + "".join(f"\n  {problem}" for problem in problems)
        )
    return done


def _for_gpus(found: GridPlan) -> dict[Task, Lacks]:
    """The jobs that extract on this machine: one a model where it has more GPUs than families."""
    if jobs := found.lacking():
        from analysis.features.devices import gpus

        if len(jobs) < gpus(found.grid.settings.device):
            return replace(found, grid=replace(found.grid, each_model=True)).lacking()
    return jobs


def refresh_pocket_lab(families: Sequence[str], cores: int) -> None:
    """Extract features of the pocket lab's that are not current; nothing where torch is missing.

    On the CPU, where they take a minute, so that they are the same wherever the book is built.
    """
    if families and all(importlib.util.find_spec(name) for name in NEEDED):
        settings = ExtractionSettings(device="cpu", workers=1)
        run(plan(Grid("pocket", families=tuple(families), settings=settings)), cores=cores)


def measure_live(
    families: Iterable[Family], cores: int, experiments: Collection[str] | None = None
) -> None:
    """Take the live measurements of some families that are not current.

    What cannot be measured is reported and stops nothing: pages show what there is.
    ``experiments``: of these alone, each a job of its own.
    """
    families = list(families)
    tasks = (
        Task("measure", job.family, job.data, "" if experiments is None else job.experiment)
        for job in pending.jobs_to_take(families, experiments)
    )
    waiting = [task for task, _ in Counter(tasks).most_common()]  # of most jobs first: the longest
    if waiting:
        for problem in _do("measurements", dict.fromkeys(waiting), Grid(), cores, None):
            print(problem, file=sys.stderr)
    pending.remove_outdated(families, experiments)


def _do(
    what: str,
    jobs: Mapping[Task, Needs | None],
    grid: Grid,
    cores: int | None,
    profile: Path | None,
) -> list[str]:
    """Do jobs; returns a sentence on each that failed, and on each model left out."""
    places = cores or os.cpu_count() or 1
    if profile is None and next(iter(jobs)).kind == "features":
        places, grid = _shared(grid, places, len(jobs))
    asked = GRID.dump_python(grid, mode="json")
    does: dict[str, Callable[..., LeftOut]] = {"features": features, "measure": measure}
    calls = [Call(str(job), does[job.kind], (asked, *job.arguments)) for job in jobs]
    if profile is None:
        left_out = do_all(what, calls, places)
    else:
        config = {"workers": grid.settings.workers, "gpu": int(grid.settings.device != "cpu")}
        needs = [need._asdict() if need else {} for need in jobs.values()]
        left_out = cluster.do_all(what, calls, profile, cores, config, needs)
    problems = [
        f"{name}, left out: {said}" for name, reasons in left_out.items() for said in _said(reasons)
    ]
    for name in [call.name for call in calls if call.name not in left_out]:
        failure = read_failure(name).get("message", f"it was not started, see {cluster.LOG}")
        problems.append(f"{name}: {failure.splitlines()[0]}")
    return problems


def _shared(grid: Grid, cores: int, jobs: int) -> tuple[int, Grid]:
    """How many extractions go on at once on this machine, and with how many threads that decode.

    Each has a GPU of its own, where there are GPUs, and its part of the cores unless somebody says
    how many threads; else as many go on as have that many cores each.
    """
    from analysis.features.devices import gpus

    places = min(gpus(grid.settings.device), jobs)
    if not places:
        return max(1, cores // grid.settings.workers), grid
    threads = grid.threads or max(1, cores // places)
    return places, replace(grid, settings=replace(grid.settings, workers=threads))


def _said(left_out: LeftOut) -> list[str]:
    """Why models were left out, in few sentences where there are many reasons."""
    said = [_about(models, why) for why, models in left_out.items()]
    more = len(said) - NAMED
    return said if more <= 0 else [*said[:NAMED], f"{more} more such reasons"]


def _about(models: Sequence[str], why: str) -> str:
    """A reason with the models that it holds for, unless it names them."""
    names = [*dict.fromkeys(models)]
    named = ", ".join(names) if len(names) <= NAMED else f"{len(names)} models"
    return why if len(names) == 1 and names[0] in why else f"{named}: {why}"


# What a job does


def features(grid: dict[str, Any], family: str, models: Sequence[str]) -> LeftOut:
    """Extract what some models of a family lack; returns why some did not get all.

    ``grid`` is one as JSON. Raises RunError if none got anything.
    """
    from analysis.features.devices import gpu
    from analysis.features.extract import extract
    from companion.checkpoints import loading

    asked, left_out = GRID.validate_python(grid), LeftOut()
    whole = plan(replace(asked, families=(family,), models=tuple(models)))
    lacks = whole.lacks(whole.families[0])
    lacking = {model.name: model for some in lacks.values() for model in some}
    lists = [images for name in lacks for images in whole.data[name]]

    def leave_out(model: Model, error: Exception) -> None:
        left_out.setdefault(str(error), []).append(model.name)

    with gpu(asked.settings.device) as device:
        settings = replace(asked.settings, device=device)
        extract([*lacking.values()], lists, settings, load=loading.load, onerror=leave_out)
    if left_out and whole.lacks(whole.families[0]) == lacks:
        raise RunError("no model is left: " + "; ".join(_said(left_out)))
    return left_out


def measure(grid: dict[str, Any], family: str, data: str, experiment: str = "") -> LeftOut:
    """Measure, recorded or live; returns the models for which that was not possible, and why.

    ``experiment``: this one alone.
    """
    asked, left_out = GRID.validate_python(grid), LeftOut()
    keep = records.record if asked.records else records.write_live
    for job in to_measure(asked, load_family(family), data):
        if experiment in ("", job.experiment):
            try:
                keep(from_store.measure(job))
            except CompanionError as error:
                left_out.setdefault(str(error), []).append(job.model.name)
    return left_out
