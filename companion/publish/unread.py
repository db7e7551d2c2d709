"""Images without what their model's texts do not vary along: rows, figures and sentences.

A *pair* is one measurement and one of its sets of texts, by place. A set with no more texts than
components leaves directions in which nothing can vary, so "no variance" may be "too few texts".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from companion.measurements.records import Measurement
from companion.publish import encoders, style
from companion.publish.style import LEVEL_STYLES, Drawing, digits, minus, span

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
        """The share of energy that as many random directions hold on average."""
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
        "model": encoders.told(m) + f": {m.data.title}" * images,
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
    """κ and accuracy against the directions dropped, next to random ones: a column for each."""
    figure, grid = style.new_figure(
        len(shown), 2, 8.4, 5, sharex="col", sharey="row", squeeze=False
    )
    told, data = [], []
    for column, m in zip(grid.T, shown, strict=True):
        width = m.counts["components"]
        share = 100 * m.value("steps")[1:] / width
        pair, colour = Pair(m, 0), LEVEL_STYLES[m.level].colour
        lines = {"kurtosis": "activation kurtosis κ", "accuracy": "accuracy (%)"}
        for axes, (name, label) in zip(column, lines.items(), strict=True):
            scale = 1 if name == "kurtosis" else 100
            least, random = m.value(f"curve_{name}")[0], m.value(f"curve_{name}_random")
            for values, look, who in (
                (least, {"color": colour, "linewidth": 1.8}, "least text variance first"),
                (random, {"color": style.MUTED, "linestyle": "--"}, "random directions"),
            ):
                axes.plot(share, scale * values[1:], label=who, **look)
                data.append({"of": encoders.told(m), "quantity": label, "dropped": who,
                             "directions (%)": share, label: scale * values[1:]})  # fmt: skip
            axes.axvline(100 * pair.chance, color=style.INK, linewidth=0.8, linestyle=":")
        style.log_scale(column[1].xaxis, share[0], share[-1], 4)
        column[0].set_title(encoders.told(m).replace(" ", "\n", 1), fontsize=10)
        told.append(
            f"{encoders.told(m)} on {m.data.title}: κ {digits(m.value('kurtosis'))}, "
            f"{digits(pair.at('kurtosis_without'))} without {pair.at('dropped'):.0f} of {width} "
            f"directions, {digits(pair.at('kurtosis_random'))} without as many random ones, "
            f"accuracy {pair.change()} points"
        )
    every = np.concatenate([m.value("curve_kurtosis")[0] for m in shown])
    style.log_scale(grid[0, 0].yaxis, every.min(), every.max(), 6)
    for axes, label in zip(grid[:, 0], ("κ (log scale)", "accuracy (%)"), strict=True):
        axes.set(ylabel=label)
    grid[1, 0].set_ylim(0, None)
    for axes in grid[1]:
        axes.set(xlabel="directions\ndropped (%)")
    style.legend(figure, grid[0, 0])
    return Drawing(figure, minus(f"Falling curves. {'; '.join(told)}."), style.stacked(data))


def directions(shown: Sequence[Measurement]) -> Drawing:
    """For each direction, how much texts vary along it and how much energy images have in it."""
    figure, grid = style.panels([encoders.told(m) for m in shown], 2, 2.8, sharex=True, sharey=True)
    told, data, floor = [], [], 1e-9
    for axes, m in zip(grid.flat, shown, strict=False):
        width, colour = m.counts["components"], LEVEL_STYLES[m.level].colour
        variance, energy = (m.value(f"{of}") for of in ("text_variance", "image_energy"))
        at = np.maximum(variance, floor)
        axes.scatter(at, 100 * energy, s=10, color=colour, linewidth=0, alpha=0.7,
                     label="text direction")  # fmt: skip
        own = m.value("leader_variance")[0], m.value("leader_energy")
        axes.scatter(max(own[0], floor), 100 * own[1], marker="*", s=130, color=style.INK, zorder=5,
                     label="axis of the dominant coordinate")  # fmt: skip
        axes.axhline(100 / width, color=style.MUTED, linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log")
        told.append(
            f"{encoders.told(m)}: the axis of coordinate {m.value('leader')} holds "
            f"{100 * own[1]:.0f} % of the images' energy and {100 * own[0]:.2g} % of the texts' "
            f"variance, an average direction {100 / width:.2g} %"
        )
        data.append({"of": encoders.told(m), "share of text variance": variance,
                     "share of image energy": energy})  # fmt: skip
    for axes in grid[-1]:
        axes.set(xlabel="share of the texts' variance (log scale)")
    figure.supylabel("share of the images' energy (%, log scale)", fontsize=10)
    style.legend(figure, grid[0, 0])
    return Drawing(
        figure, minus(f"Scatter plots of directions. {'; '.join(told)}."), style.stacked(data)
    )


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


def exceptions(found: Iterable[Pair], most: float = 6) -> Iterator[str]:
    """Pairs whose κ stays above `most`, in words."""
    for p in found:
        if p.at("kurtosis_without") > most:
            yield (
                f"{encoders.told(p.m)} on {p.m.data.title}, directions by {p.title}: "
                f"κ {digits(p.at('kurtosis_without'))}"
            )
