"""From a model's description to an encoder, its preprocessing and its head.

`load` builds the architecture and loads the weights, and stops where the libraries only warn: if
weights are missing or do not fit, if the activation is not the one that the weights were trained
with, or if the output has another width than described.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from analysis.families.registry import HUB, LOCAL_DIR, Model
from analysis.features.encoders import Loaded, ModelError, TextEncoder, checked_sha256
from analysis.features.store import Head
from analysis.images import imagenet
from companion.checkpoints import layouts, networks
from companion.checkpoints.layouts import State
from companion.checkpoints.lazily import open_clip
from companion.checkpoints.tokenizer import WordTokenizer
from companion.checkpoints.weights import check_order, read_weights, weights_file

#: No weight of a trained network is nearly as large.
LARGEST_WEIGHT = 1e10


def load(model: Model, checkpoint: Path | None = None, device: str = "cpu") -> Loaded:
    """Build a model and load its weights.

    ``checkpoint``, a local file, replaces the described weights. Raises ModelError if the weights
    are absent, not a file of tensors, of another architecture, or do not have the noted sha256; if
    the activation is not the one they were trained with; if the output has another width; and if a
    described head is missing.
    """
    if not model.loadable:
        raise ModelError(f"{model.name} has no public weights, so it cannot be loaded.")
    if model.drawn and checkpoint is not None:
        raise ModelError(f"{model.name} is the random control and takes no checkpoint.")
    of_library = _load_open_clip if model.library == "open_clip" else _load_timm
    loaded = of_library(model, checkpoint, device)
    loaded.encoder.eval().requires_grad_(False)
    loaded = with_head(loaded)
    if not model.drawn:
        _check_trained(loaded)
    _check_output(loaded)
    return loaded


def with_head(loaded: Loaded) -> Loaded:
    """Keep of own head and text encoder what the description wants; ModelError if it is absent."""
    model, head = loaded.model, loaded.head
    if model.head is None:
        return loaded
    if model.head == "none":
        return replace(loaded, head=None, text=None)
    if model.head == "zero_shot":
        if loaded.text is None:
            raise ModelError(
                f"{model.name} has no text encoder to make a zero-shot head with: "
                + ("it has a classifier of its own (head own)." if head else "use head none.")
            )
        return replace(loaded, head=None)
    if head is None:
        raise ModelError(
            f"{model.name} has no classifier of its own: "
            + ("use head zero_shot or none." if loaded.text else "use head none.")
        )
    names = imagenet.classes() if isinstance(model.classes, str) else model.classes or head.classes
    if len(names) != len(head.classes):
        raise ModelError(
            f"{model.name}: the checkpoint's head has {len(head.classes)} classes, {len(names)} "
            "class names are given: give one name for each, in the head's order."
        )
    return replace(loaded, head=replace(head, classes=names), text=None)


def _load_open_clip(model: Model, checkpoint: Path | None, device: str) -> Loaded:
    name = networks.source(model)
    networks.check_activation(model, name)
    clip = networks.build(model.name, "open_clip", name, drawn=model.drawn)
    if not isinstance(clip, open_clip.CLIP | open_clip.CustomTextCLIP):
        raise ModelError(
            f"{model.name}: {model.architecture} is a {type(clip).__name__}, whose image features "
            "are not a single vector per image."
        )
    head, has_text = None, True
    if model.drawn:
        sha256 = _hash_of_state(clip.state_dict())
    else:
        path = checkpoint or weights_file(model)
        state, metadata, _ = read_weights(path, clip)
        sha256 = checked_sha256(model, path)
        head = _take_head(model, state, metadata)
        has_text = not all(key.startswith("visual.") for key in state)
        if not has_text and head is None and model.head != "none":
            raise ModelError(f"{path.name} has neither a text encoder nor a head: use head none.")
        _put_weights(model, clip if has_text else clip.visual, state, path, has_text)
    if model.own_layer:
        networks.without_projection(model.name, clip.visual)
    clip.eval().requires_grad_(False).to(device)
    text = _text_encoder(model, clip, name, device) if has_text else None
    scale = float(clip.logit_scale.exp()) if has_text else None
    return Loaded(model, clip.visual, head, sha256, text, scale)


def _load_timm(model: Model, checkpoint: Path | None, device: str) -> Loaded:
    name = networks.source(model)
    if model.drawn:
        net = networks.build(model.name, "timm", name, drawn=True)
        sha256 = _hash_of_state(net.state_dict())
    else:
        path = checkpoint or weights_file(model)
        outline = networks.build(model.name, "timm", name, outline=True)
        state = read_weights(path, None if model.renamed else outline).state
        if model.renamed:
            check_order(path, state)
            state = layouts.in_order(outline.state_dict(), state)
        sha256 = checked_sha256(model, path)
        classifiers = networks.classifier_names(outline)
        if model.head == "none":
            state = {k: v for k, v in state.items() if k.rpartition(".")[0] not in classifiers}
        weight = next((state[f"{c}.weight"] for c in classifiers if f"{c}.weight" in state), None)
        classes = 0 if model.head == "none" else 1000 if weight is None else len(weight)
        net = networks.build(model.name, "timm", name, num_classes=classes)
        _put_weights(model, net, state, path, full=True)
    head = None if model.head == "none" else _timm_head(model, net)
    return Loaded(model, _BeforeHead(net).to(device), head, sha256)


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
    classes = imagenet.classes()
    if linear.out_features != len(classes):
        classes = tuple(map(str, range(linear.out_features)))
    return _head(linear.weight, linear.bias, classes, normalize=False)


def _head(weight: Tensor, bias: Tensor | None, classes: tuple[str, ...], normalize: bool) -> Head:
    given = [tensor for tensor in (weight, bias) if tensor is not None]
    rows, *biases = (tensor.detach().float().numpy().copy() for tensor in given)
    return Head(rows, classes, biases[0] if biases else None, normalize)


def _text_encoder(model: Model, clip: Any, name: str, device: str) -> TextEncoder:
    """The text encoder; its tokenizer is loaded, perhaps from the hub, with the first text."""

    @cache
    def tokenizer() -> Callable[[Sequence[str]], Tensor]:
        if (networks.ARCHITECTURES / f"{model.architecture}.json").is_file():
            return WordTokenizer.load(networks.ARCHITECTURES.parent / "tokenizer.json")
        try:
            return cast(TextEncoder, open_clip.get_tokenizer(name))
        except (OSError, ImportError) as error:
            raise ModelError(
                f"{model.name}: the tokenizer of {model.architecture} could not be loaded "
                f"({type(error).__name__}): go online, or use head none."
            ) from None

    def encode(texts: Sequence[str]) -> Tensor:
        features: Tensor = clip.encode_text(tokenizer()(list(texts)).to(device))
        return features

    return encode


def _take_head(model: Model, state: State, metadata: Mapping[str, str]) -> Head | None:
    """Take ``head.weight`` and ``head.bias`` out of a checkpoint, if it has them."""
    own = (model.weights or "").startswith((HUB, LOCAL_DIR))  # whose configuration was built
    if not own and metadata.get("architecture", model.architecture) != model.architecture:
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
    return _head(weight, bias, classes, normalize)


def _is_kind(wanted: Tensor, given: Tensor) -> bool:
    """Whether numbers can be loaded as what they are: none of integers, of 8 bits, or complex."""
    real = given.is_floating_point() and given.element_size() > 1
    return real or not (wanted.is_floating_point() or given.is_complex())


def _put_weights(model: Model, net: nn.Module, state: State, path: Path, full: bool) -> None:
    """Load every tensor into its place; no key may be missing, left over or of another shape."""
    wanted = net.state_dict()
    if model.renamed and wanted.keys() != state.keys():
        check_order(path, state)
        state = layouts.in_order(wanted, state)
    if not full:
        state = {key.removeprefix("visual."): value for key, value in state.items()}
    kinds = [key for key in wanted.keys() & state.keys() if not _is_kind(wanted[key], state[key])]
    if kinds:
        raise ModelError(
            f"{path.name} has numbers of the type {state[min(kinds)].dtype} for "
            f"{layouts.shown(min(kinds))}, where real ones are expected: give weights that are "
            "neither quantised nor complex."
        )
    try:
        if model.library == "open_clip" and full and wanted.keys() != state.keys():
            layouts.load_older_layout(net, state)
        else:
            net.load_state_dict(state, strict=True)
    except (RuntimeError, KeyError) as error:
        both = wanted.keys() & state.keys()
        groups = {
            "are missing": wanted.keys() - state.keys(),
            "are left over": state.keys() - wanted.keys(),
            "have another shape": {key for key in both if wanted[key].shape != state[key].shape},
        }
        counts = [
            f"{len(names)} tensors {what} (first {layouts.shown(min(names))})"
            for what, names in groups.items()
            if names
        ]
        raise ModelError(
            f"{path.name} is not of the architecture {model.architecture}: {', '.join(counts)}; "
            "get the whole file, or name its architecture."
        ) from error


def _check_trained(loaded: Loaded) -> None:
    """Refuse weights that no training gives: all zero, without measure, or without any variance."""
    sizes = (p.abs().max().item() for p in loaded.encoder.parameters() if p.numel())
    largest = max(sizes, default=1)
    variances = [b for n, b in loaded.encoder.named_buffers() if n.endswith("running_var")]
    what = f"reach {largest:.3g}" if largest else "are all zero"
    if largest and variances and not any(variance.any() for variance in variances):
        what, largest = "have the running variance 0 in every normalisation", 0
    if not 0 < largest < LARGEST_WEIGHT:
        raise ModelError(
            f"the weights of {loaded.model.weights or loaded.model.name} {what}, which is no "
            "trained network: check the file."
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
    if not torch.isfinite(features).all():
        raise ModelError(f"{model.name}: its features are not finite numbers: check the weights.")
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


def _hash_of_state(state: State) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(state[key].detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
