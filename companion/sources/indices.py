"""Vectors that vector stores hold: indices of faiss and hnswlib, and databases of Chroma."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.metrics.quantisation import evenly
from companion.sources.rows import Array, Vectors, VectorsError, named_column, read_rows

#: How a file of faiss begins whose vectors are stored whole: by inner product, Euclidean, others.
FLAT = (b"IxFI", b"IxF2", b"IxFl")
#: Bytes of such a file before its vectors.
FLAT_AT = 45
#: The header of hnswlib's `save_index`, and Chroma's, which begins with a version.
HNSW = "<6QIi3QdQ"
#: Rows of a file of hnswlib that are in memory at a time.
BLOCK = 10_000
#: The number of Chroma's operation that deletes a vector.
DELETED = 3
LEVEL_0 = "data_level0.bin"


def index(path: Path, column: str | None, most: int | None) -> Vectors:
    """The vectors of an index of faiss or hnswlib."""
    with path.open("rb") as file:
        head = file.read(FLAT_AT)
    return _faiss(path, head, most) if head[:1] == b"I" else _hnswlib(path, most)


# faiss


def _faiss(path: Path, head: bytes, most: int | None) -> Vectors:
    if head[:4] in FLAT:
        width, total = struct.unpack_from("<iq", head, 4)
        held = read_rows(path, evenly(total, most or total), 4 * width, FLAT_AT)
        return Vectors(held.view("<f4"), total, rows_are_vectors=True)
    try:
        import faiss
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} is no flat index of faiss, and faiss is not installed: pip install "
            "faiss-cpu, or save index.reconstruct_n(0, index.ntotal) with np.save."
        ) from None
    try:
        whole = faiss.read_index(str(path))  # it owns what is inside: kept until the end
        outer = faiss.downcast_index(whole)
        inner = faiss.downcast_index(outer.index if hasattr(outer, "index") else outer)
        kind = type(inner).__name__
        if "Flat" not in kind:
            raise VectorsError(
                f"{path.name} is an {kind}, whose vectors are compressed already: give the array "
                "that it was made of."
            )
        if hasattr(inner, "make_direct_map"):
            inner.make_direct_map()
        # Inside a transformation vectors are turned: from outside they are turned back.
        giving = outer if isinstance(outer, faiss.IndexPreTransform) else inner
        rows = evenly(inner.ntotal, most or inner.ntotal)
        array: Array = np.array([giving.reconstruct(int(row)) for row in rows])
    except RuntimeError as error:
        reason = str(error).rpartition("Error: ")[2].partition("\n")[0][:100]
        raise ValueError(f"faiss says: {reason}") from None
    return Vectors(array, inner.ntotal, rows_are_vectors=True)


# hnswlib


class Level(NamedTuple):
    """Where a file of hnswlib has its rows, and in each of them the vector; which are deleted."""

    path: Path
    start: int
    size: int
    vector: slice
    length: int

    def there(self) -> NDArray[np.intp]:
        """The rows that are not marked as deleted."""
        marks, block = list[Array](), self.size * BLOCK
        with self.path.open("rb") as file:
            file.seek(self.start)
            while len(marks) * BLOCK < self.length:
                left = self.size * self.length - len(marks) * block
                part = np.frombuffer(file.read(min(block, left)), np.uint8)
                marks.append(part.reshape(-1, self.size)[:, 2] & 1)
        rows: NDArray[np.intp] = np.flatnonzero(np.concatenate(marks) == 0)
        return rows

    def vectors(self, rows: NDArray[np.intp]) -> Array:
        """Of some rows."""
        held = read_rows(self.path, rows, self.size, self.start)
        return held[:, self.vector].copy().view("<f4")


def _hnswlib(path: Path, most: int | None) -> Vectors:
    """The vectors of hnswlib's own file, or of Chroma's `data_level0.bin`."""
    level = _level(path)
    there = level.there()
    if not len(there):
        raise ValueError("all its vectors are deleted")
    rows = there[evenly(len(there), most or len(there))]
    return Vectors(level.vectors(rows), len(there), rows_are_vectors=True)


def _level(path: Path) -> Level:
    if path.name == LEVEL_0:
        header = path.with_name("header.bin")
        if not header.is_file():
            return _level_without_header(path)
        content, start = header.read_bytes()[4:], 0  # after Chroma's version
    else:
        start = struct.calcsize(HNSW)
        with path.open("rb") as file:
            content = file.read(start)
    _, most, count, row, label, at, *_ = struct.unpack_from(HNSW, content)
    size = path.stat().st_size - start
    if not (0 <= count <= most and 0 < at < label < row and count * row <= size):
        raise ValueError("its header is not hnswlib's: save index.get_items(...) with np.save")
    if not count:
        raise ValueError("it holds no vectors yet: of Chroma, give the folder of chroma.sqlite3")
    return Level(path, start, row, slice(at, label), count)


def _level_without_header(path: Path) -> Level:
    """The rows of a `data_level0.bin` without its header.

    Each row has the number of its links and the links (4 bytes each), the vector, and a label of 8
    bytes; that labels are all the numbers from 0 or 1 on, in some order, says how long a row is.
    """
    content = np.memmap(path, np.uint8, "r")
    for links in (32, 16, 64, 96, 128):  # twice hnswlib's M, of which 16 is usual
        for width in range(8, 8193, 8):
            row = 4 + 4 * links + 4 * width + 8
            if len(content) % row:
                continue
            rows = content.reshape(-1, row)
            labels = np.sort(rows[:, -8:].copy().view("<u8")[:, 0])
            if labels[0] <= 1 and np.array_equal(labels, labels[0] + np.arange(len(rows))):
                return Level(path, 0, row, slice(4 + 4 * links, row - 8), len(rows))
    raise ValueError("its header.bin is missing, and no length of a row fits it")


# Chroma


def chroma(path: Path, column: str | None = None, most: int | None = None) -> Vectors:
    """The vectors of a collection of Chroma's: from its database, and the index beside it.

    `column`: the name of the collection, of several. The database queues vectors; those that have
    gone into the index it may drop. Which of the index's rows were changed since is not known
    without a pickle, so that such a collection is refused.
    """
    address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as database:

        def table(query: str) -> list[tuple[Any, ...]]:
            return database.execute(query).fetchall()

        queued = _queued(table)
        there = {row[0] for row in table("SELECT name FROM sqlite_master")}
        counts, segments, done = dict[str, int](), dict[str, str](), dict[str, int]()
        if {"segments", "embeddings", "max_seq_id"} <= there:  # since version 0.4
            counts = dict(table(COUNTED))
            segments = dict(table(SEGMENTS))
            done = {name: _number(last) for name, last in table("SELECT * FROM max_seq_id")}
    names = [name for name in {**queued, **counts} if queued.get(name) or counts.get(name)]
    if not names:
        raise VectorsError(f"{path.name} holds no vectors.")
    name = named_column(path, column, names)
    pending = queued.get(name, {})
    if counts.get(name, len(pending)) == len(pending):
        array = np.array([vector for _, vector in pending.values()])
        return Vectors(array[evenly(len(array), most or len(array))], len(array), True)
    segment = segments.get(name, "")
    later = [vector for number, vector in pending.values() if number > done.get(segment, 0)]
    return _with_index(path, name, segment, later, counts[name], most)


#: How many vectors each collection has, and the name of the folder of its index.
COUNTED = """SELECT c.name, count(*) FROM embeddings e JOIN segments s ON s.id = e.segment_id
    JOIN collections c ON c.id = s.collection GROUP BY c.id"""
SEGMENTS = """SELECT c.name, s.id FROM segments s JOIN collections c ON c.id = s.collection
    WHERE s.scope = 'VECTOR'"""


def _queued(
    table: Callable[[str], list[tuple[Any, ...]]],
) -> dict[str, dict[str, tuple[int, Array]]]:
    """Each collection's vectors that the database holds, with the numbers of their operations."""
    names = dict(table("SELECT id, name FROM collections"))
    held: dict[str, dict[str, tuple[int, Array]]] = {}
    rows = table("SELECT seq_id, topic, id, operation, vector FROM embeddings_queue ORDER BY 1")
    for number, topic, key, operation, vector in rows:
        collection = held.setdefault(names.get(topic.rpartition("/")[2], topic), {})
        if operation == DELETED:
            collection.pop(key, None)
        elif vector is not None:
            collection[key] = number, np.frombuffer(vector, dtype="<f4")
    return held


def _number(given: Any) -> int:
    """The number of an operation, which older versions wrote as bytes."""
    return int.from_bytes(given, "big") if isinstance(given, bytes) else int(given)


def _with_index(
    path: Path, name: str, segment: str, later: list[Array], count: int, most: int | None
) -> Vectors:
    """The vectors of the index, and those that came later."""
    file = path.parent / segment / LEVEL_0
    if not segment or not file.is_file():
        raise VectorsError(
            f"{path.name} holds {len(later):,} of the {count:,} vectors of {name!r}: the others "
            f"are in the folder {segment or 'of its index'} beside it, so copy that, too."
        )
    level = _level(file)
    there = level.there()
    if len(there) + len(later) != count:
        raise VectorsError(
            f"the collection {name!r} of {path.name} was changed after its index was written: save "
            'collection.get(include=["embeddings"])["embeddings"] with np.save, and give that.'
        )
    rows = evenly(count, most or count)
    inside, outside = rows[rows < len(there)], rows[rows >= len(there)] - len(there)
    parts = [level.vectors(there[inside]), *(later[row][None] for row in outside)]
    return Vectors(np.concatenate(parts), count, rows_are_vectors=True)
