"""Every published model with its accuracies, what it was trained on, and whether it counts.

`data/published/models.csv` says what each model learned from and which ones are set aside, with the
reason. The atlas's pages and the explorer compute with `models` alone, so they show the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.metrics.robustness import effective_robustness
from companion.measurements import records
from companion.measurements.accuracies import (
    CLIP_V2,
    FIVE_SHIFTS,
    FOUR_SHIFTS,
    MODEL_KEY,
    wide,
)
from companion.measurements.effective_robustness import view
from companion.measurements.quantities import Measurable
from companion.sources import sets

MODELS = ROOT / "data" / "published" / "models.csv"
OTHERS = ROOT / "data" / "published" / "open_clip_others.csv"
#: Quantities measured on the zoo's models → experiment and its quantity; the largest of a list.
ZOO_QUANTITIES: dict[str, tuple[Measurable, str]] = {
    "kurtosis": ("outlier_features", "kurtosis_mean"),
    "persistence": ("outlier_features", "persistence_fraction"),
    "mean_share": ("basis", "mean_share"),
    "top_importance": ("privileged_directions", "importance"),
}
#: Columns of the five shifts, and their titles on axes.
SHIFT_TITLES = {sets.column(shift): sets.short(shift) for shift in sets.SHIFTS}


def models(table: pd.DataFrame, shifts: Sequence[str] = FIVE_SHIFTS) -> pd.DataFrame:
    """`accuracies.wide` with the columns of `facts`, without the models that are set aside.

    The column ``family`` of `wide` is a family file of this book.
    """
    every = wide(table, CLIP_V2, shifts).merge(facts(), "left", MODEL_KEY)
    return every[every["set_aside"] == ""].reset_index(drop=True)


def facts() -> pd.DataFrame:
    """What is known about every published model, by `MODEL_KEY`.

    ``data`` is what a model learned from before any finetuning on ImageNet-1k; ``group`` joins data
    sets of one origin, to be drawn or left out as one; ``parameters`` are millions, both encoders
    of a CLIP model together; ``zoo`` names an open_clip model in the zoo; ``set_aside`` says why
    comparisons leave a model out, empty if they count it.
    """
    numbers: dict[str, Any] = {"image_size": "Int64", "parameters": float}
    empty = dict.fromkeys(numbers, "")
    return pd.read_csv(MODELS, dtype=numbers, keep_default_na=False, na_values=empty)


def clip(table: pd.DataFrame) -> pd.DataFrame:
    """The zero-shot CLIP models with accuracies on all five shifts, and their robustness, `er`.

    Against the paper's printed line, a fraction.
    """
    every = models(table)
    zero_shot = every[every["source"] == "open_clip"].reset_index(drop=True)
    return zero_shot.assign(er=effective_robustness(zero_shot["shifted"], zero_shot["imagenet"]))


def on_four_shifts(table: pd.DataFrame) -> pd.DataFrame:
    """`models` with accuracies on all shifts but ObjectNet, and their robustness, `er`.

    Against the line that is refitted to these shifts, a fraction.
    """
    every = models(table, FOUR_SHIFTS)
    er = effective_robustness(every["shifted"], every["imagenet"], view("four").line)
    return every.assign(er=er)


def ordinary(models: pd.DataFrame) -> pd.DataFrame:
    """timm's supervised models that were trained on ImageNet-1k alone."""
    return models.query("source == 'timm' and level == 'supervised' and group == 'ImageNet-1k'")


def elsewhere(models: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of open_clip's models on data sets other than ImageNet's, in the rows of `models`.

    A column for each data set, fractions; see `data/published/README.md`.
    """
    others = pd.read_csv(OTHERS).set_index(["model", "weights"])
    keys = list(zip(models["model"], models["weights"], strict=True))
    return others.loc[keys].set_axis(models.index)


def measured_zoo(table: pd.DataFrame, folder: Path = records.FOLDER) -> tuple[pd.DataFrame, str]:
    """`clip` with the recorded numbers of each model, and the title of the images they are of.

    Columns `ZOO_QUANTITIES`, NaN where nothing is recorded. Numbers of different images are not put
    together: those count on which most numbers were measured.
    """
    zoo = clip(table)
    rows = [
        (m.data.title, m.model, column, float(np.max(m.value(quantity))))
        for column, (experiment, quantity) in ZOO_QUANTITIES.items()
        for m in records.read_all(experiment, folder=folder)
        if m.model in {*zoo["zoo"]}
    ]
    numbers = pd.DataFrame(rows, columns=["images", "zoo", "quantity", "value"])
    numbers = numbers.drop_duplicates(["images", "zoo", "quantity"], keep="last")
    title = "" if numbers.empty else str(numbers["images"].value_counts(sort=True).index[0])
    of_title = numbers[numbers["images"] == title].pivot(
        index="zoo", columns="quantity", values="value"
    )
    return zoo.join(of_title.reindex(columns=[*ZOO_QUANTITIES]), on="zoo"), title
