"""Twelve images in Broden's layout, with every kind of label that Broden has.

Each image lists, by category, its masks as {label number: pixels}, or the labels of the image as a
whole. Label numbers go beyond 255, so that the masks' green channel matters.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

EDGE = 32
MASK_EDGE = 16
COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")
CATEGORIES = ("color", "object", "part", "material", "scene", "texture")

#: number, name, category: not in the order of the numbers, and with numbers left out.
LABELS = (
    (1, "black-c", "color(3)"),
    (2, "red-c", "color(3)"),
    (255, "wall", "object(4)"),
    (256, "bench", "object(3)"),
    (1024, "dog", "object(2)"),
    (257, "leg", "part(2)"),
    (300, "head", "part(2)"),
    (258, "fabric", "material(2);object(1)"),
    (512, "leather", "material(2)"),
    (513, "leather", "texture(1)"),
    (514, "street, paved-s", "scene(2)"),
    (515, "kitchen-s", "scene(1)"),
    (770, "dotted", "texture(2)"),
)

Masks = list[dict[int, int]]
IMAGES: dict[str, dict[str, Masks | list[int]]] = {
    "ade20k/a.jpg": {"color": [{1: 4}], "object": [{255: 100, 256: 9}], "scene": [514]},
    "ade20k/b.jpg": {"object": [{1024: 30}], "part": [{257: 5}, {300: 3}], "scene": [515]},
    "ade20k/c.jpg": {"object": [{255: 1}], "part": [{300: 8, 257: 8}], "scene": [514]},
    "pascal/a.jpg": {"object": [{1024: 200, 256: 1}]},
    "pascal/b.jpg": {"object": [{258: 10}], "material": [{258: 4}]},
    "pascal/c.jpg": {"object": [{255: 256}]},
    "opensurfaces/a.jpg": {"color": [{2: 7, 1: 1}], "material": [{512: 12}]},
    "opensurfaces/b.jpg": {"material": [{512: 2, 258: 2}], "object": [{255: 5, 256: 5}]},
    "opensurfaces/c.jpg": {"color": [{2: 256}]},
    "dtd/a.jpg": {"color": [{1: 50, 2: 50}], "texture": [770]},
    "dtd/b.jpg": {"texture": [770, 513]},
    "dtd/c.jpg": {"color": [{}]},
}


def save(folder: Path) -> Path:
    """Write the miniature into ``folder`` and return it."""
    rng = np.random.default_rng(0)
    rows = []
    for number, (image, kinds) in enumerate(IMAGES.items()):
        path = folder / "images" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((EDGE, EDGE)).save(path)
        split = "val" if number % 4 == 3 else "train"
        cells = [_cell(folder, image, name, kinds.get(name, [])) for name in CATEGORIES]
        rows.append([image, split, EDGE, EDGE, MASK_EDGE, MASK_EDGE, *cells])
    _write(folder / "index.csv", [[*COLUMNS, *CATEGORIES], *rows])
    _write(
        folder / "label.csv",
        [["number", "name", "category", "frequency", "coverage", "syns"]]
        + [[number, name, category, 12, "0.5", "a;b"] for number, name, category in LABELS],
    )
    return folder


def _cell(folder: Path, image: str, category: str, content: Masks | list[int]) -> str:
    names = []
    for layer, item in enumerate(content, 1):
        if isinstance(item, int):
            names.append(str(item))
            continue
        end = f"_{category}_{layer}.png" if len(content) > 1 else f"_{category}.png"
        names.append(image.removesuffix(".jpg") + end)
        Image.fromarray(_mask(item)).save(folder / "images" / names[-1])
    return ";".join(names)


def _mask(pixels: dict[int, int]) -> np.ndarray:
    """Paint so many pixels of each label, the rest 0: red is number % 256, green number // 256."""
    numbers = np.zeros(MASK_EDGE**2, dtype=np.int64)
    painted = np.repeat(list(pixels), list(pixels.values())) if pixels else []
    numbers[: len(painted)] = painted
    channels = np.stack([numbers % 256, numbers // 256, 0 * numbers], axis=-1)
    return channels.reshape(MASK_EDGE, MASK_EDGE, 3).astype(np.uint8)


def _write(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
