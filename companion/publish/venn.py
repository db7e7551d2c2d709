"""Venn diagrams of the concepts that three levels encode, in the levels' colours, and as words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib_venn import venn3

from analysis.metrics.concept_counts import REGIONS, shared, totals
from companion.publish import style

LEVELS = ("zero_shot", "finetuned", "supervised")
#: Column titles: ZS zero-shot, FT finetuned, SUP supervised.
TITLES = {
    "zero_shot_only": "ZS only",
    "zero_shot_finetuned": "ZS ∩ FT",
    "zero_shot_supervised": "ZS ∩ SUP",
    "all": "all three",
    "finetuned_only": "FT only",
    "finetuned_supervised": "FT ∩ SUP",
    "supervised_only": "SUP only",
}


def draw(axes: Axes, regions: Mapping[str, int]) -> None:
    """Three circles with the size of each region; areas are approximate."""
    codes = {
        "".join("01"[level in inside] for level in LEVELS): regions[name]
        for name, inside in REGIONS.items()
    }
    colours = {level: np.array(to_rgb(style.LEVEL_STYLES[level].colour)) for level in LEVELS}
    drawn = venn3(codes, set_labels=[style.LEVEL_STYLES[level].title for level in LEVELS], ax=axes)
    for code in codes:
        patch = drawn.get_patch_by_id(code)
        if patch is not None:  # an empty region has none
            own = [colours[level] for level, bit in zip(LEVELS, code, strict=True) if bit == "1"]
            patch.set(facecolor=np.mean(own, axis=0), edgecolor=style.PAPER, alpha=0.5)
    for label in (*drawn.set_labels, *drawn.subset_labels):
        if label is not None:
            label.set(color=style.INK, fontsize=9)


def row(regions: Mapping[str, int]) -> dict[str, str]:
    """The seven regions, and the share of the finetuned model's concepts that zero-shot has too."""
    cells = {TITLES[name]: str(regions[name]) for name in REGIONS}
    return cells | {"of FT, in ZS (%)": share(regions, "finetuned", "zero_shot")}


def share(regions: Mapping[str, int], level: str, other: str) -> str:
    """The percentage of one level's concepts that another encodes too; n/a if it has none."""
    whole = totals(regions)[level]
    return f"{100 * shared(regions, level, other) / whole:.0f}" if whole else "n/a"


def words(regions: Mapping[str, int]) -> str:
    """All regions with their sizes, for readers who do not see the diagram."""
    parts = {
        name: "all three" if name == "all" else " and ".join(inside).replace("_", "-") + " only"
        for name, inside in REGIONS.items()
    }
    return ", ".join(f"{parts[name]} {regions[name]}" for name in REGIONS)
