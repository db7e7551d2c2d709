"""Vectors that an index of faiss holds whole, read by faiss itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.metrics.quantisation import evenly
from companion.sources.rows import Array, Comparison, Vectors, VectorsError

#: Kinds of index whose vectors are what was given, with inverted lists or a graph or neither.
WHOLE = ("IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexIVFFlat", "IndexHNSWFlat")


def index(path: Path, column: str | None = None, most: int | None = None) -> Vectors:
    """The vectors of an index of faiss, and how it compares; VectorsError for compressed ones."""
    try:
        import faiss
        import numpy as np
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path.name} is read by faiss, which is not installed: pip install faiss-cpu."
        ) from None
    compared: dict[int, Comparison] = {
        faiss.METRIC_L2: "euclidean",
        faiss.METRIC_INNER_PRODUCT: "inner-product",
    }
    try:
        whole = faiss.read_index(str(path))  # it owns what is inside: kept until the end
        inner: Any = faiss.downcast_index(whole)
        while type(inner).__name__ in ("IndexIDMap", "IndexIDMap2"):
            inner = faiss.downcast_index(inner.index)
        kind = type(inner).__name__
        if kind not in WHOLE:
            raise VectorsError(
                f"{path.name} is an {kind}, which changes or compresses vectors: give the array "
                "that it was made of."
            )
        if hasattr(inner, "make_direct_map"):
            inner.make_direct_map()
        rows: Iterable[int] = evenly(inner.ntotal, most or inner.ntotal) if inner.ntotal else ()
        array: Array = np.array([inner.reconstruct(int(row)) for row in rows])
    except RuntimeError as error:
        reason = str(error).rpartition("Error: ")[2].partition("\n")[0][:100]
        raise ValueError(f"faiss says: {reason}") from None
    return Vectors(array, inner.ntotal, True, compared.get(inner.metric_type))
