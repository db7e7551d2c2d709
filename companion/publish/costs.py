"""What extracting features costs, as tables: disk, speed on a CPU, and minutes on GPUs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.families.registry import Model
from companion.publish import style
from companion.publish.style import Drawing

#: Bytes that an image's label and its row number take.
LABEL_BYTES = 16
#: What the trial of the zoo noted of a model: name, unit, and how much of it is one.
ZOO_PANELS = (("seconds", "seconds", 1), ("memory", "memory (GB)", 1e9))
#: Commands whose growth is shown, and how.
GROWTH_LOOKS = tuple(
    (name, style.LEVEL_STYLES[level].colour, style.LEVEL_STYLES[level].marker)
    for name, level in (("status", "zero_shot"), ("claims", "finetuned"), ("build", "supervised"))
)
#: Numbers of GPUs that share the work.
GPUS = (1, 8)


def gigabytes(models: Sequence[Model], images: int, each: int) -> float:
    """Features of so many images by all models, at so many bytes a component."""
    return images * sum(m.width * each + LABEL_BYTES for m in models) / 1e9


def extractions(encoders: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Measured speed and memory of each encoder, as `data/throughput/full_size.json` has them."""
    return pd.DataFrame(
        {
            "encoder": one["architecture"],
            "images": f"{one['images']:,}",
            "files to features (images/s)": f"{one['images_per_second']:.1f}",
            "encoder alone (images/s)": " / ".join(f"{x:.1f}" for x in alone),
            "share (%)": f"{100 * one['images_per_second'] / np.mean(alone):.0f}",
            "memory early (MiB)": f"{one['memory_early'] / 2**20:.0f}",
            "at the end (MiB)": f"{one['memory_late'] / 2**20:.0f}",
        }
        for one in encoders
        for alone in [one["alone_per_second"]]
    )


def minutes(
    models: Mapping[str, Sequence[Model]],
    speeds: Mapping[str | None, float],
    images: int,
    decoding: float,
    cores: int,
) -> pd.DataFrame:
    """Minutes on GPUs for each family, by title, and for all; models without a speed left out.

    ``speeds``: architecture → images a second. ``decoding``: seconds that one core takes to decode
    an image, for one GPU so many ``cores`` do; the slower of decoding and encoding decides.
    """
    timed = {
        title: [1 / speeds[m.architecture] for m in own if m.architecture in speeds]
        for title, own in models.items()
    }
    timed = {title: seconds for title, seconds in timed.items() if seconds}
    encoding = {title: [sum(seconds)] for title, seconds in timed.items()}
    encoding["all"] = [sum(seconds) for seconds in timed.values()]
    counts = {title: len(seconds) for title, seconds in timed.items()}
    counts["all"] = sum(counts.values())
    return pd.DataFrame(
        {
            "family": title,
            "models": str(counts[title]),
            "encoders alone, 1 GPU (min)": _minutes(images * sum(each)),
            **{
                f"with decoding, {n} GPU{'s' * (n > 1)} (min)": _minutes(
                    images * sum(max(seconds, decoding / cores) for seconds in each) / n
                )
                for n in GPUS
            },
            "cores that one GPU needs": f"{np.ceil(decoding / each[0]):.0f}"
            if len(each) == 1
            else "",
        }
        for title, each in encoding.items()
    )


def zoo(models: Sequence[Mapping[str, Any]]) -> Drawing:
    """Seconds and memory of each model of the zoo's trial against its number of parameters."""
    figure, axes = style.new_figure(columns=2, height=3.4)
    _, colour, marker = style.LEVEL_STYLES["random"]
    parameters = np.array([one["parameters"] for one in models]) / 1e6
    told = []
    for panel, (name, unit, scale) in zip(axes, ZOO_PANELS, strict=True):
        values = np.array([one[name] for one in models]) / scale
        panel.scatter(parameters, values, s=22, color=colour, marker=marker, linewidth=0)
        panel.set(xlabel="parameters (millions)", ylabel=unit, xlim=(0, None), ylim=(0, None))
        told.append(f"{unit} from {values.min():.1f} to {values.max():.1f}")
    alt = (
        f"Two scatter plots against parameters of {len(models)} models, "
        f"{parameters.min():.0f} to {parameters.max():.0f} millions: {', '.join(told)}."
    )
    return Drawing(figure, alt)


def slope_of_memory(models: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Bytes of memory that a parameter takes, and the correlation of both."""
    parameters, memory = (np.array([one[n] for one in models]) for n in ("parameters", "memory"))
    slope = float(np.polyfit(parameters, memory, 1)[0])
    return slope, float(np.corrcoef(parameters, memory)[0, 1])


def growth(points: Sequence[Mapping[str, Any]]) -> Drawing:
    """Seconds of commands with nothing to do against what there is, a panel for each thing."""
    things = list(dict.fromkeys(one["what"] for one in points))
    figure, axes = style.new_figure(columns=len(things), height=3.2, sharey=True)
    told = []
    for panel, what in zip(axes, things, strict=True):
        own = [one for one in points if one["what"] == what]
        counts = [one["count"] for one in own]
        for name, colour, marker in GROWTH_LOOKS:
            seconds = [one["seconds"][name] for one in own]
            panel.plot(counts, seconds, color=colour, marker=marker, label=name)
            told.append(f"{what}, {name}: {', '.join(f'{s:.1f}' for s in seconds)}")
        panel.set(xlabel=what, xscale="log")
        panel.set_xticks(counts, labels=[f"{count:,}" for count in counts])
        panel.minorticks_off()
    most = max(seconds for one in points for seconds in one["seconds"].values())
    axes[0].set(ylabel="processor (s)", ylim=(0, 1.1 * most))
    style.legend(figure, axes[0])
    return Drawing(figure, f"Lines, seconds of the processor. {'; '.join(told)}.")


def steepest(points: Sequence[Mapping[str, Any]]) -> float:
    """The largest exponent with which a command's time grows; above 1 is more than linearly.

    Between neighbouring sizes: log of the times' ratio over log of the sizes' ratio.
    """
    found = [
        np.log(b["seconds"][name] / a["seconds"][name]) / np.log(b["count"] / a["count"])
        for a, b in itertools.pairwise(points)
        if a["what"] == b["what"]
        for name in a["seconds"]
    ]
    return float(max(found))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"
