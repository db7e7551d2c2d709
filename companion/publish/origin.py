"""Figures of trainings that differ in one thing: tidy frames in, drawings out.

A row of a frame is a run, or a step of one; `STEPS` names what its optimiser does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.common import ROOT
from companion.publish import style
from companion.publish.style import Drawing, digits, minus

#: How an optimiser steps: title, colour, marker.
STEPS = {
    "element": ("Adam", "#d55e00", "o"),
    "shared": ("Adam, shared second moment", "#1f83c4", "s"),
    "matrix": ("Adam, one second moment a matrix", "#c0609a", "D"),
    "none": ("SGD with momentum", "#009e73", "^"),
    "sign": ("sign of the momentum", "#7d7d7d", "X"),
}
#: What every run has unless it says otherwise.
DEFAULTS = {
    "second_moment": "element", "caption_noise": 0.3, "scale": 100.0, "width": 512, "steps": 4000,
    "learning_rate": 2e-3, "weight_decay": 0.1, "memory": 0.98,
}  # fmt: skip

#: Panels of a figure: columns and the labels of their axes.
KAPPA = {"kurtosis": "activation kurtosis κ"}
PANELS = KAPPA | {
    "mean_share": "share of energy in the mean",
    "accuracy": "accuracy, training style",
}


def read(name: str) -> pd.DataFrame:
    """One of the tables that `data/pocket/origin.py` writes; settings also in words."""
    path = ROOT / "data" / "pocket" / f"{name}.csv"
    table = pd.read_csv(path) if path.stat().st_size > 1 else pd.DataFrame()
    if "scale" not in table:
        return table
    return table.assign(
        optimiser=table["second_moment"].map({step: look[0] for step, look in STEPS.items()}),
        wrong=(100 * table["caption_noise"]).map("{:.0f}".format),
        temperature=table["scale"].map("{:g}".format).where(table["scale"].notna(), "learned"),
    )


def varied(runs: pd.DataFrame, *free: str) -> pd.DataFrame:
    """The runs that have the `DEFAULTS` in everything but some settings."""
    fixed = [name for name in DEFAULTS if name not in free]
    usual = pd.Series({name: DEFAULTS[name] for name in fixed})
    return runs[(runs[fixed] == usual).all(axis=1)]


def spread(values: pd.Series[float], scale: float = 1.0) -> str:
    """The mean over seeds, and the lowest and the highest if there are several."""
    low, mean, high = (digits(scale * v) for v in (values.min(), values.mean(), values.max()))
    return minus(mean if len(values) < 2 else f"{mean} ({low} to {high})")


def interval(values: pd.Series[float]) -> tuple[float, float, float]:
    """The mean over seeds, and its 95 % interval by Student's t; NaN for a single one."""
    from scipy.stats import t

    count = len(values)
    half = t.ppf(0.975, count - 1) * values.std() / np.sqrt(count) if count > 1 else np.nan
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def lines(
    frame: pd.DataFrame,
    x: tuple[str, str],
    panels: Mapping[str, str],
    log: str = "",
    marks: Mapping[str, float] | None = None,
) -> Drawing:
    """Quantities against x, a line for each way of stepping, the band from lowest to highest seed.

    ``x``: a column and its label; ``panels``: columns and the labels of their axes; ``log``: "x"
    and "y" for log axes, y in the first panel; ``marks``: vertical lines, by their names.
    """
    import seaborn

    known = [step for step in STEPS if step in set(frame["second_moment"])]
    figure, grid = style.new_figure(columns=len(panels), width=8.4, height=3.6, squeeze=False)
    told = []
    for axes, (column, label) in zip(grid[0], panels.items(), strict=True):
        seaborn.lineplot(
            frame, x=x[0], y=column, hue="second_moment", style="second_moment", hue_order=known,
            style_order=known, palette={step: STEPS[step][1] for step in known},
            markers={step: STEPS[step][2] for step in known}, errorbar=("pi", 100), ax=axes,
            legend=False,
        )  # fmt: skip
        axes.set(xlabel=x[1], ylabel=label)
        means = frame.groupby(["second_moment", x[0]])[column].mean()
        ends = (f"{STEPS[s][0]} {digits(means[s].iloc[0])} to {digits(means[s].iloc[-1])}"
                for s in known)  # fmt: skip
        told.append(f"{label}, first and last: {'; '.join(ends)}.")
        for name, place in (marks or {}).items():
            axes.axvline(place, color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)))
            axes.annotate(name, (place, 1), xycoords=("data", "axes fraction"), rotation=90,
                          va="top", ha="right", fontsize=8)  # fmt: skip
        every = [*frame[x[0]], *(marks or {}).values()]
        if "x" in log:
            style.log_scale(axes.xaxis, min(every), max(every), 5)
    first = grid[0, 0]
    if "y" in log:
        values = frame[next(iter(panels))]
        style.log_scale(first.yaxis, min(values.min(), 3), values.max())
        first.axhline(3, color=style.INK, linewidth=0.8)
    for step in known:
        title, colour, marker = STEPS[step]
        first.plot([], [], color=colour, marker=marker, label=title)
    style.legend(figure, first)
    data = frame[["second_moment", "seed", x[0], *panels]]
    return Drawing(figure, minus(f"Lines against {x[1]}. {' '.join(told)}"), data)


def points(
    frame: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], by: str, log: str = ""
) -> Drawing:
    """One quantity against another, a colour and a marker for each value of ``by``.

    ``x``, ``y``: columns and their labels; ``log``: "x" for a log axis.
    """
    import seaborn

    figure, axes = style.new_figure(height=4.2)
    kinds = list(dict.fromkeys(frame[by]))
    looks = {kind: look for kind, look in zip(kinds, STEPS.values(), strict=False)}
    seaborn.scatterplot(
        frame, x=x[0], y=y[0], hue=by, style=by, palette={k: looks[k][1] for k in kinds},
        markers={k: looks[k][2] for k in kinds}, s=36 if len(frame) < 200 else 14, ax=axes,
        legend=False, linewidth=0,
    )  # fmt: skip
    for kind in kinds if len(kinds) > 1 else ():
        _, colour, marker = looks[kind]
        axes.plot([], [], marker, color=colour, label=kind)
    if "x" in log:
        style.log_scale(axes.xaxis, frame[x[0]].min(), frame[x[0]].max())
    axes.set(xlabel=x[1], ylabel=y[1])
    axes.axhline(0, color=style.INK, linewidth=0.8)
    style.legend(figure, axes)
    told = (
        f"{kind}: {len(own)} marks, {x[1]} {digits(own[x[0]].min())} to {digits(own[x[0]].max())}, "
        f"{y[1]} {digits(own[y[0]].min())} to {digits(own[y[0]].max())}"
        for kind, own in frame.groupby(by, sort=False)
    )
    return Drawing(figure, minus(f"Scatter plot. {'; '.join(told)}."), frame[[by, x[0], y[0]]])
