"""Pictures that no axes measure: cells with marks, a chain of boxes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from companion.publish import style
from companion.publish.style import LEVEL_STYLES, Drawing


def grid(frame: pd.DataFrame, x: str, y: str, words: Mapping[tuple[str, str], str]) -> Drawing:
    """A cell for each pair of values of two columns, with a mark for each row in it.

    `words`: what is written in a cell, by its values of x and y. Of `frame` the columns
    `level` and `series` give the marks and the legend, and `of` their names.
    """
    columns, rows = (
        sorted({*frame[name], *(cell[place] for cell in words)}) for place, name in ((0, x), (1, y))
    )
    place = frame.groupby([x, y]).cumcount()
    at_x = frame[x].map(columns.index) + 0.12 * (place % 7 - 3)
    at_y = frame[y].map(rows.index) + 0.2 * (1 - place // 7)
    figure, axes = style.new_figure(width=6.4, height=1.2 + 0.9 * len(rows))
    for (series, level), some in frame.groupby(["series", "level"], sort=False):
        _, colour, marker = LEVEL_STYLES[str(level)]
        places = at_x[some.index], at_y[some.index]
        drawn = axes.scatter(*places, s=46, color=colour, marker=marker, label=series)
        drawn.set_urls(style.TOOLTIP + some["of"])
    for (column, row), text in words.items():
        cell = columns.index(column), rows.index(row)
        axes.annotate(text, cell, ha="center", va="center", fontsize=10, color=style.MUTED)
    for axis, values in ((axes.xaxis, columns), (axes.yaxis, rows)):
        axis.set_ticks(range(len(values)), labels=values)
        axis.set_ticks([n + 0.5 for n in range(-1, len(values))], minor=True)
    axes.grid(False)
    axes.grid(True, which="minor", color=style.MUTED)
    axes.tick_params(which="both", length=0)
    ends = (-0.5, len(columns) - 0.5), (-0.5, len(rows) - 0.5)
    axes.set(xlabel=x, ylabel=y, xlim=ends[0], ylim=ends[1])
    style.legend(figure, axes)
    counts = frame.groupby([x, y]).size().reset_index(name="marks")
    parts = (f"{x} {a}, {y} {b}: {n}" for a, b, n in counts.itertuples(index=False))
    return Drawing.of(figure, "Models in cells", parts, frame)


def chain(steps: Mapping[str, str]) -> Drawing:
    """Boxes below one another, each with what was tested of the arrow to the next, "" at the last.

    The arrow to a box with a question mark is dashed. The drawing is narrow, so that its words stay
    legible on a phone.
    """
    figure, axes = style.new_figure(width=3.8, height=1.25 * len(steps) - 0.4)
    axes.set(xlim=(0, 1), ylim=(0.7 - len(steps), 0.4))
    axes.axis("off")
    box = {"boxstyle": "round,pad=0.5", "facecolor": "none", "edgecolor": style.MUTED}
    arrow = {"arrowstyle": "-|>", "color": style.INK, "linewidth": 1.4}
    names = [*steps, ""]
    for place, (name, tested) in enumerate(steps.items()):
        arrow["linestyle"] = (0, (3, 3)) if names[place + 1].endswith("?") else "-"
        axes.text(0.22, -place, name, ha="center", va="center", fontsize=11, bbox=box)
        if tested:
            axes.annotate("", (0.22, -place - 0.78), (0.22, -place - 0.22), arrowprops=arrow)
            axes.text(0.3, -place - 0.5, tested, va="center", fontsize=10)
    parts = (f"{name}, then: {tested}" if tested else name for name, tested in steps.items())
    return Drawing(figure, f"A chain. {' '.join(parts)}.".replace("\n", " "))
