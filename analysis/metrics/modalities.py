"""Two modalities in one space: where the mean of one lies, and how much the other varies there.

Items are taken at length 1, as CLIP compares them, (N, d); computations are in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.basis import at_length_one

Array = NDArray[np.float64]


class Dominant(NamedTuple):
    """The coordinate at which the mean item is largest, and its share of the mean's energy."""

    coordinate: int
    share: float


def dominant_coordinate(features: ArrayLike) -> Dominant:
    """The coordinate with the largest |mean| over items at length 1, where their mean lies.

    >>> dominant_coordinate([[3.0, 0.0, 4.0], [3.0, 0.0, 4.0]])
    Dominant(coordinate=2, share=0.64)
    """
    energy = at_length_one(features).mean(axis=0) ** 2
    coordinate = int(energy.argmax())
    return Dominant(coordinate, round(float(energy[coordinate] / energy.sum()), 12))


def spread_ranks(features: ArrayLike) -> Array:
    """How much items vary along each coordinate, as a rank among the others: (N, d) → (d,).

    The rank is the share of the other coordinates with a smaller standard deviation, for items at
    length 1: 0 for the coordinate that varies least, 1 for the one that varies most, one half by
    chance.
    """
    spread = at_length_one(features).std(axis=0)
    smaller = np.searchsorted(np.sort(spread), spread, side="left")
    return smaller / (len(spread) - 1)


def quietness(features: ArrayLike, others: ArrayLike) -> float:
    """The rank of the spread of ``others`` at the dominant coordinate of ``features``, a fraction.

    Both arrays are (·, d) with the same d, from one model. See `spread_ranks`.
    """
    return float(spread_ranks(others)[dominant_coordinate(features).coordinate])
