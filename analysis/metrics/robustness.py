"""Effective robustness: accuracy under shift beyond what ImageNet accuracy predicts.

Accuracies are fractions in (0, 1) everywhere; effective robustness is a difference of
accuracies, so 0.1 is ten percentage points. The equations are `eq-logit`, `eq-baseline` and
`eq-effective-robustness` on the book's page of definitions; they follow Taori et al. (2020)
and Crabbé et al. (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """A line in logit space: logit(shifted) = slope · logit(imagenet) + intercept (`eq-baseline`).

    `r` is the Pearson correlation of the logits that the line was fitted to.
    """

    slope: float
    intercept: float
    r: float

    def predict(self, imagenet: ArrayLike) -> Array:
        """Accuracy under shift that the line expects, a fraction, in the shape of `imagenet`."""
        return inverse_logit(self.slope * logit(imagenet) + self.intercept)


PAPER_BASELINE = Baseline(slope=0.76, intercept=-1.49, r=0.99)
"""The constants that the paper prints beside its Figure 1."""


def logit(accuracy: ArrayLike) -> Array:
    """Log-odds ln(a) − ln(1 − a) of accuracies in (0, 1), in the same shape (`eq-logit`).

    Raises ValueError for values outside the open interval, where the logit is not finite.
    """
    a = np.asarray(accuracy, dtype=np.float64)
    bad = ~((a > 0) & (a < 1))
    if bad.any():
        raise ValueError(
            f"logit got {int(bad.sum())} of {a.size} accuracies outside (0, 1), the first is "
            f"{a[bad].flat[0]:g}; accuracies must be fractions strictly between 0 and 1: divide "
            "percentages by 100 and leave out models that are never or always right."
        )
    return np.log(a) - np.log1p(-a)


def inverse_logit(log_odds: ArrayLike) -> Array:
    """Fractions 1 / (1 + exp(−z)) in the shape of `log_odds`; inverse of `logit`."""
    z = np.asarray(log_odds, dtype=np.float64)
    return np.exp(-np.logaddexp(0.0, -z))


def fit_baseline(imagenet: ArrayLike, shifted: ArrayLike) -> Baseline:
    """Ordinary least squares of logit(shifted) on logit(imagenet), one pair per model.

    `imagenet`, `shifted`: fractions, shape (models,), at least three models.
    Raises ValueError for other shapes, for fewer models, and where all ImageNet accuracies agree.
    """
    x, y = _pairs(imagenet, shifted)
    slope, intercept = _least_squares(x, y)
    r = 0.0 if np.ptp(y) == 0 else float(np.corrcoef(x, y)[0, 1])
    return Baseline(float(slope), float(intercept), r)


def effective_robustness(
    shifted: ArrayLike, imagenet: ArrayLike, baseline: Baseline = PAPER_BASELINE
) -> Array:
    """ACC(S) minus the accuracy that the baseline expects at ACC(I) (`eq-effective-robustness`).

    `shifted`, `imagenet`: fractions, shapes that broadcast. Returns fractions (0.1 is ten
    percentage points) in the broadcast shape.
    """
    shifted = np.asarray(shifted, dtype=np.float64)
    bad = ~((shifted >= 0) & (shifted <= 1))
    if bad.any():
        raise ValueError(
            f"effective_robustness got a shifted accuracy of {shifted[bad].flat[0]:g}; accuracies "
            "must be fractions between 0 and 1: divide percentages by 100."
        )
    return shifted - baseline.predict(imagenet)


def bootstrap_baselines(
    imagenet: ArrayLike, shifted: ArrayLike, resamples: int, seed: int
) -> list[Baseline]:
    """The baseline refitted on `resamples` resamples of the models, drawn with replacement.

    Case resampling (Efron 1979): shows how far the line depends on which models are in the pool.
    Inputs as for `fit_baseline`; one seed gives one result.
    """
    x, y = _pairs(imagenet, shifted)
    drawn = np.random.default_rng(seed).integers(0, x.size, size=(resamples, x.size))
    slopes, intercepts = _least_squares(x[drawn], y[drawn])
    xc = x[drawn] - x[drawn].mean(1, keepdims=True)
    yc = y[drawn] - y[drawn].mean(1, keepdims=True)
    r = (xc * yc).sum(1) / np.sqrt((xc**2).sum(1) * (yc**2).sum(1))
    return [
        Baseline(float(s), float(i), float(c))
        for s, i, c in zip(slopes, intercepts, r, strict=True)
    ]


def sampling_error(
    shifted: ArrayLike,
    shifted_images: ArrayLike,
    imagenet: ArrayLike,
    imagenet_images: int,
    baseline: Baseline = PAPER_BASELINE,
) -> Array:
    """Standard error of effective robustness from the finite test sets, a fraction.

    `shifted`: (…, S) accuracies on the S shifts whose plain mean is ACC(S); `shifted_images`: (S,)
    images per shift; `imagenet`: (…). Binomial variance a(1 − a)/n of each accuracy; through the
    baseline f by the delta method, f'(a) = slope · f(1 − f) / (a(1 − a)). The sets share no image,
    so the variances add. The baseline is held fixed.
    """
    s = np.asarray(shifted, dtype=np.float64)
    a = np.asarray(imagenet, dtype=np.float64)
    images = np.asarray(shifted_images, dtype=np.float64)
    of_mean = (s * (1 - s) / images).sum(-1) / s.shape[-1] ** 2
    expected = baseline.predict(a)
    gradient = baseline.slope * expected * (1 - expected) / (a * (1 - a))
    of_expected = gradient**2 * a * (1 - a) / imagenet_images
    error: Array = np.sqrt(of_mean + of_expected)
    return error


def _pairs(imagenet: ArrayLike, shifted: ArrayLike) -> tuple[Array, Array]:
    """Logits of both, checked to be one pair per model."""
    x, y = logit(imagenet), logit(shifted)
    if x.ndim != 1 or x.shape != y.shape or x.size < 3:
        raise ValueError(
            f"a baseline needs two equally long lists of at least three accuracies, one pair per "
            f"model; got shapes {x.shape} and {y.shape}."
        )
    if np.ptp(x) == 0:
        raise ValueError(
            f"all {x.size} models have the same ImageNet accuracy, so no line can be fitted; give "
            "models of different accuracy."
        )
    return x, y


def _least_squares(x: Array, y: Array) -> tuple[Array, Array]:
    """Slope and intercept of y on x along the last axis."""
    xc = x - x.mean(-1, keepdims=True)
    slope = (xc * y).sum(-1) / (xc**2).sum(-1)
    return slope, y.mean(-1) - slope * x.mean(-1)
