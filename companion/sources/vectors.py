"""Stored vectors as their users keep them: arrays, tables, and flat indices of faiss.

Nothing is unpickled. Of arrays and Arrow tables the rows that are wanted alone are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.base.texts import suggestion
from analysis.metrics.quantisation import evenly
from companion.sources import indices
from companion.sources.rows import Array, Vectors, VectorsError, as_stack, named_column, of_array

#: Vectors of a Parquet file that are in memory at a time.
BATCH = 10_000


def read(path: Path, column: str | None = None, most: int | None = None) -> Vectors:
    """The vectors of a file or folder, at most so many of them, evenly spaced.

    `column`: of a table, or the name of an array or tensor in a file of several. Raises
    VectorsError for what is not there, not of a known kind, or not read without a library that is
    missing.
    """
    files = _inside(path)
    path = files[0]
    kind = ".faiss" if not path.suffix and _is_faiss(path) else path.suffix.lower()
    if kind in STORES:
        raise VectorsError(f"{path.name} is {STORES[kind]}, and give that file.")
    if kind not in (*READERS, *TABLES):
        raise VectorsError(
            f"{path.name} ends in none of {', '.join([*READERS, *TABLES])}: save the vectors as an "
            'array, np.save("vectors.npy", vectors).'
        )
    if column is not None and kind in UNNAMED:
        raise VectorsError(f"{path.name} holds one array, without a name: leave --column out.")
    try:
        found = _table(files, column, most) if kind in TABLES else READERS[kind](path, column, most)
        if isinstance(found, Vectors):
            return found
        if np.ndim(found) != 2 or most is None:
            return Vectors(found, len(found) if np.ndim(found) else 0)
        return Vectors(of_array(found, evenly(len(found), most)), len(found))
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        raise VectorsError(f"{path.name} cannot be read as vectors ({reason}).") from None


def _is_faiss(path: Path) -> bool:
    """Whether a file without an ending begins as faiss's do."""
    with path.open("rb") as file:
        return file.read(1) == b"I"


def _inside(path: Path) -> Sequence[Path]:
    """The file, or those of a folder that are read together: an index, or the parts of a table."""
    if path.is_file():
        return [path]
    for pattern in KNOWN_INSIDE if path.is_dir() else ():
        if files := sorted(path.glob(pattern)):
            return files
    what = f"has none of {', '.join(KNOWN_INSIDE)}" if path.is_dir() else "is not there"
    raise VectorsError(f"there is no file of vectors at {path}, which {what}: check the path.")


# Arrays


def _npy(path: Path, column: str | None, most: int | None) -> Array:
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _npz(path: Path, column: str | None, most: int | None) -> Array:
    with np.load(path, allow_pickle=False) as held:
        array: Array = held[named_column(path, column, held.files)]
    return array


def _pt(path: Path, column: str | None, most: int | None) -> Vectors | Array:
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
    if isinstance(held, list) or (column is None and isinstance(held, dict)):
        each = [*held.values()] if isinstance(held, dict) else held
        if len(each) > 1 and all(isinstance(v, torch.Tensor) and v.ndim == 1 for v in each):
            if len({len(vector) for vector in each}) != 1:
                raise ValueError("its vectors have different lengths")
            some = [each[place] for place in evenly(len(each), most or len(each))]
            return Vectors(_numbers(torch.stack(some)), len(each), rows_are_vectors=True)
    if isinstance(held, dict):
        tensors = {str(name): one for name, one in held.items() if isinstance(one, torch.Tensor)}
        held = tensors[named_column(path, column, tensors)]
    if not isinstance(held, torch.Tensor):
        raise ValueError(f"it holds a {type(held).__name__}, a tensor is expected")
    return _numbers(held)


def _numbers(tensor: Any) -> Array:
    kept = tensor.detach()
    array: Array = (kept.float() if "bfloat16" in str(kept.dtype) else kept).numpy()
    return array


def _safetensors(path: Path, column: str | None, most: int | None) -> Array:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as held:
        name = named_column(path, column, held.keys())
        if held.get_slice(name).get_dtype() != "BF16":  # which NumPy does not have
            array: Array = held.get_tensor(name)
            return array
    try:
        with safe_open(path, framework="pt") as held:
            return _numbers(held.get_tensor(name))
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} has bfloat16, which PyTorch reads: pip install torch, or save float32."
        ) from None


# Tables


def _csv(path: Path, column: str | None, most: int | None) -> Vectors:
    """Numbers in columns, with their names or without, or a column of "[1.0, 2.0]"."""
    table = pd.read_csv(path)
    if pd.to_numeric(pd.Series(table.columns), errors="coerce").notna().all():
        table = pd.read_csv(path, header=None)
    return _of_frame(path, table, column, most)


def _json_lines(path: Path, column: str | None, most: int | None) -> Vectors:
    with path.open(encoding="utf-8") as file:
        table = pd.DataFrame([json.loads(line) for line in file if line.strip()])
    return _of_frame(path, table, column, most)


def _of_frame(path: Path, table: pd.DataFrame, column: str | None, most: int | None) -> Vectors:
    """The column of lists, as such or as text, or else all columns of numbers."""
    if not len(table):
        raise ValueError("it has no rows")
    table = table.rename(columns=str)
    lists = [str(name) for name in table if str(table[name].iloc[0]).startswith("[")]
    if column is not None or lists:
        given = table[named_column(path, column, lists)]
        given = given.map(lambda one: json.loads(one) if isinstance(one, str) else one)
        array = as_stack(given)
    else:
        array = as_stack(table)
    return Vectors(array[evenly(len(array), most or len(array))], len(array), True)


def _table(files: Sequence[Path], column: str | None, most: int | None) -> Vectors:
    """The column of one table, which may lie in several files."""
    path = files[0]
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} is read by pyarrow, which is not installed: pip install pyarrow, or save "
            "the vectors as an array, np.save."
        ) from None
    name = _vector_column(path, column, _schema(path))
    total = sum(map(_length, files))
    wanted, start, parts = evenly(total, most or total), 0, []
    for file in files:
        for batch in _batches(file, name):
            inside = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
            start += len(batch)
            if len(inside):
                parts.append(_matrix(batch.column(name).take(pyarrow.array(inside))))
    if len({part.shape[1:] for part in parts}) != 1:
        raise ValueError("its vectors have different lengths" if parts else "it has no rows")
    return Vectors(np.concatenate(parts), total, rows_are_vectors=True)


def _schema(path: Path) -> Any:
    import pyarrow.parquet

    if path.suffix.lower() in PARQUET:
        return pyarrow.parquet.read_schema(path)
    return next(_records(path)).schema


def _length(path: Path) -> int:
    import pyarrow.parquet

    if path.suffix.lower() in PARQUET:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    return sum(map(len, _records(path)))


def _batches(path: Path, name: str) -> Iterator[Any]:
    import pyarrow.parquet

    if path.suffix.lower() not in PARQUET:
        yield from _records(path)
        return
    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH, columns=[name])


def _records(path: Path) -> Iterator[Any]:
    """The batches of an Arrow file, in either of its forms."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as source:
        try:
            file = pyarrow.ipc.open_file(source)
            yield from (file.get_batch(place) for place in range(file.num_record_batches))
        except pyarrow.ArrowInvalid:
            source.seek(0)
            yield from pyarrow.ipc.open_stream(source)


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
    return named_column(path, column, names)


def _matrix(column: Any) -> Array:
    """An Arrow column of lists of one length as an array (N, d)."""
    if column.null_count:
        raise ValueError(f"{column.null_count} rows have no vector: leave them out")
    rows = column.to_numpy(zero_copy_only=False)
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its vectors have different lengths")
    return np.stack(rows)


PARQUET = (".parquet", ".pq")
TABLES = (*PARQUET, ".arrow", ".feather")
#: What is looked for in a folder, such as LangChain's; of tables all parts, in the order of names.
KNOWN_INSIDE = ("index.faiss", "chroma.sqlite3", "*.arrow", "*.parquet")
#: Stores that their own programs read, and how.
STORES = {
    ".sqlite3": "a database of Chroma: save "
    'np.array(collection.get(include=["embeddings"])["embeddings"]) with np.save',
    ".bin": "perhaps an index of hnswlib: save index.get_items(index.get_ids_list()) with np.save",
}

READERS: Mapping[str, Callable[[Path, str | None, int | None], Vectors | Array]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _pt,
    ".pth": _pt,
    ".safetensors": _safetensors,
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".faiss": indices.index,
    ".index": indices.index,
}
#: Files that have one array, without a name.
UNNAMED = (".npy", ".faiss", ".index")
