"""Features of pictures by any encoder: a network of your own, in your own script.

If open_clip or timm can build a model, `analysis.features.extract` does the same for whole data
sets, resumably and on disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from analysis.base.quoting import in_short
from analysis.images import imagelist
from analysis.images.imagelist import DatasetError, ImageList
from analysis.images.pictures import in_rgb
from companion.checkpoints.any_encoder.evaluation import Watched, left_as_they_were
from companion.checkpoints.any_encoder.layers import KnownPool, Pooling, at_layer
from companion.checkpoints.any_encoder.spellings import (
    as_function,
    as_preprocess,
    features_in,
    scores_of,
)

#: Maps a batch of inputs (n, ...) to features (n, d).
AnyEncoder = Callable[[Tensor], Any]
#: Turns a picture into the encoder's input, as a transform of torchvision, open_clip or timm does.
Preprocess = Callable[[Image.Image], Tensor]
#: A folder of images, pictures of PIL or as arrays (N, height, width, channels) of bytes, or inputs
#: (N, ...) that need no preprocessing.
AnyImages: TypeAlias = (
    "str | Path | ImageList | Sequence[Image.Image | NDArray[Any] | Tensor] | NDArray[Any] | Tensor"
)
#: How far an image's features may move with its batch, as a share of their length; rounding does.
ROUNDING, COARSE_ROUNDING = 0.01, 0.05
#: Images that are encoded once more, in a batch of their own.
TRIED = 8

#: Puts a batch where the weights are, in their precision; and where and which that is.
Suit: TypeAlias = Callable[[Tensor], Tensor]
Way: TypeAlias = "tuple[torch.device | None, torch.dtype | None]"
Given = TypeVar("Given")
Made = TypeVar("Made")


def features_of(
    encoder: AnyEncoder,
    images: AnyImages,
    preprocess: Preprocess | None = None,
    *,
    layer: str | None = None,
    pool: Pooling = "mean",
    batch_size: int = 32,
    progress: bool | None = None,
) -> NDArray[np.float32]:
    """Return an encoder's features of images, (N, d), float32.

    ``encoder`` is a module or any function from a batch of inputs to features (n, d), a model of
    transformers, an ONNX session, or an object with `encode_image` or `encode`. The modules that it
    runs, on any thread, run in evaluation mode and are left as they were, so train none meanwhile;
    inputs get their device and precision. The images of a folder are those that
    `analysis.images.imagelist.unlabelled` lists, in its order. With ``layer``, what the part of a
    module of that name gives is taken, in ``named_modules``, and after the first batch nothing
    behind it is computed; ``pool`` makes one vector of several for each image
    (`any_encoder.layers`). ``progress``: whether a bar is shown, by default on a
    terminal. Raises DatasetError if there is no such layer, if it is called several times, if
    nothing says which axis of it has the components, if there are no images, if pictures lack
    ``preprocess``, if features have another shape or are a classifier's scores, or if those of an
    image or its input change with its batch or from call to call.

    >>> from torch import nn
    >>> features_of(nn.Flatten(), torch.ones(5, 3, 2, 2)).shape
    (5, 12)
    """
    if not isinstance(batch_size, int | np.integer) or batch_size is True or batch_size < 1:
        raise DatasetError(f"batch_size is {batch_size!r}, where 1 or more is expected.")
    if not callable(pool) and not (isinstance(pool, str) and pool in get_args(KnownPool)):
        raise DatasetError(f"pool is {pool!r}, where mean, first, all or a function is expected.")
    function, preprocess = as_function(encoder), as_preprocess(preprocess)
    listed = _listed(images, preprocess)
    if not len(listed):
        raise DatasetError("there are no images: give a folder, pictures, or a tensor of inputs.")
    if layer is not None:
        function = at_layer(encoder, layer, pool, function)
    batches = _batches(listed, preprocess, min(int(batch_size), len(listed)))
    silent = None if progress is None else not progress  # which tqdm decides
    bar = tqdm(total=len(listed), unit=" images", leave=False, disable=silent)
    with (
        bar,
        left_as_they_were(encoder) as watched,
        torch.no_grad(),
    ):  # a cache made in inference mode could not be trained with
        return _features(function, batches, watched, bar, scores=layer is None)


def _features(
    encoder: AnyEncoder, batches: Iterator[Tensor], watched: Watched, bar: Any, scores: bool
) -> NDArray[np.float32]:
    """The features of all batches, of which the first is looked at twice, or says what suits.

    ``scores``: whether a classifier's are looked for, and refused.
    """
    first = next(batches)
    suit, features = _suited(encoder, watched, first)
    parts = [features]
    for batch in chain([first], batches):
        inputs = suit(batch)
        if batch is not first:
            parts.append(_encoded(encoder, inputs))
        if (wrong := np.flatnonzero(~np.isfinite(parts[-1]).all(axis=1))).size:
            raise DatasetError(
                f"the features of image {sum(map(len, parts[:-1])) + wrong[0]} are not finite: look"
                " at its input, and whether the encoder's precision holds such numbers."
            )
        bar.update(len(inputs))
        coarse = inputs.is_floating_point() and inputs.element_size() < 4
        if batch is first:
            fewer = max(1, min(TRIED, len(inputs) // 2))
            with scores_of(watched.networks if scores else ()) as refuse_scores:
                again = _encoded(encoder, inputs[:fewer])
            _check_alike(parts[0][:fewer], again, coarse)
            refuse_scores(again)
        elif len(parts) == 2 and len(first) == 1:
            _check_together(encoder, torch.cat([suit(first), inputs]), parts, coarse)
        _check_width(parts[0], parts[-1])
    return np.concatenate(parts)


def _check_together(
    encoder: AnyEncoder, two: Tensor, parts: Sequence[NDArray[np.float32]], coarse: bool
) -> None:
    """Batches of one image hide that features hang on the batch, so two are tried together."""
    try:
        together = _encoded(encoder, two)
    except DatasetError:  # it takes one image at a time, and then nothing hangs on others
        return
    _check_alike(np.concatenate(parts[:2]), together, coarse)


def _suited(
    encoder: AnyEncoder, watched: Watched, batch: Tensor
) -> tuple[Suit, NDArray[np.float32]]:
    """The first way to put inputs of which the encoder does not say that it is wrong.

    Returns it, and the batch's features. What a function runs is known once it was called.
    """
    tried: list[Way] = []
    while True:
        way = next(one for one in _ways(watched.networks) if one not in tried)
        tried.append(way)
        try:
            return functools.partial(_put, *way), _encoded(encoder, _put(*way, batch))
        except DatasetError as error:
            said = str(error.__cause__).lower()
            wrong = "type" in said or "device" in said
            if not wrong or not isinstance(error.__cause__, RuntimeError):
                raise
            if {*_ways(watched.networks)} <= {*tried}:
                raise


def _check_alike(
    first: NDArray[np.float32], again: NDArray[np.float32], coarse: bool = False
) -> None:
    """Raise DatasetError if features of the same images differ by more than rounding."""
    _check_width(first, again)
    lengths = np.linalg.norm(first, axis=1)
    moved = float((np.linalg.norm(first - again, axis=1) / np.maximum(lengths, 1e-30)).max())
    if moved > (COARSE_ROUNDING if coarse else ROUNDING):
        raise DatasetError(
            f"the features of the same image differ by {moved:.0%} of their length from one batch "
            "to the next: they hang on the other images of the batch or on chance, so set batch "
            "normalisation and dropout to evaluation (`eval()`)."
        )


def _check_width(first: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    if first.shape[1] != other.shape[1]:
        widths = sorted({first.shape[1], other.shape[1]})
        raise DatasetError(
            f"the encoder gives {' and '.join(map(str, widths))} components in turn, where the "
            "same number is expected for each image."
        )


def _ways(modules: Sequence[nn.Module]) -> list[Way]:
    """How inputs get where the weights are, in their precision, if all modules agree on that.

    A network in several precisions gets inputs as they are, or else of one of its convolutions' or
    linear layers'.
    """
    weights = [[p for p in one.parameters() if _is_floating(p)] for one in modules]
    devices = {some[0].device for some in weights if some}
    types = {p.dtype for some in weights for p in some}
    (device,) = devices if len(devices) == 1 else (None,)
    if len(types) == 1:
        return [(device, types.pop())]
    entrances = dict.fromkeys(p.dtype for one in modules for p in _entrances(one))
    return [(device, dtype) for dtype in (None, *entrances)]


def _put(device: torch.device | None, dtype: torch.dtype | None, batch: Tensor) -> Tensor:
    return batch.to(device, dtype if batch.is_floating_point() else None)


def _is_floating(weights: Tensor) -> bool:
    """Whether numbers are of a precision that networks compute in, and not only store."""
    return weights.is_floating_point() and weights.element_size() > 1


def _entrances(module: nn.Module) -> Iterator[Tensor]:
    """The weights of a module's convolutions and linear layers, as they were written down."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd) and _is_floating(part.weight):
            yield part.weight


def _listed(images: Any, preprocess: Preprocess | None) -> Any:
    """What can be counted and taken apart: a list of images, of pictures, a tensor of inputs."""
    if isinstance(images, str | Path):
        return imagelist.unlabelled(Path(images))
    if isinstance(images, ImageList):
        return images
    unordered = hasattr(images, "__len__") and not hasattr(images, "__getitem__")
    if isinstance(images, Mapping) or unordered or not np.iterable(images):
        raise DatasetError(
            f"the images are of type {type(images).__name__}: give a folder, pictures, or a tensor "
            "of inputs."
        )
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        kept = images.dtype.newbyteorder("=") if images.itemsize <= 8 else np.float64
        images = torch.as_tensor(np.ascontiguousarray(images, kept))
    if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[2] in (3, 4):
        raise DatasetError(
            f"the images are one array {images.shape}, which looks like a single picture: give a "
            "list of pictures, or an array (images, height, width, channels)."
        )
    listed = images if hasattr(images, "__len__") else list(images)
    if not isinstance(listed, Tensor | ImageList | np.ndarray) and len(listed):
        kinds = {type(one) for one in listed}
        if all(issubclass(kind, Tensor) for kind in kinds):
            listed = _stacked(listed, "the images are")
    if isinstance(listed, Tensor) and not _has_numbers(listed):
        raise DatasetError("the images are a tensor without all its numbers: give a dense one.")
    if isinstance(listed, Tensor) and preprocess is not None:
        raise DatasetError(
            "tensors are the encoder's input as they are: leave preprocess out, or give pictures."
        )
    return listed


def _has_numbers(given: Tensor) -> bool:
    """Whether a tensor is dense and in memory: not sparse, not nested, not of the device meta."""
    return given.layout is torch.strided and not given.is_nested and not given.is_meta


def _encoded(encoder: AnyEncoder, inputs: Tensor) -> NDArray[np.float32]:
    """The features of a batch as they are kept; DatasetError if they are not (images, d)."""
    about = f"{tuple(inputs.shape)} of type {inputs.dtype}"
    features = _called("the encoder", encoder, inputs.clone(), about)  # it may work in place
    features = features_in(features)
    if isinstance(features, np.ma.MaskedArray):
        raise DatasetError("the encoder gives a masked array: fill in what it hides.")
    if not isinstance(features, Tensor | np.ndarray):
        raise DatasetError(
            f"the encoder gives a {type(features).__name__}, where a tensor (images, components) "
            "is expected: wrap it in a function that returns the features alone."
        )
    if isinstance(features, Tensor) and features.is_quantized:
        features = features.dequantize()
    if isinstance(features, np.ndarray) and features.dtype.kind in "fiu":
        features = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    part = features if isinstance(features, Tensor) else torch.empty(0)
    if not _has_numbers(part):
        raise DatasetError("the encoder gives a tensor without all its numbers: make it dense.")
    if part.ndim != 2 or len(part) != len(inputs) or part.is_complex() or not part.shape[1]:
        raise DatasetError(
            f"the encoder makes {tuple(features.shape)} of type {features.dtype} of {len(inputs)} "
            "images: real numbers (images, components) are expected, so pool or flatten what it "
            "gives."
        )
    array: NDArray[np.float32] = part.detach().float().cpu().numpy()
    return array.copy()  # the encoder may write its next features into the same memory


def _batches(images: Any, preprocess: Preprocess | None, size: int) -> Iterator[Tensor]:
    if isinstance(images, Tensor):
        yield from torch.split(images, size)
        return
    if preprocess is None:
        raise DatasetError(
            "pictures do not say how they become the encoder's input: give preprocess, a function "
            "from a picture to a tensor, or a tensor of inputs instead of pictures."
        )
    for start in range(0, len(images), size):
        rows = range(start, min(start + size, len(images)))
        inputs = _stacked(
            [_called("preprocess", preprocess, _picture(images, i), f"image {i}") for i in rows],
            "preprocess gives",
        )
        for row in range(min(TRIED, len(inputs)) if start == 0 else 0):
            again = _called("preprocess", preprocess, _picture(images, row), f"image {row}")
            if not _equal(again, inputs[row]):
                raise DatasetError(
                    f"preprocess makes two inputs of image {row}: it hangs on chance, as what "
                    "training does to pictures, so give the preprocessing of evaluation."
                )
        yield inputs


def _equal(one: Any, other: Tensor) -> bool:
    """Whether tensors have one shape and the same numbers, NaN where NaN is."""
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _picture(images: Any, row: int) -> Image.Image:
    """One of a list's pictures in RGB; DatasetError if it is none, or cannot become RGB."""
    if isinstance(images, ImageList):
        return images.image(row)
    picture = images[row]
    if not isinstance(picture, Image.Image | np.ndarray):
        raise DatasetError(
            f"among the images is a {type(picture).__name__}: give a folder, pictures of PIL, "
            "or a tensor of inputs."
        )
    try:
        rgb = in_rgb(picture)
        return rgb.copy() if rgb is picture else rgb  # a transform may work in place
    except (ValueError, OSError) as error:  # Pillow decodes late
        raise DatasetError(f"image {row} of the list is not to be read: {error}.") from None


def _stacked(inputs: Sequence[Any], what: str) -> Tensor:
    """Tensors as one; DatasetError if they are none, or of several shapes."""
    shapes = {tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in inputs}
    if len(shapes) > 1 or not isinstance(inputs[0], Tensor):
        raise DatasetError(
            f"{what} {' and '.join(map(str, sorted(shapes, key=str)))}, where tensors of one shape "
            "are expected."
        )
    return torch.stack([*inputs])


def _called(what: str, function: Callable[[Given], Made], given: Given, about: str) -> Made:
    """What a function of the reader's makes; an error of its own becomes the cause of ours."""
    try:
        return function(given)
    except DatasetError:  # of ours already
        raise
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise DatasetError(f"{what} fails at {about}: {in_short(said, 300)}") from error
