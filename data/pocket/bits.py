"""How many bits the features of grown models need: with Adam, and with its twin without outliers.

    python data/pocket/bits.py   # about two minutes on one core

Two projections are trained again over the fixed towers of `origin.yaml`, with its defaults, by each
of two optimisers and three seeds: they differ in the second moment alone. Models of which all
weights were trained are read from `grown/`. `bits.csv` has a row for each, of the test emoji in the
training style: κ, accuracy, and what a quantiser with one scale per vector leaves at 4 and 3 bits.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.base.files import write_text
from companion.measurements import bits
from companion.measurements.invariance import Judge
from companion.pocket import origin, pocket_lab
from companion.pocket.origin import OriginSettings
from companion.sources import emoji

HERE = Path(__file__).resolve().parent
PLAN = runpy.run_path(str(HERE / "origin.py"), run_name="plan")
#: Towers, second moments and seeds of the projections; whole models by file, and their optimiser.
TOWERS, MOMENTS, SEEDS = ("vit-web", "cnn-web"), ("element", "shared"), (0, 1, 2)
WHOLE = {"grown-vit-element": "element", "grown-vit-shared": "shared"}
WIDTHS = (4, 3)


def main() -> None:
    """Train, measure and write the table."""
    torch.set_num_threads(1)
    table = pd.DataFrame([*of_projections(), *of_whole()])
    write_text(HERE / "bits.csv", table.to_csv(index=False, float_format="%.6g"))
    print(table.to_string(index=False))


def of_projections() -> Iterator[dict[str, Any]]:
    """A row for each training of two projections."""
    for towers in TOWERS:
        data = PLAN["locked"](towers)
        for moment in MOMENTS:
            for seed in SEEDS:
                own = origin.grow(data, OriginSettings(second_moment=moment), seed)
                about = {"model": towers, "trained": "projections", "second_moment": moment}
                features, head = own.features(data.tested), PLAN["zero_shot"](own, data)
                yield about | {"seed": seed} | left(features, head)


def of_whole() -> Iterator[dict[str, Any]]:
    """A row for each shipped model of which all weights were trained, of seed 0."""
    tested = (emoji.metadata()["split"] == "test").to_numpy()
    for name, moment in WHOLE.items():
        path = PLAN["GROWN"] / f"{name}.safetensors"
        features, head = pocket_lab.represented(path, tested)
        about = {"model": name, "trained": "all weights", "second_moment": moment, "seed": 0}
        yield about | left(features.astype(np.float64), head)


def left(features: Any, head: Any) -> dict[str, Any]:
    """What is left of features of the test emoji (M, d): neighbours and accuracy, as fractions."""
    labels = PLAN["tests"]()[0]["class_index"].to_numpy()
    inside = (PLAN["tests"]()[0]["style"] == emoji.IMAGENET).to_numpy()
    judge = Judge(head.weight, head.bias, np.arange(len(head.classes)), labels[inside])
    found = bits.quantisation(features[inside], judge=judge)
    row = {
        "images": int(inside.sum()),
        "components": features.shape[1],
        "kurtosis": found["kurtosis_written"],
        "accuracy": found["accuracy_whole"][0],
    }
    for width in WIDTHS:
        at = list(bits.SCHEMES).index(("vector", width))
        row |= {
            f"kept_{width}": found["kept_written"][at],
            f"kept_{width}_error": found["kept_written_error"][at],
            f"won_{width}": found["won"][at],
            f"won_{width}_error": found["won_error"][at],
            f"accuracy_{width}": found["accuracy_written"][at],
            f"accuracy_{width}_rotated": found["accuracy_rotated"][at],
        }
    return row


if __name__ == "__main__":
    main()
