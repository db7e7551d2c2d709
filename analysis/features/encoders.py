"""An encoder that is ready to use: what `extract` computes with, wherever it comes from.

`companion.checkpoints.loading` makes one of a model's description.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor, nn

from analysis.base.texts import CompanionError
from analysis.families.registry import Model
from analysis.features import parts
from analysis.features.preprocess import to_pixels
from analysis.features.store import Head
from analysis.images.imagelist import Pixels

TextEncoder = Callable[[Sequence[str]], Tensor]


class ModelError(CompanionError, RuntimeError):
    """A model cannot be loaded as it is described; the message says why."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to use, in evaluation mode.

    ``encoder`` maps normalised images, float of shape (n, 3, size, size), to features of shape (n,
    width). ``head`` is the model's own classifier; a model without one but with a ``text`` encoder
    gets one from class names, see `zero_shot_head`. ``weights_sha256`` is the checksum of the
    weights' file, or of the weights themselves if they were drawn at random. ``scale`` is the
    factor by which a CLIP model multiplies cosines: exp(logit scale).
    """

    model: Model
    encoder: nn.Module
    head: Head | None
    weights_sha256: str
    text: TextEncoder | None = None
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


def checked_sha256(model: Model, path: Path) -> str:
    """Return the sha256 of a model's weights; ModelError if it is not the noted one."""
    sha256 = parts.checksum(path)
    if model.weights_sha256 not in (None, sha256):
        raise ModelError(
            f"{path.name} is not the file that {model.name} was described with: its sha256 starts "
            f"with {sha256[:12]}, {(model.weights_sha256 or '')[:12]} is noted in the family file: "
            "put that file back, or describe the new one under a name of its own (companion add)."
        )
    return sha256


#: Loads a model, with the weights of a local file if one is given, on a device; or ModelError.
Loader: TypeAlias = Callable[[Model, Path | None, str], Loaded]
