"""From evidence to cases: p-values of what a claim says of each model, corrected for their number.

A claim about every model is looked at once for each model and each set of images. Of many looks
some seem decisive by chance. `decided` therefore corrects them together (Holm), for the claim and
against it, each at half of `SIGNIFICANCE`; one look alone is decided just where the 95 % interval
ends above or below the cut. Where every look of a claim would be decided for it alone, no
correction is needed, since the claim is that all hold (an intersection-union test, Berger 1982). No
other place turns p-values into results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from math import inf, isinf, isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.indicators import holm
from companion.claims.ledger import ASIDES, Aside, Case, combined
from companion.measurements.intervals import Interval, Result, student_95

#: How often anything may be called established though nothing is there.
SIGNIFICANCE = 0.05


class PValues(NamedTuple):
    """How surprising the evidence is, as two one-sided p-values.

    ``holds``: how likely evidence as good for a statement is, at most, where it is not true;
    ``fails``: the same against it, where it is. NaN: this evidence cannot tell, however it comes
    out.
    """

    holds: float = nan
    fails: float = nan


#: Something that has no error, and is so or not.
TRUE, FALSE = PValues(holds=0.0), PValues(fails=0.0)


class Look(NamedTuple):
    """What one set of images, or one view, says of a model, or of two by name (``of``).

    ``aside``: why it decides nothing, if it does not.
    """

    of: str
    tested: PValues
    aside: Aside | None = None


def above(interval: Interval, cut: float, freedom: float = inf) -> PValues:
    """Whether a value lies above a cut, on the scale of its 95 % interval towards the cut.

    ``freedom``: that of Student's t from which the interval is; normal where it is not given.
    """
    value, low, high = interval
    half = value - low if value > cut else high - value
    if isnan(half):
        return PValues()
    if not half:
        return TRUE if value > cut else FALSE if value < cut else PValues(1.0, 1.0)
    distance = abs(value - cut) / half * student_95(freedom)
    p = _tail(distance, freedom)
    return PValues(p, 1 - p) if value > cut else PValues(1 - p, p)


def mean_above(mean: float, error: float, skew: float, number: int, cut: float) -> PValues:
    """Whether a mean over skewed values lies above a cut: Hall's (1992) transformed t.

    ``error``: the standard error of the mean, ``skew`` the skewness of so many values. Without it,
    a mean of skewed values seems to lie below a cut much too often, since its error is small just
    where the long tail was missed.
    """
    if not error:
        return above(Interval(mean, mean, mean), cut)
    t, a = (mean - cut) / error, skew / sqrt(number)
    p = _tail(t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6, number - 1)
    return PValues(p, 1 - p)


def below(interval: Interval, cut: float) -> PValues:
    """Whether a value lies below a cut, as `above`."""
    return contrary(above(interval, cut))


def contrary(tested: PValues) -> PValues:
    """The same of the contrary statement."""
    return PValues(tested.fails, tested.holds)


def every(tests: Iterable[PValues]) -> PValues:
    """Whether all of several things hold: each must, and if one fails all fail (Bonferroni)."""
    each = [*tests]
    holds = max((t.holds for t in each), default=nan)
    return PValues(
        nan if any(isnan(t.holds) for t in each) else holds, _least(t.fails for t in each)
    )


def some(tests: Iterable[PValues]) -> PValues:
    """Whether any of several measurements of one thing says that it holds, or fails."""
    each = [*tests]
    return PValues(_least(t.holds for t in each), _least(t.fails for t in each))


def decided(looks: Iterable[Look]) -> dict[str, Case]:
    """One case for each name: the helper by which every rule decides.

    All looks that decide are corrected together, those aside apart. Several looks at one name are
    one case, in which those that decide go before those aside; if two contradict each other it is
    undecided.
    """
    each = [*looks]
    found: dict[str, list[Case]] = {}
    results: dict[int, Result] = {}
    for apart in (False, True):
        places = [n for n, look in enumerate(each) if (look.aside is not None) == apart]
        results |= dict(zip(places, _results([each[n].tested for n in places]), strict=True))
    for n, look in enumerate(each):
        found.setdefault(look.of, []).append(Case(results[n], look.aside))
    return {name: _one(cases) for name, cases in found.items()}


def association(table: Mapping[tuple[bool | None, bool | None], int]) -> float:
    """How likely it is that two properties go together as often, if they are independent.

    ``table``: (has the first, has the second) → how many. Fisher's exact test, one-sided; 1 if
    nothing has both.
    """
    counts = [
        [table.get((first, second), 0) for second in (True, False)] for first in (True, False)
    ]
    if not counts[0][0]:
        return 1.0
    return round(float(scipy.stats.fisher_exact(counts, "greater").pvalue), 12)  # 1/20 is 5 %


def balance(amounts: ArrayLike) -> PValues:
    """Whether independent amounts have a sum above zero, if each could as well have the other sign.

    Exact: of all ways to give them signs, the share with a sum as large, or as small. Amounts are
    multiples of one half; of amounts ±1 it is the binomial test.
    """
    doubled = np.rint(2 * np.asarray(amounts, np.float64)).astype(int)
    sizes, counts = np.unique(np.abs(doubled[doubled != 0]), return_counts=True)
    if not len(sizes):
        return PValues()
    reach, chances = int((sizes * counts).sum()), np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):  # sums −reach … reach
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = _fair(count)
        chances = np.convolve(chances, steps)
    place = int(doubled.sum()) + reach
    return PValues(float(chances[place:].sum()), float(chances[: place + 1].sum()))


@cache
def _fair(count: int) -> NDArray[np.float64]:
    """How likely each number of heads is among so many coins."""
    return np.asarray(scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5))


def _tail(distance: float, freedom: float) -> float:
    """The probability of more, by Student's t; normal without bound on its degrees of freedom."""
    if isinf(freedom):
        return float(scipy.special.ndtr(-distance))
    return float(scipy.special.stdtr(freedom, -distance))


def _least(p_values: Iterable[float]) -> float:
    known = [p for p in p_values if not isnan(p)]
    return min(1.0, len(known) * min(known)) if known else nan


def _results(tests: Iterable[PValues]) -> list[Result]:
    """Each result after correction; undecided where both sides seem established."""
    each, level = np.array([*tests], float).reshape(-1, 2), SIGNIFICANCE / 2
    for_it, against = (holm(p) < level for p in each.T)
    alone = each[:, 0][~np.isnan(each[:, 0])] < level
    if alone.all():  # they hold together
        for_it = each[:, 0] < level
    return [
        "holds" if holds and not fails else "fails" if fails and not holds else "undecided"
        for holds, fails in zip(for_it, against, strict=True)
    ]


def _one(cases: list[Case]) -> Case:
    # None comes first: looks that decide go before those aside.
    aside = min((case.aside for case in cases), key=(None, *ASIDES).index)
    return Case(combined(case.result for case in cases if case.aside == aside), aside)
