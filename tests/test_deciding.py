"""p-values become results in one place: against SciPy, against enumeration, and under no effect."""

from itertools import product
from math import isnan, nan

import numpy as np
import pytest
import scipy

from companion.claims.deciding import (
    FALSE,
    TRUE,
    Look,
    PValues,
    above,
    association,
    balance,
    below,
    decided,
    every,
    some,
)
from companion.measurements.intervals import Interval


def results(*looks):
    return {name: case.result for name, case in decided(looks).items()}


def alone(tested):
    return results(Look("m", tested))["m"]


@pytest.mark.parametrize("cut", [1.5, 3, 4.2, 6])
@pytest.mark.parametrize("number", [5, 30])
def test_a_look_is_the_test_of_its_interval(cut, number):
    values = np.random.default_rng(number).normal(3.7, 2, number)
    error = scipy.stats.sem(values)
    interval = Interval.of_mean(values.mean(), error, number)
    expected = scipy.stats.ttest_1samp(values, cut, alternative="greater").pvalue
    tested = above(interval, cut, number - 1)
    assert tested == pytest.approx((expected, 1 - expected), rel=1e-6)
    assert below(interval, cut) == above(interval, cut)[::-1]
    assert alone(tested) == interval.above(cut)  # one look alone is decided by its interval


def test_what_has_no_error_is_so_or_not_and_nan_tells_nothing():
    assert [above(Interval(v, v, v), 3) for v in (4, 2, 3)] == [TRUE, FALSE, (1, 1)]
    assert [alone(t) for t in (TRUE, FALSE, PValues())] == ["holds", "fails", "undecided"]
    assert all(map(isnan, above(Interval(4, nan, nan), 3)))


def test_several_things_must_all_hold_and_one_that_fails_is_enough():
    assert every([PValues(0.01, 0.9), PValues(0.2, 0.6)]) == pytest.approx((0.2, 1))
    assert every([PValues(0.01, 0.9), PValues(0.99, 0.004)]) == pytest.approx((0.99, 0.008))
    assert alone(every([TRUE, PValues()])) == "undecided"
    assert alone(every([FALSE, PValues()])) == "fails"
    assert alone(every([])) == alone(some([])) == "undecided"
    assert some([PValues(0.01, 0.9), PValues(0.2, 0.6), PValues()]) == pytest.approx((0.02, 1))


def test_looks_are_corrected_together_and_those_aside_apart():
    """Of three, 0.008 is below 0.025 / 3 and then 0.012 below 0.025 / 2; of four not."""
    some_looks = [
        Look(name, PValues(p, 1 - p)) for name, p in zip("abc", (0.008, 0.012, 0.5), strict=True)
    ]
    assert results(*some_looks) == {"a": "holds", "b": "holds", "c": "undecided"}
    assert results(*some_looks, Look("d", PValues(0.6, 0.4)))["b"] == "undecided"
    untested = Look("d", PValues())
    assert results(*some_looks, untested)["b"] == "holds"
    apart = [look._replace(aside="stand-in") for look in some_looks]
    assert results(*some_looks, *(look._replace(of=look.of * 2) for look in apart)) == {
        **results(*some_looks),
        **{name * 2: result for name, result in results(*some_looks).items()},
    }


def test_all_looks_hold_together_without_correction():
    """If one of them does not hold, its own look says so in 39 of 40 cases."""
    three = [Look(name, PValues(0.02, 0.98)) for name in "abc"]
    assert {*results(*three).values()} == {"holds"}
    assert {*results(*three, Look("d", PValues(0.03, 0.97))).values()} == {"undecided"}
    against = [Look(name, PValues(0.98, 0.02)) for name in "abc"]
    assert {*results(*against).values()} == {"undecided"}  # one failure alone would refute


def test_looks_at_one_model_agree_or_decide_nothing_and_those_aside_come_last():
    good, bad = PValues(0.001, 0.999), PValues(0.999, 0.001)
    assert results(Look("m", good), Look("m", PValues(0.4, 0.6))) == {"m": "holds"}
    assert results(Look("m", good), Look("m", bad)) == {"m": "undecided"}
    (case,) = decided([Look("m", bad, "inferred"), Look("m", good)]).values()
    assert (case.result, case.aside) == ("holds", None)


@pytest.mark.parametrize("sets", [1, 5, 20])
def test_no_number_of_looks_at_nothing_establishes_more_than_one_in_twenty(sets):
    rng, found = np.random.default_rng(sets), 0
    for z in rng.normal(size=(2000, sets)):
        p = scipy.stats.norm.sf(z)
        given = [Look("m", PValues(*each)) for each in zip(p, 1 - p, strict=True)]
        found += results(*given)["m"] != "undecided"
    assert found / 2000 < 0.06


@pytest.mark.parametrize("amounts", [[1] * 8, [1, 1, -1, 2.5], [-3, 0.5, 0, 1], [0.5, -0.5]])
def test_balance_counts_all_signs(amounts):
    sums = [np.dot(signs, amounts) for signs in product((1, -1), repeat=len(amounts))]
    expected = np.mean(np.array(sums) >= sum(amounts)), np.mean(np.array(sums) <= sum(amounts))
    assert balance(amounts) == pytest.approx(expected)
    assert all(map(isnan, balance([0, 0])))


def test_balance_of_single_concepts_is_the_binomial_test():
    for first, second in ((8, 0), (5, 3), (0, 6)):
        for p, side in zip(balance([1] * first + [-1] * second), ("greater", "less"), strict=True):
            exact = scipy.stats.binomtest(first, first + second, alternative=side)
            assert p == pytest.approx(exact.pvalue)


@pytest.mark.parametrize(
    ("with_", "without"), [((3, 0), (0, 3)), ((4, 1), (2, 5)), ((0, 5), (0, 5))]
)
def test_association_counts_tables(with_, without):
    """Of all ways to give the property to as many, those in which as many of the first have it."""
    table = dict(zip(product((True, False), repeat=2), (*with_, *without), strict=True))
    rows, has = sum(with_), with_[0] + without[0]
    drawn = scipy.stats.hypergeom(rows + sum(without), has, rows)
    expected = drawn.pmf(np.arange(with_[0], rows + 1)).sum() if with_[0] else 1
    assert association(table | {(None, True): 7}) == pytest.approx(expected, abs=1e-9)
