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
that much is read for an image, and the last few groups are kept in memory. How much there is to
read is known before anything is read, and has a limit: a file of some kilobytes may hold gigabytes
of zeros. No torch; pyarrow is imported when such a file is read.
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
from typing import Any, NamedTuple

from analysis.images.imagelist import SUFFIXES, Packed
from analysis.images.sets import DatasetError

LABELS = ("wnid", "label")
#: The columns that hold the bytes and the names of the images' files.
IMAGE = "image.bytes"
PATH = "image.path"
#: The splits that may hold the images that are meant, the first that is there is taken.
SPLITS = ("validation", "val", "test", "train")
#: A file in an archive that is not hidden: its sample, and what of its name is not the sample's.
MEMBER = re.compile(r"((?:.*/)?[^/.]+)(\.[^/]*)", re.DOTALL)
#: Groups of rows that are kept in memory, each some ten megabytes.
KEPT = 4
#: Bytes of an image, or of the images of a group of rows.
LARGEST = 512 * 2**20
#: Of more bytes than that, images in a Parquet file are compressed by this factor at most.
SMALL, DENSE = 64 * 2**20, 20
#: Bytes of a class's name, and of a name in an archive.
LONGEST_NAME = 4096
#: Rows of a Parquet file: equal ones take no room in it, but each is listed.
MOST_ROWS = 5_000_000
#: Entries of an archive that describe the next one, its name for instance: GNU's, pax, Solaris's.
DESCRIBING = b"L", b"K", b"x", b"g", b"X"


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
        content: bytes | None = _images(self.path, self.group)[self.row].as_py()
        return content or b""  # a row without an image has a damaged one


class _Entry(tarfile.TarInfo):
    """An entry of an archive; what describes another one is read whole, unless it is too long."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in DESCRIBING and self.size > 16 * LONGEST_NAME:
            raise tarfile.ReadError(f"a file's name or description takes {self.size:,} bytes")
        entry: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return entry


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
    """Index the archives or tables of a folder, None if it has none; DatasetError names faults.

    DatasetError names what is wrong with which file.
    """
    archives = _archives(folder)
    if archives:
        return Content([sample for path in archives for sample in _of_archive(path)], None)
    samples: list[Sample] = []
    names: tuple[str, ...] | None = None
    for path in (tables := _tables(folder)):
        with _opened(path) as file:
            classes, rows = _of_table(path, file)
        if names not in (None, classes):
            raise DatasetError(
                f"{path} names other classes than {tables[0].name}: the files are not of one set."
            )
        names = classes
        samples += rows
    return Content(samples, names) if tables else None


def _archives(folder: Path) -> list[Path]:
    """Return the tar archives in a folder, else in its ``test/``."""
    for place in (folder, folder / "test"):
        archives = [p for p in place.glob("*.tar") if p.name[0] != "." and p.is_file()]
        if archives:
            return sorted(archives)
    return []


def _tables(folder: Path) -> list[Path]:
    """Return the Parquet files of the split that is meant, in a folder or its ``data/``.

    That is ``validation`` before ``test`` before ``train``; files that name no split are taken
    where there are no others. None are there if there is no such file.
    """
    for place in (folder, folder / "data"):
        tables = sorted(p for p in place.glob("*.parquet") if p.name[0] != "." and p.is_file())
        if tables:
            by_split = ([p for p in tables if re.match(rf"{s}\b", p.name)] for s in SPLITS)
            return next(filter(None, by_split), tables)
    return []


def _of_archive(path: Path) -> Iterator[Sample]:
    images: dict[str, Piece] = {}
    labels: dict[str, str] = {}
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:", tarinfo=_Entry) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("it ends within a file")
                if member.issparse():
                    raise tarfile.ReadError(f"{member.name} leaves out zeros")
                parts = MEMBER.fullmatch(member.name)
                key, suffix = (parts[1], parts[2].lower()) if parts else ("", "")
                if suffix in SUFFIXES and key in images:
                    raise DatasetError(f"{path} has two images called {key}: one each is expected.")
                if suffix in SUFFIXES:
                    _check_size(path, f"the image {member.name}", member.size, LARGEST)
                    images[key] = Piece(path, member.name, member.size, member.offset_data)
                elif suffix == ".cls" and (content := archive.extractfile(member)):
                    _check_size(path, f"the class {member.name}", member.size, LONGEST_NAME)
                    labels[key] = content.read().decode("utf-8", "replace").strip()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _unsound(path, "tar archive", error) from None
    for key, piece in images.items():
        if not labels.get(key):
            raise DatasetError(
                f"{path} gives the image {key} no class: a file {key}.cls is expected next to it."
            )
        yield Sample(key, piece, labels[key])


def _check_size(path: Path, what: str, size: int, most: int) -> None:
    if size > most:
        raise DatasetError(
            f"{path}: {what} takes {size:,} bytes, {most:,} at most are read: leave it out, or "
            "divide it."
        )


def _of_table(path: Path, file: Any) -> tuple[tuple[str, ...], list[Sample]]:
    leaves = {file.schema.column(i).path: i for i in range(len(file.schema))}
    label = next((name for name in LABELS if name in leaves), None)
    if IMAGE not in leaves or label is None:
        raise DatasetError(
            f"{path} has the columns {', '.join(leaves)}, where image.bytes and label or wnid are "
            "expected, as the Hugging Face hub keeps images."
        )
    kinds = {name: file.schema.column(i).logical_type.type for name, i in leaves.items()}
    plain = file.schema.column(leaves[IMAGE]).physical_type == "BYTE_ARRAY"
    named = kinds.get(PATH, "STRING") in ("STRING", "UNKNOWN")  # of nothing
    if not plain or not named or kinds[IMAGE] != "NONE":
        raise DatasetError(
            f"{path} has other things in {IMAGE} than bytes, or in {PATH} than text."
        )
    wanted = [name for name in (label, PATH) if name in leaves]
    if file.metadata.num_rows > MOST_ROWS:
        raise DatasetError(
            f"{path} has {file.metadata.num_rows:,} rows, {MOST_ROWS:,} at most are listed: split "
            "it into several files."
        )
    rows: list[Sample] = []
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        for name in (*wanted, IMAGE):
            size = about.column(leaves[name]).total_uncompressed_size
            _check_size(path, f"{name} of its group of rows {group}", size, LARGEST)
        size, whole = about.column(leaves[IMAGE]).total_compressed_size, size
        if whole > max(SMALL, DENSE * size):
            raise DatasetError(
                f"{path} would take {whole:,} bytes for the images of its group of rows {group}, "
                f"which are {size:,} in the file: images are not compressed that far, get it again."
            )
        table = file.read_row_group(group, columns=wanted).flatten()
        labels = _cells(table[label])
        names = _cells(table[PATH]) if PATH in wanted else [None] * len(labels)
        for row, (of, given) in enumerate(zip(labels, names, strict=True)):
            if of is None:
                raise DatasetError(f"{path} gives its image {len(rows)} no class: get it again.")
            name = given or f"{path.stem}-{len(rows):06}"
            rows.append(Sample(name, Cell(path, name, size, group, row), str(of)))
    return _class_names(file.schema_arrow, label), rows


def _cells(column: Any) -> list[Any]:
    """The values of a column, of which equal texts are one object."""
    cells: list[Any] = []
    for chunk in column.chunks:
        if not hasattr(chunk, "dictionary"):
            cells += chunk.to_pylist()
            continue
        texts = chunk.dictionary.to_pylist()
        cells += [None if place is None else texts[place] for place in chunk.indices.to_pylist()]
    return cells


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The names that labels count through, from the metadata of Hugging Face's `datasets`."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(str(name) for name in about["info"]["features"][label]["names"])
    except (KeyError, ValueError, TypeError, RecursionError):
        return ()


@lru_cache(maxsize=KEPT)
def _images(path: Path, group: int) -> Any:
    with _opened(path) as file:
        return file.read_row_group(group, columns=[IMAGE]).flatten()[IMAGE]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file whose equal texts and images are kept once, as in the file, however many.

    What pyarrow says of a damaged file, in the block too, becomes a sentence.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise DatasetError(
            f"{path} is a Parquet file, and pyarrow, which reads such files, is not installed: pip "
            "install -e '.[parquet]'."
        ) from None
    try:
        schema = parquet.read_metadata(path).schema
        columns = [schema.column(number) for number in range(len(schema))]
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        yield parquet.ParquetFile(path, read_dictionary=texts)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unsound(path, "Parquet file", error) from None


def _unsound(path: Path, what: str, error: Exception) -> DatasetError:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return DatasetError(
        f"{path} is not a sound {what} ({reason}): it may be cut short; get it again."
    )
