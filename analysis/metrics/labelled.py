"""Concepts of images with labels, along single directions: the short way.

`concept_counts` does the same for probes with many concepts of several kinds, with draws, random
directions and halves, as the paper's count needs it; here each label is a concept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.average_precision import average_precision_on, balanced_sample, project

#: A concept is encoded by a direction from this average precision on, as in the paper.
ENCODED = 0.9


class Concepts(NamedTuple):
    """What `concepts` finds: `names` (C,), `ap` (k, C), and the best of each concept, (C,) each.

    `best`: its highest average precision over directions, `direction`: where; `chance`: the highest
    with the labels permuted among the images, the mean over draws. `positives`: its images.
    """

    names: tuple[str, ...]
    positives: NDArray[np.intp]
    ap: NDArray[np.float64]
    best: NDArray[np.float64]
    direction: NDArray[np.intp]
    chance: NDArray[np.float64]

    def encoded(self, threshold: float = ENCODED) -> int:
        """How many concepts some direction encodes."""
        return int((self.best >= threshold).sum())


def concepts(
    features: ArrayLike,
    labels: ArrayLike,
    directions: ArrayLike | None = None,
    *,
    draws: int = 5,
    seed: int = 0,
) -> Concepts:
    """Average precision of each concept along each direction (`eq-average-precision`).

    `features`: (N, d). `labels`: (N,), a class each, or (N, C), which concepts each image shows.
    `directions`: (k, d), such as a head's right singular vectors; by default the coordinates. A
    concept is compared with the same number of images that do not show it (`balanced_sample`,
    `seed`). Raises ValueError for other shapes, and for a concept of all images or of none.

    >>> found = concepts([[2, 0], [3, 0], [0, 1], [0, 2]], ["cat", "cat", "dog", "dog"])
    >>> found.names, found.best.tolist(), found.direction.tolist()
    (('cat', 'dog'), [1.0, 1.0], [0, 1])
    """
    h = np.asarray(features)
    names, shows = _shown(np.asarray(labels))
    if h.ndim != 2 or len(h) != len(shows):
        raise ValueError(f"features are {h.shape} and labels {len(shows)}: one row each is needed.")
    positives: NDArray[np.intp] = shows.sum(axis=0).astype(np.intp)
    if wrong := [n for n, count in zip(names, positives, strict=True) if not 0 < count < len(h)]:
        raise ValueError(f"all images or none show {wrong[0]!r}, so there is no contrast.")
    axes = np.eye(h.shape[1]) if directions is None else np.asarray(directions)
    scores = project(h, axes, normalise=False)

    def precision(rows: NDArray[Any]) -> NDArray[np.float64]:
        sample = balanced_sample(scipy.sparse.csr_array(rows), seed)
        found: NDArray[np.float64] = np.asarray(average_precision_on(scores, sample), np.float64)
        return found

    ap, rng = precision(shows), np.random.default_rng(seed)
    permuted = [precision(shows[rng.permutation(len(shows))]).max(axis=0) for _ in range(draws)]
    best, where = ap.max(axis=0), ap.argmax(axis=0)
    return Concepts(names, positives, ap, best, where, np.mean(permuted, axis=0))


def _shown(labels: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """The concepts' names, and which images show them: (N, C)."""
    if labels.ndim == 1:
        classes, rows = np.unique(labels, return_inverse=True)
        return tuple(map(str, classes)), rows[:, None] == np.arange(len(classes))
    if labels.ndim != 2:
        raise ValueError(f"labels are {labels.shape}: (N,) or (N, C) is expected.")
    return tuple(map(str, range(labels.shape[1]))), labels.astype(bool)
