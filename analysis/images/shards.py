"""Images in tar archives ("shards"), read in place: the layout called WebDataset.

A sample is the files of one archive whose names agree up to the first dot of the last part:
``n01440764/0001.jpg`` and ``n01440764/0001.cls``. Its class is in ``.cls``, or in a ``.json`` under
``label``, ``cls`` or ``wnid``: a number that counts through the data set's classes, or a class's
name. An index is made once with Python's tarfile; afterwards each image is read by its position, in
any order and by any number of threads. Archives must not be compressed. No torch.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.images.imagelist import SUFFIXES, DatasetError, Piece

LABELS = (".cls", ".json")
LABEL_KEYS = ("label", "cls", "wnid")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True)
class Sample:
    """One image of a shard, with the text of its class."""

    key: str
    image: Piece
    label: str


def archives(folder: Path) -> list[Path]:
    """Return the shards in a folder or its ``test/``, ``2.tar`` before ``10.tar``; maybe none."""
    for place in (folder, folder / "test"):
        found = [p for p in place.glob("*.tar") if p.name[0] != "." and p.is_file()]
        if found:
            return sorted(found, key=_natural)
        packed = [p.name for p in place.glob("*.t*") if p.name.endswith(COMPRESSED)]
        if packed:
            raise DatasetError(
                f"{place} has compressed archives ({packed[0]}), in which images cannot be read in "
                "place: unpack them, once to folders or to plain .tar files."
            )
    return []


def read(paths: list[Path]) -> list[Sample]:
    """Index the samples of some shards, in order; DatasetError names what is wrong with which."""
    return [sample for path in paths for sample in _samples(path)]


def _samples(path: Path) -> Iterator[Sample]:
    images: dict[str, Piece] = {}
    labels: dict[str, str] = {}
    for member, content in _members(path):
        parent, _, last = member.name.rpartition("/")
        stem, _, suffix = last.partition(".")
        key = f"{parent}/{stem}" if parent else stem
        suffix = f".{suffix.lower()}"
        if suffix in SUFFIXES:
            if key in images:
                raise DatasetError(f"{path} has two images called {key}: one each is expected.")
            images[key] = member
        elif suffix == ".cls":
            labels[key] = content.decode("utf-8", "replace").strip()
        elif suffix == ".json" and key not in labels:
            labels[key] = _label_of(content, member.name, path)
    for key, piece in images.items():
        if not labels.get(key):
            raise DatasetError(
                f"{path} gives the image {key} no class: a file {key}.cls, or {key}.json with "
                f"{' or '.join(LABEL_KEYS)}, is expected beside it."
            )
        yield Sample(key, piece, labels[key])


def _members(path: Path) -> Iterator[tuple[Piece, bytes]]:
    """Yield the files of an archive, and the content of those that may be labels.

    DatasetError if it is no archive, or cut short.
    """
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile() or member.name.rpartition("/")[2].startswith("."):
                    continue
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("it ends within a file")
                small = archive.extractfile(member) if member.name.endswith(LABELS) else None
                content = small.read() if small else b""
                yield Piece(path, member.offset_data, member.size, member.name), content
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DatasetError(
            f"{path} is not a sound tar archive ({error}): it may be cut short; get it again."
        ) from None


def _label_of(text: bytes, name: str, path: Path) -> str:
    try:
        content = json.loads(text)
    except ValueError:
        raise DatasetError(f"{path}: {name} is not JSON: get the shard again.") from None
    found = [content[key] for key in LABEL_KEYS if isinstance(content, dict) and key in content]
    return str(found[0]) if found else ""


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order of names in which numbers count as such."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
