"""Pruning judged under shift: accuracy and effective robustness for every number of directions.

Pure functions on arrays. The directions are ordered once, on the images of the training
distribution; then each data set is classified with the first 1, 2, … directions of that order.
Nothing here knows which data sets these are: the pocket lab's drawing styles, or ImageNet and its
five shifts, where a shift may have fewer classes (`class_subset`).

Uncertainty comes in two ways. Where data sets show the same *units* (the pocket lab's concepts),
these are resampled, the same ones in every data set, and the baseline is refitted to resampled
pools; a pruned head is compared with the whole one within each resample (Efron 1979). Where the
test sets share no image and are large, `sampled` takes the binomial errors with the baseline held
fixed, as `robustness.sampling_error` does, and pairs the two heads image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import directions
from analysis.metrics.directions import Decomposition, Order
from analysis.metrics.robustness import Baseline, inverse_logit

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.intp]
#: Images whose logits are held at a time, so that they fit the processor's cache.
BLOCK = 256
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Images:
    """The images of one data set.

    `features`: (N, d) as the head sees them. `units`: (N,) whole numbers, what is resampled; images
    of two data sets with the same number are drawn together; None where nothing is.
    `class_subset`: (C,) rows of the head that compete, all if None. `owners`: (C,) the class that
    each of these rows stands for, where a class has several; else a row is its own class.
    `labels`: (N,) classes, so rows of the head unless `owners` says otherwise.
    """

    features: NDArray[np.floating]
    labels: Integers
    units: Integers | None = None
    class_subset: Integers | None = None
    owners: Integers | None = None


@dataclass(frozen=True)
class Curves:
    """Accuracies and effective robustness with 1, 2, … rank directions kept, or at some steps.

    Fractions, each of shape (rank,) or (steps,), or with resamples before it. `inside`: accuracy on
    the training distribution; `outside`: plain mean of the accuracies under shift; `robustness`:
    `outside` less what the baseline expects at `inside` (`eq-effective-robustness`).
    """

    inside: Array
    outside: Array
    robustness: Array

    def less_whole(self) -> Curves:
        """What pruning changes: each curve less its value with all directions kept."""
        parts = (self.inside, self.outside, self.robustness)
        return Curves(*(part - part[..., -1:] for part in parts))


@dataclass(frozen=True)
class Sweep:
    """Pruning of one model in one order, with its uncertainty: (rank,) or (steps,) in every curve.

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
    kept: Integers | None = None

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


def right(
    images: Images,
    parts: Decomposition,
    order: ArrayLike,
    bias: ArrayLike | None = None,
    kept: Integers | None = None,
) -> Flags:
    """Which images are classified right with the first k directions of `order`: (steps, N).

    `kept`: the numbers k, rising; all from 1 to the rank if None. `bias`: (classes,), added
    whatever is kept. Raises ValueError if a label is none of the classes that compete.
    """
    sequence = np.asarray(order)
    steps = np.arange(1, parts.rank + 1) if kept is None else kept
    rows = np.arange(len(parts.left)) if images.class_subset is None else images.class_subset
    owners = rows if images.owners is None else images.owners
    unknown = np.setdiff1d(images.labels, owners)
    if len(unknown):
        raise ValueError(
            f"label {unknown[0]} is none of the {len(np.unique(owners))} classes that compete."
        )
    constant = np.zeros(len(rows)) if bias is None else np.asarray(bias, np.float64)[rows]
    reading = parts.directions[sequence].T
    writing = (parts.left[np.ix_(rows, sequence)] * parts.singular_values[sequence]).T
    found = np.empty((len(steps), len(images.labels)), dtype=np.bool_)
    for first in range(0, len(images.labels), BLOCK):
        block = slice(first, first + BLOCK)
        projected = np.asarray(images.features[block], np.float64) @ reading
        logits = np.tile(constant, (len(projected), 1))
        done = 0
        for step, k in enumerate(steps):
            logits += projected[:, done:k] @ writing[done:k]
            found[step, block] = owners[logits.argmax(axis=1)] == images.labels[block]
            done = k
    return found


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
    the shifts. Random orders, with seeds 0, 1, 2, …, are shown by their mean and range.
    """
    importance = directions.importance(sets[0].features, parts)

    def flags(kind: Order, seed: int | None = None) -> list[Flags]:
        order = directions.pruning_order(importance, kind, seed)
        return [right(one, parts, order, bias, kept) for one in sets]

    found: dict[str, Sweep] = {}
    for kind in orders:
        if kind == "random":
            drawn = (flags(kind, seed) for seed in range(random_orders))
            found[kind] = spread([curves(f[0], f[1:], baseline) for f in drawn], kept)
        else:
            found[kind] = judge(flags(kind))
    return found


def curves(inside: Flags, outside: Sequence[Flags], baseline: Baseline) -> Curves:
    """The curves of one order: from (rank, N) on each data set, as `right` returns them."""
    accuracy = inside.mean(axis=1)
    shifted = np.mean([flags.mean(axis=1) for flags in outside], axis=0)
    return Curves(accuracy, shifted, shifted - expected(accuracy, [baseline])[0])


def resampled_curves(
    inside: tuple[Flags, Integers],
    outside: Sequence[tuple[Flags, Integers]],
    baselines: Sequence[Baseline],
    seed: int,
) -> Curves:
    """The curves under resampling, one resample per baseline: (resamples, rank) each.

    `inside`, `outside`: for each data set the flags (rank, N) and the units (N,). A resample draws
    as many units as there are in all data sets, with replacement; its baseline is the one of the
    same number. One seed gives one result.
    """
    sets = [inside, *outside]
    known = np.unique(np.concatenate([units for _, units in sets]))
    counts = np.random.default_rng(seed).multinomial(
        len(known), np.full(len(known), 1 / len(known)), size=len(baselines)
    )
    accuracies = [
        weighted_accuracy(flags, counts[:, np.searchsorted(known, units)]) for flags, units in sets
    ]
    shifted = np.mean(accuracies[1:], axis=0)
    return Curves(accuracies[0], shifted, shifted - expected(accuracies[0], baselines))


def sweep(
    flags: Sequence[Flags],
    units: Sequence[Integers],
    baseline: Baseline,
    refits: Sequence[Baseline],
    seed: int,
) -> Sweep:
    """One order with intervals: flags (rank, N) and units (N,) of each data set.

    The first data set is the training distribution, the others are the shifts. `baseline` gives
    the values, `refits` and `seed` the intervals (`resampled_curves`).
    """
    point = curves(flags[0], flags[1:], baseline)
    pairs = list(zip(flags, units, strict=True))
    drawn = resampled_curves(pairs[0], pairs[1:], refits, seed)
    return Sweep(point, *_ends(drawn), point.less_whole(), *_ends(drawn.less_whole()))


def sampled(flags: Sequence[Flags], baseline: Baseline, kept: Integers | None = None) -> Sweep:
    """One order with normal 95 % intervals from finite test sets that share no image.

    `flags`: (steps, N) of each data set as `sweep` takes them, the whole head last. The baseline is
    held fixed and enters by the delta method, as in `robustness.sampling_error`. A change is paired
    image by image. Where accuracy inside is 0 or 1 the baseline has no slope, and robustness no
    interval: NaN.
    """
    point = curves(flags[0], flags[1:], baseline)
    sets = [_moments(one) for one in flags]
    slope = _slope(point.inside, baseline)
    variances = [a * (1 - a) / n for a, _, n in sets]
    errors = _errors(variances, slope**2 * variances[0])
    differences = [
        np.maximum(a + a[-1] - 2 * joint - (a - a[-1]) ** 2, 0) / n for a, joint, n in sets
    ]
    a, joint, n = sets[0]
    through = slope * slope * (a - a * a) + slope[-1] * slope[-1] * (a[-1] - a[-1] * a[-1])
    through -= 2 * slope * slope[-1] * (joint - a * a[-1])
    paired = _errors(differences, np.maximum(through, 0) / n)
    change = point.less_whole()
    return Sweep(
        point, _shifted(point, errors, -1), _shifted(point, errors, 1),
        change, _shifted(change, paired, -1), _shifted(change, paired, 1), kept,
    )  # fmt: skip


def _moments(flags: Flags) -> tuple[Array, Array, int]:
    """Accuracy at each step, share of images right at it and with the whole head, and images."""
    return flags.mean(axis=1), (flags & flags[-1]).mean(axis=1), flags.shape[1]


def _slope(accuracy: Array, baseline: Baseline) -> Array:
    """How fast the expected accuracy rises with the accuracy inside: NaN at 0 and 1."""
    line = expected(accuracy, [baseline])[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope: Array = baseline.slope * line * (1 - line) / (accuracy * (1 - accuracy))
    return np.where((accuracy > 0) & (accuracy < 1), slope, np.nan)


def _errors(variances: Sequence[Array], through: Array) -> tuple[Array, Array, Array]:
    """Standard errors inside, outside and of robustness, from each data set's variance.

    `through`: the variance that accuracy inside brings through the baseline.
    """
    inside, outside = variances[0], np.sum(variances[1:], axis=0) / (len(variances) - 1) ** 2
    return np.sqrt(inside), np.sqrt(outside), np.sqrt(outside + through)


def _shifted(curves: Curves, errors: tuple[Array, Array, Array], sign: int) -> Curves:
    parts = (curves.inside, curves.outside, curves.robustness)
    moved = [p + sign * NORMAL_95 * e for p, e in zip(parts, errors, strict=True)]
    return Curves(*moved)


def spread(found: Sequence[Curves], kept: Integers | None = None) -> Sweep:
    """Mean, lowest and highest of the curves of several random orders."""
    stacks = [
        np.array([getattr(one, name) for one in found])
        for name in ("inside", "outside", "robustness")
    ]
    return Sweep(
        Curves(*(stack.mean(axis=0) for stack in stacks)),
        Curves(*(stack.min(axis=0) for stack in stacks)),
        Curves(*(stack.max(axis=0) for stack in stacks)),
        kept=kept,
    )


def weighted_accuracy(flags: Flags, weights: NDArray[np.integer]) -> Array:
    """Accuracy where images count several times: (rank, N), (resamples, N) → (resamples, rank).

    Raises ValueError if all images of a resample have weight zero.
    """
    total = weights.sum(axis=1, keepdims=True)
    if not total.all():
        raise ValueError(
            f"{int((total == 0).sum())} of {len(total)} resamples hold none of the {len(flags.T)} "
            "images of a data set, which has no accuracy then; resample larger data sets."
        )
    accuracy: Array = (weights.astype(np.float64) @ flags.T.astype(np.float64)) / total
    return accuracy


def expected(accuracy: ArrayLike, baselines: Sequence[Baseline]) -> Array:
    """What each baseline expects under shift: (rank,) or (baselines, rank) → (baselines, rank).

    At accuracies 0 and 1, which pruning may reach and where the logit is infinite, the line's
    limits are taken: 0 and 1 if it rises, 1 and 0 if it falls, as a resampled pool's may. Nothing
    is clipped.
    """
    a = np.atleast_2d(np.asarray(accuracy, dtype=np.float64))
    slope = np.array([line.slope for line in baselines])[:, None]
    intercept = np.array([line.intercept for line in baselines])[:, None]
    with np.errstate(divide="ignore"):
        log_odds = np.log(a) - np.log1p(-a)
    scaled = np.multiply(slope, log_odds, where=slope != 0, out=np.zeros((len(slope), a.shape[1])))
    return inverse_logit(scaled + intercept)


def interval(samples: Array, percent: float = 95) -> tuple[Array, Array]:
    """Lower and upper end of the middle `percent` of resamples: (resamples, …) → (…), (…)."""
    edge = (100 - percent) / 2
    low, high = np.percentile(samples, [edge, 100 - edge], axis=0)
    return low, high


def _ends(drawn: Curves) -> tuple[Curves, Curves]:
    parts = (drawn.inside, drawn.outside, drawn.robustness)
    low, high = zip(*(interval(part) for part in parts), strict=True)
    return Curves(*low), Curves(*high)
