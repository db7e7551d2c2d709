"""Features of pictures by any encoder: a network of your own, in your own script.

If open_clip or timm can build a model, `analysis.features.extract` does the same for whole data
sets, resumably and on disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from analysis.features.reached import left_as_they_were, networks
from analysis.images import imagelist
from analysis.images.imagelist import ImageList
from analysis.images.pictures import in_rgb
from analysis.images.sets import DatasetError
from base.quoting import in_short
from base.texts import suggestion

#: Maps a batch of inputs (n, ...) to features (n, d).
AnyEncoder = Callable[[Tensor], Any]
#: Turns a picture into the encoder's input, as a transform of torchvision, open_clip or timm does.
Preprocess = Callable[[Image.Image], Tensor]
#: A folder of images, pictures of PIL or as arrays (N, height, width, channels) of bytes, or inputs
#: (N, ...) that need no preprocessing.
AnyImages: TypeAlias = (
    "str | Path | ImageList | Sequence[Image.Image | NDArray[Any] | Tensor] | NDArray[Any] | Tensor"
)
#: How several vectors of an image become one: their mean, the first of them (of a transformer the
#: class token), or all in a row.
KnownPool: TypeAlias = Literal["mean", "first", "all"]
#: One of these, or a function.
Pool: TypeAlias = "KnownPool | Callable[[Tensor], Tensor]"
#: How far an image's features may move with its batch, as a share of their length; rounding does.
ROUNDING, COARSE_ROUNDING = 0.01, 0.05
#: Images that are encoded once more, in a batch of their own.
TRIED = 8

#: Puts a batch where the weights are, in their precision.
Suit: TypeAlias = Callable[[Tensor], Tensor]
Given = TypeVar("Given")
Made = TypeVar("Made")


def features_of(
    encoder: AnyEncoder,
    images: AnyImages,
    preprocess: Preprocess | None = None,
    *,
    layer: str | None = None,
    pool: Pool = "mean",
    batch_size: int = 32,
    progress: bool | None = None,
) -> NDArray[np.float32]:
    """Return an encoder's features of images, (N, d), float32.

    ``encoder`` is a module or any function from a batch of inputs to features (n, d). The modules
    that it runs, however it reaches them, run in evaluation mode, get inputs on their device and of
    their precision, and are left as they were. The images of a folder are those that
    `analysis.images.imagelist.unlabelled` lists, in its order. With ``layer``, what the part of a
    module of that name gives is taken, in ``named_modules``, and nothing after it is computed;
    ``pool`` makes one vector of several for each image (`pooled`). ``progress``: whether a bar is
    shown, by default on a terminal. Raises DatasetError if there is no such layer, if there are no
    images, if pictures lack ``preprocess``, if features have another shape, or if those of an image
    or its input change with its batch or from call to call.

    >>> from torch import nn
    >>> features_of(nn.Flatten(), torch.ones(5, 3, 2, 2)).shape
    (5, 12)
    """
    if not isinstance(batch_size, int | np.integer) or batch_size is True or batch_size < 1:
        raise DatasetError(f"batch_size is {batch_size!r}, where 1 or more is expected.")
    if not callable(pool) and not (isinstance(pool, str) and pool in get_args(KnownPool)):
        raise DatasetError(f"pool is {pool!r}, where mean, first, all or a function is expected.")
    for what, given in ("encoder", encoder), ("preprocess", preprocess):
        if not callable(given) and (given is not None or what == "encoder"):
            raise DatasetError(
                f"the {what} is of type {type(given).__name__}, which cannot be called: give a "
                "module, or a function."
            )
    listed = _listed(images, preprocess)
    if not len(listed):
        raise DatasetError("there are no images: give a folder, pictures, or a tensor of inputs.")
    modules = networks(encoder)
    encoder = encoder if layer is None else at_layer(encoder, layer, pool)
    batches = _batches(listed, preprocess, min(int(batch_size), len(listed)))
    silent = None if progress is None else not progress  # which tqdm decides
    bar = tqdm(total=len(listed), unit=" images", leave=False, disable=silent)
    with (
        bar,
        left_as_they_were(modules),
        torch.no_grad(),
    ):  # a cache made in inference mode could not be trained with
        return _features(encoder, batches, _suits(modules), bar)


class _ReachedError(Exception):
    """What is looked for was computed; the rest of the network need not be."""


def at_layer(encoder: AnyEncoder, layer: str, pool: Pool = "mean") -> AnyEncoder:
    """An encoder that gives what one part of a module gives: (n, d), by `pooled`.

    Raises DatasetError if the encoder is no module, or has no part of that name.
    """
    if not isinstance(encoder, nn.Module):
        raise DatasetError(
            f"a layer is named of a torch.nn.Module, and the encoder is a {type(encoder).__name__}."
        )
    parts = dict(encoder.named_modules())
    if not isinstance(layer, str) or layer not in parts or not layer:
        named = [*filter(None, parts)]
        raise DatasetError(f"the encoder has no layer {layer!r}: {suggestion(str(layer), named)}.")

    def encoded(batch: Tensor) -> Tensor:
        reached: list[Any] = []

        def keep(part: nn.Module, given: Any, made: Any) -> None:
            reached.append(made)
            raise _ReachedError

        handle = parts[layer].register_forward_hook(keep)
        try:
            encoder(batch)
        # What comes after the layer need not be computed.
        except _ReachedError:
            pass
        finally:
            handle.remove()
        if not reached:
            raise DatasetError(f"the encoder does not use its layer {layer!r}.")
        made = reached[0][0] if isinstance(reached[0], tuple | list) else reached[0]
        return pooled(made, pool)

    return encoded


def pooled(made: Tensor, pool: Pool = "mean") -> Tensor:
    """One vector for each image: (n, d) as it is, else its mean, first or all vectors in a row.

    Of (n, tokens, d) the vectors are the tokens, of (n, d, height, width) the places. ``pool`` may
    be a function from all of it to (n, d).
    """
    if callable(pool):
        return pool(made)
    vectors = made.flatten(2).movedim(1, 2) if made.ndim > 3 else made
    if vectors.ndim < 3:
        return vectors
    return {"mean": vectors.mean(1), "first": vectors[:, 0], "all": vectors.flatten(1)}[pool]


def _features(
    encoder: AnyEncoder, batches: Iterator[Tensor], suits: Sequence[Suit], bar: Any
) -> NDArray[np.float32]:
    """The features of all batches, of which the first is looked at twice, or says what suits."""
    parts: list[NDArray[np.float32]] = []
    suit: Suit | None = None
    for batch in batches:
        suit = suit or _suiting(encoder, suits, batch)
        inputs = suit(batch)
        parts.append(_encoded(encoder, inputs))
        if (wrong := np.flatnonzero(~np.isfinite(parts[-1]).all(axis=1))).size:
            raise DatasetError(
                f"the features of image {sum(map(len, parts[:-1])) + wrong[0]} are not finite: look"
                " at its input, and whether the encoder's precision holds such numbers."
            )
        bar.update(len(inputs))
        if len(parts) == 1:
            fewer = max(1, min(TRIED, len(inputs) // 2))
            coarse = inputs.is_floating_point() and inputs.element_size() < 4
            _check_alike(parts[0][:fewer], _encoded(encoder, inputs[:fewer]), coarse)
        _check_width(parts[0], parts[-1])
    return np.concatenate(parts)


def _suiting(encoder: AnyEncoder, suits: Sequence[Suit], batch: Tensor) -> Suit:
    """The first way to put inputs of which the encoder does not say that their type is wrong."""
    suit, *others = suits
    for other in others:
        try:
            _encoded(encoder, suit(batch[:1]))
        except DatasetError as error:
            if not isinstance(error.__cause__, RuntimeError) or "type" not in str(error.__cause__):
                raise
            suit = other
        else:
            break
    return suit


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


def _suits(modules: Sequence[nn.Module]) -> list[Suit]:
    """How inputs get where the weights are, in their precision, if all modules agree on that.

    A network in several precisions gets inputs as they are, or else of one of its convolutions' or
    linear layers'.
    """
    weights = [[p for p in one.parameters() if _is_floating(p)] for one in modules]
    devices = {some[0].device for some in weights if some}
    types = {p.dtype for some in weights for p in some}
    (device,) = devices if len(devices) == 1 else (None,)
    if len(types) == 1:
        return [functools.partial(_put, device, types.pop())]
    entrances = dict.fromkeys(p.dtype for one in modules for p in _entrances(one))
    return [functools.partial(_put, device, dtype) for dtype in (None, *entrances)]


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
        return in_rgb(picture)
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
