"""What is known of a family: recorded, live, unusable; and how live measurements are taken."""

import dataclasses

import numpy as np
import pytest
from tiny import PREPROCESSING

from analysis.families.registry import Family
from analysis.features import store
from analysis.features.store import Head, StoreError
from companion.measurements import measures, pruned_shifts, records, take
from companion.measurements.records import MeasurementError

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
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    monkeypatch.setattr(records, "read_all", lambda experiment, name: [])
    return tmp_path


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
        if labels is None else labels, rows, expected_rows=rows, sidecar=sidecar,
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
    found = take.gather("outlier_features", small)
    assert [m.level for m in found] == list(LEVELS)
    assert all(m.live for m in found)
    assert found[0].counts == {"images": N, "components": D}
    assert [m.level for m in take.gather("pruning", small)] == ["zero_shot", "supervised"]
    assert take.gather("outlier_features", small, ["other"]) == []


def record(monkeypatch, *recorded):
    monkeypatch.setattr(records, "read_all", lambda experiment, name: list(recorded))


def test_live_beats_recorded_unless_it_rests_on_the_same_features(monkeypatch):
    small = family()
    put(small.models[0])
    recorded = take.take("outlier_features", "small", small.models[0], "images")
    record(monkeypatch, recorded)
    assert take.gather("outlier_features", small) == [recorded]
    assert not take.gather("outlier_features", small)[0].live
    put(small.models[0], seed=5)  # other features of the same name
    (found,) = take.gather("outlier_features", small)
    assert found.live
    assert found.value("kurtosis_mean") != recorded.value("kurtosis_mean")


def test_other_prompts_of_the_same_features_make_a_recorded_accuracy_give_way(monkeypatch):
    small = family()
    put(small.models[0], head=a_head())
    recorded = take.take("accuracy", "small", small.models[0], "images")
    record(monkeypatch, recorded)
    assert take.gather("accuracy", small) == [recorded]
    about = {"model": store.describe(small.models[0], "f" * 64), "prompts": "a" * 64}
    store.write_head(store.head_path(small.models[0].name, "images"), a_head(seed=4), about)
    (found,) = take.gather("accuracy", small)
    assert found.live and found.value("top1") != recorded.value("top1")


def test_what_was_recorded_stays_where_no_features_are(monkeypatch):
    small = family()
    put(small.models[0])
    recorded = take.take("outlier_features", "small", small.models[0], "images")
    for path in store.features_path(small.models[0].name, "images").parent.iterdir():
        path.unlink()
    record(monkeypatch, recorded)
    assert take.gather("outlier_features", small) == [recorded]
    assert take.gather("outlier_features", small, {"others"}) == []


def test_damaged_and_outdated_features_are_named_and_not_used():
    small = family()
    for model in small.models:
        put(model)
    damaged = store.features_path(small.models[0].name, "images")
    damaged.write_bytes(damaged.read_bytes()[:-4])
    changed = small.models[1].model_copy(update={"architecture": "tiny-cnn"})
    now = small.model_copy(update={"models": (small.models[0], changed, small.models[2])})
    assert [m.level for m in take.gather("outlier_features", now)] == ["random"]
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
    taken = take.take("pruning", "small", model, "images")
    assert taken.counts["images"] == N - 3
    assert take.take("privileged_directions", "small", model, "images").counts["images"] == N
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
    taken = take.take("pruning", "small", model, "images")
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
    rows = take.for_head(found, head)[1]
    assert [head.classes[row] for row in rows] == [CLASSES[label] for label in labels]
    assert len(features) == len(rows)
    put(model, labels=labels, head=head, classes=("red", "green", "mauve"))
    with pytest.raises(MeasurementError, match="the head has no class 'mauve' of images"):
        take.take("pruning", "small", model, "images")


def test_a_concept_has_one_number_in_every_style():
    concepts = ["1F600", "1F601", "2764"]
    known = [c for c in pruned_shifts._test_concepts()][:3]
    numbers = [
        pruned_shifts.concepts_of(store.row_numbers([f"{c}/{style}" for c in known]), style)
        for style in ("twemoji", "openmoji")
    ]
    np.testing.assert_array_equal(*numbers)
    assert len(set(numbers[0])) == 3
    with pytest.raises(StoreError, match="3 images of pocket-noto-test are none of the test emoji"):
        pruned_shifts.concepts_of(store.row_numbers([f"no-{c}/noto" for c in concepts]), "noto")
