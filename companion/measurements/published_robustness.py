"""Effective robustness of published models: which rows meet which baseline, and how sure it is.

Puts together `published` (the accuracies) and `robustness` (the equations). Every frame here has
one row per model of a family and fractions throughout. Two views exist and are never mixed: five
shifts with the paper's printed constants, and four shifts (no ObjectNet, which timm does not
measure) with a line refitted on the same four.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Family, Model
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    Baseline,
    effective_robustness,
    fit_baseline,
    sampling_error,
)
from companion.measurements.published import FIVE_SHIFTS, V2, baseline_pool, of_family, wide

#: Images of each test set. ObjectNet: those of the 113 classes shared with ImageNet.
IMAGES = {
    "imagenet": 50_000,
    "imagenet_v2": 10_000,
    "imagenet_r": 30_000,
    "imagenet_sketch": 50_889,
    "objectnet": 18_574,
    "imagenet_a": 7_500,
}
CLIP_V2: V2 = "matched_frequency"
"""The one variant of ImageNet-V2 that is published for CLIP models."""

Pool = Literal["all", "standard"]
NORMAL_95 = 1.959964
#: The same weights are published with and without this end of their architecture's name.
GELU = "-quickgelu"


def pool(table: pd.DataFrame, shifts: Sequence[str], v2: V2, kinds: Pool = "all") -> pd.DataFrame:
    """The baseline models with their accuracies on `shifts` (columns as `published.wide`)."""
    return baseline_pool(wide(table, v2, shifts), kinds)


def refit(table: pd.DataFrame, shifts: Sequence[str], v2: V2, kinds: Pool = "all") -> Baseline:
    """The baseline fitted again on the published pool."""
    models = pool(table, shifts, v2, kinds)
    return fit_baseline(models["imagenet"], models["shifted"])


def fit_choices(table: pd.DataFrame, shifts: Sequence[str] = FIVE_SHIFTS) -> pd.DataFrame:
    """Constants of the baseline under every choice that the paper leaves open.

    Columns: v2, kinds, models (in the pool), slope, intercept, r.
    """
    rows = []
    for kinds in get_args(Pool):
        for v2 in get_args(V2):
            models = pool(table, shifts, v2, kinds)
            line = fit_baseline(models["imagenet"], models["shifted"])
            rows.append((v2, kinds, len(models), line.slope, line.intercept, line.r))
    return pd.DataFrame(rows, columns=["v2", "kinds", "models", "slope", "intercept", "r"])


def of_families(
    table: pd.DataFrame,
    families: Mapping[str, Family],
    shifts: Sequence[str] = FIVE_SHIFTS,
    baseline: Baseline = PAPER_BASELINE,
) -> pd.DataFrame:
    """Effective robustness of every published model of the families.

    Columns: family, title, name, pretraining, level, source, model, imagenet, the shifts, shifted,
    er and er_95 (half the width of the 95 % interval from the finite test sets, baseline fixed).
    ImageNet-V2 is the matched-frequency variant. A model that several sources measured keeps the
    first source that its family file names; families without published models give no rows.
    """
    accuracies = wide(table, CLIP_V2, shifts)
    parts = [
        _first_source(of_family(accuracies, family)).assign(family=name, title=family.title)
        for name, family in families.items()
    ]
    rows = pd.concat([part for part in parts if not part.empty] or parts, ignore_index=True)
    error = sampling_error(
        rows[list(shifts)].to_numpy(float),
        [IMAGES[shift] for shift in shifts],
        rows["imagenet"].to_numpy(float),
        IMAGES["imagenet"],
        baseline,
    )
    er = effective_robustness(
        rows["shifted"].to_numpy(float), rows["imagenet"].to_numpy(float), baseline
    )
    columns = ["family", "title", "name", "pretraining", "level", "source", "model"]
    columns += ["imagenet", *shifts, "shifted", "er", "er_95"]
    return rows.assign(er=er, er_95=NORMAL_95 * error)[columns]


def of_checkpoint(table: pd.DataFrame, model: Model) -> pd.DataFrame:
    """What was published of this very checkpoint: dataset, accuracy (a fraction) and source.

    Rows whose source names the same architecture and weights as the registry; for models that
    stand in for another's there are none. ImageNet-V2 is the matched-frequency variant, called
    `imagenet_v2`. A data set that several sources measured keeps the first.
    """
    parts = []
    for key in model.published:
        same = (
            key.source == model.library
            and key.weights == model.weights
            and key.model.removesuffix(GELU) == (model.architecture or "").removesuffix(GELU)
        )
        if same:
            named = (table["source"], table["model"], table["weights"])
            wanted = (key.source, key.model, key.weights)
            rows = table["defect"] == ""
            for column, value in zip(named, wanted, strict=True):
                rows &= column == value
            parts.append(table[rows])
    found = pd.concat(parts or [table.iloc[:0]])[["dataset", "accuracy", "source"]]
    found["dataset"] = found["dataset"].replace(f"imagenet_v2_{CLIP_V2}", "imagenet_v2")
    return found.drop_duplicates("dataset").reset_index(drop=True)


def groups(er: pd.DataFrame, families: Mapping[str, Family]) -> pd.DataFrame:
    """One row per backbone and pretraining set, with each level's effective robustness.

    Columns: family, title, pretraining; zero_shot, finetuned, supervised and their `_95`; NaN
    where no accuracy is published. Where many finetuned models were measured (model soups), the
    median stands for them and its `_95` is NaN. The supervised model is its backbone's only one.
    """
    rows = []
    for name, family in families.items():
        own = er[er["family"] == name]
        supervised = _median(own[own["level"] == "supervised"])
        for model in family.at_level("zero_shot"):
            same = own[own["pretraining"] == model.pretraining]
            row: dict[str, object] = {"family": name, "title": family.title}
            row["pretraining"] = model.pretraining
            row["zero_shot"], row["zero_shot_95"] = _median(same[same["level"] == "zero_shot"])
            row["finetuned"], row["finetuned_95"] = _median(same[same["level"] == "finetuned"])
            row["supervised"], row["supervised_95"] = supervised
            rows.append(row)
    return pd.DataFrame(rows)


def _median(models: pd.DataFrame) -> tuple[float, float]:
    """The value and interval of one model, or the median of several."""
    if len(models) == 1:
        return float(models["er"].iloc[0]), float(models["er_95"].iloc[0])
    return float(models["er"].median()) if len(models) else np.nan, np.nan


def _first_source(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep, for each registry model, the rows of the source that comes first."""
    first = rows.groupby("name", sort=False)["source"].transform("first")
    return rows[rows["source"] == first]
