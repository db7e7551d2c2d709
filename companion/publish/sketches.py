"""Pictures that explain effective robustness: a loss, an arrow, three baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.images import sets
from analysis.images.emoji import Emoji
from companion.measurements.effective_robustness import View
from companion.publish import plots, style
from companion.publish.robustness import ER, WORDS
from companion.publish.style import INK, LEVEL_STYLES, Drawing, percent, points

ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.8}


def one_in_styles(data: Emoji, concept: str, accuracy: Mapping[str, pd.Series[float]]) -> Drawing:
    """One concept in the training style and in others, and what models recognise in each style.

    `accuracy`: the name of a model → its accuracy, a fraction, by style, the training style first.
    """
    styles = list(next(iter(accuracy.values())).index)
    places = data.table.reset_index().set_index(["style", "concept"])["index"]
    figure, axes = style.new_figure(width=5.3, height=2.5)
    axes.set_axis_off()
    for place, art in enumerate(styles):
        axes.imshow(data.images[places[art, concept]], extent=(place, place + 0.8, 0, 0.8))
        title = sets.styles()[art].title.replace(" ", "\n")
        axes.text(place + 0.4, 0.88, title, ha="center", va="bottom")
    for height, (name, of_style) in zip((-0.2, -0.42), accuracy.items(), strict=True):
        axes.text(-0.15, height, name, ha="right", va="center")
        for place, value in enumerate(of_style):
            axes.text(place + 0.4, height, f"{percent(value)} %", ha="center", va="center")
    axes.text(-0.15, 0.4, "one object,\none class", ha="right", va="center")
    for first, last, seen in ((0, 0, "training style"), (1, len(styles) - 1, "unseen styles")):
        axes.hlines(-0.66, first, last + 0.8, color=style.MUTED, linewidth=0.9)
        axes.text((first + last + 0.8) / 2, -0.72, seen, ha="center", va="top")
    axes.set(xlim=(-1.1, len(styles)), ylim=(-0.95, 1.5), aspect="equal")
    name = str(data.table.loc[data.table["concept"] == concept, "name"].iloc[0])
    rows = (
        f"{model}: {', '.join(f'{art} {percent(value)} %' for art, value in of_style.items())}"
        for model, of_style in accuracy.items()
    )
    frame = pd.DataFrame(accuracy).mul(100).rename_axis("style").reset_index()
    alt = f"A drawing of {name} in {len(styles)} styles. Accuracy in each style: {'; '.join(rows)}."
    return Drawing(figure, alt, frame)


def arrow(view: View, model: pd.Series[Any], name: str) -> Drawing:
    """One model's effective robustness as an arrow from the reference line up to its mark."""
    x, y = (f"{label} (%)" for label in WORDS[view.shifts][:2])
    expects = float(view.reference.predict(model["imagenet"]))
    inside, low, high = (100 * value for value in (model["imagenet"], expects, model["shifted"]))
    names = {
        f"expected of a model with {inside:.1f} %: {low:.1f} %": low,
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
        plots.write(axes, text, (inside, height), (-12, 0), ha="right", va="center")
    axes.set(xlim=(30, 90), ylim=(10, 80))
    return drawing


def bars(er: Mapping[str, float], level: str) -> Drawing:
    """Effective robustness of one model against several baselines, a bar for each."""
    figure, axes = style.new_figure(width=5.3, height=0.6 + 0.5 * len(er))
    names, lengths = list(er), 100 * np.array(list(er.values()))
    drawn = axes.barh(names, lengths, 0.55, color=LEVEL_STYLES[level].colour)
    axes.bar_label(drawn, [points(value) for value in er.values()], padding=5)
    axes.set(xlabel=ER, xlim=(0, 1.15 * lengths.max()))
    axes.invert_yaxis()
    axes.grid(visible=False)
    text = "; ".join(f"{name} {points(value)}" for name, value in er.items())
    return Drawing(figure, f"Bars, {ER}: {text}.", pd.DataFrame({"baseline": names, ER: lengths}))
