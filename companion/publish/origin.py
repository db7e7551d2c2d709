"""Tables of trainings that differ in one thing, as `data/pocket/origin.py` writes them.

A row is a run, or a step of one; `LOOKS` names what its optimiser does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.common import ROOT
from companion.publish.plots import Look
from companion.publish.style import digits, minus

#: How an optimiser steps: its title and its line.
OPTIMISERS = {
    "element": ("Adam", Look("#d55e00")),
    "shared": ("Adam, shared second moment", Look("#1f83c4", (4, 2))),
    "matrix": ("Adam, one second moment a matrix", Look("#c0609a", (5, 1, 1, 1))),
    "none": ("SGD with momentum", Look("#009e73", (1, 1))),
    "sign": ("sign of the momentum", Look("#7d7d7d", (3, 1))),
}
LOOKS = dict(OPTIMISERS.values())
#: What is shown of runs.
KAPPA = {"kurtosis": "activation kurtosis κ"}
PANELS = KAPPA | {"mean_share": "energy in the mean (share)"}
#: What every run has unless it says otherwise.
DEFAULTS = {
    "second_moment": "element",
    "caption_noise": 0.3,
    "scale": 100.0,
    "width": 512,
    "steps": 4000,
    "learning_rate": 2e-3,
    "weight_decay": 0.1,
    "memory": 0.98,
}


def read(name: str) -> pd.DataFrame:
    """One of the tables that `data/pocket/origin.py` writes; settings also in words."""
    path = ROOT / "data" / "pocket" / f"{name}.csv"
    table = pd.read_csv(path) if path.stat().st_size > 1 else pd.DataFrame()
    if "second_moment" in table:
        table["optimiser"] = table["second_moment"].map(lambda step: OPTIMISERS[step][0])
    if "scale" in table:
        table["wrong"] = (100 * table["caption_noise"]).map("{:.0f}".format)
        scale = table["scale"].map("{:g}".format)
        table["temperature"] = scale.where(table["scale"].notna(), "learned")
    return table


def varied(runs: pd.DataFrame, *free: str) -> pd.DataFrame:
    """The runs that have the `DEFAULTS` in everything but some settings."""
    fixed = [name for name in DEFAULTS if name not in free]
    usual = pd.Series({name: DEFAULTS[name] for name in fixed})
    return runs[(runs[fixed] == usual).all(axis=1)]


def over_seeds(
    runs: pd.DataFrame, x: tuple[str, str], panels: Mapping[str, str], suffix: str = ""
) -> pd.DataFrame:
    """Quantities against x as `plots.lines` draws them: mean, lowest and highest over seeds.

    ``x``: a column and its label; ``panels``: columns and titles, to which ``suffix`` is added.
    """
    each = runs.groupby(["optimiser", x[0]])[[*panels]].agg(["mean", "min", "max"])
    names = {"mean": "value", "min": "low", "max": "high", "optimiser": "of", x[0]: x[1]}
    parts = (
        each[column].assign(panel=title + suffix, quantity="") for column, title in panels.items()
    )
    drawn: pd.DataFrame = pd.concat(parts)
    return drawn.reset_index().rename(columns=names)


def spread(values: pd.Series[float], scale: float = 1.0) -> str:
    """The mean over seeds, and the lowest and the highest if there are several."""
    low, mean, high = (digits(scale * v) for v in (values.min(), values.mean(), values.max()))
    return minus(mean if len(values) < 2 else f"{mean} ({low} to {high})")


#: Column of a table → a quantity of runs, and the factor to its unit.
COLUMNS = {
    "κ": ("kurtosis", 1),
    "dominant in (%)": ("persistence", 100),
    "in the mean (%)": ("mean_share", 100),
    "κ after mean subtraction": ("kurtosis_less_mean", 1),
    "κ, eigenbasis": ("kurtosis_eigenframe", 1),
    "unread (%)": ("energy_unread", 100),
    "accuracy (%)": ("accuracy", 100),
}


def spreads(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """What runs have that differ in their seed alone, a row for each combination of settings."""
    groups = runs.groupby(by, sort=False)
    known = {title: column for title, column in COLUMNS.items() if column[0] in runs}
    return pd.DataFrame(
        {title: groups[name].agg(spread, unit) for title, (name, unit) in known.items()}
    )


def interval(values: pd.Series[float]) -> tuple[float, float, float]:
    """The mean over seeds, and its 95 % interval by Student's t; NaN for a single one."""
    from scipy.stats import t

    count = len(values)
    half = t.ppf(0.975, count - 1) * values.std() / np.sqrt(count) if count > 1 else np.nan
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)
