"""Arrays for a page to work on by hand: those of a measured model, or Gaussian numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Family
from analysis.features import store
from companion.measurements.measurement import Measurement
from companion.publish.measured import title


class Arrays(NamedTuple):
    """Features `h` (N, d) with labels (N,), −1 for none, and a head `W` (C, d) with bias `b` (C,).

    ``title``: model and images. `W` has the type in which it is stored, which shows how far it is
    rounded.
    """

    title: str
    h: NDArray[np.float64]
    labels: NDArray[np.int64]
    W: NDArray[np.floating[Any]]
    b: NDArray[np.float64]


def of(measurements: Iterable[Measurement], family: Family) -> Arrays:
    """The arrays of the first measured model whose features are in the store.

    Where there are none: Gaussian numbers as wide as the family's features, labelled by a head.
    """
    for m in measurements:
        features, head = (
            path(m.model, m.data.name) for path in (store.features_path, store.head_path)
        )
        if features.is_file():
            images = store.read_features(features)
            h = images.features.astype(np.float64)
            arrays = _gaussian(h.shape[1])._replace(title=title(m), h=h, labels=images.labels)
            if not head.is_file():
                return arrays
            weight, bias = (read := store.read_head(head)).weight, read.bias
            b = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
            return arrays._replace(W=weight, b=b)
    return _gaussian(family.models[0].width)


def _gaussian(width: int) -> Arrays:
    rng = np.random.default_rng(0)
    h, weight = rng.normal(size=(500, width)), rng.normal(size=(100, width))
    return Arrays("Gaussian numbers", h, (h @ weight.T).argmax(axis=1), weight, np.zeros(100))
