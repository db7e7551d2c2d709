"""Numbers with their 95 % intervals, and how these compare with a cut."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import scipy

from analysis.metrics import paired

Result = Literal["holds", "fails", "undecided"]


@cache
def student_95(freedom: float) -> float:
    """How many standard errors the 95 % interval of Student's t reaches to either side."""
    return float(scipy.special.stdtrit(freedom, 0.975))


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, half: float) -> Interval:
        """An interval that is symmetric about its value."""
        return cls(value, value - half, value + half)

    @classmethod
    def of_mean(cls, mean: float, error: float, number: int) -> Interval:
        """The interval of a mean over so many values with its standard error (Student's t)."""
        return cls.around(mean, student_95(number - 1) * error)

    @classmethod
    def of_paired(cls, difference: float, error: float, images: int) -> Interval:
        """The interval of a difference of accuracies on the same images with its standard error."""
        low, high = paired.score_interval(*paired.discordant(difference, error, images), images)
        return cls(difference, float(low), float(high))

    def less(self, other: Interval) -> Interval:
        """The difference of two that are independent."""
        value = self.value - other.value
        below = np.hypot(self.value - self.low, other.high - other.value)
        above = np.hypot(self.high - self.value, other.value - other.low)
        return Interval(value, value - below, value + above)

    def above(self, cut: float) -> Result:
        """Whether the value is larger than a cut; a value without error must not equal it."""
        return "holds" if self.low > cut else "fails" if self.high < cut else "undecided"
