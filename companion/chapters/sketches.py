"""Pictures that explain robustness: a loss, an arrow, models in cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.base.texts import CompanionError, suggestion
from analysis.families.registry import load_families
from companion.engine import plots, style
from companion.engine.style import INK, Drawing, points
from companion.engine.words import put
from companion.measurements.effective_robustness import WORDS, View
from companion.sources import emoji, sets
from companion.sources.emoji import Emoji

ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.8}


def check_concept(_: str, concept: str) -> None:
    """Raise CompanionError if every style does not draw an emoji of that code point."""
    table = emoji.load().table
    drawn = table.groupby("concept")["style"].nunique()
    known = [*drawn.index[drawn == table["style"].nunique()]]
    if concept not in known:
        raise CompanionError(
            f"no emoji {concept!r} is in all styles: {suggestion(concept, known)}."
        )


def check_family(_: str, name: str) -> None:
    """Raise CompanionError if the pocket lab has no family of that name."""
    if name not in (known := load_families("pocket")):
        raise CompanionError(f"the pocket lab has no family {name!r}: {suggestion(name, known)}.")


def one_in_styles(data: Emoji, concept: str, accuracy: Mapping[str, pd.Series[float]]) -> Drawing:
    """One concept in the training style and in others, and below what models lose from it to them.

    `accuracy`: the name of a level → its accuracy, a fraction, by style, the training style first.
    """
    frame = 100 * pd.DataFrame(accuracy).rename_axis("style")
    places = data.table.reset_index().set_index(["style", "concept"])["index"]
    name = data.table.loc[data.table["concept"] == concept, "name"].iloc[0]
    rows = (f"{model} {', '.join(map('{:.1f}'.format, of))}" for model, of in frame.items())
    alt = f"A {name}, as {', '.join(frame.index)} draw it. Accuracy (%) in each: {'; '.join(rows)}."
    height = [1.0, 2.2]
    figure, (above, below) = style.new_figure(
        rows=2, height=sum(height) + 0.4, height_ratios=height
    )
    above.axis("off")
    for n, art in enumerate(frame.index):
        inset = above.inset_axes((n / len(frame), 0, 1 / len(frame), 0.72))
        inset.imshow(data.images[places[art, concept]], interpolation="none")
        inset.axis("off")
        title = sets.styles()[art].title.replace(" ", "\n")
        inset.set_title(title, fontsize=9, loc="center")
    highest = frame.iloc[1:].mean().idxmax()
    for model, of in frame.items():
        look = style.LEVEL_STYLES[str(model).replace("-", "_")]
        inside, outside = of.iloc[0], of.iloc[1:]
        for value in outside:
            below.plot([0, 1], [inside, value], color=look.colour, linewidth=0.7, alpha=0.5)
        ends = [inside, outside.mean()]
        below.plot([0, 1], ends, color=look.colour, marker=look.marker, linewidth=2.4)
        for x, value, offset, side in zip((0, 1), ends, (-8, 8), ("right", "left"), strict=True):
            words = f"{value:.1f} %" + (f", {model}" if x else "")
            away = "center" if not x else "bottom" if model == highest else "top"
            put(below, words, (x, value), (offset, 0), ha=side, va=away)
    below.set_xticks([0, 1], ["training style", "unseen styles"])
    below.set(xlim=(-0.35, 1.7), ylim=(0, None), ylabel="accuracy (%)")
    return Drawing(figure, alt, frame.reset_index())


def arrow(view: View, model: pd.Series[Any], name: str) -> Drawing:
    """One model's effective robustness as an arrow from the reference line up to its mark."""
    x, y = (f"{label} (%)" for label in WORDS[view.shifts][:2])
    expects = float(view.reference.predict(model["imagenet"]))
    inside, low, high = (100 * value for value in (model["imagenet"], expects, model["shifted"]))
    names = {
        f"expected of a model\nwith {inside:.1f} %: {low:.1f} %": low,
        f"{name}: {high:.1f} %": high,
        f"{points(model['er'])} points": (low + high) / 2,
    }
    ends = pd.DataFrame({"of": [*names][:2], "level": ["supervised", model["level"]]})
    ends = ends.assign(look=["hollow", "filled"], **{x: inside, y: [low, high]})
    drawing = plots.scatter(ends, x, y, height=3.2)
    (axes,) = drawing.figure.axes
    at = np.linspace(0.3, 0.9, 100)
    axes.plot(100 * at, 100 * view.reference.predict(at), color=INK, linestyle=(0, (4, 3)))
    shrunk = ARROW | {"shrinkA": 5, "shrinkB": 6}
    axes.annotate("", (inside, high), (inside, low), arrowprops=shrunk)
    for text, height in names.items():
        put(axes, text, (inside, height), (-12, 0), ha="right", va="center")
    axes.set(xlim=(30, 90), ylim=(10, 80))
    return drawing


def in_cells(frame: pd.DataFrame, x: str, y: str, words: Mapping[tuple[str, str], str]) -> Drawing:
    """A cell for each pair of values of two columns, with a mark for each row in it.

    `words`: what is written in a cell, by its values of x and y.
    """
    columns, rows = (
        sorted({*frame[name], *(cell[place] for cell in words)}) for place, name in ((0, x), (1, y))
    )
    place = frame.groupby([x, y]).cumcount()
    at_x = frame[x].map(columns.index) + 0.12 * (place % 7 - 3)
    at_y = frame[y].map(rows.index) + 0.2 * (1 - place // 7)
    drawing = plots.scatter(frame.assign(**{x: at_x, y: at_y}), x, y, height=0.9 * len(rows))
    (axes,) = drawing.figure.axes
    for (column, row), text in words.items():
        cell = columns.index(column), rows.index(row)
        axes.annotate(text, cell, ha="center", va="center", fontsize=10, color=style.MUTED)
    for axis, values in ((axes.xaxis, columns), (axes.yaxis, rows)):
        axis.set_ticks(range(len(values)), labels=values)
        axis.set_ticks([n + 0.5 for n in range(-1, len(values))], minor=True)
    axes.grid(False)
    axes.grid(True, which="minor", color=style.MUTED)
    axes.tick_params(which="both", length=0)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    counts = frame.groupby([x, y]).size().reset_index().itertuples(index=False)
    parts = (f"{x} {a}, {y} {b}: {n}" for a, b, n in counts)
    return Drawing(drawing.figure, f"Models in cells. {'; '.join(parts)}.", frame)
