"""Every published model, what it was trained on, and which rows are set aside by which rule.

Puts `data/published/pretraining.csv` (patterns of names, the first that fits counts) beside the
published accuracies. The atlas's pages and the explorer compute with `models` alone, so that
they show the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.common import ROOT
from analysis.families.registry import ZOO
from analysis.images import sets
from analysis.metrics.robustness import effective_robustness
from companion.measurements import records
from companion.measurements.accuracies import (
    CLASSES,
    CLIP_V2,
    FIVE_SHIFTS,
    MODEL_KEY,
    AccuracyError,
    wide,
)
from companion.measurements.quantities import Experiment

PRETRAINING = ROOT / "data" / "published" / "pretraining.csv"
SIZES = ROOT / "data" / "published" / "open_clip_sizes.csv"
OTHERS = ROOT / "data" / "published" / "open_clip_others.csv"
#: What is measured of the zoo's models → experiment and quantity, of a list the largest.
ZOO_QUANTITIES: dict[str, tuple[Experiment, str]] = {
    "kurtosis": ("outlier_features", "kurtosis_mean"),
    "persistence": ("outlier_features", "persistence_fraction"),
    "mean_share": ("basis", "mean_share"),
    "top_importance": ("privileged_directions", "importance"),
}
#: Columns of the five shifts, and their titles on axes.
SHIFT_TITLES = {sets.column(shift): sets.short(shift) for shift in sets.SHIFTS}


def models(table: pd.DataFrame, shifts: Sequence[str] = FIVE_SHIFTS) -> pd.DataFrame:
    """`accuracies.wide` without what `set_aside` names, and two more columns, `data` and `group`.

    ``data`` is what a model learned from before any finetuning on ImageNet-1k; ``group`` puts data
    sets of one origin together, to be drawn or left out as one. `wide`'s own ``family``, a family
    file of this book, stays as it is.
    """
    known = wide(table, CLIP_V2, shifts)
    key = pd.MultiIndex.from_frame(set_aside(table)[MODEL_KEY])
    kept = known[~pd.MultiIndex.from_frame(known[MODEL_KEY]).isin(key)].reset_index(drop=True)
    return with_pretraining(kept)


def clip(table: pd.DataFrame) -> pd.DataFrame:
    """The zero-shot CLIP models with accuracies on all five shifts, and their robustness, `er`.

    Against the paper's printed line, a fraction.
    """
    every = models(table)
    found = every[every["source"] == "open_clip"].reset_index(drop=True)
    return found.assign(er=effective_robustness(found["shifted"], found["imagenet"]))


def elsewhere(models: pd.DataFrame) -> pd.DataFrame:
    """What open_clip's models reach on data sets that are not ImageNet's, in the rows of `models`.

    A column for each data set, fractions; see `data/published/README.md`.
    """
    known = pd.read_csv(OTHERS).set_index(["model", "weights"])
    return known.loc[list(zip(models["model"], models["weights"], strict=True))].set_axis(
        models.index
    )


def zoo_name(row: Any) -> str:
    """What measurements of a published model of open_clip are filed under, in the edition zoo."""
    return f"{ZOO}-{row.model}-{row.weights}".lower()


def measured_zoo(table: pd.DataFrame, folder: Path = records.FOLDER) -> tuple[pd.DataFrame, str]:
    """`clip` with what is recorded of each model, and the title of the images it was measured on.

    Columns `ZOO_QUANTITIES`, NaN where nothing is recorded. Numbers of different images are not put
    together: those count on which most models were measured.
    """
    known = clip(table)
    names = {zoo_name(row): place for place, row in enumerate(known.itertuples())}
    found: dict[str, dict[tuple[int, str], float]] = {}
    for experiment in dict.fromkeys(experiment for experiment, _ in ZOO_QUANTITIES.values()):
        for m in records.read_all(experiment, folder=folder):
            for column, (of, quantity) in ZOO_QUANTITIES.items():
                if m.model in names and of == experiment:
                    values = found.setdefault(m.data.title, {})
                    values[names[m.model], column] = float(np.max(m.value(quantity)))
    title = max(found, key=lambda title: len(found[title]), default="")
    columns = {
        column: [found.get(title, {}).get((place, column), np.nan) for place in names.values()]
        for column in ZOO_QUANTITIES
    }
    return known.assign(**columns), title


def set_aside(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that no comparison over all published models counts, each with its reason.

    Columns: source, model, weights, image_size, reason. Three rules: a known defect; the same
    accuracies on every data set as another row of that source, of which one stays, that of a
    family of this book if there is one, else the first; an epoch before the last of one run.
    """
    flat = table.assign(image_size=table["image_size"].fillna(0))
    index = [*MODEL_KEY, "family", "defect"]
    rows = flat.set_index([*index, "dataset"])["accuracy"].unstack("dataset").reset_index()
    reason = rows["defect"]
    for rule in (_twins, _earlier_epochs):
        reason = reason.where(reason != "", rule(rows))
    rows["image_size"] = rows["image_size"].replace(0, pd.NA).astype("Int64")
    found = rows.assign(reason=reason).loc[reason != "", [*MODEL_KEY, "reason"]]
    return found.rename_axis(columns=None).reset_index(drop=True)


def _twins(rows: pd.DataFrame) -> pd.Series[str]:
    """For all but one of several rows of a source with equal accuracies, which one stays."""
    same = ["source", *(name for name in CLASSES if name in rows)]
    best_first = rows.sort_values(["defect", "family"], ascending=[True, False], kind="stable")
    first = best_first.groupby(same, dropna=False).transform("first").reindex(rows.index)
    name = (first["model"] + " " + first["weights"]).str.strip()
    stays = (first["model"] == rows["model"]) & (first["weights"] == rows["weights"])
    told = "The same accuracies on every data set as " + name + ", so counted once."
    return told.where(~stays, "")


def _earlier_epochs(rows: pd.DataFrame) -> pd.Series[str]:
    """For epoch 31 of a run whose epoch 32 is there too, that it is left out."""
    known = set(rows["model"] + rows["weights"])
    last = rows["weights"].str.replace("_e31", "_e32")
    earlier = (last != rows["weights"]) & (rows["model"] + last).isin(known)
    told = "Epoch 31 of a training run whose epoch 32 is there too."
    return earlier.map({True: told, False: ""})


def with_pretraining(table: pd.DataFrame, path: Path = PRETRAINING) -> pd.DataFrame:
    """The rows of `wide` with columns `data` and `group`, read off their names.

    Raises AccuracyError for a model that no pattern names.
    """
    rules = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    names = ("source", "model", "weights")
    found = []
    for row in table[list(names)].to_dict("records"):
        fits = (
            (rule["data"], rule["group"])
            for rule in rules
            if all(fnmatchcase(row[name], rule[name]) for name in names)
        )
        pair = next(fits, None)
        if pair is None:
            raise AccuracyError(
                f"{path.name} does not say what {row['source']}'s {row['model']} {row['weights']} "
                "was trained on: add a row with a pattern of its name."
            )
        found.append(pair)
    data, group = zip(*found, strict=True) if found else ((), ())
    return table.assign(data=list(data), group=list(group))


def sizes() -> pd.Series[float]:
    """Millions of parameters, both encoders together, by open_clip architecture."""
    return pd.read_csv(SIZES).set_index("model")["parameters"].astype(float)
