"""Images without the directions along which texts vary least: rows, figures and numbers.

A *pair* is one measurement and one of its sets of texts. A set with no more texts than components
leaves directions in which nothing can vary, so "no variance" may be "too few texts".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion.chapters.measured import model_title
from companion.engine import plots, style
from companion.engine.style import LEVEL_STYLES, Drawing
from companion.engine.words import put
from companion.measurements.intervals import Interval
from companion.measurements.measurement import Measurement
from companion.measurements.unread import CONTROLS, SHARE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What is known of a pair, and what was measured of it at a share.
ABOUT = ["model", "data", "family", "level", "images", "components", "kurtosis", "place", "texts"]
ABOUT += ["enough", "judged", "in_sample", "share"]
AT_SHARE = ["dropped", "energy", "leader_inside", "kurtosis_without", "kurtosis_random"]
AT_SHARE += ["kurtosis_random_lowest", "kurtosis_random_highest", "equal_without", "equal_random"]
AT_SHARE += ["mean_inside", "kurtosis_one_vector", "kurtosis_constant", "equal_one_vector"]
#: What is taken off, of which accuracy changes: column → what the quantities are called.
CHANGES = {"": "without", "one_": "one_vector", "constant_": "constant"}
COLUMNS = [f"{name}change" for name in CHANGES]
#: The controls that are `controlled` many.
AMONG_IMAGES = ("most_varying", "least_varying", "most_energy")
#: The marks of `taken_off` that are drawn with their names: short name → what is taken off.
NAMED = {
    "nothing": "nothing removed",
    "one_vector": "one vector",
    "mean": "whole mean image",
    "leader_at_zero": "dominant coordinate at 0",
    "random_part": "random directions",
}
#: Where κ is gone and accuracy stays: κ at most, and points of accuracy lost at most.
CORNER = (20.0, 2.0)


def pairs(measurements: Iterable[Measurement], shares: Sequence[float] = (SHARE,)) -> pd.DataFrame:
    """A row for each pair and share: of each measurement those texts first that are no head of it.

    `enough`: whether there are more texts than components. `in_sample`: whether those texts judge
    that chose the directions; `judged`: whether images have classes and other texts judge. `change`
    of accuracy with its interval, `one_change` without the one vector, `constant_change` less the
    constant. `chance`: the share of energy that the same number of random directions hold on
    average.
    """
    rows = []
    for m in measurements:
        names, components = m.names["text_rows"], m.counts["components"]
        classes = bool(m.value("accuracy_without").size)
        about = (model_title(m), m.data.title, m.family, m.level, m.counts["images"], components)
        for place, share in product(range(len(names)), shares):
            at = int(np.abs(m.value("shares") - share).argmin())
            # without what the texts are not, and without checksums
            texts = re.split(";|, one per", re.sub(", prompts [0-9a-f]{64}", "", names[place]))[0]
            enough = bool(m.value("text_rows")[place] > components)
            itself = bool(m.value("judged_by_itself")[place])
            pair = (m.value("kurtosis"), place, texts, enough, classes and not itself, itself)
            changes = [_change(m, f"difference_{of}", place, at) for of in CHANGES.values()]
            values = (m.value(name)[place][at] for name in AT_SHARE)
            rows.append((*about, *pair, share, *values, *changes))
    table = pd.DataFrame(rows, columns=ABOUT + AT_SHARE + COLUMNS)
    return table.assign(
        chance=table["dropped"] / table["components"],
        few=np.where(table["enough"], "", " (too few)"),
        sampled=np.where(table["in_sample"], ", in sample", ""),
    )


def _change(m: Measurement, of: str, place: int, at: int) -> Interval | float:
    """A change of accuracy with its interval; NaN where no image has a class."""
    if not m.value(of).size:
        return np.nan
    images = m.counts["images"] if "classified" in m.lacks else m.value("classified")
    return Interval.of_paired(m.value(of)[place][at], m.value(f"{of}_error")[place][at], images)


def taken_off(m: Measurement, place: int = 0) -> pd.DataFrame:
    """What could be taken off the images of one measurement, a row each, by one set of texts.

    `removed` says it in words, `name` is short: the images as they are, the three that texts point
    to, and the controls. With κ, the share of predictions that stay, and the change of accuracy
    with its interval.
    """
    at = int(np.abs(m.value("shares") - SHARE).argmin())
    titles = {
        "without": f"the {m.value('dropped')[place][at]} directions of least text variance",
        "one_vector": "one direction, the mean image's part in these",
        "constant": "this part, subtracted as a constant",
    } | dict(zip(CONTROLS, m.names["controls"], strict=False))
    few = m.value("controlled")[place]  # fewer than texts drop, where images vary in few directions
    titles |= {name: titles[name].replace("as many", f"{few}") for name in AMONG_IMAGES}
    forms = [(f"{{}}_{of}", at) for of in CHANGES.values()]
    forms += [("control_{}", control) for control in m.value("controls")]
    about = (model_title(m), m.data.title)
    rows = [(*about, "nothing", "nothing", m.value("kurtosis"), np.nan, np.nan)]
    for named, (form, column) in zip(titles.items(), forms, strict=True):
        of = form.format
        kept = (m.value(of(what))[place][column] for what in ("kurtosis", "equal"))
        rows.append((*about, *named, *kept, _change(m, of("difference"), place, column)))
    columns = ["model", "data", "name", "removed", "kurtosis", "equal", "change"]
    return pd.DataFrame(rows, columns=columns)


def in_corner(taken: pd.DataFrame) -> list[str]:
    """What can be taken off so that κ is below `CORNER`, and accuracy surely falls by less."""
    most, loss = CORNER
    kept = taken["change"].map(lambda change: getattr(change, "low", -np.inf)) > -loss / 100
    return [*taken.loc[(taken["kurtosis"] < most) & kept, "name"]]


def costs(taken: pd.DataFrame) -> Drawing:
    """What accuracy loses against what κ falls to, a mark for each row of `taken_off`.

    Marks are of the first kind where texts chose what is taken off, of the second where images did;
    those of `NAMED` are large. An arrow leads to the one vector, into the shaded `CORNER`. What
    needs a bias is left out: with one, logits are what they were.
    """
    taken = taken[taken["name"] != "biased"]
    κ, loss = style.LOGARITHMIC["κ"], "change of accuracy (points)"
    chosen = dict.fromkeys(CHANGES.values(), "first") | dict.fromkeys(
        ("nothing", "random_part"), ""
    )
    names = taken["name"]
    frame = pd.DataFrame({"of": taken["removed"], κ: taken["kurtosis"]}).assign(
        level=names.map(lambda name: chosen.get(name, "second")),
        look=names.map(lambda name: "filled" if name in NAMED else "small"),
        words=names.map(NAMED).fillna(""),
    )
    for name, end in ((loss, "value"), ("low", "low"), ("high", "high")):
        frame[name] = [0 if c != c else 100 * getattr(c, end) for c in taken["change"]]
    frame.loc[frame["look"] == "small", ["low", "high"]] = np.nan  # what is named has intervals
    drawing = plots.scatter(frame, κ, loss, labels="words")
    _show_corner(drawing.figure.axes[0], frame.set_index(names), κ, loss)
    return drawing


def _show_corner(axes: Axes, marks: pd.DataFrame, x: str, y: str) -> None:
    """Shade where κ is gone and accuracy stays, and draw the way there."""
    most, loss = CORNER
    axes.set(xlim=(2, 300), ylim=(None, 4))
    left, top = axes.get_xlim()[0], axes.get_ylim()[1]
    axes.fill_between([left, most], -loss, top, color=style.STRONG, alpha=0.12, linewidth=0)
    put(axes, "κ gone, accuracy kept", (left, top), (4, -4), va="top")
    start, end = (tuple(marks.loc[name, [x, y]]) for name in ("nothing", "one_vector"))
    arrow = {"arrowstyle": "-|>", "color": style.INK, "shrinkA": 6, "shrinkB": 6}
    axes.annotate("", end, start, arrowprops=arrow, zorder=3)


def by_name(taken: pd.DataFrame) -> dict[str, Any]:
    """The numbers of `taken_off` in one row: `mean_kurtosis`, `mean_change`, …"""
    return {
        f"{row['name']}_{column}": row[column]
        for row in taken.to_dict("records")
        for column in ("kurtosis", "change")
    }


def reach(changes: Iterable[Interval]) -> dict[str, Any]:
    """How far intervals reach down and up, and the one that reaches farthest from none."""
    every = list(changes)
    return {
        "lowest": min(change.low for change in every),
        "highest": max(change.high for change in every),
        "widest": max(every, key=lambda change: max(-change.low, change.high)),
    }


def curves(measurements: Sequence[Measurement]) -> Drawing:
    """κ and the change of accuracy against the directions dropped, next to random ones.

    A row of panels for each model; without the second where nothing is classified.
    """
    x, lost = "directions dropped (%)", "change of accuracy (points)"
    quantities = {"kurtosis": "κ", "accuracy": lost}
    orders = {"": "least text variance first", "_random": "random directions"}
    lines = (plots.Stroke(LEVEL_STYLES["zero_shot"].colour), plots.Stroke(style.MUTED, (4, 2)))
    looks = dict(zip(orders.values(), lines, strict=True))
    frame = style.stacked(
        {"panel": model_title(m), "quantity": label, "of": order}
        | {"value": value[1:] if label == "κ" else 100 * (value[1:] - value[0])}
        | {x: 100 * m.value("steps")[1:] / m.counts["components"]}
        for m in measurements
        for name, label in quantities.items()
        for end, order in orders.items()
        for value in [_first_curve(m, f"{name}{end}")]
        if value.size
    )
    drawing = plots.lines(frame, x, "value", looks=looks, log="x", ticks=5, columns=2, height=1.8)
    every = pairs(measurements)
    chance = 100 * every.loc[every["place"] == 0, "chance"]
    of_each = [sum(_first_curve(m, name).size > 0 for name in quantities) for m in measurements]
    for at, axes in zip(np.repeat(chance, of_each), drawing.figure.axes, strict=False):
        axes.axvline(at, color=style.INK, linewidth=0.9, linestyle=":")
    return drawing


def _first_curve(m: Measurement, name: str) -> NDArray[np.float64]:
    """A curve of the first set of texts, empty where nothing is classified."""
    curves = m.value(f"curve_{name}")
    return np.atleast_2d(curves)[0] if np.size(curves) else np.empty(0)


def along_texts(measurements: Sequence[Measurement]) -> Drawing:
    """How much of the dominant coordinate's axis lies where texts vary least, next to any axis."""
    dominant, average = "dominant coordinate's axis", "average axis"
    some = pairs(measurements).query("place == 0")
    frame = some.assign(of=some["model"], look="filled")
    frame = frame.assign(**{dominant: 100 * some["leader_inside"], average: 100 * some["chance"]})
    columns = ["of", "level", "look", dominant, average]
    share = "share in directions of least text variance (%)"
    return plots.marks(frame[columns], dominant, other=average, label=share, limits=(0, 100))
