"""Effective robustness: accuracy under shift beyond what ImageNet accuracy predicts.

Accuracies are fractions everywhere; effective robustness is a difference of accuracies, so 0.1 is
ten percentage points. The equations are `eq-logit`, `eq-baseline` and `eq-effective-robustness` on
the book's page of definitions; they follow Taori et al. (2020) and Crabbé et al. (2024).

Uncertainty comes from the models that the line was fitted to (`bootstrap_baselines`), from finite
test sets that share no image (`sampling_error`) or, where test sets show the same units, from
resampling these (`resampled_units`, `weighted_accuracy`). None of them says whether a model is
*robust*: ordinary models scatter about the line far more than test sets explain, so
`matched_excess` and `is_robust` compare a model with ordinary models of the same accuracy.

The module uses NumPy alone, because every page of the book imports it: `scipy.special` would add a
quarter of a second to save two lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.intp]

NORMAL_95 = 1.959964
"""Standard errors to either side of a normal 95 % interval."""
#: Ordinary models within this much of a model's ImageNet accuracy are compared with it.
REACH = 0.05
#: The answer may not flip between these reaches.
REACHES = (0.02, 0.03, REACH, 0.07, 0.10)
#: The local fit needs so many ordinary models within reach, and goes at most this far beyond them.
LEAST_MATCHED, BEYOND = 10, 0.01
#: The share of ordinary models whose residual a robust model exceeds.
ORDINARY_SHARE = 0.975
#: Images whose logits are held at a time.
BLOCK = 4096


@dataclass(frozen=True)
class Baseline:
    """A line in logit space: logit(shifted) = slope · logit(imagenet) + intercept (`eq-baseline`).

    `r` is the Pearson correlation of the logits that the line was fitted to.
    """

    slope: float
    intercept: float
    r: float

    def predict(self, imagenet: ArrayLike) -> Array:
        """Accuracy under shift that the line expects: see `expected`."""
        return expected(imagenet, self)


PAPER_BASELINE = Baseline(slope=0.76, intercept=-1.49, r=0.99)
"""The constants that the paper prints with its Figure 1."""


def logit(accuracy: ArrayLike) -> Array:
    """Log-odds ln(a) − ln(1 − a) of accuracies in (0, 1), in the same shape (`eq-logit`).

    Raises ValueError for values outside the open interval, where the logit is not finite.
    """
    a = _fractions(accuracy)
    if np.isin(a, (0, 1)).any():
        raise ValueError(
            "an accuracy of 0 or 1 has no logit; leave out models that are never or always right."
        )
    return np.log(a) - np.log1p(-a)


def inverse_logit(log_odds: ArrayLike) -> Array:
    """Fractions 1 / (1 + exp(−z)) in the shape of `log_odds`; inverse of `logit`."""
    z = np.asarray(log_odds, dtype=np.float64)
    return np.exp(-np.logaddexp(0.0, -z))


def fit_baseline(imagenet: ArrayLike, shifted: ArrayLike) -> Baseline:
    """Ordinary least squares of logit(shifted) on logit(imagenet), one pair per model.

    `imagenet`, `shifted`: fractions, shape (models,), at least three models. Raises ValueError for
    other shapes, for fewer models, and where all ImageNet accuracies are equal.
    """
    x, y = _pairs(imagenet, shifted)
    return _lines(x[None], y[None])[0]


def effective_robustness(
    shifted: ArrayLike, imagenet: ArrayLike, baseline: Baseline = PAPER_BASELINE
) -> Array:
    """ER = ACC(S) − f(ACC(I)), where f is the baseline (`eq-effective-robustness`).

    `shifted`, `imagenet`: fractions, shapes that broadcast. Returns fractions (0.1 is ten
    percentage points) in the broadcast shape. Raises ValueError for accuracies outside [0, 1].
    """
    return _fractions(shifted) - expected(imagenet, baseline)


def expected(accuracy: ArrayLike, baseline: Baseline | Sequence[Baseline]) -> Array:
    """The accuracy under shift that one or several baselines expect: fractions.

    One baseline gives the shape of `accuracy`; several take (n,) or (baselines, n) and give
    (baselines, n). At accuracies 0 and 1, which pruning and resampling may reach and where the
    logit is infinite, the result is the line's limit: 0 and 1 if it rises, 1 and 0 if it falls, as
    the line of a resampled pool may. Nothing is clipped. Raises ValueError for accuracies outside
    [0, 1].
    """
    a = _fractions(accuracy)
    lines = [baseline] if isinstance(baseline, Baseline) else baseline
    slope, intercept = np.array([(line.slope, line.intercept) for line in lines]).T[:, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(slope == 0, 0.0, slope * (np.log(a) - np.log1p(-a)))
    accuracies = inverse_logit(scaled + intercept)
    return accuracies.reshape(a.shape) if isinstance(baseline, Baseline) else accuracies


def expected_slope(accuracy: ArrayLike, baseline: Baseline) -> Array:
    """How fast the expected accuracy f rises with ImageNet accuracy a, for the delta method.

    f'(a) = slope · f(1 − f) / (a(1 − a)), in the shape of `accuracy`; NaN at 0 and 1.
    """
    a, f = np.asarray(accuracy, dtype=np.float64), expected(accuracy, baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = baseline.slope * f * (1 - f) / (a * (1 - a))
    return np.where((a > 0) & (a < 1), slope, np.nan)


def sampling_error(
    shifted: ArrayLike,
    shifted_images: ArrayLike,
    imagenet: ArrayLike,
    imagenet_images: int,
    baseline: Baseline = PAPER_BASELINE,
) -> Array:
    """Standard error of effective robustness from the finite test sets, a fraction.

    `shifted`: (…, S) accuracies on the S shifts whose plain mean is ACC(S); `shifted_images`: (S,)
    images per shift; `imagenet`: (…). Each accuracy has the binomial variance a(1 − a)/n, which
    passes through the baseline by the delta method (`expected_slope`). The sets share no image, so
    the variances add. The baseline is held fixed. NaN where ImageNet accuracy is 0 or 1.
    """
    s = np.asarray(shifted, dtype=np.float64)
    a = np.asarray(imagenet, dtype=np.float64)
    images = np.asarray(shifted_images, dtype=np.float64)
    of_mean = (s * (1 - s) / images).sum(-1) / s.shape[-1] ** 2
    of_expected = expected_slope(a, baseline) ** 2 * a * (1 - a) / imagenet_images
    return np.sqrt(of_mean + of_expected)


class Matched(NamedTuple):
    """Models compared with ordinary models of the same ImageNet accuracy: (n,) each.

    `excess`: effective robustness minus what the local fit expects, a fraction; `error`: standard
    error of that fit at the model's accuracy; `limit`: the 97.5th percentile of the ordinary
    models' own residuals; `models`: how many of them lie within reach. The first three are NaN
    where the fit is not defined (see `matched_excess`).
    """

    excess: Array
    error: Array
    limit: Array
    models: Integers


def matched_excess(
    imagenet: ArrayLike,
    er: ArrayLike,
    pool_imagenet: ArrayLike,
    pool_er: ArrayLike,
    reach: float = REACH,
) -> Matched:
    """How far models lie above ordinary models of equal accuracy, after removing the trend.

    `imagenet`, `er`: (n,) accuracy and effective robustness of the models to judge, fractions;
    `pool_imagenet`, `pool_er`: (models,) those of ordinary models, on the same shifts and against
    the same line. For each model, `pool_er` is regressed on logit accuracy and its square over the
    ordinary models within `reach` of its ImageNet accuracy. Effective robustness of ordinary models
    rises with accuracy, so the most accurate members of such a window would set a plain percentile.

    The fit is defined with at least `LEAST_MATCHED` ordinary models within reach, and at most
    `BEYOND` outside the range of their accuracies. Raises ValueError for arrays that are not such
    pairs, and for accuracies outside (0, 1).
    """
    at, own = (np.atleast_1d(np.asarray(a, np.float64)) for a in (imagenet, er))
    x, y = np.asarray(pool_imagenet, np.float64), np.asarray(pool_er, np.float64)
    for which, a, b in (("models to judge", at, own), ("ordinary models", x, y)):
        if a.shape != b.shape or a.ndim != 1:
            raise ValueError(
                f"{which} need one effective robustness for each accuracy; got shapes "
                f"{a.shape} and {b.shape}."
            )
    # Accuracies are printed with few digits: a model at the very edge is within reach.
    near = np.abs(x - at[:, None]) <= reach + 1e-12
    excess, error, limit = np.full((3, len(at)), np.nan)
    for n, chosen in enumerate(near):
        if chosen.sum() < LEAST_MATCHED:
            continue
        inside = x[chosen]
        if not inside.min() - BEYOND <= at[n] <= inside.max() + BEYOND:
            continue
        # Around the model's own accuracy, so that the constant is what is expected there.
        design = np.vander(logit(inside) - logit(at[n]), 3, increasing=True)
        fitted, _, rank, _ = np.linalg.lstsq(design, y[chosen], rcond=None)
        # Fewer than three different accuracies determine no parabola.
        if rank < 3:
            continue
        residuals = y[chosen] - design @ fitted
        variance = residuals @ residuals / (len(residuals) - 3)
        excess[n] = own[n] - fitted[0]
        error[n] = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
        limit[n] = np.quantile(residuals, ORDINARY_SHARE)
    return Matched(excess, error, limit, near.sum(axis=1))


def is_robust(low: float, high: float, limit: float) -> bool | None:
    """Whether a model is robust: its excess is larger than the scatter of ordinary models.

    `low`, `high`: the ends of the 95 % interval of `Matched.excess`; `limit`: `Matched.limit`.
    True if the whole interval lies above the limit, False if it lies below, None (unknown) if it
    contains the limit or anything is NaN.
    """
    return True if low > limit else False if high < limit else None


def robust_at_every_reach(answers: Sequence[bool | None], main: int) -> bool | None:
    """The answer at the main reach, or None if any other reach establishes the contrary.

    `answers`: `is_robust` for each of `REACHES`; `main`: the place of the reach that decides.
    """
    answer = answers[main]
    return None if answer is None or (not answer) in answers else answer


def recognised(
    features: ArrayLike,
    labels: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    owners: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """Whether a linear head gives each image's own class the highest logit: (N,).

    `features`: (N, d) as the head sees them; `weight`: (rows, d) and `bias`: (rows,) of the rows
    that compete; `owners`: (rows,) the class that each row stands for, by default its number;
    `labels`: (N,) classes. Among equal logits the first row wins. Computed in float32, as heads
    are.
    """
    h, targets = np.asarray(features), np.asarray(labels)
    w = np.asarray(weight, np.float32)
    stands_for = np.arange(len(w)) if owners is None else np.asarray(owners)
    found = np.empty(len(h), dtype=np.bool_)
    for first in range(0, len(h), BLOCK):
        block = slice(first, first + BLOCK)
        logits = np.asarray(h[block], np.float32) @ w.T
        if bias is not None:
            logits += np.asarray(bias, np.float32)
        found[block] = stands_for[logits.argmax(axis=1)] == targets[block]
    return found


def bootstrap_baselines(
    imagenet: ArrayLike, shifted: ArrayLike, resamples: int, seed: int
) -> list[Baseline]:
    """The baseline refitted on `resamples` resamples of the models, drawn with replacement.

    Case resampling (Efron 1979) shows how far the line depends on which models are in the pool.
    Inputs as for `fit_baseline`; the same seed gives the same result.
    """
    x, y = _pairs(imagenet, shifted)
    drawn = np.random.default_rng(seed).integers(0, x.size, size=(resamples, x.size))
    return _lines(x[drawn], y[drawn])


def resampled_units(units: Sequence[ArrayLike], resamples: int, seed: int) -> list[Integers]:
    """How often each image counts when the units that images show are drawn with replacement.

    `units`: for each data set (N,) whole numbers, what each image shows. A resample draws as many
    units as there are in all data sets, the same ones for every data set (Efron 1979). Returns for
    each data set (resamples, N); the same seed gives the same result.
    """
    shown = [np.asarray(one) for one in units]
    known = np.unique(np.concatenate(shown))
    counts = np.random.default_rng(seed).multinomial(
        len(known), np.full(len(known), 1 / len(known)), size=resamples
    )
    return [counts[:, np.searchsorted(known, one)] for one in shown]


def weighted_accuracy(flags: Flags, weights: Integers) -> Array:
    """Accuracy where images may count repeatedly: (rows, N), (resamples, N) → (resamples, rows).

    Raises ValueError if all images of a resample have weight zero.
    """
    total = weights.sum(axis=1, keepdims=True)
    if not total.all():
        raise ValueError(
            f"{int((total == 0).sum())} of {len(total)} resamples hold none of the {len(flags.T)} "
            "images of a data set, which has no accuracy then; resample larger data sets."
        )
    return (weights.astype(np.float64) @ flags.T.astype(np.float64)) / total


def _fractions(accuracy: ArrayLike) -> Array:
    """Accuracies as an array; ValueError for numbers outside [0, 1], as percentages are."""
    a = np.asarray(accuracy, dtype=np.float64)
    bad = ~((a >= 0) & (a <= 1))
    if bad.any():
        raise ValueError(
            f"accuracies must be fractions between 0 and 1, got {a[bad].flat[0]:g}; divide "
            "percentages by 100."
        )
    return a


def _pairs(imagenet: ArrayLike, shifted: ArrayLike) -> tuple[Array, Array]:
    """Logits of both, checked to be one pair per model."""
    x, y = logit(imagenet), logit(shifted)
    if x.ndim != 1 or x.shape != y.shape or x.size < 3 or np.ptp(x) == 0:
        raise ValueError(
            "a baseline needs two equally long lists of at least three accuracies, one pair per "
            f"model, of which not all have the same ImageNet accuracy; got shapes {x.shape} and "
            f"{y.shape}."
        )
    return x, y


def _lines(x: Array, y: Array) -> list[Baseline]:
    """Least squares of y on x, and their correlation, in each row: (lines, models)."""
    xc, yc = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    squares = (xc**2).sum(-1)
    slopes = (xc * y).sum(-1) / squares
    intercepts = y.mean(-1) - slopes * x.mean(-1)
    r = (xc * yc).sum(-1) / np.sqrt(squares * (yc**2).sum(-1))
    return [Baseline(*line) for line in np.stack([slopes, intercepts, r], axis=1).tolist()]
