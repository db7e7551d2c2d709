"""Robustness compared with other models: what other groups predict, and what causes explain.

Effective robustness is a distance to one line. This module compares the same accuracies with lines
through other models, and shift by shift (`robustness.matched_excess` compares with models of equal
accuracy). Accuracies are fractions of shape (models,), as in `robustness`; intervals come from
`indicators.interval`, with whole groups of models drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.robustness import fit_baseline, inverse_logit, logit

Array = NDArray[np.float64]


def expected_by_others(
    imagenet: ArrayLike, shifted: ArrayLike, groups: ArrayLike, *more: ArrayLike
) -> Array:
    """The accuracy under shift that ImageNet accuracy alone predicts for a group left out.

    For each group a line is fitted, in logits, to all models outside it and evaluated at the
    group's own ImageNet accuracies: fractions, (models,). Subtract a baseline's expectation to get
    the predicted effective robustness. ``more``: other quantities, (models,) each, on which the
    logit of the accuracy under shift may depend linearly as well as on that of ImageNet accuracy.
    Raises ValueError for a single group, and as `logit` does.
    """
    x, y, label = logit(imagenet), logit(shifted), np.asarray(groups)
    names = np.unique(label)
    if len(names) < 2:
        raise ValueError("leaving one group out needs at least two groups of models.")
    predicted = np.empty(len(x))
    design = np.stack([x, *(np.asarray(one, float) for one in more), np.ones(len(x))], axis=1)
    for name in names:
        own = label == name
        weights = np.linalg.lstsq(design[~own], y[~own], rcond=None)[0]
        predicted[own] = inverse_logit(design[own] @ weights)
    return predicted


def left_out_error(
    imagenet: ArrayLike, shifted: ArrayLike, groups: ArrayLike, *more: ArrayLike
) -> float:
    """Root mean square error of `expected_by_others`, a fraction.

    It is the same for accuracy under shift and for effective robustness, against any baseline. It
    says how well ImageNet accuracy alone predicts either, so an indicator has to beat it.
    """
    missed = np.asarray(shifted, float) - expected_by_others(imagenet, shifted, groups, *more)
    return float(np.sqrt((missed**2).mean()))


def off_the_line(imagenet: ArrayLike, shifted: ArrayLike) -> Array:
    """How many logits each model lies above the line fitted to all of them: (models,).

    The result is uncorrelated with ImageNet accuracy, so correlations between shifts are given that
    accuracy.
    """
    line = fit_baseline(imagenet, shifted)
    return logit(shifted) - line.slope * logit(imagenet) - line.intercept


class Curvature(NamedTuple):
    """A parabola through logits, compared with a line: see `curvature`."""

    coefficients: Array
    p_value: float
    line_misses: float
    parabola_misses: float


def curvature(imagenet: ArrayLike, shifted: ArrayLike) -> Curvature:
    """Is the relation of two accuracies bent in logits? A least-squares parabola, (models,).

    `coefficients`: of the parabola, the highest power first; `p_value`: of the quadratic term,
    two-sided (t with n − 3 degrees of freedom, models taken as independent); `…_misses`: standard
    deviation of the residuals, in logits, of the line (n − 2) and of the parabola (n − 3). Raises
    ValueError for fewer than four models.
    """
    x, y = logit(imagenet), logit(shifted)
    if len(x) < 4:
        raise ValueError(f"a parabola through {len(x)} models has no error; four are needed.")
    squares = [((y - np.polyval(np.polyfit(x, y, n), x)) ** 2).sum() for n in (1, 2)]
    line, parabola = np.sqrt(np.divide(squares, [len(x) - 2, len(x) - 3]))
    ratio = (squares[0] - squares[1]) / parabola**2  # t² of the one term that is added
    p = float(scipy.stats.f.sf(ratio, 1, len(x) - 3))
    return Curvature(np.polyfit(x, y, 2), p, float(line), float(parabola))


def share_explained(values: ArrayLike, *causes: ArrayLike) -> float:
    """Share of the variance that some causes explain, adjusted for their number (R²).

    Least squares of `values` (models,) on all `causes` together, each (models,): numbers enter as
    they are, names as groups with a mean of their own. Adjusted means 1 − (1 − R²)(n − 1)/(n − k)
    with k fitted constants, so that causes of no effect explain 0 on average; NaN unless n is above
    k.
    """
    y = np.asarray(values, np.float64)
    design = np.concatenate([np.ones((len(y), 1)), *map(_columns, causes)], axis=1)
    constants = np.linalg.matrix_rank(design)
    if len(y) <= constants:
        return float("nan")
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    unexplained = (left**2).sum() / ((y - y.mean()) ** 2).sum()
    return float(1 - unexplained * (len(y) - 1) / (len(y) - constants))


def _columns(cause: ArrayLike) -> Array:
    """Numbers as one column, names as one column of 0 and 1 each."""
    given = np.asarray(cause)
    if np.issubdtype(given.dtype, np.number):
        return given.astype(np.float64)[:, None]
    columns: Array = (given[:, None] == np.unique(given)).astype(np.float64)
    return columns
