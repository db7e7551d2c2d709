"""Which concepts a direction encodes: the average precision of its scores, for every concept.

There is one score per image and direction, and one label per image and concept. `average_precision`
gives scikit-learn's number for every pair; `balanced_sample` and `average_precision_on` give the
paper's, on all positives of a concept and the same number of drawn negatives. Small functions count
which concepts are encoded. `concepts` is the short way for images with labels, each of which is a
concept; `concept_counts` has the draws, random directions and halves of the paper's count. The
equations `eq-average-precision` and `eq-n-unique` are on the book's page of definitions; the
protocol is that of Crabbé et al. (2024). This module does not know what a concept means.

How it works: each direction's scores are sorted once. One compiled pass then visits the images in
that order and, in each image, only the concepts that it shows; every concept keeps the number of
its positives still to come, which is all that a precision needs. The work for a direction is a sort
plus the labels, and no array of size images × concepts is ever made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.directions import matching_blocks, unit_blocks

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
Labels = Any  # a matrix or array of scipy.sparse, which has no types

THRESHOLD = 0.9
"""Average precision from which the paper calls a concept encoded."""

ROUNDING = 1e-12
"""How far below a threshold an average precision may lie through rounding alone."""

BLOCK_BYTES = 32 * 2**20
"""Size of the block of directions that a thread takes at a time."""

SOON = 4
"""How many images ahead of its turn an image's list of concepts is asked for."""


@cache
def compiled(function: Any) -> Any:
    """Compile a function that releases Python's lock; cache it on disk where that is possible.

    Compilation happens at first use, so that callers who only count or draw do not wait for it.
    Numba refuses a cache when it can write neither to the source's folder nor to the user's own.
    """
    import numba

    # NumPy's error model: 0 / 0 is NaN, and no division is checked before it is done.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


def average_precision(scores: ArrayLike, labels: Labels, threads: int | None = None) -> Array:
    """Average precision of every direction for every concept, over all images.

    AP = Σ_n (R_n − R_{n−1}) P_n over the distinct scores from the highest down, taking images of
    equal score together (`eq-average-precision`). This is the definition of scikit-learn's
    `average_precision_score`, which the result equals to 1e-12, without interpolation.

    `scores`: (N, d) real numbers, possibly memory-mapped. `labels`: scipy.sparse, (N, C); every
    non-zero entry is a positive. `threads`: by default, the number of cores. Returns (d, C),
    fractions: NaN for a concept without positives, 1 for a concept that every image shows. Raises
    ValueError for NaN or infinite scores and for shapes that do not match.

    >>> shown = scipy.sparse.csr_array([[1, 0], [0, 0], [1, 1], [0, 1]])
    >>> average_precision(np.array([[0.9], [0.8], [0.7], [0.6]]), shown).round(3)
    array([[0.833, 0.417]])
    """
    matrix = _flags(labels)
    images, concepts = matrix.shape
    parts = (matrix.data, matrix.indices, np.repeat(matrix.indptr, 2)[1:])  # no drawn negatives
    positives = np.bincount(matrix.indices, minlength=concepts)
    shape = 2 * images, concepts
    return _computed(scores, scipy.sparse.csr_array(parts, shape=shape), positives, False, threads)


def average_precision_on(
    scores: ArrayLike, sample: BalancedSample, threads: int | None = None
) -> Array:
    """Average precision of every direction for every concept, on the images drawn for it.

    This is the paper's protocol, in which chance gives about 0.5. Several score matrices, for
    example of models or of random directions, can be compared on one draw. Arguments, result and
    errors are those of `average_precision`; a concept without members has NaN.
    """
    parts, concepts = 2 * sample.rows + ~sample.positive, len(sample.pairs)
    members = np.ones(len(parts), np.bool_), (parts, np.repeat(range(concepts), 2 * sample.pairs))
    matrix = scipy.sparse.csr_array(members, shape=(2 * sample.images, concepts))
    return _computed(scores, matrix, sample.pairs, True, threads)


@dataclass(frozen=True)
class BalancedSample:
    """For each of C concepts, equal numbers of images that show it and that do not.

    `images`: N. `starts`: (C + 1,); the members of concept c are `rows[starts[c]:starts[c + 1]]`,
    first the positives, then the negatives, as `positive` says.
    """

    images: int
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    positive: Flags

    @property
    def pairs(self) -> Indices:
        """The number of positives, and of negatives, of each concept in the sample: (C,)."""
        return (np.diff(self.starts) // 2).astype(np.intp)


def balanced_sample(
    labels: Labels, seed: int, among: Sequence[Flags] | None = None
) -> BalancedSample:
    """Draw, without replacement, equal numbers of negatives and positives for each concept.

    `labels`: scipy.sparse, (N, C). `among`: for each concept the images, (N,), that may be its
    negatives; by default, all that do not show it. Concept c has its own random generator,
    `default_rng(SeedSequence(seed, spawn_key=(c,)))`, so no draw depends on other concepts. If
    there are too few negatives, only that number of positives is drawn. Another version of NumPy
    may draw differently.
    """
    by_concept = _flags(labels).tocsc()
    images, concepts = by_concept.shape
    starts, rows, flags = [0], [np.empty(0, np.int64)], []
    for concept in range(concepts):
        positives = by_concept.indices[by_concept.indptr[concept] : by_concept.indptr[concept + 1]]
        others = np.ones(images, np.bool_) if among is None else among[concept].copy()
        others[positives] = False
        negatives = np.flatnonzero(others)
        pairs = min(len(positives), len(negatives))
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(concept,)))
        drawn = [_some(members, pairs, generator) for members in (negatives, positives)]
        # Positives are first in a concept's rows, although the negatives are drawn first.
        rows += reversed(drawn)
        flags += [True] * pairs + [False] * pairs
        starts.append(len(flags))
    return BalancedSample(images, np.array(starts), np.concatenate(rows), np.array(flags, np.bool_))


def _some(members: Indices, number: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw a number of rows without replacement, in ascending order."""
    chosen = generator.choice(len(members), number, replace=False, shuffle=False)
    return members[np.sort(chosen)].astype(np.int64)


def encoded(average_precisions: ArrayLike, threshold: float = THRESHOLD) -> Flags:
    """Whether each direction encodes each concept: average precision of at least `threshold`.

    `average_precisions`: (d, C), fractions. Returns (d, C), so `encoded(ap).any(axis=0).sum()` is
    N_unique (`eq-n-unique`). NaN is not encoded. Values below the threshold by less than rounding
    (1e-12) count as reaching it.
    """
    return np.asarray(average_precisions, dtype=np.float64) >= threshold - ROUNDING


def polysemanticity(encodings: ArrayLike) -> Indices:
    """How many concepts each direction encodes: (d, C), as `encoded` returns them → (d,)."""
    return np.sum(encodings, axis=1, dtype=np.intp)


def top_concepts(average_precisions: ArrayLike, direction: int, count: int = 5) -> Indices:
    """The concepts with the highest average precision for a direction, best first.

    `average_precisions`: (d, C). Concepts with NaN are left out, so there may be fewer than
    `count`; among equals the lower number comes first.
    """
    values = np.asarray(average_precisions, dtype=np.float64)[direction]
    order = np.argsort(-values, kind="stable")  # NaN last
    return order[: min(count, len(values) - np.count_nonzero(np.isnan(values)))]


def project(features: ArrayLike, directions: ArrayLike, *, normalise: bool) -> NDArray[np.float32]:
    """Scores of images along directions, h · v_i, or cos(h, v_i) with `normalise`: (N, k) float32.

    `features`: (N, width), possibly memory-mapped, read in blocks of rows and multiplied in
    float64. `directions`: (k, width), rows of length 1. Raises ValueError for widths that differ,
    for features with NaN or infinity and, with `normalise`, for images that are zero.
    """
    vectors = np.asarray(directions, dtype=np.float64)
    width, start = vectors.shape[1], 0
    scores = np.empty((len(np.asarray(features)), len(vectors)), dtype=np.float32)
    plain = (h for _, h in matching_blocks(features, width))
    for h in unit_blocks(features, width) if normalise else plain:
        scores[start : start + len(h)] = h @ vectors.T
        start += len(h)
    return scores


def random_directions(count: int, width: int, seed: int) -> Array:
    """Draw directions uniformly from the sphere: (count, width), rows of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# The engine --------------------------------------------------------------------------------------


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

    def encoded(self, threshold: float = THRESHOLD) -> int:
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


def _flags(labels: Labels) -> Labels:
    """Labels as a csr_array of truth values, each positive stored once, the caller's untouched."""
    matrix = scipy.sparse.csr_array(labels, dtype=np.bool_, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _computed(
    scores: ArrayLike, parts: Labels, positives: Indices, sampled: bool, threads: int | None
) -> Array:
    """Share the directions out in blocks over threads.

    `parts`: (2 N, C), the concepts of each image: it is a positive of those in row 2 i, and a drawn
    negative of those in row 2 i + 1. `positives`: (C,). Few bytes hold the concepts, because images
    are visited in random order; one more comes at the end, so that an image without any has
    something to look at.
    """
    array = np.asarray(scores)
    if array.ndim != 2 or not len(array) or 2 * len(array) != parts.shape[0]:
        raise ValueError(
            f"scores of shape {array.shape} do not fit the labels of {parts.shape[0] // 2} images; "
            "both need one row per image, in the same order."
        )
    images, directions = array.shape
    visit = compiled(_visit)
    concepts = np.append(parts.indices, 0)
    # Read once for every direction, so the fewer bytes the better.
    concepts = concepts.astype(np.uint16 if parts.shape[1] <= 2**16 else np.int32)
    starts = parts.indptr.astype(np.int32 if len(concepts) < 2**31 else np.int64)
    # A container may have fewer cores than its machine.
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = max(1, min(threads or available or 1, directions))
    step = max(1, min(BLOCK_BYTES // (8 * images), -(-directions // workers)))
    result = np.empty((directions, len(positives)))

    def fill(first: int) -> None:
        for direction, values in enumerate(_columns(array[:, first : first + step]), first):
            order = np.argsort(values)
            ranked = values[order]
            if not np.isfinite(ranked[[0, -1]]).all():  # NaN is sorted to the end
                raise ValueError(
                    f"scores along direction {direction} hold NaN or infinity; they must be finite "
                    "numbers: look for what went wrong when they were computed."
                )
            total, ahead = np.zeros(len(positives)), positives.astype(np.float64)
            visit(order, ranked, starts, concepts, sampled, total, ahead, ahead.copy())
            with np.errstate(invalid="ignore"):  # concepts without positives have 0 / 0
                result[direction] = total / positives

    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(fill, range(0, directions, step)))
    return result


def _columns(scores: NDArray[Any]) -> NDArray[Any]:
    """Directions as rows, (k, N), in no less than the given precision: less would make ties."""
    block = np.empty(scores.shape[::-1], dtype=np.result_type(scores.dtype, np.float32))
    for start in range(0, len(scores), 256):  # as much as a processor's cache holds of both shapes
        rows = slice(start, start + 256)
        block[:, rows] = scores[rows].T
    return block


def _visit(
    order: Any,
    ranked: Any,
    starts: Any,
    concepts: Any,
    sampled: Any,
    total: Any,
    ahead: Any,
    others: Any,
) -> int:
    """Add up precisions over all images, from the lowest score to the highest.

    A positive counts with the precision at its score: of all images at this score or above, the
    share of positives, which are `ahead`. Where a concept is `sampled`, only its own few images
    count: those ahead, and the drawn negatives that are not passed yet, `others`. Of equal scores
    none is passed until each has counted all of them. Images lie in memory in another order: asking
    for the concepts of one that comes soon hides most of the way to them. What is read so is
    returned, for a compiler drops what nobody uses.
    """
    start, read, images = 0, 0, len(order)
    while start < images:
        end = start + 1
        while end < images and ranked[end] == ranked[start]:
            end += 1
        if start + SOON < images:
            read += concepts[starts[2 * order[start + SOON]]]
        tied, above = end > start + 1, float(images - start)
        for place in range(start, end):
            image = order[place]
            for visit in range(starts[2 * image], starts[2 * image + 1]):
                concept = concepts[visit]
                if sampled:
                    above = ahead[concept] + others[concept]
                total[concept] += ahead[concept] / above
                if not tied:
                    ahead[concept] -= 1.0
        for place in range(start, end):
            image = order[place]
            middle = starts[2 * image + 1]
            if tied:
                for visit in range(starts[2 * image], middle):
                    ahead[concepts[visit]] -= 1.0
            for visit in range(middle, starts[2 * image + 2]):
                others[concepts[visit]] -= 1.0
        start = end
    return read
