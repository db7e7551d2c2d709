"""From features and heads in the store to measurements with their provenance.

`measures` computes; this module finds the arrays, and carries over what the store's sidecars say
about them, so that a measurement can be traced to weights, images and settings.
`pending` says which measurements there are to take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.base.texts import CompanionError
from analysis.families.registry import Family
from analysis.features import store
from analysis.features.store import StoreError
from analysis.images import imagenet
from analysis.metrics import image_by_image
from analysis.metrics.concept_counts import LEAST_CLUSTERS, LEAST_POSITIVES
from analysis.metrics.pruning import Integers
from companion.measurements import (
    accuracies,
    bits,
    concept_probe,
    invariance,
    measures,
    pending,
    records,
    textures,
    unread,
)
from companion.measurements.concept_probe import PLAIN, Reading
from companion.measurements.invariance import Judge
from companion.measurements.measurement import (
    IMAGENETS_CLASSES,
    Data,
    Measurement,
    MeasurementError,
)
from companion.measurements.measures import Quantities
from companion.measurements.pending import Job
from companion.measurements.provenance import about_data, about_head, of_sidecars
from companion.measurements.quantities import Measurable
from companion.measurements.tasks import as_seen, recognised_by, rows_of, seen
from companion.sources import emoji


class Taken(NamedTuple):
    """Numbers, the features of the images from which they were taken, and other counts.

    ``what`` the images are, as the store says if "". ``names``: what the numbers in a list point
    to, by the list.
    """

    numbers: Quantities
    features: NDArray[Any]
    counts: Mapping[str, int] = MappingProxyType({})
    what: str = ""
    names: Mapping[str, list[str]] = MappingProxyType({})


def of_family(
    experiment: Measurable, family: Family, reading: Reading = PLAIN
) -> tuple[list[Measurement], list[str]]:
    """Take all measurements of an experiment that the store allows for a family.

    ``reading`` is how Broden is read. Returns them, and why others cannot be taken, such as those
    of concepts that wait for their images or for a head.
    """
    jobs = pending.jobs(family, [experiment])
    if experiment == "concepts" and not jobs:
        jobs = pending.waiting_for_concepts(family)
    names, taken, problems = {"broden": reading.data}, [], []
    for job in jobs:
        try:
            taken.append(measure(replace(job, data=names.get(job.data, job.data))))
        except CompanionError as error:
            problems.append(str(error))
    return taken, problems


def measure(job: Job) -> Measurement:
    """Take one measurement from the store.

    Raises StoreError if features or head are not sound, MeasurementError if they do not go
    together, and DatasetError if the concepts of the images cannot be had.
    """
    place = job.head()
    head = store.read_head(place, job.model) if place else None
    try:
        taken = TAKE[job.experiment](job, head)
    except CompanionError:
        raise
    except ValueError as error:  # of a metric, which knows neither model nor images
        raise MeasurementError(
            f"{job.experiment} of {job.model.name} on {job.data} cannot be measured: {error}"
        ) from None
    images, components = taken.features.shape
    counts, about, task = {"images": images, "components": components}, "", ""
    if head is not None and place is not None:
        counts["classes"] = len(head.classes)
        about = about_head(store.read_sidecar(place))
        if (took_part := taken.counts.get("classes", len(head.classes))) < len(head.classes):
            about += f", of which the {took_part} classes of the data set took part"
        task = IMAGENETS_CLASSES * (head.classes == imagenet.classes())
    sidecars = [store.read_sidecar(path) for path in job.features()]
    what = taken.what or "; ".join(about_data(sidecar) for sidecar in sidecars)
    return records.build(
        job.experiment,
        taken.numbers,
        family=job.family,
        model=job.model.name,
        level=job.model.level,
        data=Data(name=job.data, what=what),
        counts={**counts, **taken.counts},
        names=dict(taken.names),
        provenance=of_sidecars(sidecars, pending.made_from(job), about, task),
    )


def _of_features(measure: Callable[..., Quantities], job: Job, head: store.Head | None) -> Taken:
    """Measure what needs the features, and perhaps the head's weights, as they are."""
    features = _read(job).features
    return Taken(measure(features, *([] if head is None else [head.weight])), features)


def _pruning(job: Job, head: store.Head) -> Taken:
    images = seen(_read(job), head)
    rows: Any = images.class_subset
    labels = rows[images.labels]
    numbers = measures.pruning(images.features, labels, head.weight, rows, head.bias)
    return Taken(numbers, images.features)


def _interventions(job: Job, head: store.Head) -> Taken:
    stored = _read(job)
    images = seen(stored, head)
    judge = _judge(head, stored, images.labels)
    return Taken(invariance.interventions(images.features, judge), images.features)


def _judge(head: store.Head, stored: store.Features, labels: Integers) -> Judge:
    rows, owners = rows_of(head, stored.classes, stored.sidecar["data"]["name"])
    bias = None if head.bias is None else head.bias[rows]
    return Judge(head.weight[rows], bias, owners, labels)


def _sight(stored: store.Features, head: store.Head | None) -> tuple[NDArray[Any], Judge | None]:
    """Images as a head sees them, and the head as their judge, if there is one."""
    if head is None:
        return stored.features, None
    judge = _judge(head, stored, stored.labels.astype(np.intp))
    return as_seen(stored.features, head), judge if len(judge.owners) else None


def _unread(job: Job, head: store.Head | None) -> Taken:
    features, judge = _sight(_read(job), head)
    texts, titles = [], []
    for path in job.texts():
        rows = store.read_head(path, job.model)
        texts.append(unread.Texts(rows.weight, rows.normalize, judge=path == job.head()))
        titles.append(about_head(store.read_sidecar(path)))
    numbers = unread.unread(features, texts, judge)
    names = {"text_rows": titles, "controls": [*unread.CONTROLS.values()]}
    return Taken(numbers, features, names=names)


def _quantisation(job: Job, head: store.Head | None) -> Taken:
    features, judge = _sight(_read(job), head)
    texts, title = None, []
    for path in job.texts()[:1]:
        rows = store.read_head(path, job.model)
        texts = unread.Texts(rows.weight, rows.normalize)
        title = [about_head(store.read_sidecar(path))]
    numbers = bits.quantisation(features, texts, judge)
    return Taken(numbers, features, names={"bits": bits.names(), "kurtosis_removed": title})


def _accuracy(job: Job, head: store.Head) -> Taken:
    stored = _read(job)
    images = seen(stored, head)
    classes = len(stored.classes)
    numbers = measures.accuracy(recognised_by(head, images), images.labels, classes)
    return Taken(numbers, images.features, {"classes": classes})


def _pruning_under_shift(job: Job, head: store.Head) -> Taken:
    sets, pool, what = [], None, ""
    for part, path in zip(job.parts, job.features(), strict=True):
        stored = store.read_features(path, job.model)
        units = concepts_of(stored, part) if job.data == "pocket" else None
        sets.append(seen(stored, head, units))
    if job.data == "pocket":
        models = accuracies.pocket_pool("unseen")
        pool = (models["imagenet"], models["shifted"])
        what = "the pocket lab's training style and unseen styles"
    numbers = measures.pruning_under_shift(sets, head.weight, head.bias, pool)
    shifted = sum(len(images.labels) for images in sets[1:])
    return Taken(numbers, sets[0].features, {"shifted_images": shifted}, what)


def _concepts(job: Job, head: store.Head) -> Taken:
    probe = concept_probe.of_data(job.data, [job.model])
    features = concept_probe.features(job.model, probe)
    annotated = Reading.of(job.data).annotated
    numbers = measures.concepts(features, head.weight, probe, annotated)
    what = probe.title
    if len(job.parts) == 1:  # once if both are the same incomplete Broden
        sidecar = store.read_sidecar(job.features()[0])
        same = sidecar["data"].get("what") and what.startswith(sidecar["data"]["what"])
        what = what if same else f"{about_data(sidecar)}; concepts: {what}"
    chosen = probe.select(LEAST_POSITIVES, LEAST_CLUSTERS).names
    names = {"top_concepts": [chosen[place] for place in numbers["top_concepts"]]}
    return Taken(numbers, features, {"concepts": len(numbers["positives"])}, what, names)


def _textures(job: Job, head: store.Head) -> Taken:
    probe = concept_probe.of_data(job.data, [job.model])
    features = concept_probe.features(job.model, probe)
    of_kind = np.flatnonzero(np.array(probe.kinds) == "texture")
    numbers = textures.textures(features, probe.labels[:, of_kind], head.weight)
    names = {"along_top": [probe.names[c] for c in of_kind]}
    return Taken(numbers, features, {"textures": len(of_kind)}, probe.title, names)


def _image_by_image(job: Job, head: store.Head | None) -> Taken:
    stored = _read(job)
    if head is not None:
        images = seen(stored, head)
        features, labels, right = images.features, images.labels, recognised_by(head, images)
    else:  # of a class's only image nothing is left to compare it with
        sizes = np.bincount(stored.labels[stored.labels >= 0], minlength=len(stored.classes))
        kept = (stored.labels >= 0) & (sizes[stored.labels] > 1)
        features, labels = stored.features[kept], stored.labels[kept]
        right = image_by_image.by_class_means(features, labels)
    numbers = image_by_image.by_image(features, labels, right)
    return Taken(numbers, features, {"classes": len(stored.classes)})


#: How each experiment is measured: from a job and the head that it needs, or none.
TAKE: dict[Measurable, Callable[[Job, Any], Taken]] = {
    "outlier_features": partial(_of_features, measures.outlier_features),
    "privileged_directions": partial(_of_features, measures.privileged_directions),
    "pruning": _pruning,
    "pruning_under_shift": _pruning_under_shift,
    "concepts": _concepts,
    "accuracy": _accuracy,
    "basis": partial(_of_features, invariance.basis),
    "interventions": _interventions,
    "unread": _unread,
    "quantisation": _quantisation,
    "textures": _textures,
    "image_by_image": _image_by_image,
}


def _read(job: Job) -> store.Features:
    return store.read_features(job.features()[0], job.model)


def concepts_of(stored: store.Features, data: str) -> Integers:
    """A number for the concept of each emoji, the same in every style: (N,).

    Raises StoreError if the features are of other emoji than the test emoji of this style.
    """
    style = data.removeprefix("pocket-").removesuffix("-test")
    table = emoji.metadata()
    concepts = sorted(table[table["split"] == "test"]["concept"].unique())
    numbers = store.row_numbers([f"{concept}/{style}" for concept in concepts])
    place: Integers = pd.Index(numbers).get_indexer(pd.Index(stored.rows))
    if unknown := int((place < 0).sum()):
        raise StoreError(
            f"{unknown} images of {data} are not among the test emoji in {emoji.ARCHIVE.name}: "
            "extract the features again."
        )
    return place
