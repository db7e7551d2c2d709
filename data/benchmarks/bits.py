"""The table of `companion bits` for five public stores, beside what faiss and usearch keep.

    python data/benchmarks/bits.py         # prints it
    python data/benchmarks/bits.py --csv   # writes bits.csv and bits.txt, which a page shows

`companion bits` compares vectors that are both compressed, by cosine. faiss compares whole queries
with compressed vectors; by Euclidean distance or by inner product, which is no cosine, since a
compressed vector is no longer of length 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import quantisation as engines

from analysis.metrics import basis
from companion import bits, cli
from companion.probe import rotation
from companion.sources import vectors
from companion.sources.public import fetch

HERE = Path(__file__).resolve().parent
#: Stores as their owners published them: what they are of, and the public file.
STORES = {
    "ViT-B/16 OpenAI, histology (.npy)": "Biomedical-clip-image-search/image_embeddings.npy",
    "ViT-B/32 OpenAI, fashion (.npy)": "Similarity-Search/image_embeddings.npy",
    "ViT-B/32 LAION-2B, flowers (Chroma)": "Floral_Design/chroma.sqlite3",
    "ViT-B/32 LAION-2B, fashion (hnswlib)": "multimodal-fashion-retrieval/data_level0.bin",
    "SigLIP B/16, traffic (faiss)": "Image-Video-Understanding/image.index",
}
#: Which scheme is which of faiss's scalar quantisers.
FAISS = {
    "range-4": "QT_4bit_uniform",
    "dimension-4": "QT_4bit",
    "range-8": "QT_8bit_uniform",
    "dimension-8": "QT_8bit",
}
COLUMNS = ("as_written", "mean_off", "rotated")


def kept_by_faiss(name: str, frames: list[np.ndarray], truth: np.ndarray, metric: int) -> list:
    kind = getattr(faiss.ScalarQuantizer, name)
    return [
        engines.recall(
            engines.by_faiss(faiss.IndexScalarQuantizer(h.shape[1], kind, metric), h)[0], truth
        )
        for h in frames
    ]


def rows_of(title: str, found: bits.Bits, h: np.ndarray) -> Iterator[dict[str, object]]:
    """Ours, then the engine's by Euclidean distance, by inner product, or by cosine."""
    turned = h @ basis.random_rotation(h.shape[1], rotation.SEED)
    frames = [np.ascontiguousarray(x, dtype=np.float32) for x in (h, h - h.mean(axis=0), turned)]
    truth = engines.exact(frames[0])
    for row in found.rows:
        ours = [row.kept.get(column, np.nan) for column in COLUMNS]
        yield {"store": title, "scheme": row.name, "by": "companion bits", "of": ours}
        if name := FAISS.get(row.scheme):
            euclid = kept_by_faiss(name, frames, truth, faiss.METRIC_L2)
            inner = kept_by_faiss(name, frames, truth, faiss.METRIC_INNER_PRODUCT)
            for by, of in (("Euclidean distance", euclid), ("inner product", inner)):
                yield {"store": title, "scheme": row.name, "by": f"faiss, {by}", "of": of}
        if row.scheme == "length-8":
            kept = [engines.recall(engines.by_usearch(x)[0], truth) for x in frames]
            yield {"store": title, "scheme": row.name, "by": "usearch, cosine", "of": kept}


def compared() -> pd.DataFrame:
    faiss.omp_set_num_threads(1)
    rows = []
    for title, name in STORES.items():
        h = basis.at_length_one(vectors.read(fetch(name)).rows)
        found = bits.bits(h)
        print(f"{title}: {found.advice}", file=sys.stderr)
        rows += rows_of(f"{title}, {len(h):,}", found, h)
    table = pd.DataFrame(rows)
    shares = pd.DataFrame(table.pop("of").tolist(), columns=[c.replace("_", " ") for c in COLUMNS])
    return table.join((100 * shares).round().astype("Int64"))


def output() -> str:
    """What the command prints for the first store."""
    path = fetch(next(iter(STORES.values())))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        cli.main(["bits", str(path)])
    return f"$ companion bits {path.name}\n{said.getvalue()}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", action="store_true", help="write bits.csv and bits.txt")
    options, table = parser.parse_args(), compared()
    print(table.to_string(index=False))
    if options.csv:
        table.to_csv(HERE / "bits.csv", index=False)
        (HERE / "bits.txt").write_text(output(), encoding="utf-8")


if __name__ == "__main__":
    main()
