"""Figures of which no frame is drawn: circles that overlap, and rows of small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.concept_counts import REGIONS
from companion.publish import style
from companion.publish.style import LEVEL_STYLES, Drawing

Array = NDArray[np.float64]


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
            label.set(color=style.INK, fontsize=10)
        middle, whole = (
            np.mean(np.array([[c.x, c.y] for c in drawn.centers]), axis=0),
            sum(sizes.values()),
        )
        for code, size in sizes.items():
            label = drawn.get_label_by_id(code)
            if label and size < 0.02 * whole and code != "111":  # a sliver: next to it
                label.set_position(middle + 1.13 * (np.array(label.get_position()) - middle))
        for level, label in zip(levels, drawn.set_labels, strict=True):
            if label and not sum(regions[n] for n, who in REGIONS.items() if level in who):
                label.set_visible(False)  # next to another's circle it would name that one
    where = {
        name: "all three" if name == "all" else " and ".join(inside).replace("_", "-") + " only"
        for name, inside in REGIONS.items()
    }
    frame = style.stacked(
        {"of": title, "encoded by": where[name], "concepts": regions[name]}
        for title, regions in shown.items()
        for name in REGIONS
    )
    told = (
        f"{title}: "
        + ", ".join(f"{by} {n}" for by, n in zip(rows["encoded by"], rows["concepts"], strict=True))
        for title, rows in frame.groupby("of", sort=False)
    )
    return Drawing(figure, f"Venn diagrams. {'; '.join(told)}.", frame)


def ends(shown: Mapping[str, Sequence[int]], images: Array, names: Sequence[str]) -> Drawing:
    """Pictures at both ends of a direction: title → rows of ``images``, the highest ones first."""
    half = max(map(len, shown.values())) // 2
    told = "; ".join(
        f"{title}: highest {names[rows[0]]}, lowest {names[rows[-1]]}"
        for title, rows in shown.items()
    )
    rows = {
        title.replace(", ", ",\n"): [images[place] for place in places]
        for title, places in shown.items()
    }
    alt = f"Rows of small drawings, one row for each model. {told}."
    data = style.stacked(
        {"of": title, "place": range(1, len(own) + 1), "picture": [names[row] for row in own]}
        for title, own in shown.items()
    )
    return pictures(rows, alt, {0: "highest", half: "lowest"})._replace(data=data)


def pictures(
    shown: Mapping[str, Sequence[ArrayLike]], alt: str, titles: Mapping[int, str] | None = None
) -> Drawing:
    """Rows of small pictures; `titles` are above columns, `alt` says what is to be seen."""
    columns = max(map(len, shown.values()))
    height = 0.7 * len(shown) + 0.3
    figure, grid = style.new_figure(columns, len(shown), 8, height, squeeze=False)
    for panels, (title, images) in zip(grid, shown.items(), strict=True):
        for axes, image in zip(panels, images, strict=True):
            axes.imshow(np.asarray(image), interpolation="none")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=10)
    for column, text in (titles or {}).items():
        grid[0, column].set_title(text, fontsize=10)
    return Drawing(figure, alt)
