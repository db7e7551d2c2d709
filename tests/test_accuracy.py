from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from tiny import model

from analysis.families.registry import Family, Model
from analysis.features import store
from analysis.features.store import Features, Head
from analysis.images import imagenet, sets
from analysis.metrics.robustness import NORMAL_95, Baseline
from companion.measurements import accuracies, due, measures, records, take, views
from companion.measurements.records import Measurement, MeasurementError

WIDTH = 24
COUNT = 300


def imagenet_head(seed: int = 0, bias: bool = True, normalize: bool = False) -> Head:
    rng = np.random.default_rng(seed)
    return Head(
        weight=rng.normal(size=(1000, WIDTH)).astype(np.float32),
        classes=imagenet.classes(),
        bias=rng.normal(size=1000).astype(np.float32) if bias else None,
        normalize=normalize,
    )


def features_near(head: Head, classes: tuple[str, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of which some, by no means all, are recognised, with labels through ``classes``."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), COUNT)
    mapping = imagenet.objectnet_to_imagenet()
    rows = [
        head.classes.index(rng.choice(mapping[name]) if name in mapping else name)
        for name in (classes[label] for label in labels)
    ]
    noise = 2 * rng.normal(size=(COUNT, WIDTH))
    return (head.weight[rows] + noise).astype(np.float32), labels.astype(np.int64)


def recognised(
    features: np.ndarray, labels: np.ndarray, head: Head, classes: tuple[str, ...]
) -> np.ndarray:
    """Of which images the class is predicted, as measurements see it."""
    about = {"data": {"name": "the data set", "classes": classes}}
    rows = np.arange(len(labels), dtype=np.uint64)
    return take.recognised_by(head, take.seen(Features(features, labels, rows, about), head))


def logit(h: np.ndarray, head: Head, row: int) -> float:
    """One number, by the definition."""
    x = h.astype(np.float64)
    if head.normalize:
        x = x / np.sqrt(sum(c * c for c in x))
    bias = 0.0 if head.bias is None else float(head.bias[row])
    return sum(float(w) * float(c) for w, c in zip(head.weight[row], x, strict=True)) + bias


@pytest.mark.parametrize("name", ["imagenet-r", "imagenet-a"])
@pytest.mark.parametrize("normalize", [False, True])
def test_subsets_against_a_literal_computation(name: str, normalize: bool) -> None:
    head = imagenet_head(normalize=normalize)
    classes = imagenet.subset(sets.descriptions()[name])
    features, labels = features_near(head, classes, seed=1)
    found = recognised(features, labels, head, classes)
    for n in range(0, COUNT, 7):
        best = max(classes, key=lambda wnid: logit(features[n], head, head.classes.index(wnid)))
        assert found[n] == (best == classes[labels[n]])
    assert 0.05 < found.mean() < 0.95
    everything = head.logits(features).argmax(axis=1)
    of_all = np.array([head.classes[i] for i in everything]) == np.array(classes)[labels]
    assert of_all.mean() < found.mean()  # more to choose from: harder


def test_objectnet_against_the_two_published_ways() -> None:
    head = imagenet_head()
    classes = imagenet.subset(sets.descriptions()["objectnet"])
    mapping = imagenet.objectnet_to_imagenet()
    features, labels = features_near(head, classes, seed=2)
    found = recognised(features, labels, head, classes)
    assert 0.05 < found.mean() < 0.95
    sublist = [head.classes.index(wnid) for wnids in mapping.values() for wnid in wnids]
    for n in range(0, COUNT, 7):
        logits = {row: logit(features[n], head, row) for row in sublist}
        own = [head.classes.index(wnid) for wnid in mapping[classes[labels[n]]]]
        # imagenet-testbed: the largest of the 125 is any of the class's own.
        any_of_its_own = max(sublist, key=lambda row: logits[row]) in own
        # WiSE-FT: the largest logit of each of the 113 classes, then the largest of these.
        projected = [
            max(logits[head.classes.index(wnid)] for wnid in mapping[name]) for name in classes
        ]
        assert found[n] == any_of_its_own == (int(np.argmax(projected)) == labels[n])


def test_a_head_of_objectnets_own_names() -> None:
    rng = np.random.default_rng(3)
    classes = imagenet.objectnet_prompts().classes
    order = rng.permutation(113)
    weight = rng.normal(size=(113, WIDTH)).astype(np.float32)
    head = Head(weight, tuple(classes[i] for i in order), normalize=True)
    features = rng.normal(size=(50, WIDTH)).astype(np.float32)
    labels = rng.integers(0, 113, 50)
    found = recognised(features, labels, head, classes)
    np.testing.assert_array_equal(found, order[(features @ weight.T).argmax(axis=1)] == labels)


def test_a_head_without_a_class_of_the_set() -> None:
    head = imagenet_head().restricted(imagenet.classes()[:999])
    with pytest.raises(
        MeasurementError, match=r"no class 'n15075141' of the data set; use the head that"
    ):
        recognised(np.zeros((1, WIDTH)), np.zeros(1, np.int64), head, imagenet.classes())
    few = imagenet_head().restricted(imagenet.classes()[:9])
    with pytest.raises(MeasurementError, match=r"no class 'alarm_clock'"):
        recognised(np.zeros((1, WIDTH)), np.zeros(1, np.int64), few, ("alarm_clock",))


def fill(
    folder: Path, model: Model, data: str, head: Head, seed: int, what: str = "made up"
) -> float:
    """Put features of a data set into the store; return how many are recognised."""
    classes = imagenet.subset(sets.descriptions()[data])
    features, labels = features_near(head, classes, seed)
    labels[::50] = -1  # and some images of no class
    rows = np.arange(COUNT, dtype=np.uint64)
    sidecar = {
        "model": store.describe(model, "0" * 64), "precision": "fp32",
        "data": {"name": data, "manifest": "m", "images": COUNT, "classes": classes,
                 "left_out": {}, "what": f"{data}, {what}"},
    }  # fmt: skip
    path = store.features_path(model.name, data, folder)
    store.write_features(path, features, labels, rows, sidecar=sidecar)
    store.write_head(store.head_path(model.name, data, folder), head, {"model": sidecar["model"]})
    kept = labels >= 0
    return float(recognised(features[kept], labels[kept], head, classes).mean())


def taken(folder: Path, model: Model, names: Iterable[str]) -> list[Measurement]:
    jobs = [due.Job("accuracy", "mine", model, name, (name,)) for name in names]
    return [take.measure(job, folder) for job in jobs]


def possible(folder: Path, model: Model) -> set[tuple[str, str]]:
    """Which experiments can be measured of a model, and on what."""
    family = Family.model_construct(name="mine", models=(model,))
    return {(job.experiment, job.data) for job in due.jobs(family, folder)}


def test_a_measurement_counts_the_right_images_of_every_class(tmp_path: Path) -> None:
    described, head = model(width=WIDTH), imagenet_head()
    top1 = fill(tmp_path, described, "objectnet", head, 1, f"{imagenet.DIFFERS}: few")
    (found,) = taken(tmp_path, described, ["objectnet"])
    stored = store.read_features(store.features_path(described.name, "objectnet", tmp_path))
    hits, images = [0] * 113, [0] * 113
    for h, label in zip(stored.features, stored.labels, strict=True):
        if label >= 0:
            images[label] += 1
            hits[label] += bool(recognised(h[None], label[None], head, stored.classes)[0])
    assert found.value("right_per_class").tolist() == hits
    assert found.value("images_per_class").tolist() == images
    assert found.counts == {"images": COUNT - 6, "components": WIDTH, "classes": 113}
    assert "NOT the published set" in found.data.what
    assert found.value("top1") == pytest.approx(top1, rel=1e-3)
    error = (top1 * (1 - top1) / (COUNT - 6)) ** 0.5
    assert found.value("top1_standard_error") == pytest.approx(error, rel=1e-3)
    family = Family.model_construct(name="mine", title="Mine", models=(described,))
    own = accuracies.measured([family], [found])
    (exact,) = accuracies.compared(own, family, accuracies.load()).to_dict("records")
    assert exact["accuracy"] == top1 and np.isnan(exact["published"])
    assert exact["limit"] == pytest.approx(NORMAL_95 * error, rel=1e-12)
    records.write(found, tmp_path / "kept")
    assert records.read(tmp_path / "kept/accuracy" / found.file_name) == found


def test_effective_robustness_from_the_store(tmp_path: Path) -> None:
    described, head = model(width=WIDTH), imagenet_head()
    data_sets = {sets.column(data): data for data in (sets.IMAGENET, *sets.SHIFTS)}
    expected = {
        name: fill(tmp_path, described, data, head, seed)
        for seed, (name, data) in enumerate(data_sets.items())
    }
    family = Family.model_construct(name="mine", title="Mine", models=(described,))
    own = accuracies.measured([family], taken(tmp_path, described, data_sets.values()))
    line = Baseline(slope=0.76, intercept=-1.49, r=0.99)
    (found,) = views.effective(own, accuracies.FIVE_SHIFTS, line).itertuples()
    assert {name: getattr(found, name) for name in expected} == expected
    shifts = ("imagenet_v2", "imagenet_r", "imagenet_sketch", "objectnet", "imagenet_a")
    mean = sum(expected[shift] for shift in shifts) / 5
    a = expected["imagenet"]
    line = 1 / (1 + np.exp(-(0.76 * np.log(a / (1 - a)) - 1.49)))
    assert found.shifted == pytest.approx(mean, abs=1e-12)
    assert found.er == pytest.approx(mean - line, abs=1e-12)
    n = COUNT - 6
    variance = sum(expected[s] * (1 - expected[s]) / n for s in shifts) / 25
    slope = 0.76 * line * (1 - line) / (a * (1 - a))
    error = (variance + slope**2 * a * (1 - a) / n) ** 0.5
    assert found.er_95 == pytest.approx(NORMAL_95 * error)
    less = own[~own["dataset"].isin(["imagenet_r", "objectnet"])]
    assert accuracies.missing(less["dataset"]) == ["imagenet-r", "objectnet"]
    assert views.effective(less, accuracies.FIVE_SHIFTS).empty


def test_what_an_accuracy_can_be_taken_of(tmp_path: Path) -> None:
    described = model(width=WIDTH)
    for data in ("imagenet", "objectnet"):
        fill(tmp_path, described, data, imagenet_head(), seed=1)
    whole = {"outlier_features", "privileged_directions", "pruning", "accuracy", "basis",
             "interventions"}  # fmt: skip
    assert possible(tmp_path, described) == {(experiment, "imagenet") for experiment in whole} | {
        ("accuracy", "objectnet")
    }
    drawn = model("drawn", level="random", weights=None, width=WIDTH)
    fill(tmp_path, drawn, "imagenet", imagenet_head(), seed=1)
    assert ("accuracy", "imagenet") in possible(tmp_path, drawn)  # chance, too
    assert ("pruning", "imagenet") not in possible(tmp_path, drawn)
    other = Head(np.ones((2, WIDTH), np.float32), ("cat", "dog"))
    assert not due.knows_some(other.classes, ("n01440764", "alarm_clock"))
    with pytest.raises(ValueError, match=r"a label for each image, got shapes \(0,\) and \(0,\)"):
        measures.accuracy([], [], 3)


def test_pruning_leaves_a_set_alone_whose_classes_the_head_has_under_other_names(
    tmp_path: Path,
) -> None:
    described = model(width=WIDTH)
    fill(tmp_path, described, "objectnet", imagenet_head(), seed=1)
    for path in (tmp_path / described.name).iterdir():
        path.rename(path.with_name(path.name.replace("objectnet", "own")))
    assert {e for e, _ in possible(tmp_path, described)} == {
        "outlier_features", "privileged_directions", "accuracy", "basis", "interventions"
    }  # fmt: skip


def test_data_without_classes(tmp_path: Path) -> None:
    described = model(width=WIDTH)
    fill(tmp_path, described, "imagenet-a", imagenet_head(), seed=1)
    path = store.features_path(described.name, "imagenet-a", tmp_path)
    found = store.read_features(path)
    none = np.full(COUNT, -1)
    arrays = np.array(found.features), np.array(found.rows)
    about = {name: value for name, value in found.sidecar.items() if name != "digest"}
    store.write_features(path, arrays[0], none, arrays[1], sidecar=about)
    assert possible(tmp_path, described) == set()
    with pytest.raises(MeasurementError, match="imagenet-a has no image with a class"):
        taken(tmp_path, described, ["imagenet-a"])
