"""Encoders as people have them: models of transformers, ONNX sessions, objects that encode.

Each becomes a function from a batch of inputs to features. A classifier's scores are none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.images.imagelist import DatasetError

#: What outputs of several parts call the features of images, the first of them that is there.
FEATURES = ("image_embeds", "pooler_output")
#: Names of classifiers in torchvision and timm.
CLASSIFIERS = {"fc", "head", "heads", "classifier"}
#: How transforms that hang on chance are called; with a probability of 0 they do nothing.
CHANCE = re.compile(
    r"\b(Rand\w*|ColorJitter|AugMix|TrivialAugment\w*|AutoAugment\w*)\b(?!\(p=0(\.0*)?[,)])"
)


def as_function(encoder: Any) -> Callable[[Tensor], Any]:
    """A function from inputs to features; DatasetError for what cannot be called."""
    plain = isinstance(encoder, str | bytes)  # which encode, but no images
    for name in ("get_image_features", "encode_image"):  # whose models want texts, too
        if callable(getattr(encoder, name, None)) and not isinstance(encoder, type):
            return _method(encoder, name)
    if callable(encoder):
        called: Callable[[Tensor], Any] = encoder
        return called
    if hasattr(encoder, "run") and hasattr(encoder, "get_inputs"):
        return lambda batch: _of_session(encoder, batch)
    if callable(getattr(encoder, "encode", None)) and not plain:
        return _method(encoder, "encode")
    raise DatasetError(
        f"the encoder is of type {type(encoder).__name__}, which cannot be called: give a module, "
        "or a function."
    )


def _method(encoder: Any, name: str) -> Callable[[Tensor], Any]:
    method = getattr(encoder, name)
    if name == "get_image_features":
        return lambda batch: method(pixel_values=batch)
    return lambda batch: method(batch)


def _of_session(session: Any, batch: Tensor) -> Any:
    """What an ONNX session makes of a batch: its only output, or all by their names."""
    (given, *_), outputs = session.get_inputs(), [one.name for one in session.get_outputs()]
    made = dict(zip(outputs, session.run(None, {given.name: batch.cpu().numpy()}), strict=True))
    return made if len(made) > 1 else made[outputs[0]]


def as_preprocess(preprocess: Any) -> Callable[[Any], Any] | None:
    """A function from a picture to the encoder's input, also of an image processor.

    Raises DatasetError for what cannot be called, and for transforms that hang on chance.
    """
    preprocess = getattr(preprocess, "image_processor", preprocess)
    if preprocess is None:
        return None
    if not callable(preprocess):
        raise DatasetError(
            f"the preprocess is of type {type(preprocess).__name__}, which cannot be called: give a"
            " function from a picture to a tensor."
        )
    if not isinstance(preprocess, type) and (chance := CHANCE.search(repr(preprocess))):
        raise DatasetError(
            f"preprocess hangs on chance ({chance[1]}), as what training does to pictures: give "
            "the preprocessing of evaluation."
        )

    def prepared(picture: Any) -> Any:
        made = preprocess(picture)
        if not isinstance(made, Mapping) or "pixel_values" not in made:
            return made
        pixels = made["pixel_values"][0]
        return pixels if isinstance(pixels, Tensor) else torch.as_tensor(np.asarray(pixels))

    return prepared


def features_in(made: Any) -> Any:
    """The features in what an encoder gives, also where that has several parts by name."""
    if isinstance(made, Tensor | np.ndarray):
        return made
    for name in FEATURES:
        part = made.get(name) if isinstance(made, Mapping) else getattr(made, name, None)
        if isinstance(part, Tensor | np.ndarray):
            return part
    if isinstance(made, Mapping) and "logits" in made:
        raise DatasetError(
            "the encoder gives a classifier's scores (logits): give the model without its head, or "
            "name a layer (layer=)."
        )
    return made


@contextlib.contextmanager
def scores_of(networks: Sequence[nn.Module]) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """Watch what is computed last; afterwards a call with the features refuses scores."""
    last: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, given: Any, made: Any) -> None:
        last[:] = [(module, made)]

    def check(features: NDArray[np.float32]) -> None:
        for module, made in last:
            same = isinstance(made, Tensor) and made.shape == features.shape
            if same and np.array_equal(made.detach().float().cpu().numpy(), features):
                _refuse_classifier(module, networks)

    linear = (one for net in networks for one in net.modules() if isinstance(one, nn.Linear))
    hooks = [one.register_forward_hook(note) for one in linear]
    try:
        yield check
    finally:
        for hook in hooks:
            hook.remove()


def _refuse_classifier(module: nn.Module, networks: Sequence[nn.Module]) -> None:
    """Raise DatasetError if a module is the classifier of a network."""
    for network in networks:
        get = getattr(network, "get_classifier", None)
        timms = callable(get) and get() is module
        named = {part: name for name, part in network.named_modules()}
        name = named.get(module, "")
        if not timms and CLASSIFIERS.isdisjoint(name.split(".")):
            continue
        remedy = "call reset_classifier(0)" if timms else f"set {name} to torch.nn.Identity()"
        raise DatasetError(
            f"the features are the scores of the network's classifier, {name}: {remedy}; or name "
            f"it (layer={name!r}) if it is a projection."
        )
