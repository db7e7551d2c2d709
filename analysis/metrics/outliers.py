"""Outlier features: how far a few coordinates of a representation tower above the rest.

Each image is treated alone: each row of the features is standardised over its own components, z =
(h − μ(h)) / σ(h), and results are averaged over images. `outlier_features` finds all of them in one
pass. Features are read in blocks of rows, so a memory-mapped file is never loaded whole;
computations are in float64. The equations are on the book's page of definitions (`eq-kurtosis`,
`definition-outlier-feature`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

OUTLIER_THRESHOLD = 6.0
"""How many times the mean coordinate an outlier feature must reach: a choice of ours, since the
paper gives no number."""

BLOCK_BYTES = 8 * 2**20
"""Size of a block of rows in float64."""


class Persistence(NamedTuple):
    """The coordinate that most often has the largest |z_i|, and the fraction of such images."""

    coordinate: int
    fraction: float


@dataclass(frozen=True)
class OutlierFeatures:
    """Statistics of N images that show outlier features in d coordinates.

    `kurtosis`: (N,), the activation kurtosis of each image. `profile`: (d,), how large each
    coordinate is on average, relative to the mean coordinate. `leading`: (d,), in how many images
    each coordinate has the largest |z_i|. `zero_share`, `negative_share`: fractions of all N · d
    components that are zero, or below it.
    """

    kurtosis: Array = field(repr=False)
    profile: Array = field(repr=False)
    leading: Indices = field(repr=False)
    zero_share: float
    negative_share: float

    @property
    def kurtosis_mean(self) -> float:
        """The paper's activation kurtosis: the mean over images (`eq-kurtosis`)."""
        return float(self.kurtosis.mean())

    @property
    def kurtosis_standard_error(self) -> float:
        """Standard error of the mean over images; 0 for a single one."""
        images = len(self.kurtosis)
        return float(self.kurtosis.std(ddof=1) / np.sqrt(images)) if images > 1 else 0.0

    @property
    def kurtosis_percentiles(self) -> Array:
        """Percentiles 0 to 100 over images, (101,)."""
        return np.percentile(self.kurtosis, np.arange(101))

    @property
    def persistence(self) -> Persistence:
        """How often the model's dominant coordinate has the largest |z_i|.

        An outlier feature is dominant in nearly every image; in vectors that are merely sparse the
        dominant coordinate changes from image to image.
        """
        coordinate = int(self.leading.argmax())
        return Persistence(coordinate, float(self.leading[coordinate] / self.leading.sum()))

    @property
    def leaders(self) -> int:
        """How many different coordinates are dominant in some image."""
        return int((self.leading > 0).sum())

    def coordinates(self, threshold: float = OUTLIER_THRESHOLD) -> Indices:
        """The outlier features: coordinates far above the mean coordinate, the largest first.

        A coordinate counts if its profile, an average over images, is at least `threshold`, which
        must be above 1. The paper gives no cut-off (`definition-outlier-feature`), so report how
        the result depends on it.
        """
        return far_above_mean(self.profile, threshold)


def outlier_features(
    features: ArrayLike, seen: Callable[[Array], Array] | None = None
) -> OutlierFeatures:
    """Compute everything that this module finds in features, in one pass over them.

    `features`: (N, d) with d ≥ 2, any real numbers. With `seen`, a function of some rows (n, d) →
    (n, d), of features changed by it, such as rotated ones, of which no copy is made. Raises
    ValueError for other shapes, for NaN or infinity, and for rows whose components are all equal,
    in which nothing stands out.

    >>> found = outlier_features([[9.0, 1, 0, 2], [-1, 10, 10, 10], [0, 0, 0, 6]])
    >>> found.kurtosis.shape, found.profile.shape, found.persistence.coordinate
    ((3,), (4,), 0)
    """
    array = checked_features(features)
    images, width = array.shape
    values, total = np.empty(images), np.zeros(width)
    leading, zeros, negatives = np.zeros(width, dtype=np.intp), 0, 0
    for rows, block in finite_blocks(array):
        h = block if seen is None else seen(block)
        zeros += int((h == 0).sum())
        negatives += int((h < 0).sum())
        size = np.abs(standardised(h, rows.start), out=h)
        total += size.sum(axis=0)
        leading += np.bincount(size.argmax(axis=1), minlength=width)
        squares = np.multiply(size, size, out=size)
        values[rows] = np.einsum("ij,ij->i", squares, squares) / width
    return OutlierFeatures(
        kurtosis=values,
        profile=total / total.mean(),
        leading=leading,
        zero_share=zeros / array.size,
        negative_share=negatives / array.size,
    )


def kurtosis(features: ArrayLike) -> Array:
    """Activation kurtosis of each image, (1/d) Σ_i z_i⁴ (`eq-kurtosis`, before averaging).

    `features`: (N, d), as for `outlier_features`. Returns (N,), dimensionless: a Gaussian gives
    about 3; a single component that differs gives the largest possible value, d − 2 + 1/(d − 1).
    Scaling a row by a non-zero number or adding a constant to it changes nothing. Source: Crabbé et
    al. (2024), Section 3.

    >>> kurtosis([[1, -1, 1, -1], [0, 0, 0, 7]]).round(4)
    array([1.    , 2.3333])
    """
    return outlier_features(features).kurtosis


def persistence(features: ArrayLike) -> Persistence:
    """Dominant coordinate of features (N, d), and the fraction of images in which it dominates."""
    return outlier_features(features).persistence


def standardised(h: Array, first: int = 0) -> Array:
    """Standardise each row, z = (h − μ(h)) / σ(h), σ biased; rows (n, d) are overwritten.

    Raises ValueError for a row whose components are all equal; `first` is the number of the first
    row.
    """
    constant = np.ptp(h, axis=1) == 0
    if constant.any():
        raise ValueError(
            f"row {first + int(constant.argmax())} of the features is constant, so nothing in "
            "it stands out and its kurtosis is undefined; leave such images out."
        )
    h /= np.abs(h).max(axis=1, keepdims=True)  # so that fourth powers of huge values stay finite
    h -= h.mean(axis=1, keepdims=True)
    h /= np.sqrt(np.einsum("ij,ij->i", h, h) / h.shape[1])[:, None]
    return h


def finite_blocks(features: NDArray[Any]) -> Iterator[tuple[slice, Array]]:
    """Yield row slices with float64 copies; ValueError names a row with NaN or infinity."""
    step = max(1, BLOCK_BYTES // (8 * features.shape[1]))
    for start in range(0, len(features), step):
        rows = slice(start, min(start + step, len(features)))
        block = np.array(features[rows], dtype=np.float64)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise ValueError(
                f"row {start + int(bad.argmax())} of the features holds NaN or infinity; features "
                "must be finite numbers: look for what went wrong when they were extracted."
            )
        yield rows, block


def checked_features(features: ArrayLike, smallest_width: int = 2) -> NDArray[Any]:
    """The features as an array (N ≥ 1, d ≥ `smallest_width`) of real numbers, not yet copied."""
    array = np.asarray(features)
    if array.ndim != 2 or len(array) < 1 or array.shape[1] < smallest_width:
        raise ValueError(
            f"features must have the shape (images, components) with at least one image and "
            f"{smallest_width} components, got {array.shape}."
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"features must be real numbers, got an array of type {array.dtype}.")
    return array


def far_above_mean(values: ArrayLike, threshold: float) -> Indices:
    """Indices of the non-negative values that reach `threshold` × their mean, largest first."""
    array = np.asarray(values, dtype=np.float64)
    if not threshold > 1:
        raise ValueError(
            f"the threshold is {threshold:g} times the mean, but only values above the mean can "
            "stand out; give a number above 1."
        )
    # Stable: equal values stay in order on every machine.
    order = np.argsort(-array, kind="stable")
    return order[array[order] >= threshold * array.mean()]
