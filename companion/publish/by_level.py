"""Effective robustness of each level side by side, of many backbones: as table and as rows.

`groups` is what `views.groups` gives: one row per backbone and pretraining set.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.metrics.robustness import PAPER_BASELINE, Baseline, effective_robustness
from companion.publish import dots
from companion.publish.style import minus, points


def columns(groups: pd.DataFrame, of_many: str = "") -> pd.DataFrame:
    """One column per level; `of_many` follows a value that is the median of many models."""

    def cell(value: float, error: float) -> str:
        if value != value:
            return "not published"
        return points(value, error) if error == error else points(value) + of_many

    named = pd.DataFrame({"backbone": groups["title"], "pretraining set": groups["pretraining"]})
    return named.assign(
        **{
            level.replace("_", "-"): [
                cell(value, error)
                for value, error in zip(groups[level], groups[f"{level}_95"], strict=True)
            ]
            for level in ("zero_shot", "finetuned", "supervised")
        }
    )


def short(models: pd.DataFrame) -> list[str]:
    """The backbone and the pretraining set of each model or group, in few words."""
    sets = models["pretraining"].str.replace("OpenAI WIT-400M", "OpenAI")
    return list(models["title"] + ", " + sets)


def rows(groups: pd.DataFrame) -> list[dots.Row]:
    """One row per backbone and pretraining set, one mark per level with its 95 % interval."""
    return [
        dots.Row(name, level, 100 * value, 100 * (value - error), 100 * (value + error))
        for level in ("supervised", "finetuned", "zero_shot")
        for name, value, error in zip(
            short(groups), groups[level], groups[f"{level}_95"].fillna(0), strict=True
        )
    ]


def under_each_line(models: pd.DataFrame, choices: pd.DataFrame) -> list[dots.Row]:
    """Effective robustness of each model under the printed line, and its lowest and highest.

    Under that line and every line of `choices`, as for `fits`.
    """
    lines = [Baseline(*c) for c in choices[["slope", "intercept", "r"]].itertuples(index=False)]
    under = [
        100 * effective_robustness(models["shifted"], models["imagenet"], line)
        for line in (PAPER_BASELINE, *lines)
    ]
    spans = (under[0], np.min(under, axis=0), np.max(under, axis=0))
    return [dots.Row(*row) for row in zip(short(models), models["level"], *spans, strict=True)]


def fits(choices: pd.DataFrame) -> pd.DataFrame:
    """The baseline's constants under every choice (`views.fit_choices`)."""
    kinds = {"all": "all but “trained with more data”", "standard": "standard training only"}
    return pd.DataFrame(
        {
            "ImageNet-V2 in the mean": choices["v2"].str.replace("_", " "),
            "pool": choices["kinds"].map(kinds),
            "models": choices["models"],
        }
        | {
            name: [minus(f"{value:.3f}") for value in choices[name]]
            for name in ("slope", "intercept", "r")
        }
    )
