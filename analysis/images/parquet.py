"""Images in Parquet files, read in place: the layout of the Hugging Face hub.

A row has ``image``, a struct of the file's ``bytes`` and its ``path``, and a class: ``label``, a
number, or ``wnid``, a WordNet id. What the numbers stand for is in the schema's metadata. Labels
and file names are read once; afterwards each image is read by file and row, in any order and by any
number of threads. Parquet has no smaller piece than a group of rows (the hub's have 100 images), so
that much is read for an image, and the last few groups are kept in memory. No torch; pyarrow is
imported when such a file is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from analysis.images.imagelist import DatasetError

#: The splits that may hold the images that are meant, the first that is there is taken.
SPLITS = ("validation", "val", "test", "train")
LABELS = ("wnid", "label")
#: Groups of rows that are kept in memory, each some ten megabytes.
KEPT = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """One image of a file: row ``row`` of the group ``group``, whose images take ``size`` bytes."""

    path: Path
    group: int
    row: int
    size: int
    name: str

    def read(self) -> bytes:
        """Read the bytes of the image's file."""
        content: bytes = _images(self.path, self.group)[self.row].as_py()
        return content


@dataclass(frozen=True)
class Row:
    """One image, the path that its file had, if it is noted, and the text of its class."""

    image: Cell
    path: str
    label: str


@dataclass(frozen=True)
class Table:
    """All rows of some files, and the names of the classes that labels count through, if given."""

    rows: tuple[Row, ...]
    names: tuple[str, ...]


def files(folder: Path) -> list[Path]:
    """Return the Parquet files of the split that is meant, in a folder or its ``data/``.

    That is ``validation`` before ``test`` before ``train``; files that name no split are taken
    where there are no others. None if there are no such files.
    """
    for place in (folder, folder / "data"):
        found = sorted(p for p in place.glob("*.parquet") if p.name[0] != "." and p.is_file())
        for split in SPLITS:
            of_split = [path for path in found if re.match(rf"{split}\b", path.name)]
            if of_split:
                return of_split
        if found:
            return found
    return []


def read(paths: list[Path]) -> Table:
    """List the rows of some files, in order; DatasetError names what is wrong with which."""
    rows: list[Row] = []
    names: tuple[str, ...] | None = None
    for path in paths:
        with _sound(path) as reader:
            own, more = _read(path, reader.ParquetFile(path))
        if names not in (None, own):
            raise DatasetError(
                f"{path} names other classes than {paths[0].name}: the files are not of one set."
            )
        names = own
        rows += more
    return Table(tuple(rows), names or ())


def _read(path: Path, file: Any) -> tuple[tuple[str, ...], list[Row]]:
    leaves = [column.path for column in map(file.schema.column, range(len(file.schema)))]
    label = next((name for name in LABELS if name in leaves), None)
    if "image.bytes" not in leaves or label is None:
        raise DatasetError(
            f"{path} has the columns {', '.join(leaves)}, where image.bytes and label or wnid are "
            "expected, as the Hugging Face hub keeps images."
        )
    wanted = [label, *(name for name in leaves if name == "image.path")]
    rows: list[Row] = []
    for group in range(file.num_row_groups):
        size = _size(file.metadata.row_group(group))
        table = file.read_row_group(group, columns=wanted).flatten()
        labels = table[label].to_pylist()
        inside = table["image.path"].to_pylist() if len(wanted) > 1 else [None] * len(labels)
        for row, (text, own) in enumerate(zip(labels, inside, strict=True)):
            if text is None:
                raise DatasetError(f"{path} gives its image {len(rows)} no class: get it again.")
            name = own or f"{path.stem}/{len(rows):06}"
            rows.append(Row(Cell(path, group, row, size, name), own or "", str(text)))
    return _class_names(file.schema_arrow, label), rows


def _size(group: Any) -> int:
    """Bytes that the images of a group of rows take in the file."""
    columns = map(group.column, range(group.num_columns))
    return int(next(c.total_compressed_size for c in columns if c.path_in_schema == "image.bytes"))


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The names that labels count through, from the metadata of Hugging Face's `datasets`."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(str(name) for name in about["info"]["features"][label]["names"])
    except (KeyError, ValueError, TypeError):
        return ()


@lru_cache(maxsize=KEPT)
def _images(path: Path, group: int) -> Any:
    with _sound(path) as reader:
        file = reader.ParquetFile(path)
        return file.read_row_group(group, columns=["image.bytes"]).flatten()["image.bytes"]


@contextmanager
def _sound(path: Path) -> Iterator[ModuleType]:
    """Give out pyarrow's reader; what it says of a damaged file becomes a sentence."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise DatasetError(
            f"{path} is a Parquet file, and pyarrow, which reads such, is not installed: pip "
            "install -e '.[parquet]'."
        ) from None
    try:
        yield pyarrow.parquet
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DatasetError(
            f"{path} is not a sound Parquet file ({reason}): it may be cut short; get it again."
        ) from None
