"""What remains to be measured: experiments on stored features whose files are not current.

This module reads descriptions of features and next to no array; `from_store` measures. A
measurement carries what it was made from, so whether it is current is a comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from analysis.base.files import is_intact, sha256_of
from analysis.base.roots import ROOT
from analysis.families.registry import Family, Model
from analysis.features import store
from analysis.features.store import StoreError
from analysis.images import imagenet
from analysis.images.imagelist import DatasetError
from analysis.metrics.quantisation import NEIGHBOURS
from companion.measurements import records
from companion.measurements.quantities import Measurable, declared
from companion.sources import sets

#: Images with concepts: what a measurement of them is called, and the store's data sets.
CONCEPTS = {
    "pocket": tuple(f"pocket-{style}-test" for style in sets.styles()),
    "broden": ("broden",),
    "textures": ("dtd_test", "dtd_val", "caltech101_test", "caltech101_val", "sun397_val"),
}
#: How the store's sets of texts that are the classes of no data set are named.
TEXTS = "texts_"
#: A training distribution and its shifts.
SHIFTED = {
    "pocket": (records.TRAINING, *records.STYLES_BY_ROLE["unseen"]),
    "imagenet-and-shifts": (sets.IMAGENET, *sets.SHIFTS),
}
#: What is looked at several data sets together: name → the store's data sets.
TOGETHER: dict[Measurable, dict[str, tuple[str, ...]]] = {
    "concepts": CONCEPTS,
    "pruning_under_shift": SHIFTED,
    "textures": {"textures": CONCEPTS["textures"]},
}
#: What is measured of one data set alone.
SINGLE = tuple(name for name in get_args(Measurable) if name not in TOGETHER)


@dataclass(frozen=True)
class Job:
    """One experiment for one model on ``data``: one data set of the store, or several together."""

    experiment: Measurable
    family: str
    model: Model
    data: str
    parts: tuple[str, ...]

    def features(self) -> list[Path]:
        """Where the store has the features of each data set."""
        return [store.features_path(self.model.name, part) for part in self.parts]

    def head(self) -> Path | None:
        """Where the store has the head; None if the experiment needs none, or can do without.

        Concepts are looked for along the head of most classes, of their own data sets if there is
        one; where texts choose directions, a data set may have none. Raises StoreError if it is not
        there.
        """
        kind = declared()[self.experiment].head
        if kind == "none":
            return None
        if kind == "largest":
            return largest_head(self.model, self.parts)
        place = store.head_path(self.model.name, self.parts[0])
        return place if kind == "own" or place.is_file() else None

    def texts(self) -> list[Path]:
        """All sets of texts that may choose directions, those that are no head first.

        StoreError if there is none, unless the experiment can do without.
        """
        kind = declared()[self.experiment].head
        if kind not in ("texts", "texts if any"):
            return []
        place = store.head_path(self.model.name, "any").parent
        paths = sorted(place.glob(f"{TEXTS}*.head.safetensors"))
        try:
            return [*paths, largest_head(self.model, self.parts)]
        except StoreError:
            if not paths and kind == "texts":
                raise
        return paths


def largest_head(model: Model, data: Iterable[str] = ()) -> Path:
    """The head that a model uses on one of the data sets, else the one of most classes.

    Raises StoreError if the store has none.
    """
    of_data = [path for name in data if (path := store.head_path(model.name, name)).is_file()]
    beside = sorted(store.head_path(model.name, "any").parent.glob("*.head.safetensors"))
    heads = of_data or [path for path in beside if not path.name.startswith(TEXTS)]
    if not heads:
        raise StoreError(
            f"the store has no head of {model.name}: run `companion extract` on a data set with "
            "classes, such as ImageNet's validation images."
        )
    return max(heads, key=lambda path: len(store.read_sidecar(path, model)["classes"]))


def experiments_on(data: str) -> tuple[Measurable, ...]:
    """The experiments on a single data set, where heads and labels allow them.

    On the paper's ImageNet and the pocket lab's training style, features are examined; their shifts
    are for accuracies. On any other data set everything is measured that can be.
    """
    if data == records.TRAINING:
        return tuple({*SINGLE} - {"accuracy"})
    if data.startswith("pocket-"):
        return ("outlier_features",)
    if data in sets.GRID and data != "imagenet":
        return () if data == "broden" else ("accuracy",)
    return SINGLE


def why_absent(data: str) -> str:
    """Why a published data set is not here, in a sentence; "" if it is, and for any other name."""
    description = sets.descriptions().get(data)
    try:
        if description:
            sets.locate(description)
    except DatasetError as error:
        return str(error)
    return ""


def lack(
    experiments: Collection[Measurable], family: Family, model: Model, data: Sequence[str] = ()
) -> tuple[str, str]:
    """What a model needs before it can be measured, and the command that brings it, or "".

    ``data``: on these data sets only.
    """
    together = [names for name in experiments for names in TOGETHER.get(name, {}).values()]
    wanted = data or [name for names in together for name in names if name in sets.GRID]
    here = [
        name
        for name in records.data_sets(model)
        if name in wanted or (not wanted and {*experiments} & {*experiments_on(name)})
    ]
    heads = {declared()[name].head for name in experiments}
    needs_head = bool(heads) and heads.isdisjoint({"none", "optional", "texts if any"})
    #: What no command can bring, the most fundamental first.
    beyond = {
        "public weights": not model.loadable and not here,
        "a head (its file says `head: none`)": model.head == "none" and needs_head,
        "trained weights": model.level == "random" and "pruning" in experiments,
    }
    if lacking := [what for what, lacks in beyond.items() if lacks]:
        return lacking[0], ""
    problems = [store.problem(store.features_path(model.name, name), model) for name in here]
    what = "labels, or a head of their classes" if here else "features"
    if any(problems):
        what = f"sound features ({next(filter(None, problems)).removesuffix('.')})"
    place = "pocket" if family.edition == "pocket" else " ".join(wanted) or "FOLDER"
    return what, f"companion extract {family.name} --data {place}"


def in_words(lacks: Collection[tuple[str, str]]) -> str:
    """A clause on what models lack, and on the commands that bring it."""
    commands = dict.fromkeys(command for _, command in lacks if command)
    missing = dict.fromkeys(what for what, command in lacks if command or not commands)
    brings = f"; use `{'`, `'.join(commands)}`" if commands else ""
    return f"its models lack {' or '.join(missing)}{brings}"


def not_measured(
    experiment: Measurable, family: Family, measured: Collection[str]
) -> Iterator[str]:
    """What models lack that have features and no measurement, if a command brings it: sentences."""
    for model in family.models:
        if model.name not in measured and records.data_sets(model):
            what, command = lack([experiment], family, model)
            if command:
                yield f"{model.name} was not measured: it lacks {what}; use `{command}`."


def jobs(family: Family, experiments: Collection[str] | None = None, data: str = "") -> list[Job]:
    """All jobs that the store allows for a family, one experiment after another.

    ``data``: on this data set alone, or on these that are looked at together.
    """
    every = get_args(Measurable)
    wanted = [name for name in every if experiments is None or name in experiments]
    there = (job for name in wanted for job in _on_features(name, family))
    return [job for job in there if data in ("", job.data) and _possible(job)]


def waiting_for_concepts(family: Family) -> list[Job]:
    """Jobs whose features are here, although head or concepts may be missing."""
    return [job for job in _on_features("concepts", family) if job.model.head != "none"]


def jobs_to_take(
    families: Iterable[Family], experiments: Collection[str] | None = None
) -> list[Job]:
    """What is to be measured: features are there, and neither a live file nor a recorded one is
    current. A recorded measurement of the very same features and head is, whatever code took it.

    ``experiments``: of these alone.
    """
    return [job for family in families for job in jobs(family, experiments) if not current(job)]


def remove_outdated(families: Iterable[Family], experiments: Collection[str] | None = None) -> None:
    """Remove live files that are not current, and those whose very features a recorded one has.

    ``experiments``: of these alone.
    """
    for family in families:
        wanted = {
            records.live_path(job.model.name, job.data, job.experiment)
            for job in jobs(family, experiments)
            if current(job) and not is_recorded(job)
        }
        for model in family.models:
            beside = records.live_path(model.name, "any", "accuracy").parent
            for path in {*beside.glob("*.json")} - wanted:
                if experiments is None or path.name.partition("--")[0] in experiments:
                    path.unlink(missing_ok=True)


def made_from(job: Job) -> dict[str, str]:
    """Everything that decides a measurement's numbers, by name; StoreError if something is missing.

    Features and heads that others published are identified by their public files.
    """
    reads = declared()[job.experiment].reads
    files = {name: sha256_of(ROOT / name) for name in reads.get(job.data, reads.get("any", ()))}
    version = records.version_parts(job.experiment)
    return {**_arrays(job), **files, **version, **records.code_parts(job.experiment)}


def current(job: Job) -> bool:
    """Whether a measurement of everything that is here now has been taken."""
    live = _kept(records.live_path(job.model.name, job.data, job.experiment), job)
    return live == made_from(job) or is_recorded(job)


def is_recorded(job: Job) -> bool:
    """Whether a measurement of the very same features and head is recorded."""
    arrays = _arrays(job)
    kept = _kept(records.recorded_path(job.model.name, job.data, job.experiment), job)
    return arrays.items() <= kept.items()


def _on_features(experiment: Measurable, family: Family) -> list[Job]:
    """An experiment on all features of the family that are in the store."""
    jobs = []
    for model in family.models:
        here = records.data_sets(model)
        alone = {name: (name,) for name in here if experiment in experiments_on(name)}
        for data, parts in TOGETHER.get(experiment, alone).items():
            if {*parts} <= {*here}:
                jobs.append(Job(experiment, family.name, model, data, parts))
    return jobs


class Given(NamedTuple):
    """What the store has for a job: each data set's classes, and the head's if it has one."""

    classes: list[list[str]]
    head: set[str] | None


def _given(job: Job) -> Given:
    """Read what the store has for a job; StoreError if something that it needs is not usable."""
    sidecars = [store.read_sidecar(path, job.model) for path in job.features()]
    job.texts()  # raises, too
    place = job.head()
    head = {*store.read_sidecar(place, job.model)["classes"]} if place else None
    return Given([sidecar["data"]["classes"] for sidecar in sidecars], head)


def _possible(job: Job) -> bool:
    """Whether features and head are usable, and labels, classes and concepts allow the job."""
    try:
        given = _given(job)
    except StoreError:
        return False
    condition = CONDITIONS.get(job.experiment)
    allowed = condition is None or condition(job, given)
    return allowed and (not declared()[job.experiment].labels or _labelled(job, given))


def _labelled(job: Job, given: Given) -> bool:
    """Whether each data set has labelled images of classes that the head has.

    Without a head, images of one class take its part: then a class needs two of them.
    """
    labels = [store.map_tensors(path)["labels"] for path in job.features()]
    head, several = given.head, imagenet.objectnet_to_imagenet()
    if head is None:
        return all((np.bincount(rows[rows >= 0], minlength=1) > 1).any() for rows in labels)
    known = [any(head & {of, *several.get(of, ())} for of in names) for names in given.classes]
    return all(known) and all((rows >= 0).any() for rows in labels)


def _of_images(job: Job, _: Given) -> bool:
    """Texts cannot choose directions of features that are texts' themselves."""
    return "captions" not in job.data


def _has_neighbours(job: Job, given: Given) -> bool:
    """An image has no ten neighbours among ten images."""
    count = len(store.map_tensors(job.features()[0])["labels"])
    return _of_images(job, given) and count > NEIGHBOURS


def _is_annotated(job: Job, _: Given) -> bool:
    """Broden's concepts are in its own folder; those of other probes come with their images."""
    return job.data != "broden" or not why_absent("broden")


def _tells_apart(job: Job, given: Given) -> bool:
    """Pruning needs a head that was trained and has the images' own classes.

    A classifier of ImageNet's classes has none of ObjectNet's: accuracy can tell, pruning not.
    """
    classes, head = {*given.classes[0]}, given.head or set()
    others = {*imagenet.objectnet_to_imagenet()} & classes - head
    return job.model.level != "random" and bool(head & classes) and not others


#: What an experiment asks for beyond usable features, a head and labels.
CONDITIONS: dict[Measurable, Callable[[Job, Given], bool]] = {
    "unread": _of_images,
    "quantisation": _has_neighbours,
    "concepts": _is_annotated,
    "pruning": _tells_apart,
}


def _arrays(job: Job) -> dict[str, str]:
    head = job.head()
    paths = {
        f"features of {part}": path for part, path in zip(job.parts, job.features(), strict=True)
    }
    paths |= {"head": head} if head else {}
    paths |= {f"texts {path.name.split('.')[0]}": path for path in job.texts() if path != head}
    return {
        name: store.identity(store.read_sidecar(path, job.model)) for name, path in paths.items()
    }


def _kept(path: Path, job: Job) -> dict[str, str]:
    """What a file says it was made from; nothing if it is absent, or of another family.

    Nothing, too, if a live one is damaged: then it is taken again.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.parent.name == "measurements" and not is_intact(content):
            return {}
        return dict(content["provenance"]["made_from"]) if content["family"] == job.family else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
