"""The grid: all models of an edition's families × its data sets, extracted, measured, recorded.

First features are extracted: a job is one family's models, as many as memory holds, on all data
sets that they lack, so that weights are loaded once and images decoded once. Then features are
measured: a job is one family on one data set. What there is to do follows from the features and
measurements themselves, which say what they were made from: a job is for the models that lack
something, so a grid that was stopped, or done for some of the models, goes on where it stood. A
model that fails, because its weights cannot be had, say, is left out and named with the reason, as
is a data set with damaged images, and the others go on.

The jobs are done on this machine (`jobs`) or, with a profile, by Snakemake elsewhere (`cluster`).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from analysis.families.registry import Edition, Family, Model, load_families, load_family
from analysis.features.plan import head_is_current, is_current
from analysis.images.imagelist import ImageList
from base.texts import CompanionError, suggestion
from companion.measurements import from_store, pending, records
from companion.measurements.quantities import Measurable
from companion.runs import cluster, rates, sizes
from companion.runs.options import Choice
from companion.runs.sizes import Needs
from companion.sources import find, sets
from results.experiments import RunError
from results.jobs import Call, do_all, read_failure

#: So many models are named in a sentence; of more, their number is given.
NAMED = 5
NEEDED = ("torch", "torchvision", "open_clip", "timm", "tqdm")
#: What an edition computes on, where no data set is named.
USUAL: dict[Edition, tuple[str, ...]] = {
    "paper": ("grid",),
    "pocket": ("pocket",),
    "contrast": ("scikit_image_photographs",),
    "reader": (),
    "zoo": ("imagenet",),
}
#: What is measured of an edition; of any other all that can be. Pruning takes minutes a model.
MEASURED: dict[Edition, tuple[Measurable, ...]] = {
    "zoo": ("outlier_features", "privileged_directions", "basis", "accuracy"),
}


class Task(NamedTuple):
    """One job: what it does, for which family.

    ``data``: the store's data set that is measured; ``experiment``: the only one that is, if one is
    named. ``models``: those that are extracted; ``part``: which of the family's they are, if it
    takes several jobs.
    """

    kind: Literal["features", "measure"]
    family: str
    data: str = ""
    experiment: str = ""
    models: tuple[str, ...] = ()
    part: str = ""

    @property
    def arguments(self) -> list[Any]:
        """What the function that does it is called with, after the choice."""
        given = (self.family, self.models, self.data, self.experiment)
        return [one for one in given if one]

    def __str__(self) -> str:
        return " ".join(
            filter(None, (self.kind, self.family, self.data, self.experiment, self.part))
        )


#: For each data set the models that lack something of it.
Lacks = dict[str, list[Model]]
#: Why some models were left out: the reason → their names.
LeftOut = dict[str, list[str]]


@dataclass(frozen=True)
class GridPlan:
    """A choice with the families and data sets that it comes to here, and those that are absent.

    ``data`` has the image lists of each data set: the pocket lab's has ten. ``absent`` has a
    sentence on each that is not here.
    """

    choice: Choice
    families: tuple[Family, ...]
    data: Mapping[str, Sequence[ImageList]] = field(repr=False)
    absent: Mapping[str, str]

    def lacks(self, family: Family) -> Lacks:
        """The models of a family whose features or heads are not current, for each data set."""
        settings, models, lacks = self.choice.settings(), self.choice.of(family), Lacks()
        for name, lists in self.data.items():
            for model in models:
                if not all(
                    is_current(model, images, settings) and head_is_current(model, images)
                    for images in lists
                ):
                    lacks.setdefault(name, []).append(model)
        return lacks

    def lacking(self) -> dict[Task, Lacks]:
        """The jobs that extract, with what their models lack."""
        jobs = dict[Task, Lacks]()
        for family in self.families:
            jobs |= extractions(self.choice, family, self.lacks(family))
        return jobs

    def images(self, data: str) -> int:
        """How many images a data set has, here or as its authors published it."""
        return sum(map(len, self.data[data])) if data in self.data else sets.images(data)

    def needs(self, job: Task, about: Lacks | list[Model]) -> Needs | None:
        """What a job that extracts asks a cluster for, by the size of its networks and data."""
        if isinstance(about, list):
            return None
        encoded = sum(self.images(data) * len(models) for data, models in about.items())
        hours = rates.hours(job.models, encoded, self.choice.precision, rates.read())
        models = {model.name: model for some in about.values() for model in some}
        most = max(len(listed) for data in about for listed in self.data[data])
        return sizes.extracting([*models.values()], most, self.choice, hours)

    def unrecorded(self) -> dict[Task, list[Model]]:
        """The jobs that measure what is in the store of these data sets and not recorded."""
        jobs: dict[Task, list[Model]] = {}
        here = {images.name for lists in self.data.values() for images in lists}
        for family in self.families if self.choice.records else ():
            for job in _to_measure(self.choice, family):
                if here & {*job.parts}:
                    jobs.setdefault(Task("measure", family.name, job.data), []).append(job.model)
        return jobs


def extractions(choice: Choice, family: Family, lacks: Lacks) -> dict[Task, Lacks]:
    """The jobs that extract what a family's models lack: as few as memory allows, or one each."""
    wanted = {model.name for models in lacks.values() for model in models}
    models = [model for model in choice.of(family) if model.name in wanted]
    groups = [[m] for m in models] if choice.each_model else sizes.together(models, choice.memory)
    jobs = dict[Task, Lacks]()
    for number, group in enumerate(groups, 1):
        names = tuple(model.name for model in group)
        part = names[0] if len(names) == 1 else f"part {number} of {len(groups)}"
        own = {data: [m for m in some if m.name in names] for data, some in lacks.items()}
        job = Task("features", family.name, models=names, part=part * (len(groups) > 1))
        jobs[job] = {data: some for data, some in own.items() if some}
    return jobs


def absences(absent: Mapping[str, str]) -> list[str]:
    """A sentence on the data sets that are not here, for each reason."""
    together: dict[str, list[str]] = {}
    for name, why in absent.items():
        together.setdefault(sets.UNSET if sets.UNSET in why else why, []).append(name)
    said = {
        sets.UNSET: f"They are looked for in the folder that {sets.UNSET}: set it; `companion "
        "status --data` says where each is to be had, and what its folder is called."
    }
    return [
        f"{', '.join(names)}. {said.get(why, why) if len(names) > 1 else absent[names[0]]}"
        for why, names in together.items()
    ]


def _to_measure(choice: Choice, family: Family, data: str = "") -> list[pending.Job]:
    """The measurements to take of the chosen models of a family, on one data set or on all."""
    is_done = pending.is_recorded if choice.records else pending.current
    chosen = {model.name for model in choice.of(family)}
    jobs = pending.jobs(family, MEASURED.get(choice.edition), data)
    return [job for job in jobs if job.model.name in chosen and not is_done(job)]


def plan(choice: Choice) -> GridPlan:
    """Find the families and data sets of a choice.

    Data sets that are not here are listed as absent, the others go on. Raises RunError if a family
    or model is unknown, DatasetError if a data set is, or if a copy is not the published set.
    """
    if choice.record and not choice.measure:
        raise RunError("--record and --no-measure contradict each other: leave out one of them.")
    data: dict[str, Sequence[ImageList]] = {}
    absent = {text: why for text in _texts(choice) if (why := pending.why_absent(text))}
    for text in _texts(choice):
        if text not in absent:
            lists = find.find(text, accept_counts=choice.accept_counts)
            data[lists[0].name if len(lists) == 1 else text] = lists
    families = _families(choice)
    if not data and not absent:
        raise RunError(
            f"the edition {choice.edition} has no data sets of its own: name some with --data."
        )
    return GridPlan(choice, families, data, absent)


def _texts(choice: Choice) -> list[str]:
    """The data sets as a command line names them, with ``grid`` spelt out."""
    named = choice.data or USUAL[choice.edition]
    every = [name for text in named for name in (sets.GRID if text == "grid" else (text,))]
    return list(dict.fromkeys(every))


def _families(choice: Choice) -> tuple[Family, ...]:
    of_edition = load_families(choice.edition)
    wanted = list(dict.fromkeys(choice.families or of_edition))
    if not wanted:
        first = "run `companion families zoo`" if choice.edition == "zoo" else "add one"
        raise RunError(f"the edition {choice.edition} has no family: {first} first.")
    _check(wanted, of_edition, f"the edition {choice.edition} has no family")
    models = {model.name: model for name in wanted for model in of_edition[name].models}
    _check(choice.models, models, "the families that are chosen have no model")
    for name in choice.models:
        if not models[name].loadable:
            raise RunError(
                f"{name} has no public weights, so it cannot be extracted: leave it out."
            )
    return tuple(of_edition[name] for name in wanted if choice.of(of_edition[name]))


def _check(names: Iterable[str], existing: Iterable[str], has_none: str) -> None:
    """Raise RunError for a name that is not known."""
    for name in names:
        if name not in existing:
            raise RunError(f"{has_none} {name!r}: {suggestion(name, existing)}.")


# Doing it


class IncompleteError(RunError):
    """Some of a grid's jobs are undone, or done only for some models; the others are done."""


def run(plan: GridPlan, profile: str = "local", cores: int | None = None) -> int:
    """Do what is missing; returns how many jobs there were.

    ``profile`` is ``local``, ``slurm`` or a folder with a ``config.yaml`` of Snakemake. Raises
    IncompleteError, after all others have finished, if a job failed or went on without a model.
    """
    if not plan.data:
        raise RunError(f"none of the grid's data sets is here: {' '.join(absences(plan.absent))}")
    folder = cluster.profile_folder(profile)
    done, problems = 0, list[str]()
    lacking = plan.lacking if folder else partial(_for_gpus, plan)
    for find_jobs in (lacking, plan.unrecorded):
        needs = {job: plan.needs(job, about) for job, about in find_jobs().items()}
        problems += _do("grid", needs, plan.choice, cores, folder) if needs else []
        done += len(needs)
    if problems:
        raise IncompleteError(
            f"the grid of {done} jobs is incomplete; the same command continues with the rest:"
            + "".join(f"\n  {problem}" for problem in problems)
        )
    return done


def _for_gpus(plan: GridPlan) -> dict[Task, Lacks]:
    """The jobs that extract on this machine: one a model where it has more GPUs than families."""
    if jobs := plan.lacking():
        from analysis.features.devices import gpus

        if len(jobs) < gpus(plan.choice.device):
            each = plan.choice.model_copy(update={"each_model": True})
            return replace(plan, choice=each).lacking()
    return jobs


def refresh_pocket_lab(families: Sequence[str], cores: int) -> None:
    """Extract features of the pocket lab's that are not current; nothing where torch is missing.

    On the CPU, where they take a minute, so that they are the same wherever the book is built.
    """
    if families and all(importlib.util.find_spec(name) for name in NEEDED):
        choice = Choice(
            edition="pocket", families=tuple(families), device="cpu", workers=1, measure=False
        )
        run(plan(choice), cores=cores)


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
    if waiting := list(dict.fromkeys(tasks)):
        needs = dict.fromkeys(waiting)
        for problem in _do("measurements", needs, Choice(record=False), cores, None):
            print(problem, file=sys.stderr)
    pending.remove_outdated(families, experiments)


def _do(
    what: str,
    jobs: Mapping[Task, Needs | None],
    choice: Choice,
    cores: int | None,
    profile: Path | None,
) -> list[str]:
    """Do jobs; returns a sentence on each that failed, and on each model left out."""
    places = cores or os.cpu_count() or 1
    if profile is None and next(iter(jobs)).kind == "features":
        places, choice = _shared(choice, places, len(jobs))
    asked, before = choice.model_dump(mode="json"), len(rates.read())
    does: dict[str, Callable[..., LeftOut]] = {"features": features, "measure": measure}
    calls = [Call(str(job), does[job.kind], (asked, *job.arguments)) for job in jobs]
    if profile is None:
        left_out = do_all(what, calls, places)
    else:
        config = {"workers": choice.workers, "gpu": int(choice.device != "cpu")}
        needs = [need._asdict() if need else {} for need in jobs.values()]
        left_out = cluster.do_all(what, calls, profile, cores, config, needs)
    for rate in rates.read()[before:]:  # of whoever extracted meanwhile, on this machine or another
        print(f"{what}: {rate}", file=sys.stderr)
    problems = [
        f"{name}, left out: {_about(models, why)}"
        for name in left_out
        for why, models in left_out[name].items()
    ]
    for name in [call.name for call in calls if call.name not in left_out]:
        failure = read_failure(name).get("message", f"it was not started, see {cluster.LOG}")
        problems.append(f"{name}: {failure.splitlines()[0]}")
    return problems


def _shared(choice: Choice, cores: int, jobs: int) -> tuple[int, Choice]:
    """How many extractions go on at once on this machine, and with how many threads that decode.

    Each has a GPU of its own, where there are GPUs, and its part of the cores unless somebody says
    how many threads; else as many go on as have that many cores each.
    """
    from analysis.features.devices import gpus

    places = min(gpus(choice.device), jobs)
    if not places:
        return max(1, cores // choice.workers), choice
    threads = choice.workers if "workers" in choice.model_fields_set else max(1, cores // places)
    return places, choice.model_copy(update={"workers": threads})


def _about(models: Sequence[str], why: str) -> str:
    """A reason with the models that it holds for, unless it names them."""
    names = [*dict.fromkeys(models)]
    named = ", ".join(names) if len(names) <= NAMED else f"{len(names)} models"
    return why if len(names) == 1 and names[0] in why else f"{named}: {why}"


# What a job does


def features(choice: dict[str, Any], family: str, models: Sequence[str]) -> LeftOut:
    """Extract what some models of a family lack; returns why some did not get all.

    ``choice`` is one as JSON. Raises RunError if none got anything.
    """
    from analysis.features.devices import gpu
    from analysis.features.extract import extract
    from companion.checkpoints import loading

    wanted, left_out = Choice.model_validate(choice), LeftOut()
    whole = plan(wanted.model_copy(update={"families": (family,), "models": tuple(models)}))
    lacks = whole.lacks(whole.families[0])
    lacking = {model.name: model for some in lacks.values() for model in some}
    lists = [images for name in lacks for images in whole.data[name]]

    def leave_out(model: Model, error: Exception) -> None:
        left_out.setdefault(str(error), []).append(model.name)

    with gpu(wanted.device) as device:
        settings = wanted.model_copy(update={"device": device}).settings()
        with rates.noted([*lacking.values()], lists):
            extract([*lacking.values()], lists, settings, load=loading.load, onerror=leave_out)
    if left_out and whole.lacks(whole.families[0]) == lacks:
        reasons = [_about(some, why) for why, some in left_out.items()]
        raise RunError("no model is left: " + "; ".join(reasons))
    return left_out


def measure(choice: dict[str, Any], family: str, data: str, experiment: str = "") -> LeftOut:
    """Measure, recorded or live; returns the models for which that was not possible, and why.

    ``experiment``: this one alone.
    """
    wanted, left_out = Choice.model_validate(choice), LeftOut()
    for job in _to_measure(wanted, load_family(family), data):
        if experiment in ("", job.experiment):
            try:
                (records.record if wanted.records else records.write_live)(from_store.measure(job))
            except CompanionError as error:
                left_out.setdefault(str(error), []).append(job.model.name)
    return left_out
