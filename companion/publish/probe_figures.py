"""Drawings and tables of a `Probe`, for its report and for the book's chapter.

Each drawing returns a figure, a caption and an alternative text; where they are published is not
decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.families.registry import level_title
from companion.probe import KURTOSIS_THRESHOLD, Interval, Probe, Recorded, named, percent
from companion.publish import charts, style
from companion.publish.style import LEVEL_STYLES
from companion.publish.words import digits

COLOUR = "#1f83c4"
_TICKS = (2, 3, 6, 10, 20, 50, 100, 200, 500, 1000)


class Drawing(NamedTuple):
    """A figure with its caption and its alternative text."""

    figure: Figure
    caption: str
    alt: str


def draw_kurtosis(probes: Mapping[str, Probe]) -> Drawing:
    """How κ is distributed over the images, above the mean κ of the recorded models.

    `probes`: title → probe, at least one; the recorded models are those of the first.
    """
    first = next(iter(probes.values()))
    others = first.place.others
    levels = [level for level in LEVEL_STYLES if level in {other.level for other in others}]
    figure, (above, below) = style.new_figure(
        rows=2, height=3.4 + 0.28 * (len(levels) + len(probes) // 3), sharex=True,
        gridspec_kw={"height_ratios": [2.2, 0.3 + 0.32 * max(1, len(levels))]},
    )  # fmt: skip
    for (title, found), (colour, line) in zip(probes.items(), _looks(probes), strict=True):
        percentiles = found.kurtosis.percentiles
        above.plot(percentiles, np.arange(101), color=colour, linewidth=1.8, linestyle=line,
                   label=title)  # fmt: skip
    above.set(ylim=(0, 100), ylabel="images with less (%)")
    _recorded(below, levels, others)
    for axes in (above, below):
        _references(axes, first.kurtosis.mean if len(probes) == 1 else None)
    above.annotate("Gaussian", (3, 0), xytext=(4, 4), textcoords="offset points", fontsize=9)
    ends = [found.kurtosis.percentiles[end] for found in probes.values() for end in (0, -1)]
    values = [*ends, 3, KURTOSIS_THRESHOLD, *(other.kurtosis for other in others)]
    below.set(xlim=(min(values) * 0.9, max(values) * 1.12))
    below.set(xlabel="activation kurtosis κ (log scale)")
    own = ""
    if len(probes) > 1:
        figure.legend(loc="outside lower center", ncols=3, handles=above.get_lines()[: len(probes)])
    else:
        own = ", and this checkpoint's mean (blue)"
    return Drawing(
        figure,
        "Above, the activation kurtosis of single images; below, the mean κ of the models that "
        f"were recorded. Vertical lines: the Gaussian's 3, the {KURTOSIS_THRESHOLD:g} from which κ "
        f"counts as far above it here (dashed){own}.",
        "Cumulative distributions of κ on a log axis. "
        + "; ".join(f"{title}: {_spread(found)}" for title, found in probes.items())
        + ". Mean κ of recorded models: "
        + (", ".join(f"{o.model} {digits(o.kurtosis)}" for o in others) or "none")
        + ".",
    )


def draw_profile(probes: Mapping[str, Probe]) -> Drawing:
    """The activation profiles, a panel each, outlier coordinates named; `probes`: title → probe."""
    count = len(probes)
    figure, panels = style.new_figure(
        rows=count, height=1.3 + 1.6 * count, sharex=True, squeeze=False
    )
    threshold = next(iter(probes.values())).outlier_threshold
    for axes, (title, found) in zip(panels[:, 0], probes.items(), strict=True):
        profile = np.array(found.profile)
        level = found.about.get("model", {}).get("level", "zero_shot") if count > 1 else "zero_shot"
        charts.draw_profile(axes, profile, level, threshold)
        axes.set_ylim(0, 1.12 * max(profile.max(), threshold))
        axes.set_title(title if count > 1 else "")
    panels[-1, 0].set(xlabel="coordinate")
    figure.supylabel("times the mean coordinate", fontsize=9)
    return Drawing(
        figure,
        "How large each coordinate is on average over images, relative to the mean coordinate (1, "
        f"thin line). Dashed: {threshold:g}, from where it counts as an outlier.",
        "Stem plots over all coordinates. "
        + "; ".join(f"{title}: {_largest(found)}" for title, found in probes.items())
        + ".",
    )


def draw_sample(found: Probe) -> Drawing:
    """A heat map of single images at some coordinates."""
    sample, coordinates = np.array(found.sample), found.sample_coordinates
    figure, axes = style.new_figure(height=4.2)
    limit = np.abs(sample).max()
    drawn = axes.imshow(sample, aspect="auto", cmap="PuOr_r", norm="symlog", vmin=-limit,
                        vmax=limit, interpolation="nearest")  # fmt: skip
    axes.set_xticks(range(len(coordinates)), coordinates, rotation=90, fontsize=8)
    axes.set(xlabel="coordinate", ylabel="image")
    axes.grid(False)
    half = len(coordinates) / 2
    axes.axvline(half - 0.5, color=style.INK, linewidth=1)
    bar = figure.colorbar(drawn, ax=axes, label="z (standard deviations)")
    ticks = [t for t in (1, 3, 10, 30) if t <= limit]
    bar.set_ticks([-t for t in reversed(ticks)] + [0, *ticks])
    bar.set_ticklabels([f"−{t}" for t in reversed(ticks)] + ["0", *map(str, ticks)])
    bar.minorticks_off()
    first = sample[:, 0]
    return Drawing(
        figure,
        f"The first {len(sample)} images (rows) at {len(coordinates)} coordinates (columns): left "
        "of the line those of the highest profile, right of it others spread over the rest. An "
        "outlier feature is a column that is far from zero in every image.",
        f"Heat map of standardised activations. The first column, coordinate {coordinates[0]}, "
        f"lies between {style.minus(f'{first.min():.1f}')} and "
        f"{style.minus(f'{first.max():.1f}')} standard deviations.",
    )


def draw_importance(found: Probe) -> Drawing | None:
    """Sorted importance of the head's directions, also with the head centred; None if no head."""
    head = found.head
    if head is None:
        return None
    figure, axes = style.new_figure(height=3.4)
    curves = (
        ("importance", head.importance, "-"),
        ("the same, head centred", head.importance_centred, (0, (4, 2))),
    )
    for label, values, line in curves:
        axes.plot(np.arange(1, len(values) + 1), values, color=COLOUR, linewidth=1.8, label=label,
                  linestyle=line)  # fmt: skip
    axes.axhline(1, color=style.INK, linewidth=0.8)
    axes.axhline(head.threshold, color=style.INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xscale="log", yscale="log", ylim=(0.05, None))
    axes.set_xticks(*charts.labelled(*(t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
                                       if t <= head.directions)))  # fmt: skip
    axes.set_yticks(*charts.labelled(0.1, 1, 10, 100))
    axes.minorticks_off()
    axes.set(xlabel="direction, the most important first (log scale)",
             ylabel="importance, times the mean")  # fmt: skip
    axes.legend()
    return Drawing(
        figure,
        "How strongly the head reads each of its directions, relative to the mean (1, thin "
        f"line). Dashed line: {head.threshold:g}, from where a direction counts as privileged. "
        "Dashed curve: once the head's mean row is subtracted, which predicts the same classes.",
        f"Falling curves on log axes. The first direction is at {digits(head.top)} times the mean, "
        f"with the head centred at {digits(head.top_centred)} times.",
    )


def measured(found: Probe) -> pd.DataFrame:
    """What was measured, as a table of words: one row per quantity."""
    k, head = found.kurtosis, found.head
    enough = "enough" if found.enough else "not enough"
    rows = [
        ("activation kurtosis κ", digits(k.mean),
         f"95 % interval {digits(k.interval.low)} to {digits(k.interval.high)}; a Gaussian gives "
         "3"),
        ("κ of single images", f"{digits(k.percentiles[5])} to {digits(k.percentiles[95])}",
         f"90 % of the images; median {digits(k.percentiles[50])}"),
        ("outlier coordinates", named(found),
         f"at least {found.outlier_threshold:g} times as large as the mean coordinate"),
        ("persistence", percent(found.persistence.fraction),
         f"coordinate {found.leader} is the largest in {found.persistence.count} of "
         f"{found.images} images; {_interval(found.persistence.interval)}"),
        ("leaders", str(found.leaders), "different coordinates that are the largest somewhere"),
        ("last layer", found.layer.kind,
         f"{percent(found.layer.negatives)} of the components negative, "
         f"{percent(found.layer.zeros)} exactly zero"),
        ("images", f"{found.images}",
         f"{enough}: about {found.images_needed} give κ to ± 5 % (95 % interval)"),
    ]  # fmt: skip
    if head is None:
        rows.append(
            (
                "privileged directions",
                "not looked at",
                "the checkpoint has no classifier of its own",
            )
        )
    else:
        rows += [
            ("privileged directions", str(head.privileged),
             f"of {head.directions}, at least {head.threshold:g} times the mean importance; "
             f"{head.privileged_centred} with the head centred"),
            ("largest importance", f"{digits(head.top)} times",
             f"the mean importance; {digits(head.top_centred)} times with the head centred"),
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=["quantity", "value", "remark"])


def among_recorded(found: Probe) -> pd.DataFrame:
    """This checkpoint among the recorded models, by falling κ."""
    model = found.about.get("model", {})
    level = model.get("level") if model.get("name") == found.name else None  # else it is a guess
    own = Recorded(
        found.name, level, "images", found.kurtosis.mean,
        found.persistence.fraction, found.images, found.layer.kind == "signed",
    )  # fmt: skip
    rows = sorted([own, *found.place.others], key=lambda r: -r.kurtosis)
    return pd.DataFrame(
        {
            "model": [f"{r.model} (this one)" if r is own else r.model for r in rows],
            "κ": [digits(r.kurtosis) for r in rows],
            "persistence": [percent(r.persistence) for r in rows],
            "last layer": ["signed" if r.signed else "not signed" for r in rows],
            "level": [_level(r) for r in rows],
            "images": [_images(r) for r in rows],
        }
    )


def place_in_words(found: Probe) -> str:
    """Where this checkpoint stands among the recorded models."""
    place, kind = found.place, "signed" if found.layer.kind == "signed" else "not signed"
    if place.among == 1:
        return f"There is no recorded model whose last layer is {kind}, so no rank is given."
    return (
        f"By κ it is number {place.rank} of {place.among} models whose last layer is {kind}, "
        "itself included. They were measured on other images, and κ depends on the images: small "
        "differences mean nothing."
    )


def _level(of: Recorded) -> str:
    if not of.level:
        return ""
    return level_title(of.level, "pocket" if of.model.startswith("pocket-") else "paper")


def _images(of: Recorded) -> str:
    return of.data if of.data.startswith(f"{of.images} ") else f"{of.images} {of.data}"


def _recorded(axes: Axes, levels: Sequence[str], others: tuple[Recorded, ...]) -> None:
    for row, level in enumerate(levels):
        own = [other.kurtosis for other in others if other.level == level]
        style.level_points(axes, level, own, [row] * len(own), alpha=0.9)
    axes.set_yticks(range(len(levels)), [level.replace("_", "-") for level in levels])
    axes.set_ylim(len(levels) - 0.4, -0.6)
    axes.grid(False, axis="y")


def _looks(probes: Mapping[str, Probe]) -> list[tuple[str, str]]:
    """Colour and line of each curve: the level's colour, other lines where levels repeat."""
    if len(probes) == 1:
        return [(COLOUR, "-")]
    levels = [found.about.get("model", {}).get("level", "zero_shot") for found in probes.values()]
    lines = ["-", "--", ":", "-."]
    return [
        (LEVEL_STYLES[level].colour, lines[levels[:place].count(level) % len(lines)])
        for place, level in enumerate(levels)
    ]


def _spread(found: Probe) -> str:
    k = found.kurtosis
    return (
        f"mean {digits(k.mean)}, median {digits(k.percentiles[50])}, from "
        f"{digits(k.percentiles[0])} to {digits(k.percentiles[100])}"
    )


def _largest(found: Probe) -> str:
    top = int(np.argmax(found.profile))
    return (
        f"coordinate {top} is the largest, {digits(found.profile[top])} times the mean coordinate, "
        f"outlier coordinates: {named(found)}"
    )


def _references(axes: Axes, mean: float | None) -> None:
    axes.axvline(3, color=style.INK, linewidth=1)
    axes.axvline(KURTOSIS_THRESHOLD, color=style.INK, linewidth=1, linestyle=(0, (4, 3)))
    if mean is not None:
        axes.axvline(mean, color=COLOUR, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_xticks(*charts.labelled(*_TICKS))
    axes.minorticks_off()


def _interval(interval: Interval) -> str:

    return f"95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f} %"
