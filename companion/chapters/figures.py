"""Figures of measurements, and those that no tidy frame describes.

Data in; the figure, its alternative text and its data out. Mappings are from titles, in the order
in which they are shown. Lines and marks are drawn by `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.metrics.outliers import far_above_mean
from companion.engine import plots, style, words
from companion.engine.plots import Stroke
from companion.engine.style import LEVEL_STYLES, Drawing, digits
from companion.measurements.measurement import Measurement

Array = NDArray[np.float64]

KAPPA = style.LOGARITHMIC["κ"]
GAUSSIAN = {"Gaussian": 3.0}
HEADS = {
    "importance": ("head as it is", Stroke(style.INK)),
    "importance_head_centred": ("mean-centred head", Stroke(style.MUTED, (4, 2), 1.2)),
}


def kurtosis(measurements: Mapping[str, Measurement]) -> Drawing:
    """Share of items below each kurtosis."""
    texts = any("captions" in m.data.name for m in measurements.values())
    share = f"share of {'items' if texts else 'images'} below (%)"
    frame = style.stacked(
        {"of": title, "level": m.level}
        | {KAPPA: m.value("kurtosis_percentiles"), share: np.arange(101)}
        for title, m in measurements.items()
    )
    return plots.lines(frame, KAPPA, share, verticals=GAUSSIAN, height=2.8)


def importance(measurements: Mapping[str, Measurement], threshold: float) -> Drawing:
    """Sorted importance of each head's directions relative to its mean; the peak is named."""
    rank, value = "direction, by importance", "importance, times the mean"
    frame = style.stacked(
        {"panel": title, "of": head}
        | {rank: np.arange(1, len(m.value(name)) + 1), value: np.sort(m.value(name))[::-1]}
        for title, m in measurements.items()
        for name, (head, _) in HEADS.items()
    )
    looks, at = dict(HEADS.values()), {"mean": 1, f"{threshold:g} ×": threshold}
    drawing = plots.lines(
        frame, rank, value, looks=looks, log="xy", ticks=6, horizontals=at, columns=2, height=2.4
    )
    peaks = [m.value("importance").max() for m in measurements.values()]
    for axes, largest in zip(drawing.figure.axes, peaks, strict=False):
        style.log_scale(axes.yaxis, 0.1, 100, 4)
        axes.set_ylim(0.05, 2.4 * max(peaks))
        words.put(axes, f"{digits(largest)} ×", (1, largest), (6, 0), va="center")
    return drawing


def profiles(measurements: Mapping[str, Measurement], threshold: float) -> Drawing:
    """The activation profile of each model, in times its mean, with the `threshold`."""
    frame = style.stacked(
        {"of": title, "level": m.level, "coordinate": np.arange(len(m.value("profile")))}
        | {"times the mean": m.value("profile")}
        for title, m in measurements.items()
    )
    return stems(frame, "times the mean", {"mean": 1, f"{threshold:g} ×": threshold})


def stems(frame: pd.DataFrame, y: str, horizontals: plots.Places = plots.NOWHERE) -> Drawing:
    """A stem from 0 to `y` at each `coordinate`, a panel for each `of`; all have one scale.

    Named are coordinates far above the mean one that are not much smaller than the largest.
    """
    figure, panels = style.panels(frame["of"].unique(), 1, 1.5, sharey=True)
    for axes, (_, rows) in zip(panels.flat, frame.groupby("of", sort=False), strict=True):
        values, colour = rows[y].to_numpy(), LEVEL_STYLES[rows["level"].iloc[0]].colour
        axes.vlines(rows["coordinate"], 0, values, color=colour, linewidth=0.7)
        size = np.abs(values)
        for c in far_above_mean(size, 6):
            if size[c] > size.max() / 5:
                words.write_at_mark(axes, str(c), (c, values[c]))
        plots.lines_at(axes, plots.NOWHERE, horizontals)
        axes.set(xlim=(-4, len(values) + 3), ylabel=y)
    panels[-1, 0].set(xlabel="coordinate")
    return Drawing.of(figure, "Stem plots over all coordinates", frame, y, says=style.peaks)


def heat_maps(measurements: Mapping[str, Measurement]) -> Drawing:
    """Single images (rows) at the coordinates of each measurement's sample, in one colour scale.

    Left of the line are the coordinates of the highest profile.
    """
    limit = max(np.abs(m.value("sample")).max() for m in measurements.values())
    colours = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit}
    figure, panels = style.panels(measurements, min(3, len(measurements)), 3.0)
    data = []
    for axes, (title, m) in zip(panels.flat, measurements.items(), strict=False):
        sample, coordinates = m.value("sample"), np.asarray(m.value("sample_coordinates"))
        drawn = axes.imshow(sample, aspect="auto", interpolation="nearest", **colours)
        image, column = (at.ravel() for at in np.indices(sample.shape))
        cells = {"of": title, "image": image, "z": sample.ravel()}
        data.append(cells | {"coordinate": coordinates[column]})
        axes.set_xticks([0], [coordinates[0]])  # all names would be too small to read
        axes.grid(False)
        axes.axvline(len(coordinates) / 2 - 0.5, color=style.ON_HEAT, linewidth=1)
        axes.set(xlabel="coordinate")
    panels[0, 0].set(ylabel="image")
    figure.colorbar(drawn, ax=panels, shrink=0.8, label="z (standard deviations)")
    kind = "Heat maps of standard deviations, images by coordinates"
    return Drawing.of(figure, kind, style.stacked(data), "z", says=style.peaks)


def clouds(
    groups: Mapping[str, tuple[str, Array]],
    labels: tuple[str, str],
    gap: str = "",
    apart: bool = False,
) -> Drawing:
    """Clouds of points on a plane, each with an arrow from the origin to its mean.

    `groups`: title → level and points (n, 2). `gap`: the name of a bracket between the first two
    means. `apart`: each cloud has a panel.
    """
    by = "panel" if apart else "series"
    frame = pd.concat(
        pd.DataFrame(points, columns=[*labels]).assign(**{by: title}, level=level, look="small")
        for title, (level, points) in groups.items()
    )
    drawing = plots.scatter(frame, *labels, columns=len(groups), height=1.75 if apart else 3.4)
    axes = [*drawing.figure.axes] if apart else [drawing.figure.axes[0]] * len(groups)
    means = [points.mean(axis=0) for _, points in groups.values()]
    low, high = min(frame[[*labels]].min().min(), 0), frame[[*labels]].max().max()
    arrow = {"arrowstyle": "-|>", "color": style.INK, "shrinkA": 0, "shrinkB": 0}
    for panel, mean in zip(axes, means, strict=True):
        ends = (low - 0.02, high + 0.02)
        panel.annotate("", tuple(mean), (0, 0), arrowprops=arrow, zorder=7)
        panel.set(aspect="equal", xlim=ends, ylim=ends if apart else None)
    if gap:
        x, below = [mean[0] for mean in means[:2]], 1.15 * frame[labels[1]].min()
        bracket = arrow | {"arrowstyle": "|-|, widthA=0.4, widthB=0.4"}
        axes[0].annotate("", (x[0], below), (x[1], below), arrowprops=bracket)
        words.put(axes[0], gap, (np.mean(x), below), (0, -4), ha="center", va="top")
        axes[0].set(xlim=(-0.05, None), ylim=(1.4 * frame[labels[1]].min(), None))
    return drawing
