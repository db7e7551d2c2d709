"""Tables of trainings that differ in one thing, as `data/pocket/origin.py` writes them.

A row is a run, or a step of one; `LOOKS` names what its optimiser does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import safe_open

from analysis.base.roots import ROOT
from companion.engine import plots
from companion.engine.plots import Stroke
from companion.engine.style import INK, STRONG, Drawing, spread
from companion.measurements.intervals import Interval

#: How an optimiser steps: its title and its line. Red are those whose step size differs between
#: output coordinates.
OPTIMISERS = {
    "element": ("Adam", Stroke(STRONG)),
    "column": ("Adam, one second moment a column", Stroke(STRONG, (6, 2))),
    "adafactor": ("Adafactor", Stroke(STRONG, (2, 2))),
    "lamb": ("LAMB", Stroke(STRONG, (6, 2, 1, 2))),
    "sign": ("sign of the momentum", Stroke(STRONG, (3, 1))),
    "shared": ("Adam, shared second moment", Stroke(INK, (4, 2))),
    "matrix": ("Adam, one second moment a matrix", Stroke(INK, (5, 1, 1, 1))),
    "none": ("SGD with momentum", Stroke(INK, (1, 1))),
    "muon": ("Muon", Stroke(INK, (1, 2))),
    "shampoo": ("Shampoo", Stroke(INK, (5, 3))),
}
#: Optimisers whose step size differs between output coordinates; that of the others does not.
DIFFERING = ("element", "column", "adafactor", "lamb", "sign")
LOOKS = dict(OPTIMISERS.values())
#: What makes large coordinates larger, link by link, as lines are called: its rank correlation.
LINKS = {
    "texts vary little: small gradient": "image root, text spread",
    "small gradient: mean image grows": "image growth, 1/image root",
    "large mean image: noisy texts": "image mean, text root",
}
#: What is shown of runs.
KAPPA_PANEL = {"kurtosis": "activation kurtosis κ"}
PANELS = KAPPA_PANEL | {"mean_share": "energy in the mean (%)"}
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
    "rotated": "none",
    "layer_norm": False,
}


def read(name: str) -> pd.DataFrame:
    """Read a table that `data/pocket/origin.py` made, a row for each training or moment of one.

    Three columns say its settings in words: `optimiser`, `wrong` (captions, %) and `temperature`.
    """
    path = ROOT / "data" / "pocket" / f"{name}.csv"
    table = pd.read_csv(path) if path.stat().st_size > 1 else pd.DataFrame()
    if "second_moment" in table:
        table["optimiser"] = table["second_moment"].map(lambda step: OPTIMISERS[step][0])
    if "scale" in table:
        table["wrong"] = (100 * table["caption_noise"]).map("{:.0f}".format)
        scale = table["scale"].map("{:g}".format)
        table["temperature"] = scale.where(table["scale"].notna(), "learned")
    return table


def played(
    name: str = "pocket/origin_frames",
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """The settings of the trainings that can be played, and their arrays by name.

    `data/pocket/origin.py` says what is in them; `relearn/frames` has those behind CLIP's features.
    """
    path = ROOT / "data" / f"{name}.safetensors"
    with safe_open(path, "numpy") as file:
        names = file.keys()
        return json.loads(file.metadata()["runs"]), {name: file.get_tensor(name) for name in names}


def varied(runs: pd.DataFrame, *free: str) -> pd.DataFrame:
    """The runs that have the `DEFAULTS` in everything but some settings."""
    fixed = [name for name in DEFAULTS if name not in free]
    usual = pd.Series({name: DEFAULTS[name] for name in fixed})
    return runs[(runs[fixed] == usual).all(axis=1)]


def over_seeds(
    runs: pd.DataFrame, x: tuple[str, str], panels: Mapping[str, str], panel: str = ""
) -> pd.DataFrame:
    """Quantities against x as `plots.lines` draws them: median, lowest and highest over seeds.

    ``x``: a column and its label; ``panels``: columns and what labels their axes, each in a panel
    that is called ``panel``. A label that ends with "(%)" makes a fraction percents.
    """
    percents = [name for name, title in (*panels.items(), x) if title.endswith("(%)")]
    runs = runs.assign(**{name: 100 * runs[name] for name in percents})
    each = runs.groupby(["optimiser", x[0]])[[*panels]].agg(["median", "min", "max"])
    names = {"median": "value", "min": "low", "max": "high", "optimiser": "of", x[0]: x[1]}
    parts = (each[column].assign(panel=panel, quantity=title) for column, title in panels.items())
    drawn: pd.DataFrame = pd.concat(parts)
    return drawn.reset_index().rename(columns=names)


def middle(values: Iterable[float]) -> str:
    """The median over seeds, the lowest and the highest."""
    return spread(values, middle=np.median)


def curves(frame: pd.DataFrame, x: str, **options: Any) -> Drawing:
    """Quantities that `over_seeds` gives against x; energy is shown from 0 to 100 %."""
    drawing = plots.lines(frame, x, "value", looks=LOOKS, **options)
    for axes in drawing.figure.axes:
        if "energy" in axes.get_ylabel():
            axes.set_ylim(0, 100)
    return drawing


def rows(runs: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Each quantity of runs that differ in their seed alone as a list, by their settings.

    ``ends``: effective robustness with its interval; ``seeds``: how many there are.
    """
    groups = runs.groupby(list(by), sort=False)
    lists = groups.agg(list)
    er = groups["er"].agg(["mean", "sem", "size"]).itertuples(index=False, name=None)
    ends = pd.Series([Interval.of_mean(*each) for each in er], lists.index, dtype=object)
    return lists.assign(ends=ends, seeds=groups.size())


def links(mechanism: pd.DataFrame) -> Drawing:
    """How strongly each of `LINKS` holds over coordinates during training, over seeds."""
    rho, looks = "rank correlation", (Stroke(INK), Stroke(STRONG), Stroke(INK, (4, 2)))
    by_step = mechanism.groupby("step")
    frame = pd.concat(
        pd.DataFrame({rho: seeds.mean(), "low": seeds.min(), "high": seeds.max()})
        .reset_index()
        .assign(of=of)
        for of, name in LINKS.items()
        for seeds in [by_step[name]]
    )
    styles = dict(zip(LINKS, looks, strict=True))
    return plots.lines(frame, "step", rho, looks=styles, log="x", ticks=4, height=3)
