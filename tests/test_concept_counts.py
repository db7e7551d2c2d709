"""How many concepts are encoded, and what chance is: on made-up images, and by hand."""

import numpy as np
import pytest
from scipy import sparse

from analysis.metrics import concept_counts
from analysis.metrics.average_precision import average_precision_on, balanced_sample
from analysis.metrics.concept_counts import ConceptImages, Difference, Settings
from analysis.metrics.sampling import groups

#: Six units drawn by two hands, and a seventh by the first alone; units 0 and 1 look alike.
UNITS = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5])
PLACES = np.array([0] * 7 + [1] * 6)
CLUSTERS = np.maximum(UNITS - 1, 0)
THREE = {2, 3, 4}
SHOWN = {"two alike": {0, 1}, "three": THREE, "the same three": THREE, "one": {5}, "last": {6}}


def images(table, kinds, units, places, clusters, names="abcdefgh"):
    labels, numbers = sparse.csr_array(table), np.arange(len(table), dtype=np.uint64)
    given = labels, numbers, units, places, clusters
    return ConceptImages("a test", (), tuple(names), tuple(kinds), *given)


TABLE = np.array([[unit in group for group in SHOWN.values()] for unit in UNITS])
DRAWN = images(TABLE, "aabbb", UNITS, PLACES, CLUSTERS, SHOWN)


def made_up(seed=0):
    """Features of 400 images; concept 0 is their first coordinate, the others are noise."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(400, 6)).astype(np.float32)
    table = generator.random((400, 8)) < 0.15
    table[:, 0] = features[:, 0] > 1
    rows = np.arange(400)
    return features, images(table, "xxxxyyyy", rows, np.zeros_like(rows), rows)


def counted(settings, directions=np.eye(6)):  # noqa: B008 - never changed
    features, probe = made_up()
    draws = concept_counts.draw(probe, settings)
    return concept_counts.count(features, directions, draws, settings)


def test_concepts_need_enough_images_of_enough_clusters_and_count_once():
    assert DRAWN.positives.tolist() == [4, 6, 6, 2, 1]
    assert DRAWN.select(4, 2).names == ("three",)
    chosen = DRAWN.select(2)
    assert chosen.names == ("two alike", "three", "one") and chosen.kinds == ("a", "a", "b")
    assert chosen.positives.tolist() == [4, 6, 2]


def test_concepts_that_mark_the_same_images_are_one_group():
    """The shares of images in common: 4/5 of the first two, 1/5 of them with the third, then 0."""
    table = np.zeros((12, 4), bool)
    for concept, (first, last) in enumerate([(0, 5), (0, 4), (4, 8), (8, 12)]):
        table[first:last, concept] = True
    found = groups(sparse.csr_array(table))
    assert found[0] == found[1] and len({*found}) == 3
    assert groups(sparse.csr_array(table[:, [2]])).tolist() == [0]
    assert groups(sparse.csr_array(table[:, []])).tolist() == []


def test_units_exchange_labels_as_a_whole_and_only_with_their_like():
    exchanged = 0
    for seed in range(20):
        labels = concept_counts.permuted_units(DRAWN, seed).toarray()
        assert (labels.sum(axis=0) == DRAWN.positives).all()
        assert (labels[:6] == labels[7:]).all()  # units 0 to 5 by the first and the second hand
        assert labels[6].tolist() == [False] * 4 + [True]  # no other unit is drawn once
        exchanged += int((labels != DRAWN.labels.toarray()).any())
    assert exchanged > 15


def test_halves_never_divide_a_cluster():
    for seed in range(10):
        half = concept_counts.half_of_clusters(DRAWN, seed)
        inside = {int(c) for c in CLUSTERS[half]}
        assert inside.isdisjoint(CLUSTERS[~half].tolist()) and len(inside) == 3


def test_a_concept_that_is_a_direction_is_counted_and_noise_is_not():
    features, probe = made_up()
    counts = counted(Settings(draws=3, chance=4, halves=6))
    assert counts.directions == 6 and counts.ap.shape == (6, 8)
    assert counts.draws.shape == (3, 3) and counts.halves.shape == (6, 3)
    assert counts.value("unique") == 1 and (counts.of("draws", "lower") == 1).all()
    assert counts.chance("unique", "permuted") == 0
    assert counts.frequent("unique") == (1, 0) and counts.frequent("best").error > 0
    assert concept_counts.by_kind(counts.ap, probe.kinds, 0.9) == {"x": 1, "y": 0}
    same = concept_counts.difference(counts, counts, "best")
    assert same == Difference(0.0, 0.0)
    expected = average_precision_on(features, balanced_sample(probe.labels, 0))
    np.testing.assert_array_equal(counts.ap, expected)


def test_random_directions_know_what_the_features_know():
    counts = counted(Settings(threshold=0.7, lower=0.6, draws=1, chance=20, halves=0))
    assert counts.of("random", "unique").max() >= 1
    assert counts.chance("unique", "random") > counts.chance("unique", "permuted")
    assert np.isnan(counts.frequent("best").error)


def test_halves_give_the_standard_error_of_a_mean():
    """Of a mean over independent images the error is known: that of `best` for one direction."""
    settings = Settings(draws=1, chance=0, halves=200)
    counts = counted(settings, np.eye(6)[:1])
    repeated = []
    for seed in range(100, 250):
        scores, other = made_up(seed)
        ap = average_precision_on(scores[:, :1], balanced_sample(other.labels, seed))
        repeated.append(concept_counts.tally(ap, settings))
    assert counts.frequent("best").error == pytest.approx(np.std(repeated, axis=0)[2], rel=0.4)


def test_halves_are_not_asked_for_concepts_that_luck_finds_in_them():
    """With few positives more pass in a half by luck, and the error would be of another count."""
    features = np.random.default_rng(0).normal(size=(400, 300))
    table = np.arange(400)[:, None] < [6, 12, 60, 80]
    rows = np.arange(400)
    probe = images(table, "abcd", rows, 0 * rows, rows)
    few = [Settings(draws=1, chance=0, frequent=n) for n in (1, 60, 99)]
    draws = [concept_counts.draw(probe, settings) for settings in few]
    every, common, none = (
        concept_counts.count(features, np.eye(300), draw, Settings()) for draw in draws
    )
    assert every.of("halves", "unique").mean() > every.value("unique") + 0.5  # another level
    assert common.of("halves", "unique").mean() == common.frequent("unique").value == 0
    assert common.value("unique") == every.value("unique") == 1
    assert not len(none.halves) and np.isnan(none.frequent("unique")).all()


def test_a_direction_or_its_opposite_counts_as_the_better_one():
    features, probe = made_up()
    sample = balanced_sample(probe.labels, 0)
    ways = [average_precision_on(sign * features, sample) for sign in (1, -1)]
    better = concept_counts.average_precision(features, sample, Settings(both_signs=True))
    np.testing.assert_array_equal(better, np.maximum(*ways))


def test_regions_of_three_sets():
    sets = {"zero_shot": [0, 1, 2, 3], "finetuned": [2, 3, 4], "supervised": [3, 4, 5, 6]}
    by_level = {level: np.isin(np.arange(9), inside)[None] * 0.95 for level, inside in sets.items()}
    regions = concept_counts.regions(by_level, 0.9)
    assert regions == {
        **{"zero_shot_only": 2, "zero_shot_finetuned": 1, "zero_shot_supervised": 0, "all": 1},
        **{"finetuned_only": 0, "finetuned_supervised": 1, "supervised_only": 2},
    }
    assert concept_counts.totals(regions) == {"zero_shot": 4, "finetuned": 3, "supervised": 4}
    assert concept_counts.shared(regions, "finetuned", "zero_shot") == 2
