"""Pruning a head: what is lost when only some of its directions are kept.

`prune` is the equation (`eq-pruning`, Crabbé et al. 2023, 2024). `right_at_every_step` is the one
sweep: it projects each image once and adds one direction after another to its logits, so the curve
over all numbers of directions costs little more than a single one. The rest judges pruning under
shift: the directions are ordered once, on the images of the training distribution, then each data
set is classified with the first k directions of that order. Nothing here knows which data sets
these are: the pocket lab's drawing styles, or ImageNet and its five shifts.

Uncertainty comes in two ways. Where data sets show the same *units* (the pocket lab's concepts),
`resampled` draws these, the same ones in every data set, refits the baseline to resampled pools,
and compares a pruned head with the whole one within each resample. Where the test sets share no
image and are large, `sampled` takes the binomial errors with the baseline held fixed, as
`robustness.sampling_error` does, and pairs the two heads image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import directions, robustness
from analysis.metrics.directions import Decomposition, decomposed
from analysis.metrics.outliers import checked_features
from analysis.metrics.robustness import NORMAL_95, Baseline

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.intp]
Order = Literal["importance", "singular_value", "reversed", "random"]

LOGIT_BYTES = 2**20
"""Size of the logits of the images that are classified at a time: they fit a processor's cache."""


def pruning_order(importances: ArrayLike, kind: Order, seed: int | None = None) -> Integers:
    """The order in which directions are kept, the first one kept longest: (rank,) → (rank,).

    `importance`: the most important first. `singular_value`: the largest σ first. `reversed`: the
    least important first. `random`: shuffled by `seed`, which this kind alone needs.
    """
    values = directions.checked_importances(importances)
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
    parts = decomposed(head)
    kept = _checked_order(order, parts.rank)
    if not 0 <= keep <= parts.rank:
        raise ValueError(f"cannot keep {keep} of {parts.rank} directions; give 0 to {parts.rank}.")
    kept = kept[:keep]
    weighted = parts.left[:, kept] * parts.singular_values[kept]
    pruned: Array = weighted @ parts.directions[kept]
    return pruned


def pruning_curve(
    features: ArrayLike, labels: ArrayLike, head: ArrayLike | Decomposition, order: ArrayLike
) -> Array:
    """Accuracy with 1, 2, … rank directions kept, in `order`: fractions of shape (rank,).

    Features (N, d), labels (N,) as rows of the head (classes, d): see `right_at_every_step`, which
    says it of every image, and knows more kinds of heads and labels.
    """
    accuracy: Array = right_at_every_step(features, labels, head, order).mean(axis=1)
    return accuracy


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
    """Which images are classified right with the first k directions of `order`, for every k.

    `features`: (N, d). `labels`: (N,) classes. `class_subset`: (C,) the rows of the head that
    compete, for data sets with fewer classes (default: all). `owners`: (C,) the class that each of
    these rows stands for, where a class has several; else a row is its own class. `bias`:
    (classes,), added whatever is kept, for heads that have one. `kept`: the numbers k, rising;
    default 1 to the rank. Returns (steps, N). Of equal logits the lower row wins. Raises ValueError
    for a label that is none of the classes that compete, and for arguments that do not fit.
    """
    parts = decomposed(head)
    sequence = _checked_order(order, parts.rank)
    steps = _checked_steps(kept, parts.rank)
    classes, wanted, writing, constant = _task(labels, parts, class_subset, owners, bias)
    writing = writing[sequence]
    right = np.empty((len(steps), len(wanted)), dtype=np.bool_)
    for images, projected in _projections(features, parts, wanted, classes):
        p = projected[:, sequence]
        logits = np.tile(constant, (len(p), 1))
        added = np.empty_like(logits)
        done = 0
        for step, k in enumerate(steps):
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
    """Accuracy with one direction left out, for each: fractions (rank,), order of σ.

    The arguments are those of `right_at_every_step`. Shows how much a direction matters to the
    predictions, where importance only says how strongly it is read.
    """
    parts = decomposed(head)
    classes, wanted, writing, constant = _task(labels, parts, class_subset, None, bias)
    right = np.zeros(parts.rank)
    for images, p in _projections(features, parts, wanted, classes):
        logits = p @ writing + constant
        for k in range(parts.rank):
            without = logits - p[:, k, None] * writing[k]
            right[k] += (classes[without.argmax(axis=1)] == wanted[images]).sum()
    accuracy: Array = right / len(wanted)
    return accuracy


def paired_difference(right: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    """Difference of two accuracies on the same images, and its standard error: fractions.

    `right`: (…, N) and `reference`: (N,), whether each image is classified right. The images are
    taken as an independent sample; what both share cancels (McNemar 1947).
    """
    change = np.asarray(right, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    return change.mean(axis=-1), change.std(axis=-1) / np.sqrt(change.shape[-1])


def fewest_kept_without_loss(highest: ArrayLike, kept: ArrayLike | None = None) -> int:
    """The smallest number of directions kept from which on no loss is established.

    `highest`: (steps,) upper ends of the interval of the change from the whole head, the whole head
    last. `kept`: (steps,) how many directions each step keeps, default 1, 2, … A loss is
    established where the whole interval lies below zero. With few images that is a weak test: no
    loss found is not no loss.

    >>> fewest_kept_without_loss([-0.2, 0.1, -0.1, 0, 0])
    4
    """
    ends = np.asarray(highest, dtype=np.float64)
    steps = np.arange(1, len(ends) + 1) if kept is None else np.asarray(kept)
    if len(steps) != len(ends) or not len(ends) or ends[-1] < 0:
        raise ValueError(
            f"{len(ends)} changes for {len(steps)} steps, the last of which must be the whole head "
            "and its change zero."
        )
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

    Fractions, (steps,) each. `inside`: accuracy on the training distribution; `outside`: plain mean
    of the accuracies under shift; `robustness`: `outside` less what the baseline expects at
    `inside` (`eq-effective-robustness`).
    """

    inside: Array
    outside: Array
    robustness: Array


@dataclass(frozen=True)
class Sweep:
    """Pruning of one model in one order, with its uncertainty: (steps,) in every curve.

    `low`, `high`: ends of the 95 % interval; or, for several random orders, whose mean `curves` is
    then, the lowest and the highest. `change` and its ends are the difference from the whole head;
    random orders have none. `kept`: how many directions are kept at each step, the whole head last;
    every number from 1 on if None.
    """

    curves: Curves
    low: Curves
    high: Curves
    change: Curves | None = None
    change_low: Curves | None = None
    change_high: Curves | None = None
    kept: Integers | None = field(default=None, kw_only=True)

    @property
    def steps(self) -> Integers:
        """How many directions are kept at each step, rising to the rank."""
        return np.arange(1, len(self.curves.inside) + 1) if self.kept is None else self.kept

    def at(self, kept: int) -> int:
        """The step with that many directions kept; ValueError if there is none."""
        found = np.flatnonzero(self.steps == kept)
        if not len(found):
            raise ValueError(f"no step keeps {kept} directions; the steps keep {self.steps}.")
        return int(found[0])

    def fewest_without_loss(self, quantity: Literal["inside", "outside", "robustness"]) -> int:
        """See `fewest_kept_without_loss`; ValueError for random orders."""
        if self.change_high is None:
            raise ValueError("random orders have no interval of their change; give another order.")
        return fewest_kept_without_loss(getattr(self.change_high, quantity), self.steps)


def sweeps(
    sets: Sequence[Images],
    parts: Decomposition,
    bias: ArrayLike | None,
    orders: Sequence[Order],
    baseline: Baseline,
    judge: Callable[[Sequence[Flags]], Sweep],
    random_orders: int,
    kept: Integers | None = None,
) -> dict[str, Sweep]:
    """Prune one head in some orders: order → its curves, with intervals by `judge`.

    The first data set is the training distribution, on which importance is taken; the others are
    the shifts. `judge` turns the flags (steps, N) of every data set into a sweep, by `resampled` or
    `sampled`. Random orders, with seeds 0, 1, 2, …, are shown by their mean and range.
    """
    importances = directions.importance(sets[0].features, parts)

    def flags(kind: Order, seed: int | None = None) -> list[Flags]:
        order = pruning_order(importances, kind, seed)
        return [
            right_at_every_step(
                one.features, one.labels, parts, order, one.class_subset, bias, one.owners, kept
            )
            for one in sets
        ]

    found: dict[str, Sweep] = {}
    for kind in orders:
        if kind == "random":
            drawn = (flags(kind, seed) for seed in range(random_orders))
            found[kind] = spread(
                [curves([one.mean(axis=1) for one in f], baseline) for f in drawn], kept
            )
        else:
            found[kind] = judge(flags(kind))
    return found


def curves(accuracies: Sequence[Array], baseline: Baseline | Sequence[Baseline]) -> Array:
    """The three `Curves` from the accuracies on each data set, the training distribution first.

    `accuracies`: (steps,) each, or (baselines, steps) for several baselines. Returns (3, …).
    """
    inside, outside = accuracies[0], np.mean(accuracies[1:], axis=0)
    return np.array([inside, outside, outside - robustness.expected(inside, baseline)])


def resampled(
    flags: Sequence[Flags],
    units: Sequence[Integers],
    baseline: Baseline,
    refits: Sequence[Baseline],
    seed: int,
) -> Sweep:
    """One order with intervals from resampled units: flags (steps, N), units (N,) per data set.

    The first data set is the training distribution, the others are the shifts. `baseline` gives
    the values, the intervals are the middle 95 % of resamples of the units, one for each of
    `refits`, whose baseline it takes (`robustness.resampled_units`).
    """
    pairs = zip(flags, robustness.resampled_units(units, len(refits), seed), strict=True)
    drawn = curves([robustness.weighted_accuracy(f, weights) for f, weights in pairs], refits)
    point = curves([one.mean(axis=1) for one in flags], baseline)
    ends, ends_of_change = (
        np.percentile(values, [2.5, 97.5], axis=1) for values in (drawn, drawn - drawn[..., -1:])
    )
    return _sweep(point, *ends, point - point[:, -1:], *ends_of_change)


def sampled(flags: Sequence[Flags], baseline: Baseline, kept: Integers | None = None) -> Sweep:
    """One order with normal 95 % intervals from finite test sets that share no image.

    `flags`: (steps, N) of each data set as `resampled` takes them, the whole head last. The
    baseline is held fixed and enters by the delta method, as in `robustness.sampling_error`. A
    change is paired image by image. Where accuracy inside is 0 or 1 the baseline has no slope, and
    robustness no interval: NaN.
    """
    point = curves([one.mean(axis=1) for one in flags], baseline)
    sets = [one.astype(np.float64) for one in flags]
    through = robustness.expected_slope(point[0], baseline)[:, None] * sets[0]
    far = NORMAL_95 * _errors(sets, through)
    paired = NORMAL_95 * _errors([one - one[-1] for one in sets], through - through[-1])
    change = point - point[:, -1:]
    return _sweep(
        point, point - far, point + far, change, change - paired, change + paired, kept=kept
    )


def spread(found: Sequence[Array], kept: Integers | None = None) -> Sweep:
    """Mean, lowest and highest of the `curves` (3, steps) of several random orders."""
    return _sweep(np.mean(found, axis=0), np.min(found, axis=0), np.max(found, axis=0), kept=kept)


def _sweep(*curves: Array, kept: Integers | None = None) -> Sweep:
    return Sweep(*(Curves(*three) for three in curves), kept=kept)


def _errors(sets: Sequence[Array], through: Array) -> Array:
    """Standard errors inside, outside and of robustness, from values of single images (steps, N).

    `through`: what each image inside changes of the accuracy that the baseline expects.
    """
    inside, *outside, of_line = (one.var(axis=1) / one.shape[1] for one in (*sets, through))
    mean = np.sum(outside, axis=0) / len(outside) ** 2
    return np.sqrt([inside, mean, mean + of_line])


def _projections(
    features: ArrayLike, parts: Decomposition, wanted: Integers, classes: Integers
) -> Iterator[tuple[slice, Array]]:
    """Yield which images, and their components along all directions: few enough for the cache."""
    images = len(checked_features(features, smallest_width=1))
    if images != len(wanted):
        raise ValueError(f"there are {images} images but {len(wanted)} labels; give one per image.")
    step = max(1, LOGIT_BYTES // (8 * len(classes)))
    for rows, h in directions.matching_blocks(features, parts.directions.shape[1]):
        projected = h @ parts.directions.T
        for start in range(0, len(h), step):
            part = projected[start : start + step]
            yield slice(rows.start + start, rows.start + start + len(part)), part


def _task(
    labels: ArrayLike,
    parts: Decomposition,
    class_subset: ArrayLike | None,
    owners: ArrayLike | None,
    bias: ArrayLike | None,
) -> tuple[Integers, Integers, Array, Array]:
    """The classes of the C rows that compete, those wanted, and what is added to the rows' logits.

    (C,) and (N,); by each direction, σ_i u_i: (rank, C); and whatever is kept: (C,).
    """
    count = len(parts.left)
    rows = np.arange(count) if class_subset is None else np.asarray(class_subset)
    if not rows.size or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= count:
        raise ValueError(
            f"class_subset must hold row numbers of the head, 0 to {count - 1}; got values from "
            f"{rows.min(initial=0)} to {rows.max(initial=0)}."
        )
    classes = rows if owners is None else np.asarray(owners)
    if classes.shape != rows.shape:
        raise ValueError(
            f"owners must give a class for each of the {len(rows)} rows that compete, got shape "
            f"{classes.shape}."
        )
    wanted = np.asarray(labels)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be a list of whole numbers, one class per image; got shape "
            f"{wanted.shape} of type {wanted.dtype}."
        )
    unknown = ~np.isin(wanted, classes)
    if unknown.any():
        raise ValueError(
            f"label {wanted[unknown][0]} is none of the {len(np.unique(classes))} classes that "
            "compete; labels are row numbers of the head, or the classes that own its rows."
        )
    constant = np.zeros(count) if bias is None else np.asarray(bias, dtype=np.float64)
    if constant.shape != (count,) or not np.isfinite(constant).all():
        raise ValueError(
            f"a bias needs one finite number for each of the head's {count} classes, got shape "
            f"{constant.shape}."
        )
    rising = np.argsort(rows, kind="stable")
    rows = rows[rising]
    writing = np.ascontiguousarray((parts.left[rows] * parts.singular_values).T)
    return classes[rising], wanted, writing, constant[rows]


def _checked_order(order: ArrayLike, rank: int) -> Integers:
    sequence = np.asarray(order)
    if sequence.shape != (rank,) or not np.array_equal(np.sort(sequence), np.arange(rank)):
        raise ValueError(
            f"an order must hold each of the {rank} directions once, got shape {sequence.shape}; "
            "make it with `pruning_order`."
        )
    return sequence.astype(np.intp)


def _checked_steps(kept: ArrayLike | None, rank: int) -> list[int]:
    steps = np.arange(1, rank + 1) if kept is None else np.asarray(kept)
    if not np.isin(steps, np.arange(1, rank + 1)).all() or (np.diff(steps) <= 0).any():
        raise ValueError(f"kept must hold rising numbers from 1 to {rank}, got {steps}.")
    return [int(k) for k in steps]
