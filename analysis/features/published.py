"""Features and heads of CLIP models that others published, as entries of the store.

Which public file holds what is said here; where it comes from and its checksum are in
`data/artifacts.yaml`. Embeddings of single images and heads become features and heads of the
model they belong to, and then go through the same code as everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Family, Model
from analysis.features import store
from analysis.images.public import Artifact, ArtifactError, artifact, fetch

LAYER = "embedding that image and text share (CLIP's output)"
NO_CHECKSUM = "embedded by others, who give no checksum of the weights that they loaded"
DEVICE = "the authors' (not stated)"
PAIRS = "the first 500 {} of COCO val2017 as the authors listed them"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of single items: one part of an array, and the part that can serve as a head."""

    model: str
    data: str
    what: str
    artifact: str
    part: int
    head_part: int | None = None
    head: str = ""


@dataclass(frozen=True)
class PublishedHead:
    """A zero-shot head (classes, components); its rows are taken at length 1."""

    model: str
    data: str
    what: str
    artifact: str


CAPTIONS_AS_HEAD = "500 captions as classes, one per image; not the ImageNet head of the paper"
EMBEDDINGS = tuple(
    Embeddings(f"vit_b_16-{model}", f"coco_500_{data}", PAIRS.format(what), f"Modality-Gap/{file}",
               part, *head)
    for model, file in (("openai", "features_clip.npy"), ("random", "features_clip_random.npy"))
    for data, what, part, head in (
        ("images", "images", 0, (1, CAPTIONS_AS_HEAD)),
        ("captions", "images' captions, one of each image,", 1, ()),
    )
)  # fmt: skip
HEADS = (
    PublishedHead(
        "rn50-openai", "imagenet_80_templates",
        "ImageNet's 1,000 classes, 80 templates",
        "clip-beyond-tail/in1k_clip_rn50_wit400m_openai_template.pt",
    ),
    PublishedHead(
        "vit_b_32-openai", "imagenet_1_template",
        "ImageNet's 1,000 classes, one template (a …)",
        "clip-beyond-tail/in1k_clip_vitb32_wit400m_a+cname.pt",
    ),
    PublishedHead(
        "vit_b_32-laion400m", "imagenet_1_template",
        "ImageNet's 1,000 classes, one template (a …)",
        "clip-beyond-tail/in1k_openclip_vitb32_laion400m_a+cname.pt",
    ),
)  # fmt: skip


def into_store(family: Family, folder: Path | None = None) -> list[Path]:
    """Put the public embeddings and heads of a family's models into the store.

    What is there already and sound is kept. Returns the paths of all of them.
    """
    paths = []
    for model in family.models:
        for source in EMBEDDINGS:
            if source.model == model.name:
                paths += _embeddings_into_store(source, model, folder)
        for head in HEADS:
            if head.model == model.name:
                paths.append(_head_into_store(head, model, folder))
    return paths


def read_array(path: Path) -> NDArray[Any]:
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
    array: NDArray[Any] = found.detach().numpy()
    return array


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(
            f"{path.name} is damaged or not a plain array, so it is not opened ({reason}); fetch "
            "it again."
        ) from None
    return array


def _embeddings_into_store(source: Embeddings, model: Model, folder: Path | None) -> list[Path]:
    path = store.features_path(model.name, source.data, folder)
    head_path = store.head_path(model.name, source.data, folder)
    wanted = [path] if source.head_part is None else [path, head_path]
    if all(_is_from(target, source.artifact) for target in wanted):
        return wanted
    array = read_array(fetch(source.artifact))
    features = np.ascontiguousarray(array[source.part])
    keys = [f"{source.data}/{row}" for row in range(len(features))]
    rows = store.row_numbers(keys)
    has_head = source.head_part is not None
    labels = np.arange(len(features)) if has_head else np.full(len(features), -1)
    sidecar = _sidecar(source, model, artifact(source.artifact)) | {
        "data": {"name": source.data, "what": source.what, "images": len(features),
                 "classes": keys if has_head else [], "left_out": {}},
    }  # fmt: skip
    store.write_features(path, features, labels.astype(np.int64), rows, sidecar=sidecar)
    if source.head_part is not None:
        weight = np.ascontiguousarray(array[source.head_part])
        store.write_head(head_path, store.Head(weight, tuple(keys), normalize=True), sidecar)
    return wanted


def _head_into_store(source: PublishedHead, model: Model, folder: Path | None) -> Path:
    path = store.head_path(model.name, source.data, folder)
    if not _is_from(path, source.artifact):
        rows = np.asarray(read_array(fetch(source.artifact)), dtype=np.float64)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        head = store.Head(
            unit.astype(np.float32), tuple(map(str, range(len(unit)))), normalize=True
        )
        store.write_head(path, head, _sidecar(source, model, artifact(source.artifact)))
    return path


def _sidecar(source: Embeddings | PublishedHead, model: Model, origin: Artifact) -> dict[str, Any]:
    """What the store is told: whose model, and which public file the numbers are from."""
    return {
        "model": store.describe(model, ""),
        "precision": "a precision that the authors do not state",
        "device": DEVICE,
        "origin": {
            "files": [{"name": origin.name, "sha256": origin.sha256}],
            "licence": origin.licence,
            "citation": origin.citation,
            "weights": _weights(model),
            "weights_note": NO_CHECKSUM,
            "layer": LAYER,
            "head": source.head if isinstance(source, Embeddings) else source.what,
        },
    }


def _weights(model: Model) -> str:
    if model.level == "random":
        return "random weights, drawn by the authors"
    return f"{model.pretraining}, loaded by the authors"


def _is_from(path: Path, name: str) -> bool:
    """Whether the store's entry is sound and was made from the public file as it is known now."""
    try:
        sidecar = store.read(path)[1]
    except store.StoreError:
        return False
    files = sidecar.get("origin", {}).get("files", [])
    return bool(files == [{"name": name, "sha256": artifact(name).sha256}])
