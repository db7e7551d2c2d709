"""Directions that a linear head reads: their importance, and what the model loses without them.

A head W (classes × components) is decomposed as W = Σ_i σ_i u_i v_iᵀ. Everything below follows the
order of falling singular values. Features are read in blocks of rows and may be memory-mapped;
computing is in float64. The equations `eq-importance` and `eq-pruning` are on the book's page of
definitions; they are those of Crabbé et al. (2023, 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.outliers import BLOCK_BYTES, checked_features, far_above_mean, finite_block

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Order = Literal["importance", "singular_value", "reversed", "random"]

PRIVILEGED_THRESHOLD = 10.0
"""How many times the mean importance a privileged direction must reach: a choice of ours, since
the paper gives no number."""


@dataclass(frozen=True)
class Decomposition:
    """A head as Σ_i σ_i u_i v_iᵀ, directions without weight left out.

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


def decompose(head: ArrayLike) -> Decomposition:
    """Singular value decomposition of a head (classes, components), finite real numbers.

    The rank counts singular values above max(shape) · ε · σ_1, as NumPy's `matrix_rank` does. The
    arbitrary signs are settled: the largest component of each v_i is positive. Raises ValueError
    for other shapes, for NaN or infinity, and for a head of zeros.
    """
    array = checked_features(head, smallest_width=1)
    matrix = np.asarray(array, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise ValueError("the head holds NaN or infinity; its weights must be finite numbers.")
    left, values, directions = np.linalg.svd(matrix, full_matrices=False)
    rank = int((values > max(matrix.shape) * np.finfo(np.float64).eps * values[0]).sum())
    if rank == 0:
        raise ValueError("the head is zero everywhere, so it reads no direction; give its weights.")
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return Decomposition(
        (left * signs)[:, :rank], values[:rank], (directions * signs[:, None])[:rank]
    )


def importance(features: ArrayLike, head: ArrayLike | Decomposition) -> Array:
    """Importance of each direction, (σ_i / Σ_j σ_j) · mean over images of |cos(v_i, h)|.

    `features`: (N, d); `head`: (classes, d), or its decomposition. Returns (rank,), in the order
    of the singular values (`eq-importance`). Scaling the head or any image by a positive number
    changes nothing, and neither does rotating both. Raises ValueError if the widths differ, and
    for images that are zero or not finite.
    """
    parts = _decomposed(head)
    share: Array = parts.singular_values / parts.singular_values.sum()
    return share * mean_absolute_cosine(features, parts.directions)


def mean_absolute_cosine(features: ArrayLike, directions: ArrayLike) -> Array:
    """Mean over images of |cos(v_i, h)|: (N, d) and unit rows (rank, d) → (rank,) in [0, 1].

    With a single row, a mean embedding say, this is the |cos| with that vector, which is another
    quantity than the mean over images.
    """
    vectors = np.asarray(directions, dtype=np.float64)
    total, images = np.zeros(len(vectors)), 0
    for h in unit_blocks(features, vectors.shape[1]):
        total += np.abs(h @ vectors.T).sum(axis=0)
        images += len(h)
    mean: Array = total / images
    return mean


def unit_blocks(features: ArrayLike, width: int) -> Iterator[Array]:
    """Yield blocks of rows of features (N, width), each row scaled to length 1.

    Raises ValueError for another width, and for rows that are zero or not finite.
    """
    for rows, h in _blocks(features, width):
        norms = np.linalg.norm(h, axis=1, keepdims=True)
        if not norms.all():
            raise ValueError(
                f"row {rows.start + int((norms == 0).argmax())} of the features is zero, so it has "
                "no direction; leave such images out."
            )
        h /= norms
        yield h


def privileged(importances: ArrayLike, threshold: float = PRIVILEGED_THRESHOLD) -> Indices:
    """Directions whose importance is at least `threshold` times the mean, the largest first.

    `importances`: (rank,), as `importance` returns them; `threshold` above 1. Returns indices,
    perhaps none. The paper names no cut-off (`definition-privileged-direction`).
    """
    return far_above_mean(_checked_importances(importances), threshold)


def pruning_order(importances: ArrayLike, kind: Order, seed: int | None = None) -> Indices:
    """The order in which directions are kept, the first one kept longest.

    `importance`: the most important first. `singular_value`: the largest σ first. `reversed`: the
    least important first. `random`: shuffled by `seed`, which this kind alone needs.
    """
    values = _checked_importances(importances)
    if kind not in get_args(Order):
        raise ValueError(f"unknown order {kind!r}; the orders are {', '.join(get_args(Order))}.")
    if (kind == "random") != (seed is not None):
        raise ValueError(
            f"order {kind!r} got seed {seed}; the order 'random' needs a seed and no other takes "
            "one."
        )
    if kind == "random":
        return np.random.default_rng(seed).permutation(len(values))
    if kind == "singular_value":
        return np.arange(len(values))
    by_importance = np.argsort(-values, kind="stable")
    return by_importance if kind == "importance" else by_importance[::-1]


def prune(head: ArrayLike | Decomposition, order: ArrayLike, keep: int) -> Array:
    """The head rebuilt from the first `keep` directions of `order` (`eq-pruning`).

    Returns W_K = Σ_{i in K} σ_i u_i v_iᵀ, (classes, components). `order` must hold each direction
    once; `keep` runs from 0 (a head of zeros) to the rank (the head itself).
    """
    parts = _decomposed(head)
    kept = _checked_order(order, parts.rank)
    if not 0 <= keep <= parts.rank:
        raise ValueError(f"cannot keep {keep} of {parts.rank} directions; give 0 to {parts.rank}.")
    kept = kept[:keep]
    weighted = parts.left[:, kept] * parts.singular_values[kept]
    pruned: Array = weighted @ parts.directions[kept]
    return pruned


def pruning_curve(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike | Decomposition,
    order: ArrayLike,
    class_subset: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Array:
    """Accuracy with 1, 2, … rank directions kept, in `order`: fractions of shape (rank,).

    See `right_at_every_step` for the arguments.
    """
    right = right_at_every_step(features, labels, head, order, class_subset, bias)
    accuracy: Array = right.mean(axis=1)
    return accuracy


def right_at_every_step(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike | Decomposition,
    order: ArrayLike,
    class_subset: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """Which images are classified right with the first k directions of `order`, for every k.

    `features`: (N, d). `labels`: (N,) classes as row numbers of the head. `class_subset`: the
    rows that compete, for data sets with fewer classes (default: all); every label must be among
    them. `bias`: (classes,), added whatever is kept, for heads that have one. Returns (rank, N);
    row k − 1 belongs to k directions. Each image is projected once, and a step adds one direction
    to its logits. Of equal logits the lower class wins.
    """
    parts = _decomposed(head)
    sequence = _checked_order(order, parts.rank)
    classes = _checked_subset(class_subset, len(parts.left))
    targets = _checked_targets(labels, classes)
    reading = parts.directions[sequence].T
    writing = _writing(parts, classes, sequence)
    constant = _checked_bias(bias, len(parts.left))[classes]
    right = np.empty((parts.rank, len(targets)), dtype=np.bool_)
    for rows, h in _blocks(features, reading.shape[0], len(targets)):
        _accumulate(h @ reading, writing, constant, targets[rows], right[:, rows])
    return right


def accuracy_without_each(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike | Decomposition,
    class_subset: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Array:
    """Accuracy with one direction left out, for each: fractions (rank,), order of σ.

    The arguments are those of `right_at_every_step`. Shows how much a direction matters to the
    predictions, where importance only says how strongly it is read.
    """
    parts = _decomposed(head)
    classes = _checked_subset(class_subset, len(parts.left))
    targets = _checked_targets(labels, classes)
    writing = _writing(parts, classes, np.arange(parts.rank))
    constant = _checked_bias(bias, len(parts.left))[classes]
    right = np.zeros(parts.rank)
    for rows, h in _blocks(features, parts.directions.shape[1], len(targets)):
        for part in _chunks(len(h), len(classes)):
            projected, wanted = h[part] @ parts.directions.T, targets[rows][part]
            logits = projected @ writing + constant
            for k in range(parts.rank):
                without = logits - projected[:, k, None] * writing[k]
                right[k] += (without.argmax(axis=1) == wanted).sum()
    accuracy: Array = right / len(targets)
    return accuracy


def paired_difference(right: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    """Difference of two accuracies on the same images, and its standard error: fractions.

    `right`: (…, N) and `reference`: (N,), whether each image is classified right. The images are
    taken as an independent sample; what both share cancels (McNemar 1947).
    """
    change = np.asarray(right, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    return change.mean(axis=-1), change.std(axis=-1) / np.sqrt(change.shape[-1])


def _writing(parts: Decomposition, classes: Indices, sequence: Indices) -> Array:
    """What each direction adds to the logits, σ_i u_i: (rank, classes), each row in one piece."""
    weighted = parts.left[np.ix_(classes, sequence)] * parts.singular_values[sequence]
    return np.ascontiguousarray(weighted.T)


def _accumulate(
    projected: Array, writing: Array, bias: Array, targets: Indices, right: NDArray[np.bool_]
) -> None:
    """Fill `right` (rank, rows): add one direction after another to logits that fit the cache."""
    for chunk in _chunks(len(projected), writing.shape[1]):
        p, wanted = projected[chunk], targets[chunk]
        logits = np.tile(bias, (len(p), 1))
        added = np.empty_like(logits)
        for k in range(len(writing)):
            np.multiply(p[:, k, None], writing[k], out=added)
            logits += added
            right[k, chunk] = logits.argmax(axis=1) == wanted


def _chunks(images: int, classes: int) -> Iterator[slice]:
    """Slices of images whose logits fit the processor's cache, about 1 MB."""
    step = max(1, 2**20 // (8 * classes))
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))


def _blocks(
    features: ArrayLike, width: int, images: int | None = None
) -> Iterator[tuple[slice, Array]]:
    """Yield float64 blocks of rows of features that match the head, and the labels if given."""
    array: NDArray[Any] = checked_features(features, smallest_width=1)
    if array.shape[1] != width:
        raise ValueError(
            f"features have {array.shape[1]} components but the head reads {width}; take both from "
            "the same model."
        )
    if images is not None and len(array) != images:
        raise ValueError(f"there are {len(array)} images but {images} labels; give one per image.")
    step = max(1, BLOCK_BYTES // (8 * width))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, finite_block(array, rows)


def _decomposed(head: ArrayLike | Decomposition) -> Decomposition:
    return head if isinstance(head, Decomposition) else decompose(head)


def _checked_importances(importances: ArrayLike) -> Array:
    values = np.asarray(importances, dtype=np.float64)
    if values.ndim != 1 or not values.size or not (values >= 0).all():
        raise ValueError(
            f"importances must be a list of numbers that are not negative, got shape "
            f"{values.shape}; take what `importance` returns."
        )
    return values


def _checked_order(order: ArrayLike, rank: int) -> Indices:
    sequence = np.asarray(order)
    if sequence.shape != (rank,) or not np.array_equal(np.sort(sequence), np.arange(rank)):
        raise ValueError(
            f"an order must hold each of the {rank} directions once, got shape {sequence.shape}; "
            "make it with `pruning_order`."
        )
    return sequence.astype(np.intp)


def _checked_subset(class_subset: ArrayLike | None, classes: int) -> Indices:
    if class_subset is None:
        return np.arange(classes)
    subset = np.unique(np.asarray(class_subset))
    if not subset.size or subset.dtype.kind not in "iu" or subset[0] < 0 or subset[-1] >= classes:
        raise ValueError(
            f"class_subset must hold row numbers of the head, 0 to {classes - 1}; got values from "
            f"{subset.min(initial=0)} to {subset.max(initial=0)}."
        )
    return subset.astype(np.intp)


def _checked_bias(bias: ArrayLike | None, classes: int) -> Array:
    values = np.zeros(classes) if bias is None else np.asarray(bias, dtype=np.float64)
    if values.shape != (classes,) or not np.isfinite(values).all():
        raise ValueError(
            f"a bias needs one finite number for each of the head's {classes} classes, got shape "
            f"{values.shape}."
        )
    return values


def _checked_targets(labels: ArrayLike, classes: Indices) -> Indices:
    """Positions of the labels among the classes that compete."""
    wanted = np.asarray(labels)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be a list of whole numbers, one class per image; got shape "
            f"{wanted.shape} of type {wanted.dtype}."
        )
    unknown = ~np.isin(wanted, classes)
    if unknown.any():
        raise ValueError(
            f"label {wanted[unknown][0]} is none of the {len(classes)} classes that compete; "
            "labels are row numbers of the head, within class_subset where that is given."
        )
    return np.searchsorted(classes, wanted).astype(np.intp)
