"""Words in a drawing: its series in a legend, and the names of single marks at their sides."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike, NDArray

from companion.engine import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

#: How a mark's name is told from other words.
MARK = "mark"
#: Where it may stand, seen from the mark, the best first; and how far off, in points.
SIDES = np.array([(1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1)])
GAPS = (5, 10, 18)
#: Letters of a legend's entries that an inch has room for, and what its line takes besides.
LETTERS, HANDLE = 13, 6
#: Letters of an entry's line where the legend stands in the place of a panel.
SIDE = 20
#: Ticks of a logarithmic axis, at most.
LOG_TICKS = 7


def put(axes: Axes, words: str, at: Any, offset: tuple[float, float], **options: Any) -> Annotation:
    """Words at a place, a few points off it; `options` of `annotate`."""
    look: dict[str, Any] = {"fontsize": 10, "color": style.INK, "zorder": 6}
    return axes.annotate(words, at, xytext=offset, textcoords="offset points", **look | options)


def write_at_mark(axes: Axes, words: str, at: tuple[float, float]) -> None:
    """Words at a mark, on the side where there is room once `lay_out` has seen all of them."""
    put(axes, words, at, (0, 0), gid=MARK, fontsize=9, in_layout=False)


def series(figure: Figure) -> dict[str, Artist]:
    """What a legend of all axes explains: name → handle. Legends of single axes are removed."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        pairs: Any = zip(*axes.get_legend_handles_labels(), strict=True)
        if own := axes.get_legend():  # such as seaborn's
            texts = (text.get_text() for text in own.get_texts())
            pairs = zip(own.legend_handles, texts, strict=True)
            own.remove()
        for handle, name in pairs:
            handles.setdefault(name, handle)
    return handles


def lay_out(figure: Figure, handles: dict[str, Artist] | None = None) -> None:
    """Lay a figure out for good: a legend of its series, the names of marks apart from each other.

    The legend is where there is no panel, or else below; one series needs none. ``handles``: its
    entries, where `series` has them already.
    """
    for earlier in figure.legends:
        earlier.remove()
    handles = series(figure) if handles is None else handles
    _plain_ticks(figure)
    if len(handles) > 1:
        fits = int(LETTERS * figure.get_figwidth() / (HANDLE + max(map(len, handles))))
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": min(3, max(1, fits))}
        if free := [axes for axes in figure.axes if not axes.get_visible()]:
            place = {"loc": "center", "bbox_to_anchor": free[0].get_position()}
        names = [fill(name, SIDE) if free else name for name in handles]
        figure.legend(handles.values(), names, **place)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        if [axes for axes in figure.axes if _labels_are_broken(axes)]:
            engine.execute(figure)
    for axes in figure.axes:
        _keep_apart(axes)
    figure.set_layout_engine(None)


def _plain_ticks(figure: Figure) -> None:
    """Plain numbers as ticks of logarithmic axes that have no ticks of their own."""
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            if axis.get_scale() == "log" and isinstance(axis.get_major_locator(), LogLocator):
                style.log_scale(axis, *limits, LOG_TICKS)
                axes.set(**{f"{axis.axis_name}lim": limits})


def described(figure: Figure) -> str:
    """What a figure's axes show, in words: each pair of labels once."""
    pairs = [[axes.get_ylabel(), axes.get_xlabel()] for axes in figure.axes if axes.get_visible()]
    named = [" against ".join(filter(None, pair)) for pair in pairs]
    return "; ".join(dict.fromkeys(filter(None, (" ".join(name.split()) for name in named))))


def undrawn(figure: Figure, frame: pd.DataFrame) -> list[str]:
    """Columns that label an axis, not of an image's rows, with a number that is drawn nowhere."""
    labels = [(a.get_xlabel(), a.get_ylabel()) for a in figure.axes if not a.images]
    named = {" ".join(label.split()) for pair in labels for label in pair}
    drawn = np.unique(np.concatenate([_drawn(axes) for axes in figure.axes] or [np.empty(0)]))
    return [
        str(name)
        for name, column in frame.select_dtypes("number").items()
        if " ".join(str(name).split()) in named and not _within(column.dropna(), drawn)
    ]


def _drawn(axes: Axes) -> NDArray[np.float64]:
    """Every coordinate of the axes' lines, marks and bars, and every number of their images."""
    parts: list[Any] = [np.empty(0), *(line.get_xydata() for line in axes.lines)]
    for marks in axes.collections:
        parts += [marks.get_offsets(), *(path.vertices for path in marks.get_paths())]
    parts += [bar.get_extents().transformed(axes.transData.inverted()) for bar in axes.patches]
    parts += [image.get_array() for image in axes.images]
    return np.concatenate([np.asarray(part, dtype=float).ravel() for part in parts])


def _within(numbers: ArrayLike, drawn: NDArray[np.float64]) -> bool:
    """Whether each number is drawn, but for rounding."""
    wanted = np.asarray(numbers, dtype=float)
    near = np.searchsorted(drawn, wanted - 1e-6 * np.abs(wanted) - 1e-12)
    return bool((near < len(drawn)).all() and np.allclose(drawn[near], wanted, rtol=1e-5))


def _labels_are_broken(axes: Axes) -> bool:
    """Break labels that are longer than their axes; whether any was."""
    frame, broken = axes.get_window_extent(), False
    for axis, length in (("xaxis", frame.width), ("yaxis", frame.height)):
        label = getattr(axes, axis).label
        extent = label.get_window_extent()
        long = (extent.width if axis == "xaxis" else extent.height) / length
        if label.get_text() and long > 1.02:
            letters = int(0.95 * len(label.get_text()) / long)
            label.set_text(fill(label.get_text(), letters, break_long_words=False))
            broken = True
    return broken


def _keep_apart(axes: Axes) -> None:
    """Put each name next to its mark where it hides least: no mark, no other name, no frame's end.

    The first of `SIDES` that hides nothing is taken, by the names from the top of the axes down.
    """
    names: list[Any] = [text for text in axes.texts if text.get_gid() == MARK]
    if not names:
        return
    scale = axes.get_figure().dpi / 72  # type: ignore[union-attr]
    marks = np.concatenate([[axes.transData.transform(text.xy) for text in names], _marks(axes)])
    frame = axes.get_window_extent()
    taken = [text.get_window_extent() for text in axes.texts if text not in names]
    boxes = [(box.min, box.max) for box in taken if box.width]
    for n in sorted(range(len(names)), key=lambda n: -marks[n][1]):
        size = np.array(names[n].get_window_extent().size)
        offsets = [gap * scale * side + side * size / 2 for gap in GAPS for side in SIDES]
        costs = []
        for centre in (marks[n] + offset for offset in offsets):
            low, high = centre - size / 2, centre + size / 2
            inside = ((marks > low - 2) & (marks < high + 2)).all(axis=1).sum()
            over = sum(bool((low < most).all() and (high > least).all()) for least, most in boxes)
            beyond = np.maximum(frame.min - low, 0).sum() + np.maximum(high - frame.max, 0).sum()
            costs.append(inside + 3 * over + beyond / 9)
        best = int(np.argmin(np.round(costs, 1)))
        centre = marks[n] + offsets[best]
        boxes.append((centre - size / 2, centre + size / 2))
        names[n].set(ha="center", va="center")
        names[n].xyann = tuple(offsets[best] / scale)


def _marks(axes: Axes) -> NDArray[np.float64]:
    """Where marks are drawn, in pixels."""
    every = [np.empty((0, 2))]
    for each in axes.collections:
        if isinstance(each, PathCollection):
            every.append(each.get_offset_transform().transform(np.asarray(each.get_offsets())))
    return np.concatenate(every)
