"""The paper's data sets in miniature: small pictures of nothing, in the layouts of the true sets.

Every class folder is there, with one or two noise images of varied sizes. Their counts are not
those of the true sets, so they are taken only with ``--accept-counts``. Broden is not among them
(see `broden_miniature`).
"""

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from analysis.images import copies, imagenet, sets
from analysis.images.imagelist import DamagedImageError
from analysis.images.sets import Used, descriptions

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
    of = set(imagenet.subset(true))
    used = Used(images=sum(e in of for e in entries), classes=len(of)) if true.used else None
    per_class = None if true.per_class is None else 1
    return true.model_copy(
        update={"images": len(entries), "per_class": per_class, "used": used},
    )


def save_shards(images, folder, per_shard=20):
    """Write a list of files as tar shards, ``test/0.tar`` and so on, as CLIP_benchmark does."""
    (folder / "test").mkdir(parents=True)
    for first in range(0, len(images), per_shard):
        path = folder / "test" / f"{first // per_shard}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for i in range(first, min(first + per_shard, len(images))):
                name, content = _file(images, i)
                suffix = Path(name).suffix.lower().replace("jpeg", "jpg")
                add(archive, f"s{i:07}{suffix}", content)
                add(archive, f"s{i:07}.cls", str(images.labels[i]).encode())
    return folder


def save_parquet(images, folder, split="validation", names=(), files=2):
    """Write a list of files as the Hugging Face hub keeps such sets, below ``data/``.

    ``names`` are the classes that labels count through, for the metadata (the list's own).
    Rows are in no order.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    names = list(names or images.classes)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    order = np.random.default_rng(0).permutation(len(images))
    for number, rows in enumerate(np.array_split(order, files)):
        made = [_file(images, i) for i in rows.tolist()]
        content = {
            "image": [{"bytes": content, "path": name} for name, content in made],
            "label": images.labels[rows],
        }
        path = folder / "data" / f"{split}-{number:05}-of-{files:05}.parquet"
        table = pa.table(content).replace_schema_metadata(about)
        pq.write_table(table, path, row_group_size=100)
    return folder


def _file(images, index):
    """The name and the bytes of an image that is a file, or within one."""
    assert not isinstance(images.images, np.ndarray), "a list of files is expected"
    source = images.images[index]
    content = source.read_bytes() if isinstance(source, Path) else source.read()
    return Path(images.keys[index]).name, content


def _class_folders(true):
    if true.layout == "number":
        return [str(index) for index in range(true.classes)]
    if true.layout == "objectnet":
        rows = (imagenet.FOLDER / "objectnet.csv").read_text().splitlines()
        return [row.partition(",")[0] for row in rows[1:]]
    return list(imagenet.subset(true))


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
