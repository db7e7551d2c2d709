"""A reader's family from miniatures of the six data sets to its pages: numbers against loops.

The pictures are noise, so nobody is robust here; what is checked is that the numbers on the pages
are those of a literal computation from the features.
"""

import json
from pathlib import Path

import miniatures
import numpy as np
import pytest
from conftest import copy_checkout, run_in
from test_accuracy import COUNT, WIDTH, fill, imagenet_head, recognised
from tiny import model

from analysis.families.registry import Family, load_families
from analysis.features import store
from analysis.features.store import Head
from analysis.images import imagenet, sets
from companion.claims.evidence import gather
from companion.claims.ledger import load_claims
from companion.claims.rules import RULES
from companion.measurements import (
    accuracies,
    due,
    measures,
    records,
    take,
    views,
)
from companion.measurements.records import Measurement

torch = pytest.importorskip("torch", reason="extraction is not installed")
pytest.importorskip("open_clip")

from safetensors.torch import load_file, save_file  # noqa: E402

FAMILY = """name: mini
title: Mini
edition: reader
order: 1
backbone: The pocket lab's transformer, with ImageNet's classes.
models:
  - &clip
    name: mini-web
    level: zero_shot
    library: open_clip
    architecture: pocket-vit
    weights: data/pocket/checkpoints/pocket-vit-web-large.safetensors
    pretraining: Emoji captions
    width: 128
    head: zero_shot
    templates: ["a {}"]
    preprocessing:
      {size: 32, interpolation: box, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
  - <<: *clip
    name: mini-own
    level: supervised
    weights: mini-own.safetensors
    head: own
    templates: null
  - <<: *clip
    name: mini-random
    level: random
    weights: null
"""
DATA = (sets.IMAGENET, *sets.SHIFTS)


def make(folder: Path) -> Path:
    """A checkout with miniatures, features of the six data sets and the family `mini`."""
    copy_checkout(folder)
    miniatures.save_all(folder / "sets")
    (folder / "families/mini.yaml").write_text(FAMILY, encoding="utf-8")
    companion(folder, "extract", "mini", "--model", "mini-web", "mini-random", "--data", *DATA)
    save_own(folder)
    companion(folder, "extract", "mini", "--model", "mini-own", "--data", *DATA)
    return folder


def save_own(folder: Path) -> None:
    """A classifier on mini-web's tower that knows some pictures of every set: ridge regression."""
    h, rows = [], []
    for data in DATA:
        found = store.read_features(folder / "store/mini-web" / f"{data}.safetensors")
        several = imagenet.objectnet_to_imagenet()
        names = [several.get(name, (name,))[0] for name in found.classes]
        h.append(found.features.astype(np.float64))
        rows += [imagenet.classes().index(names[label]) for label in found.labels]
    x = np.concatenate(h)
    gram = x.T @ x
    weight = np.linalg.solve(gram + 1e-3 * np.trace(gram) * np.eye(128), x.T @ np.eye(1000)[rows])
    tower = load_file(folder / "data/pocket/checkpoints/pocket-vit-web-large.safetensors")
    tower = {name: value for name, value in tower.items() if name.startswith("visual.")}
    tower["head.weight"] = torch.from_numpy(np.ascontiguousarray(weight.T, np.float32))
    about = {"classes": json.dumps(imagenet.classes()), "normalize": "false"}
    save_file(tower, folder / "mini-own.safetensors", about | {"architecture": "pocket-vit"})


def companion(folder: Path, *words: str) -> str:
    accept = ["--accept-counts", "-q"] * (words[0] == "extract")
    done = run_in(folder, "companion.cli", *words, *accept)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def recorded(family: Family, model: str, data: str, top1: float, what: str = "") -> Measurement:
    """An accuracy as it would be recorded on the published set."""
    described = sets.descriptions()[data]
    used = described.used or described
    right = np.arange(used.images) < round(top1 * used.images)
    numbers = measures.accuracy(right, np.arange(used.images) % used.classes, used.classes)
    one = family.model(model)
    sidecar = {
        "model": store.describe(one, one.weights_sha256 or "0" * 64), "precision": "fp32",
        "dtype": "float32", "sha256": "1" * 64, "data": {"name": data},
        "origin": {"weights": f"those of {model}"},
    }  # fmt: skip
    return take.build(
        "accuracy", family.name, one, numbers,
        {"images": used.images, "components": one.width, "classes": used.classes},
        records.Data(name=data, what=f"{described.title}{what}"),
        take.provenance([sidecar], {"features": "1" * 64}, "made up"),
    )  # fmt: skip


# From measurements to views, without a project


FIVE = ("imagenet_v2", "imagenet_r", "imagenet_sketch", "objectnet", "imagenet_a")
TOPS = {
    "rn50-openai": (0.60, 0.53, 0.61, 0.35, 0.41, 0.23),
    "rn50-openai-finetuned": (0.75, 0.62, 0.48, 0.36, 0.33, 0.10),
    "rn50-supervised": (0.76, 0.63, 0.36, 0.24, 0.31, 0.01),
}


def all_recorded(family: Family, what: str = "") -> list[Measurement]:
    return [
        recorded(family, name, data, top1, what)
        for name, tops in TOPS.items()
        for data, top1 in zip(DATA, tops, strict=True)
    ]


def test_own_accuracies_are_a_view_of_their_own():
    families = load_families("paper")
    measured = all_recorded(families["rn50"])
    table = views.of_own_features(families, measured).set_index("name")
    assert list(table.index) == list(TOPS)
    for name, (inside, *shifts) in TOPS.items():
        row, mean = table.loc[name], sum(shifts) / 5
        line = 1 / (1 + np.exp(-(0.76 * np.log(inside / (1 - inside)) - 1.49)))
        # accuracies are whole images: at most half an image from the wanted fraction
        assert row["er"] == pytest.approx(mean - line, abs=1e-4)
        assert [row[shift] for shift in FIVE] == pytest.approx(shifts, abs=1e-4)
        assert (row["source"], row["evidence"]) == ("own features", "recorded")
    five, _ = views.of_family(families["rn50"], "matched_frequency", measured)
    own = five.models[five.models["source"] == accuracies.OWN]
    assert list(own["name"]) == list(TOPS)
    again = own["name"].isin(five.models.loc[five.models["source"] != accuracies.OWN, "name"])
    assert again.any() and len(views.once(five.models)) == len(five.models) - again.sum()
    zero = recorded(families["rn50"], "rn50-openai", "imagenet", 0.0)
    others = [m for m in measured if (m.model, m.data.name) != ("rn50-openai", "imagenet")]
    drawn = [recorded(families["rn50"], "rn50-random", data, 0.01) for data in DATA]
    left = views.of_own_features(families, [zero, *others[:-1], *drawn])
    assert list(left["name"]) == ["rn50-openai-finetuned"]  # one without a logit, one without A


def test_own_accuracies_complete_a_group_that_published_ones_leave_open(monkeypatch):
    families, claim = load_families("paper"), load_claims()["ER-order"]

    def judged(measured):
        monkeypatch.setattr(records, "available", lambda experiment, family, data=None: [
            m for m in measured if m.family == family.name
        ])  # fmt: skip
        return RULES["ER-order"](claim, gather("paper", experiments=("accuracy",)))

    before = judged([])
    assert (len(before.cases), before.measured, before.covered) == (28, 0, 48)
    assert before.count("holds", "stand-in") == 28
    assert (
        before.cases == judged(all_recorded(families["rn50"], f"; {imagenet.DIFFERS}: few")).cases
    )
    after = judged(all_recorded(families["rn50"]))
    # of RN50 with OpenAI's data a finetuned model that is no stand-in: one pair without the
    # supervised model, which is one; and that one's with zero-shot was known
    assert (len(after.cases), after.measured, after.outcome) == (30, 1, "undecided")
    assert after.of("own_pairs")["own"].value == after.of("own_pairs_in_order")["own"].value == 3
    turned = dict(zip(TOPS, reversed(TOPS.values()), strict=True))
    monkeypatch.setitem(globals(), "TOPS", turned)
    assert judged(all_recorded(families["rn50"])).outcome == "differs"


@pytest.mark.parametrize(
    ("family", "model", "source", "count"),
    [
        ("rn50", "rn50-openai", "open_clip", 6),
        ("vit_b_16", "vit_b_16-openai", "open_clip", 6),  # listed without -quickgelu
        ("vit_b_16", "vit_b_16-openai-finetuned", "timm", 5),
        ("vit_b_32", "vit_b_32-openai-finetuned", "timm", 5),  # not the 72 of model soups
        ("rn50", "rn50-supervised", "timm", 4),  # the testbed does not name its weights
        ("rn50", "rn50-openai-finetuned", None, 0),
    ],
)
def test_published_values_of_the_very_same_checkpoint(family, model, source, count):
    described = load_families("paper")[family].model(model)
    found = accuracies.of_checkpoint(accuracies.load(), described)
    assert len(found) == count and set(found["source"]) == ({source} if source else set())
    assert set(found["dataset"]) <= {*accuracies.CLASSES}
    if count == 6:
        table = accuracies.load()
        rows = table[(table["model"] == described.published[0].model)
                     & (table["weights"] == described.published[0].weights)]  # fmt: skip
        wanted = rows.set_index("dataset")["accuracy"]
        kept = found.set_index("dataset")["accuracy"]
        assert kept["objectnet"] == wanted["objectnet"]
        v2 = "imagenet_v2_matched_frequency"
        assert kept[v2] == wanted[v2]


def test_one_pruned_head_classifies_all_six_data_sets(tmp_path):
    described, head = model(width=WIDTH), imagenet_head()
    for seed, data in enumerate(DATA):
        fill(tmp_path, described, data, head, seed)
    family = Family.model_construct(name="mine", models=(described,))
    (job,) = due.jobs(family, tmp_path, ["pruning_under_shift"])
    assert job.data == "imagenet-and-shifts" and job.parts == DATA
    taken = take.measure(job, tmp_path)
    assert taken.data.what.startswith("imagenet, made up; imagenet-v2, made up; ")
    assert taken.counts == {"images": COUNT - 6, "components": WIDTH, "classes": 1000,
                            "shifted_images": 5 * (COUNT - 6)}  # fmt: skip
    found = measures.sweeps_of(taken)
    sweep = found["importance"]
    assert sweep.steps.tolist() == list(range(1, 25))
    left, values, vectors = np.linalg.svd(head.weight.astype(np.float64), full_matrices=False)
    stored = {
        data: store.read_features(store.features_path(described.name, data, tmp_path))
        for data in DATA
    }
    h = stored["imagenet"].features[stored["imagenet"].labels >= 0].astype(np.float64)
    cosines = np.abs(h @ vectors.T) / np.linalg.norm(h, axis=1, keepdims=True)
    order = np.argsort(-values / values.sum() * cosines.mean(axis=0))
    for keep in (5, 12, 24):
        kept, step = order[:keep], sweep.at(keep)
        smaller = Head((left[:, kept] * values[kept]) @ vectors[kept], head.classes, bias=head.bias)
        tops = []
        for one in stored.values():
            has = one.labels >= 0
            tops.append(recognised(one.features[has], one.labels[has], smaller, one.classes).mean())
        inside, mean = tops[0], np.mean(tops[1:])
        line = 1 / (1 + np.exp(-(0.76 * np.log(inside / (1 - inside)) - 1.49)))
        assert sweep.curves.inside[step] == pytest.approx(inside, rel=1e-5)
        assert sweep.curves.outside[step] == pytest.approx(mean, rel=1e-5)
        assert sweep.curves.robustness[step] == pytest.approx(mean - line, rel=1e-5)
        change = sweep.curves.robustness[step] - sweep.curves.robustness[-1]
        assert sweep.change.robustness[step] == pytest.approx(change, abs=1e-5)
        assert sweep.low.inside[step] < inside < sweep.high.inside[step]
    assert found["random"].change is None and found["random"].at(24) == 23
    assert (taken.value("robustness_importance")[1:] <= 1).all()
    store.head_path(described.name, "imagenet", tmp_path).unlink()
    assert due.jobs(family, tmp_path, ["pruning_under_shift"]) == []


# The whole way, and its pages

Weight = np.ndarray | None


def results(folder: Path, run: str) -> dict[str, str]:
    """What a run publishes, as plain text by name."""
    companion(folder, "run", *run.split(), "--output", "run.ipynb")
    notebook = json.loads((folder / "run.ipynb").read_text(encoding="utf-8"))
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", [])]
    return {
        o["metadata"]["companion"]["label"]: "".join(o["data"]["text/markdown"])
        for o in outputs
        if "text/markdown" in o.get("data", {})
    }


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| ").split(" |")] for line in table.split("\n")]


def literal_hits(folder: Path, name: str, data: str, weight: Weight = None) -> list[bool]:
    """Image by image: is the best of the classes that compete the image's own?"""
    found = store.read_features(folder / "store" / name / f"{data}.safetensors")
    head = store.read_head(folder / "store" / name / f"{data if weight is None else 'imagenet'}"
                           ".head.safetensors")  # fmt: skip
    weight = head.weight.astype(np.float64) if weight is None else weight
    several, hits = imagenet.objectnet_to_imagenet(), []
    own = [
        [head.classes.index(c) for c in ((one,) if one in head.classes else several[one])]
        for one in found.classes
    ]
    for h, label in zip(found.features.astype(np.float64), found.labels, strict=True):
        best = [max(float(weight[row] @ h) for row in rows) for rows in own]
        hits.append(int(np.argmax(best)) == label)
    return hits


@pytest.mark.slow
def test_a_readers_family_from_pictures_to_its_pages(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    monkeypatch.setenv("COMPANION_STORE", str(folder / "store"))
    monkeypatch.setenv("COMPANION_DATA", str(folder / "sets"))
    make(folder)
    pages = results(folder, "own_accuracies mini")
    shown = {(row[0].split(",")[0], row[1]): row for row in rows_of(pages["own-accuracies"])}
    titles = {"imagenet": "ImageNet", "imagenet-v2": "V2", "imagenet-r": "R",
              "imagenet-sketch": "Sketch", "objectnet": "ObjectNet", "imagenet-a": "A"}  # fmt: skip
    tops = {}
    for name, level in (("mini-web", "zero-shot"), ("mini-own", "supervised")):
        for data, title in titles.items():
            hits = literal_hits(folder, name, data)
            tops[name, data] = a = sum(hits) / len(hits)
            half = 196 * (a * (1 - a) / len(hits)) ** 0.5
            wanted = f"{100 * a:.1f}" + (f" ± {half:.1f}" if half else "")
            assert shown[level, title][2:] == [f"{len(hits):,}", wanted], (name, data)
    inside, *shifts = (tops["mini-own", data] for data in DATA)
    line = 1 / (1 + np.exp(-(0.76 * np.log(inside / (1 - inside)) - 1.49)))
    wanted = f"{100 * (np.mean(shifts) - line):+.1f}"
    header, _, row = rows_of(pages["own-robustness"])
    assert header[1] == "ER (points)" and row[1].startswith(f"{wanted} ±")
    assert "where no image of ImageNet is recognised" in pages["own-missing"]
    assert "NOT the published set" in pages["own-copies"]

    pruned = results(folder, "pruning_under_shift mini")
    table = [row for row in rows_of(pruned["kept"]) if row[0].startswith("supervised")]
    head = store.read_head(folder / "store/mini-own/imagenet.head.safetensors")
    found = store.read_features(folder / "store/mini-own/imagenet.safetensors")
    left, values, vectors = np.linalg.svd(head.weight.astype(np.float64), full_matrices=False)
    h = found.features.astype(np.float64)
    cosines = np.abs(h @ vectors.T) / np.linalg.norm(h, axis=1, keepdims=True)
    order = np.argsort(-values * cosines.mean(axis=0))
    assert [row[1] for row in table] == ["128", "64", "38", "26", "13"]
    for row in table[::2]:
        kept = order[: int(row[1])]
        smaller = (left[:, kept] * values[kept]) @ vectors[kept]
        top1, *shifted = (np.mean(literal_hits(folder, "mini-own", d, smaller)) for d in DATA)
        assert (row[2], row[4]) == (f"{100 * top1:.1f}", f"{100 * np.mean(shifted):.1f}")

    companion(folder, "measure", "accuracy", "mini", "--record")
    checked = companion(folder, "check", "data/measurements/accuracy").splitlines()
    assert sum(line.startswith("mini-") and line.endswith(": sound") for line in checked) == 18
    (folder / "store").rename(folder / "elsewhere")
    again = results(folder, "own_accuracies mini")
    assert again["own-accuracies"] == pages["own-accuracies"]
    assert again["own-robustness"] == pages["own-robustness"]

    family = load_families("paper")["rn50"]
    for one in all_recorded(family):
        records.write(one, folder / "data/measurements")
    cards = results(folder, "claims paper")
    assert "3 of the pairs are known from accuracies of this book's own" in cards["ER-order"]
    assert "1 of 16 zero-shot models run from" in cards["ER-range"]
    shown = results(folder, "measuring_robustness paper")
    assert shown["own-count"] == "3" and "| RN50 " in shown["own"]
