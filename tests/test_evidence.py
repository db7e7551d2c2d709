"""What is known of a family: recorded, live, unusable; and how live measurements are taken."""

import dataclasses

import numpy as np
import pytest
from tiny import PREPROCESSING

from analysis.families.registry import Family, Model
from analysis.features import store
from analysis.features.store import Head, StoreError
from analysis.images import emoji
from companion.measurements import due, measures, records, take
from companion.measurements.records import Measurement, MeasurementError

N, D = 40, 12
CLASSES = ("red", "green", "blue")
LEVELS = ("zero_shot", "supervised", "random")


def family(width: int = D) -> Family:
    models = [
        {
            "name": f"small-{level.replace('_', '-')}", "level": level, "library": "open_clip",
            "architecture": "tiny-vit", "weights": None if level == "random" else "some-tag",
            "pretraining": "none", "width": width, "preprocessing": PREPROCESSING,
        }
        for level in LEVELS
    ]  # fmt: skip
    return Family.model_validate(
        {"name": "small", "title": "Small", "edition": "reader", "order": 1, "backbone": "x",
         "models": models}
    )  # fmt: skip


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(records, "FOLDER", tmp_path / "recorded")
    return tmp_path / "store"


def measured(experiment: str, model: Model, data: str = "images") -> Measurement:
    return take.measure(due.Job(experiment, "small", model, data, (data,)))


def gather(experiment: str, family: Family) -> list[Measurement]:
    """What pages read once the live files are there."""
    take.bring_up_to_date([family])
    assert due.pending([family]) == []
    return records.available(experiment, family)


def put(model, data="images", seed=0, labels=None, head=None, classes=CLASSES) -> np.ndarray:
    """Features of a model in the store, with a head if one is given."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N, D)).astype(np.float32)
    rows = store.row_numbers([f"{i}" for i in range(N)])
    about = {"model": store.describe(model, "f" * 64)}
    sidecar = about | {
        "data": {"name": data, "manifest": "m", "classes": classes}, "precision": "fp32",
    }  # fmt: skip
    store.write_features(
        store.features_path(model.name, data), features, rng.integers(0, 3, N)
        if labels is None else labels, rows, sidecar=sidecar,
    )  # fmt: skip
    if head is not None:
        store.write_head(store.head_path(model.name, data), head, about)
    return features


def a_head(seed=9, **fields) -> Head:
    weight = np.random.default_rng(seed).normal(size=(3, D)).astype(np.float32)
    return Head(weight, fields.pop("classes", CLASSES), **fields)


def test_features_in_the_store_are_measured_live_in_the_families_order():
    small = family()
    for model in reversed(small.models):
        put(model, head=a_head())
    found = gather("outlier_features", small)
    assert [m.level for m in found] == list(LEVELS)
    assert all(m.live for m in found)
    assert found[0].counts == {"images": N, "components": D}
    pruned = records.available("pruning", small)
    assert [m.level for m in pruned] == ["zero_shot", "supervised"]
    assert records.available("outlier_features", small, ["other"]) == []


def test_what_is_current_is_not_measured_again(own_store, monkeypatch):
    small = family()
    for model in small.models:
        put(model, head=a_head())
    gather("outlier_features", small)
    whole = {path: path.read_bytes() for path in own_store.rglob("measurements/*.json")}
    assert len(whole) == 5 * 3 + 2  # no pruning of the random one
    monkeypatch.setattr(take, "measure", None)
    assert take.bring_up_to_date([small]) == 0
    assert {path: path.read_bytes() for path in own_store.rglob("measurements/*.json")} == whole
    monkeypatch.undo()


def test_other_code_damage_and_other_features_make_a_measurement_pending(own_store, monkeypatch):
    small = family()
    put(small.models[0])
    job, other = due.pending([small])
    place = records.write_live(take.measure(job))
    records.write_live(take.measure(other))
    assert place == records.live_path("small-zero-shot", "images", "outlier_features")
    assert due.pending([small]) == []
    for change in (lambda text: text[:100], lambda text: text.replace("kurtosis_mean", "mean")):
        place.write_text(change(place.read_text(encoding="utf-8")), encoding="utf-8")
    assert due.pending([small]) == [job]
    records.write_live(take.measure(job))
    code, name = records.code_parts, "analysis.metrics.outliers"
    changed = {job.experiment: {name: "0" * 16}}
    monkeypatch.setattr(records, "code_parts", lambda of: {**code(of), **changed.get(of, {})})
    assert due.pending([small]) == [job]
    monkeypatch.undo()
    monkeypatch.setenv("COMPANION_STORE", str(own_store))
    put(small.models[0], seed=5)
    assert due.pending([small]) == [job, other]


def test_live_beats_recorded_unless_it_rests_on_the_same_features(own_store):
    small = family()
    put(small.models[0])
    recorded = measured("outlier_features", small.models[0])
    for one in (recorded, measured("basis", small.models[0])):
        records.write(one, records.FOLDER)
    assert gather("outlier_features", small) == [recorded]
    assert not gather("outlier_features", small)[0].live
    put(small.models[0], seed=5)  # other features of the same name
    (found,) = gather("outlier_features", small)
    assert found.live
    assert found.value("kurtosis_mean") != recorded.value("kurtosis_mean")
    put(small.models[0])  # and back
    assert gather("outlier_features", small) == [recorded]
    assert [*own_store.rglob("measurements/*.json")] == []


def test_another_head_of_the_same_features_makes_a_recorded_accuracy_give_way():
    small = family()
    put(small.models[0], head=a_head())
    recorded = measured("accuracy", small.models[0])
    records.write(recorded, records.FOLDER)
    assert gather("accuracy", small) == [recorded]
    about = {"model": store.describe(small.models[0], "f" * 64), "prompts": "a" * 64}
    store.write_head(store.head_path(small.models[0].name, "images"), a_head(seed=4), about)
    (found,) = gather("accuracy", small)
    assert found.live and found.value("top1") != recorded.value("top1")


def test_what_was_recorded_stays_where_no_features_are(own_store):
    small = family()
    put(small.models[0])
    recorded = measured("outlier_features", small.models[0])
    assert len(gather("outlier_features", small)) == 1
    for path in (own_store / small.models[0].name).glob("images*"):
        path.unlink()
    assert gather("outlier_features", small) == []
    records.write(recorded, records.FOLDER)
    assert gather("outlier_features", small) == [recorded]


def test_damaged_and_outdated_features_are_named_and_not_used():
    small = family()
    for model in small.models:
        put(model)
    damaged = store.features_path(small.models[0].name, "images")
    damaged.write_bytes(damaged.read_bytes()[:-4])
    changed = small.models[1].model_copy(update={"architecture": "tiny-cnn"})
    now = small.model_copy(update={"models": (small.models[0], changed, small.models[2])})
    assert [m.level for m in gather("outlier_features", now)] == ["random"]
    cut, old = take.unusable(now)
    assert "small-zero-shot/images.safetensors has" in cut and "companion extract" in cut
    assert "was made when the model's architecture differed" in old
    assert take.unusable(small) == [cut]


def test_unlabelled_images_are_left_out_of_pruning_and_of_its_count():
    model = family().models[0]
    labels = np.random.default_rng(2).integers(0, 3, N)
    labels[[3, 17, 30]] = -1
    head = a_head()
    features = put(model, labels=labels, head=head)
    taken = measured("pruning", model)
    assert taken.counts["images"] == N - 3
    assert measured("privileged_directions", model).counts["images"] == N
    known = labels >= 0
    expected = measures.pruning(features[known], labels[known], head.weight)
    np.testing.assert_allclose(
        taken.value("accuracy_importance"), expected["accuracy_importance"], rtol=1e-3
    )


@pytest.mark.parametrize("normalize", [True, False])
def test_pruning_with_all_directions_predicts_as_the_head_does(normalize):
    model = family().models[0]
    bias = np.array([3.0, -2.0, 0.5], np.float32)
    head = a_head(bias=bias, normalize=normalize)
    labels = np.random.default_rng(3).integers(0, 3, N)
    features = put(model, labels=labels, head=head)
    taken = measured("pruning", model)
    right = (head.logits(features).argmax(1) == labels).mean()
    assert taken.value("accuracy_importance")[-1] == pytest.approx(right, abs=1e-4)
    other = dataclasses.replace(head, normalize=not normalize)
    assert right != (other.logits(features).argmax(1) == labels).mean()


def test_classes_are_matched_by_name_and_unknown_ones_refused():
    model = family().models[0]
    head = a_head(classes=("blue", "red", "green"))
    labels = np.random.default_rng(4).integers(0, 3, N)
    features = put(model, labels=labels, head=head)
    found = store.read_features(store.features_path(model.name, "images"), model)
    images = take.seen(found, head)
    rows = images.class_subset[images.labels]
    assert [head.classes[row] for row in rows] == [CLASSES[label] for label in labels]
    assert len(features) == len(rows)
    put(model, labels=labels, head=head, classes=("red", "green", "mauve"))
    with pytest.raises(MeasurementError, match="the head has no class 'mauve' of images"):
        measured("pruning", model)


def test_a_concept_has_one_number_in_every_style():
    table = emoji.load().table
    known = [*table[table["split"] == "test"]["concept"].unique()[:3]]

    def numbers(style: str, concepts: list[str]) -> np.ndarray:
        rows = store.row_numbers([f"{concept}/{style}" for concept in concepts])
        nothing = np.zeros((len(rows), 2), np.float32)
        found = store.Features(nothing, np.zeros(len(rows), np.int64), rows, {})
        return take.concepts_of(found, f"pocket-{style}-test")

    found = numbers("twemoji", known)
    np.testing.assert_array_equal(found, numbers("openmoji", known))
    assert len(set(found)) == 3
    with pytest.raises(StoreError, match="3 images of pocket-noto-test are none of the test emoji"):
        numbers("noto", ["no-1F600", "no-1F601", "no-2764"])
