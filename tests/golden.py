"""Made-up features, and what each experiment measures of them, from the store to the JSON.

    python tests/golden.py          write what is measured now to tests/golden/

What an experiment measures may change only with its `version` in data/quantities.yaml: else nothing
is written. The features pass the sampling limits of the code: 1,100 images of 160 components in
float16, a head with a bias, one of ImageNet's classes, texts, the pocket lab's emoji as a probe
with several kinds of concept, copies at graded distances, and one set of features of at least 0.
NumPy's frozen generator draws them, so that no file of features has to be kept.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from analysis.base.files import write_text
from analysis.families.registry import Model
from analysis.features import store
from analysis.images import imagenet
from companion.measurements import concept_probe, from_store, records
from companion.measurements.pending import CONCEPTS, SHIFTED, TOGETHER, Job
from companion.measurements.quantities import declared

KEPT = Path(__file__).with_name("golden")
IMAGES, COMPONENTS, CLASSES = 1100, 160, 10
#: Of an image that is nearly a copy, the share of its length that is noise: cosines 1 to 0.8.
GRADES = (0, 1e-3, 0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75)
MODEL = Model(
    name="golden",
    level="zero_shot",
    library="open_clip",
    architecture="pocket-cnn",
    weights="golden.safetensors",
    weights_sha256="a" * 64,
    pretraining="Made up",
    preprocessing={"size": 32, "interpolation": "box", "mean": [0.5] * 3, "std": [0.5] * 3},
    width=COMPONENTS,
)
#: What is measured: experiments by the images' name.
OF_IMAGES = {
    "golden": (
        *("outlier_features", "privileged_directions", "pruning", "accuracy", "basis"),
        *("interventions", "unread", "quantisation", "image_by_image"),
    ),
    "golden-positive": ("outlier_features", "image_by_image", "quantisation"),
    "imagenet-and-shifts": ("pruning_under_shift",),
    "pocket": ("pruning_under_shift", "concepts"),
    "textures": ("textures",),
}


def images(seed, count=IMAGES, classes=CLASSES):
    """Features (N, d) around their classes' centres, with an outlier, and labels (N,)."""
    drawn = np.random.RandomState(seed)
    labels = np.arange(count) % classes
    centres = drawn.normal(size=(classes, COMPONENTS))
    h = 0.4 * centres[labels] + 1.3 * drawn.normal(size=(count, COMPONENTS))
    h[:, 3] += 9
    for grade, share in enumerate(GRADES):
        first = slice(grade * 10, grade * 10 + 10)
        noise = drawn.normal(size=(10, COMPONENTS))
        noise *= share * np.linalg.norm(h[first], axis=1, keepdims=True) / COMPONENTS**0.5
        if count >= 2 * 10 * len(GRADES):
            place = slice(count - 10 - grade * 10, count - grade * 10)
            h[place], labels[place] = h[first] + noise, labels[first]
    return h.astype(np.float16), labels.astype(np.int64)


def fill():
    """Put all made-up features, heads and texts into the store that the environment names."""
    names = tuple(f"class {number}" for number in range(CLASSES))
    put("golden", *images(0), names)
    put_head("golden", names, seed=1, bias=True)
    put_head("texts_golden", tuple(f"text {number}" for number in range(300)), seed=2)
    h, labels = images(3, 400)
    labels[-1] = CLASSES
    put("golden-positive", np.maximum(h, 0), labels, (*names, "a class of one image"))
    thousand = imagenet.classes()
    for seed, data in enumerate(SHIFTED["imagenet-and-shifts"], 10):
        put(data, *images(seed, 1100, 100), thousand[:100])
        put_head(data, thousand, seed=4, centres=seed)
    fill_emoji()
    for seed, data in enumerate(CONCEPTS["textures"], 50):
        classes = tuple(f"{data.partition('_')[0]} {number}" for number in range(4))
        put(data, *images(seed, 160, 4), classes)
        put_head(data, classes, seed=5)


def fill_emoji():
    """The same of the pocket lab's test emoji, a set for each style, in the order of its images."""
    probe = concept_probe.pocket()
    drawn = np.random.RandomState(6)
    tags = np.asarray(probe.labels.todense(), dtype=float)
    meaning = drawn.normal(size=(tags.shape[1], COMPONENTS))
    h = tags @ meaning + 2 * drawn.normal(size=(len(tags), COMPONENTS))
    h[:, 3] += 9
    kinds = tuple(f"kind {number}" for number in range(CLASSES))
    for style, data in enumerate(probe.data):
        rows = np.flatnonzero(probe.places == style)
        labels = (h[rows] @ meaning[:CLASSES].T).argmax(axis=1)
        put(data, h[rows].astype(np.float16), labels, kinds, probe.numbers[rows])
        put_head(data, kinds, seed=7, bias=True, normalize=False)


def about(**more):
    return {
        "model": store.describe(MODEL, "a" * 64),
        "precision": "fp32",
        "device": "none",
        "layer": "made up",
        **more,
    }


def put(data, h, labels, classes, rows=None):
    """Write the features of one data set."""
    rows = store.row_numbers([f"{data} {row}" for row in range(len(h))]) if rows is None else rows
    described = {"name": data, "what": "made up", "classes": list(classes), "left_out": []}
    path = store.features_path(MODEL.name, data)
    store.write_features(path, h, labels, rows, sidecar=about(data=described))


def put_head(data, classes, seed, bias=False, centres=None, normalize=True):
    """Write a head; one of ImageNet's classes begins with rows that the images are near to."""
    drawn = np.random.RandomState(seed)
    weight = drawn.normal(size=(len(classes), COMPONENTS))
    weight[:, 3] += 0.5
    if centres is not None:
        near = np.random.RandomState(centres).normal(size=(100, COMPONENTS))
        weight[:100] += 0.7 * near
    if data == "golden":
        weight += 2 * np.random.RandomState(0).normal(size=weight.shape)  # the images' centres
    if data == "texts_golden":  # directions of less and less variance, for each limit on its share
        weight *= 10 ** (-np.arange(COMPONENTS) / 8)
    scales = drawn.normal(size=len(classes)).astype(np.float32) if bias else None
    head = store.Head(weight.astype(np.float32), tuple(classes), scales, normalize)
    store.write_head(store.head_path(MODEL.name, data), head, about(prompts="b" * 64))


def measured():
    """What is measured now: by experiment and images, version and numbers as the JSON has them."""
    found = {}
    for data, experiments in OF_IMAGES.items():
        for experiment in experiments:
            parts = TOGETHER.get(experiment, {}).get(data, (data,))
            job = Job(experiment, "golden", MODEL, data, parts)
            text = json.loads(records.to_text(from_store.measure(job)))
            kept = {name: text[name] for name in ("counts", "values", "names") if name in text}
            found[f"{experiment}--{data}"] = {"version": declared()[experiment].version, **kept}
    return found


def kept():
    """What is kept, by experiment and images."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))}


def differences(before, now):
    """Where numbers, counts or names of one measurement are others; a new quantity is none."""
    for field in ("counts", "names"):
        if before.get(field) != now.get(field):
            yield f"{field}: {before.get(field)} → {now.get(field)}"
    for name, old in before["values"].items():
        new = now["values"].get(name)
        if new is None or old["unit"] != new["unit"]:
            yield f"{name}: {old['unit']} → {new and new['unit']}"
            continue
        one, other = np.asarray(old["value"], float), np.asarray(new["value"], float)
        scale = np.sqrt(np.mean(np.square(one))) if one.size else 0
        if one.shape != other.shape:
            yield f"{name}: shape {one.shape} → {other.shape}"
        elif not np.allclose(one, other, rtol=1e-6, atol=1e-6 * scale):
            worst = np.abs(one - other).argmax()
            yield f"{name}: {one.flat[worst]:.7g} → {other.flat[worst]:.7g}"


def write(now):
    """Keep what is measured; ValueError names experiments whose version must be raised first."""
    before = kept()
    changed = {
        name.partition("--")[0]
        for name, numbers in now.items()
        if name in before
        and before[name]["version"] == numbers["version"]
        and any(differences(before[name], numbers))
    }
    if changed:
        raise ValueError(
            f"the numbers of {', '.join(sorted(changed))} changed: raise `version` of each in "
            "data/quantities.yaml, and take its recorded measurements again."
        )
    for path in KEPT.glob("*.json"):
        if path.stem not in now:
            path.unlink()
    for name, numbers in now.items():
        text = json.dumps(numbers, indent=1, ensure_ascii=False)
        write_text(KEPT / f"{name}.json", records.LIST.sub(records._wrapped, text) + "\n")


def main():
    """Measure in a store of its own, and keep it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMPANION_STORE"] = folder
        fill()
        try:
            write(measured())
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
