"""Features of pictures by any encoder: a network of your own, in your own script.

If open_clip or timm can build a model, `analysis.features.extract` does the same for whole data
sets, resumably and on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from analysis.images import imagelist
from analysis.images.imagelist import ImageList
from analysis.images.sets import DatasetError

#: Maps a batch of inputs (n, ...) to features (n, d).
Encoder = Callable[[Tensor], Any]
#: Turns a picture into the encoder's input, as a transform of torchvision, open_clip or timm does.
Preprocess = Callable[[Image.Image], Tensor]
#: A folder of images, pictures, or a tensor of inputs (N, ...) that needs no preprocessing.
Images: TypeAlias = "str | Path | ImageList | Sequence[Image.Image] | Tensor"


def features_of(
    encoder: Encoder,
    images: Images,
    preprocess: Preprocess | None = None,
    *,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Return an encoder's features of images, (N, d), float32.

    ``encoder`` is either a module, which runs in evaluation mode on the device of its weights and
    is left as it was, or any function from a batch of inputs to features (n, d). The images of a
    folder are those that `analysis.images.imagelist.unlabelled` lists, in its order. Raises
    DatasetError if there are no images, if pictures lack ``preprocess``, or if features have
    another shape.

    >>> from torch import nn
    >>> features_of(nn.Flatten(), torch.ones(5, 3, 2, 2)).shape
    (5, 12)
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise DatasetError(f"batch_size is {batch_size!r}, where 1 or more is expected.")
    if not callable(encoder):
        raise DatasetError(
            f"the encoder is of type {type(encoder).__name__}, which cannot be called: give a "
            "module, or a function from inputs to features."
        )
    listed = _listed(images)
    if not len(listed):
        raise DatasetError("there are no images: give a folder, pictures, or a tensor of inputs.")
    module = encoder if isinstance(encoder, nn.Module) else getattr(encoder, "__self__", None)
    modules = [*module.modules()] if isinstance(module, nn.Module) else []
    device = next((p.device for part in modules for p in part.parameters()), None)
    modes = [(part, part.training) for part in modules]
    try:
        for part in modules:
            part.training = False
        with torch.inference_mode():
            batches = _batches(listed, preprocess, batch_size)
            parts = [_encoded(encoder, batch.to(device)) for batch in batches]
            if len(widths := {part.shape[1] for part in parts}) > 1:
                raise DatasetError(
                    f"the encoder gives {' and '.join(map(str, sorted(widths)))} components in "
                    "turn, where the same number is expected for each image."
                )
            return np.concatenate(parts)
    finally:
        for part, mode in modes:
            part.training = mode


def _listed(images: Any) -> Any:
    """What can be counted and taken apart: a list of pictures, a tensor of inputs."""
    if isinstance(images, str | Path):
        return imagelist.unlabelled(Path(images))
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        return torch.as_tensor(images)
    if isinstance(images, Mapping) or not np.iterable(images):
        raise DatasetError(
            f"the images are of type {type(images).__name__}: give a folder, pictures, or a tensor "
            "of inputs."
        )
    return images if hasattr(images, "__len__") else list(images)


def _encoded(encoder: Encoder, inputs: Tensor) -> NDArray[np.float32]:
    """The features of a batch as they are kept; DatasetError if they are not (images, d)."""
    features = encoder(inputs)
    if not isinstance(features, Tensor | np.ndarray):
        raise DatasetError(
            f"the encoder gives a {type(features).__name__}, where a tensor (images, components) "
            "is expected: wrap it in a function that returns the features alone."
        )
    real = isinstance(features, Tensor) or features.dtype.kind in "fiu"
    part = torch.as_tensor(features) if real else torch.empty(0)
    if part.ndim != 2 or len(part) != len(inputs) or part.is_complex() or part.is_sparse:
        raise DatasetError(
            f"the encoder makes {tuple(features.shape)} of type {features.dtype} of {len(inputs)} "
            "images: real numbers (images, "
            "components) are expected, so pool or flatten what it gives."
        )
    array: NDArray[np.float32] = part.float().cpu().numpy()
    return array


def _batches(
    images: ImageList | Sequence[Image.Image] | Tensor, preprocess: Preprocess | None, size: int
) -> Iterator[Tensor]:
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
        pictures = [images.image(i) if isinstance(images, ImageList) else images[i] for i in rows]
        if wrong := [one for one in pictures if not isinstance(one, Image.Image)]:
            raise DatasetError(
                f"among the images is a {type(wrong[0]).__name__}: give a folder, pictures of PIL, "
                "or a tensor of inputs."
            )
        inputs = [preprocess(picture.convert("RGB")) for picture in pictures]
        shapes = {one.shape if isinstance(one, Tensor) else type(one).__name__ for one in inputs}
        if len(shapes) > 1 or not isinstance(inputs[0], Tensor):
            raise DatasetError(
                f"preprocess gives {' and '.join(map(str, shapes))}, where tensors of one shape "
                "are expected."
            )
        yield torch.stack(inputs)
