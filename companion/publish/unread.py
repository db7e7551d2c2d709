"""Images without what their model's texts do not vary along: rows, figures and numbers.

A *pair* is one measurement and one of its sets of texts, by place. A set with no more texts than
components leaves directions in which nothing can vary, so "no variance" may be "too few texts".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from companion.measurements.records import Measurement
from companion.publish import plots, style
from companion.publish.measured import model_title
from companion.publish.style import LEVEL_STYLES, Drawing, digits, span

#: The share of the texts' variance, of those measured, that pages speak of.
SHARE = 1e-4


class Pair(NamedTuple):
    """What one set of texts found for one model's images, at `SHARE`."""

    m: Measurement
    texts: int

    @property
    def title(self) -> str:
        """Which texts, without what they are not, and without checksums."""
        told = re.sub(r", prompts [0-9a-f]{64}", "", self.m.names["text_rows"][self.texts])
        return told.partition(";")[0].partition(", one per")[0]

    @property
    def enough(self) -> bool:
        """Whether there are more texts than components."""
        return bool(self.m.value("text_rows")[self.texts] > self.m.counts["components"])

    def at(self, name: str, share: float = SHARE) -> float:
        """A quantity of these texts at a share of their variance."""
        place = int(np.abs(self.m.value("shares") - share).argmin())
        return float(self.m.value(name)[self.texts][place])

    @property
    def chance(self) -> float:
        """The share of energy that the same number of random directions hold on average."""
        return self.at("dropped") / self.m.counts["components"]

    @property
    def judged(self) -> bool:
        """Whether images have classes, and other texts than these judge."""
        return bool(self.m.value("accuracy_without").size) and not self.in_sample

    @property
    def in_sample(self) -> bool:
        """Whether those texts judge that chose the directions."""
        return bool(self.m.value("judged_by_itself")[self.texts])

    def change(self) -> str:
        """What dropping changes in accuracy, with its 95 % interval, and what random ones do."""
        if not self.m.value("accuracy_without").size:
            return "no classes"
        value, error = (self.at(f"difference_without{part}") for part in ("", "_error"))
        return style.points(value, 1.96 * error) + ", in sample" * self.in_sample


def pairs(found: Iterable[Measurement]) -> list[Pair]:
    """Every pair: of each measurement those sets first that are no head of its images."""
    return [Pair(m, place) for m in found for place in range(len(m.names["text_rows"]))]


def row(pair: Pair, share: float = SHARE, images: bool = True) -> dict[str, str]:
    """A pair as the cells of a row."""
    m = pair.m

    def at(name: str) -> float:
        return pair.at(name, share)

    low, high = (digits(at(f"kurtosis_random_{end}")) for end in ("lowest", "highest"))
    chance = at("dropped") / m.counts["components"]
    return {
        "model": model_title(m) + f": {m.data.title}" * images,
        "texts": pair.title + " (too few)" * (not pair.enough),
        "dropped": f"{at('dropped'):.0f} of {m.counts['components']}",
        "κ": digits(m.value("kurtosis")),
        "κ without": digits(at("kurtosis_without")),
        "κ, random": f"{low} to {high}",
        "accuracy (points)": pair.change() if share == SHARE else "",
        "energy (%)": f"{100 * at('energy'):.0f} ({100 * chance:.0f})",
        "dominant (%)": f"{100 * at('leader_inside'):.0f}",
        "equal (%)": f"{100 * at('equal_without'):.1f} ({100 * at('equal_random'):.1f})",
    }


def curves(shown: Sequence[Measurement]) -> Drawing:
    """κ and accuracy against the directions dropped, next to random ones: a row for each model."""
    x, quantities = "directions dropped (%)", {"kurtosis": "κ", "accuracy": "accuracy (%)"}
    least, random = "least text variance first", "random directions"
    looks = {
        least: plots.Look(LEVEL_STYLES["zero_shot"].colour),
        random: plots.Look(style.MUTED, (4, 2)),
    }
    frame = style.stacked(
        {
            "panel": model_title(m),
            "quantity": label,
            "of": dropped,
            "value": scale * values[1:],
            x: 100 * m.value("steps")[1:] / m.counts["components"],
        }
        for m in shown
        for (name, label), scale in zip(quantities.items(), (1, 100), strict=True)
        for dropped, values in (
            (least, m.value(f"curve_{name}")[0]),
            (random, m.value(f"curve_{name}_random")),
        )
    )
    drawing = plots.lines(frame, x, "value", looks=looks, log="x", ticks=5, columns=2, height=1.8)
    for place, axes in enumerate(drawing.figure.axes):
        axes.axvline(
            100 * Pair(shown[place // 2], 0).chance, color=style.INK, linewidth=0.9, linestyle=":"
        )
        if place % 2:
            axes.set_ylim(0, None)
        else:
            style.log_scale(axes.yaxis, 2, 200, 5)
            axes.set_ylim(2, 200)
    return drawing


def directions(shown: Sequence[Measurement]) -> Drawing:
    """For each direction, how much texts vary along it and how much energy images have in it."""
    x, y = "share of the texts' variance (%)", "share of the images' energy (%)"
    frame = style.stacked(
        {
            "panel": model_title(m),
            "series": series,
            "level": level,
            "look": look,
            x: 100 * np.maximum(variance, 1e-9),
            y: 100 * np.atleast_1d(energy),
            "axis": words,
        }
        for m in shown
        for series, level, look, variance, energy, words in (
            (
                "text direction",
                m.level,
                "small",
                m.value("text_variance"),
                m.value("image_energy"),
                "",
            ),
            (
                "axis of the dominant coordinate",
                "random",
                "filled",
                m.value("leader_variance")[:1],
                m.value("leader_energy"),
                str(m.value("leader")),
            ),
        )
    )
    drawing = plots.scatter(frame, x, y, log="xy", ticks=5, labels="axis", height=2.6)
    for axes, m in zip(drawing.figure.axes, shown, strict=False):
        axes.axhline(100 / m.counts["components"], color=style.INK, linewidth=0.9, linestyle="--")
    return drawing


def ranges(found: Sequence[Pair]) -> dict[str, str]:
    """What the pairs have in common, as pieces of a sentence, by name."""
    known = [p for p in found if p.judged]
    largest = max(known, key=lambda p: abs(p.at("difference_without")), default=None)
    return {
        "pairs": f"{len(found)}",
        "models": f"{len({p.m.model for p in found})}",
        "before": span(p.m.value("kurtosis") for p in found),
        "after": span(p.at("kurtosis_without") for p in found),
        "random": span(p.at("kurtosis_random") for p in found),
        "energy": span((100 * p.at("energy") for p in found), "{:.0f}".format) + " %",
        "leader": span((100 * p.at("leader_inside") for p in found), "{:.0f}".format) + " %",
        "dropped": span((100 * p.chance for p in found), "{:.0f}".format) + " %",
        "cost": "not measured" if largest is None else largest.change(),
    }
