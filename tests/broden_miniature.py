"""Broden in miniature, in its layout: twelve images by hand, and some hundreds that are painted.

Each of the twelve lists, by category, its masks as {label number: pixels}, or the labels of the
image as a whole; they have every kind of label that Broden has. Label numbers go beyond 255, so
that the masks' green channel matters. The painted ones (`save_painted`) show what their labels say.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
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

#: A label of the whole image, or a mask of label numbers.
Shown = int | np.ndarray
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
    """Write the twelve images into ``folder`` and return it."""
    rng = np.random.default_rng(0)
    rows = []
    for number, (image, kinds) in enumerate(IMAGES.items()):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((EDGE, EDGE))
        shown = {
            category: [item if isinstance(item, int) else _numbers(item) for item in content]
            for category, content in kinds.items()
        }
        split = "val" if number % 4 == 3 else "train"
        rows.append(_row(folder, image, split, picture, shown))
    return _write_tables(folder, rows, [[*label, 12] for label in LABELS])


def _numbers(pixels: dict[int, int]) -> np.ndarray:
    """A mask with so many pixels of each label, the rest 0."""
    numbers = np.zeros(MASK_EDGE**2, dtype=np.int64)
    painted = np.repeat(list(pixels), list(pixels.values())) if pixels else []
    numbers[: len(painted)] = painted
    return numbers.reshape(MASK_EDGE, MASK_EDGE)


def _row(
    folder: Path, image: str, split: str, picture: Image.Image, shown: Mapping[str, Sequence[Shown]]
) -> list[object]:
    """Write an image and its masks; return its row of the index."""
    path = folder / "images" / image
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95)
    cells = []
    for category in CATEGORIES:
        names = []
        for layer, item in enumerate(shown.get(category, []), 1):
            if isinstance(item, int):
                names.append(str(item))
                continue
            layered = len(shown[category]) > 1
            names.append(path.stem + f"_{category}{f'_{layer}' if layered else ''}.png")
            # red is number % 256, green number // 256
            channels = np.stack([item % 256, item // 256, 0 * item], axis=-1).astype(np.uint8)
            Image.fromarray(channels).save(path.with_name(names[-1]))
            names[-1] = f"{path.parent.name}/{names[-1]}"
        cells.append(";".join(names))
    return [image, split, EDGE, EDGE, MASK_EDGE, MASK_EDGE, *cells]


def _write_tables(folder: Path, rows: list[list[object]], labels: list[list[object]]) -> Path:
    """``labels``: number, name, category, frequency."""
    tables = {
        "index.csv": [[*COLUMNS, *CATEGORIES], *rows],
        "label.csv": [["number", "name", "category", "frequency", "coverage", "syns"]]
        + [[*label, "0.5", "a;b"] for label in labels],
    }
    for name, table in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return folder


# Painted images ----------------------------------------------------------------------------------

COLOURS = {
    "black": (20, 20, 20), "red": (210, 40, 40), "green": (40, 160, 60), "blue": (40, 70, 210),
    "yellow": (235, 215, 60), "white": (240, 240, 240),
}  # fmt: skip
OBJECTS = ("disc", "square", "cross", "ring", "bar", "frame")
TEXTURES = ("striped", "dotted", "chequered", "smooth")
RARE = ("comet", "lantern")  # in so few images that they do not count
PAINTED_NAMES = (
    *((f"{name}-c", "color") for name in COLOURS), *((name, "object") for name in OBJECTS),
    *((name, "texture") for name in TEXTURES), *((name, "object") for name in RARE),
)  # fmt: skip
#: Numbers with gaps that go beyond 255.
NUMBERS = {name: 17 * place for place, (name, _) in enumerate(PAINTED_NAMES, 1)}


def save_painted(folder: Path, images: int = 400) -> Path:
    """Write so many painted images into ``folder`` and return it.

    Three in four show an object on a ground, each of one colour; the others are one texture all
    over. What an image shows is drawn at random. Of 400 images at least twenty have each label,
    except the two rare ones.
    """
    rng = np.random.default_rng(1)
    rows = []
    for number in range(images):
        shown, pixels = _texture(rng, number) if number % 4 == 3 else _object(rng, number)
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image = f"{'dtd' if number % 4 == 3 else 'ade20k'}/{number:04}.jpg"
        rows.append(_row(folder, image, "train" if number % 4 else "val", picture, shown))
    labels = [[NUMBERS[name], name, f"{kind}(20)", 20] for name, kind in PAINTED_NAMES]
    return _write_tables(folder, rows, labels)


Painted = tuple[dict[str, list[Shown]], np.ndarray]


def _object(rng: np.random.Generator, number: int) -> Painted:
    ground, colour = (str(name) for name in rng.choice(list(COLOURS), 2, replace=False))
    shape = str(rng.choice(OBJECTS))
    inside = _shape(shape, rng)
    pixels = np.where(inside[..., None], COLOURS[colour], COLOURS[ground]).astype(float)
    pixels += rng.normal(0, 8, (EDGE, EDGE, 1))
    small = inside[::2, ::2]
    objects: list[Shown] = [small * NUMBERS[shape]]
    if number < 16:
        objects.append(small * NUMBERS[RARE[number % 2]])
    colours = np.where(small, NUMBERS[f"{colour}-c"], NUMBERS[f"{ground}-c"])
    return {"color": [colours], "object": objects}, pixels


def _texture(rng: np.random.Generator, number: int) -> Painted:
    one, other = (np.array(COLOURS[c]) for c in rng.choice(list(COLOURS), 2, replace=False))
    name, step = TEXTURES[number // 4 % 4], int(rng.integers(3, 6))
    y, x = np.indices((EDGE, EDGE)) // step % 2
    pattern = {"striped": x, "dotted": x & y, "chequered": x ^ y, "smooth": 0 * x}[name]
    pixels = np.where(pattern[..., None], one, other) + rng.normal(0, 4, (EDGE, EDGE, 1))
    return {"texture": [NUMBERS[name]]}, pixels


def _shape(name: str, rng: np.random.Generator) -> np.ndarray:
    """Which pixels an object covers, at a random place: (EDGE, EDGE)."""
    y, x = np.indices((EDGE, EDGE)) - rng.integers(13, 20, 2)[:, None, None]
    far, near = np.maximum(abs(y), abs(x)), np.minimum(abs(y), abs(x))
    radius = np.hypot(y, x)
    return {
        "disc": radius < 9, "square": far < 8, "cross": (near < 3) & (far < 11),
        "ring": (radius < 11) & (radius > 6), "bar": (abs(y) < 3) & (abs(x) < 12),
        "frame": (far < 11) & (far > 7),
    }[name]  # fmt: skip
