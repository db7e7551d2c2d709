"""What a user types about a checkpoint, turned into a model's description.

`find` knows five kinds of names: a model of the book, open_clip's ``ARCHITECTURE/TAG``, a
repository of the Hugging Face hub (``hf-hub:org/name``), a timm model, and a local file. What the
libraries tell about it (input, width, how it was trained) is filled in, from a network without
weights; `encoders.load` checks that all of it is true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import open_clip
import timm
from open_clip.pretrained import get_pretrained_cfg
from pydantic import ValidationError
from safetensors import SafetensorError
from timm.data.config import resolve_model_data_config

from analysis.common import ROOT, first_reason, suggestion
from analysis.families import registry
from analysis.families.registry import (
    HUB,
    WEIGHT_FILES,
    HeadKind,
    Level,
    Model,
    OwnLayer,
    Preprocessing,
    is_file_name,
)
from analysis.features import networks
from analysis.features.preprocess import POCKET
from analysis.features.weights import HUB_FILES, ModelError, from_hub, read_header, read_weights

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
    layer: OwnLayer | None = None,
) -> Model:
    """Describe the checkpoint that ``text`` names.

    ``architecture`` is needed for a local file that does not say its own. ``name``, ``level``,
    ``head`` and ``pretraining`` go before what is found or guessed, ``assumed_level`` only where
    nothing is. ``layer`` is where features are taken, if not at the encoder's end. The text
    ``random`` is an architecture with weights as they are drawn before any training. Raises
    CheckpointError when there is no such checkpoint, ModelError when the hub cannot be reached or a
    file cannot be read.
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
        model = Model.model_validate(fields)
        return _before_projection(text, model) if layer else model
    except ValidationError as error:
        raise CheckpointError(f"{text}: {first_reason(error)}.") from None


def _before_projection(text: str, model: Model) -> Model:
    """Describe what a CLIP model has before its projection; there is no head for that."""
    width = model.width
    if model.library == "open_clip":
        net = networks.build(text, "open_clip", networks.source(model), outline=True)
        width = networks.without_projection(text, net.visual)
    taken = {"layer": "before_projection", "width": width, "head": model.head or "none"}
    return Model.model_validate(_fields(model) | taken)


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
    if architecture is not None:
        raise CheckpointError(f"{text} says its architecture itself: leave out --architecture.")
    known = {m.name: m for f in registry.load_families().values() for m in f.models}
    if text in known:
        return _fields(known[text])
    if text.startswith(HUB):
        return _of_hub(text)
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
    return {**_of_architecture(architecture), "level": "random", "pretraining": "none"}


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
        "architecture": name,
        "weights": tag,
        "pretraining": _pretraining(tag),
        **_told_by_open_clip(text, name, config),
    }


def _as_listed(tag: str, tags: Iterable[str]) -> str:
    """Return a tag as open_clip lists it, which takes ``-`` for ``_`` and capitals."""
    plain = tag.lower().replace("-", "_")
    return next((t for t in tags if t.lower().replace("-", "_") == plain), tag)


def _check_activation(name: str, tag: str, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the architecture has another activation than the weights need."""
    wanted = bool(config.get("quick_gelu", False))
    if wanted == bool(networks.architecture(name).get("quick_gelu", False)):
        return
    other = name.removesuffix("-quickgelu") if not wanted else f"{name}-quickgelu"
    raise CheckpointError(
        f"the weights {tag} were trained with {'QuickGELU' if wanted else 'GELU'}, which {name} "
        f"does not use: give {other}/{tag}."
    )


def _of_hub(text: str) -> dict[str, Any]:
    """Describe a repository of the hub by its configuration: open_clip's or timm's."""
    repository = text.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", repository):
        raise CheckpointError(
            f"{text} is not the name of a repository: {HUB}ORGANISATION/NAME is expected, with "
            "@REVISION or without."
        )
    path = from_hub(text, repository, [config for config, _ in HUB_FILES.values()])
    where = f"local-dir:{path.parent}"
    fields = {"weights": HUB + _with_revision(repository, path), "pretraining": NOT_STATED}
    if path.name == HUB_FILES["open_clip"][0]:
        name = repository.partition("@")[0]
        told = _told_by_open_clip(text, where)
        return {**fields, **told, "architecture": name, "level": "zero_shot"}
    net = networks.build(text, "timm", where, outline=True)
    tag = net.pretrained_cfg.get("tag") or repository.partition("@")[0].rpartition(".")[2]
    return {**_told_by_timm(text, net, tag), **fields, "pretraining": _pretraining(tag)}


def _with_revision(repository: str, path: Path) -> str:
    """Return the repository with the revision that the hub's cache has in a file's path."""
    found = re.search(r"snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
    return f"{repository.partition('@')[0]}@{found[1]}" if found else repository


def _of_timm(text: str, known: Iterable[str]) -> dict[str, Any]:
    """Describe a pretrained model of timm, ``ARCHITECTURE.TAG`` or an architecture alone."""
    name, _, tag = text.partition(".")
    listed = timm.list_pretrained(f"{name}*")
    if text not in listed and not (timm.is_model(name) and not tag):
        of_it = [n for n in listed if n.startswith(f"{name}.")]
        names = of_it or [*known, *timm.list_pretrained()]
        raise CheckpointError(
            f"there is no checkpoint {text!r}, neither as a model of the book, nor of timm, nor as "
            f"a file: {suggestion(text, names)}; open_clip's are written ARCHITECTURE/TAG, "
            f"repositories {HUB}ORGANISATION/NAME."
        )
    net = networks.build(text, "timm", text, outline=True)
    tag = net.pretrained_cfg.get("tag") or ""
    if f"{name}.{tag}" not in listed:
        raise CheckpointError(f"timm has no weights for {name}: give a file of weights.")
    return {**_told_by_timm(text, net, tag), "weights": tag}


def _of_file(text: str, architecture: str | None) -> dict[str, Any]:
    """Describe a local file: by its architecture, and by which tensors it holds."""
    path = _path_of(text)
    if path.is_dir():
        raise CheckpointError(
            f"{text} is a folder: give the file of weights in it ({', '.join(WEIGHT_FILES)})."
        )
    if not path.is_file():
        raise CheckpointError(f"there is no file {text}: check the path.")
    tensors, metadata = _contents(path)
    stated = metadata.get("architecture")
    if architecture is None and stated is None:
        raise CheckpointError(
            f"{path.name} does not say of which architecture it is: name open_clip's or timm's "
            "with --architecture, for example ViT-B-32 or resnet50."
        )
    described = _of_architecture(architecture or str(stated))
    guess = _in_open_clip_file if described["library"] == "open_clip" else _in_timm_file
    return described | guess(described, tensors, metadata) | {"weights": _stored(path)}


def _path_of(text: str) -> Path:
    """Return the file that is meant: from here or the repository's root, written with / or \\."""
    slashes = PureWindowsPath(text).as_posix()
    places = [Path(t).expanduser() for t in (text, slashes)]
    return next((p for p in (*places, *(ROOT / p for p in places)) if p.exists()), places[0])


def _in_open_clip_file(
    described: Mapping[str, Any], tensors: set[str], metadata: Mapping[str, str]
) -> dict[str, Any]:
    has_head = "head.weight" in tensors
    guessed: dict[str, Any] = {"level": "supervised" if has_head else "zero_shot"}
    if metadata.get("level") in registry.LEVELS:
        guessed["level"] = metadata["level"]
    if not has_head and all(key.startswith("visual.") for key in tensors):
        guessed["head"] = "none"
    return guessed


def _in_timm_file(
    described: Mapping[str, Any], tensors: set[str], metadata: Mapping[str, str]
) -> dict[str, Any]:
    name = described["architecture"]
    net = networks.build(name, "timm", name, outline=True)
    layers = {key.rpartition(".")[0] for key in tensors}
    first = net.pretrained_cfg.get("first_conv")
    of_it = not {first} - layers if isinstance(first, str) else True
    if layers & {*networks.classifier_names(net)} or not of_it:  # then loading says what is wrong
        return {"level": "supervised"}
    return {"level": None, "head": "none"}


def _contents(path: Path) -> tuple[set[str], Mapping[str, str]]:
    """Names of the tensors in a file, and its metadata; of safetensors only the header is read."""
    try:
        return read_header(path)
    except (SafetensorError, OSError):  # another format, or not sound
        state, metadata = read_weights(path)
    return set(state), metadata


def _stored(path: Path) -> str:
    """Return a path as a family file has it: from the repository's root, if it lies in there."""
    path = path.resolve()
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


def _of_architecture(name: str) -> dict[str, Any]:
    """Describe an architecture without weights: the input is what its published weights take."""
    known = networks.open_clip_architectures()
    if name in known:
        fields = _told_by_open_clip(name, name, _usual_config(name))
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
    fields = _told_by_timm(name, networks.build(name, "timm", name, outline=True), tag)
    kept = {key: fields[key] for key in ("library", "architecture", "preprocessing", "width")}
    return {**kept, "pretraining": NOT_STATED}


def _usual_config(name: str) -> Mapping[str, Any]:
    tags = open_clip.list_pretrained_tags_by_model(name)
    return get_pretrained_cfg(name, tags[0]) if tags else {}


def _told_by_open_clip(
    text: str, name: str, config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What open_clip says of a network: its input, as ``config`` of its weights wants it, width."""
    net = networks.build(
        text, "open_clip", name, outline=True, force_preprocess_cfg=dict(config or {})
    )
    told = open_clip.get_model_preprocess_cfg(net)
    size = told["size"] if isinstance(told["size"], Sequence) else [told["size"]] * 2
    mode = {"shortest": "center"}.get(told["resize_mode"], told["resize_mode"])
    spec = _preprocessing(text, size, 1.0, mode, told)
    width = networks.architecture(name)["embed_dim"]
    return {"library": "open_clip", "preprocessing": spec, "width": width}


def _told_by_timm(text: str, net: Any, tag: str) -> dict[str, Any]:
    """What timm says of a network: its input, width, and how weights of a tag were trained."""
    told, config = resolve_model_data_config(net), net.pretrained_cfg
    classes = config.get("num_classes")
    tower = _is_clip_tower(config["architecture"], tag, classes)
    fields: dict[str, Any] = {
        "library": "timm",
        "architecture": config["architecture"],
        "pretraining": _pretraining(tag),
        "preprocessing": _preprocessing(
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


def _preprocessing(
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


def _pretraining(tag: str) -> str:
    """Return what a tag says about the data it was trained on first, else the tag itself."""
    plain = tag.lower().replace("-", "_")
    known = [(plain.find(key), -len(key), title) for key, title in PRETRAINING.items()]
    found = sorted(entry for entry in known if entry[0] >= 0)
    return found[0][2] if found else tag
