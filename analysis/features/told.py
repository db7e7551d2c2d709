"""What open_clip and timm tell of a network: its input, its width, and how it was trained.

Told from a network without weights, and from the names of weights that are published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import open_clip
import timm
from open_clip.pretrained import get_pretrained_cfg
from pydantic import ValidationError
from timm.data.config import resolve_model_data_config

from analysis.common import first_reason, suggestion
from analysis.families.registry import Level, Preprocessing
from analysis.features import networks
from analysis.features.preprocess import POCKET
from analysis.features.weights import ModelError

#: What a tag's first words say about the data: the book's names for them.
PRETRAINING = {
    "openai": "OpenAI WIT-400M", "laion400m": "LAION-400M", "laion2b": "LAION-2B",
    "laiona": "LAION-Aesthetic", "yfcc15m": "YFCC-15M", "cc12m": "CC-12M",
    "datacomp_xl": "DataComp-1B", "datacompxl": "DataComp-1B", "datacomp_l": "DataComp large",
    "datacomp_m": "DataComp medium", "datacomp_s": "DataComp small", "datacomp1b": "DataComp-1B",
    "commonpool": "CommonPool", "merged2b": "Merged-2B", "metaclip": "MetaCLIP", "webli": "WebLI",
    "dfn2b": "DFN-2B", "dfn5b": "DFN-5B", "in21k": "ImageNet-21k labels",
    "in22k": "ImageNet-22k labels", "in12k": "ImageNet-12k labels", "in1k": "ImageNet-1k labels",
}  # fmt: skip
NOT_STATED = "not stated"


class CheckpointError(ModelError):
    """No checkpoint goes by the name that was given; the message says which are near."""


def of_architecture(name: str) -> dict[str, Any]:
    """Describe an architecture without weights: the input is what its published weights take."""
    known = networks.open_clip_architectures()
    if name in known:
        fields = by_open_clip(name, name, usual_config(name))
        if (networks.ARCHITECTURES / f"{name}.json").is_file():
            size = fields["preprocessing"].size
            fields["preprocessing"] = POCKET.model_copy(update={"size": size})
        return {**fields, "architecture": name, "pretraining": NOT_STATED}
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise CheckpointError(
            f"neither open_clip nor timm has an architecture {name!r}: "
            f"{suggestion(name, [*known, *timm.list_models()])}."
        )
    if tag and name not in timm.list_pretrained(f"{base}*"):
        tags = timm.list_pretrained(f"{base}.*")
        raise CheckpointError(f"timm has no pretrained model {name!r}: {suggestion(name, tags)}.")
    fields = by_timm(name, networks.build(name, "timm", name, outline=True), tag)
    kept = {key: fields[key] for key in ("library", "architecture", "preprocessing", "width")}
    return {**kept, "pretraining": NOT_STATED}


def usual_config(name: str) -> Mapping[str, Any]:
    """What open_clip says of the first of an architecture's published weights, perhaps nothing."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    return get_pretrained_cfg(name, tags[0]) if tags else {}


def by_open_clip(text: str, name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What open_clip says of a network: its input, as ``config`` of its weights wants it, width."""
    net = networks.build(
        text, "open_clip", name, outline=True, force_preprocess_cfg=dict(config or {})
    )
    told = open_clip.get_model_preprocess_cfg(net)
    size = told["size"] if isinstance(told["size"], Sequence) else [told["size"]] * 2
    mode = {"shortest": "center"}.get(told["resize_mode"], told["resize_mode"])
    spec = preprocessing(text, size, 1.0, mode, told)
    width = networks.architecture(name)["embed_dim"]
    return {"library": "open_clip", "preprocessing": spec, "width": width}


def by_transformers(text: str, spec: Mapping[str, Any]) -> Preprocessing:
    """The input that a ``preprocessor_config.json`` of transformers' CLIP describes."""
    size, crop = spec.get("size", 224), spec.get("crop_size", 224)
    squash = isinstance(size, Mapping) and "height" in size
    resize = (
        size.get("height" if squash else "shortest_edge") if isinstance(size, Mapping) else size
    )
    cut = crop.get("height") if isinstance(crop, Mapping) else crop
    if not (isinstance(resize, int) and isinstance(cut, int) and cut <= resize):
        raise CheckpointError(
            f"{text} takes an input that this book does not know: {size}, {crop}."
        )
    told = {
        "mean": spec.get("image_mean", open_clip.OPENAI_DATASET_MEAN),
        "std": spec.get("image_std", open_clip.OPENAI_DATASET_STD),
        "interpolation": {2: "bilinear", 3: "bicubic"}.get(spec.get("resample", 3), "another"),
    }
    return preprocessing(text, [cut] * 2, cut / resize, "squash" if squash else "center", told)


def by_timm(text: str, net: Any, tag: str) -> dict[str, Any]:
    """What timm says of a network: its input, width, and how weights of a tag were trained."""
    told, config = resolve_model_data_config(net), net.pretrained_cfg
    classes = config.get("num_classes")
    tower = _is_clip_tower(config["architecture"], tag, classes)
    fields: dict[str, Any] = {
        "library": "timm",
        "architecture": config["architecture"],
        "pretraining": pretraining(tag),
        "preprocessing": preprocessing(
            text, told["input_size"][1:], told["crop_pct"], told["crop_mode"], told
        ),
        "width": int(getattr(net, "head_hidden_size", net.num_features)),
        "level": "zero_shot" if tower else _timm_level(tag, classes),
    }
    if tower:
        fields["note"] = "The image encoder of a CLIP model alone, before CLIP's projection."
    return fields | ({"head": "none"} if tower or not classes else {})


def _is_clip_tower(name: str, tag: str, classes: int | None) -> bool:
    """Whether a timm model is the image encoder of a CLIP model, which has no classifier."""
    clip = "clip" in name or "clip" in tag
    return clip and "_ft_in" not in tag and classes not in (None, 0, 1000)


def _timm_level(tag: str, classes: int | None) -> Level | None:
    if "_ft_in" in tag:
        return "finetuned"
    return "supervised" if classes else None


def preprocessing(
    text: str, size: Sequence[int], crop: float, mode: str, told: Mapping[str, Any]
) -> Preprocessing:
    """The input that a library tells of; CheckpointError for what the book cannot do.

    ``crop`` is the share of the resized edge that is kept, ``mode`` ``center`` or ``squash``.
    """
    if size[0] != size[1] or len(told["mean"]) != 3:
        raise CheckpointError(f"{text} takes images of {size} pixels: RGB squares are expected.")
    if mode not in ("center", "squash"):
        raise CheckpointError(
            f"{text} takes images that are padded ({mode}), which this book does not do."
        )
    resize = math.floor(size[0] / crop)
    fields = {
        "size": size[0], "resize": None if resize == size[0] else resize, "mean": told["mean"],
        "std": told["std"], "interpolation": told["interpolation"], "squash": mode == "squash",
    }  # fmt: skip
    try:
        return Preprocessing.model_validate(fields)
    except ValidationError as error:
        raise CheckpointError(
            f"{text} takes an input that this book does not know: {first_reason(error)}."
        ) from None


def pretraining(tag: str) -> str:
    """Return what a tag says about the data it was trained on first, else the tag itself."""
    plain = tag.lower().replace("-", "_")
    known = [(plain.find(key), -len(key), title) for key, title in PRETRAINING.items()]
    found = sorted(entry for entry in known if entry[0] >= 0)
    return found[0][2] if found else tag
