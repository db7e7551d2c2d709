"""Lines to paste that store vectors as `companion bits` measured it, for faiss and for Qdrant.

`by` says how the engine compares: by inner product, and by cosine on vectors of length 1, the mean
is taken off the stored vectors alone; by Euclidean distance off the queries as well.
"""

from __future__ import annotations

from pathlib import Path

IMPORTS = "import numpy as np\n\n"
ROTATION = (
    "rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(stored.shape[1],) * 2))[0]"
)
MEAN = "mean = stored.mean(axis=0)"
UNIT = "".join(
    f"{name} = {name} / np.linalg.norm({name}, axis=1, keepdims=True)\n"
    for name in ("stored", "queries")
)


def prepared(by: str, frame: str, file: Path | None = None) -> str:
    """Lines that make `stored` and `queries`, arrays (n, d), ready: rotated, without their mean.

    `file`: what holds the rotation (.safetensors) or the mean (.npy); else both are made here.
    """
    lines = UNIT if by == "cosine" else ""
    if frame == "rotated":
        made = (
            ROTATION if file is None else f'rotation = load_file("{file.as_posix()}")["rotation"]'
        )
        lines += f"{made}\nstored, queries = stored @ rotation, queries @ rotation\n"
    if frame == "mean_off":
        made = MEAN if file is None else f'mean = np.load("{file.as_posix()}")'
        lines += f"{made}\nstored = stored - mean\n"
        lines += (
            "queries = queries - mean\n" if by == "euclidean" else "# queries stay as they are\n"
        )
    return lines


def of_file(by: str, frame: str, file: Path) -> str:
    """One whole block that applies a rotation or a mean that was written."""
    loaded = "from safetensors.numpy import load_file\n" if frame == "rotated" else ""
    then = "Euclidean distance" if by == "euclidean" else "inner product"
    return f"{loaded}{IMPORTS}{prepared(by, frame, file)}# then search by {then}"


def of_faiss(by: str, frame: str, quantiser: str) -> str:
    """faiss, with a scalar quantiser."""
    metric = "METRIC_L2" if by == "euclidean" else "METRIC_INNER_PRODUCT"
    return (
        f"# faiss\nimport faiss\n{IMPORTS}{prepared(by, frame)}"
        f"kind = faiss.ScalarQuantizer.{quantiser}\n"
        f"index = faiss.IndexScalarQuantizer(stored.shape[1], kind, faiss.{metric})\n"
        'index.train(stored.astype("float32"))\n'
        'index.add(stored.astype("float32"))\n'
        'scores, ids = index.search(queries.astype("float32"), 10)\n'
    )


def of_qdrant(by: str, frame: str, width: int) -> str:
    """Qdrant, with int8; `Distance.COSINE` would divide by the length of what is stored."""
    metric = "EUCLID" if by == "euclidean" else "DOT"
    return (
        f"\n# Qdrant\n{IMPORTS}from qdrant_client import QdrantClient, models\n\n"
        f'{prepared(by, frame)}client = QdrantClient("http://localhost:6333")\n'
        "int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8)\n"
        "client.create_collection(\n"
        '    "vectors",\n'
        f"    models.VectorParams(size={width}, distance=models.Distance.{metric}),\n"
        "    quantization_config=models.ScalarQuantization(scalar=int8),\n"
        ")\n"
        'client.upload_collection("vectors", vectors=stored)\n'
    )
