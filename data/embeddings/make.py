"""Enter features and heads that others published into the store, for the models they are of.

    python data/embeddings/make.py                # of all families
    python data/embeddings/make.py vit_b_16 rn50  # of these families

`data/embeddings.yaml` says which public file holds what, `data/artifacts.yaml` has its origin and
its checksum. From then on the features are treated as any others in the store: `companion measure
EXPERIMENT FAMILY` measures them.

A checksum shows that a file is the one that was meant, not that it is what it is said to be. So its
content is checked, too: its shape; the dominant coordinate, which all features of one model share;
and the accuracy of the model's published head where there are labels.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from analysis.base.roots import ROOT
from analysis.families.registry import Family, Model, load_families, load_family
from analysis.features import store
from analysis.images import imagenet
from companion.sources.public import artifact, fetch

TABLE = yaml.safe_load((ROOT / "data" / "embeddings.yaml").read_text(encoding="utf-8"))
LAYER = "embedding that image and text share (CLIP's output)"
WIDTHS = {model.name: model.width for family in load_families().values() for model in family.models}
NO_CHECKSUM = "embedded by others, who give no checksum of the weights that they loaded"
# Zero-shot heads classify 55 to 70 % of ImageNet's images correctly; a head of another model, or
# wrong labels, 0.1 %.
LEAST_ACCURACY = 0.5
# The length of a head's row may differ from 1 by what rounding to float16 makes.
ROUNDED = 2e-3

Entry = Mapping[str, Any]
Array = NDArray[Any]


def into_store(family: Family) -> None:
    """Enter all that is published of a family's models; SystemExit if a file is something else."""
    for model in family.models:
        heads, texts, embeddings = (
            [entry for entry in TABLE[kind] if entry["model"] == model.name]
            for kind in ("heads", "texts", "embeddings")
        )
        for entry in heads:
            write_published_head(entry, entry["data"], model)
        for entry in texts:
            rows = of_shape(array_of(entry), entry["texts"], entry, model)
            names = [f"{entry['data']}/{row}" for row in range(len(rows))]
            write_head(rows, names, entry["data"], model, sidecar_of(entry, model))
        for entry in embeddings:
            write_embeddings(entry, model)
            for head in heads:
                if head["data"] == entry.get("head"):
                    check_accuracy(entry, model, head)
                    write_published_head(head, entry["data"], model)


def write_embeddings(entry: Entry, model: Model) -> None:
    """Enter the features of images with labels, and their captions as a head."""
    features = of_shape(images_of(entry), entry["images"], entry, model)
    check_dominant_coordinate(entry, features)
    labels, classes = labels_of(entry)
    sidecar = sidecar_of(entry, model)
    if "captions" in entry or "head_part" in entry:
        write_head(captions_of(entry), classes, entry["data"], model, sidecar)
    sidecar["data"] |= {"classes": classes, "left_out": {}}
    keys = [f"{entry['data']}/{row}" for row in range(len(features))]
    path = store.features_path(model.name, entry["data"])
    store.write_features(path, features, labels, store.row_numbers(keys), sidecar=sidecar)


def write_published_head(entry: Entry, data: str, model: Model) -> None:
    """Enter a zero-shot head of ImageNet's classes as the one for a data set."""
    classes = imagenet.classes()
    rows = of_shape(array_of(entry), len(classes), entry, model)
    if np.abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max() > ROUNDED:
        raise SystemExit(f"{entry['artifact']} has rows whose length is not 1: normalise them.")
    write_head(rows, classes, data, model, sidecar_of(entry, model))


def write_head(
    rows: Array, classes: Sequence[str], data: str, model: Model, sidecar: Mapping[str, Any]
) -> None:
    """Write a head that reads features of length 1, in the type that it was published in.

    The rank of a head depends on its type.
    """
    head = store.Head(rows, tuple(classes), normalize=True)
    store.write_head(store.head_path(model.name, data), head, sidecar)


def images_of(entry: Entry) -> Array:
    """The images of an entry, each once, where its rows are pairs of an image and a caption."""
    array = array_of(entry)
    return array[pairs(entry).drop_duplicates("image_path").index] if "pairs" in entry else array


def captions_of(entry: Entry) -> Array:
    """The captions of images, one row for each class: a part of their file, or another file."""
    if "head_part" in entry:
        return read_array(entry["artifact"])[entry["head_part"]]
    captions = read_array(entry["captions"])
    return captions[pairs(entry)["label"] == "true"] if "pairs" in entry else captions


def pairs(entry: Entry) -> pd.DataFrame:
    """The image and the label of each row of a table of pairs."""
    return pd.read_csv(fetch(entry["pairs"]), dtype=str)


def labels_of(entry: Entry) -> tuple[NDArray[np.int64], list[str]]:
    """The class of each image (images,), −1 for none, and the names of the classes."""
    images, about = np.arange(entry["images"]), entry.get("labels", {})
    if "pairs" in entry:  # an image with a true caption is the only one of its class
        true = (pairs(entry).drop_duplicates("image_path")["label"] == "true").to_numpy()
        labels = np.where(true, np.cumsum(true) - 1, -1)
        return labels, [f"{entry['data']}/{row}" for row in range(true.sum())]
    if "captions" in entry or "head_part" in entry:  # each image is the only one of its class
        return images, [f"{entry['data']}/{row}" for row in images]
    if "per_class" in about:
        return images // about["per_class"], list(imagenet.classes())
    if not about:
        return np.full_like(images, -1), []
    numbers, names = read_array(about["file"]), about["names"]
    numbers = (numbers.argmax(axis=1) if numbers.ndim == 2 else numbers).astype(np.int64)
    if isinstance(names, list):
        return numbers, names
    if names not in label_files(entry):
        return numbers, [f"{names} {row}" for row in range(numbers.max() + 1)]
    words = [line.split()[0] for line in fetch(names).read_text(encoding="utf-8").splitlines()]
    classes = list(imagenet.classes())
    return np.array([classes.index(word) for word in words])[numbers], classes


def label_files(entry: Entry) -> list[str]:
    """The artefacts that labels, and the names of classes, are read from."""
    about = entry.get("labels", {})
    names = [about.get("file"), about.get("names")]
    return [name for name in names if isinstance(name, str) and "/" in name]


def array_of(entry: Entry) -> Array:
    """The array that an entry names, one row for each image or text."""
    if "raw" in entry:
        return raw_vectors(entry)
    array = read_array(entry["artifact"], entry.get("under"), entry.get("field"))
    array = array[entry["part"]] if "part" in entry else array
    array = array.T if entry.get("transposed") else array
    return array[:, 0] if array.ndim == 3 else array


def read_array(name: str, under: str | None = None, field: str | None = None) -> Array:
    """One array of a public file; nothing but plain arrays, tensors and JSON is opened.

    The rows may be a list, or the values of a dictionary, then in the order of its keys; `under`
    and `field` as in the table.
    """
    path = fetch(name)
    if path.suffix == ".npy":
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    if path.suffix == ".sqlite3":
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            held = database.execute("SELECT vector FROM embeddings_queue ORDER BY seq_id")
            return np.array([np.frombuffer(vector, dtype="<f4") for (vector,) in held])
    if path.suffix == ".json":
        content = json.loads(path.read_bytes())
    else:
        content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, torch.Tensor):
        return content.numpy()
    rows = content if under is None else content[under]
    rows = [rows[key] for key in sorted(rows)] if isinstance(rows, dict) else rows
    rows = rows if field is None else [row[field] for row in rows]
    return np.array([np.asarray(row, dtype=np.float32).ravel() for row in rows])


def raw_vectors(entry: Entry) -> Array:
    """The vectors in an index of a search engine, such as faiss or hnswlib: `raw` of the table."""
    skip, at, row = (entry["raw"].get(name, 0) for name in ("skip", "at", "row"))
    content = np.frombuffer(fetch(entry["artifact"]).read_bytes(), dtype=np.uint8)[skip:]
    rows = content.reshape(entry["images"], -1)
    width = WIDTHS[entry["model"]]
    if row not in (0, rows.shape[1]):
        raise SystemExit(
            f"{entry['artifact']} has rows of {rows.shape[1]} bytes, {row} are expected: correct "
            "its entry in data/embeddings.yaml."
        )
    return rows[:, at : at + 4 * width].copy().view("<f4")


def of_shape(array: Array, rows: int, entry: Entry, model: Model) -> Array:
    """The same array; SystemExit if it is not (rows, the model's width)."""
    if array.shape != (rows, model.width):
        raise SystemExit(
            f"{entry['artifact']} holds an array of shape {array.shape}, ({rows}, {model.width}) "
            "is expected: correct its entry in data/embeddings.yaml."
        )
    return array


def check_dominant_coordinate(entry: Entry, features: Array) -> None:
    """SystemExit if another coordinate has the largest |z| of most images than the model's has."""
    h = np.asarray(features, dtype=np.float64)
    largest = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)
    found = int(np.bincount(largest).argmax())
    expected = TABLE["leaders"].get(entry["model"], [found])
    if found not in expected and not entry["data"].endswith("captions"):
        raise SystemExit(
            f"in {entry['artifact']} coordinate {found} leads in most images, in other features of "
            f"{entry['model']} {' or '.join(map(str, expected))} does: it is of another model, or "
            "its entry in data/embeddings.yaml is wrong."
        )


def check_accuracy(entry: Entry, model: Model, head: Entry) -> None:
    """SystemExit if the model's published head does not recognise the images in the store."""
    images = store.read_features(store.features_path(model.name, entry["data"]))
    predicted = (images.features @ array_of(head).T).argmax(axis=1)
    right = float((predicted == images.labels).mean())
    if right < LEAST_ACCURACY:
        raise SystemExit(
            f"{head['artifact']} gives {100 * right:.1f} % of the images of {entry['artifact']} "
            f"their class, {100 * LEAST_ACCURACY:.0f} % at least are expected: labels, order or "
            "model are not as data/embeddings.yaml says."
        )


def sidecar_of(entry: Entry, model: Model) -> dict[str, Any]:
    """The store's note: whose model it is, and which public files the numbers are from."""
    files, known = [entry["artifact"], *label_files(entry)], entry.get("known")
    weights = f"{model.pretraining}, loaded" if model.level != "random" else "random weights, drawn"
    sidecar = {
        "model": store.describe(model, ""),
        "precision": "a precision that the authors do not state",
        "device": "the authors' (not stated)",
    }
    if "images" in entry:
        data = {"name": entry["data"], "what": entry["what"], "images": entry["images"]}
        sidecar["data"] = data
    return sidecar | {
        "origin": {
            "files": [{"name": name, "sha256": artifact(name).sha256} for name in files],
            "licence": artifact(entry["artifact"]).licence,
            "citation": artifact(entry["artifact"]).citation,
            "weights": f"{weights} by the authors",
            "weights_note": NO_CHECKSUM + (f"; the model is known from {known}" if known else ""),
            "inferred": f"inferred from {known}" if entry.get("inferred") else "",
            "layer": entry.get("layer", LAYER),
            "head": entry.get("head_what", "") if known else entry["what"],
        }
    }


if __name__ == "__main__":
    for name in sys.argv[1:] or load_families():
        into_store(load_family(name))
