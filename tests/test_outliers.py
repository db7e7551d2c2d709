"""Kurtosis, outlier features and persistence: against scipy, by hand, and for bad input."""

import numpy as np
import pytest
import scipy.stats
from conftest import refused, refuses
from tiny import unit

from analysis.metrics import outliers
from analysis.metrics.outliers import kurtosis, outlier_features, persistence

RNG = np.random.default_rng(0)
FEATURES = np.round(RNG.normal(size=(40, 96)) * np.linspace(0.1, 5, 96) + 1, 1)  # some are zero


def test_everything_found_is_scipys_or_numpys():
    measured, z = outlier_features(FEATURES), np.abs(scipy.stats.zscore(FEATURES, axis=1))
    expected = scipy.stats.kurtosis(FEATURES, axis=1, fisher=False, bias=True)
    np.testing.assert_allclose(measured.kurtosis, expected, rtol=1e-12)
    np.testing.assert_allclose(measured.profile, z.mean(0) / z.mean())
    leaders = z.argmax(axis=1)
    np.testing.assert_array_equal(measured.leading, np.bincount(leaders, minlength=96))
    assert measured.persistence == (scipy.stats.mode(leaders).mode, measured.leading.max() / 40)
    assert measured.zero_share == (FEATURES == 0).mean() > 0
    assert measured.negative_share == (FEATURES < 0).mean()
    assert measured.kurtosis_mean == pytest.approx(expected.mean())
    assert measured.kurtosis_standard_error == pytest.approx(scipy.stats.sem(expected))
    assert outlier_features(FEATURES[:1]).kurtosis_standard_error == 0
    middle = measured.kurtosis_percentiles[[0, 50, 100]]
    np.testing.assert_allclose(middle, [expected.min(), np.median(expected), expected.max()])
    np.testing.assert_array_equal(kurtosis(FEATURES), measured.kurtosis)
    assert persistence(FEATURES) == measured.persistence


def test_cases_worked_by_hand():
    for width in (2, 3, 512):  # one differing component reaches the ceiling
        assert kurtosis(np.eye(width)[:1])[0] == pytest.approx(width - 2 + 1 / (width - 1))
    h = np.array([[9.0, 1, 0, 2], [-1.0, 10, 10, 10], [0.0, 0, 0, 6]])
    assert persistence(h) == (0, 2 / 3)  # leads by its distance from the image's mean


@pytest.mark.parametrize(
    "changed",
    [
        -3e-7 * FEATURES + 11,
        FEATURES[:, np.random.default_rng(2).permutation(96)],
        unit(FEATURES),
        FEATURES * 1e-300,
        FEATURES * 1e150,
    ],
)
def test_scale_shift_and_order_change_nothing(changed):
    np.testing.assert_allclose(kurtosis(changed), kurtosis(FEATURES), rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
def test_any_real_type_is_computed_in_double_precision_and_left_alone(dtype):
    stored = (FEATURES * 20).astype(dtype)
    before = stored.copy()
    expected = scipy.stats.kurtosis(stored.astype(float), axis=1, fisher=False)
    np.testing.assert_allclose(kurtosis(stored), expected, rtol=1e-12)
    np.testing.assert_array_equal(stored, before)


def test_blocks_and_memory_maps_change_nothing(monkeypatch, tmp_path):
    expected = outlier_features(FEATURES)
    np.save(tmp_path / "h.npy", FEATURES)
    monkeypatch.setattr(outliers, "BLOCK_BYTES", 3 * 8 * 96)
    measured = outlier_features(np.load(tmp_path / "h.npy", mmap_mode="r"))
    for part in ("kurtosis", "profile", "leading", "zero_share", "negative_share"):
        np.testing.assert_allclose(getattr(measured, part), getattr(expected, part), rtol=1e-12)


def test_outlier_features_by_their_rule():
    h = np.random.default_rng(4).normal(size=(100, 200))
    h[:, 30] += 12
    h[:, 4] -= 25
    measured = outlier_features(h)
    assert measured.coordinates().tolist() == [4, 30] and measured.coordinates(15).tolist() == [4]
    assert len(outlier_features(h[:, 50:]).coordinates()) == 0
    for threshold in (1, 0, -2, float("nan")):
        refused("give a number above 1", measured.coordinates, threshold)


test_bad_features_are_named = refuses(
    (lambda: outlier_features(np.ones(5)), r"shape \(images, components\) .* got \(5,\)"),
    (lambda: outlier_features(np.ones((5, 1))), r"2 components, got \(5, 1\)"),
    (lambda: outlier_features(np.ones((0, 5))), r"at least one image.* got \(0, 5\)"),
    (lambda: outlier_features(np.array([[1j, 2.0]])), "must be real numbers"),
    (lambda: outlier_features([[1.0, 2], [3, 3]]), "row 1 of the features is constant"),
    (
        lambda: outlier_features([[1.0, 2], [4, 2], [np.nan, 3]]),
        "row 2 of the features holds NaN",
    ),
)
