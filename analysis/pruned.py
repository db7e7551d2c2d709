"""Pruning judged under shift: accuracy and effective robustness for every number of directions.

Pure functions on arrays. The directions are ordered once, on the images of the training
distribution; then each data set is classified with the first 1, 2, … directions of that order.
Nothing here knows which data sets these are: the pocket lab's drawing styles, or ImageNet and its
five shifts, where a shift may have fewer classes (`class_subset`).

Uncertainty is that of the finite test sets and of the baseline's pool: *units* (concepts, or
single images) are resampled, the same ones in every data set that shows them, and the baseline is
refitted to resampled pools. What is compared, a pruned head with the whole one, is compared within
each resample (Efron 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis import directions
from analysis.directions import Decomposition
from analysis.robustness import Baseline, inverse_logit

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.intp]


@dataclass(frozen=True)
class Images:
    """The images of one data set.

    `features`: (N, d) as the head sees them. `labels`: (N,), rows of the head. `units`: (N,) whole
    numbers, what is resampled; images of two data sets with the same number are drawn together.
    `class_subset`: rows of the head that compete, all if None.
    """

    features: NDArray[np.floating]
    labels: Integers
    units: Integers
    class_subset: Integers | None = None


@dataclass(frozen=True)
class Curves:
    """Accuracies and effective robustness with 1, 2, … rank directions kept: fractions.

    Each of shape (rank,), or (resamples, rank). `inside`: accuracy on the training distribution;
    `outside`: plain mean of the accuracies under shift; `robustness`: `outside` less what the
    baseline expects at `inside` (`eq-effective-robustness`).
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
    """Pruning of one model in one order, with its uncertainty: (rank,) in every curve.

    `low`, `high`: ends of the 95 % interval; or, for several random orders, whose mean `curves` is
    then, the lowest and the highest. `change` and its ends are the difference from the whole head;
    random orders have none.
    """

    curves: Curves
    low: Curves
    high: Curves
    change: Curves | None = None
    change_low: Curves | None = None
    change_high: Curves | None = None


def right(
    images: Images, parts: Decomposition, order: ArrayLike, bias: ArrayLike | None = None
) -> Flags:
    """Which images are classified right with the first k directions of `order`: (rank, N)."""
    return directions.right_at_every_step(
        images.features, images.labels, parts, order, images.class_subset, bias
    )


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


def spread(found: Sequence[Curves]) -> Sweep:
    """Mean, lowest and highest of the curves of several random orders."""
    stacks = [
        np.array([getattr(one, name) for one in found])
        for name in ("inside", "outside", "robustness")
    ]
    return Sweep(
        Curves(*(stack.mean(axis=0) for stack in stacks)),
        Curves(*(stack.min(axis=0) for stack in stacks)),
        Curves(*(stack.max(axis=0) for stack in stacks)),
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
