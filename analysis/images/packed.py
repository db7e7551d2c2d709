"""Images within larger files, read in place: tar archives and Parquet files.

* Tar archives ("shards", the layout called WebDataset) must not be compressed. A sample is the
  files of one archive whose names agree up to the first dot of the last part:
  ``n01440764/0001.jpg`` and ``n01440764/0001.cls``. The latter holds its class: a number that
  counts through the data set's classes, or a class's name.
* Parquet files of the Hugging Face hub. A row has ``image``, a struct of the file's ``bytes`` and
  its ``path``, and a class: ``label``, a number, or ``wnid``, a WordNet id. What the numbers stand
  for is in the schema's metadata.

Names and classes are read once; afterwards each image is read by its place, in any order and by any
number of threads. Parquet has no smaller piece than a group of rows (the hub's have 100 images), so
that much is read for an image, and the last few groups are kept in memory. No torch; pyarrow is
imported when such a file is read.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from analysis.images.imagelist import SUFFIXES, DatasetError, Packed

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
LABELS = ("wnid", "label")
#: The splits that may hold the images that are meant, the first that is there is taken.
SPLITS = ("validation", "val", "test", "train")
#: A file in an archive that is not hidden: its sample, and what of its name is not the sample's.
MEMBER = re.compile(r"((?:.*/)?[^/.]+)(\.[^/]*)", re.DOTALL)
#: Groups of rows that are kept in memory, each some ten megabytes.
KEPT = 4


@dataclass(frozen=True, slots=True)
class Piece(Packed):
    """Some bytes within a file, from ``start`` on, such as one image of a tar archive."""

    start: int

    def read(self) -> bytes:
        """Read the bytes; each call opens the file, so that threads do not get into each other."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Cell(Packed):
    """One image of a Parquet file: a row of a group of rows whose images take ``size`` bytes."""

    group: int
    row: int

    def read(self) -> bytes:
        """Read the bytes of the image's file."""
        content: bytes = _images(self.path, self.group)[self.row].as_py()
        return content


class Sample(NamedTuple):
    """One image, its name within its file, and the text of its class."""

    name: str
    image: Packed
    label: str


class Content(NamedTuple):
    """All samples of some files; of Parquet files the names that labels count through, perhaps."""

    samples: list[Sample]
    names: tuple[str, ...] | None


def read(folder: Path) -> Content | None:
    """Index the archives or tables in a folder; None if there are none.

    DatasetError names what is wrong with which file.
    """
    archives = _archives(folder)
    if archives:
        return Content([sample for path in archives for sample in _of_archive(path)], None)
    samples: list[Sample] = []
    names: tuple[str, ...] | None = None
    for path in (tables := _tables(folder)):
        with _sound(path) as reader:
            own, rows = _of_table(path, reader.ParquetFile(path))
        if names not in (None, own):
            raise DatasetError(
                f"{path} names other classes than {tables[0].name}: the files are not of one set."
            )
        names = own
        samples += rows
    return Content(samples, names) if tables else None


def _archives(folder: Path) -> list[Path]:
    """Return the tar archives in a folder or its ``test/``; DatasetError if they are compressed."""
    for place in (folder, folder / "test"):
        found = [p for p in place.glob("*.tar") if p.name[0] != "." and p.is_file()]
        if found:
            return sorted(found)
        packed = [p.name for p in place.glob("*.t*") if p.name.endswith(COMPRESSED)]
        if packed:
            raise DatasetError(
                f"{place} has compressed archives ({packed[0]}), in which images cannot be read in "
                "place: unpack them, once to folders or to plain .tar files."
            )
    return []


def _tables(folder: Path) -> list[Path]:
    """Return the Parquet files of the split that is meant, in a folder or its ``data/``.

    That is ``validation`` before ``test`` before ``train``; files that name no split are taken
    where there are no others. None if there are no such files.
    """
    for place in (folder, folder / "data"):
        found = sorted(p for p in place.glob("*.parquet") if p.name[0] != "." and p.is_file())
        if found:
            by_split = ([p for p in found if re.match(rf"{s}\b", p.name)] for s in SPLITS)
            return next(filter(None, by_split), found)
    return []


def _of_archive(path: Path) -> Iterator[Sample]:
    images: dict[str, Piece] = {}
    labels: dict[str, str] = {}
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("it ends within a file")
                found = MEMBER.fullmatch(member.name)
                key, suffix = (found[1], found[2].lower()) if found else ("", "")
                if suffix in SUFFIXES and key in images:
                    raise DatasetError(f"{path} has two images called {key}: one each is expected.")
                if suffix in SUFFIXES:
                    images[key] = Piece(path, member.name, member.size, member.offset_data)
                elif suffix == ".cls" and (content := archive.extractfile(member)):
                    labels[key] = content.read().decode("utf-8", "replace").strip()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _unsound(path, "tar archive", error) from None
    for key, piece in images.items():
        if not labels.get(key):
            raise DatasetError(
                f"{path} gives the image {key} no class: a file {key}.cls is expected beside it."
            )
        yield Sample(key, piece, labels[key])


def _of_table(path: Path, file: Any) -> tuple[tuple[str, ...], list[Sample]]:
    leaves = [file.schema.column(i).path for i in range(len(file.schema))]
    label = next((name for name in LABELS if name in leaves), None)
    if "image.bytes" not in leaves or label is None:
        raise DatasetError(
            f"{path} has the columns {', '.join(leaves)}, where image.bytes and label or wnid are "
            "expected, as the Hugging Face hub keeps images."
        )
    wanted, image = {label, "image.path"} & {*leaves}, leaves.index("image.bytes")
    rows: list[Sample] = []
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).column(image).total_compressed_size
        table = file.read_row_group(group, columns=sorted(wanted)).flatten()
        for row, cells in enumerate(table.to_pylist()):
            if cells[label] is None:
                raise DatasetError(f"{path} gives its image {len(rows)} no class: get it again.")
            name = cells.get("image.path") or f"{path.stem}-{len(rows):06}"
            rows.append(Sample(name, Cell(path, name, size, group, row), str(cells[label])))
    return _class_names(file.schema_arrow, label), rows


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
        raise _unsound(path, "Parquet file", error) from None


def _unsound(path: Path, what: str, error: Exception) -> DatasetError:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return DatasetError(
        f"{path} is not a sound {what} ({reason}): it may be cut short; get it again."
    )
