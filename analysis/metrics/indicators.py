"""Does a quantity separate robust models from others? Rank correlation, separation, transfer.

These are pure functions of one value per model, in which higher values should go with robustness.
With a dozen models of a few kinds the intervals are wide, and models of one recipe are not
independent, so `interval` resamples groups of them. Resampling gives no interval for a separation
by so few models (every resample of a perfect one is perfect), so `permutation_p` counts assignments
instead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Assignments of robustness to models up to which all are looked at, and else so many drawn.
ASSIGNMENTS = 100_000
#: Models of each sort, robust and not, from which on a separation is spoken of.
LEAST_OF_A_SORT = 3


def rank_correlation(values: ArrayLike, robustness: ArrayLike) -> float:
    """Spearman's rank correlation; NaN for fewer than three models or where all values agree."""
    return _of_all(_rank_correlations, values, robustness)


def partial_rank_correlation(values: ArrayLike, robustness: ArrayLike, given: ArrayLike) -> float:
    """Spearman's rank correlation with the influence of a third quantity removed from both.

    (ρ_xy − ρ_xz ρ_yz) / √((1 − ρ_xz²)(1 − ρ_yz²)) for x `values`, y `robustness` and z `given`,
    such as ImageNet accuracy. NaN where `rank_correlation` is NaN, and where `given` orders the
    models as one of the two does.
    """
    return _of_all(_partial_rank_correlations, values, robustness, given)


def rank_gain(values: ArrayLike, robustness: ArrayLike, other: ArrayLike) -> float:
    """How much higher values correlate with robustness in rank than another quantity: ρ_xy − ρ_zy.

    Its `interval` resamples the three together, so it says whether x is shown to be better than z
    where two overlapping intervals cannot. NaN where `rank_correlation` is.
    """
    return _of_all(_rank_gains, values, robustness, other)


def _of_all(statistic: Callable[[Array, Array], Array], *arrays: ArrayLike) -> float:
    """A statistic of samples for the one sample that has each model once."""
    every = np.array(arrays, dtype=np.float64)
    return float(statistic(every, np.ones((1, every.shape[1])))[0])


def _rank_correlations(every: Array, counts: Array) -> Array:
    """`rank_correlation` of two quantities (2, models) in samples, as `_spearman` takes them."""
    return _spearman(every, counts)[:, 0, 1]


def _partial_rank_correlations(every: Array, counts: Array) -> Array:
    """`partial_rank_correlation` of three quantities (3, models) in samples."""
    rho = _spearman(every, counts)
    xy, xz, yz = rho[:, 0, 1], rho[:, 0, 2], rho[:, 1, 2]
    left = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / np.sqrt(np.where(left > 1e-12, left, np.nan))


def _rank_gains(every: Array, counts: Array) -> Array:
    """`rank_gain` of three quantities (3, models) in samples."""
    rho = _spearman(every, counts)
    return rho[:, 0, 1] - rho[:, 1, 2]


def _spearman(every: Array, counts: Array) -> Array:
    """Rank correlations of quantities (k, models) in samples of the models: (samples, k, k).

    `counts`: (samples, models), how often each model is in a sample. A model's rank in a sample is
    one half, the number of models below it, and half the number of those at its own value.
    """
    other, own = every[:, :, None], every[:, None]
    ranks = np.moveaxis(counts @ ((other < own) + (other == own) / 2), 0, 1)
    size, weights = counts.sum(axis=1)[:, None, None], counts[:, None]
    apart = ranks - (ranks * weights).sum(axis=2, keepdims=True) / size
    products = (apart * weights) @ apart.swapaxes(1, 2)
    spread = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    lengths = spread[:, :, None] * spread[:, None]
    return products / np.where((size < 3) | (lengths == 0), np.nan, lengths)


#: What `interval` computes of all resamples together.
TOGETHER: dict[Callable[..., float], Callable[[Array, Array], Array]] = {
    rank_correlation: _rank_correlations,
    partial_rank_correlation: _partial_rank_correlations,
    rank_gain: _rank_gains,
}


def separation(values: ArrayLike, robust: ArrayLike) -> float:
    """Probability that a robust model has the higher value (area under the ROC curve).

    `robust`: whether each model is robust. Ties count half. A value of 0.5 means no separation, 1 a
    perfect one, and below 0.5 the order is reversed. NaN unless there are models of both kinds.
    """
    x, is_robust = np.asarray(values, np.float64), np.asarray(robust, np.bool_)
    one, other = x[is_robust], x[~is_robust]
    if not len(one) or not len(other):
        return float("nan")
    above = (one[:, None] > other).mean() + (one[:, None] == other).mean() / 2
    return float(above)


def permutation_p(values: ArrayLike, robust: ArrayLike) -> float:
    """How often the separation would be as good if robustness were assigned at random.

    One value per model, (models,). Returns the share of all assignments of the same number of
    robust models that reach the observed `separation`, exact up to `ASSIGNMENTS` of them.
    One-sided: higher values go with robustness. NaN for fewer than `LEAST_OF_A_SORT` models of
    either kind.
    """
    ranks = scipy.stats.rankdata(np.asarray(values, np.float64))
    is_robust = np.asarray(robust, np.bool_)
    sorts = ranks[is_robust], ranks[~is_robust]
    if min(map(len, sorts)) < LEAST_OF_A_SORT:
        return float("nan")
    found = scipy.stats.permutation_test(
        sorts,
        lambda those, others, axis: those.sum(axis=axis),
        n_resamples=ASSIGNMENTS,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p_values: ArrayLike) -> Array:
    """p-values adjusted for their number (Holm 1979), in the order given.

    Unknown values (NaN) stay NaN and do not count.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]
    adjusted = np.full(len(p), np.nan)
    left = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(left * p[order]))
    return adjusted


def interval(
    statistic: Callable[..., float],
    groups: ArrayLike,
    *arrays: ArrayLike,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """95 % bootstrap interval of `statistic(*arrays)`, with whole groups drawn with replacement.

    `groups`: (models,), which models belong together. Resamples in which the statistic is undefined
    are left out; the result is NaN if fewer than half remain.
    """
    label = np.unique(np.asarray(groups), return_inverse=True)[1]
    members = [np.flatnonzero(label == g) for g in range(label.max() + 1)]
    columns = [np.asarray(array) for array in arrays]
    drawn = np.random.default_rng(seed).integers(0, len(members), (resamples, len(members)))
    if together := TOGETHER.get(statistic):
        counts = [np.bincount(draw, minlength=len(members)) for draw in drawn]
        values = together(np.array(columns, np.float64), np.array(counts, np.float64)[:, label])
    else:
        rows = [np.concatenate([members[g] for g in draw]) for draw in drawn]
        values = np.array([statistic(*(column[row] for column in columns)) for row in rows])
    kept = values[np.isfinite(values)]
    if 2 * len(kept) < resamples:
        return float("nan"), float("nan")
    low, high = np.percentile(kept, [2.5, 97.5])
    return float(low), float(high)


def best_cut(values: ArrayLike, robust: ArrayLike) -> float:
    """The cut between two values that classifies most models correctly, robust ones above it.

    Correctness is the mean of the shares of robust and of other models classified correctly. The
    cut lies halfway between the values; among equally good cuts the lowest is taken.
    """
    x = np.unique(np.asarray(values, np.float64))
    cuts = np.concatenate([[-np.inf], (x[1:] + x[:-1]) / 2, [np.inf]])
    scores = [balanced_accuracy(values, robust, cut) for cut in cuts]
    return float(cuts[int(np.argmax(scores))])


def balanced_accuracy(values: ArrayLike, robust: ArrayLike, cut: float) -> float:
    """Mean of the shares of robust models above the cut and of others below it; chance is 0.5."""
    above, is_robust = np.asarray(values, np.float64) > cut, np.asarray(robust, np.bool_)
    return float((above[is_robust].mean() + (~above[~is_robust]).mean()) / 2)
