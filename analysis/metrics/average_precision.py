"""Which concepts a direction encodes: the average precision of its scores, for every concept.

One score per image and direction, one label per image and concept: `average_precision` gives
scikit-learn's number for every pair, and `balanced_average_precision` the paper's, on all positives
of a concept and as many drawn negatives. Small functions count what is encoded and say what chance
alone would encode. The equations `eq-average-precision` and `eq-n-unique` are on the book's page of
definitions; the protocol is that of Crabbé et al. (2024).

This is not a metrics library: there is no averaging over concepts, no curve, no probability. It
does not know what the concepts or directions mean; arrays come in and arrays go out.

How it works. Each direction's scores are sorted once, single-precision ones digit by digit, which
is several times faster than comparing them. One compiled pass then visits the images in that order
and, in each, only the concepts that it shows; every concept keeps the number of its positives still
to come, which is all that a precision needs. So the work for a direction is a sort plus the number
of labels, and nothing of size images × concepts is ever made.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal, TypeVar, get_args

import numba
import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.directions import unit_blocks
from analysis.metrics.outliers import checked_features, finite_blocks

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
Labels = Any  # a matrix or array of scipy.sparse, which has no types
Engine = Literal["compiled", "numpy"]
Signs = Literal["given", "both"]
Function = TypeVar("Function", bound=Callable[..., Any])

THRESHOLD = 0.9
"""Average precision from which the paper calls a concept encoded."""

MEMORY = 256 * 2**20
"""Default budget in bytes."""

ROUNDING = 1e-12
"""How far below a threshold an average precision may lie through rounding alone."""

EXACT_NODES = 10**7
"""Search steps up to which rankings are counted one by one: n = 23 at the threshold 0.9."""

LOSS_BINS = 2**13
"""Steps in which the approximate count follows the loss of precision."""

LARGEST_COUNTED = 64
"""Positives above which the probability for this many stands in as an upper bound."""

DIGIT_BITS = 11
"""Bits of a digit in sorting: three digits hold a number of 32 bits."""

SOON = 4
"""How many images ahead of its turn an image's list of concepts is asked for."""

HALF = np.uint64(32)  # bits: a key's lower half is an image, its upper half stands for the score
IMAGE = np.uint64(2**32 - 1)


def compiled(function: Function) -> Function:
    """Compile a function that releases Python's lock, kept on disk where there is a place for it.

    Numba refuses to decorate when neither the source's folder nor the user's cache can be written.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        result: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        result = numba.njit(**options)(function)
    return result


# Average precision -----------------------------------------------------------------------------


def average_precision(
    scores: ArrayLike,
    labels: Labels,
    *,
    signs: Signs = "given",
    threads: int | None = None,
    memory: int = MEMORY,
    engine: Engine = "compiled",
) -> Array:
    """Average precision of every direction for every concept, over all images.

    AP = Σ_n (R_n − R_{n−1}) P_n over the distinct scores from the highest down, images of equal
    score together: the definition of scikit-learn's `average_precision_score`, which this equals
    to 1e-12. No interpolation.

    `scores`: (N, d) of float16, float32 or float64, perhaps memory-mapped. `labels`: scipy.sparse,
    (N, C); whatever is not zero is a positive. `signs`: "both" returns the larger of AP(s) and
    AP(−s), for directions whose sign is arbitrary. `threads`: default, as many as there are cores.
    `memory`: bytes to work in, besides the result, the arguments and, where labels are not in
    canonical CSR form, one copy of them in it; scores are read in blocks of columns to fit.
    `engine`: "numpy" is the readable reference, one thread, some ten times slower, and needs about
    60 bytes per label above the budget.

    Returns (d, C), fractions. A concept without positives has NaN; one that every image shows has
    1. Raises ValueError for NaN or infinite scores, for shapes that do not match and for a budget
    that one direction does not fit.
    """
    array, matrix = _checked_scores(scores), _checked_labels(labels)
    if matrix.shape[0] != len(array):
        raise ValueError(
            f"there are scores for {len(array)} images but labels for {matrix.shape[0]}; both need "
            "one row per image, in the same order."
        )
    _checked_choice("engine", engine, get_args(Engine))
    _checked_choice("signs", signs, get_args(Signs))
    if engine == "numpy":
        return _reference(array, matrix, signs)
    return _computed(array, _visits_of_all(matrix), signs, threads, memory)


def balanced_average_precision(
    scores: ArrayLike,
    labels: Labels,
    *,
    seed: int,
    minimum: int = 1,
    signs: Signs = "given",
    threads: int | None = None,
    memory: int = MEMORY,
) -> Array:
    """Average precision on all positives of a concept and as many negatives, the paper's protocol.

    Draws with `balanced_sample(labels, seed, minimum)`, which says how, and returns what
    `average_precision_on` does for that draw: (d, C), NaN for concepts with fewer than `minimum`
    positives. Chance gives about 0.5. The other arguments are those of `average_precision`.
    """
    sample = balanced_sample(labels, seed, minimum)
    return average_precision_on(scores, sample, signs=signs, threads=threads, memory=memory)


def average_precision_on(
    scores: ArrayLike,
    sample: BalancedSample,
    *,
    signs: Signs = "given",
    threads: int | None = None,
    memory: int = MEMORY,
) -> Array:
    """Average precision of every direction for every concept, on the images drawn for the concept.

    For comparing several score matrices, models or random directions say, on one draw. Arguments,
    result and errors are those of `average_precision`; a concept without members has NaN.
    """
    array = _checked_scores(scores)
    if sample.images != len(array):
        raise ValueError(
            f"there are scores for {len(array)} images but the sample was drawn from "
            f"{sample.images}; draw it from the labels of the same images."
        )
    _checked_choice("signs", signs, get_args(Signs))
    return _computed(array, _visits_of_sample(sample), signs, threads, memory)


@dataclass(frozen=True)
class BalancedSample:
    """For each concept, as many images that show it as images that do not.

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

    def members(self, concept: int) -> tuple[NDArray[np.int64], Flags]:
        """The images drawn for a concept and whether each shows it."""
        part = slice(self.starts[concept], self.starts[concept + 1])
        return self.rows[part], self.positive[part]

    def permuted(self, seed: int) -> BalancedSample:
        """The same draw for labels whose rows are shuffled as by `permuted(labels, seed)`."""
        order = _permutation(self.images, seed)
        moved = np.empty_like(order)
        moved[order] = np.arange(self.images)
        return replace(self, rows=moved[self.rows])


def balanced_sample(
    labels: Labels, seed: int, minimum: int = 1, keys: ArrayLike | None = None
) -> BalancedSample:
    """Draw, for each concept, as many negatives as it has positives, without replacement.

    `labels`: scipy.sparse, (N, C). Every concept has a random generator of its own,
    `default_rng(SeedSequence(seed, spawn_key=(key,)))`, so its draw depends on the seed, its key
    and its own labels, not on other concepts. `keys`: (C,) whole numbers that are not negative,
    default 0 to C − 1; give them to keep the draw when concepts are left out or reordered. A
    concept with fewer negatives than positives keeps as many positives, drawn alike, as it has
    negatives. One with fewer than `minimum` positives, or without negatives, gets no members.
    NumPy may draw differently in another version. Raises ValueError for labels that are not sparse.
    """
    by_concept = _checked_labels(labels).tocsc()
    by_concept.sort_indices()
    images, concepts = by_concept.shape
    names = _checked_keys(keys, concepts)
    drawn = []
    for concept in range(concepts):
        positives = by_concept.indices[by_concept.indptr[concept] : by_concept.indptr[concept + 1]]
        if len(positives) < minimum:
            positives = positives[:0]
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(names[concept],)))
        drawn.append(_balanced_rows(positives.astype(np.int64), images, generator))
    return _sample(drawn, images)


def _balanced_rows(
    positives: NDArray[np.int64], images: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Equally many positive and negative rows, each ascending; `positives` ascend too."""
    others = images - len(positives)
    pairs = min(len(positives), others)
    chosen = np.sort(generator.choice(others, pairs, replace=False, shuffle=False))
    # The k-th negative lies behind as many positives as have at most k negatives before them.
    before = positives - np.arange(len(positives))
    negatives = chosen + np.searchsorted(before, chosen, side="right")
    if pairs < len(positives):
        kept = generator.choice(len(positives), pairs, replace=False, shuffle=False)
        positives = positives[np.sort(kept)]
    return positives, negatives.astype(np.int64)


def _sample(
    drawn: list[tuple[NDArray[np.int64], NDArray[np.int64]]], images: int
) -> BalancedSample:
    """Put the draws of all concepts behind each other."""
    pairs = np.array([len(positives) for positives, _ in drawn], dtype=np.int64)
    rows = [part for both in drawn for part in both]
    return BalancedSample(
        images,
        np.concatenate([[0], np.cumsum(2 * pairs)]),
        np.concatenate([*rows, np.empty(0, dtype=np.int64)]),
        np.repeat(np.tile([True, False], len(pairs)), np.repeat(pairs, 2)),
    )


# The engine --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Visits:
    """What an image changes: the concepts that it is a positive, or a drawn negative, of.

    `concepts[starts[i]:starts[i + 1]]` belongs to image i. With `sampled`, image i has the parts
    2 i, its positives, and 2 i + 1, its negatives. `positives`: (C,).
    """

    starts: NDArray[Any]
    concepts: NDArray[Any]
    positives: Array
    sampled: bool

    @property
    def bytes(self) -> int:
        """Bytes that the arrays take."""
        return self.starts.nbytes + self.concepts.nbytes


def _visits_of_all(labels: Labels) -> _Visits:
    positives = np.bincount(labels.indices, minlength=labels.shape[1]).astype(np.float64)
    return _Visits(*_narrow(labels), positives, sampled=False)


def _visits_of_sample(sample: BalancedSample) -> _Visits:
    concepts = len(sample.starts) - 1
    parts = 2 * sample.rows + ~sample.positive
    owners = np.repeat(np.arange(concepts), np.diff(sample.starts))
    shape = (2 * sample.images, concepts)
    members = scipy.sparse.csr_array((np.ones(len(parts), np.bool_), (parts, owners)), shape=shape)
    return _Visits(*_narrow(members), sample.pairs.astype(np.float64), sampled=True)


def _narrow(matrix: Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where rows start, and their columns in few bytes: rows are read in random order.

    One more column stands at the end, so that a row without columns has something to look at.
    """
    small = np.uint16 if matrix.shape[1] <= 2**16 else np.int32
    columns = np.zeros(len(matrix.indices) + 1, dtype=small)
    columns[:-1] = matrix.indices
    return matrix.indptr.astype(np.int32 if len(columns) < 2**31 else np.int64), columns


def _computed(
    scores: NDArray[Any], visits: _Visits, signs: Signs, threads: int | None, memory: int
) -> Array:
    """Share the directions out in blocks over threads."""
    images, directions = scores.shape
    result = np.empty((directions, len(visits.positives)))
    workers, step = _plan(scores, visits, _checked_threads(threads), memory)

    def fill(start: int) -> None:
        columns = slice(start, min(start + step, directions))
        block = _columns(scores, columns)
        room = np.empty((2, images), dtype=np.uint64)
        for direction, values in enumerate(block, start):
            result[direction] = _of_direction(values, direction, visits, signs, room)

    starts = range(0, directions, step)
    if workers == 1:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(workers) as executor:
            list(executor.map(fill, starts))
    return result


def _plan(scores: NDArray[Any], visits: _Visits, threads: int, memory: int) -> tuple[int, int]:
    """How many threads work, and on blocks of how many directions, within `memory` bytes."""
    images, directions = scores.shape
    column = images * max(scores.itemsize, 4)
    sorting = 16 * images + (32 * images if scores.itemsize == 8 else 0)
    own = sorting + 64 * len(visits.positives)
    available = memory - visits.bytes
    workers = min(threads, max(directions, 1), available // (own + column))
    if workers < 1:
        needed = visits.bytes + own + column
        raise ValueError(
            f"a budget of {memory:,} bytes is too small: one direction of {images:,} images with "
            f"these labels takes {needed:,}; raise `memory` to that at least."
        )
    fitting = (available // workers - own) // column
    return workers, max(1, min(fitting, math.ceil(directions / workers)))


def _columns(scores: NDArray[Any], columns: slice) -> NDArray[Any]:
    """Some directions as rows, (k, N), in the given precision: less would make ties."""
    images = len(scores)
    kind = np.float64 if scores.itemsize == 8 else np.float32
    block = np.empty((columns.stop - columns.start, images), dtype=kind)
    for start in range(0, images, 256):  # as much as a processor's cache holds of both shapes
        rows = slice(start, start + 256)
        block[:, rows] = scores[rows, columns].T
    return block


def _of_direction(
    values: NDArray[Any], direction: int, visits: _Visits, signs: Signs, room: NDArray[np.uint64]
) -> Array:
    """Average precision of one direction for all concepts, (C,), from one sort of its scores."""
    keys = _sorted_keys(values, room)
    for key in keys[[0, -1]]:  # NaN is sorted to the ends
        _check_finite(values, int(key & IMAGE), direction)
    total = _visit(keys, visits)
    if signs == "both":
        room[0] = keys[::-1]
        total = np.maximum(total, _visit(room[0], visits))
    with np.errstate(invalid="ignore"):  # concepts without positives have 0 / 0
        precision: Array = total / visits.positives
    return precision


def _sorted_keys(values: NDArray[Any], room: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Images from the lowest score to the highest, each below a number that stands for its score.

    (N,) in `room[1]`; `room[0]` is overwritten. Two keys have the same upper half if and only if
    their images have equal scores.
    """
    keys: NDArray[np.uint64] = room[1]
    if values.dtype == np.float32:
        _sort_by_digits(values.view(np.uint32), room[0], keys)
        return keys
    order = np.argsort(values)
    keys[0] = 0
    np.cumsum(values[order[1:]] != values[order[:-1]], out=keys[1:])
    keys <<= HALF
    keys |= order.view(np.uint64)
    return keys


def _visit(keys: NDArray[np.uint64], visits: _Visits) -> Array:
    """The sum over a concept's positives of the precision at each: (C,)."""
    ahead, total = visits.positives.copy(), np.zeros(len(visits.positives))
    if visits.sampled:
        others = visits.positives.copy()
        _visit_sampled(keys, visits.starts, visits.concepts, ahead, others, total)
    else:
        _visit_all(keys, visits.starts, visits.concepts, ahead, total)
    return total


@compiled
def _sort_by_digits(bits: Any, keys: Any, result: Any) -> None:
    """Sort single-precision numbers, given as their bits, by one digit after the other.

    Sorting by each digit from the lowest up, equals left in their order, sorts by all of them.
    Bits of numbers that are not negative ascend as they do; those of the others, turned round, come
    below. Both zeros are one number. `keys` is overwritten; the images, each below its number's
    bits, are left in `result`.
    """
    counts = np.zeros((3, 1 << DIGIT_BITS), dtype=np.int64)
    last = np.uint32((1 << DIGIT_BITS) - 1)
    sign = np.uint32(1 << 31)
    for image in range(len(bits)):
        given = bits[image]
        if given == sign:
            given = np.uint32(0)
        number = np.uint32(~given) if given & sign else np.uint32(given | sign)
        counts[0, number & last] += 1
        counts[1, (number >> np.uint32(DIGIT_BITS)) & last] += 1
        counts[2, number >> np.uint32(2 * DIGIT_BITS)] += 1
        keys[image] = (np.uint64(number) << HALF) | np.uint64(image)
    source, target = keys, result
    for digit in range(3):
        place = 0
        for value in range(1 << DIGIT_BITS):
            many = counts[digit, value]
            counts[digit, value] = place
            place += many
        shift = HALF + np.uint64(DIGIT_BITS * digit)
        for key in source:
            value = (key >> shift) & np.uint64(last)
            target[counts[digit, value]] = key
            counts[digit, value] += 1
        source, target = target, source


@compiled
def _group_end(keys: Any, start: int) -> int:
    """The position behind the last key of the same score as that of position `start`."""
    score, end = keys[start] >> HALF, start + 1
    while end < len(keys) and keys[end] >> HALF == score:
        end += 1
    return end


@compiled
def _visit_all(keys: Any, starts: Any, concepts: Any, ahead: Any, total: Any) -> int:
    """Add up precisions over all images, from the lowest score to the highest.

    A positive counts with the precision at its score: positives at this score or above, which are
    `ahead`, of all images there. Images lie in memory in another order: asking for the concepts of
    one that comes soon hides most of the way to them. What is read so is returned, for a compiler
    drops what nobody uses.
    """
    start, read = 0, 0
    while start < len(keys):
        end = _group_end(keys, start)
        above = float(len(keys) - start)
        if end - start > 1:
            _visit_tied(keys[start:end], starts, concepts, above, ahead, total)
        else:
            if start + SOON < len(keys):
                read += concepts[starts[np.int64(keys[start + SOON] & IMAGE)]]
            image = np.int64(keys[start] & IMAGE)
            for visit in range(starts[image], starts[image + 1]):
                concept = concepts[visit]
                total[concept] += ahead[concept] / above
                ahead[concept] -= 1.0
        start = end
    return read


@compiled
def _visit_tied(
    keys: Any, starts: Any, concepts: Any, above: float, ahead: Any, total: Any
) -> None:
    """Images of equal score: none is passed until each has counted all of them as ahead."""
    for key in keys:
        image = np.int64(key & IMAGE)
        for concept in concepts[starts[image] : starts[image + 1]]:
            total[concept] += ahead[concept] / above
    for key in keys:
        image = np.int64(key & IMAGE)
        for concept in concepts[starts[image] : starts[image + 1]]:
            ahead[concept] -= 1.0


@compiled
def _visit_sampled(
    keys: Any, starts: Any, concepts: Any, ahead: Any, others: Any, total: Any
) -> int:
    """As `_visit_all`, but each concept has its own few images: `others` are negatives ahead."""
    start, read = 0, 0
    while start < len(keys):
        end = _group_end(keys, start)
        if end - start > 1:
            _visit_sampled_tied(keys[start:end], starts, concepts, ahead, others, total)
        else:
            if start + SOON < len(keys):
                read += concepts[starts[2 * np.int64(keys[start + SOON] & IMAGE)]]
            image = np.int64(keys[start] & IMAGE)
            middle = starts[2 * image + 1]
            for visit in range(starts[2 * image], middle):
                concept = concepts[visit]
                here = ahead[concept]
                total[concept] += here / (here + others[concept])
                ahead[concept] = here - 1.0
            for visit in range(middle, starts[2 * image + 2]):
                others[concepts[visit]] -= 1.0
        start = end
    return read


@compiled
def _visit_sampled_tied(
    keys: Any, starts: Any, concepts: Any, ahead: Any, others: Any, total: Any
) -> None:
    """As `_visit_tied`, with negatives."""
    for key in keys:
        image = np.int64(key & IMAGE)
        for concept in concepts[starts[2 * image] : starts[2 * image + 1]]:
            total[concept] += ahead[concept] / (ahead[concept] + others[concept])
    for key in keys:
        image = np.int64(key & IMAGE)
        for concept in concepts[starts[2 * image] : starts[2 * image + 1]]:
            ahead[concept] -= 1.0
        for concept in concepts[starts[2 * image + 1] : starts[2 * image + 2]]:
            others[concept] -= 1.0


# The reference: the same numbers in NumPy and SciPy ----------------------------------------------


def _reference(scores: NDArray[Any], labels: Labels, signs: Signs) -> Array:
    result = np.empty((scores.shape[1], labels.shape[1]))
    for direction in range(len(result)):
        values = _columns(scores, slice(direction, direction + 1))[0]
        _check_finite(values, int((~np.isfinite(values)).argmax()), direction)
        result[direction] = _reference_of_direction(values, labels)
        if signs == "both":
            negated = _reference_of_direction(-values, labels)
            result[direction] = np.maximum(result[direction], negated)
    return result


def _reference_of_direction(values: NDArray[Any], labels: Labels) -> Array:
    """Mean over a concept's positives of (positives so far) / (rank): (N,), (N, C) → (C,).

    Turning the rows, permuted by rank, into columns is a stable counting sort: each concept's
    positives come out in the order of their ranks.
    """
    order = np.argsort(-values, kind="stable")
    rank = _last_of_equal(values[order])
    by_concept = labels[order].tocsc()
    positives = np.diff(by_concept.indptr)
    concept = np.repeat(np.arange(len(positives)), positives)
    ranks = rank[by_concept.indices]
    # Equal within a concept's tie group only: its number grows with the concept and with the rank.
    hits = _last_of_equal(concept * (len(values) + 1) + ranks) - by_concept.indptr[concept]
    with np.errstate(invalid="ignore"):
        precision: Array = np.bincount(concept, hits / ranks, len(positives)) / positives
    return precision


def _last_of_equal(values: NDArray[Any]) -> Indices:
    """For each place, counted from 1, the last place of the run of equal values that it is in."""
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True)[: len(values)]) + 1
    runs: Indices = np.repeat(last, np.diff(last, prepend=0))
    return runs


# What is encoded ---------------------------------------------------------------------------------


def encoded(average_precisions: ArrayLike, threshold: float = THRESHOLD) -> Flags:
    """Whether each direction encodes each concept: average precision of at least `threshold`.

    `average_precisions`: (d, C), fractions. Returns (d, C). NaN is not encoded. Values below the
    threshold by less than rounding (1e-12) count as reaching it.
    """
    result: Flags = np.asarray(average_precisions, dtype=np.float64) >= threshold - ROUNDING
    return result


def unique_concepts(encodings: ArrayLike) -> Indices:
    """The concepts that at least one direction encodes, ascending; N_unique is how many.

    `encodings`: (d, C), as `encoded` returns them.
    """
    return np.flatnonzero(_checked_encodings(encodings).any(axis=0))


def polysemanticity(encodings: ArrayLike) -> Indices:
    """How many concepts each direction encodes: (d, C) → (d,)."""
    counts: Indices = _checked_encodings(encodings).sum(axis=1, dtype=np.intp)
    return counts


def overlap(sets: Mapping[str, ArrayLike]) -> dict[tuple[str, ...], int]:
    """How many concepts are in exactly each combination of named sets: a Venn diagram's numbers.

    `sets`: for each name the concepts' numbers, or a truth value for each of the C concepts.
    Returns all 2^k − 1 combinations, smaller ones first, names in the order given; the counts add
    up to the size of the union.
    """
    found = {name: _checked_set(name, members) for name, members in sets.items()}
    counts = {names: 0 for size in range(1, len(found) + 1) for names in combinations(found, size)}
    for concept in set().union(*found.values()):
        counts[tuple(name for name in found if concept in found[name])] += 1
    return counts


def top_concepts(average_precisions: ArrayLike, direction: int, count: int = 5) -> Indices:
    """The concepts of highest average precision for a direction, the best first.

    `average_precisions`: (d, C). Concepts with NaN are left out, so there may be fewer than
    `count`; of equals the lower number comes first.
    """
    values = np.asarray(average_precisions, dtype=np.float64)[direction]
    order = np.argsort(-values, kind="stable")  # NaN last
    return order[: min(count, len(values) - np.count_nonzero(np.isnan(values)))]


# Chance ------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def chance_encoding_probability(
    positives: int, threshold: float = THRESHOLD, signs: Signs = "given"
) -> float:
    """Probability that a random ranking of n positives and n negatives is "encoded".

    All (2n)!/(n!)² rankings are equally likely, without ties. Up to n = 23 (at 0.9) those
    that reach the threshold are counted, so the result is exact; up to 64 the loss of precision is
    followed in small steps, within 0.1 % of the exact value; above 64 the probability for 64 is
    returned, an upper bound (1.1e-16 at 0.9). With `signs` "both" either order may reach it: twice
    the probability, exact from 0.85 on and an upper bound below.

    This is what directions unrelated to the concept do. Projections on random directions are
    related to it, as far as the features are: measure them (`random_directions`). Raises
    ValueError for fewer than one positive and for thresholds outside 0.6 to 1, below which chance
    is the rule.
    """
    _checked_choice("signs", signs, get_args(Signs))
    if positives < 1 or not 0.6 <= threshold <= 1:
        raise ValueError(
            f"asked for {positives} positives and a threshold of {threshold:g}; give at least one "
            "positive and a threshold from 0.6 to 1."
        )
    considered = min(int(positives), LARGEST_COUNTED)
    budget = (1 - threshold) * considered
    reaching = int(_rankings_within(considered, budget + ROUNDING, EXACT_NODES))
    if reaching >= 0:
        probability = reaching / math.comb(2 * considered, considered)
    else:
        probability = float(_probability_within(considered, budget, LOSS_BINS))
    return min(1.0, probability * (2 if signs == "both" else 1))


def expected_by_chance(
    positives: ArrayLike, directions: int, threshold: float = THRESHOLD, signs: Signs = "given"
) -> Array:
    """Probability that chance alone has a concept encoded in at least one direction.

    1 − (1 − p)^directions with p of `chance_encoding_probability`, directions taken as independent.
    `positives`: (C,) as many as the balanced sample holds (`BalancedSample.pairs`); a concept with
    none has 0. Returns (C,).
    """
    counts = np.asarray(positives)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any() or directions < 0:
        raise ValueError(
            f"positives must be a list of whole numbers, one per concept, and directions a number "
            f"that is not negative; got type {counts.dtype}, shape {counts.shape} and {directions}."
        )
    once = {n: chance_encoding_probability(int(n), threshold, signs) if n else 0.0
            for n in np.unique(np.minimum(counts, LARGEST_COUNTED))}  # fmt: skip
    single = np.array([once[n] for n in np.minimum(counts, LARGEST_COUNTED)], dtype=np.float64)
    with np.errstate(divide="ignore"):  # a certain event gives log 0
        result: Array = -np.expm1(directions * np.log1p(-single))
    return result


def beyond_chance(encoded_any: ArrayLike, probability: ArrayLike, level: float = 0.05) -> Flags:
    """Encoded concepts that chance alone would encode with a probability of at most `level`.

    `encoded_any`: (C,), whether any direction encodes the concept. `probability`: (C,), as
    `expected_by_chance` gives it. The level holds for one concept: of C concepts without any
    relation up to `level` × C are expected to pass.
    """
    found, chance = np.asarray(encoded_any), np.asarray(probability, dtype=np.float64)
    if found.dtype != np.bool_ or found.shape != chance.shape:
        raise ValueError(
            f"encoded_any must hold one truth value per concept and probability one number; got "
            f"type {found.dtype} of shape {found.shape} and shape {chance.shape}."
        )
    result: Flags = found & (chance <= level)
    return result


def random_directions(count: int, width: int, seed: int) -> Array:
    """Directions drawn uniformly from the sphere: (count, width), rows of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def permuted(labels: Labels, seed: int) -> Labels:
    """The same label rows, dealt out to other images: concepts keep their sizes and company.

    `labels`: scipy.sparse, (N, C). Returns a csr_array of truth values. Directions then have
    nothing to do with concepts, while scores keep their distribution.
    """
    matrix = _checked_labels(labels)
    return matrix[_permutation(matrix.shape[0], seed)]


@compiled
def _rankings_within(positives: int, budget: float, limit: int) -> int:
    """How many rankings of n positives and n negatives lose at most `budget` of precision.

    A positive that comes j-th with m negatives before it has the precision j / (j + m), a loss of
    m / (j + m); a ranking's loss is the sum, n (1 − AP). Choose the never falling m of each
    positive in turn; m can be chosen only if staying at it to the end is within the budget, so
    every branch that is entered leads to a ranking that counts. Returns −1 after `limit` steps.
    """
    losses = np.zeros((positives + 1, positives + 1))  # of staying at m from the j-th on
    for j in range(positives - 1, -1, -1):
        for m in range(positives + 1):
            losses[j, m] = losses[j + 1, m] + m / (j + 1 + m)
    chosen = np.full(positives, -1)
    spare = np.full(positives, budget)
    count, steps, j = 0, 0, 0
    while j >= 0 and steps < limit:
        steps += 1
        chosen[j] += 1
        m = chosen[j]
        if m > positives or losses[j, m] > spare[j]:
            j -= 1
        elif j == positives - 1:
            count += 1
        else:
            spare[j + 1] = spare[j] - m / (j + 1 + m)
            chosen[j + 1] = m - 1
            j += 1
    return count if j < 0 else -1


@compiled
def _probability_within(positives: int, budget: float, bins: int) -> float:
    """The share of rankings that lose at most `budget`, with the loss followed in steps.

    mass[m, b] is the probability of having passed j positives and m negatives with a loss of b
    steps. A loss between two steps is split between them, which keeps its mean.
    """
    width = budget / (bins - 0.5)
    mass = np.zeros((positives + 1, bins))
    mass[0, 0] = 1.0
    for j in range(positives):
        following = np.zeros((positives + 1, bins))
        for m in range(positives + 1):
            left = 2 * positives - j - m
            if m < positives:
                mass[m + 1] += mass[m] * ((positives - m) / left)
            loss = m / (j + 1 + m) / width
            whole, share = int(loss), loss - int(loss)
            come = (positives - j) / left
            for b in range(bins - whole):
                following[m, b + whole] += mass[m, b] * come * (1 - share)
                if b + whole + 1 < bins:
                    following[m, b + whole + 1] += mass[m, b] * come * share
        mass = following
    total: float = mass.sum()
    return total


# Scores ------------------------------------------------------------------------------------------


def project(
    features: ArrayLike,
    directions: ArrayLike,
    *,
    normalise: bool,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Scores of images along directions, h · v_i, or cos(h, v_i) with `normalise`: (N, k) float32.

    `features`: (N, width), perhaps memory-mapped, read in blocks of rows and multiplied in
    float64. `directions`: (k, width), rows of length 1. `out`: an array to fill, such as a memory
    map, instead of a new one. Raises ValueError for widths that differ, for NaN or infinity and,
    with `normalise`, for images that are zero.
    """
    array, vectors = checked_features(features, 1), checked_features(directions, 1)
    if array.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"features have {array.shape[1]} components but the directions {vectors.shape[1]}; "
            "take both from the same model."
        )
    shape = (len(array), len(vectors))
    scores = np.empty(shape, dtype=np.float32) if out is None else out
    if scores.shape != shape:
        raise ValueError(f"out has the shape {scores.shape}, but the scores will have {shape}.")
    reading = np.concatenate([block for _, block in finite_blocks(vectors)]).T
    start = 0
    plain = (h for _, h in finite_blocks(array))
    for h in unit_blocks(array, array.shape[1]) if normalise else plain:
        scores[start : start + len(h)] = h @ reading
        start += len(h)
    return scores


# Checks ------------------------------------------------------------------------------------------


def _permutation(images: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(images)


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


def _check_finite(values: NDArray[Any], image: int, direction: int) -> None:
    if not np.isfinite(values[image]):
        raise ValueError(
            f"the score of image {image} along direction {direction} is {values[image]}; scores "
            "must be finite numbers: look for what went wrong when they were computed."
        )


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
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    if not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix.astype(np.bool_, copy=False)


def _checked_keys(keys: ArrayLike | None, concepts: int) -> list[int]:
    names = np.arange(concepts) if keys is None else np.asarray(keys)
    whole = names.size == 0 or (names.dtype.kind in "iu" and names.min() >= 0)
    if names.shape != (concepts,) or not whole:
        raise ValueError(
            f"keys must be whole numbers that are not negative, one for each of {concepts} "
            f"concepts; got type {names.dtype} of shape {names.shape}."
        )
    return [int(name) for name in names]


def _checked_threads(threads: int | None) -> int:
    if threads is None:
        available = getattr(os, "sched_getaffinity", None)
        return len(available(0)) if available else os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"cannot work with {threads} threads; give 1 or more, or None for all.")
    return threads


def _checked_choice(what: str, chosen: str, choices: tuple[str, ...]) -> None:
    if chosen not in choices:
        raise ValueError(f"unknown {what} {chosen!r}; choose one of {', '.join(choices)}.")


def _checked_encodings(encodings: ArrayLike) -> Flags:
    array = np.asarray(encodings)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise ValueError(
            f"encodings must be truth values of shape (directions, concepts), got type "
            f"{array.dtype} of shape {array.shape}; take what `encoded` returns."
        )
    return array


def _checked_set(name: str, members: ArrayLike) -> set[int]:
    array = np.asarray(members)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise ValueError(
            f"the set {name!r} must be a list of concept numbers or of truth values, got type "
            f"{array.dtype} of shape {array.shape}."
        )
    return set((np.flatnonzero(array) if array.dtype == np.bool_ else array).tolist())
