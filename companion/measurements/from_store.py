"""From features and heads in the store to measurements with their provenance.

What is computed is in `measures`; here the arrays are found, and what the store's sidecars say
about them is carried over, so that a measurement can be traced to weights, images and settings.
Which measurements there are to take is said in `pending`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Family
from analysis.features import store
from analysis.features.store import StoreError
from analysis.images import emoji, imagenet
from analysis.metrics import image_by_image
from analysis.metrics.concept_counts import LEAST_CLUSTERS, LEAST_POSITIVES
from analysis.metrics.pruning import Images, Integers
from analysis.metrics.robustness import recognised
from companion.measurements import (
    accuracies,
    concept_probe,
    invariance,
    measures,
    pending,
    textures,
    unread,
)
from companion.measurements.concept_probe import PLAIN, Reading
from companion.measurements.invariance import Judge
from companion.measurements.measurement import IMAGENET
from companion.measurements.measures import Quantities
from companion.measurements.pending import Job
from companion.measurements.provenance import about_data, about_head, build, of_sidecars
from companion.measurements.quantities import Experiment
from companion.measurements.records import Data, Measurement, MeasurementError


class Taken(NamedTuple):
    """Numbers, how much they were taken from, and what the images are (as the store says if "").

    ``names``: what the numbers in a list point to, by the list.
    """

    numbers: Quantities
    counts: dict[str, int]
    what: str = ""
    names: Mapping[str, list[str]] = MappingProxyType({})


def of_family(
    experiment: Experiment, family: Family, reading: Reading = PLAIN
) -> list[Measurement]:
    """Take all measurements of an experiment that the store allows for a family.

    ``reading`` is how Broden is read. Raises MeasurementError if features of concepts wait for
    their images or for a head.
    """
    found = pending.jobs(family, [experiment])
    if experiment == "concepts" and not found:
        found = pending.waiting_for_concepts(family)
    names = {"broden": reading.data}
    return [measure(replace(job, data=names.get(job.data, job.data))) for job in found]


def measure(job: Job) -> Measurement:
    """Take one measurement from the store.

    Raises StoreError if features or head are not sound, MeasurementError if they do not go
    together, and DatasetError if the concepts of the images cannot be had.
    """
    place = job.head()
    head = store.read_head(place, job.model) if place else None
    taken = TAKE[job.experiment](job, head)
    sidecars = [store.read_sidecar(path) for path in job.features()]
    about = "" if head is None or place is None else about_head(store.read_sidecar(place))
    if head is not None and len(head.classes) > taken.counts.get("classes", len(head.classes)):
        about += f", of which the {taken.counts['classes']} classes of the data set took part"
    what = taken.what or "; ".join(about_data(sidecar) for sidecar in sidecars)
    return build(
        job.experiment, job.family, job.model, taken.numbers, taken.counts,
        data=Data(name=job.data, what=what),
        provenance=of_sidecars(sidecars, pending.made_from(job), about, _task_of(head)),
        names=taken.names,
    )  # fmt: skip


def _outlier_features(job: Job, head: None) -> Taken:
    features = _read(job).features
    return Taken(measures.outlier_features(features), _counts(features))


def _privileged_directions(job: Job, head: store.Head) -> Taken:
    features = _read(job).features
    numbers = measures.privileged_directions(features, head.weight)
    return Taken(numbers, _counts(features, head))


def _pruning(job: Job, head: store.Head) -> Taken:
    images = seen(_read(job), head)
    rows = images.class_subset
    assert rows is not None
    numbers = measures.pruning(images.features, rows[images.labels], head.weight, rows, head.bias)
    return Taken(numbers, _counts(images.features, head))


def _basis(job: Job, head: None) -> Taken:
    features = _read(job).features
    return Taken(invariance.basis(features), _counts(features))


def _interventions(job: Job, head: store.Head) -> Taken:
    found = _read(job)
    images = seen(found, head)
    judge = _judge(head, found, images.labels)
    return Taken(invariance.interventions(images.features, judge), _counts(images.features, head))


def _judge(head: store.Head, found: store.Features, labels: Integers) -> Judge:
    rows, owners = rows_of(head, found.classes, found.sidecar["data"]["name"])
    bias = None if head.bias is None else head.bias[rows]
    return Judge(head.weight[rows], bias, owners, labels)


def _unread(job: Job, head: store.Head | None) -> Taken:
    found, judge = _read(job), None
    if head is not None:
        judge = _judge(head, found, found.labels.astype(np.intp))
    texts, titles = [], []
    for path in job.texts():
        one = store.read_head(path, job.model)
        own = path == job.head()
        texts.append(unread.Texts(one.weight, at_length=one.normalize, judge=own))
        titles.append(about_head(store.read_sidecar(path)))
    features = found.features
    if head is not None and head.normalize and head.bias is not None:
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return Taken(
        unread.unread(features, texts, judge), _counts(features, head), "", {"text_rows": titles}
    )


def _accuracy(job: Job, head: store.Head) -> Taken:
    found = _read(job)
    images = seen(found, head)
    if not len(images.labels):
        raise MeasurementError(
            f"{job.data} has no image with a class, so there is no accuracy on it."
        )
    right = recognised_by(head, images)
    counts = _counts(images.features) | {"classes": len(found.classes)}
    return Taken(measures.accuracy(right, images.labels, len(found.classes)), counts)


def _pruning_under_shift(job: Job, head: store.Head) -> Taken:
    paths, sets, pool = job.features(), [], None
    for part, path in zip(job.parts, paths, strict=True):
        found = store.read_features(path, job.model)
        units = concepts_of(found, part) if job.data == "pocket" else None
        sets.append(seen(found, head, units))
    if job.data == "pocket":
        models = accuracies.pocket_pool("unseen")
        pool = (models["imagenet"], models["shifted"])
    numbers = measures.pruning_under_shift(sets, head.weight, head.bias, pool)
    shifted = sum(len(one.labels) for one in sets[1:])
    counts = _counts(sets[0].features, head) | {"shifted_images": shifted}
    return Taken(numbers, counts, "the pocket lab's training style and unseen styles" * bool(pool))


def _concepts(job: Job, head: store.Head) -> Taken:
    probe = concept_probe.of_data(job.data, [job.model])
    features = concept_probe.features(job.model, probe)
    reading = concept_probe.Reading.of(job.data)
    numbers = measures.concepts(features, head.weight, probe, reading.annotated)
    counts = _counts(features, head) | {"concepts": len(numbers["positives"])}
    chosen = probe.select(LEAST_POSITIVES, LEAST_CLUSTERS).names
    names = {"top_concepts": [chosen[place] for place in numbers["top_concepts"]]}
    if len(job.parts) > 1:
        return Taken(numbers, counts, probe.title, names)
    sidecar = store.read_sidecar(job.features()[0])
    return Taken(numbers, counts, _about_probe(sidecar, probe.title), names)


def _textures(job: Job, head: store.Head) -> Taken:
    probe = concept_probe.of_data(job.data, [job.model])
    features = concept_probe.features(job.model, probe)
    of_kind = np.flatnonzero(np.array(probe.kinds) == "texture")
    numbers = textures.textures(features, probe.labels[:, of_kind], head.weight)
    counts = _counts(features, head) | {"textures": len(of_kind)}
    return Taken(numbers, counts, probe.title, {"along_top": [probe.names[c] for c in of_kind]})


def _image_by_image(job: Job, head: store.Head | None) -> Taken:
    found = _read(job)
    if head is not None:
        images = seen(found, head)
        features, labels, right = images.features, images.labels, recognised_by(head, images)
    else:  # of a class's only image nothing is left to compare it with
        sizes = np.bincount(found.labels[found.labels >= 0], minlength=len(found.classes))
        kept = (found.labels >= 0) & (sizes[found.labels] > 1)
        features, labels = found.features[kept], found.labels[kept]
        right = image_by_image.by_class_means(features, labels)
    counts = _counts(features) | {"classes": len(found.classes)}
    try:
        return Taken(image_by_image.by_image(features, labels, right), counts)
    except ValueError as error:
        raise MeasurementError(f"{job.model.name} on {job.data}: {error}") from None


#: How each experiment is measured: from a job and the head that it needs, or none.
TAKE: dict[Experiment, Callable[[Job, Any], Taken]] = {
    "outlier_features": _outlier_features,
    "privileged_directions": _privileged_directions,
    "pruning": _pruning,
    "pruning_under_shift": _pruning_under_shift,
    "concepts": _concepts,
    "accuracy": _accuracy,
    "basis": _basis,
    "interventions": _interventions,
    "unread": _unread,
    "textures": _textures,
    "image_by_image": _image_by_image,
}


def _read(job: Job) -> store.Features:
    return store.read_features(job.features()[0], job.model)


def _counts(features: NDArray[Any], head: store.Head | None = None) -> dict[str, int]:
    counts = {"images": features.shape[0], "components": features.shape[1]}
    return counts if head is None else counts | {"classes": len(head.classes)}


def seen(found: store.Features, head: store.Head, units: Integers | None = None) -> Images:
    """The images that have a class, as a head sees them: at length 1 where that changes a
    prediction. ``units`` (N,) as in `Images`.

    Labels count through the data set's classes, of which one may be several rows of the head: of
    ObjectNet's, where the head has ImageNet's (see `accuracies`). Raises MeasurementError if the
    head lacks a class.
    """
    rows, owners = rows_of(head, found.classes, found.sidecar["data"]["name"])
    labelled = found.labels >= 0
    features = found.features if labelled.all() else found.features[labelled]
    if head.normalize and head.bias is not None:  # without a bias lengths change none
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    labels = found.labels[labelled].astype(np.intp)
    return Images(features, labels, None if units is None else units[labelled], rows, owners)


def recognised_by(head: store.Head, images: Images) -> NDArray[np.bool_]:
    """Whether a head gives each image's class the highest logit: (N,)."""
    rows = images.class_subset
    bias = None if head.bias is None else head.bias[rows]
    return recognised(images.features, images.labels, head.weight[rows], bias, images.owners)


def rows_of(
    head: store.Head, classes: Sequence[str], data: str = "the data set"
) -> tuple[Integers, Integers]:
    """The head's rows that take part, and the index in ``classes`` of the class each stands for."""
    index = {name: row for row, name in enumerate(head.classes)}
    several = imagenet.objectnet_to_imagenet()
    rows: list[int] = []
    owners: list[int] = []
    for owner, name in enumerate(classes):
        own = (name,) if name in index else several.get(name, ())
        if not own or any(one not in index for one in own):
            raise MeasurementError(
                f"the head has no class {name!r} of {data}; use the head that belongs to it."
            )
        rows += [index[one] for one in own]
        owners += [owner] * len(own)
    return np.array(rows, dtype=np.intp), np.array(owners, dtype=np.intp)


def concepts_of(found: store.Features, data: str) -> Integers:
    """A number for each emoji's concept, the same in every style: (N,).

    Raises StoreError if the features are of other emoji than the test emoji of this style.
    """
    style = data.removeprefix("pocket-").removesuffix("-test")
    table = emoji.metadata()
    concepts = sorted(table[table["split"] == "test"]["concept"].unique())
    numbers = store.row_numbers([f"{concept}/{style}" for concept in concepts])
    place: Integers = pd.Index(numbers).get_indexer(pd.Index(found.rows))
    if unknown := int((place < 0).sum()):
        raise StoreError(
            f"{unknown} images of {data} are none of the test emoji in {emoji.ARCHIVE.name}: "
            "extract the features again."
        )
    return place


def _about_probe(sidecar: Mapping[str, Any], title: str) -> str:
    """Which images, and which concepts; once if both are the same incomplete Broden."""
    what = sidecar["data"].get("what")
    if what and title.startswith(what):
        return title
    return f"{about_data(sidecar)}; concepts: {title}"


def _task_of(head: store.Head | None) -> str:
    return IMAGENET if head is not None and head.classes == imagenet.classes() else ""
