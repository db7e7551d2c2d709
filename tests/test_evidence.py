"""What is known of a family: recorded, live, unusable; and how live measurements are taken."""

import shutil

import numpy as np
import pytest
from conftest import refused
from tiny import CLASSES, keep, model

from analysis.families import registry
from analysis.families.registry import Family
from analysis.features import store
from analysis.features.store import Head, StoreError
from companion.cli import main as cli
from companion.measurements import export, from_store, pending, records, tasks
from companion.runs import grid_jobs
from companion.sources import emoji

N, D = 40, 12
WEIGHTS = {"zero_shot": "some-tag", "supervised": "some-tag", "random": None}
MODELS = [
    model(f"small-{level.replace('_', '-')}", level=level, width=D, weights=weights)
    for level, weights in WEIGHTS.items()
]
MODEL, SMALL = MODELS[0], Family.model_construct(name="small", edition="reader", models=(*MODELS,))


@pytest.fixture(autouse=True)
def nothing_recorded(own_store, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FOLDER", tmp_path / "recorded")


def measured(experiment, model=MODEL):
    return from_store.measure(pending.Job(experiment, "small", model, "images", ("images",)))


def take_pending(family):
    """Write the live files that are wanting, and remove outdated ones; how many were wanting."""
    jobs = pending.jobs_to_take([family])
    for job in jobs:
        records.write_live(from_store.measure(job))
    pending.remove_outdated([family])
    return len(jobs)


def gather(experiment, family=SMALL):
    """What pages read once the live files are there."""
    take_pending(family)
    assert pending.jobs_to_take([family]) == []
    return records.available(experiment, family)


def put(*models, seed=0, labels=None, head=None, classes=CLASSES):
    """Features of models in the store, all the same, with a head if one is given; labels too."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N, D)).astype(np.float32)
    drawn = rng.integers(0, 3, N)
    labels = drawn if labels is None else labels
    for described in models:
        keep(described, "images", features, labels, classes=classes, head=head)
    return features, labels


def a_head(seed=9, **fields):
    weight = np.random.default_rng(seed).normal(size=(3, D)).astype(np.float32)
    return Head(weight, fields.pop("classes", CLASSES), **fields)


def test_features_are_measured_live_once_in_the_familys_order(own_store):
    put(*reversed(MODELS), head=a_head())
    measurements = gather("outlier_features")
    assert [m.level for m in measurements] == list(WEIGHTS)
    assert all(m.live for m in measurements)
    assert measurements[0].counts == {"images": N, "components": D}
    pruned = records.available("pruning", SMALL)
    assert [m.level for m in pruned] == ["zero_shot", "supervised"]
    assert records.available("outlier_features", SMALL, ["other"]) == []
    whole = {path: path.read_bytes() for path in own_store.rglob("measurements/*.json")}
    assert len(whole) == 8 * 3 + 2  # no pruning of the random one
    assert take_pending(SMALL) == 0
    assert {path: path.read_bytes() for path in own_store.rglob("measurements/*.json")} == whole


def test_other_code_damage_and_other_features_make_a_measurement_pending(monkeypatch):
    put(MODEL)
    job, *others = pending.jobs_to_take([SMALL])
    place = records.write_live(from_store.measure(job))
    for other in others:
        records.write_live(from_store.measure(other))
    assert place == records.live_path("small-zero-shot", "images", "outlier_features")
    assert pending.jobs_to_take([SMALL]) == []
    for change in (lambda text: text[:100], lambda text: text.replace("kurtosis_mean", "mean")):
        place.write_text(change(place.read_text()))
    assert pending.jobs_to_take([SMALL]) == [job]
    records.write_live(from_store.measure(job))
    code, name = records.code_parts, "analysis.metrics.outliers"
    changed = {job.experiment: {name: "0" * 16}}
    with monkeypatch.context() as patch:
        patch.setattr(records, "code_parts", lambda of: {**code(of), **changed.get(of, {})})
        assert pending.jobs_to_take([SMALL]) == [job]
    put(MODEL, seed=5)
    assert pending.jobs_to_take([SMALL]) == [job, *others]


def test_live_beats_recorded_unless_it_rests_on_the_same_features(own_store):
    put(MODEL)
    kinds = ("outlier_features", "basis", "image_by_image", "quantisation")
    recorded, *_ = [records.read(records.write(m, records.FOLDER)) for m in map(measured, kinds)]
    assert gather("outlier_features") == [recorded]
    assert not gather("outlier_features")[0].live
    put(MODEL, seed=5)  # other features of the same name
    (live,) = gather("outlier_features")
    assert live.live
    assert live.value("kurtosis_mean") != recorded.value("kurtosis_mean")
    for path in (own_store / MODEL.name).glob("images*"):
        path.unlink()  # no live one stays where no features are
    assert gather("outlier_features") == [recorded]
    put(MODEL)  # and back
    assert gather("outlier_features") == [recorded]
    assert [*own_store.rglob("measurements/*.json")] == []


def test_another_head_of_the_same_features_makes_a_recorded_accuracy_give_way():
    put(MODEL, head=a_head())
    recorded = records.read(records.write(measured("accuracy"), records.FOLDER))
    assert gather("accuracy") == [recorded]
    about = {"model": store.describe(MODEL, "f" * 64), "prompts": "a" * 64}
    store.write_head(store.head_path(MODEL.name, "images"), a_head(seed=4), about)
    (live,) = gather("accuracy")
    assert live.live and live.value("top1") != recorded.value("top1")


def test_damaged_and_outdated_features_are_named_and_not_used():
    put(*MODELS)
    damaged = store.features_path(MODEL.name, "images")
    damaged.write_bytes(damaged.read_bytes()[:-4])
    changed = MODELS[1].model_copy(update={"architecture": "tiny-cnn"})
    now = SMALL.model_copy(update={"models": (MODEL, changed, MODELS[2])})
    assert [m.level for m in gather("outlier_features", now)] == ["random"]
    cut, old = records.unusable_features(now)
    assert "small-zero-shot/images.safetensors has" in cut and "companion extract" in cut
    assert "was made when the model's architecture differed" in old
    assert records.unusable_features(SMALL) == [cut]
    put(MODEL, head=a_head())
    head = store.head_path(MODEL.name, "images")
    head.write_bytes(head.read_bytes()[:-4])
    (cut,) = records.unusable_features(SMALL)
    assert "small-zero-shot/images.head.safetensors has" in cut


def test_another_leader_is_recorded_and_copied_digits_are_not(monkeypatch, capsys):
    """Whether the leader hangs on the images is what the book asks; digits of other images lie."""
    monkeypatch.setattr(registry, "load_family", lambda name: SMALL)
    drawn = np.random.default_rng(0).normal(size=(3, N, D)).astype(np.float32)
    tall = drawn * np.linspace(1, 6, D) + 30 * (np.arange(D) == np.array([3, 3, 5])[:, None, None])
    images = {"images": tall[0], "others": tall[1], "more": tall[2], "again": tall[0, ::-1]}
    told = {}
    for data, h in images.items():
        keep(MODEL, data, h, np.arange(N) % 3, classes=CLASSES)
        code = cli.main(["measure", "outlier_features", "small", "--record"])
        assert code == (data == "again")
        told[data] = capsys.readouterr().out
    assert "is that of small-zero-shot on images, to the digit" in told["again"]
    recorded = {path.stem for path in records.FOLDER.glob("outlier_features/*")}
    assert recorded == {f"small-zero-shot--{data}" for data in ("images", "others", "more")}


def test_a_recorded_file_is_signed_again_and_keeps_its_numbers(monkeypatch, capsys):
    """With equal numbers it is of the code of today, and gets what it lacked; others stay out."""
    monkeypatch.setattr(registry, "load_family", lambda name: SMALL)
    put(MODEL)
    record = ["measure", "outlier_features", "small", "--record"]
    assert cli.main(record) == 0
    (path,) = records.FOLDER.glob("outlier_features/*")
    taken = records.read(path)
    old = taken.provenance.made_from | {records.VERSION: "0"}
    older = taken.provenance.model_copy(
        update={"made_from": old, "version": "0.0.9", "taken": None}
    )
    mean = taken.values["kurtosis_mean"]
    near = mean.model_copy(update={"value": mean.value * 1.00001})
    values = taken.values | {"kurtosis_mean": near}
    del values["distinct_images"]
    before = taken.model_copy(update={"provenance": older, "values": values})
    records.write(before)
    assert records.is_older(before)
    assert cli.main(record) == 0
    signed = records.read(path)
    assert not records.is_older(signed) and signed.lacks == []
    assert signed.value("kurtosis_mean") == near.value and signed.provenance.taken is None
    assert signed.provenance.version == taken.provenance.version
    other = mean.model_copy(update={"value": mean.value * 1.01})
    records.write(before.model_copy(update={"values": values | {"kurtosis_mean": other}}))
    kept = path.read_text()
    capsys.readouterr()
    assert cli.main(record) == 1 and path.read_text() == kept
    said = capsys.readouterr().out
    assert "recorded are other numbers (kurtosis_mean: " in said and "remove data/meas" in said


def test_a_grid_leaves_a_recorded_file_of_other_features_as_it_is(monkeypatch):
    monkeypatch.setattr(grid_jobs, "load_family", lambda name: SMALL)
    asked = {"families": ["small"], "models": [MODEL.name], "records": True}
    put(MODEL)
    assert grid_jobs.measure(asked, "small", "images", "outlier_features") == {}
    (path,) = records.FOLDER.glob("outlier_features/*")
    kept = path.read_text()
    put(MODEL, seed=5)
    ((why, names),) = grid_jobs.measure(asked, "small", "images", "outlier_features").items()
    assert "recorded are other numbers" in why and names == [MODEL.name]
    assert path.read_text() == kept


def test_a_set_that_cannot_be_measured_keeps_no_other_from_it(monkeypatch, capsys):
    """One of images that are all recognised, say, or of a single text."""
    monkeypatch.setattr(registry, "load_family", lambda name: SMALL)
    put(MODEL, head=a_head())
    features = np.eye(3, D, dtype=np.float32)[np.arange(N) % 3] + 1e-3
    head = Head(np.eye(3, D, dtype=np.float32), CLASSES)
    keep(MODEL, "easy", features, np.arange(N) % 3, classes=CLASSES, head=head)
    assert cli.main(["measure", "image_by_image", "small", "--record"]) == 1
    out, err = capsys.readouterr()
    assert "small-zero-shot--images.json" in out and "easy" not in out
    said = "image_by_image of small-zero-shot on easy cannot be measured: every image is recogn"
    assert said in err
    same = Head(np.ones((3, D), np.float32), CLASSES)
    keep(MODELS[1], "same", features, np.arange(N) % 3, classes=CLASSES, head=same)
    assert cli.main(["measure", "privileged_directions", "small"]) == 1
    assert "privileged_directions of small-supervised on same cannot" in capsys.readouterr().err


def test_unlabelled_images_are_measured_without_a_judge():
    drawn = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    keep(MODEL, "images", drawn, np.full(N, -1), classes=(), head=a_head())
    assert measured("unread").value("classified") == 0
    assert measured("quantisation").value("accuracy_whole").size == 0


def test_no_model_vanishes_from_a_table_without_a_word(monkeypatch, capsys):
    """Features that were copied under another name are the first model's still."""
    put(MODEL)
    monkeypatch.setattr(registry, "load_family", lambda name: SMALL)
    here, there = (store.features_path(m.name, "images") for m in MODELS[:2])
    there.parent.mkdir()
    for copied in (here, store.sidecar_of(here)):
        shutil.copy(copied, there.with_suffix(copied.suffix))
    assert cli.main(["measure", "basis", "small"]) == 1
    out, err = capsys.readouterr()
    assert "small-zero-shot" in out and "small-supervised" not in out
    assert "small-supervised/images.safetensors was made when the model's name and level" in err
    store.sidecar_of(there).unlink()
    there.unlink()
    put(MODELS[1], head=a_head())
    assert cli.main(["measure", "privileged_directions", "small"]) == 0
    assert "small-zero-shot was not measured: it lacks labels, or a" in capsys.readouterr().err
    store.sidecar_of(store.head_path(MODELS[1].name, "images")).unlink()
    put(MODEL, head=a_head())
    assert cli.main(["measure", "privileged_directions", "small"]) == 1
    assert "small-supervised/images.head.safetensors does not exist, or" in capsys.readouterr().err
    job, *_ = pending.jobs_to_take([SMALL])
    place = records.write_live(from_store.measure(job))
    place.write_text(place.read_text().replace('"leaders"', '"followers"'))
    refused("would lack measurements .1.: .* take it again", export.everything, {"small": SMALL})


def test_classes_are_matched_by_name_and_unknown_ones_refused():
    head = a_head(classes=("blue", "red", "green"))
    _, labels = put(MODEL, head=head)
    images = tasks.seen(store.read_features(store.features_path(MODEL.name, "images"), MODEL), head)
    rows = images.class_subset[images.labels]
    assert [head.classes[row] for row in rows] == [CLASSES[label] for label in labels]
    put(MODEL, head=head, classes=("red", "green", "mauve"))
    refused("no class 'mauve' of images; use the head that", measured, "pruning")


def test_a_concept_has_one_number_in_every_style():
    table = emoji.load().table
    some = [*table[table["split"] == "test"]["concept"].unique()[:3]]

    def numbers(style, concepts):
        rows = store.row_numbers([f"{concept}/{style}" for concept in concepts])
        nothing = np.zeros((len(rows), 2), np.float32)
        stored = store.Features(nothing, np.zeros(len(rows), np.int64), rows, {})
        return from_store.concepts_of(stored, f"pocket-{style}-test")

    stored = numbers("twemoji", some)
    np.testing.assert_array_equal(stored, numbers("openmoji", some))
    assert len(set(stored)) == 3
    with pytest.raises(StoreError, match="3 images of pocket-noto-test are not among the test"):
        numbers("noto", ["no-1F600", "no-1F601", "no-2764"])
