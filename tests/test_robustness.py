"""The robustness metrics against independent implementations and hand-worked cases."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import statsmodels.api as sm
from conftest import cases, refuses

from analysis.metrics.robustness import (
    Baseline,
    bootstrap_baselines,
    effective_robustness,
    expected,
    expected_slope,
    fit_baseline,
    inverse_logit,
    is_robust,
    logit,
    matched_excess,
    resampled_units,
    robust_at_every_reach,
    sampling_error,
    weighted_accuracy,
)

CASES = cases("robustness")
LINES = [Baseline(0.8, -1.0, 1), Baseline(-0.5, -1.0, 1), Baseline(0.0, -1.0, 1)]


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    imagenet = rng.uniform(0.05, 0.85, 40)
    noise = rng.normal(0, 0.1, 40)
    shifted = scipy.special.expit(0.8 * scipy.special.logit(imagenet) - 1.2 + noise)
    return imagenet, shifted


def test_logit_agrees_with_scipy_to_the_edges_and_keeps_shapes():
    accuracy = np.array([1e-12, 0.001, 0.3, 0.5, 0.999, 1 - 1e-12])
    np.testing.assert_allclose(logit(accuracy), scipy.special.logit(accuracy), rtol=1e-9)
    z = np.array([-800.0, -30, 0, 30, 800])
    np.testing.assert_allclose(inverse_logit(z), scipy.special.expit(z), rtol=1e-12)
    np.testing.assert_allclose(inverse_logit(logit(accuracy)), accuracy, rtol=1e-9)
    assert logit([[0.1, 0.2], [0.3, 0.4]]).shape == (2, 2) and logit(0.5).shape == ()


def test_fit_is_scipys_regression(pool):
    ours, fitted = scipy.stats.linregress(*map(scipy.special.logit, pool)), fit_baseline(*pool)
    expected = [ours.slope, ours.intercept, ours.rvalue]
    np.testing.assert_allclose([fitted.slope, fitted.intercept, fitted.r], expected, atol=1e-12)


def test_effective_robustness_by_hand():
    # At 50 % on ImageNet the logit is 0, so the line expects 1 / (1 + e^1.49) = 0.183922.
    assert effective_robustness(0.5, 0.5) == pytest.approx(0.5 - 0.183922, abs=1e-6)
    values = effective_robustness([0.4, 0.7], [0.6, 0.6], Baseline(slope=1, intercept=0, r=1))
    np.testing.assert_allclose(values, [-0.2, 0.1], atol=1e-12)
    assert effective_robustness(0.0, 0.5) < 0


def test_expectations_have_limits_where_the_logit_is_infinite():
    ours = expected([0.0, 0.5, 1.0], LINES)
    middle = 1 / (1 + math.e)
    np.testing.assert_allclose(ours, [[0, middle, 1], [1, middle, 0], [middle, middle, middle]])
    near = expected([1e-12, 0.5, 1 - 1e-12], LINES[0])
    np.testing.assert_allclose(near, ours[0], atol=1e-9)
    inside = np.random.default_rng(0).uniform(0.01, 0.99, (3, 5))
    for line, accuracies, row in zip(LINES, inside, expected(inside, LINES), strict=True):
        by_scipy = line.slope * scipy.special.logit(accuracies) + line.intercept
        np.testing.assert_allclose(row, scipy.special.expit(by_scipy), rtol=1e-12)


def test_the_slope_is_the_derivative():
    a, step = np.array([[0.1, 0.5], [0.7, 0.99]]), 1e-6
    numeric = (expected(a + step, LINES[0]) - expected(a - step, LINES[0])) / (2 * step)
    np.testing.assert_allclose(expected_slope(a, LINES[0]), numeric, rtol=1e-6)
    assert np.isnan(expected_slope([0.0, 1.0], LINES[0])).all()


def test_bootstrap_is_seeded_and_each_resample_is_a_fit(pool):
    first = bootstrap_baselines(*pool, resamples=5, seed=3)
    assert first == bootstrap_baselines(*pool, resamples=5, seed=3)
    assert first != bootstrap_baselines(*pool, resamples=5, seed=4)
    drawn = np.random.default_rng(3).integers(0, 40, size=(5, 40))[2]
    again = fit_baseline(pool[0][drawn], pool[1][drawn])
    ours = [first[2].slope, first[2].intercept, first[2].r]
    np.testing.assert_allclose(ours, [again.slope, again.intercept, again.r])


def test_units_are_drawn_together_in_all_data_sets():
    """Four units; the first data set shows each twice, the second three of them."""
    first, second = resampled_units([[7, 9, 9, 7, 12, 3, 12, 3], [12, 3, 7]], 2000, seed=1)
    np.testing.assert_array_equal(first[:, [0, 2, 4, 5]], first[:, [3, 1, 6, 7]])
    np.testing.assert_array_equal(second, first[:, [4, 5, 0]])
    assert (first.sum(axis=1) == 8).all()
    np.testing.assert_allclose(first.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(first.var(axis=0), 3 / 4, atol=0.1)  # binomial of 4 draws
    right = np.array([[True] * 4 + [False] * 4, [False, True] * 4])
    ours = weighted_accuracy(right, first)
    for weights, row in zip(first[:20], ours, strict=False):
        np.testing.assert_allclose(row, [np.average(flags, weights=weights) for flags in right])


def test_sampling_error_against_simulated_test_sets():
    rng = np.random.default_rng(1)
    shifts, images = np.array([0.6, 0.7, 0.4, 0.5, 0.3]), np.array([1000, 3000, 5000, 1800, 750])
    simulated = effective_robustness(
        (rng.binomial(images, shifts, size=(40_000, 5)) / images).mean(1),
        rng.binomial(5000, 0.65, size=40_000) / 5000,
    )
    ours = float(sampling_error(shifts, images, 0.65, 5000))
    assert simulated.std() == pytest.approx(ours, rel=0.02)


test_bad_input_is_named = refuses(
    (lambda: expected([0.5, -0.1], LINES), "got -0.1; divide percentages"),
    (lambda: effective_robustness(48.0, 0.6), "got 48; divide percentages"),
    (lambda: logit([0.5, 71.3]), "got 71.3; divide percentages"),
    (lambda: logit([0.5, 1.0]), "an accuracy of 0 or 1 has no logit"),
    (lambda: fit_baseline([0.1, 0.2], [0.1, 0.2]), "at least three"),
    (lambda: fit_baseline([0.1, 0.2, 0.3], [0.1, 0.2]), "equally long"),
    (lambda: fit_baseline([0.5] * 3, [0.1, 0.2, 0.3]), "not all have the same"),
    (lambda: weighted_accuracy(np.ones((2, 3), bool), np.diag([1, 0, 0])[:2]), "1 of 2 resam"),
)


def test_the_excess_over_ordinary_models_agrees_with_statsmodels(pool):
    imagenet, shifted = pool
    er = effective_robustness(shifted, imagenet, fit_baseline(imagenet, shifted))
    ours = matched_excess([0.5], [0.12], imagenet, er, reach=0.2)
    near = np.abs(imagenet - 0.5) <= 0.2
    x = scipy.special.logit(imagenet[near])
    fit = sm.OLS(er[near], np.vander(x, 3)).fit()
    at = fit.get_prediction(np.vander([scipy.special.logit(0.5)], 3))
    assert ours.excess == pytest.approx(0.12 - at.predicted_mean, abs=1e-10)
    assert ours.error == pytest.approx(at.se_mean, rel=1e-8)
    assert ours.limit == pytest.approx([np.quantile(fit.resid, 0.975)], abs=1e-10)
    assert ours.models.tolist() == [near.sum()]


def test_a_trend_among_ordinary_models_is_no_excess():
    """21 models a point apart, each more robust the more accurate: none exceeds the others."""
    accuracies = np.linspace(0.4, 0.6, 21)
    er = 0.3 * logit(accuracies) + 0.05 * logit(accuracies) ** 2
    ours = matched_excess(accuracies, er, accuracies, er)
    assert np.abs(ours.excess[5:16]).max() < 1e-12 and np.abs(ours.limit[5:16]).max() < 1e-12
    assert np.isnan(ours.excess[:4]).all()  # fewer than ten within five points
    assert ours.models[[0, 10]].tolist() == [6, 11]
    outside = matched_excess([0.56, 0.615, 0.5], [0, 0, 0], accuracies[5:16], er[5:16])
    assert np.isnan(outside.excess).tolist() == [True, True, False]
    for wrong in (
        ([0.5], [0], accuracies, er[1:]),
        ([[0.5, 0.6]], [[0, 0]], accuracies, er),
        ([0.5, 0.6], [0], accuracies, er),
    ):
        with pytest.raises(ValueError, match="one effective robustness for each accuracy"):
            matched_excess(*wrong)


@pytest.mark.parametrize(("answers", "robust"), CASES["reaches"])
def test_an_answer_that_flips_with_the_reach_is_unknown(answers, robust):
    assert robust_at_every_reach(answers, main=2) is robust


@pytest.mark.parametrize(("low", "high", "limit", "robust"), CASES["robust"])
def test_robust_is_more_than_ordinary_models_reach(low, high, limit, robust):
    assert is_robust(low, high, limit) is robust
