"""Features and heads of CLIP models that others published, as entries of the store.

Which public file holds what is said here; where it comes from and its checksum are in
`data/artifacts.yaml`. Embeddings of single images and heads become features and heads of the
model they belong to, and then go through the same code as everything else. A mean embedding is
not a set of images and does not enter the store: what it allows is measured from it directly.
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
from companion.measurements import measures, records, take
from companion.measurements.quantities import Experiment
from companion.measurements.records import (
    Data,
    Measurement,
    Origin,
    Provenance,
    today,
)

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


@dataclass(frozen=True)
class Moments:
    """A mean embedding, and the whitening matrix that holds the covariance if there is one."""

    model: str
    data: str
    what: str
    mean: str
    whitening: str = ""


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
MOMENTS = (
    Moments("rn50-openai", "coco_mean", "mean over COCO images", "SpLiCE/clip_RN50_image.pt"),
    Moments("vit_b_32-openai", "coco_mean", "mean over COCO images",
            "SpLiCE/clip_ViT-B-32_image.pt"),
    Moments("vit_b_32-laion2b", "coco_mean", "mean over COCO images",
            "SpLiCE/open_clip_ViT-B-32_image.pt"),
    Moments("vit_b_16-openai", "coco_mean", "mean over COCO images",
            "SpLiCE/clip_ViT-B-16_image.pt"),
    Moments("vit_l_14-openai", "coco_mean", "mean and covariance over COCO images",
            "W_CLIP/mean_image_L14.pt", "W_CLIP/w_mat_image_L14.pt"),
)  # fmt: skip


def measure_family(
    experiment: Experiment, family: Family, folder: Path | None = None
) -> list[Measurement]:
    """Take all measurements of an experiment that public files, or the store, allow for a family.

    Fetches what is missing. Raises ArtifactError or StoreError.
    """
    into_store(family, folder)
    found = take.of_family(experiment, family, folder)
    names = {model.name: model for model in family.models}
    moments = {m.model: m for m in MOMENTS if m.model in names}
    if experiment == "outlier_features":
        found += [_of_moments(family, names[m.model], m) for m in moments.values()]
    if experiment == "privileged_directions":
        found += [
            _of_head(family, names[head.model], head, moments.get(head.model), folder)
            for head in HEADS
            if head.model in names
        ]
    return sorted(found, key=lambda m: m.file_name)


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


def covariance(whitening: NDArray[Any]) -> NDArray[np.float64]:
    """Covariance C of embeddings x from the matrix W that whitens them as (x − mean) W.

    W's columns are eigenvectors of C over the square roots of their eigenvalues, so
    C = (W Wᵀ)⁻¹. Raises ValueError unless Wᵀ W is diagonal to 5 % of its largest entry, as it
    then must be.
    """
    matrix = np.asarray(whitening, dtype=np.float64)
    gram = matrix.T @ matrix
    diagonal = np.diag(gram)
    if np.abs(gram - np.diag(diagonal)).max() > 0.05 * diagonal.max():
        raise ValueError(
            "the columns of the whitening matrix are not orthogonal, so it does not have the form "
            "eigenvectors over square roots of eigenvalues; transpose it if the rows are."
        )
    inverse: NDArray[np.float64] = np.linalg.inv(matrix @ matrix.T).astype(np.float64)
    return inverse


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


def _of_moments(family: Family, model: Model, source: Moments) -> Measurement:
    mean = read_array(fetch(source.mean))
    numbers = measures.outlier_features_of_mean(mean)
    if source.whitening:
        matrix = covariance(read_array(fetch(source.whitening)))
        numbers = measures.outlier_features_of_moments(mean, matrix)
    return take.build(
        "outlier_features",
        "mean_and_covariance" if source.whitening else "mean_embedding",
        family.name, model, numbers, {"components": len(mean)},
        data=Data(name=source.data, what=source.what),
        provenance=_provenance(
            "outlier_features", model, [source.mean, *filter(None, [source.whitening])], mean
        ),
    )  # fmt: skip


def _of_head(
    family: Family, model: Model, source: PublishedHead, moments: Moments | None,
    folder: Path | None,
) -> Measurement:  # fmt: skip
    head = store.read_head(store.head_path(model.name, source.data, folder), model)
    files = [source.artifact]
    what = f"no images; head of {source.what}"
    numbers = measures.privileged_directions_of_head(head.weight)
    if moments:
        mean = read_array(fetch(moments.mean))
        numbers = measures.privileged_directions_of_mean(head.weight, mean)
        files.append(moments.mean)
        what = moments.what
    return take.build(
        "privileged_directions",
        "head_and_mean" if moments else "head",
        family.name, model, numbers,
        {"classes": len(head.classes), "components": head.weight.shape[1]},
        data=Data(name=source.data, what=what),
        provenance=_provenance(
            "privileged_directions", model, files, head.weight,
            f"zero-shot head of {source.what}, rows at length 1",
        ),
    )  # fmt: skip


def _provenance(
    experiment: Experiment, model: Model, files: list[str], array: NDArray[Any], head: str = ""
) -> Provenance:
    return Provenance(
        weights=_weights(model),
        weights_sha256=None,
        weights_note=NO_CHECKSUM,
        origins=[Origin(name=name, sha256=artifact(name).sha256) for name in files],
        layer=LAYER,
        head=head,
        version=records.version(),
        made_from={name: artifact(name).sha256 for name in files}
        | dict(records.code_parts(experiment)),
        libraries=take.libraries(),
        device=DEVICE,
        precision=f"kept as {array.dtype}; measured in float64",
        taken=today(),
    )
