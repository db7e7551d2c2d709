"""How well candidates tell robust models from others: rows of `candidates` in, cells out."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Edition, Level, level_title
from analysis.metrics import indicators
from companion.publish.dots import Marks
from companion.publish.style import minus, points
from companion.publish.words import digits, with_interval

#: Models that a correlation within a group takes at least.
LEAST_WITHIN = 5


def robustness(value: float, low: float, high: float) -> str:
    """Effective robustness in points with its interval, ± where that is symmetric."""
    if np.isclose(high - value, value - low):
        return points(value, high - value)
    return with_interval(value, low, high) if np.isfinite(value) else "not measured"


def number(value: float, write: Callable[[float], str] = "{:.1f}".format) -> str:
    """A number, unless it is not known."""
    return write(value) if np.isfinite(value) else "not measured"


def with_ends(value: float, ends: tuple[float, float] = (np.nan, np.nan)) -> str:
    """A statistic with its interval, if it has one."""
    if not np.isfinite(value):
        return "n/a"
    return minus(
        f"{value:.2f}" + (" ({:.2f} to {:.2f})".format(*ends) if ends[0] == ends[0] else "")
    )


def within(models: pd.DataFrame, candidate: str) -> str:
    """Rank correlation with effective robustness inside one group, which must not be too small."""
    if len(models) < LEAST_WITHIN:
        return f"n/a ({len(models)} models)"
    return with_ends(indicators.rank_correlation(models[candidate], models["er"]))


def transfer(models: pd.DataFrame, candidate: str) -> str:
    """Each backbone's balanced accuracy (%) at the cut chosen on all others."""
    told = []
    for backbone, own in models.groupby("backbone", sort=False):
        others = models[models["backbone"] != backbone]
        if min(own["robust"].nunique(), others["robust"].nunique()) == 2:
            cut = indicators.best_cut(others[candidate], others["robust"])
            right = indicators.balanced_accuracy(own[candidate], own["robust"], cut)
            told.append(f"{str(backbone).removeprefix('Pocket ')} {100 * right:.0f}")
    return ", ".join(told) or "n/a"


def judged(
    models: pd.DataFrame, candidate: str, resamples: int, seed: int
) -> tuple[dict[str, str], bool]:
    """One candidate's row, and whether the interval of its area under ROC excludes 0.5.

    Intervals: 95 % of ``resamples`` of models, all rows of a model together.
    """
    rows = models.dropna(subset=[candidate])
    robust, trained = rows["robust"], rows[rows["level"] != "random"]
    statistics = {
        "rank correlation with ER": (indicators.rank_correlation, rows["er"]),
        "area under ROC": (indicators.separation, robust),
    }
    cells, ends = {}, (np.nan, np.nan)
    for title, (statistic, other) in statistics.items():
        ends = indicators.interval(
            statistic, rows["model"], rows[candidate], other, resamples=resamples, seed=seed
        )
        cells[title] = with_ends(statistic(rows[candidate], other), ends)
    row = {
        "rank correlation with ER": cells["rank correlation with ER"],
        "trained only": with_ends(indicators.rank_correlation(trained[candidate], trained["er"])),
        "among robust": within(rows[robust], candidate),
        "among others": within(rows[~robust], candidate),
        "area under ROC": cells["area under ROC"],
        "cut from other backbones (%)": transfer(rows, candidate),
    }
    return row, ends[0] > 0.5 or ends[1] < 0.5


def coverage(models: pd.DataFrame, edition: Edition) -> pd.DataFrame:
    """For how many models of each level a quantity is known."""
    return pd.DataFrame(
        {
            "level": level_title(level, edition),
            "models": len(own),
            "with ER": own["er"].notna().sum(),
            "with κ per image": own["kurtosis"].notna().sum(),
            "with importance": own["top_importance"].notna().sum(),
            "with concepts": own["n_unique"].notna().sum(),
            "with ER and κ": own[["er", "kurtosis"]].notna().all(axis="columns").sum(),
        }
        for level in get_args(Level)
        for own in [models[models["level"] == level]]
    )


def candidates(models: pd.DataFrame) -> pd.DataFrame:
    """Each model's effective robustness and candidates as finished text."""
    return pd.DataFrame(
        {
            "model": f"{row['backbone'].removeprefix('Pocket ')}, {row['title']}{row['on']}",
            "ER (points)": robustness(row["er"], row["low"], row["high"]),
            "robust": "yes" if row["low"] > 0 else "no" if row["low"] <= 0 else "not measured",
            "κ": digits(row["kurtosis"]),
            "largest": digits(row["largest"]),
            "persistence (%)": f"{row['persistence']:.1f}",
            "importance": number(row["top_importance"], digits),
            "concepts": number(
                row["n_unique"], f"{{:.1f}} of {row['probed']:.0f}{row['probe']}".format
            ),
            "(random)": number(row["random_directions"]),
            "mean best AP (%)": number(row["best"]),
        }
        for row in models.to_dict("records")
    )


def marks(models: pd.DataFrame, candidate: str, edition: Edition) -> list[Marks]:
    """Effective robustness against a candidate; all backbones but the first are hollow."""
    first = models["backbone"].iloc[0]
    return [
        Marks(f"{backbone}, {level_title(level, edition)}", level, own[candidate], own["er"],
              own["low"], own["high"], "filled" if backbone == first else "hollow")
        for backbone in models["backbone"].unique()
        for level in get_args(Level)
        if len(own := models[(models["backbone"] == backbone) & (models["level"] == level)])
    ]  # fmt: skip
