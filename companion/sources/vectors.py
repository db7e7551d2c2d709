"""Stored vectors as their users keep them: arrays, tables of Arrow, indices of vector stores.

Nothing is unpickled. Of what can be read in part, the rows that are wanted alone are read.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.metrics.quantisation import evenly
from base.texts import CompanionError, suggestion

Array = NDArray[Any]

#: Vectors of a Parquet file that are in memory at a time.
BATCH = 10_000
#: How a file of faiss begins whose vectors are stored whole: by inner product, Euclidean, others.
FLAT = (b"IxFI", b"IxF2", b"IxFl")
#: Bytes of such a file before its vectors.
FLAT_AT = 45
#: The header of hnswlib's `save_index`, and Chroma's, which begins with a version.
HNSW = "<6QIi3QdQ"


class VectorsError(CompanionError):
    """Vectors cannot be read; the message says why and what to do."""


class Vectors(NamedTuple):
    """Vectors (N, d), which may be evenly spaced ones of `total`."""

    rows: Array
    total: int


def read(path: Path, column: str | None = None, most: int | None = None) -> Vectors:
    """The vectors of a file, at most so many of them, evenly spaced.

    `column`: of a table, the name of an array or tensor in a file of several, or Chroma's
    collection. Raises VectorsError for what is not there, not of a known kind, or not read without
    a library that is missing.
    """
    if path.is_dir():
        path = next((p for name in KNOWN_INSIDE for p in sorted(path.glob(name))), path)
    if not path.is_file():
        raise VectorsError(f"there is no file of vectors at {path}: check the path.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise VectorsError(
            f"{path.name} ends in none of {', '.join(READERS)}: save the vectors as an array, "
            'np.save("vectors.npy", vectors).'
        )
    if column is not None and path.suffix.lower() in UNNAMED:
        raise VectorsError(f"{path.name} holds one array, without a name: leave --column out.")
    try:
        found = reader(path, column, most)
        if isinstance(found, Vectors):
            return found
        if np.ndim(found) != 2 or most is None:
            return Vectors(found, len(found) if np.ndim(found) else 0)
        return Vectors(_taken(found, evenly(len(found), most)), len(found))
    except (ValueError, KeyError, EOFError, OSError, struct.error, sqlite3.Error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        raise VectorsError(f"{path.name} cannot be read as vectors ({reason}).") from None


def _taken(array: Array, rows: NDArray[np.intp]) -> Array:
    """Some rows. Of a mapped file they are read one by one: a touched page maps those around it."""
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous or array.filename is None:
        return array[rows]
    taken = np.empty((len(rows), array.shape[1]), dtype=array.dtype)
    with Path(array.filename).open("rb") as file:
        for place, row in enumerate(rows):
            file.seek(array.offset + int(row) * array.strides[0])
            taken[place] = np.frombuffer(file.read(array.strides[0]), dtype=array.dtype)
    return taken


# Arrays


def _npy(path: Path, column: str | None, most: int | None) -> Array:
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _npz(path: Path, column: str | None, most: int | None) -> Array:
    with np.load(path, allow_pickle=False) as held:
        array: Array = held[_chosen(path, column, held.files)]
    return array


def _pt(path: Path, column: str | None, most: int | None) -> Array:
    try:
        import torch
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} is read by PyTorch, which is not installed: pip install torch, or save "
            "the vectors as an array, np.save."
        ) from None
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of the unpickler, which names no class of its own for all
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(f"weights_only=True refuses it: {reason}") from None
    if isinstance(held, dict):
        tensors = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
        held = tensors[_chosen(path, column, map(str, tensors))]
    if not isinstance(held, torch.Tensor):
        raise ValueError(f"it holds a {type(held).__name__}, a tensor is expected")
    held = held.float() if held.dtype == torch.bfloat16 else held
    array: Array = held.numpy()
    return array


def _safetensors(path: Path, column: str | None, most: int | None) -> Array:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as held:
        array: Array = held.get_tensor(_chosen(path, column, held.keys()))
    return array


def _chosen(path: Path, column: str | None, names: Iterable[str]) -> str:
    """The one that is named, or the only one."""
    known = list(names)
    if column is None and len(known) == 1:
        return known[0]
    if column in known:
        return str(column)
    if column is None:
        raise VectorsError(
            f"{path.name} holds {len(known)} arrays: name one of them with --column; "
            f"{suggestion('', known)}."
        )
    raise VectorsError(f"{path.name} has no {column!r}: {suggestion(column, known)}.")


# Tables


def _table(path: Path, column: str | None, most: int | None) -> Vectors | Array:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} is read by pyarrow, which is not installed: pip install pyarrow, or save "
            "the vectors as an array, np.save."
        ) from None
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(path, column, most)
    with pyarrow.memory_map(str(path)) as source:
        try:
            table = pyarrow.ipc.open_file(source).read_all()
        except pyarrow.ArrowInvalid:
            source.seek(0)
            table = pyarrow.ipc.open_stream(source).read_all()
        return _matrix(table.column(_vector_column(path, column, table.schema)))


def _parquet(path: Path, column: str | None, most: int | None) -> Vectors:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        name, total = _vector_column(path, column, file.schema_arrow), file.metadata.num_rows
        wanted, start, parts = evenly(total, most or total), 0, []
        for batch in file.iter_batches(BATCH, columns=[name]):
            inside = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
            parts.append(_matrix(batch.column(0).take(inside)))
            start += len(batch)
    if len({part.shape[1:] for part in parts}) != 1:
        raise ValueError("its vectors have different lengths")
    return Vectors(np.concatenate(parts), total)


def _vector_column(path: Path, column: str | None, schema: Any) -> str:
    """The column that is named, or the only one of lists of numbers."""
    import pyarrow.types as types

    names = [
        field.name
        for field in schema
        if hasattr(field.type, "value_type")
        and (types.is_floating(field.type.value_type) or types.is_integer(field.type.value_type))
    ]
    if column is not None and column in schema.names and column not in names:
        raise VectorsError(
            f"the column {column!r} of {path.name} holds {schema.field(column).type}, where lists "
            f"of numbers are expected: {suggestion(column, names)}."
        )
    if not names:
        raise VectorsError(f"{path.name} has no column of lists of numbers, one list per row.")
    return _chosen(path, column, names)


def _matrix(column: Any) -> Array:
    """An Arrow column of lists of one length as an array (N, d)."""
    if column.null_count:
        raise ValueError(f"{column.null_count} rows have no vector: leave them out")
    rows = column.to_numpy(zero_copy_only=False)
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its vectors have different lengths")
    return np.stack(rows)


# Vector stores


def _index(path: Path, column: str | None, most: int | None) -> Array:
    with path.open("rb") as file:
        head = file.read(FLAT_AT)
    return _faiss(path, head) if head[:1] == b"I" else _hnswlib(path)


def _faiss(path: Path, head: bytes) -> Array:
    if head[:4] in FLAT:
        width, total = struct.unpack_from("<iq", head, 4)
        return np.memmap(path, "<f4", "r", FLAT_AT, (total, width))
    try:
        import faiss
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} is no flat index of faiss, and faiss is not installed: pip install "
            "faiss-cpu, or save index.reconstruct_n(0, index.ntotal) with np.save."
        ) from None
    try:
        whole = faiss.read_index(str(path))  # it owns what is inside: kept until the end
        index = faiss.downcast_index(whole)
        inner = faiss.downcast_index(index.index if hasattr(index, "index") else index)
        kind = type(inner).__name__
        if "Flat" not in kind:
            raise VectorsError(
                f"{path.name} is an {kind}, whose vectors are compressed already: give the array "
                "that it was made of."
            )
        if hasattr(inner, "make_direct_map"):
            inner.make_direct_map()
        array: Array = inner.reconstruct_n(0, inner.ntotal)
    except RuntimeError as error:
        reason = str(error).rpartition("Error: ")[2].partition("\n")[0][:100]
        raise ValueError(f"faiss says: {reason}") from None
    return array


def _hnswlib(path: Path) -> Array:
    """The vectors of hnswlib's own file, or of Chroma's `data_level0.bin`."""
    if path.name == "data_level0.bin":
        header = path.with_name("header.bin")
        if not header.is_file():
            return _rows_of_level_0(path)
        content, start = header.read_bytes()[4:], 0  # after Chroma's version
    else:
        content, start = path.read_bytes()[: struct.calcsize(HNSW)], struct.calcsize(HNSW)
    _, most, count, row, label, at, *_ = struct.unpack_from(HNSW, content)
    size = path.stat().st_size - start
    if not (0 < count <= most and 0 < at < label < row and count * row <= size):
        raise ValueError("its header is not hnswlib's: save index.get_items(...) with np.save")
    held: Array = np.memmap(path, np.uint8, "r", start, (count, row))
    return held[:, at:label].copy().view("<f4")


def _rows_of_level_0(path: Path) -> Array:
    """The vectors of a `data_level0.bin` without its header.

    Each row has the number of its links and the links (4 bytes each), the vector, and a label of 8
    bytes; that labels are all the numbers from 0 or 1 on, in some order, says how long a row is.
    """
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    for links in (32, 16, 64, 96, 128):  # twice hnswlib's M, of which 16 is usual
        for width in range(8, 8193, 8):
            row = 4 + 4 * links + 4 * width + 8
            if len(content) % row:
                continue
            rows = content.reshape(-1, row)
            labels = np.sort(rows[:, -8:].copy().view("<u8")[:, 0])
            if labels[0] <= 1 and np.array_equal(labels, labels[0] + np.arange(len(rows))):
                return rows[:, 4 + 4 * links : -8].copy().view("<f4")
    raise ValueError("its header.bin is missing, and no length of a row fits it")


def chroma(path: Path, column: str | None = None, most: int | None = None) -> Array:
    """The vectors that a database of Chroma's was given, in the order of their arrival.

    `column`: the name of the collection, of several.
    """
    address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as database:
        names = dict(database.execute("SELECT id, name FROM collections").fetchall())
        rows = database.execute(
            "SELECT topic, id, operation, vector FROM embeddings_queue ORDER BY seq_id"
        ).fetchall()
    held: dict[str, dict[str, bytes]] = {}
    for topic, key, operation, vector in rows:
        collection = held.setdefault(names.get(topic.rpartition("/")[2], topic), {})
        if operation == DELETED:
            collection.pop(key, None)
        elif vector is not None:
            collection[key] = vector
    held = {name: vectors for name, vectors in held.items() if vectors}
    if not held:
        raise VectorsError(
            f"{path.name} holds no vectors any more: give data_level0.bin, in the folder of the "
            "collection beside it."
        )
    vectors = held[_chosen(path, column, held)]
    return np.array([np.frombuffer(vector, dtype="<f4") for vector in vectors.values()])


#: The number of Chroma's operation that deletes a vector.
DELETED = 3
#: What is looked for in a folder, such as Chroma's.
KNOWN_INSIDE = ("chroma.sqlite3", "data_level0.bin", "*.arrow")

#: Files that have one array, without a name.
UNNAMED = (".npy", ".faiss", ".index", ".bin")
READERS: dict[str, Callable[[Path, str | None, int | None], Vectors | Array]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _pt,
    ".pth": _pt,
    ".safetensors": _safetensors,
    ".parquet": _table,
    ".pq": _table,
    ".arrow": _table,
    ".feather": _table,
    ".faiss": _index,
    ".index": _index,
    ".bin": _index,
    ".sqlite3": chroma,
}
