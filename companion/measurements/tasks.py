"""What a head is asked about a data set: which of its rows compete, and the images as it sees them.

Classes are matched by name: a data set may have fewer than the head, which then counts none of its
other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.features import store
from analysis.images import imagenet
from analysis.metrics.pruning import Images, Integers
from analysis.metrics.robustness import recognised
from companion.measurements.measurement import MeasurementError


def as_seen(features: NDArray[Any], head: store.Head) -> NDArray[Any]:
    """Features as a head sees them: at length 1 where that changes a prediction."""
    if not head.normalize or head.bias is None:
        return features
    scaled: NDArray[Any] = features / np.linalg.norm(features, axis=1, keepdims=True)
    return scaled


def seen(stored: store.Features, head: store.Head, units: Integers | None = None) -> Images:
    """The images that have a class, as a head sees them. ``units`` (N,) as in `Images`.

    Labels count through the data set's classes, of which one may be several rows of the head: of
    ObjectNet's, where the head has ImageNet's (see `accuracies`). Raises MeasurementError if the
    head lacks a class.
    """
    rows, owners = rows_of(head, stored.classes, stored.sidecar["data"]["name"])
    labelled = stored.labels >= 0
    features = as_seen(stored.features if labelled.all() else stored.features[labelled], head)
    labels = stored.labels[labelled].astype(np.intp)
    return Images(features, labels, None if units is None else units[labelled], rows, owners)


def recognised_by(head: store.Head, images: Images) -> NDArray[np.bool_]:
    """Whether a head gives each image's class the highest logit: (N,)."""
    rows = images.class_subset
    bias = None if head.bias is None else head.bias[rows]
    return recognised(images.features, images.labels, head.weight[rows], bias, images.owners)


def rows_of(
    head: store.Head, classes: Sequence[str], data: str = "the data set"
) -> tuple[Integers, Integers]:
    """The head's rows that take part, and for each the index of its class in ``classes``."""
    index = {name: row for row, name in enumerate(head.classes)}
    several = imagenet.objectnet_to_imagenet()
    rows: list[int] = []
    owners: list[int] = []
    for owner, name in enumerate(classes):
        names = (name,) if name in index else several.get(name, (name,))
        if any(wanted not in index for wanted in names):
            raise MeasurementError(
                f"the head has no class {name!r} of {data}; use the head that belongs to it."
            )
        rows += [index[wanted] for wanted in names]
        owners += [owner] * len(names)
    return np.array(rows, dtype=np.intp), np.array(owners, dtype=np.intp)
