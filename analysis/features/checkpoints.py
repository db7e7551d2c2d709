"""What a user types about a checkpoint, turned into a model's description.

`find` knows six kinds of names: a model of the book, open_clip's ``ARCHITECTURE/TAG``, a
repository of the Hugging Face hub (``hf-hub:org/name``), a timm model, a local file, and a folder
laid out as a repository is (``local-dir:``). What the libraries tell about it (input, width, how it
was trained) is filled in, from a network without weights; `encoders.load` checks that all of it is
true. What was chosen where a file leaves a choice stands in the description's note.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import open_clip
import timm
from open_clip.pretrained import get_pretrained_cfg
from pydantic import ValidationError

from analysis.common import WORKSPACE, first_reason, suggestion
from analysis.families import registry
from analysis.families.registry import (
    HUB,
    LOCAL_DIR,
    WEIGHT_FILES,
    HeadKind,
    Level,
    Model,
    OwnLayer,
    is_file_name,
)
from analysis.features import layouts, networks, parts
from analysis.features.layouts import Weights
from analysis.features.networks import CheckpointError
from analysis.features.parts import INDEX
from analysis.features.weights import HUB_FILES, ModelError, from_hub, read_weights

#: Names of weights in a folder that is laid out as a repository, the first that is there is meant.
FOLDER_FILES = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "model.safetensors", f"open_clip_model{INDEX}", f"model{INDEX}",
    "pytorch_model.bin",
)  # fmt: skip
#: What says which input transformers gives a model.
INPUT = "preprocessor_config.json"


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


def of_published(architecture: str, tag: str, name: str) -> Model:
    """Describe the open_clip checkpoint of a published row, as a model called ``name``.

    Tables name an architecture with ``-quickgelu`` or without, whatever the weights need; the one
    that they need is taken. Raises CheckpointError where the installed open_clip does not have it,
    has it as a pickle alone, or cannot make an encoder of it.
    """
    base = architecture.removesuffix("-quickgelu")
    listed = {one: get_pretrained_cfg(one, tag) for one in (base, f"{base}-quickgelu")}
    usable = [one for one, config in listed.items() if config and _fits(one, config)]
    text = f"{architecture}/{tag}"
    if not usable:
        known = "with another activation" if any(listed.values()) else "under neither name"
        raise CheckpointError(f"{text}: the installed open_clip lists these weights {known}.")
    if not listed[usable[0]].get("hf_hub"):
        raise CheckpointError(f"{text}: open_clip offers these weights as a pickle only.")
    if "multimodal_cfg" in networks.architecture(usable[0]):
        raise CheckpointError(f"{text}: CoCa's image features are not a single vector per image.")
    return find(f"{usable[0]}/{tag}", name=name)


def default_name(text: str) -> str:
    """Return a name for a checkpoint that was given none: its own, as a name of the registry.

    >>> default_name("ViT-B-32-quickgelu/openai")
    'vit-b-32-quickgelu-openai'
    """
    slug = re.sub(r"[^a-z0-9_.]+", "-", short_name(text).lower()).strip("-._")
    return slug if slug[:1].isascii() and slug[:1].isalpha() else f"model-{slug}".strip("-")


def short_name(text: str) -> str:
    """Return a checkpoint's name without what says of which kind it is, a path's last part."""
    path = text.removeprefix(LOCAL_DIR)
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    if path != text or _is_file(text):
        ends = [end for end in WEIGHT_FILES if last.endswith(end)]
        return last[: -len(max(ends, key=len))] if ends else last
    return text.removeprefix(HUB).partition("@")[0]


def _found(text: str, architecture: str | None) -> dict[str, Any]:
    """Return the fields of the description, by the kind of name that ``text`` is."""
    if text == "random":
        return _random(architecture)
    if text.startswith(("http://", "https://")):
        raise CheckpointError(
            f"{text} is an address: download the file and give its path, or a repository of the "
            f"Hugging Face hub as {HUB}ORGANISATION/NAME."
        )
    if text.startswith(LOCAL_DIR) or _is_file(text):
        path = _path_of(text.removeprefix(LOCAL_DIR))
        if path.is_dir():
            return _of_folder(text, path, architecture)
        return _of_file(text, path, architecture)
    if architecture is not None:
        raise CheckpointError(f"{text} says its architecture itself: leave out --architecture.")
    known = {m.name: m for f in registry.load_families().values() for m in f.models}
    if text in known:
        return _fields(known[text])
    if text.startswith(HUB):
        return _of_hub(text)
    if tags := open_clip.list_pretrained_tags_by_model(name := text.rstrip("/")):
        raise CheckpointError(
            f"{name} is an architecture of open_clip, with weights of {len(tags)} trainings: give "
            f"{name}/TAG, one of {', '.join(tags)}."
        )
    if "/" in text:
        return _of_open_clip(text)
    return _of_timm(text, known)


def _fields(model: Model) -> dict[str, Any]:
    return model.model_dump(exclude_defaults=True)


def _is_file(text: str) -> bool:
    if text.startswith(HUB):
        return False
    return text.endswith(WEIGHT_FILES) or "\\" in text or Path(text).expanduser().exists()


def _random(architecture: str | None) -> dict[str, Any]:
    if architecture is None:
        raise CheckpointError("random weights are of an architecture: name it with --architecture.")
    return {**networks.of_architecture(architecture), "level": "random", "pretraining": "none"}


def _of_open_clip(text: str) -> dict[str, Any]:
    """Describe open_clip's ``ARCHITECTURE/TAG``."""
    name, _, tag = text.rpartition("/")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        known = sorted({architecture for architecture, _ in open_clip.list_pretrained()})
        if re.fullmatch(r"[\w.-]+/[\w.-]+", text) and not difflib.get_close_matches(name, known):
            raise CheckpointError(
                f"{text} is neither a file nor open_clip's ARCHITECTURE/TAG: did you mean "
                f"{HUB}{text}, a repository of the Hugging Face hub?"
            )
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
    # As it is listed: open_clip takes - for _ and capitals, too.
    tag = next(one for one in tags if get_pretrained_cfg(name, one) == config)
    if not _fits(name, config):
        trained = networks.ACTIVATIONS[networks.quick_gelu(config)]
        raise CheckpointError(
            f"the weights {tag} were trained with {trained}, which {name} does not use: give "
            f"{_with_other_activation(name)}/{tag}."
        )
    return {
        "level": "zero_shot",
        "architecture": name,
        "weights": tag,
        "pretraining": networks.pretraining(tag),
        **networks.by_open_clip(text, name, config),
    }


def _fits(name: str, config: Mapping[str, Any]) -> bool:
    """Whether an architecture of open_clip has the activation that weights were trained with."""
    return networks.quick_gelu(config) == networks.quick_gelu(networks.architecture(name))


def _with_other_activation(name: str) -> str:
    quick = name.endswith("-quickgelu")
    return name.removesuffix("-quickgelu") if quick else f"{name}-quickgelu"


def _of_hub(text: str) -> dict[str, Any]:
    """Describe a repository of the hub by its configuration: open_clip's or timm's."""
    repository = text.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", repository):
        raise CheckpointError(
            f"{text} is not the name of a repository: {HUB}ORGANISATION/NAME is expected, with "
            "@REVISION or without."
        )
    path = from_hub(text, repository, [config for config, _ in HUB_FILES.values()])
    fields = {"weights": HUB + _with_revision(repository, path)}

    def beside() -> Path:
        return from_hub(text, repository, [INPUT])

    return _of_config(text, path, repository.partition("@")[0], beside) | fields


def _of_config(text: str, path: Path, name: str, beside: Callable[[], Path]) -> dict[str, Any]:
    """Describe what a repository's configuration says: open_clip's, timm's or transformers'.

    ``name`` is for an architecture that has no other, ``beside`` gives transformers' input.
    """
    where = f"{LOCAL_DIR}{path.parent}"
    if path.name == HUB_FILES["open_clip"][0]:
        fields = networks.by_open_clip(text, where)
        return {**fields, "architecture": name, "level": "zero_shot",
                "pretraining": networks.NOT_STATED}  # fmt: skip
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") == "clip":
            return _of_transformers(text, config, beside)
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise CheckpointError(f"{text}: the configuration cannot be used ({error}).") from None
    net = networks.build(text, "timm", where, outline=True)
    tag = net.pretrained_cfg.get("tag") or name.rpartition(".")[2]
    return {**networks.by_timm(text, net, tag), "pretraining": networks.pretraining(tag)}


def _of_transformers(
    text: str, config: Mapping[str, Any], beside: Callable[[], Path]
) -> dict[str, Any]:
    """Describe transformers' CLIP by open_clip's architecture of the same sizes."""
    name = layouts.architecture_of(config)
    fields = networks.by_open_clip(text, name, networks.usual_config(name))
    note = ""
    try:
        spec = json.loads(beside().read_text(encoding="utf-8"))
        fields["preprocessing"] = networks.by_transformers(text, spec)
    except (ModelError, OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        note = f"There is no {INPUT}: the input of open_clip's {name} is assumed."
    return {**fields, "architecture": name, "level": "zero_shot", "note": note,
            "pretraining": networks.NOT_STATED}  # fmt: skip


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
    return {**networks.by_timm(text, net, tag), "weights": tag}


def _of_folder(text: str, path: Path, architecture: str | None) -> dict[str, Any]:
    """Describe a folder that is laid out as a repository, or that holds one file of weights."""
    there = sorted(p for p in path.iterdir() if p.name.endswith(WEIGHT_FILES) and p.is_file())
    meant = [p for name in FOLDER_FILES for p in there if p.name == name]
    if not there or not (meant or len(there) == 1):
        listed = ", ".join(p.name for p in there[:5])
        several = " in several pickles: join them in one" * bool([*path.glob("*.bin.index.json")])
        raise CheckpointError(
            f"{text} is a folder" + (f" of {listed}" if there else " without a file of weights")
            + f"{several}: give the file of weights in it ({', '.join(WEIGHT_FILES)})."
        )  # fmt: skip
    weights = (meant or there)[0]
    config = next((path / c for c, _ in HUB_FILES.values() if (path / c).is_file()), None)
    if config is None or architecture is not None:
        found = _of_file(str(weights), weights, architecture)
    else:
        found = _of_config(text, config, default_name(text), lambda: path / INPUT)
        own = found["library"] == "timm" or found["architecture"] not in open_clip.list_models()
        found |= _in_file(found, weights, f"{LOCAL_DIR}{path}" if own else found["architecture"])
        found["weights"] = LOCAL_DIR * own + found["weights"]
    used = [weights, *_parts(weights)]
    others = ", ".join(layouts.shown(p.name) for p in there if p not in used)
    note = f"Of the folder {weights.name} was taken, {others} left aside." if others else ""
    return found | {"note": " ".join(filter(None, [found.get("note"), note]))}


def _parts(weights: Path) -> list[Path]:
    try:
        return parts.files(weights)[1:]
    except ValueError as error:
        raise CheckpointError(f"{weights.name} cannot be used: {error}.") from None


def _of_file(text: str, path: Path, architecture: str | None) -> dict[str, Any]:
    """Describe a local file: by its architecture, and by which tensors it holds."""
    if not path.is_file():
        if path.exists():
            raise CheckpointError(f"{text} is no regular file: give a file of weights.")
        raise CheckpointError(f"there is no file {text}: check the path.")
    stated = read_weights(path, outline=True).metadata.get("architecture")
    if architecture is None and stated is None:
        raise CheckpointError(
            f"{path.name} does not say of which architecture it is: name open_clip's or timm's "
            "with --architecture, for example ViT-B-32 or resnet50."
        )
    described = networks.of_architecture(architecture or str(stated))
    name = described["architecture"]
    if described["library"] == "open_clip":
        described["note"] = _activation_note(name)
    return described | _in_file(described, path, name)


def _in_file(described: Mapping[str, Any], path: Path, network: str) -> dict[str, Any]:
    """What the tensors in a file say of a model: its level, its head, and notes on choices.

    ``network`` is what the library builds it from.
    """
    library = described["library"]
    net = networks.build(path.name, library, network, outline=True)
    weights = read_weights(path, net, outline=True)
    guess = _in_open_clip_file if library == "open_clip" else _in_timm_file
    notes = " ".join(filter(None, [described.get("note"), *weights.notes]))
    return guess(net, weights) | {"weights": _stored(path), "note": notes}


def _path_of(text: str) -> Path:
    """Return the file that is meant: from here or the repository's root, written with / or \\."""
    slashes = PureWindowsPath(text).as_posix()
    places = [Path(t).expanduser() for t in (text, slashes)]
    return next((p for p in (*places, *(WORKSPACE / p for p in places)) if p.exists()), places[0])


def _in_open_clip_file(net: Any, weights: Weights) -> dict[str, Any]:
    classifier, stated = "head.weight" in weights.state, weights.metadata.get("level")
    tower_alone = all(key.startswith("visual.") for key in weights.state)
    guessed = "supervised" if classifier else "zero_shot"
    level = {"level": stated if stated in registry.LEVELS else guessed}
    return level | {"head": "none"} if tower_alone else level


def _in_timm_file(net: Any, weights: Weights) -> dict[str, Any]:
    layers = {key.rpartition(".")[0] for key in weights.state}
    first = net.pretrained_cfg.get("first_conv")
    of_it = not {first} - layers if isinstance(first, str) else True
    if layers & {*networks.classifier_names(net)} or not of_it:  # then loading says what is wrong
        return {"level": "supervised"}
    return {"level": None, "head": "none"}


def _activation_note(name: str) -> str:
    """What cannot be checked: a file does not say with which activation it was trained."""
    other, quick = _with_other_activation(name), name.endswith("-quickgelu")
    if other not in networks.open_clip_architectures():
        return ""
    return (
        "The file does not say with which activation it was trained: "
        f"{name} uses {networks.ACTIVATIONS[quick]}; if it was trained with "
        f"{networks.ACTIVATIONS[not quick]}, describe it as {other}."
    )


def _stored(path: Path) -> str:
    """Return a path as a family file has it: from the repository's root, if it lies in there."""
    path = path.resolve()
    inside = path.relative_to(WORKSPACE).as_posix() if path.is_relative_to(WORKSPACE) else ""
    return inside if is_file_name(inside) else path.as_posix()
