"""Images one by one: fifths, correlations, classes, pooling, and what is recorded."""

import numpy as np
import pytest
from conftest import refused
from scipy import stats
from sklearn.neighbors import NearestCentroid
from tiny import unit

from analysis.metrics import image_by_image as one_by_one
from analysis.metrics.outliers import kurtosis
from companion.measurements.quantities import declared

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(6), 20)
FEATURES = RNG.normal(size=(6, 16))[LABELS] + RNG.normal(size=(120, 16)) + 1


def test_all_of_it_by_hand():
    right = RNG.random(120) < 0.6
    measured = one_by_one.by_image(FEATURES, LABELS, right)
    assert set(measured) == set(declared()["image_by_image"].quantities)
    cosine = unit(FEATURES) @ unit(unit(FEATURES).mean(axis=0))
    for name, values in {"kurtosis": kurtosis(FEATURES), "cosine": cosine}.items():
        assert measured[f"correlation_{name}"] == pytest.approx(stats.spearmanr(values, right)[0])
        order = np.argsort(values)
        for fifth in range(5):
            part = order[24 * fifth : 24 * fifth + 24]
            assert measured[f"accuracy_by_{name}"][fifth] == pytest.approx(right[part].mean())
            assert measured[f"{name}_of_fifths"][fifth] == pytest.approx(values[part].mean())
    turned = FEATURES @ stats.ortho_group.rvs(16, random_state=1)
    again = one_by_one.by_image(turned, LABELS, right)
    assert again["correlation_cosine"] == pytest.approx(measured["correlation_cosine"])
    assert again["correlation_kurtosis"] != pytest.approx(measured["correlation_kurtosis"])


def test_within_classes_a_hard_class_of_large_values_makes_nothing():
    values = LABELS + 0.1 * RNG.random(120)
    right = RNG.random(120) < np.linspace(0.9, 0.1, 6)[LABELS]
    assert stats.spearmanr(values, right)[0] < -0.5
    ranks = stats.rankdata(values)
    dummies = (LABELS[:, None] == np.arange(6)).astype(float)
    left = [y - dummies @ np.linalg.lstsq(dummies, y, rcond=None)[0] for y in (ranks, 1.0 * right)]
    within = one_by_one.correlation_within(values, right, LABELS)
    assert within == pytest.approx(np.corrcoef(*left)[0, 1]) and abs(within) < 0.2
    assert np.isnan(one_by_one.correlation_within(values, right, np.arange(120)))


def test_class_means_leave_the_image_out():
    expected, images = [], unit(FEATURES)
    for image in range(120):
        others = np.arange(120) != image
        centres = unit(NearestCentroid().fit(images[others], LABELS[others]).centroids_)
        expected.append((centres @ images[image]).argmax() == LABELS[image])
    np.testing.assert_array_equal(one_by_one.by_class_means(FEATURES, LABELS), expected)
    with pytest.raises(ValueError, match="a class has a single image"):
        one_by_one.by_class_means(FEATURES, np.minimum(np.arange(120), 1))
    refused("every image is recognised", one_by_one.by_image, FEATURES, LABELS, np.ones(120))


def test_intervals_and_pooling():
    draws = stats.multivariate_normal([0, 0], [[1, -0.3], [-0.3, 1]], seed=0)
    covered, rhos = [], []
    for _ in range(400):
        rho = stats.spearmanr(*draws.rvs(200).T)[0]
        interval = one_by_one.rank_interval(rho, 200)
        covered.append(interval.low < -0.287 < interval.high)  # 6 / π · asin(−0.15)
        rhos.append(rho)
    assert 0.92 < np.mean(covered) < 0.98
    same = one_by_one.pooled(rhos[:20], [200] * 20)
    assert same.value == pytest.approx(-0.287, abs=0.03) and same.low < -0.287 < same.high
    single = one_by_one.rank_interval(rhos[0], 200)
    assert same.high - same.low < (single.high - single.low) / 3
    apart = one_by_one.pooled([-0.6, 0.2, -0.5, 0.3], [5000] * 4)  # sets that truly differ
    assert apart.low < -0.6 and apart.high > 0.3
    refused("a single set", one_by_one.pooled, [0.1], [100])
