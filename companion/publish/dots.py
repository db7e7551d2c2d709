"""Models as marks: against another quantity, at places, in rows, beside a baseline.

As in `charts`, data in, the figure, its alternative text and what it draws out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from analysis.families.registry import Edition, Level, level_title
from analysis.metrics.indicators import rank_correlation
from companion.publish import style
from companion.publish.style import LEVEL_STYLES, Drawing, digits, minus, points, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Look = Literal["filled", "hollow", "small"]


def look(model: str) -> Look:
    """Of a model's marks: hollow for the small web, the pocket lab's second zero-shot model."""
    return "hollow" if model.endswith("web-small") else "filled"


class Marks(NamedTuple):
    """Marks of one level at (x, y), (n,) each; `low` and `high` are ends of intervals of y.

    `look`: "hollow" marks tell some models from the level's others, "small" ones are many. `names`:
    what each mark is of, where the title does not say it.
    """

    title: str
    level: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    look: Look = "filled"
    names: ArrayLike | None = None

    def rows(self, x: str, y: str) -> dict[str, ArrayLike]:
        """The marks as columns, those of the axes called `x` and `y`; y in percent or points."""
        ends = {"low": self.low, "high": self.high}
        scaled = {y: self.y, **{k: v for k, v in ends.items() if v is not None}}
        return {
            "marks": self.title,
            **({} if self.names is None else {"name": self.names}),
            x: self.x,
            **{name: 100 * np.asarray(values) for name, values in scaled.items()},
        }


class Row(NamedTuple):
    """A value in a row, which several levels may share, with the ends of its interval.

    `other`: a second value, as a hollow mark joined to the first. `chance`: mean, lowest and
    highest that random directions reach, and that permuted labels do.
    """

    title: str
    level: str
    value: float
    low: float = np.nan
    high: float = np.nan
    other: float = np.nan
    chance: tuple[tuple[float, float, float], ...] = ()

    def columns(self) -> dict[str, ArrayLike]:
        """The row as columns; those of chance are named after what it is."""
        chance = {
            f"{what}, {of}": value
            for (what, *_), found in zip(_CHANCE, self.chance, strict=False)
            for of, value in zip(("mean", "lowest", "highest"), found, strict=True)
        }
        values = {"value": self.value, "low": self.low, "high": self.high, "other": self.other}
        known = {name: value for name, value in values.items() if value == value}
        return {"of": self.title, "level": self.level, **known, **chance}


def scatter(
    shown: Mapping[str, Sequence[Marks]],
    ylabel: str,
    xlabel: str = "",
    line: float | None = None,
) -> Drawing:
    """Fractions, drawn in points, against a quantity of each model.

    A panel for each title, which is the label of the x axis if `xlabel` is empty. `line`: a value
    of x that is marked.
    """
    titles = shown if xlabel else [""] * len(shown)
    figure, grid = style.panels(titles, min(2, len(shown)), 2.6, sharey=True)
    told = []
    for axes, (title, models) in zip(grid.flat, shown.items(), strict=False):
        for m in models:
            _draw(axes, m)
            if len(models) == np.size(m.x) * len(models):
                robustness = span(np.ravel(m.y), points)
                told.append(f"{title}, {m.title}: {digits(np.ravel(m.x)[0])}, {robustness}")
        axes.axhline(0, color=style.INK, linewidth=0.8)
        if line is not None:
            axes.axvline(line, color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set(xlabel=xlabel or title)
        x, y = (np.concatenate([np.ravel(getattr(m, side)) for m in models]) for side in "xy")
        known = np.isfinite(x)
        told.append(
            f"{title}: {known.sum()} marks, rank correlation "
            f"{rank_correlation(x[known], y[known]):.2f}"
        )
    figure.supylabel(ylabel, fontsize=9)
    style.legend(figure, grid[0, 0])
    data = style.stacked(
        {"panel": title} | m.rows(xlabel or "value", ylabel)
        for title, models in shown.items()
        for m in models
    )
    return Drawing(figure, minus(f"Scatter plots, {ylabel}. {'; '.join(told)}."), data)


def strips(places: Sequence[str], models: Sequence[Marks], ylabel: str, line: float = 0) -> Drawing:
    """Fractions, drawn in percent or points, at places along the x axis, levels side by side.

    `models`: x are numbers of `places`. `line`: a horizontal one, in percent.
    """
    figure, axes = style.new_figure(height=3.8)
    looks = list(dict.fromkeys((m.level, m.look == "hollow") for m in models))
    offsets = dict(zip(looks, np.linspace(-0.24, 0.24, len(looks)), strict=True))
    for m in models:
        _draw(axes, m._replace(x=np.asarray(m.x) + offsets[m.level, m.look == "hollow"]))
    axes.axhline(line, color=style.INK, linewidth=1, linestyle="--" if line else "-")
    axes.set_xticks(range(len(places)), places, fontsize=10 if len(places) < 6 else 8)
    axes.set(ylabel=ylabel)
    style.legend(figure, axes)
    told = []
    for m in models:
        x, y = np.ravel(m.x), 100 * np.ravel(m.y)
        means = (f"{p} {y[x == n].mean():.1f}" for n, p in enumerate(places) if n in x)
        told.append(f"{m.title}: {', '.join(means)}")
    alt = f"Dot plot, {ylabel}, means. {'; '.join(told)}."
    at = np.array([place.replace("\n", " ") for place in places])
    data = style.stacked(
        m._replace(x=at[np.ravel(m.x).astype(int)]).rows("at", ylabel) for m in models
    )
    return Drawing(figure, minus(alt.replace("\n", " ")), data)


def rows(
    shown: Mapping[str, Sequence[Row]],
    xlabel: str = "",
    lines: Iterable[float] = (0,),
    levels: Edition | None = None,
    log: bool = False,
) -> Drawing:
    """Values with intervals in rows, a panel for each title, which may be that of the x axis.

    Bars at what chance gives: above a mark for random directions, below for permuted labels, with
    strokes at their means. `lines`: vertical ones. `levels`: the edition in whose words a legend
    names the levels; without, there is none. `log`: a log axis for x.
    """
    names = [list(dict.fromkeys(row.title for row in own)) for own in shown.values()]
    figure, grid = style.new_figure(
        len(shown),
        width=7.2 if len(shown) < 2 else 8.4,
        height=1.4 + 0.3 * max(map(len, names)),
        squeeze=False,
        sharey=all(own == names[0] for own in names),
    )
    told = []
    for axes, titles, (panel, own) in zip(grid[0], names, shown.items(), strict=True):
        for row in own:
            place, colour = (
                len(titles) - 1 - titles.index(row.title),
                LEVEL_STYLES[row.level].colour,
            )
            for chance, look in zip(row.chance, _CHANCE, strict=False):
                _draw_chance(axes, chance, place, *look)
            axes.hlines(place, row.low, row.high, color=colour, linewidth=1.4)
            axes.plot([row.other, row.value], [place] * 2, color=colour, linewidth=1)
            _draw(axes, Marks("", row.level, row.other, place, look="hollow"), 1)
            _draw(axes, Marks("", row.level, row.value, place), 1)
            means = [mean for mean, *_ in row.chance]
            values = [v for v in (row.value, row.low, row.high, row.other, *means) if v == v]
            told += [
                f"{row.title}{', ' * bool(panel)}{panel}: {', '.join(map(digits, values))}"
            ] * bool(values)
        for line in lines:
            axes.axvline(line, color=style.INK, linewidth=0.8)
        axes.set_yticks(range(len(titles)), titles[::-1])
        axes.set(xlabel=xlabel or panel, title=panel if xlabel else "")
        if log:
            values = [v for row in own for v in (row.value, row.other) if v == v]
            style.log_scale(axes.xaxis, min(values), max(values))
    if levels:
        for level in dict.fromkeys(row.level for own in shown.values() for row in own):
            _draw(grid[0, 0], Marks(level_title(cast(Level, level), levels), level, [], []))
    style.legend(figure, grid[0, 0])
    data = style.stacked(
        {"panel": panel or xlabel} | row.columns() for panel, own in shown.items() for row in own
    )
    return Drawing(figure, minus(f"Dot plots. {'; '.join(told)}."), data)


#: What chance is, how far from the row it is drawn, and in which colour and width.
_CHANCE = (("random directions", 0.24, style.MUTED, 4), ("permuted labels", -0.24, style.INK, 2))


def _draw_chance(
    axes: Axes, found: Sequence[float], place: int, what: str, shift: float, grey: str, width: int
) -> None:
    """Lowest to highest as a bar, the mean as a stroke; labelled in the last row only."""
    label = None if place else what
    axes.plot(
        found[1:],
        [place + shift] * 2,
        color=grey,
        linewidth=width,
        alpha=0.6,
        label=label,
        solid_capstyle="butt",
    )
    axes.plot(found[0], place + shift, "|", color=grey, markersize=7)


def _draw(axes: Axes, marks: Marks, scale: float = 100) -> None:
    """Marks in their level's colour and marker, y and the intervals times `scale`."""
    _, colour, marker = LEVEL_STYLES[marks.level]
    looks: dict[str, dict[str, Any]] = {
        "filled": {"facecolor": colour, "edgecolor": style.PAPER, "linewidth": 0.8, "s": 46},
        "hollow": {"facecolor": "none", "edgecolor": colour, "linewidth": 1.4, "s": 46},
        "small": {"facecolor": colour, "linewidth": 0, "alpha": 0.6, "s": 14},
    }
    x, y = np.asarray(marks.x), scale * np.asarray(marks.y)
    if marks.low is not None and marks.high is not None:
        ends = scale * np.asarray(marks.low), scale * np.asarray(marks.high)
        axes.vlines(x, *ends, color=colour, linewidth=0.9)
    axes.scatter(x, y, marker=marker, zorder=4, label=marks.title or None, **looks[marks.look])
