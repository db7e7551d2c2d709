"""Kurtosis, outlier features and persistence: against scipy, by hand, and for bad input."""

import math

import numpy as np
import pytest
import scipy.stats

from analysis.metrics import outliers
from analysis.metrics.outliers import (
    activation_profile,
    kurtosis,
    leading_counts,
    outlier_features,
    persistence,
)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(40, 96)) * np.linspace(0.1, 5, 96) + 1


def literal_kurtosis(features):
    """The equation, term by term, in plain Python."""
    values = []
    for h in np.asarray(features, dtype=float).tolist():
        d = len(h)
        mu = math.fsum(h) / d
        sigma = math.sqrt(math.fsum((x - mu) ** 2 for x in h) / d)
        values.append(math.fsum(((x - mu) / sigma) ** 4 for x in h) / d)
    return values


def test_kurtosis_is_scipys_and_the_equations(features):
    expected = scipy.stats.kurtosis(features, axis=1, fisher=False, bias=True)
    np.testing.assert_allclose(kurtosis(features), expected, rtol=1e-12)
    np.testing.assert_allclose(kurtosis(features), literal_kurtosis(features), rtol=1e-12)


@pytest.mark.parametrize("width", [2, 3, 512])
def test_one_differing_component_reaches_the_ceiling(width):
    h = np.zeros((1, width))
    h[0, -1] = 7
    assert kurtosis(h)[0] == pytest.approx(width - 2 + 1 / (width - 1))


def test_hand_worked():
    # (1, 1, 1, 5): mean 2, variance 3, fourth powers 1 + 1 + 1 + 81 = 84, 84 / 4 / 9 = 7/3
    assert kurtosis([[1, 1, 1, 5]])[0] == pytest.approx(7 / 3)
    assert kurtosis([[1, -1, 1, -1]])[0] == pytest.approx(1)


def test_gaussian_average_is_a_little_below_three():
    values = kurtosis(np.random.default_rng(1).normal(size=(20_000, 64)))
    assert values.mean() == pytest.approx(3 * 63 / 65, abs=4 * values.std() / np.sqrt(20_000))


def test_scale_shift_and_order_change_nothing(features):
    expected = kurtosis(features)
    rng = np.random.default_rng(2)
    np.testing.assert_allclose(kurtosis(-3e-7 * features), expected)
    np.testing.assert_allclose(kurtosis(features + 11), expected)
    np.testing.assert_allclose(kurtosis(features[:, rng.permutation(96)]), expected)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(kurtosis(features / lengths), expected)


def test_a_rotation_hides_an_outlier_feature():
    rng = np.random.default_rng(3)
    h = rng.normal(size=(50, 256))
    h[:, 7] += 40
    rotation = np.linalg.qr(rng.normal(size=(256, 256)))[0]
    assert kurtosis(h).min() > 60
    assert kurtosis(h @ rotation).max() < 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_any_real_type_is_computed_in_double_precision(features, dtype):
    stored = (features * 20).astype(dtype)
    expected = scipy.stats.kurtosis(stored.astype(float), axis=1, fisher=False)
    np.testing.assert_allclose(kurtosis(stored), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e150])
def test_extreme_magnitudes_stay_finite(features, scale):
    np.testing.assert_allclose(kurtosis(features * scale), kurtosis(features), rtol=1e-9)


def test_blocks_and_memory_maps_change_nothing(features, monkeypatch, tmp_path):
    expected = kurtosis(features), activation_profile(features), leading_counts(features)
    np.save(tmp_path / "h.npy", features)
    monkeypatch.setattr(outliers, "BLOCK_BYTES", 3 * 8 * 96)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    np.testing.assert_allclose(kurtosis(mapped), expected[0], rtol=1e-12)
    np.testing.assert_allclose(activation_profile(mapped), expected[1], rtol=1e-12)
    np.testing.assert_array_equal(leading_counts(mapped), expected[2])


def test_the_input_is_not_changed(features):
    before = features.copy()
    kurtosis(features)
    np.testing.assert_array_equal(features, before)


def test_profile_against_its_definition(features):
    z = np.abs(scipy.stats.zscore(features, axis=1))
    np.testing.assert_allclose(activation_profile(features), z.mean(0) / z.mean())
    assert activation_profile(features).mean() == pytest.approx(1)


def test_outlier_features_by_their_rule():
    rng = np.random.default_rng(4)
    h = rng.normal(size=(100, 200))
    h[:, 30] += 12
    h[:, 4] -= 25
    np.testing.assert_array_equal(outlier_features(h), [4, 30])
    np.testing.assert_array_equal(outlier_features(h, threshold=15), [4])
    assert len(outlier_features(h[:, 50:])) == 0


def test_persistence_tells_an_outlier_from_a_sparse_vector():
    rng = np.random.default_rng(5)
    outlier = rng.normal(size=(300, 128))
    outlier[:, 9] += 20
    sparse = np.maximum(rng.normal(size=(300, 128)) - 1.5, 0)
    assert persistence(outlier) == (9, 1.0)
    assert kurtosis(sparse).mean() > 8
    assert persistence(sparse).fraction < 0.05


def test_persistence_counts_by_distance_from_the_images_mean():
    h = np.array([[9.0, 1, 0, 2], [-1.0, 10, 10, 10], [0.0, 0, 0, 6]])
    assert persistence(h) == (0, 2 / 3)
    assert leading_counts(h).tolist() == [2, 0, 0, 1]


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.ones(5), r"shape \(images, components\) .* got \(5,\)"),
        (np.ones((2, 3, 4)), r"got \(2, 3, 4\)"),
        (np.ones((5, 1)), r"2 components, got \(5, 1\)"),
        (np.ones((0, 5)), r"at least one image.* got \(0, 5\)"),
        (np.array([["a", "b"]]), "must be real numbers"),
        (np.array([[1j, 2.0]]), "must be real numbers"),
        ([[1.0, 2], [3, 3]], "row 1 of the features is constant"),
        ([[0.1, 0.1, 0.1]], "row 0 of the features is constant"),
        ([[1.0, 2], [4, 2], [np.nan, 3]], "row 2 of the features holds NaN or infinity"),
        ([[1.0, np.inf]], "row 0 of the features holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize("function", [kurtosis, activation_profile, outlier_features, persistence])
def test_bad_features_are_named(function, bad, message):
    with pytest.raises(ValueError, match=message):
        function(bad)


@pytest.mark.parametrize("threshold", [1, 0, -2, float("nan")])
def test_a_threshold_must_be_above_the_mean(features, threshold):
    with pytest.raises(ValueError, match="give a number above 1"):
        outlier_features(features, threshold)
