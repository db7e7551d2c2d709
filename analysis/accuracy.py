"""Top-1 accuracy of a model on a data set, among the data set's own classes, and its ER.

A prediction chooses among the classes of the data set only: 200 for ImageNet-R and ImageNet-A, 113
for ObjectNet. Of a head with more classes the other rows are left out.

One class of ObjectNet may be several of ImageNet (``chair`` is barber, folding and rocking chair).
For a head of ImageNet's classes the convention is that of the ImageNet testbed (Taori et al. 2020)
and of WiSE-FT: the largest of the 125 ImageNet logits decides, and any of a class's own counts as
right. A zero-shot head is made of ObjectNet's own 113 names instead, as in CLIP_benchmark, from
which open_clip's published accuracies come (they kept the images' red border, which WiSE-FT, the
testbed and we cut off).

Accuracies are fractions. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import imagenet, store
from analysis.published import FIVE_SHIFTS
from analysis.registry import Model
from analysis.robustness import PAPER_BASELINE, Baseline, effective_robustness
from analysis.store import Head, StoreError

#: Data sets by the names that `published` gives them.
NAMES = {
    "imagenet": "imagenet",
    "imagenet_v2": "imagenet-v2",
    "imagenet_r": "imagenet-r",
    "imagenet_sketch": "imagenet-sketch",
    "objectnet": "objectnet",
    "imagenet_a": "imagenet-a",
}
BLOCK = 4096


@dataclass(frozen=True)
class Accuracy:
    """The fraction of ``images`` recognised among ``classes``; ``what`` says which images."""

    data: str
    top1: float
    images: int
    classes: int
    what: str


@dataclass(frozen=True)
class Robustness:
    """One model's accuracies by data set, their mean over the five shifts, and its ER."""

    accuracies: Mapping[str, Accuracy]
    shifted: float
    er: float


def right(
    features: NDArray[Any], labels: NDArray[np.int64], head: Head, classes: Sequence[str]
) -> NDArray[np.bool_]:
    """Say of each image whether its class is predicted, shape (N,).

    ``features`` (N, d); ``labels`` (N,) count through ``classes``, the data set's. Images without a
    class (−1) are never right: leave them out before. Raises StoreError if the head lacks a class.
    """
    rows, owners = _rows(head, classes)
    part = head.restricted([head.classes[row] for row in rows])
    found = np.empty(len(features), dtype=bool)
    for first in range(0, len(features), BLOCK):
        block = slice(first, first + BLOCK)
        found[block] = owners[part.logits(features[block]).argmax(axis=1)] == labels[block]
    return found


def of_store(model: Model, data: str, folder: Path | None = None) -> Accuracy:
    """Accuracy of a model on a data set whose features and head are in the store.

    Images without a class are left out. Raises StoreError when something is absent or unsound.
    """
    found = store.read_features(store.features_path(model.name, data, folder), model)
    head = store.read_head(store.head_path(model.name, data, folder), model)
    labelled = found.labels >= 0
    if not labelled.any():
        raise StoreError(f"{data} has no image with a class, so there is no accuracy on it.")
    hits = right(found.features[labelled], found.labels[labelled], head, found.classes)
    what = str(found.sidecar["data"].get("what") or data)
    return Accuracy(data, float(hits.mean()), len(hits), len(found.classes), what)


def robustness(
    model: Model, folder: Path | None = None, baseline: Baseline = PAPER_BASELINE
) -> Robustness:
    """Effective robustness of a model from its features on ImageNet and the five shifts.

    ImageNet-V2 is the matched-frequency variant. Raises StoreError, naming the data set, when one
    of the six is absent: a mean over fewer shifts is another quantity.
    """
    found = {name: of_store(model, data, folder) for name, data in NAMES.items()}
    shifted = float(np.mean([found[shift].top1 for shift in FIVE_SHIFTS]))
    er = effective_robustness(shifted, found["imagenet"].top1, baseline)
    return Robustness(found, shifted, float(er))


def _rows(head: Head, classes: Sequence[str]) -> tuple[list[int], NDArray[np.int64]]:
    """The head's rows that take part, and the index in ``classes`` of the class each stands for."""
    index = {name: row for row, name in enumerate(head.classes)}
    several = imagenet.objectnet_to_imagenet()
    rows, owners = [], []
    for owner, name in enumerate(classes):
        own = (name,) if name in index else several.get(name, ())
        if not own or any(one not in index for one in own):
            raise StoreError(
                f"the head has no class {name!r} of the data set: use the head that belongs to it."
            )
        rows += [index[one] for one in own]
        owners += [owner] * len(own)
    return rows, np.array(owners, dtype=np.int64)
