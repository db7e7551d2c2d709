"""The input that transformers' image processors describe, in a ``preprocessor_config.json``.

Which steps a processor takes, and what an integer ``size`` means to it, hangs on its type; types
that are not in `KINDS` are refused, and so is every step that is not done here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analysis.base.quoting import quoted
from analysis.families.registry import Preprocessing
from companion.checkpoints.lazily import open_clip
from companion.checkpoints.networks import CheckpointError, preprocessing


class Kind(NamedTuple):
    """Whether an integer ``size`` is that of both edges, and whether the centre is cut out."""

    squash: bool
    crops: bool


#: By the beginning of a type's name, as of ``ViTImageProcessor`` and ``ViTFeatureExtractor``.
KINDS = {
    "CLIP": Kind(squash=False, crops=True),
    "Bit": Kind(squash=False, crops=True),  # DINOv2's
    "ViT": Kind(squash=True, crops=False),  # DINO's, MAE's and Swin's
    "DeiT": Kind(squash=True, crops=True),
    "Beit": Kind(squash=True, crops=False),
    "Siglip": Kind(squash=True, crops=False),
}
TYPES = ("image_processor_type", "feature_extractor_type")
TYPE = re.compile(r"(\w+?)(?:ImageProcessor|FeatureExtractor)(?:Fast)?")
#: What every picture goes through here; what may be on or off.
STEPS, FREE = ("do_resize", "do_rescale", "do_normalize"), ("do_convert_rgb", "do_center_crop")
#: What would change pictures in another way.
OTHERS = ("crop_pct", "rescale_offset", "size_divisor", "include_top", "use_square_size")
FILTERS = {2: "bilinear", 3: "bicubic"}


def of_clip(text: str, spec: Mapping[str, Any]) -> Preprocessing:
    """The input of transformers' CLIP, which is OpenAI's where the file says nothing.

    Raises CheckpointError for one that this book does not know.
    """
    given = _given(spec)
    if not given.keys() & {*TYPES}:
        given[TYPES[0]] = "CLIPImageProcessor"
    named = next(str(given[key]) for key in TYPES if key in given)
    silent = {"size": 224, "crop_size": 224, "resample": 3}
    silent |= {"image_mean": open_clip.OPENAI_DATASET_MEAN}
    silent |= {"image_std": open_clip.OPENAI_DATASET_STD}
    return _described(text, (silent if named.startswith("CLIP") else {}) | given)


def next_to(text: str, file: Path) -> Preprocessing:
    """The input that a file next to weights states; CheckpointError if it does not, or not all."""
    where = f"the {file.name} next to {text}"
    try:
        given = _given(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _refusal(where, f"cannot be read ({type(error).__name__})") from None
    return _described(where, given)


def _given(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if value is not None}


def _described(text: str, spec: Mapping[str, Any]) -> Preprocessing:
    """What is stated, by the processor's type."""
    named = next((str(spec[key]) for key in TYPES if key in spec), "none")
    match = TYPE.fullmatch(named)
    kind = KINDS.get(match[1]) if match else None
    if kind is None:
        known = ", ".join(f"{name}ImageProcessor" for name in KINDS)
        raise _refusal(text, f"names the processor {quoted(named)}, known are {known}")
    crops = spec.get("do_center_crop", kind.crops)
    if lacks := {"size", "resample", "image_mean", "image_std"} - spec.keys():
        raise _refusal(text, f"does not say its {min(lacks)}")
    size, edge = spec["size"], _edge(spec["size"])
    squash = "height" in size if isinstance(size, Mapping) else kind.squash
    crop = _edge(spec.get("crop_size", 224)) if crops else edge
    on = (key for key, value in spec.items() if key.startswith("do_") and value is not False)
    refused = (
        *((key not in STEPS + FREE, key) for key in on),
        *((spec.get(key, True) is not True, key) for key in STEPS),
        *((bool(spec.get(key)), key) for key in OTHERS),
        (not crops and not squash, "do_center_crop"),
        (not _of_bytes(spec.get("rescale_factor", 1 / 255)), "rescale_factor"),
        (edge is None, "size"),
        (crop is None, "crop_size"),
    )
    for applies, key in refused:
        if applies:
            raise _refusal(text, f"has {key} {quoted(spec.get(key))}, which is not done here")
    assert crop is not None  # or it was refused
    values = {"mean": spec["image_mean"], "std": spec["image_std"]}
    resample = spec["resample"]
    values["interpolation"] = FILTERS.get(resample, "") if isinstance(resample, int) else ""
    return preprocessing(text, [crop], edge, "squash" if squash else "center", values)


def _edge(size: Any) -> int | None:
    """The pixels of an edge: a number, that of the shortest edge, or of two equal ones."""
    if isinstance(size, Mapping) and len(size) <= 2:
        edges = {size.get("shortest_edge")} if len(size) == 1 else {*map(str, size.values())}
        named = size.keys() in ({"shortest_edge"}, {"height", "width"})
        size = next(iter(size.values())) if named and len(edges) == 1 else None
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _of_bytes(factor: Any) -> bool:
    return isinstance(factor, float) and abs(255 * factor - 1) < 1e-3


def _refusal(text: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{text} {why}: put the weights into a folder without it, name the --architecture, and "
        "correct preprocessing in the family file."
    )
