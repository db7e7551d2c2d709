"""Outlier features: how far a few coordinates of a representation tower above the rest.

Everything looks at one image at a time: each row of the features is standardised over its own
components, z = (h − μ(h)) / σ(h), and what is reported is averaged over images. Features are read
in blocks of rows, so a memory-mapped file is never loaded whole; computing is in float64. The
equations are on the book's page of definitions (`eq-kurtosis`, `definition-outlier-feature`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

OUTLIER_THRESHOLD = 6.0
"""How many times the mean coordinate an outlier feature must reach. The paper gives no number;
this one is ours, the figure that Dettmers et al. (2022) use for activations of language models."""

BLOCK_BYTES = 8 * 2**20
"""Size of a block of rows in float64."""


class Persistence(NamedTuple):
    """The coordinate that is most often the largest, and the fraction of images it leads in."""

    coordinate: int
    fraction: float


def kurtosis(features: ArrayLike) -> Array:
    """Activation kurtosis of each image, (1/d) Σ_i z_i⁴ (`eq-kurtosis`, before averaging).

    `features`: (N, d) with d ≥ 2, any real numbers. Returns (N,), dimensionless: a Gaussian gives
    about 3, a single differing component d − 2 + 1/(d − 1), the most that there can be. Scaling a
    row by a non-zero number or adding a constant to it changes nothing.

    Raises ValueError for other shapes, for NaN or infinity, and for rows whose components are all
    equal, which have no kurtosis. Source: Crabbé et al. (2024), Section 3.
    """
    features = checked_features(features)
    values = np.empty(len(features))
    for rows, z in standardised_blocks(features):
        squares = z * z
        values[rows] = np.einsum("ij,ij->i", squares, squares) / z.shape[1]
    return values


def activation_profile(features: ArrayLike) -> Array:
    """How large each coordinate is on average, relative to the mean coordinate.

    `features`: (N, d). Returns (d,), the mean of |z_i| over images divided by its mean over
    coordinates: 1 is an average coordinate. Raises ValueError as `kurtosis` does.
    """
    features = checked_features(features)
    total = np.zeros(features.shape[1])
    for _, z in standardised_blocks(features):
        total += np.abs(z).sum(axis=0)
    profile: Array = total / total.mean()
    return profile


def outlier_features(features: ArrayLike, threshold: float = OUTLIER_THRESHOLD) -> NDArray[np.intp]:
    """Coordinates far above the mean coordinate, the largest first.

    Rule: the `activation_profile`, averaged over images, is at least `threshold`, which must be
    above 1. `features`: (N, d). Returns indices, perhaps none. Raises ValueError as `kurtosis`
    does. The paper names no cut-off (`definition-outlier-feature`): report how the result depends
    on it.
    """
    return far_above_mean(activation_profile(features), threshold)


def persistence(features: ArrayLike) -> Persistence:
    """How often the commonest largest coordinate leads.

    In each image the coordinate with the largest |z_i| leads. An outlier feature leads in nearly
    every image; in a vector that is merely sparse the leader changes from image to image.
    `features`: (N, d). Raises ValueError as `kurtosis` does.
    """
    counts = leading_counts(features)
    coordinate = int(counts.argmax())
    return Persistence(coordinate, float(counts[coordinate] / counts.sum()))


def leading_counts(features: ArrayLike) -> NDArray[np.intp]:
    """In how many images each coordinate has the largest |z_i|: (N, d) → (d,), summing to N."""
    features = checked_features(features)
    counts = np.zeros(features.shape[1], dtype=np.intp)
    for _, z in standardised_blocks(features):
        counts += np.bincount(np.abs(z).argmax(axis=1), minlength=z.shape[1])
    return counts


def standardised_blocks(features: NDArray[Any]) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of rows with z = (h − μ(h)) / σ(h), σ biased, from checked features."""
    images, width = features.shape
    step = max(1, BLOCK_BYTES // (8 * width))
    for start in range(0, images, step):
        rows = slice(start, min(start + step, images))
        h = finite_block(features, rows)
        scale = np.abs(h).max(axis=1, keepdims=True)
        constant = np.ptp(h, axis=1) == 0
        if constant.any():
            raise ValueError(
                f"row {start + int(constant.argmax())} of the features is constant, so nothing in "
                "it stands out and its kurtosis is undefined; leave such images out."
            )
        h /= scale  # so that fourth powers of huge or tiny values stay finite
        h -= h.mean(axis=1, keepdims=True)
        h /= np.sqrt(np.einsum("ij,ij->i", h, h) / width)[:, None]
        yield rows, h


def finite_block(features: NDArray[Any], rows: slice) -> Array:
    """A float64 copy of some rows; ValueError names the first row with NaN or infinity."""
    block = np.array(features[rows], dtype=np.float64)
    bad = ~np.isfinite(block).all(axis=1)
    if bad.any():
        raise ValueError(
            f"row {rows.start + int(bad.argmax())} of the features holds NaN or infinity; features "
            "must be finite numbers: look for what went wrong when they were extracted."
        )
    return block


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


def far_above_mean(values: ArrayLike, threshold: float) -> NDArray[np.intp]:
    """Indices of the non-negative values that reach `threshold` × their mean, largest first."""
    array = np.asarray(values, dtype=np.float64)
    if not threshold > 1:
        raise ValueError(
            f"the threshold is {threshold:g} times the mean, but only values above the mean can "
            "stand out; give a number above 1."
        )
    order = np.argsort(-array, kind="stable")
    found: NDArray[np.intp] = order[array[order] >= threshold * array.mean()]
    return found
