"""Image by image: are images with a higher value recognised more or less often?

Functions take one number and one flag per image, (N,). They compare numbers of single images within
one data set, never across sets; `pooled` combines the results of several sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import outliers
from analysis.metrics.basis import at_length_one

Array = NDArray[np.float64]
#: Groups of equally many images, by rising value.
FIFTHS = 5


def by_image(features: ArrayLike, labels: ArrayLike, right: ArrayLike) -> dict[str, Any]:
    """κ and the cosine with the mean image, against being recognised: (N, d), (N,), (N,).

    `right`: whether each image is recognised; images are taken at length 1. The cosine does not
    depend on the basis. For both quantities the result has the mean value and the accuracy in each
    fifth of the images by rising value, Spearman's rank correlation with `right`, and the
    correlation within classes (a list, empty where it is undefined). Raises ValueError if all
    images are recognised or none is.
    """
    h, flags = at_length_one(features), np.asarray(right, np.float64)
    if np.ptp(flags) == 0:
        raise ValueError(
            f"{'every' if flags.all() else 'no'} image is recognised, so nothing goes with it; "
            "images of both kinds are needed."
        )
    mean = h.mean(axis=0)
    values = {"kurtosis": outliers.kurtosis(h), "cosine": h @ mean / np.linalg.norm(mean)}
    found: dict[str, Any] = {"accuracy": flags.mean()}
    for name, own in values.items():
        found[f"{name}_of_fifths"], found[f"accuracy_by_{name}"] = by_fifths(own, flags)
        found[f"correlation_{name}"] = float(scipy.stats.spearmanr(own, flags).statistic)
        within = correlation_within(own, flags, labels)
        found[f"correlation_{name}_within"] = [within] if np.isfinite(within) else []
    return found


def by_fifths(values: ArrayLike, right: ArrayLike, groups: int = FIFTHS) -> tuple[Array, Array]:
    """Mean value and share recognised in equal groups of images by rising value: (groups,) each.

    >>> by_fifths([4.0, 1, 3, 2], [0, 1, 0, 1], groups=2)
    (array([1.5, 3.5]), array([1., 0.]))
    """
    x, y = np.asarray(values, np.float64), np.asarray(right, np.float64)
    parts = np.array_split(np.argsort(x, kind="stable"), groups)
    return np.array([x[part].mean() for part in parts]), np.array([y[p].mean() for p in parts])


def correlation_within(values: ArrayLike, right: ArrayLike, classes: ArrayLike) -> float:
    """Correlation of ranks of `values` with `right`, after subtracting each class's means.

    A class that is hard and has large values therefore causes no correlation. NaN where nothing
    varies within a class.
    """
    own = np.unique(np.asarray(classes), return_inverse=True)[1]
    pair = np.array([scipy.stats.rankdata(values), np.asarray(right, np.float64)])
    means = [np.bincount(own, row) / np.bincount(own) for row in pair]
    x, y = pair - np.array(means)[:, own]
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 1e-9 else float("nan")


def by_class_means(features: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Whether the nearest class mean, by cosine, is that of the image's own class: (N, d) → (N,).

    The image itself is left out of its class's mean; no head and no text are needed. Images are
    taken at length 1. Raises ValueError for a class with a single image, which has no other image
    to be near.
    """
    h, own = at_length_one(features), np.unique(np.asarray(labels), return_inverse=True)[1]
    if (np.bincount(own) < 2).any():
        raise ValueError("a class has a single image: without it nothing is left of the class.")
    sums = np.zeros((own.max() + 1, h.shape[1]))
    np.add.at(sums, own, h)
    cosines, without = h @ at_length_one(sums).T, at_length_one(sums[own] - h)
    cosines[np.arange(len(h)), own] = (without * h).sum(axis=1)
    return cosines.argmax(axis=1) == own


class Pooled(NamedTuple):
    """A mean correlation with its 95 % interval."""

    value: float
    low: float
    high: float


def rank_interval(correlation: float, number: float) -> Pooled:
    """Spearman's correlation of a number of pairs, with its interval (Bonett and Wright 2000)."""
    half = scipy.stats.norm.ppf(0.975) * np.sqrt((1 + correlation**2 / 2) / (number - 3))
    ends = np.tanh(np.arctanh(correlation) + np.array([-half, half]))
    return Pooled(correlation, *map(float, ends))


def pooled(correlations: ArrayLike, numbers: ArrayLike) -> Pooled:
    """Mean of the correlations of several sets whose true values may differ.

    Random effects (DerSimonian and Laird 1986) of Fisher's z, with the variances of `rank_interval`
    and Student's t. Sets are taken as independent. Raises ValueError for a single set.
    """
    rho, n = np.asarray(correlations, np.float64), np.asarray(numbers, np.float64)
    if len(rho) < 2:
        raise ValueError("a single set has nothing to be pooled with; give two or more.")
    z, variance = np.arctanh(rho), (1 + rho**2 / 2) / (n - 3)
    w = 1 / variance
    excess = (w * (z - w @ z / w.sum()) ** 2).sum() - (len(z) - 1)
    between = max(0.0, excess / (w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (variance + between)
    half = scipy.stats.t.ppf(0.975, len(z) - 1) / np.sqrt(w.sum())
    return Pooled(*(float(np.tanh(w @ z / w.sum() + shift)) for shift in (0, -half, half)))
