"""Words in a drawing: names of marks and series where they are nearest to what they name."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from results import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

#: Places in pixels, one a row.
Points = NDArray[np.float64]
#: Where a name is, seen from a place, the best first; and the gaps between the two, in points.
SIDES = [(1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0)]
GAPS = (5, 9, 14)
#: How much nearer a name is to its own series than to any other, and what is far enough, in pixels.
NEARER, FAR = 4, 18
#: Series are one if nine tenths of the first are no farther than this from the second, in pixels.
TOGETHER = 5
#: How far apart a line's places are, in pixels: less than a letter's height.
STEP = 5
#: How long the lines of a series' name are, where longer ones find no room.
LETTERS = (60, 20, 14)
#: What a place of a name costs, in pixels of distance: if the words touch their own series or
#: another, if they cross anything else, and if they reach out of the axes or over other words.
TOUCHES, CROSSES, COVERS = 50.0, 20.0, 100.0
#: Nearer than this a name touches, in pixels; and differences in cost that nobody sees.
TOUCHING, ALIKE = 2, 4
#: How names are written that find their place later, within the axes.
CENTRED: Any = {"ha": "center", "va": "center", "annotation_clip": False, "in_layout": False}
JOINED: Any = {"arrowstyle": "-", "linewidth": 0.6, "color": style.MUTED, "shrinkB": 4}
NONE: Points = np.empty((0, 2))


def put(axes: Axes, words: str, at: Any, offset: tuple[float, float], **options: Any) -> Annotation:
    """Words at a place, a few points off it; `options` of `annotate`."""
    look: dict[str, Any] = {"fontsize": 10, "color": style.INK, "zorder": 6}
    return axes.annotate(words, at, xytext=offset, textcoords="offset points", **look | options)


def write_at_mark(axes: Axes, words: str, at: tuple[float, float]) -> None:
    """Words next to a mark, which are not to be seen until `place_names` has found their place.

    A thin line joins them to the mark where other marks are about as near.
    """
    put(axes, words, at, (0, 0), gid="mark", visible=False, arrowprops=JOINED, **CENTRED)


def place_names(figure: Figure) -> None:
    """Write the names of series next to them, all in one panel, or in a legend; place marks' names.

    Names are within the axes, off other words, and nearest to what they name. A legend is where
    there is no panel, or else below.
    """
    for earlier in (*figure.legends, *_texts(figure, "series")):
        earlier.remove()
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    _settle(figure)
    series = {axes: _series(axes) for axes in figure.axes}
    groups = [[[name] for name in handles], _together([*series.values()], handles)]
    if len(handles) > 1 and not any(_named(*of, each) for each in groups for of in series.items()):
        fits = int(15 * figure.get_figwidth() / (6 + max(map(len, handles))))
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": min(3, max(1, fits))}
        if free := [axes for axes in figure.axes if not axes.get_visible()]:
            place = {"loc": "center", "bbox_to_anchor": free[0].get_position()}
        figure.legend(handles.values(), handles, **place)
        _settle(figure)
    for text in (marks := _texts(figure, "mark")):
        text.set_visible(True)
        own, *named = (
            text.axes.transData.transform([other.xy])
            for other in sorted(marks, key=lambda other: other is not text)
            if other.axes is text.axes
        )
        rest = np.concatenate([*_series(text.axes).values()])
        rest = rest[np.abs(rest - own).max(axis=1) > 1]
        clear = _place(text, own, np.concatenate([NONE, *named]), rest)
        text.arrow_patch.set_visible(clear < NEARER)


def _settle(figure: Figure) -> None:
    """Lay a figure out without drawing it."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)


def _texts(figure: Figure, kind: str) -> list[Any]:
    return figure.findobj(lambda artist: artist.get_gid() == kind)


def _series(axes: Axes) -> dict[str, Points]:
    """Where each series is in a panel; under other names, what is none."""
    series: dict[str, Points] = {}
    for artist in axes.get_children():
        label = str(artist.get_label())
        series[label] = np.concatenate([series.get(label, NONE), _places(artist)])
    return series


def _together(panels: Iterable[dict[str, Points]], handles: dict[str, Artist]) -> list[list[str]]:
    """The names of series, those of lines in one list that run over one another in every panel."""
    every = {name: np.concatenate([of.get(name, NONE) for of in panels]) for name in handles}
    groups: dict[str, list[str]] = {}
    for name, handle in handles.items():
        before = groups if isinstance(handle, Line2D) else ()
        apart = {of: _distances(every[name], np.zeros(2), every[of]) for of in before}
        same = (of for of in apart if np.percentile(apart[of], 90) < TOGETHER)
        groups.setdefault(next(same, name), []).append(name)
    return [*groups.values()]


def _named(axes: Axes, series: dict[str, Points], groups: list[list[str]]) -> bool:
    """Whether all series are in a panel and it has room for their names, which are written then."""
    named = [name for group in groups for name in group]
    if any(not len(series.get(name, NONE)) for name in named):
        return False
    texts: list[Annotation] = []
    for group in groups:
        own = np.concatenate([series[name] for name in group])
        others = np.concatenate([NONE, *(series[name] for name in named if name not in group)])
        rest = np.concatenate([series[name] for name in series if name not in named])
        texts.append(put(axes, "", (0, 0), (0, 0), gid="series", fontsize=9, **CENTRED))
        for letters in LETTERS:
            texts[-1].set_text(fill(" and ".join(group), letters))
            if _place(texts[-1], own, others, rest) >= NEARER:
                break
        else:
            for text in texts:
                text.remove()
            return False
    return True


def _place(text: Annotation, own: Points, others: Points, rest: Points = NONE) -> float:
    """Move words next to one of some places, far from others; and by how much these are farther.

    The words cross none of these places, nor the rest, if that can be.
    """
    axes: Any = text.axes
    text.xy = tuple(axes.transData.inverted().transform(own[0]))
    half, scale = np.array(text.get_window_extent().size) / 2, axes.get_figure().dpi / 72
    sides = np.concatenate([np.array(SIDES) * (half + gap * scale) for gap in GAPS])
    anchors = np.repeat(own[:: max(1, len(own) // 60)], len(sides), axis=0)
    away = np.tile(sides, (len(anchors) // len(sides), 1))
    near, far, least = (_distances(anchors + away, half, of) for of in (own, others, rest))
    score = np.minimum(far, FAR) - near
    score -= TOUCHES * (near < TOUCHING) + TOUCHES * (far < TOUCHING) + CROSSES * (least < TOUCHING)
    for other in (axes, *(other for other in axes.texts if other is not text)):
        box = other.get_window_extent()
        gap = np.abs(anchors + away - (box.min + box.max) / 2) - box.size / 2
        score -= COVERS * ((gap > -half).any(axis=1) if other is axes else (gap < half).all(axis=1))
    best = np.round(score / ALIKE).argmax()  # the first, unless another is clearly better
    text.xy = tuple(axes.transData.inverted().transform(anchors[best]))
    text.xyann = tuple(away[best] / scale)
    return float(score[best])


def _distances(centres: Points, half: Points, places: Points) -> Points:
    """From boxes of one size to the nearest of some places, in pixels."""
    x, y = (np.abs(np.subtract.outer(centres[:, n], places[:, n])) - half[n] for n in (0, 1))
    squared = np.maximum(x, 0) ** 2 + np.maximum(y, 0) ** 2
    nearest: Points = np.sqrt(squared.min(axis=1, initial=np.inf))
    return nearest


def _places(artist: Any) -> Points:
    """Where marks or lines are within their axes, every few pixels; nothing of areas and words."""
    if isinstance(artist, PathCollection):
        drawn = [artist.get_offset_transform().transform(np.asarray(artist.get_offsets()))]
    elif isinstance(artist, Line2D):
        drawn = [_filled(artist.get_transform().transform(artist.get_xydata()))]
    elif isinstance(artist, LineCollection):
        drawn = [_filled(artist.get_transform().transform(line)) for line in artist.get_segments()]
    else:
        return NONE
    places, frame = np.concatenate([NONE, *drawn]), np.array(artist.axes.get_window_extent())
    inside: Points = places[((places > frame[0] - 2) & (places < frame[1] + 2)).all(axis=1)]
    return inside


def _filled(line: Points) -> Points:
    """A line's places from its end to its start, no farther than a few pixels from one another."""
    if not len(line := line[np.isfinite(line).all(axis=1)]):
        return NONE
    along = np.cumsum(np.hypot(*np.diff(line, axis=0, prepend=line[:1]).T))
    at = np.arange(along[-1], -STEP, -STEP)
    return np.column_stack([np.interp(at, along, of) for of in line.T])
