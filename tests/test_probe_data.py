"""The concept probe: which concepts count, whose features they are, and what chance is."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from tiny import model

from analysis.features import store
from analysis.images import emoji
from analysis.metrics import average_precision, concept_counts
from analysis.metrics.concept_counts import ConceptImages, Difference, Settings
from companion.measurements import concept_probe
from companion.measurements.concept_probe import ConceptsMissingError

#: Six units drawn by two hands, and a seventh by the first alone; units 0 and 1 look alike.
UNITS = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5])
PLACES = np.array([0] * 7 + [1] * 6)
CLUSTERS = np.maximum(UNITS - 1, 0)
SHOWN = {
    "two alike": {0, 1}, "three": {2, 3, 4}, "the same three": {2, 3, 4}, "one": {5}, "last": {6},
}  # fmt: skip
KEYS = [f"{unit}/{place}" for unit, place in zip(UNITS, PLACES, strict=True)]


@pytest.fixture
def probe() -> ConceptImages:
    table = np.array([[unit in shown for shown in SHOWN.values()] for unit in UNITS])
    return ConceptImages(
        title="a test", data=("first", "second"), names=tuple(SHOWN), kinds=tuple("aabbb"),
        labels=sparse.csr_array(table), numbers=store.row_numbers(KEYS), units=UNITS,
        places=PLACES, clusters=CLUSTERS,
    )  # fmt: skip


def test_concepts_need_enough_images_of_enough_clusters_and_count_once(probe):
    assert probe.positives.tolist() == [4, 6, 6, 2, 1]
    assert probe.select(2).names == ("two alike", "three", "one")
    assert probe.select(4, 2).names == ("three",)
    chosen = probe.select(2)
    assert chosen.kinds == ("a", "a", "b")
    assert chosen.positives.tolist() == [4, 6, 2]


def test_units_exchange_labels_as_a_whole_and_only_with_their_like(probe):
    exchanged = 0
    for seed in range(20):
        labels = concept_counts.permuted_units(probe, seed).toarray()
        assert (labels.sum(axis=0) == probe.positives).all()
        assert (labels[:6] == labels[7:]).all()  # units 0 to 5 by the first and the second hand
        assert labels[6].tolist() == [False] * 4 + [True]  # no other unit is drawn once
        exchanged += int((labels != probe.labels.toarray()).any())
    assert exchanged > 15


def test_halves_never_divide_a_cluster(probe):
    for seed in range(10):
        half = concept_counts.half_of_clusters(probe, seed)
        inside = {int(c) for c in CLUSTERS[half]}
        assert inside.isdisjoint(CLUSTERS[~half].tolist()) and len(inside) == 3


def keep(folder: Path, data: str, keys: list[str], values: np.ndarray) -> None:
    rows = store.row_numbers(keys)
    store.write_features(
        store.features_path("tiny", data, folder), values, np.full(len(keys), -1), rows,
        expected_rows=rows,
        sidecar={"model": store.describe(model(), "f00"), "data": {"classes": []}},
    )  # fmt: skip


def test_features_are_lined_up_by_the_names_of_the_images(probe, tmp_path):
    values = np.random.default_rng(0).normal(size=(13, 4)).astype(np.float32)
    with pytest.raises(ConceptsMissingError, match="companion extract"):
        concept_probe.features(model(), probe, tmp_path)
    keep(tmp_path, "first", KEYS[:7], values[:7])
    keep(tmp_path, "second", KEYS[7:], values[7:])
    np.testing.assert_array_equal(concept_probe.features(model(), probe, tmp_path), values)
    keep(tmp_path, "second", KEYS[:6:-1], values[7:])
    with pytest.raises(ConceptsMissingError, match="not of the probe's images in its order"):
        concept_probe.features(model(), probe, tmp_path)


def test_the_head_is_that_of_the_data_or_the_largest(tmp_path):
    with pytest.raises(ConceptsMissingError, match="no head of tiny"):
        concept_probe.head(model(), folder=tmp_path)
    for data, classes in (("small", 2), ("large", 5)):
        head = store.Head(np.eye(5, dtype=np.float32)[:classes], tuple("abcde"[:classes]))
        sidecar = {"model": store.describe(model(), "f00")}
        store.write_head(store.head_path("tiny", data, tmp_path), head, sidecar)
    assert len(concept_probe.head(model(), ("small",), tmp_path).classes) == 2
    assert len(concept_probe.head(model(), ("other",), tmp_path).classes) == 5


def test_the_pocket_probe_is_the_test_emoji_in_the_order_of_the_store():
    whole = concept_probe.pocket()
    table = emoji.load().table
    test = table[table["split"] == "test"]
    assert whole.labels.shape[0] == len(test) == len(np.unique(whole.numbers))
    starts = np.cumsum([0, *(int((test["style"] == style).sum()) for style in emoji.STYLES)])
    for part, data in enumerate(whole.data):
        style = re.fullmatch(r"pocket-(.+)-test", data)[1]
        keys = [f"{c}/{style}" for c in test[test["style"] == style]["concept"]]
        own = whole.numbers[starts[part] : starts[part + 1]]
        np.testing.assert_array_equal(own, store.row_numbers(keys))
    chosen = whole.select(20, 5)
    assert chosen.positives.min() >= 20 and len(set(chosen.kinds)) == 4
    dogs = whole.labels[:, whole.names.index("dog")].toarray().ravel()
    assert (
        set(test["name"][dogs]) >= {"dog face"} and (test["tags"][dogs].str.contains("dog")).all()
    )


# Counts ------------------------------------------------------------------------------------------


def made_up(seed: int = 0) -> tuple[np.ndarray, ConceptImages]:
    """Features of 400 images; concept 0 is their first coordinate, the others are noise."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(400, 6)).astype(np.float32)
    table = generator.random((400, 8)) < 0.15
    table[:, 0] = features[:, 0] > 1
    rows = np.arange(400)
    names = tuple("abcdefgh")
    return features, ConceptImages(
        title="made up", data=(), names=names, kinds=("x",) * 4 + ("y",) * 4,
        labels=sparse.csr_array(table), numbers=rows.astype(np.uint64), units=rows,
        places=np.zeros_like(rows), clusters=rows,
    )  # fmt: skip


def test_a_concept_that_is_a_direction_is_counted_and_noise_is_not():
    features, probe = made_up()
    settings = Settings(draws=3, chance=4, halves=6)
    draws = concept_counts.draw(probe, settings)
    found = concept_counts.count(features, np.eye(6), draws, settings)
    assert found.directions == 6 and found.ap.shape == (6, 8)
    assert found.draws.shape == (3, 3) and found.halves.shape == (6, 3)
    assert found.value("unique") == 1 and found.spread("lower") == (1, 1)
    assert found.chance("unique", "permuted").highest == 0
    assert found.error("unique") == 0 and found.error("best") > 0
    assert concept_counts.by_kind(found.ap, probe.kinds, 0.9).to_dict() == {"x": 1, "y": 0}
    same = concept_counts.difference(found, found, "best")
    assert same == Difference(0.0, 0.0) and same.sign == 0
    expected = average_precision.balanced_average_precision(features, probe.labels, seed=0)
    np.testing.assert_array_equal(found.ap, expected)


def test_a_probe_of_many_labels_is_repeated_less_often(monkeypatch):
    probe = made_up()[1]
    assert concept_counts.settings_for(probe, seed=3) == Settings(seed=3)
    monkeypatch.setattr(concept_counts, "MANY_LABELS", probe.labels.nnz - 1)
    fewer = concept_counts.settings_for(probe, threshold=0.7)
    assert (fewer.draws, fewer.chance, fewer.halves, fewer.threshold) == (3, 5, 20, 0.7)


def test_random_directions_know_what_the_features_know():
    features, probe = made_up()
    settings = Settings(threshold=0.7, lower=0.6, draws=1, chance=20, halves=0)
    found = concept_counts.count(
        features, np.eye(6), concept_counts.draw(probe, settings), settings
    )
    drawn = found.chance("unique", "random")
    assert drawn.highest >= 1 and drawn.mean > found.chance("unique", "permuted").mean
    assert np.isnan(found.error("best"))


def test_halves_give_the_standard_error_of_a_mean():
    """Of a mean over independent images the error is known: that of `best` for one direction."""
    features, probe = made_up()
    settings = Settings(draws=1, chance=0, halves=200)
    draws = concept_counts.draw(probe, settings)
    found = concept_counts.count(features, np.eye(6)[:1], draws, settings)
    repeated = []
    for seed in range(100, 250):
        scores, other = made_up(seed)
        ap = average_precision.balanced_average_precision(scores[:, :1], other.labels, seed=seed)
        repeated.append(concept_counts.tally(ap, settings))
    assert found.error("best") == pytest.approx(np.std(repeated, axis=0)[2], rel=0.4)


def test_a_difference_has_a_sign_only_beyond_its_interval():
    assert Difference(2.0, 0.9).sign == 1
    assert Difference(-2.0, 0.9).sign == -1
    assert Difference(1.5, 0.9).sign == 0


def test_regions_of_three_sets():
    def ap(*columns: int) -> np.ndarray:
        return np.isin(np.arange(9), columns)[None] * 0.95

    sets = {"zero_shot": ap(0, 1, 2, 3), "finetuned": ap(2, 3, 4), "supervised": ap(3, 4, 5, 6)}
    regions = concept_counts.regions(sets, 0.9)
    assert regions == {
        "zero_shot_only": 2, "zero_shot_finetuned": 1, "zero_shot_supervised": 0, "all": 1,
        "finetuned_only": 0, "finetuned_supervised": 1, "supervised_only": 2,
    }  # fmt: skip
    assert concept_counts.totals(regions) == {"zero_shot": 4, "finetuned": 3, "supervised": 4}
    assert concept_counts.shared(regions, "finetuned", "zero_shot") == 2
