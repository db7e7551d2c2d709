"""Neighbours that real engines find among compressed features, as written and after a rotation.

    pip install -e ".[bench]"
    python data/benchmarks/quantisation.py              # published features, see `PUBLIC`
    python data/benchmarks/quantisation.py features.npy # (images, components), your own

Each engine stores all images, at length 1, and is asked for the ten nearest of each image at full
precision; recall at 10 is the share of the ten nearest by cosine that it finds, the image itself
left out. faiss is asked by Euclidean distance, and by inner product as well, where a code that is
no longer of length 1 counts for more or less than its vector; usearch is asked by cosine. The
rotation is faiss's own `RandomRotationMatrix`; `OPQ` learns one. What is decoded is compared with
whole queries, so recall is higher than where both sides are compressed (`analysis.metrics`). Bytes
are those of a vector's code, without what all vectors share.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
from usearch.index import Index

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.metrics.outliers import kurtosis
from companion.sources.public import fetch

Found = tuple[np.ndarray, float]
Engine = Callable[[np.ndarray], Found]

NEIGHBOURS, SEEDS = 10, 5
#: Published features of single images, and which part of their array.
PUBLIC = {
    "ViT-B/16 OpenAI, COCO": "Modality-Gap/features_clip.npy",
    "ViT-B/16 random weights, COCO": "Modality-Gap/features_clip_random.npy",
    "ViT-B/16 OpenAI, histology": "Biomedical-clip-image-search/image_embeddings.npy",
}
#: usearch has eight bits for each number, and compares by cosine.
USEARCH = "usearch i8, by cosine"
SCALAR = ("QT_8bit", "QT_4bit", "QT_8bit_uniform", "QT_4bit_uniform")
#: Numbers that share a code of product quantisation, and bits of a code: a bit per number.
PART, CODE_BITS = 4, 4
#: Steps in which OPQ learns its rotation (faiss's default of 50 takes minutes).
OPQ_STEPS = 10


def engines(width: int, images: int, metric: int = faiss.METRIC_L2) -> dict[str, Engine]:
    """What stores images and finds their neighbours, by name: images → neighbours, bytes.

    ``metric``: how faiss compares. Of fewer images than components faiss 1.15 cannot learn a
    rotation: it crashes.
    """
    made = {name: partial(scalar, name, metric=metric) for name in SCALAR}
    if metric == faiss.METRIC_L2:
        made[USEARCH] = by_usearch
    if hasattr(faiss, "IndexRaBitQ"):
        made["RaBitQ"] = partial(rabitq, metric=metric)
    if width % PART == 0:
        made["PQ"] = partial(product, metric=metric)
        if images >= width:
            made["OPQ"] = partial(optimised_product, metric=metric)
    return made


def scalar(name: str, h: np.ndarray, metric: int) -> Found:
    """One of faiss's scalar quantisers."""
    kind = getattr(faiss.ScalarQuantizer, name)
    return by_faiss(faiss.IndexScalarQuantizer(h.shape[1], kind, metric), h)


def rabitq(h: np.ndarray, metric: int) -> Found:
    """RaBitQ as faiss has it: a bit per number, and two factors for each vector."""
    return by_faiss(faiss.IndexRaBitQ(h.shape[1], metric), h)


def product(h: np.ndarray, metric: int) -> Found:
    """Product quantisation, its codes learned from the images themselves."""
    index = faiss.IndexPQ(h.shape[1], h.shape[1] // PART, CODE_BITS, metric)
    index.pq.cp.min_points_per_centroid = 1
    return by_faiss(index, h)


def optimised_product(h: np.ndarray, metric: int) -> Found:
    """The same after the rotation that optimised product quantisation learns."""
    turn = faiss.OPQMatrix(h.shape[1], h.shape[1] // PART)
    turn.pq = codes = faiss.ProductQuantizer(h.shape[1], h.shape[1] // PART, CODE_BITS)
    codes.cp.min_points_per_centroid = 1
    turn.niter = OPQ_STEPS
    turn.train(h)
    return product(turn.apply(h), metric)


def by_faiss(index: Any, h: np.ndarray) -> Found:
    index.train(h)
    index.add(h)
    return index.search(h, NEIGHBOURS + 1)[1], float(index.code_size)


def by_usearch(h: np.ndarray) -> Found:
    """Eight bits for each number, by cosine, every image looked at."""
    index = Index(ndim=h.shape[1], metric="cos", dtype="i8")
    index.add(np.arange(len(h)), h)
    return index.search(h, NEIGHBOURS + 1, exact=True).keys.astype(int), float(h.shape[1])


def recall(near: np.ndarray, truth: np.ndarray) -> float:
    """The share of the true neighbours (n, k) among the first k returned that are not the image."""
    hits = []
    for row, (some, true) in enumerate(zip(near, truth, strict=True)):
        others = [image for image in some if image != row][: truth.shape[1]]
        hits.append(len({*others} & {*true}) / truth.shape[1])
    return float(np.mean(hits))


def exact(h: np.ndarray) -> np.ndarray:
    """The true nearest of each image of length 1: (n, d) → (n, NEIGHBOURS)."""
    cosines = h.astype(np.float64) @ h.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]


def rotated(h: np.ndarray, seed: int) -> np.ndarray:
    """The images in a random basis, by faiss."""
    turn = faiss.RandomRotationMatrix(h.shape[1], h.shape[1])
    turn.init(seed + 1)
    return turn.apply(np.ascontiguousarray(h))


def compared(features: np.ndarray) -> pd.DataFrame:
    """A row for each engine: recall at 10 in percent as written and rotated, and bytes.

    ``inner_…``: the same by inner product.
    """
    faiss.omp_set_num_threads(1)
    h = np.ascontiguousarray(
        features / np.linalg.norm(features, axis=1, keepdims=True), dtype=np.float32
    )
    truth, rows = exact(h), []
    inner = engines(h.shape[1], len(h), faiss.METRIC_INNER_PRODUCT)
    for name, engine in engines(h.shape[1], len(h)).items():
        written, turned = recalls(name, engine, h, truth)
        row = {"engine": name, "bytes": engine(h)[1], "written": written}
        row |= {"rotated": np.mean(turned), "lowest": min(turned), "highest": max(turned)}
        if name in inner:
            row["inner_written"], turned = recalls(name, inner[name], h, truth)
            row["inner_rotated"] = np.mean(turned)
        rows.append(row)
    return pd.DataFrame(rows)


def recalls(name: str, engine: Engine, h: np.ndarray, truth: np.ndarray) -> tuple[float, list]:
    """Recall in percent as written, and after each rotation."""
    seeds = () if name == "OPQ" else range(SEEDS)  # it has a rotation of its own
    turned = [100 * recall(engine(rotated(h, seed))[0], truth) for seed in seeds]
    return 100 * recall(engine(h)[0], truth), turned or [np.nan]


def published(name: str) -> np.ndarray:
    """Features of images (n, d) from a public file, which may hold texts as well."""
    array = np.load(fetch(name), allow_pickle=False)
    return array[0] if array.ndim == 3 else array


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="features (images, components), .npy")
    parser.add_argument("--csv", type=Path, help="write the table to this file")
    options = parser.parse_args()
    given = {path.name: np.load(path, allow_pickle=False) for path in options.files}
    public = {title: published(name) for title, name in PUBLIC.items()}
    tables = []
    for title, features in (given or public).items():
        tables.append(compared(features).assign(features=title))
        print(f"{title}: {len(features)} images, κ {kurtosis(features).mean():.1f}")
        print(tables[-1].drop(columns="features").round(1).to_string(index=False), "\n")
    print(f"faiss {faiss.__version__}")
    if options.csv:
        pd.concat(tables).to_csv(options.csv, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
