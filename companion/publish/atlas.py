"""The atlas's figures: all published models at once. Data in, figure and alternative text out.

As in `dots`; accuracies and effective robustness are fractions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.indicators import interval
from analysis.metrics.robustness import Baseline, bootstrap_baselines, logit
from companion.publish import dots, style
from companion.publish.compared import with_ends
from companion.publish.dots import Marks
from companion.publish.style import LEVEL_STYLES, Drawing, minus, percent, points


def with_interval(
    statistic: Callable[..., float], models: pd.DataFrame, *columns: str, resamples: int, seed: int
) -> str:
    """A statistic of columns, and its 95 % interval from resampled data families (`group`)."""
    values = [models[column] for column in columns]
    drawn = interval(statistic, models["group"], *values, resamples=resamples, seed=seed)
    return with_ends(statistic(*values), drawn)


def matched(supervised: pd.DataFrame, zero_shot: pd.DataFrame, finetuned: pd.DataFrame) -> Drawing:
    """Effective robustness against ImageNet accuracy, finetuned models joined to their peers.

    Columns imagenet and er; of `finetuned` also model, image_size and expected, the ER expected of
    supervised models at its accuracy, NaN where that is not known.
    """
    known = finetuned.dropna(subset=["expected"])
    every = {"supervised": supervised, "zero_shot": zero_shot, "finetuned": finetuned}
    percents = {name: 100 * m["imagenet"] for name, m in (every | {"known": known}).items()}
    marks = [
        Marks("supervised", "supervised", percents["supervised"], supervised["er"], look="small",
              names=supervised["model"]),
        Marks("zero-shot CLIP", "zero_shot", percents["zero_shot"], zero_shot["er"], look="small",
              names=zero_shot["model"]),
        Marks("finetuned CLIP", "finetuned", percents["finetuned"], finetuned["er"],
              finetuned["expected"], finetuned["er"], names=finetuned["model"]),
        Marks("expected at that accuracy", "supervised", percents["known"], known["expected"],
              look="hollow", names=known["model"]),
    ]  # fmt: skip
    label = "effective robustness, four shifts (points)"
    drawing = dots.scatter({"": marks}, label, "ImageNet top-1 (%)")
    told = (
        f"{m['model']} at {percent(m['imagenet'])} % on ImageNet {points(m['er'])}, expected of "
        f"supervised models of its accuracy {points(m['expected'])}"
        for m in known.to_dict("records")
    )
    return drawing._replace(alt=f"Scatter plot, {label}. {'; '.join(told)}.")


def one_line(
    others: pd.DataFrame,
    shown: pd.DataFrame,
    line: Baseline,
    resamples: int,
    seed: int,
    titles: tuple[str, str],
    parabola: NDArray[np.float64],
) -> Drawing:
    """Zero-shot models on logit axes, and line and parabola through those of one collection.

    Columns imagenet and shifted; `titles` of the collection and of the others; `parabola`: its
    coefficients in logits. The band: 95 % of the line's refits to resampled models.
    """
    every = pd.concat([others, shown])[["imagenet", "shifted"]]
    ends = [(0.8 * every[axis].min(), 1 - 0.8 * (1 - every[axis].max())) for axis in every]
    figure, axes = style.new_figure(height=5)
    x = np.linspace(*ends[0], 400)
    refits = bootstrap_baselines(shown["imagenet"], shown["shifted"], resamples, seed)
    band = np.percentile([refit.predict(x) for refit in refits], [2.5, 97.5], axis=0)
    axes.fill_between(x, *band, color=style.INK, alpha=0.18, linewidth=0)
    axes.plot(x, line.predict(x), color=style.INK, linewidth=1.2, label=f"line of {titles[0]}")
    bent = 1 / (1 + np.exp(-np.polyval(parabola, logit(x))))
    axes.plot(x, bent, color=style.INK, linewidth=1.2, linestyle=(0, (4, 3)), label="its parabola")
    axes.scatter(
        others["imagenet"], others["shifted"], s=22, color=style.MUTED, alpha=0.55, linewidth=0,
        label=f"{titles[1]} ({len(others)})",
    )  # fmt: skip
    _, colour, marker = LEVEL_STYLES["zero_shot"]
    axes.scatter(
        shown["imagenet"], shown["shifted"], s=46, color=colour, marker=marker, zorder=4,
        edgecolor=style.PAPER, linewidth=0.8, label=f"{titles[0]} ({len(shown)})",
    )  # fmt: skip
    for axis, limits in ((axes.xaxis, ends[0]), (axes.yaxis, ends[1])):
        style.logit_scale(axis, limits)
    axes.set(xlim=ends[0], ylim=ends[1])
    axes.set(xlabel="ImageNet top-1 (%, logit scale)", ylabel="mean top-1 of five shifts (%)")
    style.legend(figure, axes)
    off = shown["shifted"] - line.predict(shown["imagenet"])
    told = (
        f"{titles[0]} from {percent(shown['imagenet'].min())} to "
        f"{percent(shown['imagenet'].max())} % on ImageNet, {points(off.min())} to "
        f"{points(off.max())} points off their line; {titles[1]} "
    )
    off = others["shifted"] - line.predict(others["imagenet"])
    alt = f"Scatter plot on logit axes. {told}{points(off.min())} to {points(off.max())}."
    data = (
        {
            "marks": title,
            "model": own["model"], "weights": own["weights"],
            "ImageNet top-1 (%)": 100 * own["imagenet"],
            "mean top-1 of five shifts (%)": 100 * own["shifted"],
        }
        for title, own in zip(titles, (shown, others), strict=True)
    )  # fmt: skip
    return Drawing(figure, alt, style.stacked(data))


def two_axes(x: ArrayLike, y: ArrayLike, groups: ArrayLike, labels: tuple[str, str]) -> Drawing:
    """Two quantities of each model, and the mean of each group of two or more with its name.

    `x`, `y`: numbers, (models,); `groups`: names.
    """
    figure, axes = style.new_figure(height=5)
    frame = pd.DataFrame({"x": np.asarray(x), "y": np.asarray(y), "group": np.asarray(groups)})
    _, colour, marker = LEVEL_STYLES["zero_shot"]
    axes.scatter(frame["x"], frame["y"], s=14, color=colour, alpha=0.55, linewidth=0, label="model")
    means = frame.groupby("group").filter(lambda own: len(own) > 1).groupby("group").mean()
    axes.scatter(
        means["x"], means["y"], s=60, color=colour, marker=marker, zorder=4, linewidth=0.8,
        edgecolor=style.PAPER, label="mean of a data family",
    )  # fmt: skip
    reach = 0.25 * np.ptp(frame["x"]), 0.06 * np.ptp(frame["y"])
    for name, at in means.iterrows():
        right = means[(means["x"] > at["x"]) & (means["x"] < at["x"] + reach[0])]
        crowded = ((right["y"] - at["y"]).abs() < reach[1]).any()
        axes.annotate(
            str(name), (at["x"], at["y"]), xytext=(-6 if crowded else 6, 5), fontsize=9, zorder=5,
            textcoords="offset points", ha="right" if crowded else "left", color=style.INK,
        )  # fmt: skip
    for zero in (axes.axhline, axes.axvline):
        zero(0, color=style.INK, linewidth=0.8)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    style.legend(figure, axes)
    told = (f"{name} {at['x']:.2f}, {at['y']:.2f}" for name, at in means.iterrows())
    alt = f"Scatter plot, {labels[0]} and {labels[1]}. Means: {'; '.join(told)}."
    data = frame[["group", "x", "y"]].set_axis(["data family", *labels], axis="columns")
    return Drawing(figure, minus(alt), data)
