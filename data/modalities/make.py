"""Measure how quiet each modality is where the other's mean lies, and write `quiet.csv`.

    python data/modalities/make.py           # fetch the public files and write quiet.csv
    python data/modalities/make.py --check   # compare with what is kept

`pairs.yaml` says which images and texts, and what was fixed in advance.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from scipy.stats import spearmanr

from analysis.base.files import write_or_compare
from analysis.families.registry import Model, load_families
from analysis.features import store
from analysis.metrics import basis, modalities

HERE = Path(__file__).resolve().parent
TABLE = HERE / "quiet.csv"
PUBLISHED = runpy.run_path(str(HERE.parent / "embeddings" / "make.py"))
RESAMPLES, SEED = 200, 0
Array = NDArray[np.float64]


def main() -> int:
    """Parse the command line, do it, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is kept")
    check = parser.parse_args().check
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, COMPANION_STORE=folder),
    ):
        table = pd.DataFrame(rows())
    text = table.to_csv(index=False, float_format="%.6g")
    return write_or_compare(TABLE, text, check)


def rows() -> Iterator[dict[str, Any]]:
    """Two rows for each pair: at the images' dominant coordinate, and at the texts'."""
    models = {m.name: (f, m) for f in load_families().values() for m in f.models}
    known = {(e["model"], e["data"]): e for e in PUBLISHED["TABLE"]["embeddings"]}
    for pair in yaml.safe_load((HERE / "pairs.yaml").read_text(encoding="utf-8"))["pairs"]:
        family, model = models[pair["model"]]
        PUBLISHED["into_store"](family)
        if "texts_of" in pair:
            PUBLISHED["into_store"](models[pair["texts_of"]][0])
        entry, (images, texts) = known[model.name, pair["images"]], arrays(model, pair)
        about = {name: of for name, of in pair.items() if name != "texts_of"} | {
            "inferred": entry.get("inferred", False),
            "images_what": entry["what"],
            "texts_what": texts_of(entry, pair["texts"], pair.get("texts_of", model.name)),
            "image_count": len(images), "text_count": len(texts), "width": images.shape[1],
            "cosine_of_means": cosine(images.mean(axis=0), texts.mean(axis=0)),
        }  # fmt: skip
        yield about | {"mean_of": "images"} | measured(images, texts)
        yield about | {"mean_of": "texts"} | measured(texts, images)


def texts_of(images: dict[str, str], texts: str, model: str) -> str:
    """Which texts they are, in words."""
    if texts == "own" and "head" not in images:
        return images["head_what"].partition(";")[0]
    name = images["head"] if texts == "own" else texts
    every = PUBLISHED["TABLE"]["heads"] + PUBLISHED["TABLE"]["texts"]
    return next(e["what"] for e in every if (e["model"], e["data"]) == (model, name))


def arrays(model: Model, pair: dict[str, str]) -> tuple[Array, Array]:
    """Images and texts of a pair at length 1."""
    images = store.read_features(store.features_path(model.name, pair["images"]), model)
    data = pair["images"] if pair["texts"] == "own" else pair["texts"]
    path = store.head_path(pair.get("texts_of", model.name), data)
    head = store.read_head(path, None if "texts_of" in pair else model)
    return basis.at_length_one(images.features), basis.at_length_one(head.weight)


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def measured(of: Array, others: Array) -> dict[str, Any]:
    """How quiet ``others`` are at the dominant coordinate of ``of``, with a 95 % interval.

    Both sets are resampled for the interval; the coordinate stays that of the whole set.
    `correlation`: of |mean| and the others' spread, by rank, over all coordinates.
    """
    dominant, spread = modalities.dominant_coordinate(of), others.std(axis=0)
    rng = np.random.default_rng(SEED)
    drawn = [
        modalities.spread_ranks(others[rng.integers(len(others), size=len(others))])[
            dominant.coordinate
        ]
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    leads = [
        modalities.dominant_coordinate(of[rng.integers(len(of), size=len(of))]).coordinate
        == dominant.coordinate
        for _ in range(RESAMPLES)
    ]
    return {
        "coordinate": dominant.coordinate,
        "share": dominant.share,
        "stays": np.mean(leads),
        "over_median": spread[dominant.coordinate] / np.median(spread),
        "quiet": modalities.spread_ranks(others)[dominant.coordinate],
        "low": low,
        "high": high,
        "correlation": spearmanr(np.abs(of.mean(axis=0)), spread).statistic,
    }


if __name__ == "__main__":
    sys.exit(main())
