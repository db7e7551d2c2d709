"""Copies of images are no evidence: counted by hand, and against repeated draws."""

import numpy as np
import pytest
import scipy

from analysis.metrics import paired, sampling
from analysis.metrics.sampling import copies, distinct_images, scenes
from companion.measurements import measures
from companion.measurements.measurement import Measurement, Value
from companion.measurements.pruned import against_whole
from companion.probe.judge import place
from companion.probe.measure import ProbeError, of_arrays, quantities

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(40, 12)).astype(np.float32)


def test_copies_are_rows_that_are_equal_to_the_last_bit():
    assert copies(IMAGES[[0, 1, 0, 2, 0]]).tolist() == [3, 1, 1]
    near = IMAGES[[0, 0]].copy()
    near[1, 0] = np.nextafter(near[1, 0], 9, dtype=np.float32)
    assert distinct_images(near) == 2


def test_pictures_that_are_almost_equal_are_one_scene():
    """Whatever vector all share; through a third picture, too, and beyond one block of rows."""
    views = np.repeat(IMAGES, 20, axis=0) + 0.02 * RNG.normal(size=(800, 12))
    assert distinct_images(views) == 800
    assert scenes(views) == scenes(views + 100) == 40 == scenes(IMAGES)
    angles = np.radians([0, 10, 20, 90, 180, 270])  # cos 10° is .985, cos 20° .94
    circle = np.c_[np.cos(angles), np.sin(angles)]
    centred = np.r_[circle, -circle]
    assert scenes(centred) == 12**2 // (4**2 + 2**2 + 4**2 + 2**2)
    assert scenes(np.ones((5, 3))) == 1


@pytest.mark.parametrize("seed", range(12))
def test_scenes_are_the_groups_that_single_linkage_makes_of_all_pairs(seed, monkeypatch):
    """With few directions in a sketch, and blocks so small that groups reach over several."""
    for name, size in (("ROWS", 64), ("COLUMNS", 96), ("DIRECTIONS", 4), ("SAMPLE", 100)):
        monkeypatch.setattr(sampling, name, size)
    draws = np.random.default_rng(seed)
    pictures = draws.normal(size=(60, 24)) * draws.random(24) ** 3
    views = pictures[draws.integers(0, 60, 700)] + draws.normal(size=(700, 24)) * 0.01 * 1.25**seed
    tree = scipy.cluster.hierarchy.single(
        scipy.spatial.distance.pdist(views - views.mean(axis=0), "cosine")
    )
    sizes = np.bincount(scipy.cluster.hierarchy.fcluster(tree, 0.02, "distance"))
    assert scenes(views) == 700**2 // (sizes**2).sum()


@pytest.mark.parametrize("weights", [[5] * 20, [1] * 20, [50, *[1] * 19], [1, 2] * 10])
def test_distinct_images_give_the_error_of_a_mean_with_copies(weights):
    """The spread of means over drawn images, each as often as its weight, against the theory."""
    rows = np.repeat(np.arange(20)[:, None], weights, axis=0)
    means = [np.average(RNG.normal(size=20), weights=weights) for _ in range(20_000)]
    assert 1 / np.var(means) == pytest.approx(distinct_images(rows), rel=0.04, abs=1)


def test_the_interval_of_kurtosis_is_that_of_the_images_without_copies():
    once, often = (of_arrays(rows, None, "m", True) for rows in (IMAGES, np.tile(IMAGES, (30, 1))))
    assert (once.distinct_images, often.distinct_images, often.counts["images"]) == (40, 40, 1200)
    assert often.kurtosis == pytest.approx(once.kurtosis, rel=0.02)
    values = scipy.stats.kurtosis(IMAGES, axis=1, fisher=False)
    ends = scipy.stats.t.interval(0.95, 39, values.mean(), scipy.stats.sem(values))
    assert once.kurtosis[1:] == pytest.approx(ends, rel=1e-5)


def test_a_probe_says_that_images_are_copies_and_refuses_too_few():
    said = place(of_arrays(np.tile(IMAGES, (30, 1)), None, "m", True), [])
    assert any("1200 are given, and they tell as much as 40" in text for text in said.cautions)
    assert not any(
        "copies" in text for text in place(of_arrays(IMAGES, None, "m", True), []).cautions
    )
    few = r"^4 images without copies, of 400 given, are too few .* at least 8"
    with pytest.raises(ProbeError, match=few):
        of_arrays(np.tile(IMAGES[:4], (100, 1)), None, "m", True)


def test_changes_of_accuracy_rest_on_distinct_images():
    labels, head = np.arange(40) % 5, RNG.normal(size=(5, 12))
    found = measures.pruning(np.tile(IMAGES, (25, 1)), np.tile(labels, 25), head)
    alone = measures.pruning(IMAGES, labels, head)
    assert (found["distinct_images"], alone["distinct_images"]) == (40, 40)
    both = [_measured(numbers, images) for numbers, images in ((found, 1000), (alone, 40))]
    np.testing.assert_allclose(*(against_whole(m)[1].low for m in both), atol=1e-6)
    gained, lost = paired.discordant(alone["difference_importance"][0], 0.1, 40)
    assert gained + lost > 0  # some predictions change


def _measured(numbers, images):
    values = {n: {"unit": "", "value": np.asarray(v).tolist()} for n, v in numbers.items()}
    kept = {name: Value.model_construct(**value) for name, value in values.items()}
    return Measurement.model_construct(
        experiment="pruning",
        level="zero_shot",
        values=kept,
        counts={"images": images, "components": 12, "classes": 5},
    )


def test_a_metric_that_outlier_features_gained_does_not_stop_a_probe(monkeypatch):
    features = np.random.default_rng(0).normal(size=(40, 32))
    before, taken = quantities(features), measures.outlier_features
    monkeypatch.setattr(measures, "outlier_features", lambda h: taken(h) | {"crest": 3.0})
    assert {*quantities(features)} == {*before}
