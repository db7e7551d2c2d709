"""Images in a folder that Hugging Face's `datasets` wrote (``save_to_disk``).

The files of the images are read as they were saved, in the order of the rows. No torch; the
library, an extra, is imported when such a folder is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from analysis.images.imagelist import DatasetError, ImageList, Packed, called_after, class_prompts


@dataclass(frozen=True, slots=True)
class Row(Packed):
    """The image in a row of a saved data set."""

    column: str
    row: int

    def read(self) -> bytes:
        """Read the bytes that its own file had."""
        content: bytes = _opened(self.path)[self.row][self.column]["bytes"]
        return content


def is_saved(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return any((folder / f"dataset_{kind}.json").is_file() for kind in ("info", "dict"))


def image_list(folder: Path, words: dict[str, str] | None = None) -> ImageList:
    """List the images of a saved data set, with the classes of its first column of labels.

    ``words`` says what classes are called. Raises DatasetError for several splits, without a
    column of images, and for rows without an image's bytes or without a label.
    """
    rows = _opened(folder)
    images = [name for name, kind in rows.features.items() if type(kind).__name__ == "Image"]
    if not images:
        raise DatasetError(f"{folder} has no column of images among {', '.join(rows.features)}.")
    chunks = (chunk.field("bytes") for chunk in rows.data.table[images[0]].chunks)
    sizes = [len(each.as_buffer() or b"") for chunk in chunks for each in chunk]
    if 0 in sizes:
        raise DatasetError(
            f"{folder} has no bytes of the image in row {sizes.index(0)}: save the data set again "
            "on the machine that has its images."
        )
    label = next((n for n, kind in rows.features.items() if hasattr(kind, "int2str")), None)
    names = tuple(rows.features[label].names) if label else ()
    labels = rows.data.table[label].to_pylist() if label else [-1] * len(rows)
    if None in labels:
        raise DatasetError(f"{folder} has a row without a class in {label}: leave it out.")
    keys = tuple(f"{row:07}" for row in range(len(rows)))
    return called_after(
        folder,
        ImageList(
            name=folder.name,
            images=[
                Row(folder, key, size, images[0], row)
                for row, (key, size) in enumerate(zip(keys, sizes, strict=True))
            ],
            keys=keys,
            labels=np.array(labels, dtype=np.int64),
            classes=names,
            prompts=class_prompts(names, words) if names else None,
        ),
    )


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Any:
    """The rows, whose images are bytes; DatasetError if they are none or are of several splits."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise DatasetError(
            f"{folder} was saved by Hugging Face's datasets, which is not installed: pip install "
            '"interpreting-clip-companion[datasets]".'
        ) from None
    try:
        rows = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DatasetError(
            f"{folder} is no sound data set ({reason}): save it again with save_to_disk."
        ) from None
    if isinstance(rows, datasets.DatasetDict):
        splits = ", ".join(str(folder / name) for name in rows)
        raise DatasetError(f"{folder} has several splits: name the folder of one ({splits}).")
    for name, kind in rows.features.items():
        if isinstance(kind, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows
