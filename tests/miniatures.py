"""The paper's data sets in miniature: small pictures of nothing, in the layouts of the true sets.

Every class folder is there, with one or two noise images of varied sizes. Their counts are not
those of the true sets, so they are taken only with ``--accept-counts``. Broden is not among them
(see `broden_miniature`).
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from analysis.images import imagenet
from analysis.images.imagelist import DamagedImageError
from companion.sources import copies, sets
from companion.sources.sets import Used, descriptions

#: Every so many classes one has two images, where the true classes differ in size.
SECOND_IMAGE = 7
RED = (255, 0, 0)
#: The sets of ImageNet's classes.
NAMES = [n for n, data in descriptions().items() if data.layout not in ("broden", "name")]
#: How files are called in the true sets, where it matters or differs.
FILES = {
    "imagenet": "ILSVRC2012_val_{:08}.JPEG",
    "imagenet-v2": "{:040x}.jpeg",
    "imagenet-sketch": "sketch_{}.JPEG",
    "objectnet": "{:015x}.png",
}


def damaged(images):
    """Decode every image, by two threads, and return what went wrong with which, in order."""

    def attempt(index):
        try:
            images.image(index)
        except DamagedImageError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        return [error for error in pool.map(attempt, range(len(images))) if error]


def save_all(folder):
    """Write every set of ImageNet's classes below ``folder``; return them described with counts."""
    return {name: save(folder, name) for name in NAMES}


def expect(patch, described):
    """Have sets taken for whole that are as described."""
    every = {**descriptions(), **described}
    for module in (sets, copies):
        patch.setattr(module, "descriptions", lambda: every)


def save(folder, name):
    """Write one set below ``folder``, where it is looked for; return it described as it now is."""
    true = descriptions()[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    listed = _class_folders(true)
    twice = [label for label in listed[::SECOND_IMAGE] if true.per_class is None]
    entries = sorted(listed + twice)
    numbers = rng.permutation(len(entries))  # validation images are numbered in no class order
    for class_folder, number in zip(entries, numbers, strict=True):
        path = folder / true.folders[0] / class_folder
        path /= FILES.get(name, "{:08}.jpg").format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        picture = coarse.resize(tuple(rng.integers(24, 64, 2)), Image.Resampling.BICUBIC)
        ImageOps.expand(picture, true.border, RED).save(path)
    of = set(copies.subset(true))
    used = Used(images=sum(e in of for e in entries), classes=len(of)) if true.used else None
    per_class = None if true.per_class is None else 1
    return true.model_copy(
        update={"images": len(entries), "per_class": per_class, "used": used},
    )


def _class_folders(true):
    if true.layout == "number":
        return [str(index) for index in range(true.classes)]
    if true.layout == "objectnet":
        rows = (imagenet.FOLDER / "objectnet.csv").read_text().splitlines()
        return [row.partition(",")[0] for row in rows[1:]]
    return list(copies.subset(true))
