"""Which concepts a direction encodes: the average precision of its scores, for every concept.

One score per image and direction, one label per image and concept. `average_precision` gives
scikit-learn's number for every pair; `balanced_sample` and `average_precision_on` the paper's, on
all positives of a concept and as many drawn negatives. Small functions count what is encoded. The
equations `eq-average-precision` and `eq-n-unique` are on the book's page of definitions; the
protocol is that of Crabbé et al. (2024). What concepts mean is not known here.

How it works. Each direction's scores are sorted once. One compiled pass then visits the images in
that order and, in each, only the concepts that it shows; every concept keeps the number of its
positives still to come, all that a precision needs. The work for a direction is a sort plus the
labels, and nothing of size images × concepts is ever made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.directions import unit_blocks
from analysis.metrics.outliers import checked_features, finite_blocks

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
Labels = Any  # a matrix or array of scipy.sparse, which has no types
Signs = Literal["given", "both"]

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
    """Compile a function that releases Python's lock, kept on disk where there is a place for it.

    When first used, so that who only counts or draws waits for no compiler. Numba refuses a cache
    when neither the source's folder nor the user's own can be written.
    """
    import numba

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


def average_precision(
    scores: ArrayLike, labels: Labels, *, signs: Signs = "given", threads: int | None = None
) -> Array:
    """Average precision of every direction for every concept, over all images.

    AP = Σ_n (R_n − R_{n−1}) P_n over the distinct scores from the highest down, images of equal
    score together (`eq-average-precision`): the definition of scikit-learn's
    `average_precision_score`, which this equals to 1e-12. No interpolation.

    `scores`: (N, d) of float16, float32 or float64, perhaps memory-mapped. `labels`: scipy.sparse,
    (N, C); whatever is not zero is a positive. `signs`: "both" returns the larger of AP(s) and
    AP(−s), for directions whose sign is arbitrary. `threads`: default, as many as there are cores.
    Returns (d, C), fractions. A concept without positives has NaN; one that every image shows has
    1. Raises ValueError for NaN or infinite scores and for shapes that do not match.

    >>> shown = scipy.sparse.csr_array([[1, 0], [0, 0], [1, 1], [0, 1]])
    >>> average_precision(np.array([[0.9], [0.8], [0.7], [0.6]]), shown).round(3)
    array([[0.833, 0.417]])
    """
    array, matrix = _checked_scores(scores), _checked_labels(labels)
    if matrix.shape[0] != len(array):
        raise ValueError(
            f"there are scores for {len(array)} images but labels for {matrix.shape[0]}; both need "
            "one row per image, in the same order."
        )
    positives = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return _computed(array, _visits(matrix, positives, sampled=False), signs, threads)


def average_precision_on(
    scores: ArrayLike, sample: BalancedSample, *, signs: Signs = "given", threads: int | None = None
) -> Array:
    """Average precision of every direction for every concept, on the images drawn for the concept.

    The paper's protocol: chance gives about 0.5. Several score matrices, of models or random
    directions say, can be compared on one draw. Arguments, result and errors are those of
    `average_precision`; a concept without members has NaN.
    """
    array = _checked_scores(scores)
    if sample.images != len(array):
        raise ValueError(
            f"there are scores for {len(array)} images but the sample was drawn from "
            f"{sample.images}; draw it from the labels of the same images."
        )
    parts, concepts = 2 * sample.rows + ~sample.positive, len(sample.pairs)
    owners = np.repeat(np.arange(concepts), 2 * sample.pairs)
    members = scipy.sparse.csr_array(
        (np.ones(len(parts), np.bool_), (parts, owners)), shape=(2 * sample.images, concepts)
    )
    return _computed(array, _visits(members, sample.pairs, sampled=True), signs, threads)


@dataclass(frozen=True)
class BalancedSample:
    """For each of C concepts, as many images that show it as images that do not.

    `images`: N. `starts`: (C + 1,); the members of concept c are `rows[starts[c]:starts[c + 1]]`,
    first the positives, then the negatives, as `positive` says.
    """

    images: int
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    positive: Flags

    @property
    def pairs(self) -> Indices:
        """How many positives each concept has in the sample, and as many negatives: (C,)."""
        return (np.diff(self.starts) // 2).astype(np.intp)


def balanced_sample(
    labels: Labels, seed: int, among: Sequence[Flags] | None = None
) -> BalancedSample:
    """Draw, for each concept, as many negatives as it has positives, without replacement.

    `labels`: scipy.sparse, (N, C). `among`: for each concept the images, (N,), that may be its
    negatives; default, all that do not show it. Concept c has a random generator of its own,
    `default_rng(SeedSequence(seed, spawn_key=(c,)))`, so no draw depends on other concepts. With
    too few negatives as many positives are drawn. NumPy may draw differently in another version.
    Raises ValueError for labels that are not sparse.
    """
    by_concept = _checked_labels(labels).tocsc()
    by_concept.sort_indices()
    images, concepts = by_concept.shape
    starts, rows, flags = np.zeros(concepts + 1, np.int64), [np.empty(0, np.int64)], []
    for concept in range(concepts):
        positives = by_concept.indices[by_concept.indptr[concept] : by_concept.indptr[concept + 1]]
        others = np.ones(images, np.bool_) if among is None else among[concept].copy()
        others[positives] = False
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(concept,)))
        both = _balanced_rows(positives.astype(np.int64), np.flatnonzero(others), generator)
        rows += both
        flags += [True] * len(both[0]) + [False] * len(both[1])
        starts[concept + 1] = len(flags)
    return BalancedSample(images, starts, np.concatenate(rows), np.array(flags, dtype=np.bool_))


def _balanced_rows(
    positives: NDArray[np.int64], negatives: Indices, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Equally many positive and negative rows, each ascending, of those that there are."""
    pairs = min(len(positives), len(negatives))
    chosen = generator.choice(len(negatives), pairs, replace=False, shuffle=False)
    drawn = negatives[np.sort(chosen)].astype(np.int64)
    if pairs < len(positives):
        kept = generator.choice(len(positives), pairs, replace=False, shuffle=False)
        positives = positives[np.sort(kept)]
    return [positives, drawn]


def encoded(average_precisions: ArrayLike, threshold: float = THRESHOLD) -> Flags:
    """Whether each direction encodes each concept: average precision of at least `threshold`.

    `average_precisions`: (d, C), fractions. Returns (d, C), so `encoded(ap).any(axis=0).sum()` is
    N_unique (`eq-n-unique`). NaN is not encoded. Values below the threshold by less than rounding
    (1e-12) count as reaching it.
    """
    result: Flags = np.asarray(average_precisions, dtype=np.float64) >= threshold - ROUNDING
    return result


def polysemanticity(encodings: ArrayLike) -> Indices:
    """How many concepts each direction encodes: (d, C), as `encoded` returns them → (d,)."""
    counts: Indices = _flags("encodings", encodings, 2).sum(axis=1, dtype=np.intp)
    return counts


def overlap(sets: Mapping[str, ArrayLike]) -> dict[tuple[str, ...], int]:
    """How many concepts are in exactly each combination of named sets: a Venn diagram's numbers.

    `sets`: for each name a truth value for each of the C concepts. Returns all 2^k − 1
    combinations, smaller ones first, names in the order given; the counts add up to the size of
    the union.

    >>> overlap({"A": [True, True, False], "B": [False, True, False]})
    {('A',): 1, ('B',): 0, ('A', 'B'): 1}
    """
    found = {name: _flags(f"the set {name!r}", flags, 1) for name, flags in sets.items()}
    for name, flags in found.items():
        if len(flags) != len(next(iter(found.values()))):
            raise ValueError(f"the set {name!r} is not of as many concepts as the first one.")
    groups = [g for size in range(1, len(found) + 1) for g in combinations(found, size)]
    return {
        group: int(np.all([flags == (name in group) for name, flags in found.items()], 0).sum())
        for group in groups
    }


def top_concepts(average_precisions: ArrayLike, direction: int, count: int = 5) -> Indices:
    """The concepts of highest average precision for a direction, the best first.

    `average_precisions`: (d, C). Concepts with NaN are left out, so there may be fewer than
    `count`; of equals the lower number comes first.
    """
    values = np.asarray(average_precisions, dtype=np.float64)[direction]
    order = np.argsort(-values, kind="stable")  # NaN last
    return order[: min(count, len(values) - np.count_nonzero(np.isnan(values)))]


def project(features: ArrayLike, directions: ArrayLike, *, normalise: bool) -> NDArray[np.float32]:
    """Scores of images along directions, h · v_i, or cos(h, v_i) with `normalise`: (N, k) float32.

    `features`: (N, width), perhaps memory-mapped, read in blocks of rows and multiplied in
    float64. `directions`: (k, width), rows of length 1. Raises ValueError for widths that differ,
    for NaN or infinity and, with `normalise`, for images that are zero.
    """
    array, vectors = checked_features(features, 1), checked_features(directions, 1)
    if array.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"features have {array.shape[1]} components but the directions {vectors.shape[1]}; "
            "take both from the same model."
        )
    scores = np.empty((len(array), len(vectors)), dtype=np.float32)
    reading = np.concatenate([block for _, block in finite_blocks(vectors)]).T
    plain, start = (h for _, h in finite_blocks(array)), 0
    for h in unit_blocks(array, array.shape[1]) if normalise else plain:
        scores[start : start + len(h)] = h @ reading
        start += len(h)
    return scores


def random_directions(count: int, width: int, seed: int) -> Array:
    """Directions drawn uniformly from the sphere: (count, width), rows of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


# The engine --------------------------------------------------------------------------------------


class _Visits(NamedTuple):
    """What an image changes: the concepts that it is a positive, or a drawn negative, of.

    `concepts[starts[i]:starts[i + 1]]` belongs to image i. With `sampled`, image i has the parts
    2 i, its positives, and 2 i + 1, its negatives. `positives`: (C,). `kernel`: what visits them.
    """

    starts: NDArray[Any]
    concepts: NDArray[Any]
    positives: Array
    sampled: bool
    kernel: Any


def _visits(parts: Labels, positives: Indices, sampled: bool) -> _Visits:
    """From the concepts of each part, (parts, C), in few bytes: parts are read in random order.

    One more concept stands at the end, so that a part without any has something to look at.
    """
    kernel = compiled(_visit_sampled if sampled else _visit_all)
    concepts = np.append(parts.indices, 0)
    concepts = concepts.astype(np.uint16 if parts.shape[1] <= 2**16 else np.int32)
    starts = parts.indptr.astype(np.int32 if len(concepts) < 2**31 else np.int64)
    return _Visits(starts, concepts, positives.astype(np.float64), sampled, kernel)


def _computed(scores: NDArray[Any], visits: _Visits, signs: Signs, threads: int | None) -> Array:
    """Share the directions out in blocks over threads."""
    if signs not in ("given", "both"):
        raise ValueError(f"unknown signs {signs!r}; choose one of given, both.")
    if threads is not None and threads < 1:
        raise ValueError(f"cannot work with {threads} threads; give 1 or more, or None for all.")
    images, directions = scores.shape
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = max(1, min(threads or available or 1, directions))
    step = max(1, min(BLOCK_BYTES // (8 * images), -(-directions // workers)))
    result = np.empty((directions, len(visits.positives)))

    def fill(start: int) -> None:
        block = _columns(scores, slice(start, min(start + step, directions)))
        for direction, values in enumerate(block, start):
            result[direction] = _of_direction(values, direction, visits, signs)

    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(fill, range(0, directions, step)))
    return result


def _columns(scores: NDArray[Any], columns: slice) -> NDArray[Any]:
    """Some directions as rows, (k, N), in the given precision: less would make ties."""
    images = len(scores)
    kind = np.float64 if scores.itemsize == 8 else np.float32
    block = np.empty((columns.stop - columns.start, images), dtype=kind)
    for start in range(0, images, 256):  # as much as a processor's cache holds of both shapes
        rows = slice(start, start + 256)
        block[:, rows] = scores[rows, columns].T
    return block


def _of_direction(values: NDArray[Any], direction: int, visits: _Visits, signs: Signs) -> Array:
    """Average precision of one direction for all concepts, (C,), from one sort of its scores."""
    order = np.argsort(values)
    ranked = values[order]
    for image in order[[0, -1]]:  # NaN is sorted to the end
        if not np.isfinite(values[image]):
            raise ValueError(
                f"the score of image {image} along direction {direction} is {values[image]}; "
                "scores must be finite numbers: look for what went wrong when they were computed."
            )
    total = _visited(order, ranked, visits)
    if signs == "both":
        total = np.maximum(total, _visited(order[::-1].copy(), ranked[::-1].copy(), visits))
    with np.errstate(invalid="ignore"):  # concepts without positives have 0 / 0
        precision: Array = total / visits.positives
    return precision


def _visited(order: Indices, ranked: NDArray[Any], visits: _Visits) -> Array:
    """The sum over a concept's positives of the precision at each: (C,)."""
    counters = [visits.positives.copy() for _ in range(1 + visits.sampled)]
    total = np.zeros(len(visits.positives))
    visits.kernel(order, ranked, visits.starts, visits.concepts, total, *counters)
    return total


def _visit_all(order: Any, ranked: Any, starts: Any, concepts: Any, total: Any, ahead: Any) -> int:
    """Add up precisions over all images, from the lowest score to the highest.

    A positive counts with the precision at its score: positives at this score or above, which are
    `ahead`, of all images there. Of equal scores none is passed until each has counted all of them
    as ahead. Images lie in memory in another order: asking for the concepts of one that comes soon
    hides most of the way to them. What is read so is returned, for a compiler drops what nobody
    uses.
    """
    start, read, images = 0, 0, len(order)
    while start < images:
        end = start + 1
        while end < images and ranked[end] == ranked[start]:
            end += 1
        above = float(images - start)
        if start + SOON < images:
            read += concepts[starts[order[start + SOON]]]
        if end == start + 1:
            image = order[start]
            for visit in range(starts[image], starts[image + 1]):
                concept = concepts[visit]
                total[concept] += ahead[concept] / above
                ahead[concept] -= 1.0
        else:
            for image in order[start:end]:
                for concept in concepts[starts[image] : starts[image + 1]]:
                    total[concept] += ahead[concept] / above
            for image in order[start:end]:
                for concept in concepts[starts[image] : starts[image + 1]]:
                    ahead[concept] -= 1.0
        start = end
    return read


def _visit_sampled(
    order: Any, ranked: Any, starts: Any, concepts: Any, total: Any, ahead: Any, others: Any
) -> int:
    """As `_visit_all`, but each concept has its own few images: `others` are negatives ahead."""
    start, read, images = 0, 0, len(order)
    while start < images:
        end = start + 1
        while end < images and ranked[end] == ranked[start]:
            end += 1
        if start + SOON < images:
            read += concepts[starts[2 * order[start + SOON]]]
        if end == start + 1:
            image = order[start]
            middle = starts[2 * image + 1]
            for visit in range(starts[2 * image], middle):
                concept = concepts[visit]
                here = ahead[concept]
                total[concept] += here / (here + others[concept])
                ahead[concept] = here - 1.0
            for visit in range(middle, starts[2 * image + 2]):
                others[concepts[visit]] -= 1.0
        else:
            for image in order[start:end]:
                for concept in concepts[starts[2 * image] : starts[2 * image + 1]]:
                    total[concept] += ahead[concept] / (ahead[concept] + others[concept])
            for image in order[start:end]:
                for concept in concepts[starts[2 * image] : starts[2 * image + 1]]:
                    ahead[concept] -= 1.0
                for concept in concepts[starts[2 * image + 1] : starts[2 * image + 2]]:
                    others[concept] -= 1.0
        start = end
    return read


def _checked_scores(scores: ArrayLike) -> NDArray[Any]:
    array = np.asarray(scores)
    if array.ndim != 2 or not len(array):
        raise ValueError(
            f"scores must have the shape (images, directions) with at least one image, got "
            f"{array.shape}."
        )
    if array.dtype.kind != "f" or array.itemsize > 8:
        raise ValueError(
            f"scores must be of type float16, float32 or float64, got {array.dtype}; convert them "
            "with `astype`."
        )
    return array


def _checked_labels(labels: Labels) -> Labels:
    """Labels as a csr_array of truth values, each positive stored once, the caller's untouched."""
    if not scipy.sparse.issparse(labels) or labels.ndim != 2:
        raise ValueError(
            f"labels must be a sparse matrix (images, concepts), got {type(labels).__name__}; wrap "
            "them in scipy.sparse.csr_array."
        )
    matrix = scipy.sparse.csr_array(labels)
    if matrix.dtype.kind == "f" and np.isnan(matrix.data).any():
        raise ValueError("labels hold NaN; they must say yes or no for every image and concept.")
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix.astype(np.bool_, copy=False)


def _flags(what: str, values: ArrayLike, dimensions: int) -> Flags:
    array = np.asarray(values)
    if array.ndim != dimensions or array.dtype != np.bool_:
        raise ValueError(
            f"{what} must hold truth values of concepts in {dimensions} dimensions, got type "
            f"{array.dtype} of shape {array.shape}; take what `encoded` returns."
        )
    return array
