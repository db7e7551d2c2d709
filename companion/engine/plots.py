"""What several notebooks draw alike, on axes that the notebook made.

A notebook begins a figure with ``plt.subplots()``, or with `panels`, and looks like the book after
``plt.style.use("companion.engine.book")``. The functions between `panels` and `lines` draw on its
axes.

Those after them make whole figures, for notebooks that do not draw themselves yet. Their frame has
a row for each mark, or for each step of a line, and is handed on as the figure's data. These
columns mean the same everywhere; all but `of` may be absent:

- `panel`: in which axes, its title. `of`: what the mark or line is of, its name.
- `level`: decides colour and marker (`style.LEVEL_STYLES`; `style.CONTRASTED` for what is none).
  `series`: the name in the legend.
- `look`: "filled", "hollow" or "small".
- `low`, `high`: the ends of an interval. `note`: words at the right of a row.

All other columns are quantities under the names that label the axes, in the units that are drawn.
Names of marks are tooltips in the book. What no frame describes is drawn in `figures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion.engine import style
from companion.engine.style import LEVEL_STYLES, Drawing
from companion.engine.words import put, write_at_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dash = str | tuple[float, ...]
Panel = tuple["Axes", str, pd.DataFrame]
#: Names of lines through the axes, and where they are.
Places = Mapping[str, float]
#: What a frame without these columns means, and marks of no level.
DEFAULTS = {"panel": "", "of": "", "level": "", "series": "", "look": "filled"}
NO_LEVEL = style.LevelStyle("", style.MUTED, "o")
STYLES = LEVEL_STYLES | style.CONTRASTED
NOWHERE: Places = MappingProxyType({})
#: What quantities are called whose axes are logarithmic in every figure, short or as axes are.
LOGARITHMIC = {*style.LOGARITHMIC, *style.LOGARITHMIC.values()}
#: Letters of a row's name that fit at the side of one panel, and of two.
LONGEST_NAMES = (30, 22)
#: Inches of a row of marks.
ROW = 0.36


class Stroke(NamedTuple):
    """A line's colour, dashes ("" for none) and width."""

    colour: str
    dash: Dash = ""
    width: float = 1.8

    @property
    def line(self) -> dict[str, Any]:
        """Colour and dashes as matplotlib's options."""
        return {"color": self.colour, "linestyle": (0, self.dash) if self.dash else "-"}


#: Dashes of the first, second, … line of one level in one figure.
DASHES: tuple[Dash, ...] = ("", (4, 2), (1, 1), (5, 1, 1, 1))
#: How marks of a `look` differ from filled ones: size, face, edge, width of the edge, opacity.
LOOKS: dict[str, dict[str, Any]] = {
    "filled": {"s": 46, "edgecolor": style.PAPER, "linewidth": 0.8},
    "hollow": {"s": 46, "facecolor": "none", "linewidth": 1.4},
    "small": {"s": 14, "linewidth": 0, "alpha": 0.6},
}


def panels(
    titles: Iterable[str], columns: int = 2, height: float = 2.6, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """A figure with axes for each title, in a list; `height` inches each, `options` of `subplots`.

    No more than two are side by side, which a phone shows legibly. A title that would not fit is
    broken, if it can be at a colon. Without titles the list is empty.
    """
    from matplotlib import pyplot as plt

    named = list(titles)
    columns = min(columns, 2, len(named)) or 1
    rows = -(-len(named) // columns) or 1
    options |= {"figsize": (style.WIDTH, 1.2 + height * rows), "squeeze": False}
    figure, grid = plt.subplots(rows, columns, **options)
    every = grid.ravel()
    for axes in every[len(named) :]:
        axes.set_visible(False)
    for axes, title in zip(every, named, strict=False):
        fits = style.LONGEST_TITLE // columns
        lines = [title] if len(title) <= fits else title.replace(": ", ":\n").split("\n")
        axes.set_title("\n".join(fill(line, fits) for line in lines), fontsize=10)
    return figure, every[: len(named)]


def looks(frame: pd.DataFrame, by: str = "title") -> dict[str, Any]:
    """Options of seaborn's `lineplot`: the colour of its `level` for each `by`, and dashes.

    The lines of one level differ by their dashes. Lines are drawn as they are, nothing is averaged.
    """
    every = dict(_looks_by_level(frame, by))
    return {
        "palette": {name: look.colour for name, look in every.items()},
        "dashes": {name: look.dash or "" for name, look in every.items()},
        "estimator": None,
        "sort": False,
        "linewidth": 1.8,
    }


def curves(
    axes: Axes, frame: pd.DataFrame, x: str, y: str, strokes: Mapping[str, Stroke], **options: Any
) -> None:
    """`y` against `x`: a line for each `of` in its stroke, with a band from `low` to `high`.

    `low` and `high` may be absent. `options` go to `seaborn.lineplot`.
    """
    _draw_lines(axes, frame, x, y, strokes, **options)
    axes.set(xlabel=x, ylabel=y)


def dots(axes: Axes, frame: pd.DataFrame, x: str, y: str) -> None:
    """A mark for each row, in the look of its `level`, with an interval of `y`.

    It goes from `low` to `high`. The columns `look` ("filled", "hollow" or "small"), `series` (the
    name in the legend), `of` (the mark's tooltip), `low` and `high` may be absent.
    """
    rows = frame.assign(**{n: default for n, default in DEFAULTS.items() if n not in frame})
    for _, row in rows.dropna(subset=["low"]).iterrows() if "low" in rows else ():
        axes.vlines(row[x], row["low"], row["high"], color=_colour(row), linewidth=0.9)
    for kind, marks in rows.groupby(["level", "look", "series"], sort=False):
        _scatter(axes, kind, marks[x], marks[y], marks["of"])
    axes.set(xlabel=x, ylabel=y)


def on_logit_axes(
    axes: Axes,
    inside: pd.DataFrame,
    frame: pd.DataFrame,
    lines: Mapping[str, Callable[[Any], Any]],
    refits: Sequence[Any],
) -> None:
    """Lines on a plane of two accuracies in percent, with the spacing of logits.

    The axes' labels name the columns of the frames; all of `inside` fits. `lines`: name → what each
    predicts from fractions, the first with the 95 % band of `refits` (with a `predict` each).
    """
    names = axes.get_xlabel(), axes.get_ylabel()
    inside = frame if inside.empty else inside
    lowest = 0.85 if len(inside) == len(frame) else 0.6
    ends = [(lowest * inside[of].min(), 100 - 0.85 * (100 - frame[of].max())) for of in names]
    at = np.linspace(*ends[0], 300)
    band = np.percentile([line.predict(at / 100) for line in refits], [2.5, 97.5], axis=0)
    axes.fill_between(at, *(100 * band), color=style.INK, alpha=0.18, linewidth=0)
    for (name, expects), dash in zip(lines.items(), ("-", (0, (4, 3))), strict=False):
        look: Any = {"color": style.INK, "linewidth": 1.2, "linestyle": dash}
        axes.plot(at, 100 * expects(at / 100), label=name, **look)
    for axis, limits in zip((axes.xaxis, axes.yaxis), ends, strict=True):
        style.logit_scale(axis, *limits)


def dots_in_rows(
    panels: Sequence[Axes],
    frame: pd.DataFrame,
    value: str,
    *,
    other: str = "",
    note: str = "",
    levels: Mapping[str, str] = MappingProxyType({}),
    dodge: float = 0,
) -> None:
    """`value` in rows, one for each `of`, with intervals from `low` to `high`; names at the left.

    `panels`: axes that share the rows, one for each `panel` of the frame. The other columns are
    those of `dots`. `other`: a second quantity as a hollow mark, joined to the first. `note`: the
    heading of the column `note`, which is written at the right. `levels`: names of levels, if they
    are shown. `dodge`: how far levels that share a row are apart, in rows. A colon in a name breaks
    the line. The figure is as tall as its rows need.
    """
    rows = frame.assign(**{n: default for n, default in DEFAULTS.items() if n not in frame})
    names, order = (list(dict.fromkeys(rows[column])) for column in ("of", "level"))
    place, level = ([*map(of.index, rows[c])] for of, c in ((names, "of"), (order, "level")))
    shift = dodge * (np.array(level) - (len(order) - 1) / 2)
    rows = rows.assign(place=len(names) - 1.0 - np.array(place) - shift)
    for axes, (_, some) in zip(panels, rows.groupby("panel", sort=False), strict=False):
        _draw_rows(axes, some, value, other, levels)
        for at, words in zip(some["place"], some["note"] if note else [], strict=False):
            _write_outside(axes, words, at)
        axes.set(xlabel="" if other else value)
        axes.label_outer()
    if names:
        figure: Any = panels[0].figure
        grid = panels[0].get_subplotspec()
        height = 1.2 + ROW * len(names) * (grid.get_gridspec().nrows if grid else 1)
        figure.set_figheight(height * (1.25 if _name_rows(panels, names) else 1))
        _write_outside(panels[-1], note, len(names) - 0.4)


def stems(axes: Axes, values: Any, level: str, least: float = 6) -> None:
    """A stem from 0 to each value (coordinates,); named are the tallest, where one stands out.

    These are at least `least` times as large as the mean and a fifth of the largest.
    """
    size, colour = np.abs(values), LEVEL_STYLES[level].colour
    axes.vlines(range(len(values)), 0, values, color=colour, linewidth=0.7)
    for at in np.flatnonzero((size >= least * size.mean()) & (size > size.max() / 5)):
        write_at_mark(axes, str(at), (float(at), values[at]))
    axes.set(xlim=(-4, len(values) + 3), xlabel="coordinate")


def heat_map(axes: Axes, values: Any, coordinates: Sequence[int], limit: float) -> Any:
    """Images (rows) at some coordinates, in colours from −`limit` to `limit`; for the colour bar.

    Left of the line is the first half of the coordinates, and the first of all is named.
    """
    drawn = axes.imshow(values, aspect="auto", cmap="PuOr_r", vmin=-limit, vmax=limit)
    axes.axvline(len(coordinates) / 2 - 0.5, color=style.ON_HEAT, linewidth=1)
    axes.grid(False)
    axes.set_xticks([0], [str(coordinates[0])])  # all names would be too small to read
    axes.set(xlabel="coordinate", ylabel="image")
    return drawn


def lines(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    looks: Mapping[str, Stroke] | None = None,
    log: str = "",
    ticks: int = 9,
    verticals: Places = NOWHERE,
    horizontals: Places = NOWHERE,
    columns: int = 3,
    height: float = 2.6,
    **options: Any,
) -> Drawing:
    """Quantity `y` against `x`: a line for each `of`, a band where there are `low` and `high`.

    `looks`: of each `of`, otherwise by level. `log`: "x", "y" or both, besides `LOGARITHMIC`.
    `verticals`, `horizontals`: lines at these values, with their names. `options` go to
    `seaborn.lineplot`. A column `quantity` labels each panel's y axis.
    """
    by_name = dict(looks or _looks_by_level(frame))
    figure, panels = _panels(frame, columns, height, sharex=True)
    for axes, _, rows in panels:
        _draw_lines(axes, rows, x, y, by_name, **options)
        lines_at(axes, verticals, horizontals)
        axes.set(xlabel=x, ylabel=rows["quantity"].iloc[0] if "quantity" in rows else y)
    _finish(panels, log, ticks)
    return Drawing.of(figure, "Lines", frame, x, y, says=style.steps)


def marks(
    frame: pd.DataFrame,
    value: str,
    *,
    other: str = "",
    label: str = "",
    note: str = "",
    verticals: Places = NOWHERE,
    limits: tuple[float, float] | None = None,
    levels: Mapping[str, str] | None = None,
    dodge: float = 0,
    height: float = 0.36,
) -> Drawing:
    """Quantity `value` in rows, one for each `of`, with intervals from `low` to `high`.

    Panels are side by side and share the rows. Where `value` is "value" the panel's title is the
    name of its quantity. `other`: a second quantity as a hollow mark, joined to the first; then
    the names of both are shown, and `label` is the axis. `note`: the heading of the notes.
    `levels`: names of levels, if they are shown. `dodge`: how far levels that share a row are
    apart, in rows. A colon in a name breaks the line.
    """
    names, order = (list(dict.fromkeys(frame.get(c, [""]))) for c in ("of", "level"))
    alike, tall = limits is not None or value != "value", height * len(names)
    figure, panels = _panels(frame, 2, tall, sharey=True, sharex=alike)
    for axes, panel, rows in panels:
        shift = dodge * (rows["level"].map(order.index) - (len(order) - 1) / 2)
        places = len(names) - 1 - rows["of"].map(names.index) - shift
        _draw_rows(axes, rows.assign(place=places), value, other, levels or {})
        for at, words in zip(places, rows["note"] if note else [], strict=False):
            _write_outside(axes, words, at)
        quantity = label or (value if value != "value" else panel)
        axes.set(xlabel=quantity, ylabel="", title="" if quantity == panel else panel)
        if limits:
            axes.set_xlim(limits)
        lines_at(axes, verticals, NOWHERE)
        if len(names) > 1 and (note or frame.get("panel", pd.Series()).nunique() > 1):
            axes.locator_params(axis="x", nbins=2 if limits else 4)
    _finish(panels, "", 4 if note or len(panels) > 1 else 5)
    if _name_rows([axes for axes, _, _ in panels], names):
        figure.set_figheight(1.25 * figure.get_figheight())
    _write_outside(panels[-1][0], note, len(names) - 0.4)
    return Drawing.of(figure, "Dot plot", frame, *filter(None, (value, other)), says=style.ranges)


def scatter(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    log: str = "",
    ticks: int = 6,
    verticals: Places = NOWHERE,
    horizontals: Places = NOWHERE,
    labels: str = "",
    columns: int = 2,
    height: float = 3.2,
) -> Drawing:
    """Quantity `y` against `x`, a mark for each row, with intervals of y from `low` to `high`.

    `labels`: a column of words that are written at the marks, "" at those that bear none. A column
    `series` is the legend. `log`: "x", "y" or both. Where `x` is "value" the panel's title is the
    name of its quantity; then `verticals` are of those with logarithmic axes.
    """
    alike = x != "value"
    figure, panels = _panels(frame, columns, height, sharex=alike, sharey=True)
    for axes, panel, rows in panels:
        lines_at(axes, verticals if alike or panel in LOGARITHMIC else NOWHERE, horizontals)
        for _, row in rows.dropna(subset=["low"]).iterrows() if "low" in rows else ():
            axes.vlines(row[x], row["low"], row["high"], color=_colour(row), linewidth=0.9)
        for kind, marks in rows.groupby(["level", "look", "series"], sort=False):
            _scatter(axes, kind, marks[x], marks[y], marks["of"])
        axes.set(xlabel=x if alike else style.LOGARITHMIC.get(panel, panel), ylabel=y)
        axes.margins(x=0.28 if labels else 0.05)  # room for labels at the sides
        if not alike:
            axes.set_title("")
    _finish(panels, log, ticks)
    for axes, _, rows in panels if labels else ():
        for _, row in rows[rows[labels] != ""].iterrows():
            write_at_mark(axes, row[labels], (row[x], row[y]))
    return Drawing.of(figure, "Scatter plot", frame, x, y, says=style.ranges)


def _panels(
    frame: pd.DataFrame, columns: int, height: float, **options: Any
) -> tuple[Figure, list[Panel]]:
    """The figure, and of each panel the axes, the title and the rows, in order."""
    by = ["panel", "quantity"] if "quantity" in frame else ["panel"]
    missing = {name: value for name, value in DEFAULTS.items() if name not in frame}
    parts = list(frame.assign(**missing).groupby(by, sort=False))
    names = [str(key[0]) for key, _ in parts]
    titles = ["" if name == last else name for name, last in zip(names, ["", *names], strict=False)]
    figure, grid = style.panels(titles, min(columns, len(names)), height, **options)
    rows = (part for _, part in parts)
    return figure, list(zip(grid.flat, names, rows, strict=False))


def _looks_by_level(frame: pd.DataFrame, by: str = "of") -> Iterator[tuple[str, Stroke]]:
    """The lines of each level in its colour, with other dashes for the second, third, …"""
    seen = Counter[str]()
    for name, level in frame.groupby(by, sort=False)["level"].first().items():
        yield str(name), Stroke(LEVEL_STYLES[level].colour, DASHES[seen[level] % len(DASHES)])
        seen[level] += 1


def _draw_lines(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, looks: Mapping[str, Stroke], **options: Any
) -> None:
    """Each line in its look, with its band."""
    import seaborn

    options |= {"estimator": None, "sort": False, "legend": False, "ax": axes}
    for name, line in rows.dropna(subset=[y]).groupby("of", sort=False):
        look = looks[str(name)]
        options |= look.line | {"linewidth": look.width}
        seaborn.lineplot(line, x=x, y=y, label=name, **options)
        if "low" in rows:
            low, high = line["low"].astype(float), line["high"].astype(float)
            axes.fill_between(line[x], low, high, color=look.colour, alpha=0.18, linewidth=0)


def _colour(row: pd.Series) -> str:
    return STYLES.get(row["level"], NO_LEVEL).colour


def _scatter(axes: Axes, kind: Any, x: Any, y: Any, names: Iterable[str] = ()) -> None:
    """Marks of one kind (level, look and name of the series); their names are tooltips."""
    level, look, title = kind
    _, colour, marker = STYLES.get(level, NO_LEVEL)
    options = {"facecolor": colour, "edgecolor": colour, "marker": marker} | LOOKS[look]
    drawn = axes.scatter(x, y, zorder=4, label=title or None, **options)
    if any(names):
        drawn.set_urls([style.TOOLTIP + str(name) for name in names])


def _name_rows(panels: Sequence[Axes], names: Sequence[str]) -> bool:
    """Write rows' names at the y axis, the first at the top; above the rows, then true, if long."""
    titles = [name.replace(": ", "\n", 1) for name in names]
    longest = max(len(line) for title in titles for line in title.split("\n"))
    above = longest > LONGEST_NAMES[len(panels) > 1]
    first = panels[0]
    first.set_yticks(range(len(names))[::-1], [""] * len(names) if above else titles, fontsize=9)
    first.set_ylim(-0.6, len(names) - 0.1 + 0.5 * above)
    first.tick_params(axis="y", length=0 if above else 3)
    look: dict[str, Any] = {"fontsize": 9, "va": "center", "in_layout": False, "zorder": 6}
    for axes in [first, *panels[2::2]] if above else ():
        for place, title in enumerate(reversed(titles)):
            box = {"color": style.PAPER, "pad": 0.5}
            at = axes.get_yaxis_transform()
            axes.text(0, place + 0.42, title.replace("\n", ", "), transform=at, bbox=box, **look)
    return above


def _draw_rows(
    axes: Axes, rows: pd.DataFrame, value: str, other: str, levels: Mapping[str, str]
) -> None:
    """Marks with intervals at each row's `place`."""
    for _, row in rows.iterrows():
        if "low" in row and row["low"] == row["low"]:
            ends = (row["low"], row["high"])
            axes.hlines(row["place"], *ends, color=_colour(row), linewidth=1.4, alpha=1)
        if other:
            places = [row["place"]] * 2
            axes.plot([row[value], row[other]], places, color=_colour(row), linewidth=1)
    for (level, look), some in rows.groupby(["level", "look"], sort=False):
        if other:
            _scatter(axes, (level, "hollow", other), some[other], some["place"], some["of"])
        name = value if other else levels.get(str(level), "")
        _scatter(axes, (level, look, name), some[value], some["place"], some["of"])


def _write_outside(axes: Axes, words: str, place: float) -> None:
    """Words at the right of a row."""
    put(axes, words, (1.02, place), (0, 0), xycoords=("axes fraction", "data"), va="center")


def lines_at(axes: Axes, verticals: Places, horizontals: Places) -> None:
    """Thin lines through the axes, with their names at the end: inside of the last of several.

    The first of two horizontal ones is dotted.
    """
    look: dict[str, Any] = {"color": style.INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
    for name, place in verticals.items():
        axes.axvline(place, **look)
        last = len(verticals) > 1 and place == max(verticals.values())
        offset, side = (-3 if last else 3, -1), "right" if last else "left"
        put(axes, name, (place, 1), offset, xycoords=("data", "axes fraction"), va="top", ha=side)
    for name, place in horizontals.items():
        dotted = len(horizontals) > 1 and name == next(iter(horizontals))
        axes.axhline(place, **look | ({"linestyle": ":"} if dotted else {}))
        put(axes, name, (1, place), (-2, 3), xycoords=("axes fraction", "data"), ha="right")


def _finish(panels: Sequence[Panel], logs: str, ticks: int) -> None:
    """Log axes where they are asked for, and always are; labels that the next panel repeats go.

    An axis is over all that is drawn of its quantity, and the same in all panels.
    """
    for name, is_outer in (("x", "is_last_row"), ("y", "is_first_col")):
        by_label: dict[str, list[Axes]] = {}
        for axes, _, _ in panels:
            by_label.setdefault(getattr(axes, f"get_{name}label")(), []).append(axes)
        for label, some in by_label.items():
            ends = [getattr(axes.dataLim, f"interval{name}") for axes in some]
            low, high = np.min(ends), np.max(ends)
            for axes in some if name in logs or label in LOGARITHMIC else ():
                style.log_scale(getattr(axes, f"{name}axis"), low, high, ticks)
                margin = (high / low) ** 0.05
                axes.set(**{f"{name}lim": (low / margin, high * margin)})
            for axes in some if len(by_label) == 1 else ():
                if not getattr(axes.get_subplotspec(), is_outer)():
                    axes.set(**{f"{name}label": ""})
