"""Features and heads of models that others published, as entries of the store.

`data/embeddings.yaml` says which public file holds what; where it comes from and its checksum are
in `data/artifacts.yaml`. Features of single images and heads become features and heads of the model
they belong to, and then go through the same code as everything else.

A checksum shows that a file is the one that was meant, not that it is what it is said to be. So
each is looked at before it enters the store: its shape, the coordinate that leads, which is the
same in all features of one model, and the accuracy of the model's head where there are labels.
`check` looks at them where they are, when they have just been fetched.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from analysis.common import ROOT, Name, Strict, Text, checked, read_yaml
from analysis.families.registry import Family, Model, load_families
from analysis.features import store
from analysis.images import imagenet
from analysis.images.public import ArtifactError, artifact, fetch

TABLE = ROOT / "data" / "embeddings.yaml"
LAYER = "embedding that image and text share (CLIP's output)"
NO_CHECKSUM = "embedded by others, who give no checksum of the weights that they loaded"
DEVICE = "the authors' (not stated)"
LEAST_ACCURACY = 0.5
"""Zero-shot heads give 55 to 70 % of ImageNet's images their class, a head of another model or
wrong labels 0.1 %: half is far from both."""
TEXTS = "texts_"
"""What sets of texts are called in the store that are the classes of no data set."""
ROUNDED = 2e-3
"""How far from 1 the length of a head's row may be that was 1 before it was kept as float16."""

Array = NDArray[Any]


class Labels(Strict):
    """The class of each image: from a file, or so many of each of ImageNet's classes in order.

    ``names`` of the file's classes: an artefact with one a line, a list, or a word before a number.
    """

    per_class: PositiveInt | None = None
    file: Text | None = None
    names: tuple[Text, ...] | Text = ()


class _Source(Strict):
    """An array of numbers in a public file, and whose it is."""

    model: Name
    data: Name
    what: Text
    artifact: Text
    transposed: bool = False


class PublishedHead(_Source):
    """A zero-shot head of ImageNet's classes in their order, its rows at length 1."""


class PublishedTexts(_Source):
    """So many texts of a model, of any length: see `data/embeddings.yaml`."""

    texts: PositiveInt


class Embeddings(_Source):
    """Features of single images or captions that a public file holds: see `data/embeddings.yaml`.

    ``what`` says which images; ``views`` how many views of each were averaged; ``known`` how the
    model is known, and ``inferred`` that no source names it and no head of the model confirms it.
    """

    images: PositiveInt
    part: int | None = None
    views: PositiveInt = 1
    known: Text
    inferred: bool = False
    layer: Text = LAYER
    labels: Labels | None = None
    head: Name | None = None
    head_part: int | None = None
    captions: Text | None = None
    pairs: Text | None = None
    head_what: str = ""


class Table(Strict):
    """All of `data/embeddings.yaml`; ``leaders``: the coordinate that leads in most images."""

    leaders: dict[Name, tuple[int, ...]]
    heads: tuple[PublishedHead, ...]
    texts: tuple[PublishedTexts, ...]
    embeddings: tuple[Embeddings, ...]


@cache
def table(path: Path = TABLE) -> Table:
    """Read and check what the public files hold; ArtifactError, in one sentence, if it is wrong."""
    return checked(Table, read_yaml(path, ArtifactError), path.name, ArtifactError)


def files() -> list[str]:
    """Return the names of all artefacts that hold features, heads or labels."""
    found = [one.artifact for one in (*table().heads, *table().texts)]
    for one in table().embeddings:
        found += [one.artifact, *_label_files(one.labels)]
        found += [name for name in (one.captions, one.pairs) if name]
    return list(dict.fromkeys(found))


def into_store(family: Family, folder: Path | None = None) -> None:
    """Put the public features and heads of a family's models into the store.

    What is there already and sound is kept. Raises ArtifactError, in one sentence, for a file that
    cannot be had or is not what the table says.
    """
    for model in family.models:
        for head in table().heads:
            if head.model == model.name:
                _write_head(head, head.data, model, folder)
        for texts in table().texts:
            path = store.head_path(model.name, texts.data, folder)
            wanted = _sidecar(texts, model, [texts.artifact])
            if texts.model == model.name and not _is_there(path, wanted):
                names = tuple(f"{texts.data}/{row}" for row in range(texts.texts))
                store.write_head(path, store.Head(_texts(texts, model), names, None, True), wanted)
        for source in table().embeddings:
            if source.model == model.name:
                _embeddings_into_store(source, model, folder)


def check(names: Collection[str]) -> list[str]:
    """Look whether artefacts that are here hold what the table says; return those not looked into.

    Shape, leading coordinate and lengths of heads; the accuracy where head and labels are among
    ``names``, too. Nothing else is fetched. Raises ArtifactError, in one sentence, for the first
    that is something else. Files of PyTorch are left out where that is not installed.
    """
    closed = [
        n
        for n in names
        if Path(n).suffix in (".pt", ".pth") and importlib.util.find_spec("torch") is None
    ]
    models = {m.name: m for family in load_families().values() for m in family.models}
    here = {*names} - {*closed}
    heads = [head for head in table().heads if head.artifact in here]
    for head in heads:
        shape = _as_head(head).weight.shape
        if shape != (len(imagenet.classes()), models[head.model].width):
            raise ArtifactError(
                f"{head.artifact} holds a head of shape {shape}, {len(imagenet.classes())} classes "
                f"of {models[head.model].width} components are expected: correct its entry in "
                f"{TABLE.name}."
            )
    for texts in table().texts:
        if texts.artifact in here:
            _texts(texts, models[texts.model])
    for source in table().embeddings:
        if source.artifact in here and {source.pairs} - {None} <= here:
            labelled = {*_label_files(source.labels)} <= here
            own = _head_of(source) if labelled and _head_of(source) in heads else None
            labels = _labels(source)[0] if own else np.empty(0, dtype=np.int64)
            _check(source, _rows(source, models[source.model]), labels, own)
    return [name for name in closed if name in files()]


def read_array(path: Path) -> Array:
    """Open one array of a `.npy` or `.pt` file, mapped into memory where the format allows it.

    Nothing is unpickled but plain tensors. Raises ArtifactError for a file that is damaged, holds
    something else than one array, or would need more than that to be read.
    """
    if path.suffix == ".npy":
        return _read_npy(path)
    try:
        import torch
    except ModuleNotFoundError:
        raise ArtifactError(
            f"{path.name} is a torch file and torch is not installed: pip install -e '.[extract]'."
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, unpickling errors among them
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(
            f"{path.name} is damaged or holds more than plain tensors, so it is not opened "
            f"({reason}); fetch it again."
        ) from None
    if not isinstance(found, torch.Tensor):
        raise ArtifactError(f"{path.name} holds a {type(found).__name__}, expected one tensor.")
    array: Array = found.detach().numpy()
    return array


def _read_npy(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(
            f"{path.name} is damaged or not a plain array, so it is not opened ({reason}); fetch "
            "it again."
        ) from None
    return array


def _embeddings_into_store(source: Embeddings, model: Model, folder: Path | None) -> None:
    path = store.features_path(model.name, source.data, folder)
    head = _head_of(source)
    head_path = store.head_path(model.name, source.data, folder)
    wanted = _sidecar(source, model, [source.artifact, *_label_files(source.labels)])
    if not _is_there(path, wanted):
        features = _rows(source, model)
        labels, classes = _labels(source)
        _check(source, features, labels, head)
        keys = [f"{source.data}/{row}" for row in range(source.images)]
        about = wanted["data"] | {"classes": classes, "left_out": {}}
        store.write_features(
            path, features, labels, store.row_numbers(keys), sidecar=wanted | {"data": about}
        )
    if head is not None:
        _write_head(head, source.data, model, folder)
    elif (source.captions or source.head_part is not None) and not _is_there(head_path, wanted):
        weight = _captions(source)
        own = store.Head(weight, tuple(_labels(source)[1]), normalize=True)
        store.write_head(head_path, own, wanted)


def _captions(source: Embeddings) -> Array:
    """The captions of images, a row for each class: of a part, or of another file."""
    array = read_array(fetch(source.captions or source.artifact))
    if source.head_part is not None:
        array = array[source.head_part]
    if source.pairs:
        array = array[[row for row, (_, label) in enumerate(_pairs(source)) if label == "true"]]
    return np.ascontiguousarray(array)


def _pairs(source: Embeddings) -> list[tuple[str, str]]:
    """Of each row of a file of pairs the image, and whether the caption is a true one."""
    assert source.pairs is not None
    with fetch(source.pairs).open(encoding="utf-8", newline="") as file:
        return [(row["image_path"], row["label"]) for row in csv.DictReader(file)]


def _texts(source: PublishedTexts, model: Model) -> Array:
    """Texts (n, components) as they were published; ArtifactError for another shape."""
    array = read_array(fetch(source.artifact))
    array = np.ascontiguousarray(array.T if source.transposed else array)
    if array.shape != (source.texts, model.width):
        raise ArtifactError(
            f"{source.artifact} holds an array of shape {array.shape} where {source.texts} texts "
            f"of {model.width} components are expected: correct its entry in {TABLE.name}."
        )
    return array


def _write_head(source: PublishedHead, data: str, model: Model, folder: Path | None) -> None:
    path = store.head_path(model.name, data, folder)
    wanted = _sidecar(source, model, [source.artifact])
    if not _is_there(path, wanted):
        store.write_head(path, _as_head(source), wanted)


def _as_head(source: PublishedHead) -> store.Head:
    """A head as it was published, in the type that it has there: its rank depends on that."""
    array = read_array(fetch(source.artifact))
    rows = np.ascontiguousarray(array.T if source.transposed else array)
    if np.abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max() > ROUNDED:
        raise ArtifactError(
            f"{source.artifact} holds rows whose length is not 1, as a zero-shot head's is: "
            f"normalise them before it is listed in {TABLE.name}."
        )
    return store.Head(rows, imagenet.classes(), normalize=True)


def _head_of(source: Embeddings) -> PublishedHead | None:
    for head in table().heads:
        if (head.model, head.data) == (source.model, source.head):
            return head
    return None


def _rows(source: Embeddings, model: Model) -> Array:
    """The features (images, components) that a file holds; ArtifactError for another shape."""
    array = read_array(fetch(source.artifact))
    array = array if source.part is None else array[source.part]
    array = array.T if source.transposed else array
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if source.pairs:  # each image once
        images = [image for image, _ in _pairs(source)]
        array = array[[images.index(image) for image in dict.fromkeys(images)]]
    if array.shape != (source.images, model.width):
        raise ArtifactError(
            f"{source.artifact} holds an array of shape {array.shape} where {source.images} images "
            f"of {model.width} components are expected: correct its entry in {TABLE.name}."
        )
    return np.ascontiguousarray(array)


def _labels(source: Embeddings) -> tuple[NDArray[np.int64], list[str]]:
    """The class of each image (images,), −1 for none, and the names of the classes."""
    about = source.labels
    if source.pairs:  # each image with a true caption is the only one of its class
        said: dict[str, str] = {}
        for image, label in _pairs(source):
            said.setdefault(image, label)
        true = np.array([label == "true" for label in said.values()])
        names = [f"{source.data}/{row}" for row in range(int(true.sum()))]
        return np.where(true, np.cumsum(true) - 1, -1), names
    if source.captions or source.head_part is not None:  # the only one of its class
        rows = np.arange(source.images)
        return rows, [f"{source.data}/{row}" for row in rows]
    if about is None:
        return np.full(source.images, -1, dtype=np.int64), []
    if about.per_class is not None:
        return np.arange(source.images) // about.per_class, list(imagenet.classes())
    assert about.file is not None
    found = read_array(fetch(about.file))
    numbers = (found.argmax(axis=1) if found.ndim == 2 else found).astype(np.int64)
    if isinstance(about.names, tuple):
        return numbers, list(about.names)
    if about.names not in files():
        return numbers, [f"{about.names} {row}" for row in range(int(numbers.max()) + 1)]
    lines = fetch(about.names).read_text(encoding="utf-8").splitlines()
    index = {name: row for row, name in enumerate(imagenet.classes())}
    named = np.array([index[line.split()[0]] for line in lines if line.strip()])
    return named[numbers], list(index)


def _label_files(about: Labels | None) -> list[str]:
    """The artefacts that labels are read from."""
    if about is None or about.file is None:
        return []
    listed = isinstance(about.names, str) and "/" in about.names
    return [about.file, str(about.names)] if listed else [about.file]


def _check(
    source: Embeddings, features: Array, labels: NDArray[np.int64], head: PublishedHead | None
) -> None:
    """Raise ArtifactError, in one sentence, if features are not those of the model named."""
    expected = table().leaders.get(source.model)
    leader = _leader(features)
    if expected and not source.data.endswith("captions") and leader not in expected:
        raise ArtifactError(
            f"in {source.artifact} coordinate {leader} leads in most images, in other features of "
            f"{source.model} {' or '.join(map(str, expected))} does: it is of another model, or "
            f"its entry in {TABLE.name} is wrong."
        )
    if head is None:
        return
    right = float((_as_head(head).logits(features).argmax(axis=1) == labels).mean())
    if right < LEAST_ACCURACY:
        raise ArtifactError(
            f"{head.artifact} gives {100 * right:.1f} % of the images of {source.artifact} their "
            f"class, {100 * LEAST_ACCURACY:.0f} % at least are expected: labels, order or model "
            f"are not as {TABLE.name} says."
        )


def _leader(features: Array) -> int:
    """The coordinate that has the largest |z| of its image most often."""
    h = np.asarray(features, dtype=np.float64)
    return int(np.bincount(np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)).argmax())


def _sidecar(source: _Source, model: Model, names: list[str]) -> dict[str, Any]:
    """What the store is told: whose model, and which public files the numbers are from."""
    origin = artifact(names[0])
    told: dict[str, Any] = {
        "model": store.describe(model, ""),
        "precision": "a precision that the authors do not state",
        "device": DEVICE,
    }
    about = {
        "files": [{"name": name, "sha256": artifact(name).sha256} for name in names],
        "licence": origin.licence,
        "citation": origin.citation,
        "weights": _weights(model),
        "weights_note": NO_CHECKSUM,
        "inferred": "",
        "layer": LAYER,
        "head": source.what,
    }
    if isinstance(source, Embeddings):
        note = f"{NO_CHECKSUM}; the model is known from {source.known}"
        inferred = f"inferred from {source.known}" if source.inferred else ""
        about |= {"weights_note": note, "inferred": inferred, "layer": source.layer,
                  "head": source.head_what}  # fmt: skip
        told["data"] = {"name": source.data, "what": source.what, "images": source.images}
    return told | {"origin": about}


def _weights(model: Model) -> str:
    if model.level == "random":
        return "random weights, drawn by the authors"
    return f"{model.pretraining}, loaded by the authors"


def _is_there(path: Path, wanted: dict[str, Any]) -> bool:
    """Whether the store's entry is sound and was made from the public files as the table is now."""
    try:
        sidecar = store.read(path)[1]
    except store.StoreError:
        return False
    data = {name: sidecar.get("data", {}).get(name) for name in wanted.get("data", {})}
    return bool(sidecar.get("origin") == wanted["origin"] and data == wanted.get("data", {}))
