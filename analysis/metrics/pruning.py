"""Pruning a head: what is lost when only some of its directions are kept.

`prune` is the equation (`eq-pruning`, Crabbé et al. 2023, 2024). `right_at_every_step` does the
sweep: it projects each image once and adds one direction after another to its logits, so the curve
over all numbers of directions costs little more than a single point. The rest judges pruning under
shift: the directions are ordered once, on the images of the training distribution, and each data
set is then classified with the first k directions of that order. The module does not know which
data sets these are: the pocket lab's drawing styles, or ImageNet and its five shifts.

Uncertainty is computed in two ways. Where data sets show the same *units* (the pocket lab's
concepts), `resampled` draws units, the same ones in every data set, refits the baseline to
resampled pools, and compares a pruned head with the whole one within each resample. Where the test
sets share no image and are large, `sampled` takes the binomial errors with the baseline held fixed,
as `robustness.sampling_error` does, and pairs the two heads image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import directions, robustness
from analysis.metrics.directions import Decomposition, decomposed
from analysis.metrics.robustness import NORMAL_95, Baseline

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.intp]
Order = Literal["importance", "singular_value", "reversed", "random"]

LOGIT_BYTES = 2**20
"""Size of the logits of the images that are classified at a time: they fit a processor's cache."""


def pruning_order(importances: ArrayLike, kind: Order, seed: int = 0) -> Integers:
    """The order in which directions are kept, the longest kept first: (rank,) → (rank,).

    `importance`: the most important first. `singular_value`: the largest σ first. `reversed`: the
    least important first. `random`: shuffled by `seed`.
    """
    values = np.asarray(importances, dtype=np.float64)
    by_importance = np.argsort(-values, kind="stable")
    return {
        "importance": by_importance,
        "singular_value": np.arange(len(values)),
        "reversed": by_importance[::-1],
        "random": np.random.default_rng(seed).permutation(len(values)),
    }[kind]


def prune(head: ArrayLike | Decomposition, order: ArrayLike, keep: int) -> Array:
    """The head rebuilt from the first `keep` directions of `order` (`eq-pruning`).

    Returns W_K = Σ_{i in K} σ_i u_i v_iᵀ, (classes, components). `keep` runs from 0 (a head of
    zeros) to the rank (the head itself).
    """
    parts, kept = decomposed(head), np.asarray(order)[:keep]
    return (parts.left[:, kept] * parts.singular_values[kept]) @ parts.directions[kept]


def pruning_curve(
    features: ArrayLike, labels: ArrayLike, head: ArrayLike | Decomposition, order: ArrayLike
) -> Array:
    """Accuracy with 1, 2, … rank directions kept, in `order`: fractions of shape (rank,).

    `features` (N, d), `labels` (N,) as rows of the head (classes, d). See `right_at_every_step`,
    which gives the result for every image and accepts more kinds of heads and labels.
    """
    return right_at_every_step(features, labels, head, order).mean(axis=1)


def right_at_every_step(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike | Decomposition,
    order: ArrayLike,
    class_subset: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    owners: ArrayLike | None = None,
    kept: ArrayLike | None = None,
) -> Flags:
    """Which images the first k directions of `order` classify correctly, for every k.

    `features`: (N, d). `labels`: (N,) classes. `class_subset`: (C,) the rows of the head that
    compete, for data sets with fewer classes (default: all). `owners`: (C,) the class that each of
    these rows stands for, where a class has several; by default a row is its own class. `bias`:
    (classes,), added whatever is kept, for heads that have one. `kept`: the numbers k, rising; by
    default 1 to the rank. Returns (steps, N). Among equal logits the lower row wins. Raises
    ValueError for a label that is not among the competing classes, if the numbers of labels and
    images differ, and for an order that does not contain each direction once.
    """
    parts, sequence = decomposed(head), np.asarray(order)
    if not np.array_equal(np.sort(sequence), np.arange(parts.rank)):
        raise ValueError(
            f"an order must hold each of the {parts.rank} directions once; make it with "
            "`pruning_order`."
        )
    steps = np.arange(1, parts.rank + 1) if kept is None else np.asarray(kept)
    classes, wanted, writing, constant = _task(features, labels, parts, class_subset, owners, bias)
    writing = writing[sequence]
    right = np.empty((len(steps), len(wanted)), dtype=np.bool_)
    for images, projected in _projections(features, parts, len(classes)):
        p = projected[:, sequence]
        logits = np.tile(constant, (len(p), 1))
        added = np.empty_like(logits)
        done = 0
        for step, k in enumerate(steps.tolist()):
            add = np.multiply if k == done + 1 else np.matmul  # of one direction the same, faster
            add(p[:, done:k], writing[done:k], out=added)
            logits += added
            right[step, images] = classes[logits.argmax(axis=1)] == wanted[images]
            done = k
    return right


def accuracy_without_each(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike | Decomposition,
    class_subset: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Array:
    """Accuracy with one direction left out, for each direction: fractions (rank,), in order of σ.

    The arguments are those of `right_at_every_step`. The result shows how much a direction matters
    to the predictions, whereas importance only says how strongly it is read.
    """
    parts = decomposed(head)
    classes, wanted, writing, constant = _task(features, labels, parts, class_subset, None, bias)
    right = np.zeros(parts.rank)
    for images, p in _projections(features, parts, len(classes)):
        logits = p @ writing + constant
        for k in range(parts.rank):
            without = logits - p[:, k, None] * writing[k]
            right[k] += (classes[without.argmax(axis=1)] == wanted[images]).sum()
    return right / len(wanted)


def paired_difference(right: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    """Difference of two accuracies on the same images, and its standard error: fractions.

    `right`: (…, N) and `reference`: (N,), whether each image is classified correctly. The images
    count as an independent sample; what both heads share cancels (McNemar 1947).
    """
    change = np.asarray(right, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    return change.mean(axis=-1), change.std(axis=-1) / np.sqrt(change.shape[-1])


def fewest_kept_without_loss(highest: ArrayLike, kept: ArrayLike | None = None) -> int:
    """The smallest number of directions kept from which on no loss is established.

    `highest`: (steps,) upper ends of the interval of the change from the whole head, which comes
    last. `kept`: (steps,) how many directions each step keeps, by default 1, 2, … A loss is
    established where the whole interval lies below zero. With few images this is a weak test:
    finding no loss does not show that there is none.

    >>> fewest_kept_without_loss([-0.2, 0.1, -0.1, 0, 0])
    4
    """
    ends = np.asarray(highest, dtype=np.float64)
    steps = np.arange(1, len(ends) + 1) if kept is None else np.asarray(kept)
    return int(steps[np.flatnonzero(ends < 0).max(initial=-1) + 1])


@dataclass(frozen=True)
class Images:
    """The images of one data set.

    `features`: (N, d) as the head sees them; `labels`, `class_subset` and `owners` as
    `right_at_every_step` takes them. `units`: (N,) whole numbers, what is resampled; images of two
    data sets with the same number are drawn together; None where nothing is.
    """

    features: NDArray[np.floating]
    labels: Integers
    units: Integers | None = None
    class_subset: Integers | None = None
    owners: Integers | None = None


class Curves(NamedTuple):
    """Accuracies and effective robustness with 1, 2, … rank directions kept, or at some steps.

    All are fractions, (steps,) each. `inside`: accuracy on the training distribution; `outside`:
    plain mean of the accuracies under shift; `robustness`: `outside` minus what the baseline
    expects at `inside` (`eq-effective-robustness`).
    """

    inside: Array
    outside: Array
    robustness: Array


@dataclass(frozen=True)
class Sweep:
    """Pruning of one model in one order, with its uncertainty: (steps,) in every curve.

    `steps`: how many directions are kept, rising to the whole head. `low`, `high`: ends of the 95 %
    interval; or, for several random orders, whose mean `curves` is then, the lowest and the
    highest. `change` and its ends are the difference from the whole head; random orders have none.
    """

    steps: Integers
    curves: Curves
    low: Curves
    high: Curves
    change: Curves | None = None
    change_low: Curves | None = None
    change_high: Curves | None = None


def sweeps(
    sets: Sequence[Images],
    parts: Decomposition,
    bias: ArrayLike | None,
    orders: Sequence[Order],
    baseline: Baseline,
    judge: Callable[[Sequence[Flags]], Sweep],
    random_orders: int,
    steps: Integers,
) -> dict[str, Sweep]:
    """Prune one head in several orders: order → its curves, with intervals by `judge`.

    The first data set is the training distribution, on which importance is taken; the others are
    the shifts. `judge` turns the flags (steps, N) of every data set into a sweep, by `resampled` or
    `sampled`. Random orders, with seeds 0, 1, 2, …, are shown by their mean and range.
    """
    importances = directions.importance(sets[0].features, parts)

    def flags(kind: Order, seed: int = 0) -> list[Flags]:
        order = pruning_order(importances, kind, seed)
        return [
            right_at_every_step(
                one.features, one.labels, parts, order, one.class_subset, bias, one.owners, steps
            )
            for one in sets
        ]

    found: dict[str, Sweep] = {k: judge(flags(k)) for k in orders if k != "random"}
    if "random" in orders:
        drawn = [curves(flags("random", seed), baseline) for seed in range(random_orders)]
        found["random"] = _sweep(steps, *(of(drawn, axis=0) for of in (np.mean, np.min, np.max)))
    return {kind: found[kind] for kind in orders}


def curves(flags: Sequence[Flags], baseline: Baseline) -> Array:
    """The three `Curves` from whether images are right, the training distribution first.

    `flags`: (steps, N) of each data set. Returns (3, steps).
    """
    return _curves([right.mean(axis=1) for right in flags], baseline)


def resampled(
    flags: Sequence[Flags],
    units: Sequence[Integers],
    baseline: Baseline,
    refits: Sequence[Baseline],
    seed: int,
) -> Sweep:
    """One order with intervals from resampled units: flags (steps, N), units (N,) per data set.

    The first data set is the training distribution, the others are the shifts; the steps are 1, 2,
    …, all directions. `baseline` gives the values, the intervals are the middle 95 % of resamples
    of the units, one for each of `refits`, whose baseline it takes (`robustness.resampled_units`).
    """
    pairs = zip(flags, robustness.resampled_units(units, len(refits), seed), strict=True)
    drawn = _curves([robustness.weighted_accuracy(f, weights) for f, weights in pairs], refits)
    point = curves(flags, baseline)
    ends, ends_of_change = (
        np.percentile(values, [2.5, 97.5], axis=1) for values in (drawn, drawn - drawn[..., -1:])
    )
    steps = np.arange(1, point.shape[1] + 1)
    return _sweep(steps, point, *ends, point - point[:, -1:], *ends_of_change)


def sampled(flags: Sequence[Flags], baseline: Baseline, steps: Integers) -> Sweep:
    """One order with normal 95 % intervals from finite test sets that share no image.

    `flags`: (steps, N) of each data set as `resampled` takes them, the whole head last. The
    baseline is held fixed and enters by the delta method, as in `robustness.sampling_error`. A
    change is paired image by image. Where accuracy inside is 0 or 1 the baseline has no slope, and
    robustness no interval: NaN.
    """
    point = curves(flags, baseline)
    sets = [right.astype(np.float64) for right in flags]
    through = robustness.expected_slope(point[0], baseline)[:, None] * sets[0]
    far = NORMAL_95 * _errors(sets, through)
    paired = NORMAL_95 * _errors([right - right[-1] for right in sets], through - through[-1])
    change = point - point[:, -1:]
    return _sweep(steps, point, point - far, point + far, change, change - paired, change + paired)


def _sweep(steps: Integers, *curves: Array) -> Sweep:
    return Sweep(steps, *(Curves(*three) for three in curves))


def _curves(accuracies: Sequence[Array], baseline: Baseline | Sequence[Baseline]) -> Array:
    """Inside, outside and robustness: (3, …) of accuracies (steps,), or (baselines, steps)."""
    inside, outside = accuracies[0], np.mean(accuracies[1:], axis=0)
    return np.array([inside, outside, outside - robustness.expected(inside, baseline)])


def _errors(sets: Sequence[Array], through: Array) -> Array:
    """Standard errors inside, outside and of robustness, from values of single images (steps, N).

    `through`: how much each image inside changes the accuracy that the baseline expects.
    """
    inside, *outside, of_line = (one.var(axis=1) / one.shape[1] for one in (*sets, through))
    mean = np.sum(outside, axis=0) / len(outside) ** 2
    return np.sqrt([inside, mean, mean + of_line])


def _projections(
    features: ArrayLike, parts: Decomposition, rows: int
) -> Iterator[tuple[slice, Array]]:
    """Yield which images, and their components along all directions: few enough for the cache."""
    step = max(1, LOGIT_BYTES // (8 * rows))
    for images, h in directions.matching_blocks(features, parts.directions.shape[1]):
        projected = h @ parts.directions.T
        for start in range(0, len(h), step):
            part = projected[start : start + step]
            yield slice(images.start + start, images.start + start + len(part)), part


def _task(
    features: ArrayLike,
    labels: ArrayLike,
    parts: Decomposition,
    class_subset: ArrayLike | None,
    owners: ArrayLike | None,
    bias: ArrayLike | None,
) -> tuple[Integers, Integers, Array, Array]:
    """The classes of the C rows that compete, those wanted, and what is added to the rows' logits.

    (C,) and (N,); by each direction, σ_i u_i: (rank, C); and whatever is kept: (C,).
    """
    count, wanted = len(parts.left), np.asarray(labels)
    rows = np.arange(count) if class_subset is None else np.asarray(class_subset)
    classes = rows if owners is None else np.asarray(owners)
    if wanted.shape != np.shape(features)[:1] or not np.isin(wanted, classes).all():
        raise ValueError(
            f"{len(np.asarray(features))} images need one label each, of the "
            f"{len(np.unique(classes))} classes that compete; got labels of shape {wanted.shape} "
            f"from {wanted.min(initial=0)} to {wanted.max(initial=0)}."
        )
    constant = np.zeros(count) if bias is None else np.asarray(bias, dtype=np.float64)
    rising = np.argsort(rows, kind="stable")
    rows = rows[rising]
    writing = np.ascontiguousarray((parts.left[rows] * parts.singular_values).T)
    return classes[rising], wanted, writing, constant[rows]
