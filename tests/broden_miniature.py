"""Broden in miniature, in its layout: twelve images by hand, and some hundreds that are painted.

Each of the twelve lists, by category, its masks as {label number: pixels}, or the labels of the
image as a whole; they have every kind of label that Broden has. Label numbers go beyond 255, so
that the masks' green channel matters. The painted ones (`save_painted`) show what their labels say.
"""

import csv

import numpy as np
from conftest import cases
from PIL import Image

EDGE = 32
MASK_EDGE = 16
COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")
CATEGORIES = ("color", "object", "part", "material", "scene", "texture")

CASES = cases("broden")

#: A label of the whole image, or a mask of label numbers.
Shown = int | np.ndarray
IMAGES = CASES["images"]


def save(folder):
    """Write the twelve images into ``folder`` and return it."""
    rng = np.random.default_rng(0)
    rows = []
    for number, (image, kinds) in enumerate(IMAGES.items()):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((EDGE, EDGE))
        contents = {
            category: [item if isinstance(item, int) else _numbers(item) for item in content]
            for category, content in kinds.items()
        }
        split = "val" if number % 4 == 3 else "train"
        rows.append(_row(folder, image, split, picture, contents))
    return _write_tables(folder, rows, [[*label, 12] for label in CASES["labels"]])


def _numbers(pixels):
    """A mask with so many pixels of each label, the rest 0."""
    numbers = np.zeros(MASK_EDGE**2, dtype=np.int64)
    painted = np.repeat(list(pixels), list(pixels.values())) if pixels else []
    numbers[: len(painted)] = painted
    return numbers.reshape(MASK_EDGE, MASK_EDGE)


def _row(folder, image, split, picture, contents):
    """Write an image and its masks; return its row of the index."""
    path = folder / "images" / image
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95)
    cells = []
    for category in CATEGORIES:
        names = []
        for layer, item in enumerate(contents.get(category, []), 1):
            if isinstance(item, int):
                names.append(str(item))
                continue
            layered = len(contents[category]) > 1
            names.append(path.stem + f"_{category}{f'_{layer}' if layered else ''}.png")
            # red is number % 256, green number // 256
            channels = np.stack([item % 256, item // 256, 0 * item], axis=-1).astype(np.uint8)
            Image.fromarray(channels).save(path.with_name(names[-1]))
            names[-1] = f"{path.parent.name}/{names[-1]}"
        cells.append(";".join(names))
    return [image, split, EDGE, EDGE, MASK_EDGE, MASK_EDGE, *cells]


def _write_tables(folder, rows, labels):
    """``labels``: number, name, category, frequency."""
    tables = {
        "index.csv": [[*COLUMNS, *CATEGORIES], *rows],
        "label.csv": [["number", "name", "category", "frequency", "coverage", "syns"]]
        + [[*label, "0.5", "a;b"] for label in labels],
    }
    for name, table in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return folder


# Painted images ----------------------------------------------------------------------------------

COLOURS = CASES["colours"]
KINDS = CASES["painted"]
RARE = ("comet", "lantern")  # in so few images that they do not count
#: Numbers with gaps that go beyond 255.
NUMBERS = {name: 17 * place for place, name in enumerate(KINDS, 1)}


def save_painted(folder, images=400):
    """Write so many painted images into ``folder`` and return it.

    Three in four show an object on a ground, each of one colour; the others are one texture all
    over. What an image shows is drawn at random. Of 400 images at least twenty have each label,
    except the two rare ones.
    """
    rng = np.random.default_rng(1)
    rows = []
    for number in range(images):
        contents, pixels = _texture(rng, number) if number % 4 == 3 else _object(rng, number)
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image = f"{'dtd' if number % 4 == 3 else 'ade20k'}/{number:04}.jpg"
        rows.append(_row(folder, image, "train" if number % 4 else "val", picture, contents))
    labels = [[NUMBERS[name], name, f"{kind}(20)", 20] for name, kind in KINDS.items()]
    return _write_tables(folder, rows, labels)


Painted = tuple[dict[str, list[Shown]], np.ndarray]


def _object(rng, number):
    ground, colour = rng.choice(list(COLOURS), 2, replace=False)
    y, x = abs(np.indices((EDGE, EDGE)) - rng.integers(13, 20, 2)[:, None, None])
    radius = np.hypot(y, x)
    covered = {
        "disc": radius < 9,
        "square": np.maximum(y, x) < 8,
        "cross": (np.minimum(y, x) < 3) & (np.maximum(y, x) < 11),
        "ring": (radius < 11) & (radius > 6),
        "bar": (y < 3) & (x < 12),
        "frame": (np.maximum(y, x) < 11) & (np.maximum(y, x) > 7),
    }
    shape = rng.choice(list(covered))
    pixels = np.where(covered[shape][..., None], COLOURS[colour], COLOURS[ground]).astype(float)
    small = covered[shape][::2, ::2]
    rare = [small * NUMBERS[RARE[number % 2]]] if number < 16 else []
    colours = np.where(small, NUMBERS[f"{colour}-c"], NUMBERS[f"{ground}-c"])
    contents = {"color": [colours], "object": [small * NUMBERS[shape], *rare]}
    return contents, pixels + rng.normal(0, 8, (EDGE, EDGE, 1))


def _texture(rng, number):
    first, other = (COLOURS[c] for c in rng.choice(list(COLOURS), 2, replace=False))
    y, x = np.indices((EDGE, EDGE)) // rng.integers(3, 6) % 2
    patterns = {"striped": x, "dotted": x & y, "chequered": x ^ y, "smooth": 0 * x}
    name = list(patterns)[number // 4 % 4]
    pixels = np.where(patterns[name][..., None], first, other) + rng.normal(0, 4, (EDGE, EDGE, 1))
    return {"texture": [NUMBERS[name]]}, pixels
