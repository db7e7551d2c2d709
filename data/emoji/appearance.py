"""What a small image on white looks like: its colours and textures, by rules that are written down.

These stand in for annotations by people: every rule is a few lines below, and applies to an image
of any style alike. Images are (N, S, S, 3), uint8, on a white background.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from companion.sources.emoji import COLOURS, TEXTURES

Images = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

#: An image has a colour if at least this share of its ink has.
COLOUR_SHARE = 0.2
#: What counts as paper: the three channels all above this.
PAPER = 240

#: Images worked on at a time.
CHUNK = 512


def colours(images: Images) -> Flags:
    """Return (N, 10): which of ``COLOURS`` cover at least a fifth of an image's inner ink.

    Inner ink leaves out the pixels on edges, whose colours are mixed; where less than a quarter of
    the ink is left, all of it counts.
    """
    return _in_chunks(_colours, images, len(COLOURS))


def textures(images: Images) -> Flags:
    """Return (N, 11): which of ``TEXTURES`` an image has.

    With ink for the pixels that are not paper, and steps for the differences between neighbouring
    pixels:

    - flat: 70 % of the ink has the very colour of the pixels to its right and below;
    - shaded: 25 % of the ink differs from them, but by less than 12 of 255 in each channel;
    - plain, detailed: at most 15 %, at least 50 % of the ink is on edges (a luminance gradient
      above 16 of 255 per pixel);
    - dark outline: 50 % of the ink within two pixels of paper has a luminance below 80;
    - single-toned: one of 512 coarse colours alone covers 3 % of the inner ink or more;
      many-coloured: at least six do;
    - horizontal, vertical, diagonal lines: the luminance gradients have a common direction
      (coherence of the summed structure tensor at least 0.3), within 22.5° of it;
    - mirror-symmetric: ink and its mirror image, left to right, correlate with at least 0.95.
    """
    return _in_chunks(_textures, images, len(TEXTURES))


def colour_of(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """Return the index in ``COLOURS`` of each colour (..., 3), -1 for paper.

    By hue (degrees), saturation and value: black below value 0.25, grey below saturation 0.15,
    brown for dark hues from 10 to 50, pink for pale reds and for hues from 290 to 345.
    """
    hue, saturation, value = _hsv(rgb)
    rules = [
        (rgb > PAPER).all(-1),
        value < 0.25,
        saturation < 0.15,
        (hue >= 10) & (hue < 50) & (value < 0.7),
        ((hue >= 290) & (hue < 345)) | (((hue >= 335) | (hue < 15)) & (saturation < 0.5)),
        (hue < 15) | (hue >= 345),
        hue < 40,
        hue < 66,
        hue < 165,
        hue < 255,
    ]
    names = ["", "black", "grey", "brown", "pink", "red", "orange", "yellow", "green", "blue"]
    codes = [COLOURS.index(name) if name else -1 for name in names]
    return np.select(rules, codes, COLOURS.index("purple")).astype(np.int8)


def _in_chunks(function: Callable[[Images], Flags], images: Images, width: int) -> Flags:
    parts = [function(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, width), bool)


def _colours(images: Images) -> Flags:
    levels = (images >> 2).astype(np.int32)  # 64 levels a channel are enough
    codes = _table()[levels[..., 0] << 12 | levels[..., 1] << 6 | levels[..., 2]]
    inner = _inner(_ink(images), _edges(*_gradient(images)))
    counts = np.stack([((codes == i) & inner).sum((1, 2)) for i in range(len(COLOURS))], 1)
    area = np.maximum(counts.sum(1, keepdims=True), 1)
    return np.asarray(counts >= COLOUR_SHARE * area) & (counts > 0)


@functools.cache
def _table() -> npt.NDArray[np.int8]:
    """Return ``colour_of`` for all 64 × 64 × 64 coarse colours."""
    level = (np.arange(64) * 255 // 63).astype(np.uint8)
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1)
    return colour_of(grid.reshape(-1, 3))


def _hsv(rgb: npt.NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Return hue in degrees, saturation and value in [0, 1] of colours (..., 3)."""
    scaled = rgb.astype(np.float32) / 255
    top, low = scaled.max(-1), scaled.min(-1)
    spread = top - low
    r, g, b = np.moveaxis(scaled, -1, 0)
    some = np.where(spread > 0, spread, 1)
    hue = np.select(
        [top == r, top == g], [(g - b) / some % 6, (b - r) / some + 2], (r - g) / some + 4
    )
    saturation = spread / np.where(top > 0, top, 1)
    return np.asarray(hue * 60, np.float32), saturation, top


def _textures(images: Images) -> Flags:
    ink = _ink(images)
    area = np.maximum(ink.sum((1, 2)), 1)
    down, right = _gradient(images)
    edges = _edges(down, right)
    even, gentle = _steps(images)
    flat = (even & ink).sum((1, 2)) / area
    shaded = (gentle & ink).sum((1, 2)) / area
    busy = (edges & ink).sum((1, 2)) / area
    grey = _grey(images)
    rim = ink & _near(~ink)
    outline = (rim & (grey < 80)).sum((1, 2)) / np.maximum(rim.sum((1, 2)), 1)
    tones = _tones(images, _inner(ink, edges))
    flags = [flat >= 0.7, shaded >= 0.25, busy <= 0.15, busy >= 0.5, outline >= 0.5]
    flags += [tones <= 1, tones >= 6, *_lines(down, right), _mirrored(255 - grey) >= 0.95]
    return np.stack(flags, 1)


def _ink(images: Images) -> Flags:
    return np.asarray((images <= PAPER).any(-1))


def _grey(images: Images) -> Floats:
    """Return the luminance, 0 to 255."""
    return np.asarray(images @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _gradient(images: Images) -> tuple[Floats, Floats]:
    """Return the change of luminance per pixel, downwards and to the right."""
    down, right = np.gradient(_grey(images), axis=(1, 2))
    return np.asarray(down), np.asarray(right)


def _edges(down: Floats, right: Floats) -> Flags:
    return np.asarray(down**2 + right**2 > 16**2)


def _inner(ink: Flags, edges: Flags) -> Flags:
    """Return the ink that is not on edges; all ink of images where that is less than a quarter."""
    inner = ink & ~edges
    thin = inner.sum((1, 2)) < 0.25 * ink.sum((1, 2))
    return np.where(thin[:, None, None], ink, inner)


def _steps(images: Images) -> tuple[Flags, Flags]:
    """Return where a pixel equals those to its right and below, and where it nearly does."""
    signed = images.astype(np.int16)
    largest = np.zeros(images.shape[:3], np.int16)
    largest[:, :, :-1] = np.abs(np.diff(signed, axis=2)).max(-1)
    largest[:, :-1] = np.maximum(largest[:, :-1], np.abs(np.diff(signed, axis=1)).max(-1))
    return largest == 0, (largest > 0) & (largest < 12)


def _near(where: Flags, distance: int = 2) -> Flags:
    """Return the pixels within ``distance`` rows and columns of one that is ``where``."""
    for axis in (1, 2):
        for _ in range(distance):
            shifted = where.copy()
            for step in _slices(axis):
                shifted[step[0]] |= where[step[1]]
            where = shifted
    return where


def _slices(axis: int) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    ahead = (slice(None),) * axis + (slice(1, None),)
    behind = (slice(None),) * axis + (slice(None, -1),)
    yield ahead, behind
    yield behind, ahead


def _tones(images: Images, inner: Flags) -> npt.NDArray[np.int64]:
    """Return how many coarse colours (8 levels a channel) cover 3 % of an image's inner ink."""
    level = (images >> 5).astype(np.int64)
    code = level[..., 0] << 6 | level[..., 1] << 3 | level[..., 2]
    code += 512 * np.arange(len(images))[:, None, None]
    counts = np.bincount(code[inner], minlength=512 * len(images)).reshape(-1, 512)
    return np.asarray((counts >= np.maximum(0.03 * counts.sum(1, keepdims=True), 1)).sum(1))


def _lines(down: Floats, right: Floats) -> list[Flags]:
    """Return which images are made of horizontal, vertical and diagonal lines."""
    rr, dd = (right**2).sum((1, 2)), (down**2).sum((1, 2))
    rd = (right * down).sum((1, 2))
    coherence = np.hypot(rr - dd, 2 * rd) / np.maximum(rr + dd, 1e-6)
    # Of the gradient: 0 for vertical lines, 90 for horizontal ones.
    angle = np.abs(np.degrees(np.arctan2(2 * rd, rr - dd)) / 2)
    common = coherence >= 0.3
    horizontal, vertical = angle > 67.5, angle < 22.5
    return [common & horizontal, common & vertical, common & ~horizontal & ~vertical]


def _mirrored(ink: Floats) -> Floats:
    """Return the correlation of each image (N, S, S) with its mirror image, left to right."""
    centred = ink - ink.mean((1, 2), keepdims=True)
    norm = np.maximum((centred**2).sum((1, 2)), 1e-6)
    return np.asarray((centred * centred[:, :, ::-1]).sum((1, 2)) / norm, np.float32)
