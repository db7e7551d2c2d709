"""Arrays for a page to work on by hand: those of a measured model, or Gaussian numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Family
from analysis.features import store
from companion.measurements.records import Measurement
from companion.publish import words


class Arrays(NamedTuple):
    """Features `h` (N, d) with labels (N,), −1 for none, and a head `W` (C, d) with bias `b` (C,).

    ``title``: what they are of. `W` is of the type in which it is kept, which says what of it is
    rounding.
    """

    title: str
    h: NDArray[np.float64]
    labels: NDArray[np.int64]
    W: NDArray[np.floating[Any]]
    b: NDArray[np.float64]


def of(found: Iterable[Measurement], family: Family) -> Arrays:
    """Those of the first measured model whose features are in the store.

    Where there are none: Gaussian numbers as wide as the family's features, labelled by a head.
    """
    for m in found:
        features, head = (
            place(m.model, m.data.name) for place in (store.features_path, store.head_path)
        )
        if features.is_file():
            images = store.read_features(features)
            drawn = _gaussian(images.features.shape[1])
            read = store.read_head(head) if head.is_file() else None
            weight = drawn.W if read is None else read.weight
            bias = np.zeros(len(weight)) if read is None or read.bias is None else read.bias
            title, h = words.title(m), _double(images.features)
            return Arrays(title, h, images.labels, weight, _double(bias))
    return _gaussian(family.models[0].width)


def _gaussian(width: int) -> Arrays:
    rng = np.random.default_rng(0)
    h, weight = rng.normal(size=(500, width)), rng.normal(size=(100, width))
    return Arrays("Gaussian numbers", h, (h @ weight.T).argmax(axis=1), weight, np.zeros(100))


def _double(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)
