"""Drawings of measurements that a family's notebook and the edition's have in common.

Each function draws one measurement on given axes; publishing, captions and alternative texts are
the notebooks' work.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis import figures
from analysis.measurements import Measurement
from analysis.outliers import far_above_mean

Array = NDArray[np.float64]

#: The orders of pruning: title, colour and line of each; those of levels are not used.
ORDERS: dict[str, tuple[str, str, str | tuple[int, tuple[float, ...]]]] = {
    "importance": ("least important first", "#1f83c4", "-"),
    "singular_value": ("smallest singular value first", "#d55e00", (0, (4, 2))),
    "random": ("random", "#7d7d7d", "-"),
    "reversed": ("most important first", "#c0609a", (0, (1, 1.5))),
}


def draw_profile(axes: Axes, profile: Array, level: str, threshold: float) -> None:
    """A stem per coordinate of an activation profile (d,).

    Coordinates that reach `threshold` × the mean are named, unless much smaller than the largest.
    """
    style = figures.LEVEL_STYLES[level]
    at = np.arange(len(profile))
    axes.vlines(at, 0, profile, color=style.colour, linewidth=0.8)
    axes.axhline(1, color=figures.MUTED, linewidth=0.8)
    axes.axhline(threshold, color=figures.INK, linewidth=1, linestyle=(0, (4, 3)))
    named = [c for c in far_above_mean(profile, threshold) if profile[c] > profile.max() / 5]
    for coordinate in named:
        right = coordinate > 0.8 * len(profile)
        axes.annotate(
            str(coordinate), (coordinate, profile[coordinate]), fontsize=9, color=figures.INK,
            xytext=(-5 if right else 5, -3), textcoords="offset points",
            ha="right" if right else "left",
        )  # fmt: skip
    axes.set(xlim=(-4, len(profile) + 3), ylim=(0, None))


def draw_kurtosis(axes: Axes, measured: dict[str, Measurement]) -> None:
    """Share of items below each kurtosis, on a log axis; keys are titles, captions dashed."""
    for title, m in measured.items():
        axes.plot(
            m.value("kurtosis_percentiles"), np.arange(101), linewidth=1.8, label=title,
            color=figures.LEVEL_STYLES[m.level].colour,
            linestyle=(0, (4, 2)) if "captions" in m.data.name else "-",
        )  # fmt: skip
    axes.axvline(3, color=figures.INK, linewidth=1)
    axes.annotate(
        "Gaussian", (3, 100), xytext=(4, -2), textcoords="offset points", va="top", fontsize=9
    )
    axes.set_xscale("log")
    axes.set_xticks(*labelled(2, 3, 5, 10, 20, 50, 100, 200))
    axes.minorticks_off()
    axes.set(ylim=(0, 100), ylabel="share with less (%)")


def draw_importance(axes: Axes, measured: dict[str, Measurement], threshold: float) -> None:
    """Sorted importance of each measurement, relative to its mean, on log axes; keys are titles.

    Dashed: the same once the mean row is subtracted from the head.
    """
    last = 1
    for title, m in measured.items():
        colour = figures.LEVEL_STYLES[m.level].colour
        values = np.sort(m.value("importance"))[::-1]
        last = max(last, len(values))
        ranks = np.arange(1, len(values) + 1)
        axes.plot(ranks, values, color=colour, linewidth=1.8, label=title)
        centred = m.value("importance_head_centred")[: len(values) - 1]
        axes.plot(
            ranks[: len(centred)], centred, color=colour, linewidth=1.2, linestyle=(0, (4, 2)),
            label="the same, head centred",
        )  # fmt: skip
    axes.axhline(1, color=figures.INK, linewidth=0.8)
    axes.axhline(threshold, color=figures.INK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(*labelled(*(t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500) if t <= last)))
    axes.set_yticks(*labelled(0.1, 1, 10, 100))
    axes.minorticks_off()
    axes.set(xlabel="direction, the most important first (log scale)", ylim=(0.05, None))
    axes.set(ylabel="importance, times the mean")


def draw_pruning(axes: Axes, m: Measurement) -> None:
    """Accuracy (%) against the share of directions pruned (%), in four orders.

    Bands: 95 % from the finite number of images for the order of importance (paired difference
    from the whole head), lowest to highest of all seeds for the random order. Vertical: 80 %.
    """
    rank = len(m.value("accuracy_importance"))
    pruned = pruned_shares(rank)
    best, error = m.value("accuracy_importance"), m.value("difference_importance_error")
    band = {
        "importance": (best - 1.96 * error, best + 1.96 * error),
        "random": (m.value("accuracy_random_lowest"), m.value("accuracy_random_highest")),
    }
    for order, (title, colour, line) in ORDERS.items():
        values = m.value(f"accuracy_{order}")
        axes.plot(pruned, 100 * values, color=colour, linewidth=1.8, linestyle=line, label=title)
        if order in band:
            low, high = band[order]
            axes.fill_between(
                pruned, 100 * low, 100 * high, color=colour, alpha=0.2, linewidth=0
            )  # fmt: skip
    axes.axvline(80, color=figures.INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, 100), ylim=(0, None))
    axes.set(xlabel="directions pruned (%)", ylabel="accuracy (%)")


def pruned_shares(rank: int) -> Array:
    """Percentage of directions that is pruned when 1, 2, …, `rank` are kept: (rank,), falling."""
    shares: Array = 100 * (1 - np.arange(1, rank + 1) / rank)
    return shares


def labelled(*ticks: float) -> tuple[list[float], list[str]]:
    """Ticks and their labels, for `set_xticks` and `set_yticks`."""
    return list(ticks), [f"{tick:g}" for tick in ticks]
