"""The concept probe: whose features they are, in which order, and which head reads them."""

import re

import numpy as np
import pytest
from conftest import refused
from scipy import sparse
from tiny import keep, model

from analysis.families.registry import load_family
from analysis.features import store
from analysis.metrics.concept_counts import ConceptImages
from companion.chapters import concept_tables, measured, notes
from companion.measurements import concept_probe, records
from companion.measurements.kept_counts import counts_of
from companion.measurements.pending import CONCEPTS
from companion.sources import emoji

KEYS = [f"{unit}/{hand}" for hand in (0, 1) for unit in range(7 - hand)]


@pytest.fixture
def probe():
    rows = np.arange(13)
    labels, numbers = sparse.csr_array(np.ones((13, 1), bool)), store.row_numbers(KEYS)
    names = ("a test", ("first", "second"), ("a",), ("a",))
    return ConceptImages(*names, labels, numbers, rows, rows, rows)


def test_features_are_lined_up_by_the_names_of_the_images(probe, own_store):
    values = np.random.default_rng(0).normal(size=(13, 4)).astype(np.float32)
    refused("companion extract", concept_probe.features, model(), probe)
    keep(model(), "first", values[:7], keys=KEYS[:7])
    keep(model(), "second", values[7:], keys=KEYS[7:])
    np.testing.assert_array_equal(concept_probe.features(model(), probe), values)
    keep(model(), "second", values[7:], keys=KEYS[:6:-1])
    refused("not of the probe's images in its order", concept_probe.features, model(), probe)


def test_the_head_is_that_of_the_data_or_the_largest(own_store):
    refused("no head of tiny", concept_probe.head, model())
    for data, classes in (("small", 2), ("large", 5)):
        head = store.Head(np.eye(5, dtype=np.float32)[:classes], tuple("abcde"[:classes]))
        keep(model(), data, np.eye(5), head=head)
    assert len(concept_probe.head(model(), ("small",)).classes) == 2
    assert len(concept_probe.head(model(), ("other",)).classes) == 5


def test_what_was_measured_says_which_images_a_page_looks_at():
    """A reader's checkpoint may have been measured on the pocket lab's."""
    recorded = records.read_all("concepts")[0]
    data = recorded.data.model_copy(update={"name": "pocket"})
    live = recorded.model_copy(update={"live": True, "data": data})
    assert concept_tables.chosen([recorded]) is None and not len(concept_tables.emoji_of(None)[0])
    assert concept_tables.chosen([recorded, live]).data == CONCEPTS["pocket"]


def test_what_is_not_measured_is_named_with_the_page_that_says_what_brings_it():
    early = load_family("vit_b_32").model("vit_b_32-openai-before-projection")
    said = notes.absent_models([early])
    assert f"{early.title}\n" in said and "{doc}`/runs/not_measured`" in said
    assert notes.absent_models([]) == ""


def test_a_model_that_is_known_on_texts_alone_still_lacks_its_images():
    every = records.read_all("outlier_features", "vit_b_16")
    on_texts = [m for m in every if m.model == "vit_b_16-laion2b"]
    assert on_texts and all(map(measured.of_captions, on_texts))
    said = notes.closing_notes("outlier_features", load_family("vit_b_16"), every)["not-measured"]
    assert "zero-shot, LAION-2B, on images\n" in said
    assert measured.coverage(on_texts, "paper") == "0 of the 16 zero-shot models"


def test_a_table_of_counts_has_each_number_of_the_measurement():
    (m,) = records.read_all("concepts", "vit_b_32")
    counts = counts_of(m)
    rows = concept_tables.counted({"one": m}).set_index("counted")
    assert [*rows.index] == ["AP ≥ 0.9", "AP ≥ 0.8", "mean best AP"]
    assert np.mean(rows.loc["AP ≥ 0.9", "draws"]) == pytest.approx(counts.value("unique"))
    assert rows.loc["mean best AP", "random"].min() == 100 * counts.of("random", "best").min()
    value, error = counts.frequent("lower")
    assert rows.loc["AP ≥ 0.8", ["frequent", "half"]].to_list() == [value, 1.96 * error]
    panels = concept_tables.against_chance({"one": m}, "lower").set_index("panel")
    assert panels.loc["permuted labels", "chance"] == counts.chance("lower", "permuted")
    assert concept_tables.excess({"one": m}).empty and concept_tables.excess({}).empty
    twins = concept_tables.excess({"one": m, "other": m})
    assert twins["AP ≥ 0.9"].tolist() == ["+0.0 ± 0.0"]


def test_the_pocket_probe_is_the_test_emoji_in_the_order_of_the_store():
    whole = concept_probe.pocket()
    table = emoji.load().table
    test = table[table["split"] == "test"]
    assert whole.labels.shape[0] == len(test) == len(np.unique(whole.numbers))
    starts = np.cumsum([0, *(int((test["style"] == style).sum()) for style in emoji.STYLES)])
    for part, data in enumerate(whole.data):
        style = re.fullmatch(r"pocket-(.+)-test", data)[1]
        keys = [f"{c}/{style}" for c in test[test["style"] == style]["concept"]]
        numbers = whole.numbers[starts[part] : starts[part + 1]]
        np.testing.assert_array_equal(numbers, store.row_numbers(keys))
    chosen = whole.select(20, 5)
    assert chosen.positives.min() >= 20 and len(set(chosen.kinds)) == 4
