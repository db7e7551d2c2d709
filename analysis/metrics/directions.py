"""The directions that a linear head reads, and how important each is for given images.

A head W (classes × components) is decomposed as W = Σ_i σ_i u_i v_iᵀ; everything is in the order of
falling singular values. Features are read in blocks of rows and may be memory-mapped; computations
are in float64. The equation `eq-importance`, from Crabbé et al. (2023, 2024), is on the book's page
of definitions. `pruning` measures what a model loses without directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.outliers import checked_features, far_above_mean, finite_blocks

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

PRIVILEGED_THRESHOLD = 10.0
"""How many times the mean importance a privileged direction must reach: a choice of ours, since
the paper gives no number."""

CONTROL_DRAWS, CONTROL_FEATURES = 3, 1000
"""How often random heads and features are drawn, and how many features at a time."""


class Controls(NamedTuple):
    """The largest importance over the mean importance, with one thing changed at a time.

    The head is replaced by a `random_head`, the features by `random_features`, or both; or the
    features, at length 1, lose their mean.
    """

    random_head: float
    random_features: float
    random_both: float
    centred_features: float


class Centred(NamedTuple):
    """The result of `centred_importance`.

    `importance`: (rank,), divided by its mean, largest first; `error`: standard error over images
    of the largest, by the delta method for a ratio.
    """

    importance: Array
    error: float


@dataclass(frozen=True)
class Decomposition:
    """A head as Σ_i σ_i u_i v_iᵀ, without directions of zero weight.

    `left`: (classes, rank), the u_i as columns. `singular_values`: (rank,), falling, positive.
    `directions`: (rank, components), the right singular vectors v_i as rows of length 1.
    """

    left: Array
    singular_values: Array
    directions: Array

    @property
    def rank(self) -> int:
        """How many directions the head reads."""
        return len(self.singular_values)

    @property
    def shares(self) -> Array:
        """σ_i / Σ_j σ_j, each direction's share of the spectrum: (rank,), adding up to 1."""
        return self.singular_values / self.singular_values.sum()


def decompose(head: ArrayLike, less_mean: bool = False) -> Decomposition:
    """Singular value decomposition of a head (classes, components), finite real numbers.

    With ``less_mean``, the head is decomposed after subtracting its mean row, which changes no
    prediction.

    The rank counts the singular values that neither computation nor storage can have caused: those
    above max(shape) · ε · σ_1, as in NumPy's `matrix_rank` in float64, and above ε/2 · ‖W‖_F with ε
    of the type in which the head W is stored, which bounds how far rounding its entries moves a
    singular value (Weyl's inequality). The arbitrary signs are fixed so that the largest component
    of each v_i is positive. Raises ValueError for other shapes, for NaN or infinity, and for a head
    of zeros.

    >>> parts = decompose([[3, 0, 0], [0, -1, 0]])
    >>> parts.left.shape, parts.singular_values.shape, parts.directions.shape
    ((2, 2), (2,), (2, 3))
    """
    array = checked_features(head, smallest_width=1)
    matrix = np.asarray(array, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise ValueError("the head holds NaN or infinity; its weights must be finite numbers.")
    if less_mean:
        matrix = matrix - matrix.mean(axis=0)
    left, values, directions = np.linalg.svd(matrix, full_matrices=False)
    computing = max(matrix.shape) * np.finfo(np.float64).eps * values[0]
    rank = int((values > max(computing, _rounding(array))).sum())
    if rank == 0:
        what = "the same in every row" if less_mean else "zero everywhere"
        raise ValueError(f"the head is {what}, so it reads no direction; give its weights.")
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return Decomposition(
        (left * signs)[:, :rank], values[:rank], (directions * signs[:, None])[:rank]
    )


def _rounding(stored: NDArray[Any]) -> float:
    """The most by which rounding to the stored type can have moved a singular value."""
    if not np.issubdtype(stored.dtype, np.floating):
        return 0.0
    return float(np.finfo(stored.dtype).eps / 2 * np.linalg.norm(stored.astype(np.float64)))


def decomposed(head: ArrayLike | Decomposition) -> Decomposition:
    """The decomposition of a head; a decomposition is returned as it is."""
    return head if isinstance(head, Decomposition) else decompose(head)


def importance(features: ArrayLike, head: ArrayLike | Decomposition) -> Array:
    """Importance of each direction, (σ_i / Σ_j σ_j) · mean over images of |cos(v_i, h)|.

    `features`: (N, d); `head`: (classes, d), or its decomposition. Returns (rank,), in the order of
    the singular values (`eq-importance`). Scaling the head or any image by a positive number
    changes nothing, nor does rotating both. Raises ValueError if the widths differ, and for images
    that are zero or not finite.

    >>> importance([[2, 0], [5, 5]], [[3, 0], [0, -1]]).round(3)
    array([0.64 , 0.088])
    """
    parts = decomposed(head)
    return parts.shares * mean_absolute_cosine(features, parts.directions)


def mean_absolute_cosine(features: ArrayLike, directions: ArrayLike) -> Array:
    """Mean over images of |cos(v_i, h)|: (N, d) and unit rows (rank, d) → (rank,) in [0, 1].

    Features of a single row, such as a mean embedding, give the |cos| with that vector, which is
    not the mean over images.
    """
    vectors = np.asarray(directions, dtype=np.float64)
    total, images = np.zeros(len(vectors)), 0
    for h in unit_blocks(features, vectors.shape[1]):
        total += np.abs(h @ vectors.T).sum(axis=0)
        images += len(h)
    return total / images


def controls(features: ArrayLike, head: ArrayLike) -> Controls:
    """How the largest importance changes when nothing is learned, or nothing is shared.

    `features`: (N, d); `head`: (classes, d). Random heads and features have independent Gaussian
    entries (seed 0); each number is a mean over `CONTROL_DRAWS` draws.
    """
    parts, shape = decompose(head), np.shape(head)
    generator, draws = np.random.default_rng(0), []
    for _ in range(CONTROL_DRAWS):
        other = decompose(generator.normal(size=shape))
        drawn = generator.normal(size=(CONTROL_FEATURES, shape[1]))
        pairs = (features, other), (drawn, parts), (drawn, other)
        draws.append([_top(importance(*pair)) for pair in pairs])
    centred = parts.shares * _centred_cosine(features, parts.directions)
    random_head, random_features, both = np.mean(draws, axis=0).tolist()
    return Controls(random_head, random_features, both, _top(centred))


def _top(importances: Array) -> float:
    """The largest importance over the mean."""
    return float(importances.max() / importances.mean())


def centred_importance(features: ArrayLike, head: ArrayLike) -> Centred:
    """Importance with both common parts removed: `features` (N, d), `head` (classes, d).

    The mean row is subtracted from the head, and the mean image from the images, which are first
    scaled to length 1. Neither changes a prediction if the head has a bias, so a ratio that remains
    is not due to a constant that all images or all classes share.
    """
    parts = decompose(head, less_mean=True)
    values = parts.shares * _centred_cosine(features, parts.directions)
    ratio, top = _top(values), int(values.argmax())
    residuals, mean = [], values.mean()
    for cosines in _centred_cosines(features, parts.directions):
        weighted = cosines * parts.shares
        residuals.append(weighted[:, top] - ratio * weighted.mean(axis=1))
    apart = np.concatenate(residuals)
    error = apart.std(ddof=1) / np.sqrt(len(apart)) / mean
    return Centred(np.sort(values)[::-1] / mean, float(error))


def _centred_cosine(features: ArrayLike, directions: Array) -> Array:
    """Mean over images of |cos(v_i, h − mean)|, images at length 1 before: (rank,)."""
    blocks = _centred_cosines(features, directions)
    sums = [(cosines.sum(axis=0), len(cosines)) for cosines in blocks]
    return np.sum([s for s, _ in sums], axis=0) / sum(n for _, n in sums)


def _centred_cosines(features: ArrayLike, directions: Array) -> Iterator[Array]:
    """Yield blocks of |cos(v_i, h − mean)|, (images, rank), images at length 1 before."""
    width = directions.shape[1]
    mean, images = np.zeros(width), 0
    for h in unit_blocks(features, width):
        mean += h.sum(axis=0)
        images += len(h)
    mean /= images
    for h in unit_blocks(features, width):
        for centred in unit_blocks(h - mean, width):
            yield np.abs(centred @ directions.T)


def privileged(importances: ArrayLike, threshold: float = PRIVILEGED_THRESHOLD) -> Indices:
    """Directions whose importance is at least `threshold` times the mean, the largest first.

    `importances`: (rank,), as `importance` returns them; `threshold` above 1. Returns indices,
    perhaps none. The paper gives no cut-off (`definition-privileged-direction`).
    """
    return far_above_mean(importances, threshold)


def unit_blocks(features: ArrayLike, width: int) -> Iterator[Array]:
    """Yield blocks of rows of features (N, width), each row scaled to length 1.

    Raises ValueError for another width, and for rows that are zero or not finite.
    """
    for rows, h in matching_blocks(features, width):
        norms = np.linalg.norm(h, axis=1, keepdims=True)
        if not norms.all():
            raise ValueError(
                f"row {rows.start + int((norms == 0).argmax())} of the features is zero, so it has "
                "no direction; leave such images out."
            )
        yield h / norms


def matching_blocks(features: ArrayLike, width: int) -> Iterator[tuple[slice, Array]]:
    """Yield row slices with float64 values, for features that match a head's width."""
    array = checked_features(features, smallest_width=1)
    if array.shape[1] != width:
        raise ValueError(
            f"features have {array.shape[1]} components but the head reads {width}; take both from "
            "the same model."
        )
    yield from finite_blocks(array)
