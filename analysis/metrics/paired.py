"""Differences of accuracies on the same images, with intervals that are never of width zero.

Images on which two classifiers agree do not say which is better; where the two never differ the
usual standard error is 0, which a hundred images cannot show. The score interval (Tango 1998) holds
the true differences with which the images that are gained and lost go together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: The normal distribution's quantile for an interval of 95 %; SciPy's, which is slow to import.
Z = 1.959963984540054
#: How often an interval's end is halved: to the precision of float64.
HALVINGS = 60


def discordant(difference: ArrayLike, error: ArrayLike, images: int) -> tuple[Array, Array]:
    """How many images are gained and lost, from a difference and its standard error: fractions in.

    Inverts `pruning.paired_difference`: with g gained and l lost of n images the difference is
    d = (g − l) / n, and its error sqrt((g + l) / n − d²) / sqrt(n).

    >>> [float(count) for count in discordant(-1 / 8, np.sqrt(3 - 1 / 8) / 8, 8)]
    [1.0, 2.0]
    """
    change, spread = np.asarray(difference, dtype=np.float64), np.asarray(error, dtype=np.float64)
    net = images * change
    either = np.maximum(images * (images * spread**2 + change**2), np.abs(net))  # but for rounding
    return (either + net) / 2, (either - net) / 2


def score_interval(gained: ArrayLike, lost: ArrayLike, images: int) -> tuple[Array, Array]:
    """Ends of the 95 % interval of (gained − lost) / images: fractions, of the counts' shape.

    `gained`, `lost`: of how many images one classifier alone, or the other alone, is right. The
    ends are the differences δ where the score statistic (g − l − nδ) / sqrt(n (2q + δ (1 − δ))) is
    ± 1.96; q is the likeliest probability of a loss, given δ (T. Tango, Statistics in Medicine 17,
    1998, 891 to 908). Where nothing is gained or lost they are ± 1.96² / (n + 1.96²).

    >>> [f"{end:.3f}" for end in score_interval(0, 0, 100)]
    ['-0.037', '0.037']
    """
    g, b = np.broadcast_arrays(np.asarray(gained, np.float64), np.asarray(lost, np.float64))
    n, difference = float(images), (g - b) / images

    def too_far(delta: Array) -> NDArray[np.bool_]:
        linear = (2 * n - g + b) * delta - g - b
        root = np.sqrt(np.maximum(linear**2 + 8 * n * b * delta * (1 - delta), 0))
        variance = (root - linear) / (2 * n) + delta * (1 - delta)
        far: NDArray[np.bool_] = np.abs(difference - delta) > Z * np.sqrt(
            np.maximum(variance, 0) / n
        )
        return far

    ends = []
    for outermost in (-1.0, 1.0):
        inside, outside = difference.copy(), np.full(g.shape, outermost)
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            beyond = too_far(middle)
            inside, outside = np.where(beyond, inside, middle), np.where(beyond, middle, outside)
        ends.append(inside)
    return ends[0], ends[1]
