"""Turn what a user types about a checkpoint into a model's description.

`find` knows six kinds of names: a model of the book, open_clip's ``ARCHITECTURE/TAG``, a repository
of the Hugging Face hub (``hf-hub:org/name``), a timm model, a local file, and a folder laid out as
a repository (``local-dir:``). The libraries' own information (input, width, how the model was
trained) is filled in from a network without weights; `loading.load` checks that all of it is true.
Where a file leaves a choice open, the description's note says what was chosen.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
from pydantic import ValidationError

from analysis.base.roots import WORKSPACE
from analysis.base.strict import first_reason
from analysis.base.texts import suggestion
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
from analysis.features import parts
from analysis.features.encoders import ModelError
from analysis.features.parts import INDEX
from companion.checkpoints import layouts, names, networks, processors
from companion.checkpoints.lazily import open_clip
from companion.checkpoints.networks import CheckpointError
from companion.checkpoints.weights import HUB_FILES, check_order, from_hub, read_weights

#: Names of weights in a folder that is laid out as a repository, the first that is there is meant.
FOLDER_FILES = [
    f"{name}{end}"
    for end in (".safetensors", INDEX, ".bin")
    for name in ("open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model")
]
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
    layer: OwnLayer | None = None,
    renamed: bool = False,
) -> Model:
    """Describe the checkpoint that ``text`` names.

    ``architecture`` is needed for a local file that does not state its own. ``name``, ``level``,
    ``head`` and ``pretraining`` take precedence over what is found; a level that nobody states is
    ``unknown``. ``layer`` says where features are taken, if not at the encoder's end; ``renamed``,
    that a file has the architecture's tensors, in its order, under names of their own. The text
    ``random`` stands for an architecture with weights as they are drawn before training. Raises
    CheckpointError if there is no such checkpoint, and ModelError if the hub cannot be reached or a
    file cannot be read.
    """
    text = text.strip()
    if not text:
        raise CheckpointError("the checkpoint's name is empty: give a tag, a model or a file.")
    fields = _found(text, architecture, renamed)
    given = {"name": name, "level": level, "head": head, "pretraining": pretraining}
    if text == "random" and level not in (None, "random"):
        raise CheckpointError(f"random weights have no level {level}: leave out --level.")
    fields |= {key: value for key, value in given.items() if value is not None}
    fields["level"] = fields.get("level") or "unknown"
    fields.setdefault("name", names.default_name(text))
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
    text, base = f"{architecture}/{tag}", architecture.removesuffix("-quickgelu")
    for usable in (base, f"{base}-quickgelu"):
        config = open_clip.get_pretrained_cfg(usable, tag)
        if config and _fits(usable, config):
            break
    else:
        raise CheckpointError(f"{text}: the installed open_clip does not list these weights.")
    if not config.get("hf_hub"):
        raise CheckpointError(f"{text}: open_clip offers these weights as a pickle only.")
    if "multimodal_cfg" in networks.architecture(usable):
        raise CheckpointError(f"{text}: CoCa's image features are not a single vector per image.")
    return find(f"{usable}/{tag}", name=name)


def _found(text: str, architecture: str | None, renamed: bool) -> dict[str, Any]:
    """Return the fields of the description, by the kind of name that ``text`` is."""
    if text == "random" and architecture:
        drawn = {"level": "random", "pretraining": "none"}
        return networks.of_architecture(architecture) | drawn
    if text == "random":
        raise CheckpointError("random weights need an architecture: give --architecture.")
    if text.startswith(("http://", "https://")):
        raise CheckpointError(
            f"{text} is an address: download the file and give its path, or a repository of the "
            f"Hugging Face hub as {HUB}ORGANISATION/NAME."
        )
    if text.startswith(LOCAL_DIR) or names.is_file(text):
        path = _path_of(text.removeprefix(LOCAL_DIR))
        if path.is_dir():
            return _of_folder(text, path, architecture)
        return _of_file(text, path, architecture, renamed)
    if renamed:
        raise CheckpointError(f"{text} is no file of weights, of which alone --renamed speaks.")
    if architecture is not None:
        raise CheckpointError(f"{text} names its architecture itself: leave out --architecture.")
    known = {m.name: m for f in registry.load_families().values() for m in f.models}
    if text in known:
        return _fields(known[text])
    if text.startswith(HUB):
        return _of_hub(text)
    if tags := open_clip.list_pretrained_tags_by_model(name := text.rstrip("/")):
        raise CheckpointError(
            f"{name} is an architecture of open_clip, with weights from {len(tags)} trainings: "
            f"give {name}/TAG, one of {', '.join(tags)}."
        )
    if "/" in text:
        return _of_open_clip(text)
    return _of_timm(text, known)


def _fields(model: Model) -> dict[str, Any]:
    return model.model_dump(exclude_defaults=True)


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
    config = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        raise CheckpointError(
            f"open_clip has no weights {tag!r} for {name}: {suggestion(tag, tags)}."
        )
    # As it is listed: open_clip takes - for _ and capitals, too.
    tag = next(one for one in tags if open_clip.get_pretrained_cfg(name, one) == config)
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
    if path.name == HUB_FILES["timm"][0]:
        with contextlib.suppress(ModelError):  # transformers has one
            from_hub(text, repository, [INPUT])
    name = repository.partition("@")[0]
    cached = re.search(r"snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
    weights = f"{HUB}{name}@{cached[1]}" if cached else text
    return _of_config(text, path, name) | {"weights": weights}


def _of_config(text: str, path: Path, name: str) -> dict[str, Any]:
    """Describe what a repository's configuration says: open_clip's, timm's or transformers'.

    ``name`` is for an architecture that has no other.
    """
    where = f"{LOCAL_DIR}{path.parent}"
    clip = {"architecture": name, "level": "zero_shot", "pretraining": registry.NOT_STATED}
    if path.name == HUB_FILES["open_clip"][0]:
        return networks.by_open_clip(text, where) | clip
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") == "clip":
            return clip | _of_transformers(text, config, path.with_name(INPUT))
        if "model_type" in config and "architecture" not in config:
            named = (config.get("architectures") or [config["model_type"]])[0]
            raise CheckpointError(
                f"{text} is {named} of transformers, which neither open_clip nor timm builds: in "
                "Python, companion.probe.encoder.probe takes AutoModel.from_pretrained(…) of it."
            )
    except CheckpointError:
        raise
    except Exception as error:  # whatever such a file is
        raise CheckpointError(f"{text}: the configuration cannot be used ({error!r}).") from None
    net = networks.build(text, "timm", where, outline=True)
    tag = net.pretrained_cfg.get("tag") or name.rpartition(".")[2]
    return {**networks.by_timm(text, net, tag), "pretraining": networks.pretraining(tag)}


def _of_transformers(text: str, config: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Describe transformers' CLIP by open_clip's architecture of the same sizes."""
    name = layouts.architecture_of(config)
    fields = {"architecture": name} | networks.by_open_clip(text, name, networks.usual_config(name))
    if not file.is_file():
        note = f"There is no {INPUT}: the input of open_clip's {name} is assumed."
        return fields | {"note": note}
    spec = json.loads(file.read_text(encoding="utf-8"))
    return fields | {"preprocessing": processors.of_clip(text, spec)}


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
    present = sorted(p for p in path.iterdir() if p.name.endswith(WEIGHT_FILES) and p.is_file())
    named = [path / name for name in FOLDER_FILES if path / name in present]
    if not named and len(present) != 1:
        listed = ", ".join(file.name for file in present[:5]) or "without a file of weights"
        raise CheckpointError(
            f"{text} is a folder ({listed}): give the file of weights in it "
            f"({', '.join(WEIGHT_FILES)})."
        )
    weights = (named or present)[0]
    config = next((path / c for c, _ in HUB_FILES.values() if (path / c).is_file()), None)
    if config is None or architecture is not None:
        return _of_file(str(weights), weights, architecture)
    fields = _of_config(text, config, names.default_name(text))
    own = fields["library"] == "timm" or fields["architecture"] not in open_clip.list_models()
    fields |= _in_file(fields, weights, f"{LOCAL_DIR}{path}" if own else fields["architecture"])
    return fields | {"weights": LOCAL_DIR * own + fields["weights"]}


def _of_file(
    text: str, path: Path, architecture: str | None, renamed: bool = False
) -> dict[str, Any]:
    """Describe a local file: by its architecture, and by which tensors it holds."""
    if not path.is_file():
        if path.exists():
            raise CheckpointError(f"{text} is not a regular file: give a file of weights.")
        raise CheckpointError(f"there is no file {text}: check the path.")
    architecture = architecture or read_weights(path).metadata.get("architecture")
    if architecture is None:
        raise CheckpointError(names.without_architecture(path))
    described = networks.of_architecture(architecture)
    if (beside := path.with_name(INPUT)).is_file():
        described["preprocessing"] = processors.next_to(text, beside)
        notes = [f"The input is that of the {INPUT} next to the file."]
    else:
        notes = [networks.input_note(described["library"], architecture)]
    if described["library"] == "open_clip":
        notes.insert(0, _activation_note(described["architecture"]))
    described["note"] = " ".join(filter(None, notes))
    found = _in_file(described, path, described["architecture"], renamed)
    return described | found


def _in_file(
    described: Mapping[str, Any], path: Path, network: str, renamed: bool = False
) -> dict[str, Any]:
    """What the tensors in a file say of a model: its level, its head, and notes on choices.

    ``network`` is what the library builds it from.
    """
    net = networks.build(path.name, described["library"], network, outline=True)
    weights = read_weights(path, None if renamed else net)
    wanted, state = net.state_dict(), weights.state
    if renamed:
        check_order(path, state)
        state = layouts.in_order(wanted, state)
    elif not wanted.keys() & state.keys() and layouts.only_renamed(wanted, state):
        check_order(path, state)
        raise CheckpointError(
            f"{path.name} has {len(wanted)} tensors of the shapes that {described['architecture']} "
            "has, in the same order, under other names: give --renamed if they are the same "
            "network's."
        )
    layers = {key.rpartition(".")[0] for key in state}
    if described["library"] == "timm":
        classified = layers & {*networks.classifier_names(net)}
        fields = {} if classified else {"head": "none"}
    else:
        tower_alone = all(key.startswith("visual.") for key in state)
        fields = {"head": "none"} if tower_alone else {}
    stated = weights.metadata.get("level")
    level = stated if stated in registry.LEVELS else "unknown"  # random weights look the same
    notes = " ".join(filter(None, [described.get("note"), *weights.notes]))
    known = {"renamed": True, "weights_sha256": parts.checksum(path)} if renamed else {}
    return known | fields | {"level": level, "weights": _stored(path), "note": notes}


def _path_of(text: str) -> Path:
    """Return the file that is meant: from here, or from the repository's root."""
    here = Path(text).expanduser()
    return next((path for path in (here, WORKSPACE / here) if path.exists()), here)


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
