"""Arrays for a page to work on by hand: those of a measured model, or Gaussian numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.features import store
from companion.chapters.measured import model_and_data
from companion.measurements import tasks
from companion.measurements.measurement import Measurement, MeasurementError


class Arrays(NamedTuple):
    """Features `h` (N, d), a head `W` (classes, d) with bias `b` (classes,), and what it is asked.

    ``title``: model and images. ``labels``: (N,) the row of `W` that is right, −1 for none.
    ``rows``: (C,) those that compete, which are fewer where the images have fewer classes. `W` has
    the type in which it is stored, which shows how far it is rounded; without a head it has no
    rows. ``measured``: what was
    measured of these very arrays; None of Gaussian numbers.
    """

    title: str
    h: NDArray[np.float64]
    labels: NDArray[np.intp]
    W: NDArray[np.floating[Any]]
    b: NDArray[np.float64]
    rows: NDArray[np.intp]
    measured: Measurement | None = None


def on_disk(measurements: Iterable[Measurement]) -> Arrays | None:
    """The arrays of the first measurement whose very features are in the store, if any are."""
    for m in measurements:
        if images := _own(m):
            return _measured(m, images)
    return None


def _own(m: Measurement) -> store.Features | None:
    """The features that were measured, if the store has these very ones."""
    path = store.features_path(m.model, m.data.name)
    taken = m.provenance.made_from.get(f"features of {m.data.name}")
    same = path.is_file() and store.identity(store.read_sidecar(path)) == taken
    return store.read_features(path) if same else None


def _measured(m: Measurement, images: store.Features) -> Arrays:
    place = store.head_path(m.model, m.data.name)
    if not place.is_file():
        h, none = images.features.astype(np.float64), np.empty(0, np.intp)
        labels, weight = np.full(len(h), -1), np.empty((0, h.shape[1]))
        return Arrays(model_and_data(m), h, labels, weight, np.empty(0), none, m)
    head = store.read_head(place)
    h = tasks.as_seen(images.features, head).astype(np.float64)
    b = np.zeros(len(head.weight)) if head.bias is None else head.bias.astype(np.float64)
    try:
        rows, _ = tasks.rows_of(head, images.classes)
    except MeasurementError:  # nothing that needs labels was measured
        rows = np.empty(0, np.intp)
    labels = np.full(len(h), -1)
    if len(rows):
        labels = np.where(images.labels < 0, -1, rows[images.labels])
    return Arrays(model_and_data(m), h, labels, head.weight, b, rows, m)


def gaussian(width: int) -> Arrays:
    """Gaussian numbers, labelled by a head of such numbers: what a page may show in their place."""
    rng = np.random.default_rng(0)
    h, weight = rng.normal(size=(500, width)), rng.normal(size=(100, width))
    labels = (h @ weight.T).argmax(axis=1)
    return Arrays("Gaussian numbers", h, labels, weight, np.zeros(100), np.arange(100))
