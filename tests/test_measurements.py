"""Taking measurements: known numbers, taking them again, public files, arrays, the command."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import cases, drawn
from scipy import sparse

from analysis.families.registry import load_family
from analysis.metrics import concept_counts
from companion.measurements import (
    from_store,
    measures,
    pending,
    records,
)
from companion.measurements.records import FOLDER, read, read_all

RECORDED = sorted(FOLDER.glob("*/*.json"))
IMAGES = FOLDER / "outlier_features" / "vit_b_16-openai--coco_500_images.json"
#: Every measurement but those of the photographs can be taken from the public artefacts.
TAKEN_FROM_ARTEFACTS = sorted(
    {(path.parent.name, json.loads(path.read_text())["family"]) for path in RECORDED}
    - {(path.parent.name, "efficientnet_lite0") for path in RECORDED}
)
TAKES_LONG = cases("measurements")["takes_long"]
#: How many image sets a test takes again of those that take long, others each time.
SOME = 2


def recorded(experiment, name):
    return read(FOLDER / experiment / f"{name}.json")


# What is recorded


@pytest.fixture(scope="module")
def entered(artefacts, tmp_path_factory):
    """A store into which a family's features are entered once, by the family's name."""
    store = tmp_path_factory.mktemp("entered")

    @cache
    def of(family):
        artefacts["into_store"](load_family(family))

    return store, of


def test_each_kind_of_public_file_is_read(artefacts):
    entries = {
        "raw" if "raw" in entry else Path(entry["artifact"]).suffix: entry
        for entry in artefacts["TABLE"]["embeddings"]
    }
    assert {"raw", ".npy", ".json", ".sqlite3", ".pt"} <= {*entries}
    for entry in entries.values():
        expected = entry["images"], artefacts["WIDTHS"][entry["model"]]
        assert artefacts["array_of"](entry).shape[:2] == expected, entry["artifact"]


@pytest.mark.parametrize(
    "experiment, family",
    [
        pytest.param(of, name, marks=[pytest.mark.slow] * (name in TAKES_LONG.get(of, "").split()))
        for of, name in TAKEN_FROM_ARTEFACTS
    ],
)
def test_recorded_equals_taken_again(entered, own_store, monkeypatch, experiment, family):
    store, enter = entered
    monkeypatch.setenv("COMPANION_STORE", str(store))
    enter(family)
    jobs = pending.jobs(load_family(family), [experiment])
    if family in TAKES_LONG.get(experiment, "").split() and len(jobs) > SOME:
        names = {f"{job.model.name}--{job.data}.json" for job in jobs}
        taken = [*map(from_store.measure, drawn(jobs, SOME))]
    else:
        taken, problems = from_store.of_family(experiment, load_family(family))
        names = {m.file_name for m in taken}
        assert problems == []
    assert names == {m.file_name for m in read_all(experiment, family)}
    for fresh in taken:
        assert records.compare_with_recorded(fresh) == []


def test_the_photographs_taken_again(extracted):
    extracted("efficientnet_lite0", "scikit_image_photographs")
    (fresh,), _ = from_store.of_family("outlier_features", load_family("efficientnet_lite0"))
    kept = recorded("outlier_features", fresh.file_name.removesuffix(".json"))
    # another version of torch or Pillow rounds differently
    assert fresh.value("kurtosis_mean") == pytest.approx(kept.value("kurtosis_mean"), rel=0.01)
    assert fresh.value("leaders") == kept.value("leaders") == 14  # kurtosis, and no persistence
    assert fresh.value("outlier_coordinates").size == 0 == fresh.value("negative_share")
    assert fresh.data == kept.data
    assert fresh.provenance.weights_sha256 == kept.provenance.weights_sha256


# Quantities from arrays


@pytest.mark.parametrize("side", [1, -1])
def test_concepts_along_the_most_important_direction(side):
    """A direction that all images lie along, most of all those with a texture, either way round."""
    rng = np.random.default_rng(0)
    striped = rng.random(300) < 0.3
    names = ("noise", "striped", "more noise")
    labels = np.column_stack([rng.random(300) < 0.2, striped, rng.random(300) < 0.2])
    rows = np.arange(300)
    described = ("generated", ("generated",), names, ("color", "texture", "object"))
    given = (sparse.csr_array(labels), rows.astype(np.uint64), rows, 0 * rows, rows)
    probe = concept_counts.ConceptImages(*described, *given)
    features = rng.normal(0, 0.1, (300, 6))
    features[:, 2] = side * (5 + 3 * striped)
    head = rng.normal(0, 0.1, (9, 6))
    head[:, 2] += np.linspace(1, 3, 9)
    result = measures.concepts(features, head, probe)
    assert result["top_direction"] == 0
    assert result["top_concepts"][0] == names.index("striped") and len(result["top_concepts"]) == 3
    assert result["top_average_precision"][0] == 1
    assert result["top_textures"] == 1


# The command
