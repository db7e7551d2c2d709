"""Figures of pruning: accuracy against the share of directions pruned, and a caption's fate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from companion.engine import plots, style
from companion.engine.plots import Stroke
from companion.engine.style import LEVEL_STYLES, Drawing
from companion.engine.words import put
from companion.measurements.measurement import Measurement
from companion.measurements.pruned import against_whole

Array = NDArray[np.float64]

PRUNED = "directions pruned (%)"
#: The orders of pruning, as a measurement calls them: name and look.
DRAWN_ORDERS = {
    "importance": ("by importance", Stroke(style.STRONG)),
    "singular_value": ("by singular value", Stroke(style.INK, (4, 2))),
    "random": ("random", Stroke("#7d7d7d")),
    "reversed": ("in reverse", Stroke(style.STRONG, (1, 1.5))),
}


def all_steps(m: Measurement) -> pd.DataFrame:
    """Accuracy (%) in four orders of pruning, and its change when pruned by importance (points)."""
    best, (change, low, high) = against_whole(m)
    random = (m.value("accuracy_random_lowest"), m.value("accuracy_random_highest"))
    whole = best[-1]
    ends = {"importance": (np.maximum(whole + low, 0), np.minimum(whole + high, 1))}
    ends["random"] = random
    accuracy = (
        steps("accuracy (%)", name, m.value(f"accuracy_{name}"), *ends.get(name, ()))
        for name in DRAWN_ORDERS
    )
    lost = steps("change of accuracy (points)", "importance", change, low, high)
    return pd.concat([*accuracy, lost], ignore_index=True)


def steps(
    quantity: str, order: str, values: ArrayLike, *ends: ArrayLike, kept: ArrayLike | None = None
) -> pd.DataFrame:
    """One curve of pruning as rows, the last with all directions; fractions in, percent out.

    `ends` of its interval, if any; `kept`: how many directions are left, without it 1, 2, …
    """
    columns = dict(zip(("value", "low", "high"), (values, *ends), strict=False))
    frame = pd.DataFrame({name: 100 * np.asarray(part) for name, part in columns.items()})
    left = np.arange(1, len(frame) + 1) if kept is None else np.asarray(kept)
    about = {"quantity": quantity, "of": DRAWN_ORDERS[order][0], "directions kept": left}
    return frame.assign(**about, **{PRUNED: 100 * (1 - left / left[-1])})


def curves(by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Curves against the share of directions pruned, a row of panels for each model.

    `by_model`: model → rows of `steps`; what is `extrapolated` is not drawn. Vertical: the paper's
    80 %. Losses above 20 points are cut off.
    """
    parts = [frame.assign(panel=title) for title, frame in by_model.items()]
    whole = pd.concat(parts, ignore_index=True)
    drawn = whole[~whole["extrapolated"].astype(bool)] if "extrapolated" in whole else whole
    looks, columns, at = dict(DRAWN_ORDERS.values()), whole["quantity"].nunique(), {"80 %": 80}
    drawing = plots.lines(
        drawn, PRUNED, "value", looks=looks, columns=columns, verticals=at, height=2.4
    )
    for axes in drawing.figure.axes:
        low, high = axes.get_ylim()
        signed = "points" in axes.get_ylabel()
        axes.set(xlim=(0, 100), ylim=(max(low, -20), high) if signed else (0, min(1.2 * high, 100)))
        axes.axhline(0, color=style.INK, linewidth=0.8)
    names = ["panel", "quantity", "of", "directions kept", "value", "low", "high"]
    return drawing._replace(data=whole[[name for name in names if name in whole]])


def shrinking(rows: pd.DataFrame) -> Drawing:
    """What one photograph finds as its head shrinks: a bar for the directions kept, and a caption.

    `rows`: `kept`, `caption`, and whether it names what the photograph shows (`right`).
    """
    figure, axes = style.new_figure(height=0.62 * len(rows) + 0.7)
    places = np.arange(len(rows))[::-1]
    colour = LEVEL_STYLES["zero_shot"].colour
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        look = {"color": colour if row["right"] else style.MUTED, "height": 0.3}
        axes.barh(place, row["kept"], **look)
        put(axes, f"“{row['caption']}”", (0.8, place), (0, 9), fontsize=9, style="italic")
    style.log_scale(axes.xaxis, 1, rows["kept"].max())
    axes.set_yticks(places, [f"{kept:,}" for kept in rows["kept"]])
    axes.set(xlim=(0.8, 1.1 * rows["kept"].max()), ylim=(-0.5, len(rows) - 0.1))
    axes.set(xlabel="directions kept (log scale)")
    axes.grid(False, axis="y")
    says = "; ".join(f"{row['kept']}: {row['caption']}" for _, row in rows.iterrows())
    return Drawing(figure, f"Bars of directions kept, and the caption found. {says}.", rows)
