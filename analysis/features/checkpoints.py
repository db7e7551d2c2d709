"""What a user types about a checkpoint, turned into a model's description.

`find` knows five kinds of names: a model of the book, open_clip's ``ARCHITECTURE/TAG``, a
repository of the Hugging Face hub (``hf-hub:org/name``), a timm model, and a local file. What the
libraries know about it (input, width, how it was trained) is filled in; nothing is loaded yet:
`models.load` does that and checks that all of it is true.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import open_clip
import timm
from open_clip.pretrained import get_pretrained_cfg
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from analysis.common import ROOT, suggestion
from analysis.families import registry
from analysis.families.registry import (
    HUB,
    WEIGHT_FILES,
    HeadKind,
    Level,
    Model,
    Preprocessing,
    PublishedKey,
    is_file_name,
)
from analysis.features import encoders
from analysis.features.encoders import ModelError
from analysis.features.preprocess import POCKET

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


def find(
    text: str,
    *,
    architecture: str | None = None,
    name: str | None = None,
    level: Level | None = None,
    head: HeadKind | None = None,
    pretraining: str | None = None,
    assumed_level: Level | None = None,
) -> Model:
    """Describe the checkpoint that ``text`` names.

    ``architecture`` is needed for a local file that does not say its own, and decides where a hub's
    repository leaves it open. ``name``, ``level``, ``head`` and ``pretraining`` go before what is
    found or guessed, ``assumed_level`` only where nothing is. The text ``random`` is an
    architecture with weights as they are drawn before any training. Raises CheckpointError when
    there is no such checkpoint, ModelError when the hub cannot be reached or a file cannot be read.
    """
    text = text.strip()
    if not text:
        raise CheckpointError("the checkpoint's name is empty: give a tag, a model or a file.")
    fields = _found(text, architecture)
    given = {"name": name, "level": level, "head": head, "pretraining": pretraining}
    fields |= {key: value for key, value in given.items() if value is not None}
    fields["level"] = fields.get("level") or assumed_level
    if fields["level"] is None:
        raise CheckpointError(
            f"{text} does not say how it was trained: give --level, one of "
            f"{', '.join(registry.LEVELS[:-1])}."
        )
    fields.setdefault("name", default_name(text))
    try:
        return Model.model_validate(fields)
    except ValidationError as error:
        raise CheckpointError(f"{text}: {registry.first_reason(error)}.") from None


def default_name(text: str) -> str:
    """Return a name for a checkpoint that was given none: its own, as a name of the registry.

    >>> default_name("ViT-B-32-quickgelu/openai")
    'vit-b-32-quickgelu-openai'
    """
    short = text.removeprefix(HUB).partition("@")[0]
    if is_file_name(text) and text.endswith(WEIGHT_FILES):
        short = Path(re.split(r"[/\\]", text)[-1]).stem
    slug = re.sub(r"[^a-z0-9_.]+", "-", short.lower()).strip("-._")
    return slug if slug[:1].isascii() and slug[:1].isalpha() else f"model-{slug}".strip("-")


def _found(text: str, architecture: str | None) -> dict[str, Any]:
    """Return the fields of the description, by the kind of name that ``text`` is."""
    if text == "random":
        return _random(architecture)
    if _is_file(text):
        return _of_file(text, architecture)
    known = {m.name: m for f in registry.load_families().values() for m in f.models}
    if text in known:
        return _fields(known[text])
    if text.startswith(HUB):
        return _of_hub(text, architecture)
    if "/" in text:
        return _of_open_clip(text)
    return _of_timm(text, known)


def _fields(model: Model) -> dict[str, Any]:
    return model.model_dump(exclude_defaults=True)


def _is_file(text: str) -> bool:
    return (
        text.endswith(WEIGHT_FILES)
        or "\\" in text
        or (not text.startswith(HUB) and Path(text).expanduser().exists())
    )


def _random(architecture: str | None) -> dict[str, Any]:
    if architecture is None:
        raise CheckpointError("random weights are of an architecture: name it with --architecture.")
    library, name, tag = _known_architecture(architecture)
    fields = _of_architecture(library, name, tag)
    return {**fields, "level": "random", "pretraining": "none"}


def _of_open_clip(text: str) -> dict[str, Any]:
    """Describe open_clip's ``ARCHITECTURE/TAG``."""
    name, _, tag = text.rpartition("/")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        known = sorted({architecture for architecture, _ in open_clip.list_pretrained()})
        raise CheckpointError(
            f"open_clip has weights for no architecture {name!r} ({text} was read as "
            f"ARCHITECTURE/TAG): {suggestion(name, known)}; a repository of the Hugging Face hub "
            f"is written {HUB}{text}."
        )
    config = get_pretrained_cfg(name, tag)
    if not config:
        raise CheckpointError(
            f"open_clip has no weights {tag!r} for {name}: {suggestion(tag, tags)}."
        )
    tag = _as_listed(tag, tags)
    _check_activation(name, tag, config)
    return {
        "level": "zero_shot",
        "library": "open_clip",
        "architecture": name,
        "weights": tag,
        "pretraining": _pretraining(tag),
        "preprocessing": _of_open_clip_config(text, config, _image_size(name)),
        "width": encoders.architecture(name)["embed_dim"],
        "published": _published("open_clip", name, tag),
    }


def _as_listed(tag: str, tags: Iterable[str]) -> str:
    """Return a tag as open_clip lists it, which takes ``-`` for ``_`` and capitals."""
    plain = tag.lower().replace("-", "_")
    return next((t for t in tags if t.lower().replace("-", "_") == plain), tag)


def _check_activation(name: str, tag: str, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the architecture has another activation than the weights need."""
    wanted = bool(config.get("quick_gelu", False))
    if wanted == bool(encoders.architecture(name).get("quick_gelu", False)):
        return
    other = name.removesuffix("-quickgelu") if not wanted else f"{name}-quickgelu"
    raise CheckpointError(
        f"the weights {tag} were trained with {'QuickGELU' if wanted else 'GELU'}, which {name} "
        f"does not use: give {other}/{tag}."
    )


def _of_hub(text: str, architecture: str | None) -> dict[str, Any]:
    """Describe a repository of the hub by its configuration: open_clip's or timm's."""
    repository = text.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", repository):
        raise CheckpointError(
            f"{text} is not the name of a repository: {HUB}ORGANISATION/NAME is expected, with "
            "@REVISION or without."
        )
    path = encoders.from_hub(text, repository, ["open_clip_config.json", "config.json"])
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path.name} of {text} is not readable as JSON: get it again.")
    weights = HUB + _with_revision(repository, path)
    if path.name == "open_clip_config.json":
        return _of_open_clip_repository(text, weights, config, architecture)
    return _of_timm_repository(text, weights, config)


def _with_revision(repository: str, path: Path) -> str:
    """Return the repository with the revision that the hub's cache has in a file's path."""
    found = re.search(r"snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
    return f"{repository.partition('@')[0]}@{found[1]}" if found else repository


def _of_open_clip_repository(
    text: str, weights: str, config: Mapping[str, Any], architecture: str | None
) -> dict[str, Any]:
    own = config.get("model_cfg", config)
    name = architecture or _architecture_like(text, own)
    library, name, _ = _known_architecture(name)
    if library != "open_clip":
        raise CheckpointError(
            f"{text} is a repository of open_clip, but {name} is an architecture of timm: give one "
            "of open_clip's."
        )
    return {
        "level": "zero_shot",
        "library": "open_clip",
        "architecture": name,
        "weights": weights,
        "pretraining": NOT_STATED,
        "preprocessing": _of_open_clip_config(
            text, config.get("preprocess_cfg", {}), _image_size(name)
        ),
        "width": encoders.architecture(name)["embed_dim"],
    }


def _architecture_like(text: str, config: Mapping[str, Any]) -> str:
    """Return the architecture of open_clip's that has the very configuration of a repository."""
    repository = text.removeprefix(HUB).partition("@")[0]
    for name, tag in open_clip.list_pretrained():
        if (get_pretrained_cfg(name, tag).get("hf_hub") or "").startswith(f"{repository}/"):
            return str(name)
    wanted = _comparable(config)
    for name in encoders.open_clip_architectures():
        if _comparable(encoders.architecture(name)) == wanted:
            return name
    raise CheckpointError(
        f"{text} is of an architecture that open_clip does not list (width "
        f"{config.get('embed_dim')}): name the one that it equals with --architecture."
    )


def _comparable(config: Mapping[str, Any]) -> str:
    """Return a configuration without what is left at its default or names files of others."""

    def kept(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        skip = ("hf_tokenizer_name", "hf_model_pretrained", "timm_model_pretrained")
        return {
            k: kept(v) for k, v in value.items() if k not in skip and v not in (None, False, {})
        }

    return json.dumps(kept(config), sort_keys=True)


def _of_timm_repository(text: str, weights: str, config: Mapping[str, Any]) -> dict[str, Any]:
    name = config.get("architecture")
    if not isinstance(name, str):
        kind = config.get("model_type")
        raise CheckpointError(
            f"{text} is neither a repository of open_clip nor of timm"
            + (f", but of transformers ({kind})" if kind else "")
            + ": one with open_clip_config.json, or with timm's config.json, is expected."
        )
    if config.get("model_args"):
        raise CheckpointError(
            f"{text} is {name} with arguments of its own ({', '.join(config['model_args'])}), "
            "which a family file cannot say: give a repository of a plain architecture."
        )
    if not timm.is_model(name):
        raise CheckpointError(
            f"timm has no architecture {name!r}, of which {text} is: update timm."
        )
    own = {**config, **config.get("pretrained_cfg", {})}
    tag = str(own.get("tag") or weights.partition("@")[0].rpartition(".")[2])
    return _of_timm_config(text, name, weights, tag, own)


def _of_timm(text: str, known: Iterable[str]) -> dict[str, Any]:
    """Describe a pretrained model of timm, ``ARCHITECTURE.TAG`` or an architecture alone."""
    name, _, tag = text.partition(".")
    config = _timm_config(text)
    full = f"{name}.{config.get('tag')}" if config and not tag else text
    listed = timm.list_pretrained(f"{name}*")
    if full not in listed:
        of_it = [n for n in listed if n.startswith(f"{name}.")]
        names = of_it or [*known, *timm.list_pretrained()]
        raise CheckpointError(
            f"there is no checkpoint {text!r}, neither as a model of the book, nor of timm, nor as "
            f"a file: {suggestion(text, names)}; open_clip's are written ARCHITECTURE/TAG, "
            f"repositories {HUB}ORGANISATION/NAME."
        )
    tag = str(config["tag"])
    fields = _of_timm_config(text, name, tag, tag, config)
    return {**fields, "published": _published("timm", name, tag)}


def _timm_config(name: str) -> dict[str, Any]:
    """What timm notes about a model's published weights; empty if there is no such model."""
    if not timm.is_model(name.partition(".")[0]):
        return {}
    try:
        config: Any = timm.get_pretrained_cfg(name)
    except RuntimeError:  # there is no such tag
        return {}
    return dict(config.to_dict()) if config else {}


def _of_timm_config(
    text: str, name: str, weights: str, tag: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    classes = config.get("num_classes")
    tower = _is_clip_tower(name, tag, classes)
    fields: dict[str, Any] = {
        "library": "timm",
        "architecture": name,
        "weights": weights,
        "pretraining": _pretraining(tag),
        "preprocessing": _of_timm_input(text, config),
        "width": timm_width(name),
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


def timm_width(name: str) -> int:
    """Return how many components the features before a timm model's classifier have."""
    net = encoders.built(f"timm cannot build {name!r}", lambda: timm.create_model(name))
    return int(getattr(net, "head_hidden_size", net.num_features))


def _of_file(text: str, architecture: str | None) -> dict[str, Any]:
    """Describe a local file: by its architecture, and by which tensors it holds."""
    path = _path_of(text)
    if path.is_dir():
        raise CheckpointError(
            f"{text} is a folder: give the file of weights in it ({', '.join(WEIGHT_FILES)})."
        )
    if not path.is_file():
        raise CheckpointError(f"there is no file {text}: check the path.")
    names, metadata = _contents(path)
    stated = metadata.get("architecture")
    if architecture is None and stated is None:
        raise CheckpointError(
            f"{path.name} does not say of which architecture it is: name open_clip's or timm's "
            "with --architecture, for example ViT-B-32 or resnet50."
        )
    library, name, tag = _known_architecture(architecture or str(stated))
    fields = _of_architecture(library, name, tag) | {"weights": _stored(path)}
    guessed = _of_open_clip_file if library == "open_clip" else _of_timm_file
    return fields | guessed(name, names, metadata)


def _path_of(text: str) -> Path:
    """Return the file that is meant: from here or the repository's root, written with / or \\."""
    slashes = PureWindowsPath(text).as_posix()
    places = [Path(t).expanduser() for t in (text, slashes)]
    return next((p for p in (*places, *(ROOT / p for p in places)) if p.exists()), places[0])


def _of_open_clip_file(name: str, names: set[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    has_head = "head.weight" in names
    guessed: dict[str, Any] = {"level": "supervised" if has_head else "zero_shot"}
    if metadata.get("level") in registry.LEVELS:
        guessed["level"] = metadata["level"]
    if not has_head and all(key.startswith("visual.") for key in names):
        guessed["head"] = "none"
    return guessed


def _of_timm_file(name: str, names: set[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    layers = {key.rpartition(".")[0] for key in names}
    first = _timm_config(name).get("first_conv")
    of_it = not {first} - layers if isinstance(first, str) else True
    if layers & {*encoders.classifier_names(name)} or not of_it:  # then loading says what is wrong
        return {"level": "supervised"}
    return {"level": None, "head": "none"}


def _contents(path: Path) -> tuple[set[str], Mapping[str, str]]:
    """Names of the tensors in a file, and its metadata; of safetensors only the header is read."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="np") as file:
                return set(file.keys()), file.metadata() or {}
        except (SafetensorError, OSError):
            pass  # read_weights says what is wrong
    state, metadata = encoders.read_weights(path)
    return set(state), metadata


def _stored(path: Path) -> str:
    """Return a path as a family file has it: from the repository's root, if it lies in there."""
    path = path.resolve()
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


def _known_architecture(name: str) -> tuple[str, str, str]:
    """Return library, architecture and (timm's) tag; CheckpointError with the nearest otherwise."""
    known = encoders.open_clip_architectures()
    if name in known:
        return "open_clip", name, ""
    base, _, tag = name.partition(".")
    if timm.is_model(base):
        if tag and name not in timm.list_pretrained(f"{base}*"):
            tags = [n for n in timm.list_pretrained(f"{base}.*")]
            raise CheckpointError(
                f"timm has no pretrained model {name!r}: {suggestion(name, tags)}."
            )
        return "timm", base, tag
    raise CheckpointError(
        f"neither open_clip nor timm has an architecture {name!r}: "
        f"{suggestion(name, [*known, *timm.list_models()])}."
    )


def _of_architecture(library: str, name: str, tag: str) -> dict[str, Any]:
    """Describe an architecture without weights: the input is what its published weights take."""
    fields: dict[str, Any] = {"library": library, "architecture": name, "pretraining": NOT_STATED}
    if library == "timm":
        config = _timm_config(f"{name}.{tag}" if tag else name)
        return fields | {
            "preprocessing": _of_timm_input(name, config), "width": timm_width(name)
        }  # fmt: skip
    return fields | {
        "preprocessing": _usual_input(name),
        "width": encoders.architecture(name)["embed_dim"],
    }


def _usual_input(name: str) -> Preprocessing:
    """The input of an open_clip architecture's published weights; the pocket lab's for its own."""
    if (encoders.ARCHITECTURES / f"{name}.json").is_file():
        return POCKET.model_copy(update={"size": _image_size(name)})
    tags = open_clip.list_pretrained_tags_by_model(name)
    config = get_pretrained_cfg(name, tags[0]) if tags else {}
    return _of_open_clip_config(name, config, _image_size(name))


def _image_size(name: str) -> int:
    size = encoders.architecture(name)["vision_cfg"].get("image_size", 224)
    if isinstance(size, list | tuple):
        if len(set(size)) != 1:
            raise CheckpointError(f"{name} takes images of {size} pixels: only squares are known.")
        size = size[0]
    return int(size)


def _of_open_clip_config(text: str, config: Mapping[str, Any], size: int) -> Preprocessing:
    """Preprocessing as open_clip configures it; CheckpointError for what the book cannot do."""
    mode = config.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash"):
        raise CheckpointError(
            f"{text} takes images that are resized by their longest edge and padded ({mode}), "
            "which this book does not do: shortest or squash is expected."
        )
    return _preprocessing(
        text,
        size=size,
        interpolation=config.get("interpolation", "bicubic"),
        mean=config.get("mean", open_clip.OPENAI_DATASET_MEAN),
        std=config.get("std", open_clip.OPENAI_DATASET_STD),
        squash=mode == "squash",
    )


def _of_timm_input(text: str, config: Mapping[str, Any]) -> Preprocessing:
    """Preprocessing as timm configures it: the crop is a share of the resized edge."""
    shape = tuple(config.get("input_size", (3, 224, 224)))
    mode = config.get("crop_mode", "center")
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise CheckpointError(f"{text} takes inputs of shape {shape}: RGB squares are expected.")
    if mode not in ("center", "squash"):
        raise CheckpointError(
            f"{text} takes images that are padded ({mode}), which this book does not do: center or "
            "squash is expected."
        )
    size = int(shape[1])
    resize = math.floor(size / config.get("crop_pct", 0.875))
    return _preprocessing(
        text,
        size=size,
        resize=None if resize == size else resize,
        interpolation=config.get("interpolation", "bicubic"),
        mean=config.get("mean", (0.485, 0.456, 0.406)),
        std=config.get("std", (0.229, 0.224, 0.225)),
        squash=mode == "squash",
    )


def _preprocessing(text: str, **fields: Any) -> Preprocessing:
    try:
        return Preprocessing.model_validate(fields)
    except ValidationError as error:
        raise CheckpointError(
            f"{text} takes an input that this book does not know: {registry.first_reason(error)}."
        ) from None


def _pretraining(tag: str) -> str:
    """Return what a tag says about the data it was trained on first, else the tag itself."""
    plain = tag.lower().replace("-", "_")
    known = [(plain.find(key), -len(key), title) for key, title in PRETRAINING.items()]
    found = sorted(entry for entry in known if entry[0] >= 0)
    return found[0][2] if found else tag


def _published(source: str, name: str, tag: str) -> tuple[PublishedKey, ...]:
    """The rows of the published accuracies that are of this very checkpoint, if there are any."""
    from companion.measurements import published

    table = published.load()
    there = (table["source"] == source) & (table["model"] == name) & (table["weights"] == tag)
    if not there.any():
        return ()
    return (PublishedKey.model_validate({"source": source, "model": name, "weights": tag}),)
