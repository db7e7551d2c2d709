"""From a model's description to an encoder, its preprocessing and its head.

`load` builds the architecture, puts the weights in, and refuses to go on where the libraries only
warn: weights that are missing or do not fit, another activation than the weights were trained
with, an output of another width than described. Weights are read from safetensors files, and
from PyTorch's files that hold tensors alone; nothing is opened in a way that could run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
from numpy.typing import NDArray
from open_clip.pretrained import get_pretrained_cfg
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from analysis.common import ROOT, CompanionError, suggestion
from analysis.families.registry import HUB, PACKAGE, WEIGHT_FILES, Model, is_file_name
from analysis.features.preprocess import to_pixels
from analysis.features.store import Head, StoreError, describe, read, read_head, write_head
from analysis.features.tokenizer import WordTokenizer
from analysis.images import imagenet, public
from analysis.images.find import class_prompts
from analysis.images.imagelist import ImageList, Pixels, Prompts

ARCHITECTURES = ROOT / "data" / "pocket" / "architectures"
RANDOM_SEED = 0
#: From this version on PyTorch reads files of tensors without a known way to run code.
SAFE_TORCH = (2, 6)
#: Where training programs keep a model's tensors in a file that holds more than these.
WRAPPERS = ("state_dict", "model_state_dict", "model")
#: What programs put before the names of all tensors when they train on several devices or compile.
PREFIXES = ("module.", "_orig_mod.")
#: Names of tensors that give a file away, whether all must be such, and what the file then is.
OTHER_FILES = (
    (r"(?i)lora_|\.lora\.|hada_w1", False,
     "is an adapter (LoRA), which only changes another model, where all weights of an encoder are "
     "expected: merge it into its model, and give what comes out"),
    (r"exp_avg|momentum_buffer|optimizer", False,
     "holds the state of an optimizer, where the weights of an encoder are expected: save the "
     "model's weights alone"),
    (r"^(text|transformer|token_embedding|positional_embedding|ln_final|text_projection|logit_)",
     True,
     "holds a text encoder alone, where the weights of an image encoder are expected: give the "
     "file of the whole model"),
)  # fmt: skip

State = dict[str, Tensor]
TextEncoder = Callable[[Sequence[str]], Tensor]


class ModelError(CompanionError, RuntimeError):
    """A model cannot be loaded as it is described; the message says why."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to use, in evaluation mode.

    ``encoder`` maps normalised images, float of shape (n, 3, size, size), to features of shape
    (n, width). ``head`` is the model's own classifier; a model that has none but a ``text``
    encoder gets one from class names, see `zero_shot_head`. ``weights_sha256`` is that of the
    weights' file, or of the weights themselves where they were drawn at random. ``scale`` is what
    a CLIP model multiplies cosines by: exp(logit scale).
    """

    model: Model
    encoder: nn.Module
    head: Head | None
    weights_sha256: str
    text: TextEncoder | None = None
    read: str = ""
    scale: float | None = None

    @cached_property
    def device(self) -> torch.device:
        """Where the encoder's weights are."""
        return next(self.encoder.parameters()).device

    def normalize(self, pixels: Tensor) -> Tensor:
        """Turn bytes of shape (n, 3, size, size) into the encoder's input, on the same device."""
        return normalize(pixels, self.model)

    def preprocess(self, image: Image.Image | Pixels) -> Tensor:
        """Turn one picture into the encoder's input, shape (3, size, size), on the CPU."""
        pixels = torch.from_numpy(to_pixels(image, self.model.preprocessing).copy())
        return self.normalize(pixels[None])[0]


def normalize(pixels: Tensor, model: Model) -> Tensor:
    """Scale bytes of shape (n, 3, h, w) to [0, 1], subtract the mean, divide by the deviation."""
    spec = model.preprocessing
    mean = torch.tensor(spec.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(spec.std, device=pixels.device).view(1, 3, 1, 1)
    return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)


def load(model: Model, checkpoint: Path | None = None, device: str = "cpu") -> Loaded:
    """Build a model and load its weights.

    ``checkpoint``, a local file, is used instead of the described weights. Raises ModelError when
    the weights are absent, not a file of tensors, of another architecture, or not those whose
    sha256 is noted, when the activation is not the one they were trained with, when the output has
    another width, or when there is no head where one is described.
    """
    if not model.loadable:
        raise ModelError(f"{model.name} has no public weights, so it cannot be loaded.")
    if model.level == "random" and checkpoint is not None:
        raise ModelError(f"{model.name} is the random control and takes no checkpoint.")
    build = _load_open_clip if model.library == "open_clip" else _load_timm
    loaded = build(model, checkpoint, device)
    loaded.encoder.eval().requires_grad_(False)
    loaded = with_head(loaded)
    _check_output(loaded)
    return loaded


def with_head(loaded: Loaded) -> Loaded:
    """Keep of own head and text encoder what the description wants; ModelError if it is absent."""
    model = loaded.model
    if model.head is None:
        return loaded
    if model.head == "none":
        return replace(loaded, head=None, text=None)
    if model.head == "zero_shot" and loaded.text is None:
        raise ModelError(
            f"{model.name} has no text encoder to make a zero-shot head with: "
            + ("it has a classifier of its own (head own)." if loaded.head else "use head none.")
        )
    if model.head == "own" and loaded.head is None:
        raise ModelError(
            f"{model.name} has no classifier of its own: "
            + ("use head zero_shot or none." if loaded.text else "use head none.")
        )
    if model.head == "zero_shot":
        return replace(loaded, head=None)
    return replace(loaded, head=_renamed_classes(loaded), text=None)


def _renamed_classes(loaded: Loaded) -> Head:
    """The model's own head with the described names of its classes, where there are such."""
    assert loaded.head is not None
    model, count = loaded.model, len(loaded.head.classes)
    if model.classes is None:
        return loaded.head
    classes = model.classes
    names = imagenet.classes() if isinstance(classes, str) else classes
    if len(names) != count:
        raise ModelError(
            f"{model.name}: the checkpoint's head has {count} classes, {len(names)} class names "
            "are given: give one name for each, in the head's order."
        )
    return replace(loaded.head, classes=names)


def architecture(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of an architecture, the pocket lab's own included."""
    _register_pocket_architectures()
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        raise ModelError(
            f"open_clip knows no architecture {name!r}, and data/pocket/architectures has no "
            f"{name}.json: {suggestion(name, open_clip.list_models())}."
        )
    return config


def open_clip_architectures() -> list[str]:
    """Names of the architectures that open_clip can build, the pocket lab's own included."""
    _register_pocket_architectures()
    names: list[str] = open_clip.list_models()
    return names


def zero_shot_head(loaded: Loaded, prompts: Prompts, batch_size: int = 256) -> Head:
    """Return the classifier that the text encoder makes of class names and templates.

    Per class: the mean over templates of the text features of length 1, scaled to length 1 again.
    """
    if loaded.text is None:
        raise ModelError(f"{loaded.model.name} has no text encoder to make a zero-shot head with.")
    texts = [template.format(name) for name in prompts.names for template in prompts.templates]
    with torch.inference_mode():
        parts = [
            nn.functional.normalize(loaded.text(texts[i : i + batch_size]).float(), dim=-1)
            for i in range(0, len(texts), batch_size)
        ]
        per_class = torch.cat(parts).view(len(prompts.names), len(prompts.templates), -1).mean(1)
        weight = nn.functional.normalize(per_class, dim=-1).cpu().numpy()
    return Head(weight=weight, classes=prompts.classes, normalize=True)


def cached_head(loaded: Loaded, prompts: Prompts | None, path: Path) -> Head:
    """Return the model's own head, or the zero-shot head of ``prompts``, kept at ``path``.

    What is kept, there or for another data set of the model, is used again only if it came from the
    same weights and prompts.
    """
    sidecar = {
        "model": describe(loaded.model, loaded.weights_sha256),
        "prompts": None if loaded.head else prompts and prompts.sha256,
    }
    wanted = json.loads(json.dumps(sidecar))
    for place in (path, *sorted(path.parent.glob("*.head.safetensors"))):
        with contextlib.suppress(StoreError):
            kept = read(place)[1]
            same = all(kept[key] == value for key, value in wanted.items())
            if same and (loaded.head is None or tuple(kept["classes"]) == loaded.head.classes):
                head = read_head(place)
                if place != path:
                    write_head(path, head, sidecar)
                return head
    if loaded.head is None and prompts is None:
        raise ModelError(f"{loaded.model.name} needs class names and templates to make a head of.")
    head = loaded.head or zero_shot_head(loaded, prompts)  # type: ignore[arg-type]
    write_head(path, head, sidecar)
    return head


def recognised(
    model: Model, images: ImageList, checkpoint: Path | None = None
) -> NDArray[np.bool_]:
    """Say of each image whether the model names its class, shape (N,), bool.

    For small data sets: all images are one batch. ``checkpoint`` as in `load`. A CLIP model gets
    the zero-shot head of the data set's prompts.
    """
    loaded = load(model, checkpoint)
    head = loaded.head
    if head is None:
        prompts = head_prompts(model, images)
        if prompts is None:
            raise ModelError(f"{images.name} has no class names and templates to make a head of.")
        head = zero_shot_head(loaded, prompts)
    batch = torch.stack([loaded.preprocess(images.image(i)) for i in range(len(images))])
    with torch.inference_mode():
        features = loaded.encoder(batch).numpy()
    found: NDArray[np.bool_] = head.logits(features).argmax(1) == images.labels
    return found


def imagenet_prompts() -> Prompts:
    """Return the 1,000 class names and 80 templates of OpenAI; the classes are WordNet ids."""
    return imagenet.prompts()


def head_prompts(model: Model, images: ImageList) -> Prompts | None:
    """Return what a model's zero-shot head for a data set is made of; None if nothing is known.

    That is the model's own class names and templates where it is described with some, else those
    of the data set.
    """
    if model.classes is None:
        prompts = images.prompts
    elif isinstance(model.classes, str):
        prompts = imagenet_prompts()
    else:
        prompts = class_prompts(model.classes)
    if prompts is None or model.templates is None:
        return prompts
    own = model.templates
    return replace(prompts, templates=imagenet_prompts().templates if isinstance(own, str) else own)


def read_weights(path: Path) -> tuple[State, dict[str, str]]:
    """Read the tensors and the metadata of a weights' file.

    Safetensors files have the metadata they were written with. Of PyTorch's files (``.pt``,
    ``.pth``, ``.bin``) only those that hold nothing but tensors and plain values are read. The
    entry ``read`` says what was taken where that is not the file as it is. ModelError for anything
    else.
    """
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    if path.suffix not in WEIGHT_FILES:
        raise ModelError(
            f"{path.name} is not a safetensors file, nor one of PyTorch's "
            f"({', '.join(WEIGHT_FILES[1:])}): convert it with a tool that you trust, and name it "
            ".safetensors."
        )
    state, metadata = _read_safetensors(path) if _is_safetensors(path) else _read_pytorch(path)
    for prefix in PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            taken = f"the prefix {prefix!r} was taken off the names of all tensors"
            metadata["read"] = "; ".join(filter(None, [metadata.get("read"), taken]))
    return state, metadata


def _is_safetensors(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path.name} is named safetensors but is not a sound one ({error}): it may be cut "
            "short, or be another format under that name: get it again."
        ) from None


def _read_pytorch(path: Path) -> tuple[State, dict[str, str]]:
    """Read a file of ``torch.save`` that holds tensors, or a dictionary that has them."""
    content = _unpickled(path)
    read = ""
    if isinstance(content, Mapping) and {"state", "param_groups"} <= content.keys():
        raise ModelError(
            f"{path.name} holds the state of an optimizer, where the weights of an encoder are "
            "expected: save the model's weights alone."
        )
    if isinstance(content, Mapping) and not _all_tensors(content):
        entry = next((name for name in WRAPPERS if _all_tensors(content.get(name))), None)
        if entry is not None:
            others = [str(key) for key in content if key != entry]
            content = content[entry]
            read = f"of {path.name} the entry {entry!r} was taken" + (
                f", and {', '.join(others)} left aside" if others else ""
            )
    if not _all_tensors(content):
        raise ModelError(
            f"{path.name} holds no weights by name ({_kind(content)}), where a dictionary of "
            f"tensors is expected, or one with such a dictionary under {' or '.join(WRAPPERS)}: "
            "save the model's state_dict()."
        )
    assert isinstance(content, Mapping)
    return {str(key): value for key, value in content.items()}, {"read": read} if read else {}


def _unpickled(path: Path) -> object:
    """Open a file of ``torch.save`` in the mode that builds tensors and plain values, no more."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        raise ModelError(
            f"{path.name} is read with PyTorch {SAFE_TORCH[0]}.{SAFE_TORCH[1]} or newer only, and "
            f"this is {torch.__version__}, which such a file can make run code: update PyTorch, or "
            "convert the file to safetensors."
        )
    try:
        with path.open("rb") as file:
            mapped = file.read(4) == b"PK\x03\x04"  # written since PyTorch 1.6
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (
        *(pickle.UnpicklingError, RuntimeError, EOFError, OSError),
        *(ValueError, KeyError, IndexError, AttributeError, UnicodeDecodeError),
    ) as error:
        raise ModelError(_why_not_read(path, error)) from None


def _why_not_read(path: Path, error: Exception) -> str:
    text = str(error)
    named = re.search(r"GLOBAL ([\w.]+)", text)
    if named:
        return (
            f"{path.name} holds more than tensors ({named[1]}), and may run code when it is "
            "opened, so it was not: save the model's state_dict() as safetensors with a tool that "
            "you trust."
        )
    reason = text.splitlines()[0] if text else type(error).__name__
    if "torchscript" in text.lower():
        reason = "it is a TorchScript program, not a file of weights"
    elif isinstance(error, pickle.UnpicklingError):
        reason = "its bytes are not those of saved tensors"
    return (
        f"{path.name} is not a sound file of PyTorch's ({reason}): it may be cut short, or be "
        "another format under that name: get it again, or convert it to safetensors."
    )


def _all_tensors(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _kind(content: object) -> str:
    if isinstance(content, Mapping):
        names = [str(key) for key in content]
        return f"a dictionary with {', '.join(names[:6])}" if names else "an empty dictionary"
    return f"a {type(content).__name__}"


def _load_open_clip(model: Model, checkpoint: Path | None, device: str) -> Loaded:
    name = model.architecture or ""
    config = architecture(name)
    _check_activation(model, bool(config.get("quick_gelu", False)))
    clip = _built(
        model,
        lambda: open_clip.create_model(
            name, pretrained=None, pretrained_image=False, pretrained_text=False
        ),
    )
    if not isinstance(clip, open_clip.CLIP | open_clip.CustomTextCLIP):
        raise ModelError(
            f"{model.name}: {model.architecture} is a {type(clip).__name__}, whose image features "
            "are not a single vector per image."
        )
    head, has_text, read = None, True, ""
    if model.level == "random":
        sha256 = _hash_of_state(clip.state_dict())
    else:
        path = checkpoint or _open_clip_file(model)
        sha256 = _known_sha256(model, path)
        state, metadata = read_weights(path)
        read = metadata.get("read", "")
        head = _take_head(model, state, metadata)
        has_text = not all(key.startswith("visual.") for key in state)
        if not has_text and head is None and model.head != "none":
            raise ModelError(f"{path.name} has neither a text encoder nor a head: use head none.")
        _put_weights(model, clip if has_text else clip.visual, state, path, has_text)
    clip.eval().requires_grad_(False).to(device)
    text = _text_encoder(model, clip, device) if has_text else None
    scale = float(clip.logit_scale.exp()) if has_text else None
    return Loaded(model, clip.visual, head, sha256, text, read, scale)


def _load_timm(model: Model, checkpoint: Path | None, device: str) -> Loaded:
    name = model.architecture or ""
    read = ""
    if model.level == "random":
        net = _built(model, lambda: timm.create_model(name))
        sha256 = _hash_of_state(net.state_dict())
    else:
        path = checkpoint or _timm_file(model)
        sha256 = _known_sha256(model, path)
        state, metadata = read_weights(path)
        read = metadata.get("read", "")
        classifiers = classifier_names(name)
        if model.head == "none":
            state = {k: v for k, v in state.items() if k.rpartition(".")[0] not in classifiers}
        weight = next((state[f"{c}.weight"] for c in classifiers if f"{c}.weight" in state), None)
        classes = 0 if model.head == "none" else 1000 if weight is None else len(weight)
        net = _built(model, lambda: timm.create_model(name, num_classes=classes))
        if model.renamed and len(state) == len(net.state_dict()):
            state = dict(zip(net.state_dict(), state.values(), strict=True))
        _put_weights(model, net, state, path, full=True)
    head = None if model.head == "none" else _timm_head(model, net)
    return Loaded(model, _BeforeHead(net).to(device), head, sha256, read=read)


def classifier_names(architecture: str) -> tuple[str, ...]:
    """Return what timm calls the classifier of an architecture, several where there are such."""
    config = timm.get_pretrained_cfg(architecture)
    names = config.classifier if config else None
    return (names,) if isinstance(names, str) else tuple(names or ())


class _BeforeHead(nn.Module):
    """A timm model up to what its classifier sees."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (n, 3, size, size) to features (n, width)."""
        net: Any = self.net
        features: Tensor = net.forward_head(net.forward_features(images), pre_logits=True)
        return features


def _timm_head(model: Model, net: Any) -> Head:
    linear = net.get_classifier()
    if not isinstance(linear, nn.Linear):
        raise ModelError(
            f"{model.name}: the classifier is a {type(linear).__name__}, a linear one is expected."
        )
    count = linear.out_features
    classes = imagenet.classes()
    names = classes if count == len(classes) else tuple(map(str, range(count)))
    bias = linear.bias
    return Head(
        weight=linear.weight.detach().float().numpy().copy(),
        bias=None if bias is None else bias.detach().float().numpy().copy(),
        classes=names,
    )


def _text_encoder(model: Model, clip: Any, device: str) -> TextEncoder:
    own = (ARCHITECTURES / f"{model.architecture}.json").is_file()

    @lru_cache(maxsize=1)
    def tokenizer() -> Callable[[Sequence[str]], Tensor]:
        if own:
            return WordTokenizer.load(ARCHITECTURES.parent / "tokenizer.json")
        try:
            found: Callable[[Sequence[str]], Tensor] = open_clip.get_tokenizer(model.architecture)
        except (OSError, ImportError) as error:
            raise ModelError(
                f"{model.name}: the tokenizer of {model.architecture} could not be had "
                f"({type(error).__name__}): go online, or use head none."
            ) from None
        return found

    def encode(texts: Sequence[str]) -> Tensor:
        features: Tensor = clip.encode_text(tokenizer()(list(texts)).to(device))
        return features

    return encode


def _take_head(model: Model, state: State, metadata: Mapping[str, str]) -> Head | None:
    """Take ``head.weight`` and ``head.bias`` out of a checkpoint, if it has them."""
    if metadata.get("architecture", model.architecture) != model.architecture:
        raise ModelError(
            f"the checkpoint of {model.name} is of the architecture {metadata['architecture']}, "
            f"{model.architecture} is expected."
        )
    weight, bias = state.pop("head.weight", None), state.pop("head.bias", None)
    if weight is None:
        return None
    try:
        classes = tuple(json.loads(metadata["classes"]))
        normalize = {"true": True, "false": False}[metadata["normalize"]]
    except (KeyError, ValueError, TypeError):
        raise ModelError(
            f"the checkpoint of {model.name} has a head, but not the metadata `classes` (a JSON "
            "list) and `normalize` (true or false) that a head needs."
        ) from None
    return Head(
        weight=weight.float().numpy(),
        bias=None if bias is None else bias.float().numpy(),
        classes=classes,
        normalize=normalize,
    )


def _put_weights(model: Model, net: nn.Module, state: State, path: Path, full: bool) -> None:
    """Load every tensor into its place; no key may be missing, left over or of another shape."""
    _refuse_other_files(state, path)
    if not full:
        state = {key.removeprefix("visual."): value for key, value in state.items()}
    wanted = net.state_dict()
    for key in wanted.keys() & state.keys():
        if wanted[key].numel() != 1 and wanted[key].shape != state[key].shape:
            raise ModelError(
                f"{path.name} is not of the architecture {model.architecture}: {key} has the shape "
                f"{tuple(state[key].shape)}, {tuple(wanted[key].shape)} is expected; name the "
                "architecture that the file is of."
            )
    try:
        if model.library == "open_clip" and full and wanted.keys() != state.keys():
            _load_older_layout(net, state)
        else:
            net.load_state_dict(state, strict=True)
    except (RuntimeError, KeyError) as error:
        missing, left = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
        raise ModelError(
            f"{path.name} is not of the architecture {model.architecture}: {len(missing)} tensors "
            f"are missing{_first(missing)} and {len(left)} are left over{_first(left)}; get the "
            "whole file, or name the architecture that it is of."
        ) from error


def _load_older_layout(clip: nn.Module, state: State) -> None:
    """Load tensors that are named as other programs, or earlier versions of open_clip, do it."""
    state = open_clip.convert.convert_state_dict(clip, dict(state))
    if "positional_embedding" in state and not hasattr(clip, "positional_embedding"):
        state = open_clip.model.convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(clip, name, None)
        if name in state and own is not None:
            state[name] = state[name].reshape(own.shape)
    if "logit_bias" not in state and getattr(clip, "logit_bias", None) is not None:
        state["logit_bias"] = torch.zeros_like(state["logit_scale"])
    positions = "text.transformer.embeddings.position_ids"  # of transformers before 4.31
    if positions not in clip.state_dict():
        state.pop(positions, None)
    clip.load_state_dict(state, strict=True)


def _refuse_other_files(state: State, path: Path) -> None:
    """Say what a file is that is often mistaken for the weights of an image encoder."""
    for pattern, every, what in OTHER_FILES:
        found = [re.search(pattern, key) is not None for key in state]
        if found and (all(found) if every else any(found)):
            raise ModelError(f"{path.name} {what}.")


def _first(names: Sequence[str]) -> str:
    return f" (first {names[0]})" if names else ""


def _check_activation(model: Model, quick_gelu: bool) -> None:
    tag = get_pretrained_cfg(model.architecture, model.weights) if model.weights else {}
    if tag and bool(tag.get("quick_gelu", False)) != quick_gelu:
        activations = {True: "QuickGELU", False: "GELU"}
        raise ModelError(
            f"{model.name}: the weights {model.weights} were trained with "
            f"{activations[not quick_gelu]}, but {model.architecture} uses "
            f"{activations[quick_gelu]}: use the architecture "
            f"{'without' if quick_gelu else 'with'} -quickgelu in its name."
        )


def _check_output(loaded: Loaded) -> None:
    model, size = loaded.model, loaded.model.preprocessing.size
    try:
        with torch.inference_mode():
            features = loaded.encoder(torch.zeros(1, 3, size, size, device=loaded.device))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{model.name} does not take images of {size} × {size} pixels ({reason})."
        ) from None
    if features.shape != (1, model.width):
        raise ModelError(
            f"{model.name}: the features have the shape {tuple(features.shape[1:])}, "
            f"({model.width},) is described: correct `width` in the family file."
        )
    if loaded.head is not None and loaded.head.weight.shape[1] != model.width:
        raise ModelError(
            f"{model.name}: the head reads {loaded.head.weight.shape[1]} components, the encoder "
            f"gives {model.width}."
        )


def _open_clip_file(model: Model) -> Path:
    assert model.architecture is not None and model.weights is not None
    local = _local_file(model.weights)
    if local is not None:
        return local
    if model.weights.startswith(HUB):
        repository = model.weights.removeprefix(HUB)
        path = from_hub(model.name, repository, ["open_clip_config.json"])
        config = json.loads(path.read_bytes())
        _check_hub_config(model, config.get("model_cfg", config))
        return from_hub(model.name, repository, ["open_clip_model.safetensors"])
    tag = get_pretrained_cfg(model.architecture, model.weights)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(model.architecture)) or "none"
        raise ModelError(
            f"{model.name}: open_clip has no weights {model.weights!r} for {model.architecture} "
            f"(known are {known})."
        )
    repository, _, name = tag.get("hf_hub", "").rpartition("/")
    if not repository:
        raise ModelError(
            f"{model.name}: open_clip offers {model.weights} as a pickle only: convert it to "
            "safetensors with a tool that you trust, and give that file as the checkpoint."
        )
    names = ["open_clip_model.safetensors"]
    if name:
        names.insert(0, Path(name).with_suffix(".safetensors").name)
    return from_hub(model.name, repository, names)


def _timm_file(model: Model) -> Path:
    assert model.architecture is not None and model.weights is not None
    local = _local_file(model.weights)
    if local is not None:
        return local
    if model.weights.startswith(HUB):
        return from_hub(model.name, model.weights.removeprefix(HUB), ["model.safetensors"])
    name = f"{model.architecture}.{model.weights}"
    if name not in timm.list_pretrained(f"{model.architecture}*"):
        raise ModelError(f"{model.name}: timm has no pretrained model {name}.")
    config = timm.get_pretrained_cfg(name)
    repository = (config.hf_hub_id if config else None) or ""
    if repository.endswith("/"):
        repository += name
    return from_hub(model.name, repository, ["model.safetensors"])


def _local_file(weights: str) -> Path | None:
    """Return the file that ``weights`` names, if it is a path and not a tag or a hub id."""
    if weights.startswith(PACKAGE):
        return public.in_package(weights.removeprefix(PACKAGE))
    return ROOT / Path(weights).expanduser() if is_file_name(weights) else None


def from_hub(who: str, repository: str, names: Sequence[str]) -> Path:
    """Return the first of some files that a repository has, from the hub's cache or the network.

    ``repository`` is ``organisation/name``, with ``@revision`` or without. ModelError, about
    ``who``, if there is none.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = repository.partition("@")
    which: Any = {"revision": revision} if revision else {}
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, **which))
        except LocalEntryNotFoundError as error:
            reason: Exception = error
            break
        except EntryNotFoundError as error:
            reason = error
        except Exception as error:
            reason = error
            break
    raise ModelError(
        f"{who}: {' or '.join(names)} of {repository} is not on this machine and could not "
        f"be fetched from the Hugging Face hub ({type(reason).__name__}): check the name and go "
        "online, or give a local file of the weights as the checkpoint."
    )


def _check_hub_config(model: Model, config: Mapping[str, Any]) -> None:
    own = architecture(model.architecture or "")
    for field in ("embed_dim", "quick_gelu"):
        here, there = own.get(field, False), config.get(field, False)
        if here != there:
            raise ModelError(
                f"{model.name}: {model.weights} has {field} {there}, the architecture "
                f"{model.architecture} has {here}."
            )


def _register_pocket_architectures() -> None:
    known = set(open_clip.list_models())
    if any(path.stem not in known for path in ARCHITECTURES.glob("*.json")):
        open_clip.add_model_config(ARCHITECTURES)


def _built(model: Model, build: Callable[[], Any]) -> Any:
    """Build a described network, drawing its weights only if it is the random control."""
    failure = f"{model.name}: {model.library} cannot build {model.architecture!r}"
    return built(failure, build, drawn=model.level == "random")


def built(failure: str, build: Callable[[], Any], *, drawn: bool = False) -> Any:
    """Build a network, with the weights that seed 0 draws if they are to be ``drawn``.

    For any other, drawing weights would be wasted time: each tensor is loaded, or it is an error.
    The random state is left as it was. ModelError, which begins with ``failure``, if that fails.
    """
    undrawn = contextlib.nullcontext() if drawn else _Undrawn()
    with torch.random.fork_rng(devices=[]), _quiet(), undrawn:
        torch.manual_seed(RANDOM_SEED)
        try:
            return build()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{failure} ({reason}).") from None


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are where they would be filled with random numbers."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warning that no weights are loaded: they are, or the model is the control."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _hash_of_state(state: State) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(state[key].detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _known_sha256(model: Model, path: Path) -> str:
    """Hash a weights' file; ModelError if the description notes another hash."""
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    sha256 = _sha256(path)
    if model.weights_sha256 not in (None, sha256):
        raise ModelError(
            f"{path.name} is not the file that {model.name} was described with: its sha256 starts "
            f"with {sha256[:12]}, {(model.weights_sha256 or '')[:12]} is noted in the family file: "
            "put that file back, or describe the new one under a name of its own (companion add)."
        )
    return sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
