"""What one model's arrays look like: data in, the figure and its alternative text out.

The alternative text comes from the same data and carries the main values, for readers who do not
see the figure; the data come along as a table, for those who draw them otherwise. What is drawn of
a model has a level, which gives its colour, and quantities by name (`Measured`): a measurement, or
a probe. Mappings are from titles, in the order in which they are shown. Models against one another
are in `dots`; captions and publishing are the notebooks' work (`style.figure`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.concept_counts import REGIONS
from analysis.metrics.outliers import far_above_mean
from companion.publish import style
from companion.publish.style import LEVEL_STYLES, Drawing, digits, minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Line = str | tuple[int, tuple[float, ...]]

DASHED: Line = (0, (4, 3))
#: Lines of the first, second, … curve of one level in one figure.
LINES: tuple[Line, ...] = ("-", (0, (4, 2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
#: The orders of pruning: title, colour and line of each; those of levels are not used.
ORDERS: dict[str, tuple[str, str, Line]] = {
    "importance": ("least important first", "#1f83c4", "-"),
    "singular_value": ("smallest singular value first", "#d55e00", (0, (4, 2))),
    "random": ("random", "#7d7d7d", "-"),
    "reversed": ("most important first", "#c0609a", (0, (1, 1.5))),
}


class Measured(Protocol):
    """What is known of one model: its level, and arrays and numbers by name."""

    @property
    def level(self) -> str:
        """One of `LEVEL_STYLES`."""

    def value(self, name: str) -> Any:
        """One quantity."""


class Curve(NamedTuple):
    """A quantity in one order of pruning, at steps with `kept` directions, the last with all.

    `values` and the ends of their band are fractions; all (steps,). `sound`: where the line is not
    thin.
    """

    kept: ArrayLike
    values: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    sound: ArrayLike | None = None

    def rows(self) -> dict[str, ArrayLike]:
        """The steps as columns, in percent or points, with the band if there is one."""
        ends = {"low": self.low, "high": self.high}
        scaled = {"value": self.values, **{k: v for k, v in ends.items() if v is not None}}
        return {"directions kept": self.kept} | {k: 100 * np.asarray(v) for k, v in scaled.items()}


def kurtosis(shown: Mapping[str, Measured]) -> Drawing:
    """Share of items below each kurtosis, on a log axis."""
    figure, axes = style.new_figure(height=3.8)
    percentiles = {title: m.value("kurtosis_percentiles") for title, m in shown.items()}
    _lines(axes, {t: (shown[t].level, p, np.arange(101)) for t, p in percentiles.items()})
    axes.axvline(3, color=style.INK, linewidth=1)
    axes.annotate("Gaussian", (3, 0), xytext=(4, 3), textcoords="offset points", fontsize=9)
    every = np.concatenate([*percentiles.values(), [3]])
    style.log_scale(axes.xaxis, every.min(), every.max())
    axes.set(ylim=(0, 100), ylabel="share with less (%)")
    axes.set(xlabel="activation kurtosis κ of one image or caption (log scale)")
    style.legend(figure, axes)
    told = (
        "{} {} (from {} to {})".format(title, *(digits(p[at]) for at in (50, 0, 100)))
        for title, p in percentiles.items()
    )
    alt = f"Cumulative distributions on a log axis. Median kurtosis: {'; '.join(told)}."
    below = {"share with less (%)": np.arange(101)}
    data = ({"of": title, "kurtosis": p, **below} for title, p in percentiles.items())
    return Drawing(figure, alt, style.stacked(data))


def profiles(shown: Mapping[str, Measured], threshold: float) -> Drawing:
    """A stem per coordinate of the activation profile (d,), a panel for each model.

    All panels have one scale. Coordinates that reach `threshold` × the mean are named, unless much
    smaller than the largest or where the name of a larger one stands.
    """
    values = {title: m.value("profile") for title, m in shown.items()}
    columns, alike = 1 if len(shown) < 5 else 2, len({len(v) for v in values.values()}) == 1
    figure, panels = style.panels(shown, columns, 1.6, sharex=alike, sharey=True)
    told, most = [], max(threshold, *(profile.max() for profile in values.values()))
    for axes, (title, profile) in zip(panels.flat, values.items(), strict=False):
        width, highest = len(profile), profile.max()
        axes.vlines(np.arange(width), 0, profile, color=_colour(shown[title]), linewidth=0.8)
        axes.axhline(1, color=style.MUTED, linewidth=0.8)
        axes.axhline(threshold, color=style.INK, linewidth=1, linestyle=DASHED)
        named: list[int] = []
        for c in (c for c in far_above_mean(profile, threshold) if profile[c] > highest / 5):
            if any(abs(c - n) < width / 25 and profile[n] - profile[c] < most / 10 for n in named):
                continue
            named.append(c)
            offset, side = ((5, -3), "left") if c < 0.8 * width else ((-5, -3), "right")
            _name(axes, c, (c, profile[c]), offset, side)
        axes.set(xlim=(-4, width + 3), ylim=(0, 1.08 * most))
        first, second = np.argsort(-profile)[:2]
        told.append(
            f"{title}: coordinate {first} at {highest:.3g}, the second at {profile[second]:.3g}"
        )
    for axes in panels[-1]:
        axes.set(xlabel="coordinate")
    figure.supylabel("times the mean coordinate", fontsize=9)
    alt = f"Stem plots over all coordinates. {'; '.join(told)} times the mean coordinate."
    data = (
        {"of": title, "coordinate": np.arange(len(profile)), "times the mean": profile}
        for title, profile in values.items()
    )
    return Drawing(figure, alt, style.stacked(data))


def heat_maps(shown: Mapping[str, Measured]) -> Drawing:
    """Single images (rows) at the coordinates of each measurement's sample, in one colour scale.

    Left of the line are the coordinates of the highest profile. The scale is linear up to 1.
    """
    limit = max(np.abs(m.value("sample")).max() for m in shown.values())
    figure, panels = style.panels(shown, min(3, len(shown)), 3.4)
    told, data = [], []
    for axes, (title, m) in zip(panels.flat, shown.items(), strict=False):
        sample, coordinates = m.value("sample"), m.value("sample_coordinates")
        drawn = axes.imshow(
            sample, aspect="auto", cmap="PuOr_r", norm="symlog", vmin=-limit, vmax=limit,
            interpolation="nearest",
        )  # fmt: skip
        rows, columns = np.indices(np.shape(sample))
        places = {"image": rows.ravel(), "coordinate": np.asarray(coordinates)[columns.ravel()]}
        data.append({"of": title, **places, "z": np.ravel(sample)})
        axes.set_xticks([0], [coordinates[0]])  # the leader; all names would be too small to read
        axes.grid(False)
        axes.axvline(len(coordinates) / 2 - 0.5, color=style.INK, linewidth=1)
        low, high = (minus(f"{end:.1f}") for end in (sample[:, 0].min(), sample[:, 0].max()))
        told.append(f"{title}: coordinate {coordinates[0]} between {low} and {high}")
    for axes in panels[:, 0]:
        axes.set(ylabel="image")
    for axes in panels[-1]:
        axes.set(xlabel="coordinate")
    bar = figure.colorbar(drawn, ax=panels, shrink=0.8, label="z (standard deviations)")
    ticks = [tick for tick in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if abs(tick) <= limit]
    bar.set_ticks(ticks, labels=[minus(str(tick)) for tick in ticks])
    alt = "Heat maps of standardised activations, images by coordinates. Leading columns, "
    alt = f"{alt}{'; '.join(told)} standard deviations."
    return Drawing(figure, alt, style.stacked(data))


def importance(shown: Mapping[str, Measured], threshold: float) -> Drawing:
    """Sorted importance of each head's directions relative to its mean, on log axes.

    Dashed: the same once the mean row is subtracted from the head. A panel for each model.
    """
    figure, panels = style.panels(shown, min(3, len(shown)), 2.6, sharex=True, sharey=True)
    told, data, rank = [], [], 1
    for axes, (title, m) in zip(panels.flat, shown.items(), strict=False):
        values = np.sort(m.value("importance"))[::-1]
        centred = m.value("importance_head_centred")
        rank = max(rank, len(values))
        for curve, width, line, label in (
            (values, 1.8, "-", "head as it is"), (centred, 1.2, (0, (4, 2)), "head centred"),
        ):  # fmt: skip
            look = {"linewidth": width, "linestyle": line, "label": label}
            place = np.arange(1, len(curve) + 1)
            axes.plot(place, curve, color=_colour(m), **look)
            names = {"of": title, "head": label, "direction, by importance": place}
            data.append(names | {"importance, times the mean": curve})
        axes.axhline(1, color=style.INK, linewidth=0.8)
        axes.axhline(threshold, color=style.INK, linewidth=0.8, linestyle=(0, (1, 2)))
        told.append(
            f"{title}: first {digits(values[0])}, second {digits(values[1])}, first with the head "
            f"centred {digits(centred[0])}"
        )
    for axes in panels.flat:
        style.log_scale(axes.xaxis, 1, rank, 5 if len(shown) > 1 else 9)
        axes.set(yscale="log", ylim=(0.05, None))
        axes.set_yticks((0.1, 1, 10, 100), ("0.1", "1", "10", "100"))
        axes.minorticks_off()
    for axes in panels[-1]:
        axes.set(xlabel="direction, by importance")
    for axes in panels[:, 0]:
        axes.set(ylabel="importance, times the mean")
    style.legend(figure, panels[0, 0])
    alt = f"Falling curves on log axes. Times the mean, {'; '.join(told)}."
    return Drawing(figure, alt, style.stacked(data))


def top_directions(shown: Mapping[str, tuple[Measured, Array]]) -> Drawing:
    """Each coordinate's activation profile (d,) against its component in the top direction.

    `shown`: title → a measurement of privileged directions, and the images' activation profile. The
    largest component and the highest profile are named.
    """
    figure, panels = style.panels(shown, min(3, len(shown)), 2.6, sharex=True, sharey=True)
    told = []
    for axes, (title, (m, profile)) in zip(panels.flat, shown.items(), strict=False):
        size = np.abs(m.value("top_components"))
        axes.scatter(profile, size, s=14, color=_colour(m), linewidth=0)
        largest, leader = int(size.argmax()), int(profile.argmax())
        for c in {largest, leader}:
            _name(axes, c, (profile[c], size[c]), (5, 3))
        told.append(
            f"{title}: coordinate {leader}, the images' largest at {profile[leader]:.3g} times the "
            f"mean, has a component of {size[leader]:.3f}; the largest component, "
            f"{size[largest]:.3f}, is that of coordinate {largest}, at {profile[largest]:.3g} "
            "times the mean over images."
        )
    every = np.concatenate([profile for _, profile in shown.values()])
    for axes in panels.flat:
        style.log_scale(axes.xaxis, every.min(), every.max(), 4)
    figure.supxlabel("activation profile of the images (times the mean, log scale)", fontsize=10)
    figure.supylabel("size of the component in the top direction", fontsize=10)
    data = (
        {
            "of": title, "coordinate": np.arange(len(profile)), "profile, times the mean": profile,
            "component in the top direction": np.abs(m.value("top_components")),
        }
        for title, (m, profile) in shown.items()
    )  # fmt: skip
    alt = f"Scatter plots of coordinates. {' '.join(told)}"
    return Drawing(figure, alt, style.stacked(data))


def pruned(m: Measured) -> tuple[Array, Array, Array]:
    """Accuracy with the 1, 2, … most important directions, and its change from the whole head's.

    That change, and half of its 95 % interval; fractions, all (rank,).
    """
    difference, error = (m.value(f"difference_importance{part}") for part in ("", "_error"))
    return m.value("accuracy_importance"), difference, 1.96 * error


def pruning_curves(m: Measured) -> dict[str, dict[str, Curve]]:
    """For `pruning`: a measurement's accuracy in four orders, and what pruning costs."""
    best, cost, error = pruned(m)
    kept = np.arange(1, len(best) + 1)
    bands = {
        "importance": (best - error, best + error),
        "random": (m.value("accuracy_random_lowest"), m.value("accuracy_random_highest")),
    }
    accuracy = {o: Curve(kept, m.value(f"accuracy_{o}"), *bands.get(o, ())) for o in ORDERS}
    difference = {"importance": Curve(kept, cost, cost - error, cost + error)}
    return {"accuracy (%)": accuracy, "difference (points)": difference}


def pruning(shown: Mapping[str, Mapping[str, Mapping[str, Curve]]]) -> Drawing:
    """Curves against the share of directions pruned; `shown`: model → label of y axis → order.

    Each model has a row of panels. Vertical: the paper's 80 %. Losses above 20 points are cut off.
    """
    columns = len(next(iter(shown.values())))
    figure, grid = style.new_figure(
        columns, len(shown), width=7.2 if columns < 2 else 8.4, height=1.2 + 2.6 * len(shown),
        sharex=True, squeeze=False,
    )  # fmt: skip
    told = []
    for panels, (title, by_label) in zip(grid, shown.items(), strict=True):
        panels[0].set_title(title)
        for axes, (label, by_order) in zip(panels, by_label.items(), strict=True):
            for order, curve in by_order.items():
                _draw_pruning(axes, order, curve)
            lowest = 100 * min(np.asarray(curve.values).min() for curve in by_order.values())
            axes.set(xlim=(0, 100), ylim=(max(1.1 * lowest, -20) if lowest < 0 else 0, None))
            axes.set(ylabel=label)
            axes.axvline(80, color=style.INK, linewidth=1, linestyle=DASHED)
            axes.axhline(0, color=style.INK, linewidth=0.8)
            told.append(f"{title}, {label}: {'; '.join(map(_at_a_fifth, by_order.items()))}")
    for axes in grid[-1]:
        axes.set(xlabel="directions pruned (%)")
    style.legend(figure, grid[0, 0])
    data = (
        {"of": title, "quantity": label, "order": ORDERS[order][0]} | curve.rows()
        for title, by_label in shown.items()
        for label, by_order in by_label.items()
        for order, curve in by_order.items()
    )
    return Drawing(figure, minus(f"Falling curves. {'. '.join(told)}."), style.stacked(data))


def venn(shown: Mapping[str, Mapping[str, int]]) -> Drawing:
    """Circles for three levels' concepts with the size of each of `REGIONS`; areas approximate."""
    from matplotlib_venn import venn3

    levels = ("zero_shot", "finetuned", "supervised")
    names = [LEVEL_STYLES[level].title for level in levels]
    figure, panels = style.panels(shown, min(2, len(shown)), 2.6)
    for axes, regions in zip(panels.flat, shown.values(), strict=False):
        codes = {"".join("01"[v in inside] for v in levels): inside for inside in REGIONS.values()}
        sizes = dict(zip(codes, map(regions.__getitem__, REGIONS), strict=True))
        drawn = venn3(sizes, set_labels=names, ax=axes)
        for code, inside in codes.items():
            patch = drawn.get_patch_by_id(code)
            if patch is not None:  # an empty region has none
                mixed = np.mean([to_rgb(LEVEL_STYLES[level].colour) for level in inside], axis=0)
                patch.set(facecolor=mixed, edgecolor=style.PAPER, alpha=0.5)
        for label in filter(None, (*drawn.set_labels, *drawn.subset_labels)):
            label.set(color=style.INK, fontsize=9)
        for level, label in zip(levels, drawn.set_labels, strict=True):
            if label and not sum(regions[n] for n, who in REGIONS.items() if level in who):
                label.set_visible(False)  # beside another's circle it would name that one
    where = {
        name: "all three" if name == "all" else " and ".join(inside).replace("_", "-") + " only"
        for name, inside in REGIONS.items()
    }
    told = (
        f"{title}: " + ", ".join(f"{where[name]} {regions[name]}" for name in REGIONS)
        for title, regions in shown.items()
    )
    data = (
        {"of": title, "encoded by": where[name], "concepts": regions[name]}
        for title, regions in shown.items()
        for name in REGIONS
    )
    return Drawing(figure, f"Venn diagrams. {'; '.join(told)}.", style.stacked(data))


def curves(
    shown: Mapping[str, Mapping[str, tuple[str, ArrayLike, ArrayLike]]],
    xlabel: str,
    steps: bool = False,
) -> Drawing:
    """Lines in panels; `shown`: label of the y axis → title → level, x, y."""
    figure, grid = style.new_figure(columns=len(shown), height=3.6, squeeze=False)
    told = []
    for axes, (label, lines) in zip(grid[0], shown.items(), strict=True):
        _lines(axes, lines, drawstyle="steps-mid" if steps else "default")
        axes.set(xlabel=xlabel, ylabel=label)
        ends = (
            f"{title} {digits(np.ravel(y)[0])} to {digits(np.ravel(y)[-1])}"
            for title, (_, _, y) in lines.items()
        )
        told.append(f"{label}, first and last: {'; '.join(ends)}.")
    style.legend(figure, grid[0, 0])
    data = (
        {"of": title, "quantity": label, xlabel: x, "value": y}
        for label, lines in shown.items()
        for title, (_, x, y) in lines.items()
    )
    return Drawing(figure, f"Lines. {' '.join(told)}", style.stacked(data))


def ends(shown: Mapping[str, Sequence[int]], images: Array, names: Sequence[str]) -> Drawing:
    """Pictures at both ends of a direction: title → rows of ``images``, the highest ones first."""
    half = max(map(len, shown.values())) // 2
    told = "; ".join(
        f"{title}: highest {names[rows[0]]}, lowest {names[rows[-1]]}"
        for title, rows in shown.items()
    )
    drawing = pictures(
        {
            title.replace(", ", ",\n"): [images[row] for row in rows]
            for title, rows in shown.items()
        },
        f"Rows of small drawings, one row for each model. {told}.",
        {0: "highest", half: "lowest"},
    )
    data = (
        {"of": title, "place": range(1, len(rows) + 1), "picture": [names[row] for row in rows]}
        for title, rows in shown.items()
    )
    return drawing._replace(data=style.stacked(data))


def pictures(
    shown: Mapping[str, Sequence[ArrayLike]], alt: str, titles: Mapping[int, str] | None = None
) -> Drawing:
    """Rows of small pictures; `titles` stand above columns, `alt` says what is to be seen."""
    columns = max(map(len, shown.values()))
    height = 0.7 * len(shown) + 0.3
    figure, grid = style.new_figure(columns, len(shown), 8, height, squeeze=False)
    for panels, (title, images) in zip(grid, shown.items(), strict=True):
        for axes, image in zip(panels, images, strict=True):
            axes.imshow(np.asarray(image), interpolation="none")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    for column, text in (titles or {}).items():
        grid[0, column].set_title(text, fontsize=9)
    return Drawing(figure, alt)


def _lines(
    axes: Axes, shown: Mapping[str, tuple[str, ArrayLike, ArrayLike]], **options: Any
) -> None:
    """Lines of title → level, x, y: the first, second, … of one level in the `LINES`."""
    seen = Counter[str]()
    for title, (level, x, y) in shown.items():
        line = LINES[seen[level] % len(LINES)]
        colour = LEVEL_STYLES[level].colour
        axes.plot(x, y, linewidth=1.8, label=title, color=colour, linestyle=line, **options)
        seen[level] += 1


def _draw_pruning(axes: Axes, order: str, curve: Curve) -> None:
    """One order's curve, thin where it is not sound, and its band."""
    name, colour, line = ORDERS[order]
    kept, values = np.asarray(curve.kept), 100 * np.asarray(curve.values)
    pruned = 100 * (1 - kept / kept[-1])
    sound = values if curve.sound is None else np.where(curve.sound, values, np.nan)
    axes.plot(pruned, values, color=colour, linewidth=0.8, linestyle=line)
    axes.plot(pruned, sound, color=colour, linewidth=1.9, linestyle=line, label=name)
    if curve.low is not None and curve.high is not None:
        ends = 100 * np.asarray(curve.low), 100 * np.asarray(curve.high)
        axes.fill_between(pruned, *ends, color=colour, alpha=0.18, linewidth=0)


def _at_a_fifth(pruned: tuple[str, Curve]) -> str:
    """One order's values with all directions and with a fifth of them, in words."""
    order, curve = pruned
    kept, values = np.asarray(curve.kept), 100 * np.asarray(curve.values)
    at = int(np.abs(kept - 0.2 * kept[-1]).argmin())
    whole, left = f"{values[-1]:.1f} with all {kept[-1]}", f"{values[at]:.1f} with {kept[at]}"
    return f"{ORDERS[order][0]}, {whole}, {left}"


def _name(
    axes: Axes, name: int, at: tuple[float, float], offset: tuple[int, int], side: str = "left"
) -> None:
    """Write a coordinate's number beside its mark."""
    axes.annotate(
        str(name), at, xytext=offset, textcoords="offset points", ha=side, fontsize=9,
        color=style.INK,
    )  # fmt: skip


def _colour(m: Measured) -> str:
    return LEVEL_STYLES[m.level].colour
