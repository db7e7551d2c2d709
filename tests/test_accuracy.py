"""Accuracies of this book's own: from features to numbers, views, claims and a reader's pages.

Numbers are compared with literal computations, one image and one class at a time.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import cases, companion, copy_checkout, results
from tiny import accuracy, keep, model, unit

from analysis.families.registry import Family, load_families, load_family
from analysis.features import store
from analysis.features.store import Features, Head
from analysis.images import imagenet
from analysis.metrics.directions import importance
from analysis.metrics.pruning import prune, pruning_order
from analysis.metrics.robustness import NORMAL_95
from companion.chapters.notes import in_brief
from companion.chapters.reproduced import lacking
from companion.claims.evidence import gather
from companion.claims.ledger import load_claims
from companion.claims.rules import judge
from companion.measurements import (
    accuracies,
    from_store,
    pending,
    records,
    tasks,
)
from companion.measurements.effective_robustness import effective, of_measured, once, view
from companion.sources import copies, sets

WIDTH = 24
COUNT = 300
DATA = (sets.IMAGENET, *sets.SHIFTS)
SHIFTS = [sets.column(data) for data in sets.SHIFTS]


def on_line(inside):
    """What the paper's printed line expects under shift."""
    return 1 / (1 + np.exp(-(0.76 * np.log(inside / (1 - inside)) - 1.49)))


def imagenet_head(normalize=False, width=WIDTH):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(1000, width)).astype(np.float32)
    bias = rng.normal(size=1000).astype(np.float32)
    return Head(weight, imagenet.classes(), bias=bias, normalize=normalize)


def features_near(head, classes, seed):
    """Features of which some, by no means all, are recognised, with labels through ``classes``."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), COUNT)
    mapping = imagenet.objectnet_to_imagenet()
    rows = [
        head.classes.index(rng.choice(mapping[name]) if name in mapping else name)
        for name in (classes[label] for label in labels)
    ]
    noise = 2 * rng.normal(size=(COUNT, head.weight.shape[1]))
    return (head.weight[rows] + noise).astype(np.float32), labels.astype(np.int64)


def recognised(features, labels, head, classes):
    """Of which images the class is predicted, as measurements see it."""
    about = {"data": {"name": "the data set", "classes": classes}}
    rows = np.arange(len(labels), dtype=np.uint64)
    images = tasks.seen(Features(features, labels, rows, about), head)
    return tasks.recognised_by(head, images)


def logits(h, head):
    """By the definition, in double precision: (images, classes)."""
    x = h.astype(np.float64)
    if head.normalize:
        x = unit(x)
    return x @ head.weight.T.astype(np.float64) + head.bias


@pytest.mark.parametrize("name", ["imagenet-r", "imagenet-a"])
@pytest.mark.parametrize("normalize", [False, True])
def test_subsets_against_a_literal_computation(name, normalize):
    head = imagenet_head(normalize=normalize)
    classes = copies.subset(sets.descriptions()[name])
    features, labels = features_near(head, classes, seed=1)
    right = recognised(features, labels, head, classes)
    rows = np.array([head.classes.index(wnid) for wnid in classes])
    best = logits(features, head)[:, rows].argmax(axis=1)
    np.testing.assert_array_equal(right, best == labels)
    assert 0.05 < right.mean() < 0.95
    of_all = head.logits(features).argmax(axis=1) == rows[labels]
    assert of_all.mean() < right.mean()  # more to choose from: harder


def test_objectnet_against_the_two_published_ways():
    head = imagenet_head()
    classes = copies.subset(sets.descriptions()["objectnet"])
    mapping = imagenet.objectnet_to_imagenet()
    features, labels = features_near(head, classes, seed=2)
    right = recognised(features, labels, head, classes)
    assert 0.05 < right.mean() < 0.95
    of_class = [[head.classes.index(wnid) for wnid in mapping[name]] for name in classes]
    z, sublist = logits(features, head), np.concatenate(of_class)
    # imagenet-testbed: the largest of the 125 is any of the class's own.
    largest = sublist[z[:, sublist].argmax(axis=1)]
    by_largest = [row in of_class[label] for row, label in zip(largest, labels, strict=True)]
    # WiSE-FT: the largest logit of each of the 113 classes, then the largest of these.
    projected = np.stack([z[:, rows].max(axis=1) for rows in of_class], axis=1)
    assert right.tolist() == by_largest == (projected.argmax(axis=1) == labels).tolist()


def test_a_head_of_objectnets_own_names():
    rng = np.random.default_rng(3)
    classes, order = imagenet.objectnet_prompts().classes, rng.permutation(113)
    weight, h = (rng.normal(size=(n, WIDTH)).astype(np.float32) for n in (113, 50))
    head = Head(weight, tuple(classes[i] for i in order))
    right = np.arange(50) < 25
    labels = (order[(h @ weight.T).argmax(axis=1)] + ~right) % 113
    np.testing.assert_array_equal(recognised(h, labels, head, classes), right)


def fill(model, data, head, seed, what="made up"):
    """Put features of a data set into the store; return how many are recognised."""
    classes = copies.subset(sets.descriptions()[data])
    features, labels = features_near(head, classes, seed)
    labels[::50] = -1  # and some images of no class
    keep(model, data, features, labels, classes=classes, head=head, what=f"{data}, {what}")
    kept = labels >= 0
    return float(recognised(features[kept], labels[kept], head, classes).mean())


def family_of(*models):
    return Family.model_construct(name="mine", title="Mine", models=models)


def taken(model, *names):
    jobs = [pending.Job("accuracy", "mine", model, name, (name,)) for name in names]
    return [from_store.measure(job) for job in jobs]


def possible(*models):
    """Which experiments can be measured of models, and on what."""
    return {(job.experiment, job.data) for job in pending.jobs(family_of(*models))}


def test_a_measurement_counts_the_right_images_of_every_class(own_store):
    described, head = model(width=WIDTH), imagenet_head()
    top1 = fill(described, "objectnet", head, 1, f"{sets.DIFFERS}: few")
    (measurement,) = taken(described, "objectnet")
    assert in_brief(measurement).endswith(", of which the 113 classes of the data set took part")
    stored = store.read_features(store.features_path(described.name, "objectnet"))
    hits, images = [0] * 113, [0] * 113
    for h, label in zip(stored.features, stored.labels, strict=True):
        if label >= 0:
            images[label] += 1
            hits[label] += bool(recognised(h[None], label[None], head, stored.classes)[0])
    assert measurement.value("right_per_class").tolist() == hits
    assert measurement.value("images_per_class").tolist() == images
    assert measurement.counts == {"images": COUNT - 6, "components": WIDTH, "classes": 113}
    assert "NOT the published set" in measurement.data.what
    assert measurement.value("top1") == pytest.approx(top1, rel=1e-3)
    error = (top1 * (1 - top1) / (COUNT - 6)) ** 0.5
    assert measurement.value("top1_standard_error") == pytest.approx(error, rel=1e-3)
    family = family_of(described)
    rows = accuracies.measured([family], [measurement])
    (exact,) = accuracies.with_published(rows, family, accuracies.load()).to_dict("records")
    assert exact["accuracy"] == top1 and np.isnan(exact["published"])
    assert exact["limit"] == pytest.approx(NORMAL_95 * error, rel=1e-12)


def test_effective_robustness_from_the_store(own_store):
    described, head = model(width=WIDTH), imagenet_head()
    a, *tops = (fill(described, data, head, seed) for seed, data in enumerate(DATA))
    family = family_of(described)
    rows = accuracies.measured([family], taken(described, *DATA))
    (row,) = effective(rows, accuracies.FIVE_SHIFTS).to_dict("records")
    assert [row["imagenet"], *(row[shift] for shift in SHIFTS)] == [a, *tops]
    mean, line, n = sum(tops) / 5, on_line(a), COUNT - 6
    assert row["shifted"] == pytest.approx(mean, abs=1e-12)
    assert row["er"] == pytest.approx(mean - line, abs=1e-12)
    slope = 0.76 * line * (1 - line) / (a * (1 - a))
    variance = sum(top * (1 - top) / n for top in tops) / 25 + slope**2 * a * (1 - a) / n
    assert (row["high"] - row["low"]) / 2 == pytest.approx(NORMAL_95 * variance**0.5)
    less = rows[~rows["dataset"].isin(["imagenet_r", "objectnet"])]
    assert accuracies.missing(less["dataset"]) == ["imagenet-r", "objectnet"]
    assert effective(less, accuracies.FIVE_SHIFTS).empty


def test_one_pruned_head_classifies_all_six_data_sets(own_store):
    described, head = model(width=WIDTH), imagenet_head()
    for seed, data in enumerate(DATA):
        fill(described, data, head, seed)
    family = family_of(described)
    (job,) = pending.jobs(family, ["pruning_under_shift"])
    assert job.data == "imagenet-and-shifts" and job.parts == DATA
    pruned = from_store.measure(job)
    assert pruned.data.what.startswith("imagenet, made up; imagenet-v2, made up; ")
    counts = {"images": COUNT - 6, "components": WIDTH, "classes": 1000}
    assert pruned.counts == counts | {"shifted_images": 5 * (COUNT - 6)}
    assert pruned.value("kept").tolist() == list(range(1, 25))
    paths = [store.features_path(described.name, data) for data in DATA]
    images = [tasks.seen(store.read_features(path), head) for path in paths]
    order = pruning_order(importance(images[0].features, head.weight), "importance")
    for most in (5, 12, 24):
        smaller = dataclasses.replace(head, weight=prune(head.weight, order, most))
        inside, *tops = (tasks.recognised_by(smaller, part).mean() for part in images)
        mean = np.mean(tops)
        expected = {"inside": inside, "outside": mean, "robustness": mean - on_line(inside)}
        for of, value in expected.items():
            assert pruned.value(f"{of}_importance")[0, most - 1] == pytest.approx(value, rel=1e-5)
    assert "robustness_change_random" not in pruned.values
    assert (pruned.value("robustness_importance")[1:] <= 1).all()
    store.head_path(described.name, "imagenet").unlink()
    assert pending.jobs(family, ["pruning_under_shift"]) == []


def test_what_can_be_measured_of_what(own_store):
    described = model(width=WIDTH)
    for data in ("imagenet", "objectnet"):
        fill(described, data, imagenet_head(), seed=1)
    arrays = {"outlier_features", "privileged_directions", "accuracy", "basis", "interventions"}
    arrays |= {"image_by_image", "quantisation", "unread"}
    whole = {(experiment, "imagenet") for experiment in (*arrays, "pruning")}
    assert possible(described) == whole | {("accuracy", "objectnet")}
    drawn = model("drawn", level="random", weights=None, width=WIDTH)
    fill(drawn, "imagenet", imagenet_head(), seed=1)
    assert possible(drawn) == whole - {("pruning", "imagenet")}  # chance, too
    # a set whose classes the head has under other names is not pruned on
    named = model("named", width=WIDTH)
    fill(named, "objectnet", imagenet_head(), seed=1)
    for path in (own_store / named.name).iterdir():
        path.rename(path.with_name(path.name.replace("objectnet", "own")))
    assert possible(named) == {(experiment, "own") for experiment in arrays}


# Beside what was published, as if recorded on the published sets


TOPS = cases("accuracies")["tops"]


def all_recorded(what=""):
    return [
        accuracy(name, data, top1=top1, what=f"{sets.title(data)}{what}")
        for name, tops in TOPS.items()
        for data, top1 in zip(DATA, tops, strict=True)
    ]


def test_own_accuracies_are_a_view_of_their_own():
    families = load_families("paper")
    measured = all_recorded()
    table = of_measured(families, measured).set_index("name")
    assert list(table.index) == list(TOPS)
    for name, (inside, *shifts) in TOPS.items():
        row = table.loc[name]
        # accuracies are whole images: at most half an image from the wanted fraction
        assert row["er"] == pytest.approx(sum(shifts) / 5 - on_line(inside), abs=1e-4)
        assert [row[shift] for shift in SHIFTS] == pytest.approx(shifts, abs=1e-4)
        assert (row["source"], row["evidence"]) == ("this book", "recorded")
    five = view("five").models(accuracies.known([families["rn50"]], measured))
    ours = five[five["source"] == accuracies.MEASURED]
    assert list(ours["name"]) == list(TOPS)
    again = ours["name"].isin(five.loc[five["source"] != accuracies.MEASURED, "name"])
    assert again.any() and len(once(five)) == len(five) - again.sum()


@pytest.mark.slow
def test_own_accuracies_complete_a_group_that_published_ones_leave_open(monkeypatch):
    claim = load_claims()["ER-order"]

    def judged(measured):
        monkeypatch.setattr(
            records,
            "available",
            lambda experiment, family, data=None: [m for m in measured if m.family == family.name],
        )
        return judge(claim, gather("paper", experiments=("accuracy",)))

    before = judged([])
    assert (len(before.cases), before.measured, before.covered) == (38, 0, 48)
    assert before.count("stand-in")["holds"] == 38
    assert before.cases == judged(all_recorded(f"; {sets.DIFFERS}: few")).cases
    after = judged(all_recorded())
    # of RN50 with OpenAI's data a finetuned model that is no stand-in: one pair without the
    # supervised model, which is one; and that one's with zero-shot was known
    assert (len(after.cases), after.measured, after.outcome) == (40, 1, "agrees so far")
    ours = {number.name: number.value for number in after.numbers if number.of == "own"}
    assert ours["own_pairs"] == ours["own_pairs_in_order"] == 3
    turned = dict(zip(TOPS, reversed(TOPS.values()), strict=True))
    monkeypatch.setitem(globals(), "TOPS", turned)
    assert judged(all_recorded()).outcome == "differs"


@pytest.mark.parametrize(("family", "model", "source", "count"), cases("accuracies")["checkpoints"])
def test_published_values_of_the_very_same_checkpoint(family, model, source, count):
    described = load_families("paper")[family].model(model)
    published = accuracies.of_checkpoint(accuracies.load(), described)
    assert len(published) == count and set(published["source"]) == ({source} if source else set())
    assert set(published["dataset"]) <= {*accuracies.CLASSES_PUBLISHED}


# A reader's family, from features to its pages


def rows_of(table):
    return [[cell.strip() for cell in line.strip("| ").split(" |")] for line in table.split("\n")]


@pytest.mark.parametrize(("inside", "said"), [(0, "no"), (1, "every"), (0.5, None)])
def test_effective_robustness_needs_a_share_between_none_and_all(inside, said):
    family = load_families("paper")["rn50"]
    (model,) = [m for m in family.at_level("zero_shot") if m.loadable][:1]
    every = [(model.name, data, inside if data == "imagenet" else 0.5) for data in sets.published()]
    lacks = lacking(family, pd.DataFrame(every, columns=["name", "dataset", "accuracy"]))
    lacks = lacks.set_index("model")["lacks"].get(model.title, "")
    assert lacks.startswith(f"a logit: {said}") if said else not lacks


@pytest.mark.slow
def test_a_readers_features_come_to_its_pages_live_and_as_recorded(tmp_path, monkeypatch):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    folder = copy_checkout(tmp_path / "project")
    monkeypatch.setenv("COMPANION_STORE", str(folder / "store"))
    for name in ("web-large", "supervised"):
        companion(folder, "add", "mini", f"pocket-vit-{name}", "--model", f"mini-{name}")
    for place, described in enumerate(load_family("mini", folder / "families").models):
        for seed, data in enumerate(DATA, 10 * place):
            head = imagenet_head(width=described.width)
            fill(described, data, head, seed, f"{sets.DIFFERS}: few")
    pages = results(folder, "own_accuracies mini")
    taken = (records.read(records.live_path("mini-supervised", data, "accuracy")) for data in DATA)
    inside, *shifts = (m.value("right_per_class").sum() / m.counts["images"] for m in taken)
    wanted = f"{100 * (np.mean(shifts) - on_line(inside)):+.1f}"
    table = rows_of(pages["own-accuracies"])
    assert ["supervised", "ImageNet", f"{COUNT - 6}"] in [row[1:4] for row in table]
    header, _, *rows = rows_of(pages["own-robustness"])
    (row,) = (row for row in rows if row[1] == "supervised")
    assert header[1:3] == ["level", "ER (points)"] and row[2].startswith(f"{wanted} ±")
    assert pages["own-missing"] == "" and "NOT the published set" in pages["own-accuracies"]

    companion(folder, "measure", "accuracy", "mini", "--record")
    checked = companion(folder, "check", "data/measurements/accuracy").splitlines()
    assert sum(line.startswith("mini-") and line.endswith(": sound") for line in checked) == 12
    (folder / "store").rename(folder / "elsewhere")
    again = results(folder, "own_accuracies mini")
    assert again["own-accuracies"] == pages["own-accuracies"]
    assert again["own-robustness"] == pages["own-robustness"]
