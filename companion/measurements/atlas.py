"""Every published model, what it was trained on, and which rows are excluded by which rule.

Adds the training data (`data/published/pretraining.csv`: patterns of names, of which the first that
fits counts) to the published accuracies. The atlas's pages and the explorer compute with `models`
alone, so they show the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.common import ROOT, CompanionError
from analysis.families.registry import ZOO
from analysis.images import sets
from analysis.metrics.robustness import effective_robustness
from companion.measurements import records
from companion.measurements.accuracies import (
    CLASSES,
    CLIP_V2,
    FIVE_SHIFTS,
    FOUR_SHIFTS,
    MODEL_KEY,
    wide,
)
from companion.measurements.effective_robustness import view
from companion.measurements.quantities import Experiment

PRETRAINING = ROOT / "data" / "published" / "pretraining.csv"
SIZES = ROOT / "data" / "published" / "open_clip_sizes.csv"
OTHERS = ROOT / "data" / "published" / "open_clip_others.csv"
#: Quantities measured on the zoo's models → experiment and its quantity; the largest of a list.
ZOO_QUANTITIES: dict[str, tuple[Experiment, str]] = {
    "kurtosis": ("outlier_features", "kurtosis_mean"),
    "persistence": ("outlier_features", "persistence_fraction"),
    "mean_share": ("basis", "mean_share"),
    "top_importance": ("privileged_directions", "importance"),
}
#: Columns of the five shifts, and their titles on axes.
SHIFT_TITLES = {sets.column(shift): sets.short(shift) for shift in sets.SHIFTS}


def models(table: pd.DataFrame, shifts: Sequence[str] = FIVE_SHIFTS) -> pd.DataFrame:
    """`accuracies.wide` without the rows of `set_aside`, and with the columns `data` and `group`.

    ``data`` is what a model learned from before any finetuning on ImageNet-1k; ``group`` joins data
    sets of one origin, to be drawn or left out as one. The column ``family`` of `wide` is another
    thing: a family file of this book.
    """
    every = wide(table, CLIP_V2, shifts)
    excluded = pd.MultiIndex.from_frame(set_aside(table)[MODEL_KEY])
    counted = ~pd.MultiIndex.from_frame(every[MODEL_KEY]).isin(excluded)
    return with_pretraining(every[counted].reset_index(drop=True))


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


def zoo_name(row: Any) -> str:
    """The name under which measurements of a published open_clip model are filed, in the zoo."""
    return f"{ZOO}-{row.model}-{row.weights}".lower()


def measured_zoo(table: pd.DataFrame, folder: Path = records.FOLDER) -> tuple[pd.DataFrame, str]:
    """`clip` with the recorded numbers of each model, and the title of the images they are of.

    Columns `ZOO_QUANTITIES`, NaN where nothing is recorded. Numbers of different images are not put
    together: those count on which most numbers were measured.
    """
    zoo = clip(table)
    names = [zoo_name(row) for row in zoo.itertuples()]
    rows = [
        (m.data.title, m.model, column, float(np.max(m.value(quantity))))
        for column, (experiment, quantity) in ZOO_QUANTITIES.items()
        for m in records.read_all(experiment, folder=folder)
        if m.model in names
    ]
    numbers = pd.DataFrame(rows, columns=["images", "model", "quantity", "value"])
    numbers = numbers.drop_duplicates(["images", "model", "quantity"], keep="last")
    title = "" if numbers.empty else str(numbers["images"].value_counts(sort=True).index[0])
    of_title = numbers[numbers["images"] == title].set_index(["model", "quantity"])["value"]
    chosen = of_title.unstack("quantity").reindex(index=names, columns=[*ZOO_QUANTITIES])
    return zoo.join(chosen.set_axis(zoo.index)), title


def set_aside(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that no comparison over all published models counts, each with its reason.

    Columns: source, model, weights, image_size, reason. Three rules: a known defect; the same
    accuracies on every data set as another row of that source, of which one counts, that of a
    family of this book if there is one, else the first; an epoch before the last of one run.
    """
    flat = table.assign(image_size=table["image_size"].fillna(0))
    index = [*MODEL_KEY, "family", "defect"]
    rows = flat.set_index([*index, "dataset"])["accuracy"].unstack("dataset").reset_index()
    reason = rows["defect"]
    for rule in (_twins, _earlier_epochs):
        reason = reason.where(reason != "", rule(rows))
    rows["image_size"] = rows["image_size"].replace(0, pd.NA).astype("Int64")
    excluded = rows.assign(reason=reason).loc[reason != "", [*MODEL_KEY, "reason"]]
    return excluded.rename_axis(columns=None).reset_index(drop=True)


def _twins(rows: pd.DataFrame) -> pd.Series[str]:
    """For rows of a source with equal accuracies, all but one: the name of the one that counts."""
    same = ["source", *(name for name in CLASSES if name in rows)]
    best_first = rows.sort_values(["defect", "family"], ascending=[True, False], kind="stable")
    first = best_first.groupby(same, dropna=False).transform("first").reindex(rows.index)
    name = (first["model"] + " " + first["weights"]).str.strip()
    counts = (first["model"] == rows["model"]) & (first["weights"] == rows["weights"])
    reason = "The same accuracies on every data set as " + name + ", so counted once."
    return reason.where(~counts, "")


def _earlier_epochs(rows: pd.DataFrame) -> pd.Series[str]:
    """For epoch 31 of a run whose epoch 32 is there too, that it is left out."""
    names = set(rows["model"] + rows["weights"])
    last = rows["weights"].str.replace("_e31", "_e32")
    earlier = (last != rows["weights"]) & (rows["model"] + last).isin(names)
    reason = "Epoch 31 of a training run whose epoch 32 is there too."
    return earlier.map({True: reason, False: ""})


def with_pretraining(table: pd.DataFrame, path: Path = PRETRAINING) -> pd.DataFrame:
    """The rows of `wide` with columns `data` and `group`, read off their names.

    Raises CompanionError for a model that no pattern names.
    """
    rules = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    names = ["source", "model", "weights"]

    def trained_on(row: dict[Any, str]) -> tuple[str, str]:
        for rule in rules:
            if all(fnmatchcase(row[name], rule[name]) for name in names):
                return rule["data"], rule["group"]
        raise CompanionError(
            f"{path.name} does not say what {row['source']}'s {row['model']} {row['weights']} "
            "was trained on: add a row with a pattern of its name."
        )

    pairs = [trained_on(row) for row in table[names].to_dict("records")]
    return table.assign(data=[data for data, _ in pairs], group=[group for _, group in pairs])


def sizes() -> pd.Series[float]:
    """Millions of parameters, both encoders together, by open_clip architecture."""
    return pd.read_csv(SIZES).set_index("model")["parameters"].astype(float)
