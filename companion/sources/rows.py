"""Vectors of a file, and some rows of it: what the readers of `vectors` and `indices` share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.base.texts import CompanionError, suggestion

Array = NDArray[Any]
Comparison = Literal["cosine", "inner-product", "euclidean"]


class VectorsError(CompanionError):
    """Vectors cannot be read; the message says why and what to do."""


class Vectors(NamedTuple):
    """Vectors (N, d), which may be evenly spaced ones of `total`.

    `rows_are_vectors`: whether the file says so, as a table or an index does and an array does not.
    `by`: how an index compares them, where it says so.
    """

    rows: Array
    total: int
    rows_are_vectors: bool = False
    by: Comparison | None = None


def named_column(path: Path, column: str | None, names: Iterable[str]) -> str:
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


def read_rows(path: Path, rows: NDArray[np.intp], size: int, start: int = 0) -> NDArray[np.uint8]:
    """Rows of so many bytes each, (n, size), read one by one.

    To map the file instead would count the pages around each of them as memory.
    """
    taken = np.empty((len(rows), size), dtype=np.uint8)
    with path.open("rb") as file:
        for place, row in enumerate(rows):
            file.seek(start + int(row) * size)
            taken[place] = np.frombuffer(file.read(size), dtype=np.uint8)
    return taken


def of_array(array: Array, rows: NDArray[np.intp]) -> Array:
    """Some rows of an array (N, d), of a mapped one without the pages around them."""
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous or array.filename is None:
        return array[rows]
    if array.base is not None and isinstance(array.base, np.ndarray):  # a part of what is mapped
        return array[rows]
    taken: Array = read_rows(Path(array.filename), rows, array.strides[0], array.offset)
    return taken.view(array.dtype)


def as_stack(given: Any) -> Any:
    """An array of what may be a data frame's column of vectors, or a data frame of numbers.

    Raises ValueError for vectors of different lengths.
    """
    if isinstance(given, pd.DataFrame):
        if objects := [name for name in given if given[name].dtype == object]:
            raise ValueError(
                f"the data frame has columns that are no numbers, such as {objects[0]!r}: give the "
                'column of vectors alone, as in frame["embedding"].'
            )
        kinds = {name: given[name].dtype.kind for name in given}
        whole = [name for name, kind in kinds.items() if kind in "iub"]
        if whole and len(whole) < len(kinds):
            raise ValueError(
                f"the column {whole[0]!r} holds whole numbers beside floating ones, as an id does: "
                f"leave it out, frame.drop(columns={whole[0]!r})."
            )
        return given.to_numpy()
    if not isinstance(given, pd.Series) and not (
        isinstance(given, np.ndarray) and given.dtype == object and given.ndim == 1
    ):
        return given
    rows = [np.asarray(row) for row in given]
    shapes = sorted({row.shape for row in rows})
    if len(shapes) != 1 or len(shapes[0]) != 1:
        found = " and ".join(map(str, shapes[:3])) or "nothing"
        raise ValueError(
            f"the column holds {found} as shapes of its entries, where vectors of one length are "
            "expected: leave others out."
        )
    return np.stack(rows)
