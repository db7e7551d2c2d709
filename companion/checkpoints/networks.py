"""Networks by name, without their weights, and what open_clip and timm say about them.

The pocket lab's own architectures count as open_clip's. For a repository of the hub, the network is
built from the configuration stored there. A network's description is its input, its width, and how
it was trained, which the names of published weights reveal.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from pydantic import ValidationError
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from analysis.base.roots import ROOT
from analysis.base.strict import first_reason
from analysis.base.texts import suggestion
from analysis.families.registry import HUB, LOCAL_DIR, NOT_STATED, Level, Model, Preprocessing
from analysis.features.encoders import ModelError
from analysis.features.preprocess import POCKET_INPUT
from analysis.features.store import local_weights
from companion.checkpoints import lazily
from companion.checkpoints.lazily import open_clip
from companion.checkpoints.weights import HUB_FILES, from_hub

ARCHITECTURES = ROOT / "data" / "pocket" / "architectures"
RANDOM_SEED = 0
#: By whether it is the quick one.
ACTIVATIONS = {True: "QuickGELU", False: "GELU"}
#: What a tag says about the data, and the book's names for them.
PRETRAINING = {
    "openai": "OpenAI WIT-400M",
    "laion400m": "LAION-400M",
    r"laion(\d)b": r"LAION-\1B",
    "laiona": "LAION-Aesthetic",
    "yfcc15m": "YFCC-15M",
    "cc12m": "CC-12M",
    "datacomp_?(xl|1b)": "DataComp-1B",
    "datacomp_l": "DataComp large",
    "datacomp_m": "DataComp medium",
    "datacomp_s": "DataComp small",
    "commonpool": "CommonPool",
    "merged2b": "Merged-2B",
    "metaclip": "MetaCLIP",
    "webli": "WebLI",
    r"dfn(\d)b": r"DFN-\1B",
    r"in(21|22|12|1)k": r"ImageNet-\1k labels",
}


class CheckpointError(ModelError):
    """No checkpoint has the given name; the message suggests similar ones."""


def architecture(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of an architecture, the pocket lab's own included."""
    _add_own()
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        raise ModelError(
            f"open_clip knows no architecture {name!r}, and data/pocket/architectures has no "
            f"{name}.json: {suggestion(name, open_clip_architectures())}."
        )
    return config


def quick_gelu(config: Mapping[str, Any]) -> bool:
    """Whether open_clip's configuration, of an architecture or of weights, says QuickGELU."""
    return bool(config.get("quick_gelu", False))


def open_clip_architectures() -> list[str]:
    """Names of the architectures that open_clip can build, the pocket lab's own included."""
    folders = (lazily.configurations(), ARCHITECTURES)
    return sorted({path.stem for folder in folders for path in folder.glob("*.json")})


def _add_own() -> None:
    """Let open_clip know the pocket lab's architectures."""
    if not {path.stem for path in ARCHITECTURES.glob("*.json")} <= {*open_clip.list_models()}:
        open_clip.add_model_config(ARCHITECTURES)


def source(model: Model) -> str:
    """Return what the libraries know a model's architecture by.

    That is its name; of weights in a repository of the hub, or in a folder laid out as one, the
    folder with its configuration.
    """
    weights, name = model.weights or "", model.architecture or ""
    local = local_weights(model)
    if weights.startswith(LOCAL_DIR) and local:
        return f"{LOCAL_DIR}{local.parent}"
    if not weights.startswith(HUB) or (model.library == "open_clip" and "/" not in name):
        return name  # known, as of transformers' CLIP is what open_clip has of the same sizes
    config = HUB_FILES[model.library or ""][:1]
    return f"{LOCAL_DIR}{from_hub(model.name, weights.removeprefix(HUB), config).parent}"


def build(
    who: str, library: str, name: str, *, drawn: bool = False, outline: bool = False, **options: Any
) -> Any:
    """Build a network by the name of its architecture; ModelError, about ``who``, if that fails.

    If the weights are to be ``drawn``, they are those that seed 0 draws. Otherwise drawing would be
    wasted time, because every tensor is loaded or missing, which is an error. An ``outline`` has no
    storage for weights at all. The random state is left as it was.
    """
    device = torch.device("meta") if outline else contextlib.nullcontext()
    undrawn = contextlib.nullcontext() if drawn else _Undrawn()
    if library == "open_clip":
        _add_own()
    logging.disable(logging.WARNING)  # of no loaded weights: they will be, or it is the control
    try:
        with torch.random.fork_rng(devices=[]), device, undrawn:
            torch.manual_seed(RANDOM_SEED)
            if library == "timm":
                return timm.create_model(name, **options)
            unloaded = dict.fromkeys(("load_weights", "pretrained_image", "pretrained_text"), False)
            where = "meta" if outline else "cpu"
            return open_clip.create_model(name, device=where, **unloaded, **options)
    except Exception as error:  # of many kinds, as the configuration is wrong
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        what = "what it configures" if name.startswith(LOCAL_DIR) else repr(name)
        raise ModelError(f"{who}: {library} cannot build {what} ({reason}).") from None
    finally:
        logging.disable(logging.NOTSET)


def classifier_names(net: Any) -> tuple[str, ...]:
    """Return what timm calls the classifier of a network, several where there are such."""
    names = net.pretrained_cfg.get("classifier")
    return (names,) if isinstance(names, str) else tuple(names or ())


def without_projection(who: str, encoder: Any) -> int:
    """Remove CLIP's projection from an image encoder; return how many components it then gives.

    These are the pooled and normalised components that the projection would read. Raises
    ModelError, about ``who``, if the network is not one of open_clip's vision transformers.
    """
    projection = getattr(encoder, "proj", None)
    if not isinstance(projection, nn.Parameter):
        raise ModelError(
            f"{who}: its image encoder is a {type(encoder).__name__}, which has no projection of "
            "its own at the end as open_clip's vision transformers have: leave layer out."
        )
    encoder.proj = None
    return len(projection)


def check_activation(model: Model, network: str) -> None:
    """Raise ModelError if a network's activation is not the one its weights were trained with."""
    quick = quick_gelu(architecture(network))
    tag = open_clip.get_pretrained_cfg(model.architecture, model.weights) if model.weights else {}
    if tag and quick_gelu(tag) != quick:
        raise ModelError(
            f"{model.name}: the weights {model.weights} were trained with "
            f"{ACTIVATIONS[not quick]}, but {model.architecture} uses {ACTIVATIONS[quick]}: use "
            f"the architecture {'without' if quick else 'with'} -quickgelu in its name."
        )


def of_architecture(name: str) -> dict[str, Any]:
    """Describe an architecture without weights: the input is what its published weights take."""
    names = open_clip_architectures()
    if name in names:
        fields = by_open_clip(name, name, usual_config(name))
        if (ARCHITECTURES / f"{name}.json").is_file():
            size = fields["preprocessing"].size
            fields["preprocessing"] = POCKET_INPUT.model_copy(update={"size": size})
        return {**fields, "architecture": name, "pretraining": NOT_STATED}
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise CheckpointError(
            f"neither open_clip nor timm has an architecture {name!r}: "
            f"{suggestion(name, [*names, *timm.list_models()])}."
        )
    if tag and name not in timm.list_pretrained(f"{base}*"):
        tags = timm.list_pretrained(f"{base}.*")
        raise CheckpointError(f"timm has no pretrained model {name!r}: {suggestion(name, tags)}.")
    fields = by_timm(name, build(name, "timm", name, outline=True), tag)
    kept = {key: fields[key] for key in ("library", "architecture", "preprocessing", "width")}
    return {**kept, "pretraining": NOT_STATED}


def input_note(library: str, name: str) -> str:
    """Which published weights a file's input was taken from, where others take another; else ""."""
    decides: tuple[str, ...]
    if library == "open_clip":
        tags = open_clip.list_pretrained_tags_by_model(name)
        configs = {tag: open_clip.get_pretrained_cfg(name, tag) for tag in tags}
        decides, taken = ("mean", "std", "interpolation", "resize_mode"), next(iter(configs), "")
    else:
        base = name.partition(".")[0]
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{base}.*")]
        configs = {tag: vars(timm.get_pretrained_cfg(f"{base}.{tag}")) for tag in tags}
        decides = ("mean", "std", "interpolation", "crop_pct", "input_size")
        taken = name.partition(".")[2] or getattr(timm.get_pretrained_cfg(base), "tag", "")
    inputs = {tag: [config.get(key) for key in decides] for tag, config in configs.items()}
    others = [tag for tag, given in inputs.items() if given != inputs.get(taken)]
    if not others:
        return ""
    return (
        f"A file does not say what its input is: that of the published weights {taken} was taken "
        f"(mean, deviation, resizing), and {len(others)} of {len(inputs)} take another, "
        f"{', '.join(others[:3])} among them: correct preprocessing in the family file if need be."
    )


def usual_config(name: str) -> Mapping[str, Any]:
    """What open_clip says of the first of an architecture's published weights, perhaps nothing."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    return open_clip.get_pretrained_cfg(name, tags[0]) if tags else {}


def by_open_clip(text: str, name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What open_clip says of a network: its input, as ``config`` of its weights wants it, width."""
    net = build(text, "open_clip", name, outline=True, force_preprocess_cfg=dict(config or {}))
    spec = open_clip.get_model_preprocess_cfg(net)
    edges = spec["size"] if isinstance(spec["size"], Sequence) else [spec["size"]]
    mode = {"shortest": "center"}.get(spec["resize_mode"], spec["resize_mode"])
    width = architecture(name)["embed_dim"]
    described = preprocessing(text, edges, edges[0], mode, spec)
    return {"library": "open_clip", "preprocessing": described, "width": width}


def by_timm(text: str, net: Any, tag: str) -> dict[str, Any]:
    """What timm says of a network: its input, width, and how weights of a tag were trained.

    An image encoder of a CLIP model has no classifier; timm counts CLIP's components as classes.
    """
    spec, config = resolve_model_data_config(net), net.pretrained_cfg
    name, classes, tuned = config["architecture"], config.get("num_classes"), "_ft_in" in tag
    level: Level | None = "finetuned" if tuned else "supervised" if classes else None
    fields: dict[str, Any] = {} if classes else {"head": "none"}
    if ("clip" in name or "clip" in tag) and not tuned and classes not in (None, 0, 1000):
        note = "The image encoder of a CLIP model alone, before CLIP's projection."
        level, fields = "zero_shot", {"head": "none", "note": note}
    edges = spec["input_size"][1:]
    resize = math.floor(edges[0] / spec["crop_pct"])
    return fields | {
        "library": "timm",
        "architecture": name,
        "pretraining": pretraining(tag),
        "preprocessing": preprocessing(text, edges, resize, spec["crop_mode"], spec),
        "width": int(getattr(net, "head_hidden_size", net.num_features)),
        "level": level,
    }


def preprocessing(
    text: str, edges: Sequence[int], resize: Any, mode: str, values: Mapping[str, Any]
) -> Preprocessing:
    """The input that a library describes; CheckpointError for what the book cannot do.

    ``edges`` of the square that is cut after the picture was resized to ``resize``, and how it was:
    ``mode`` is ``center`` or ``squash``.
    """
    fields = {
        "size": edges[0] if len({*edges}) == 1 else edges,
        "resize": None if resize == edges[0] else resize,
        "squash": {"center": False, "squash": True}.get(mode, mode),
    }
    kept = {name: values[name] for name in ("mean", "std", "interpolation")}
    try:
        return Preprocessing.model_validate(fields | kept)
    except ValidationError as error:
        raise CheckpointError(
            f"{text} takes an input that this book does not know: {first_reason(error)}."
        ) from None


def pretraining(tag: str) -> str:
    """Return the data that a tag says the model was first trained on, or the tag itself."""
    plain = tag.lower().replace("-", "_")
    matches = [(re.search(pattern, plain), title) for pattern, title in PRETRAINING.items()]
    titles = [(match.start(), match.expand(title)) for match, title in matches if match]
    return min(titles)[1] if titles else tag


class _Undrawn(TorchFunctionMode):
    """Fills tensors with zeros, not with random numbers.

    Zeros, because `nn.init.trunc_normal_` draws anew for as long as a number is out of its range.
    """

    #: Of `nn.init` those that PyTorch gives to a mode whole: what they call no longer comes here.
    DRAWS = (
        *(Tensor.normal_, Tensor.uniform_, Tensor.erfinv_),
        *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_),
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.DRAWS:
            return nn.init.zeros_(args[0] if args else kwargs["tensor"])
        return func(*args, **kwargs)
