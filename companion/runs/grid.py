"""The grid: all models of an edition's families × its data sets, and what is left to do of it.

First features are extracted: a job is one family's models, as many as memory holds, on all data
sets that they lack, so that weights are loaded once and images decoded once. Then features are
measured: a job is one family on one data set. What there is to do follows from the features and
measurements themselves, which say what they were made from: a job is for the models that lack
something, so a grid that was stopped, or done for some of the models, goes on where it stood.
`grid_jobs` does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from analysis.base.texts import suggestion
from analysis.families.registry import Edition, Family, Model, load_families
from analysis.features.plan import ExtractionSettings, head_is_current, is_current
from analysis.images.imagelist import ImageList
from companion.engine.experiments import RunError
from companion.measurements import pending
from companion.measurements.quantities import Measurable
from companion.runs import sizes
from companion.runs.sizes import Needs
from companion.sources import find, sets

#: So many models are named in a sentence; of more, their number is given.
NAMED = 5
SETTINGS = ExtractionSettings(workers=8)
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
        """What the function that does it is called with, after the grid."""
        given = (self.family, self.models, self.data, self.experiment)
        return [one for one in given if one]

    def __str__(self) -> str:
        return " ".join(
            filter(None, (self.kind, self.family, self.data, self.experiment, self.part))
        )


@dataclass(frozen=True)
class Grid:
    """Which models of an edition on which data sets, and how features are extracted.

    Empty ``families``, ``models`` and ``data`` are all of the edition. ``threads``: those that
    decode for a job, if somebody says how many. ``memory``: GB that the networks of a job may take
    together. ``records``: measurements are taken of the store's features, and recorded; otherwise
    they are left to the build of the book.
    """

    edition: Edition = "paper"
    families: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    settings: ExtractionSettings = SETTINGS
    threads: int | None = None
    accept_counts: bool = False
    memory: int = 16
    each_model: bool = False
    records: bool = False

    def of(self, family: Family) -> list[Model]:
        """The models of a family that are chosen and can be loaded: random, or with weights."""
        chosen = self.models or [model.name for model in family.models]
        return [model for model in family.models if model.loadable and model.name in chosen]


#: For each data set the models that lack something of it.
Lacks = dict[str, list[Model]]


@dataclass(frozen=True)
class GridPlan:
    """A grid with the families and data sets that it comes to here, and those that are absent.

    ``data`` has the image lists of each data set: the pocket lab's has ten. ``absent`` has a
    sentence on each that is not here.
    """

    grid: Grid
    families: tuple[Family, ...]
    data: Mapping[str, Sequence[ImageList]] = field(repr=False)
    absent: Mapping[str, str]

    def lacks(self, family: Family) -> Lacks:
        """The models of a family whose features or heads are not current, for each data set."""
        settings, models, lacks = self.grid.settings, self.grid.of(family), Lacks()
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
            jobs |= extractions(self.grid, family, self.lacks(family))
        return jobs

    def images(self, data: str) -> int:
        """How many images a data set has, here or as its authors published it."""
        return sum(map(len, self.data[data])) if data in self.data else sets.images(data)

    def needs(self, job: Task, about: Lacks | list[Model]) -> Needs | None:
        """What a job that extracts asks a cluster for, by the size of its networks and data."""
        if isinstance(about, list):
            return None
        models = {model.name: model for some in about.values() for model in some}
        most = max(len(listed) for data in about for listed in self.data[data])
        return sizes.extracting([*models.values()], most, self.grid.settings)

    def unrecorded(self) -> dict[Task, list[Model]]:
        """The jobs that measure what is in the store of these data sets and not recorded."""
        jobs: dict[Task, list[Model]] = {}
        here = {images.name for lists in self.data.values() for images in lists}
        for family in self.families if self.grid.records else ():
            for job in to_measure(self.grid, family):
                if here & {*job.parts}:
                    jobs.setdefault(Task("measure", family.name, job.data), []).append(job.model)
        return jobs


def extractions(grid: Grid, family: Family, lacks: Lacks) -> dict[Task, Lacks]:
    """The jobs that extract what a family's models lack: as few as memory allows, or one each."""
    wanted = {model.name for models in lacks.values() for model in models}
    models = [model for model in grid.of(family) if model.name in wanted]
    groups = [[m] for m in models] if grid.each_model else sizes.together(models, grid.memory)
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


def to_measure(grid: Grid, family: Family, data: str = "") -> list[pending.Job]:
    """The measurements to take of the chosen models of a family, on one data set or on all."""
    is_done = pending.is_recorded if grid.records else pending.current
    chosen = {model.name for model in grid.of(family)}
    jobs = pending.jobs(family, MEASURED.get(grid.edition), data)
    return [job for job in jobs if job.model.name in chosen and not is_done(job)]


def plan(grid: Grid) -> GridPlan:
    """Find the families and data sets of a grid.

    Data sets that are not here are listed as absent, the others go on. Raises RunError if a family
    or model is unknown, DatasetError if a data set is, or if a copy is not the published set.
    """
    data: dict[str, Sequence[ImageList]] = {}
    absent = {text: why for text in _texts(grid) if (why := pending.why_absent(text))}
    for text in _texts(grid):
        if text not in absent:
            lists = find.find(text, accept_counts=grid.accept_counts)
            data[lists[0].name if len(lists) == 1 else text] = lists
    families = _families(grid)
    if not data and not absent:
        raise RunError(
            f"the edition {grid.edition} has no data sets of its own: name some with --data."
        )
    return GridPlan(grid, families, data, absent)


def _texts(grid: Grid) -> list[str]:
    """The data sets as a command line names them, with ``grid`` spelt out."""
    named = grid.data or USUAL[grid.edition]
    every = [name for text in named for name in (sets.GRID if text == "grid" else (text,))]
    return list(dict.fromkeys(every))


def _families(grid: Grid) -> tuple[Family, ...]:
    of_edition = load_families(grid.edition)
    wanted = list(dict.fromkeys(grid.families or of_edition))
    if not wanted:
        first = "run `python -m companion.cli.zoo`" if grid.edition == "zoo" else "add one"
        raise RunError(f"the edition {grid.edition} has no family: {first} first.")
    _check(wanted, of_edition, f"the edition {grid.edition} has no family")
    models = {model.name: model for name in wanted for model in of_edition[name].models}
    _check(grid.models, models, "the families that are chosen have no model")
    for name in grid.models:
        if not models[name].loadable:
            raise RunError(
                f"{name} has no public weights, so it cannot be extracted: leave it out."
            )
    return tuple(of_edition[name] for name in wanted if grid.of(of_edition[name]))


def _check(names: Iterable[str], existing: Iterable[str], has_none: str) -> None:
    """Raise RunError for a name that is not known."""
    for name in names:
        if name not in existing:
            raise RunError(f"{has_none} {name!r}: {suggestion(name, existing)}.")
