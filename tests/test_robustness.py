"""The robustness metrics against independent implementations and hand-worked cases."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from analysis.metrics.robustness import (
    Baseline,
    bootstrap_baselines,
    effective_robustness,
    fit_baseline,
    inverse_logit,
    logit,
    sampling_error,
)


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    imagenet = rng.uniform(0.05, 0.85, 40)
    noise = rng.normal(0, 0.1, 40)
    shifted = scipy.special.expit(0.8 * scipy.special.logit(imagenet) - 1.2 + noise)
    return imagenet, shifted


def test_logit_agrees_with_scipy_to_the_edges():
    accuracy = np.array([1e-12, 0.001, 0.3, 0.5, 0.999, 1 - 1e-12])
    np.testing.assert_allclose(logit(accuracy), scipy.special.logit(accuracy), rtol=1e-9)
    z = np.array([-800.0, -30, 0, 30, 800])
    np.testing.assert_allclose(inverse_logit(z), scipy.special.expit(z), rtol=1e-12)
    np.testing.assert_allclose(inverse_logit(logit(accuracy)), accuracy, rtol=1e-9)


def test_logit_keeps_the_shape():
    assert logit([[0.1, 0.2], [0.3, 0.4]]).shape == (2, 2)
    assert logit(0.5).shape == ()


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 71.3, float("nan")])
def test_logit_names_the_value_it_cannot_take(value):
    with pytest.raises(ValueError, match=r"1 of 2 accuracies outside \(0, 1\).*divide percentages"):
        logit([0.5, value])


def test_fit_is_scipys_regression(pool):
    expected = scipy.stats.linregress(*map(scipy.special.logit, pool))
    fitted = fit_baseline(*pool)
    assert fitted.slope == pytest.approx(expected.slope, abs=1e-12)
    assert fitted.intercept == pytest.approx(expected.intercept, abs=1e-12)
    assert fitted.r == pytest.approx(expected.rvalue, abs=1e-12)


def test_fit_refuses_what_has_no_line():
    with pytest.raises(ValueError, match="at least three"):
        fit_baseline([0.1, 0.2], [0.1, 0.2])
    with pytest.raises(ValueError, match="equally long"):
        fit_baseline([0.1, 0.2, 0.3], [0.1, 0.2])
    with pytest.raises(ValueError, match="same ImageNet accuracy"):
        fit_baseline([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])


def test_effective_robustness_by_hand():
    # At 50 % on ImageNet the logit is 0, so the line expects 1 / (1 + e^1.49) = 0.183922.
    assert effective_robustness(0.5, 0.5) == pytest.approx(0.5 - 0.183922, abs=1e-6)
    unit = Baseline(slope=1, intercept=0, r=1)
    values = effective_robustness([0.4, 0.7], [0.6, 0.6], unit)
    np.testing.assert_allclose(values, [-0.2, 0.1], atol=1e-12)


def test_effective_robustness_takes_a_shifted_accuracy_of_zero_but_no_percentage():
    assert effective_robustness(0.0, 0.5) < 0
    with pytest.raises(ValueError, match=r"shifted accuracy of 48; .* divide percentages"):
        effective_robustness(48.0, 0.6)


def test_bootstrap_is_seeded_and_each_resample_is_a_fit(pool):
    first = bootstrap_baselines(*pool, resamples=5, seed=3)
    assert first == bootstrap_baselines(*pool, resamples=5, seed=3)
    assert first != bootstrap_baselines(*pool, resamples=5, seed=4)
    drawn = np.random.default_rng(3).integers(0, 40, size=(5, 40))[2]
    again = fit_baseline(pool[0][drawn], pool[1][drawn])
    found = [first[2].slope, first[2].intercept, first[2].r]
    np.testing.assert_allclose(found, [again.slope, again.intercept, again.r])


def test_sampling_error_against_simulated_test_sets():
    rng = np.random.default_rng(1)
    shifts, images = np.array([0.6, 0.7, 0.4, 0.5, 0.3]), np.array([1000, 3000, 5000, 1800, 750])
    simulated = effective_robustness(
        (rng.binomial(images, shifts, size=(40_000, 5)) / images).mean(1),
        rng.binomial(5000, 0.65, size=40_000) / 5000,
    )
    expected = float(sampling_error(shifts, images, 0.65, 5000))
    assert simulated.std() == pytest.approx(expected, rel=0.02)
