"""From a picture to an encoder's pixels: the resizing and cropping that every encoder expects.

This module makes only the pixels, as bytes; scaling to [0, 1] and normalising a whole batch is
cheaper on the encoder's own device (see `encoders.normalize`). No torch.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from analysis.families.registry import Preprocessing
from analysis.images.imagelist import Pixels
from analysis.images.pictures import in_rgb

#: Shorter edge after resizing, edge of the crop, filter, and whether both edges are resized to it.
Geometry = tuple[int, int, str, bool]

#: The pocket lab's input: its drawings, 64 × 64 pixels, become 32 × 32 by the mean of 2 × 2.
POCKET_INPUT = Preprocessing(
    size=32, interpolation="box", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)

#: Above this ratio of its sides only the middle of a picture is resized: all of it has no bound.
ELONGATED = 16

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}


def geometry(spec: Preprocessing) -> Geometry:
    """Return what decides the pixels: resized edge, crop, filter, and whether shape is lost.

    Encoders with the same geometry share one decoding and resizing, whatever their normalisation.
    """
    return spec.resize or spec.size, spec.size, spec.interpolation, spec.squash


def to_pixels(image: Image.Image | Pixels, spec: Preprocessing | Geometry) -> Pixels:
    """Resize the shorter edge (or both), cut the centre, and return uint8 of shape (3, size, size).

    ``image`` is a picture or an array (`in_rgb`). Rounding is torchvision's, so that the pixels
    equal those of the libraries' own transforms after ``convert("RGB")``; open_clip's converts
    later, which resizes palettes, bits and transparency, and gives others for such pictures.
    Transparent pictures lose their transparency: put them on a background first.
    """
    picture = in_rgb(image)
    edge, size, interpolation, squash = geometry(spec) if isinstance(spec, Preprocessing) else spec
    width, height = picture.size
    short = min(width, height)
    target = (edge, edge) if squash else (edge * width // short, edge * height // short)
    if max(target) > ELONGATED * edge:
        return _middle(picture, target, size, FILTERS[interpolation])
    if target != picture.size:
        picture = picture.resize(target, FILTERS[interpolation])
    left = round((picture.size[0] - size) / 2)
    top = round((picture.size[1] - size) / 2)
    if picture.size != (size, size):
        picture = picture.crop((left, top, left + size, top + size))
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _middle(
    picture: Image.Image, target: tuple[int, int], size: int, resampling: Image.Resampling
) -> Pixels:
    """The centre of a picture that would be resized to ``target``, without the rest of it.

    It is what would be cut out, up to rounding and to which direction is resized first; of pictures
    that are many times as long as wide that is up to a tenth of the range at single places.
    """
    starts = [round((length - size) / 2) for length in target]
    scales = [old / new for old, new in zip(picture.size, target, strict=True)]
    ends = [
        (start * scale, (start + size) * scale) for start, scale in zip(starts, scales, strict=True)
    ]
    (left, right), (top, bottom) = ends
    box = (left, top, min(right, picture.width), min(bottom, picture.height))
    resized = picture.resize((size, size), resampling, box=box)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))
