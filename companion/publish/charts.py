"""Drawings of measurements that a family's notebook and the edition's have in common.

Functions called `draw_…` draw on given axes, those called `…_figure` put several such drawings
into one figure. Publishing, captions and alternative texts are the notebooks' work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.metrics.outliers import far_above_mean
from analysis.metrics.pruning import Sweep
from companion.measurements.records import Measurement
from companion.publish import style as figures

Array = NDArray[np.float64]

#: The orders of pruning: title, colour and line of each; those of levels are not used.
ORDERS: dict[str, tuple[str, str, str | tuple[int, tuple[float, ...]]]] = {
    "importance": ("least important first", "#1f83c4", "-"),
    "singular_value": ("smallest singular value first", "#d55e00", (0, (4, 2))),
    "random": ("random", "#7d7d7d", "-"),
    "reversed": ("most important first", "#c0609a", (0, (1, 1.5))),
}


#: Lines of the first, second, … model of one level in one figure.
LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (1, 1)), (0, (5, 1, 1, 1)))


def grid_figure(
    shown: Mapping[str, Any],
    draw: Callable[[Axes, Any], None],
    columns: int = 1,
    height: float = 2.4,
    **options: Any,
) -> tuple[Figure, Any]:
    """One panel for each entry, titled by its key and filled by `draw(axes, value)`.

    `height`: of a row in inches; `options` go to `new_figure`. Returns the figure and its axes,
    (rows, columns).
    """
    rows = -(-len(shown) // columns)
    figure, panels = figures.new_figure(
        columns, rows, width=7.2 if columns < 3 else 8.4, height=1.2 + height * rows,
        squeeze=False, **options,
    )  # fmt: skip
    for axes, (title, value) in zip(panels.flat, shown.items(), strict=False):
        draw(axes, value)
        axes.set_title(title)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    return figure, panels


def profile_figure(
    shown: Mapping[str, tuple[Array, str]], threshold: float, columns: int = 1
) -> Figure:
    """Activation profiles (d,) with the level of each, one panel a title (`draw_profile`)."""
    same_width = len({len(profile) for profile, _ in shown.values()}) == 1

    def draw(axes: Axes, value: tuple[Array, str]) -> None:
        draw_profile(axes, *value, threshold)
        axes.set(ylim=(0, 1.08 * max(threshold, value[0].max())))

    figure, panels = grid_figure(shown, draw, columns, 1.6, sharex=same_width)
    for axes in panels[-1]:
        axes.set(xlabel="coordinate")
    figure.supylabel("times the mean coordinate", fontsize=9)
    return figure


def draw_heat_map(axes: Axes, m: Measurement, limit: float) -> Any:
    """Single images at the coordinates of a measurement's sample; returns the image drawn.

    Left of the line are the coordinates of the highest profile. `limit`: end of the colour scale,
    in standard deviations, linear up to 1.
    """
    coordinates = m.value("sample_coordinates")
    drawn = axes.imshow(
        m.value("sample"), aspect="auto", cmap="PuOr_r", norm="symlog", vmin=-limit, vmax=limit,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xticks(range(len(coordinates)), list(map(str, coordinates)), rotation=90, fontsize=7)
    axes.grid(False)
    axes.axvline(len(coordinates) / 2 - 0.5, color=figures.INK, linewidth=1)
    return drawn


def draw_top_direction(
    axes: Axes, profile: Array, direction: Array, level: str, named: tuple[int, int] = (3, 2)
) -> None:
    """Each coordinate's activation profile (d,) against the size of its component (d,).

    `named`: how many of the largest components and of the highest profile are labelled.
    """
    size = np.abs(direction)
    axes.scatter(profile, size, s=14, color=figures.LEVEL_STYLES[level].colour, linewidth=0)
    for c in {*np.argsort(-size)[: named[0]], *np.argsort(-profile)[: named[1]]}:
        axes.annotate(
            str(c), (profile[c], size[c]), xytext=(5, 3), textcoords="offset points", fontsize=9
        )
    axes.set_xscale("log")
    ticks = (0.5, 1, 2, 5, 10, 20) if profile.max() > 6 else (0.1, 0.2, 0.5, 1, 2, 4)
    axes.set_xticks(*labelled(*ticks))
    axes.minorticks_off()


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
    earlier: Counter[tuple[str, str]] = Counter()
    for title, m in measured.items():
        line = LINES[earlier[m.level, m.data.name] % len(LINES)]
        axes.plot(
            m.value("kurtosis_percentiles"), np.arange(101), linewidth=1.8, label=title,
            color=figures.LEVEL_STYLES[m.level].colour,
            linestyle=(0, (4, 2)) if "captions" in m.data.name else line,
        )  # fmt: skip
        earlier[m.level, m.data.name] += 1
    every = np.concatenate([m.value("kurtosis_percentiles") for m in measured.values()])
    wide, narrow = (2, 3, 5, 10, 20, 50, 100, 200), (1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10, 15, 20)
    near = [tick for tick in narrow if 0.9 * every.min() <= tick <= 1.05 * every.max()]
    axes.axvline(3, color=figures.INK, linewidth=1)
    axes.annotate("Gaussian", (3, 0), xytext=(4, 3), textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    axes.set_xticks(*labelled(*(wide if every.max() > 20 else near)))
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
            label="the same, head centred" if len(measured) < 4 else None,
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


def draw_sweeps(
    axes: Axes,
    found: Mapping[str, Sweep],
    quantity: Literal["inside", "outside", "robustness"],
    lowest: float = 0,
) -> None:
    """Accuracy (%) or effective robustness (points) against the share pruned (%), by order.

    Bands: the 95 % interval for the order of importance, lowest to highest for random orders.
    Where a model's accuracy is below `lowest`, a fraction, the line is thin: the baseline is
    extrapolated there. Vertical: 80 %.
    """
    for order, (title, colour, line) in ORDERS.items():
        sweep = found[order]
        values = 100 * getattr(sweep.curves, quantity)
        pruned = 100 * (1 - sweep.steps / sweep.steps[-1])
        sound = np.where(sweep.curves.inside >= lowest, values, np.nan)
        axes.plot(pruned, values, color=colour, linewidth=0.8, linestyle=line)
        axes.plot(pruned, sound, color=colour, linewidth=1.9, linestyle=line, label=title)
        if order in ("importance", "random"):
            ends = (100 * getattr(end, quantity) for end in (sweep.low, sweep.high))
            axes.fill_between(pruned, *ends, color=colour, alpha=0.18, linewidth=0)
    axes.axvline(80, color=figures.INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, 100))


def pruned_shares(rank: int) -> Array:
    """Percentage of directions that is pruned when 1, 2, …, `rank` are kept: (rank,), falling."""
    shares: Array = 100 * (1 - np.arange(1, rank + 1) / rank)
    return shares


def labelled(*ticks: float) -> tuple[list[float], list[str]]:
    """Ticks and their labels, for `set_xticks` and `set_yticks`."""
    return list(ticks), [f"{tick:g}" for tick in ticks]
