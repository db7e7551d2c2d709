"""Taking measurements: known numbers, taking them again, public files, arrays, the command."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import sparse

from analysis.families.registry import load_family
from analysis.metrics import concept_counts, image_by_image
from analysis.metrics.pruning import Images
from companion import cli
from companion.measurements import (
    from_store,
    invariance,
    measures,
    records,
    textures,
    unread,
)
from companion.measurements.quantities import declared
from companion.measurements.records import FOLDER, read, read_all
from companion.probe.measure import quantities

RECORDED = sorted(FOLDER.glob("*/*.json"))
IMAGES = FOLDER / "outlier_features" / "vit_b_16-openai--coco_500_images.json"
#: Every measurement but those of the photographs can be taken from the public artefacts.
TAKEN_FROM_ARTEFACTS = sorted(
    {(path.parent.name, json.loads(path.read_text())["family"]) for path in RECORDED}
    - {(path.parent.name, "efficientnet_lite0") for path in RECORDED}
)
#: Of these experiments smaller families are taken again each time.
TAKES_LONG = {
    *(("pruning", family) for family in ("vit_b_32", "rn50")),
    *(("privileged_directions", family) for family in ("vit_b_32", "rn50")),
    *(("interventions", family) for family in ("vit_b_32", "rn50")),
    *(("unread", family) for family in ("vit_b_32", "vit_b_16", "vit_l_14", "rn50")),
    *(("basis", family) for family in ("vit_b_32", "rn50", "resnet50_torchvision")),
    ("concepts", "vit_b_32"),
}


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


@pytest.mark.parametrize(
    "experiment, family",
    [
        pytest.param(*one, marks=[pytest.mark.slow] * (one in TAKES_LONG))
        for one in TAKEN_FROM_ARTEFACTS
    ],
)
def test_recorded_equals_taken_again(entered, own_store, monkeypatch, experiment, family):
    store, enter = entered
    monkeypatch.setenv("COMPANION_STORE", str(store))
    enter(family)
    taken = from_store.of_family(experiment, load_family(family))
    assert {m.file_name for m in taken} == {m.file_name for m in read_all(experiment, family)}
    for fresh in taken:
        assert records.compare_with_recorded(fresh) == []


def test_the_photographs_taken_again(own_store):
    pytest.importorskip("timm", reason="extraction is not installed")
    extract = ["extract", "efficientnet_lite0", "--data", "scikit_image_photographs", "-q"]
    assert cli.main([*extract, "--device", "cpu", "--workers", "1"]) == 0
    (fresh,) = from_store.of_family("outlier_features", load_family("efficientnet_lite0"))
    found = recorded("outlier_features", fresh.file_name.removesuffix(".json"))
    # another version of torch or Pillow rounds differently
    assert fresh.value("kurtosis_mean") == pytest.approx(found.value("kurtosis_mean"), rel=0.01)
    assert fresh.value("leaders") == found.value("leaders") == 14  # kurtosis, and no persistence
    assert fresh.value("outlier_coordinates").size == 0 == fresh.value("negative_share")
    assert fresh.data == found.data
    assert fresh.provenance.weights_sha256 == found.provenance.weights_sha256


# Quantities from arrays


def test_every_measure_returns_the_known_quantities():
    rng = np.random.default_rng(0)
    h, w = rng.normal(size=(50, 40)), rng.normal(size=(10, 40))
    labels = rng.integers(0, 10, 50)
    sets = [Images(h, labels), Images(h[:20], labels[:20])]
    scores, head, rows = rng.normal(size=(500, 20)), rng.normal(size=(9, 20)), np.arange(500)
    probe = concept_counts.ConceptImages(
        title="some", data=("some",), names=tuple("abcdef"), kinds=("word",) * 6, numbers=rows,
        labels=sparse.csr_array(rng.random((500, 6)) < 0.3), units=rows, places=0 * rows,
        clusters=rows,
    )  # fmt: skip
    found = {
        "outlier_features": measures.outlier_features(h),
        "privileged_directions": measures.privileged_directions(h, w),
        "pruning": measures.pruning(h, labels, w),
        "pruning_under_shift": measures.pruning_under_shift(sets, w),
        "concepts": measures.concepts(scores, head, probe),
        "accuracy": measures.accuracy(labels % 2 == 0, labels, 10),
        "basis": invariance.basis(h),
        "interventions": invariance.interventions(
            h, invariance.Judge(w, None, np.arange(len(w)), labels)
        ),
        "unread": unread.unread(h, [unread.Texts(w)]),
        "textures": textures.textures(h, sparse.csr_array(np.eye(50, 3, dtype=bool)), w),
        "probe": quantities(h, w),
        "image_by_image": image_by_image.by_image(h, labels, labels % 2 == 0),
    }
    assert {
        experiment: {name: np.ndim(value) for name, value in numbers.items()}
        for experiment, numbers in found.items()
    } == {
        experiment: {name: len(one.shape) for name, one in kind.quantities.items()}
        for experiment, kind in declared().items()
    }


@pytest.mark.parametrize("side", [1, -1])
def test_concepts_along_the_most_important_direction(side):
    """A direction that all images lie along, most of all those with a texture, either way round."""
    rng = np.random.default_rng(0)
    striped = rng.random(300) < 0.3
    names = ("noise", "striped", "more noise")
    labels = np.column_stack([rng.random(300) < 0.2, striped, rng.random(300) < 0.2])
    rows = np.arange(300)
    probe = concept_counts.ConceptImages(
        title="generated", data=("generated",), names=names, kinds=("color", "texture", "object"),
        labels=sparse.csr_array(labels), numbers=rows.astype(np.uint64), units=rows,
        places=np.zeros_like(rows), clusters=rows,
    )  # fmt: skip
    features = rng.normal(0, 0.1, (300, 6))
    features[:, 2] = side * (5 + 3 * striped)
    head = rng.normal(0, 0.1, (9, 6))
    head[:, 2] += np.linspace(1, 3, 9)
    found = measures.concepts(features, head, probe)
    assert found["top_direction"] == 0
    assert found["top_concepts"][0] == names.index("striped") and len(found["top_concepts"]) == 3
    assert found["top_average_precision"][0] == 1
    assert found["top_textures"] == 1


# The command


def test_the_command_compares_and_records(artefacts, own_store, tmp_path, monkeypatch, capsys):
    artefacts["into_store"](load_family("vit_b_16"))
    assert cli.main(["measure", "accuracy", "vit_b_16"]) == 0
    told, numbers, *_ = capsys.readouterr().out.splitlines()
    assert told == "vit_b_16-openai--coco_500_images.json: as recorded"
    assert numbers == "  top1 0.552; top1 standard error 0.02224"  # its lists are left out
    monkeypatch.setattr(records.write, "__defaults__", (tmp_path,))
    assert cli.main(["measure", "accuracy", "vit_b_16", "--record"]) == 0
    assert (tmp_path / "accuracy" / "vit_b_16-openai--coco_500_images.json").exists()


def test_the_command_names_what_it_does_not_know(own_store, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["measure", "outliers", "vit_b_16"])
    assert "outlier_features" in capsys.readouterr().err
    assert cli.main(["measure", "outlier_features", "vit_b_17"]) == 1
    assert "did you mean 'vit_b_16'" in capsys.readouterr().err
    assert cli.main(["measure", "pruning", "efficientnet_lite0"]) == 1
    assert "nothing to measure" in capsys.readouterr().err
