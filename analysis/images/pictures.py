"""The one way from a picture, of a file, a list or an array, to 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Formats whose grey values are of 16 bits at most, also where Pillow gives them 32.
SIXTEEN = ("PNG", "PPM")
#: 16-bit values below it would become 16 greys at most.
TWELVE_BITS = 4096
#: An array's channels: grey, grey with transparency, RGB, RGB with transparency.
CHANNELS = (1, 2, 3, 4)


def in_rgb(picture: Image.Image | NDArray[Any]) -> Image.Image:
    """Convert a picture to 8-bit RGB.

    Grey, palette and CMYK pictures are converted, 16-bit ones keep their upper eight bits, and
    transparency is dropped. Arrays are (height, width) or (height, width, channels) of 8 or 16 bit
    without a sign. Raises ValueError for values of unknown range, for 16 bits of which 12 or fewer
    are used, and for arrays of another shape.
    """
    if isinstance(picture, np.ndarray):
        picture = _of_array(picture)
    if picture.mode.startswith("I;16"):  # converting these directly would clip them to white
        picture = Image.fromarray(_upper(np.asarray(picture)))
    if picture.mode == "I" and getattr(picture, "format", None) in SIXTEEN:
        picture = Image.fromarray(_upper(np.asarray(picture)))
    if picture.mode in ("I", "F"):
        raise ValueError("grey values of 32 bits, whose range is not known: save it with 8 or 16")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _of_array(values: NDArray[Any]) -> Image.Image:
    """A picture of an array; ValueError if it is none."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        raise ValueError(
            f"an array of type {values.dtype}, whose range is not known: give uint8 or uint16"
        )
    channels = 1 if values.ndim == 2 else values.shape[-1]
    if values.ndim not in (2, 3) or channels not in CHANNELS or not values.size:
        raise ValueError(
            f"an array of shape {values.shape}, where (height, width, channels) is expected"
        )
    values = values if values.dtype.itemsize == 1 else _upper(values)
    shape = values.shape[:2] if channels == 1 else values.shape
    return Image.fromarray(np.ascontiguousarray(values.reshape(shape)))


def _upper(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The upper eight of sixteen bits; ValueError if next to no grey would be left."""
    if 0 < values.max(initial=0) < TWELVE_BITS:
        raise ValueError(
            f"grey values of 16 bits that stay below {TWELVE_BITS:,}, as cameras of 10 or 12 bits "
            "give them: scale them to 8 or 16 bits"
        )
    upper: NDArray[np.uint8] = (values.astype(np.uint16) >> 8).astype(np.uint8)
    return upper
