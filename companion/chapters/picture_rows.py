"""Figures that are not drawn from frames: overlapping circles, and rows of small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.concept_counts import REGIONS
from companion.engine import style
from companion.engine.style import LEVEL_STYLES, Drawing
from companion.engine.words import put


def venn(diagrams: Mapping[str, Mapping[str, int]]) -> Drawing:
    """Circles for three levels' concepts with the size of each of `REGIONS`; areas approximate."""
    from matplotlib_venn import venn3

    levels = ("zero_shot", "finetuned", "supervised")
    codes = {"".join("01"[level in who] for level in levels): who for who in REGIONS.values()}
    figure, panels = style.panels(diagrams, min(2, len(diagrams)), 1.8)
    for axes, regions in zip(panels.flat, diagrams.values(), strict=False):
        sizes = dict(zip(codes, map(regions.__getitem__, REGIONS), strict=True))
        drawn = venn3(sizes, set_labels=[LEVEL_STYLES[level].title for level in levels], ax=axes)
        for label in filter(None, (*drawn.set_labels, *drawn.subset_labels)):
            label.set(color=style.INK, fontsize=10)
        middle = np.mean([(c.x, c.y) for c in drawn.centers], axis=0)
        for code, who in codes.items():
            patch, label = drawn.get_patch_by_id(code), drawn.get_label_by_id(code)
            if patch is not None:  # an empty region has none
                mixed = np.mean([to_rgb(LEVEL_STYLES[level].colour) for level in who], axis=0)
                patch.set(facecolor=mixed, edgecolor=style.PAPER, alpha=0.5)
            if label and sizes[code] < 0.02 * sum(sizes.values()) and code != "111":
                # a sliver: next to it
                label.set_position(middle + 1.13 * (np.array(label.get_position()) - middle))
        for level, label in zip(levels, drawn.set_labels, strict=True):
            if label and not sum(regions[n] for n, who in REGIONS.items() if level in who):
                label.set_visible(False)  # next to another's circle it would name that one
    where = {name: " and ".join(who).replace("_", "-") + " only" for name, who in REGIONS.items()}
    where["all"] = "all three"
    frame = pd.DataFrame(
        {"of": title} | {encoded_by: regions[name] for name, encoded_by in where.items()}
        for title, regions in diagrams.items()
    )
    parts = frame.set_index("of").T.items()
    says = (f"{title}: {', '.join(f'{n} {who}' for who, n in of.items())}" for title, of in parts)
    return Drawing(figure, f"Venn diagrams. {'; '.join(says)}.", frame)


def ends(
    directions: Mapping[str, Sequence[int]], images: NDArray[np.uint8], names: Sequence[str]
) -> Drawing:
    """Pictures at both ends of a direction: title → rows of ``images``, the highest ones first."""
    frame = style.stacked(
        {"of": title, "place": range(1, len(rows) + 1), "picture": [names[row] for row in rows]}
        for title, rows in directions.items()
    )
    parts = (
        f"{title}: highest {rows.iloc[0]}, lowest {rows.iloc[-1]}"
        for title, rows in frame.groupby("of", sort=False)["picture"]
    )
    alt = f"Rows of small drawings, one row for each model. {'; '.join(parts)}."
    drawn = {title.replace(", ", ",\n"): list(images[rows]) for title, rows in directions.items()}
    half = max(map(len, directions.values())) // 2
    return pictures(drawn, alt, {0: "highest", half: "lowest"})._replace(data=frame)


def ranked(images: NDArray[np.uint8], shows: NDArray[np.bool_], concept: str) -> Drawing:
    """The first pictures along a direction, above each that shows a concept the precision there.

    `images` (N, height, width, 3), the highest first; `shows` (N,): which of them show it.
    """
    hits = np.cumsum(shows)
    titles = {n: f"{hits[n]}/{n + 1}" if shows[n] else "–" for n in range(min(len(images), 10))}
    above = ", ".join(titles.values())
    alt = f"A row of small drawings, the first along a direction; {concept} shown: {above}."
    return pictures({concept: [*images[: len(titles)]]}, alt, titles)


def pictures(
    rows: Mapping[str, Sequence[ArrayLike]], alt: str, titles: Mapping[int, str] | None = None
) -> Drawing:
    """Rows of small pictures, each below its name; `alt` says what they show.

    `titles` are above columns.
    """
    columns = max(map(len, rows.values()))
    height = len(rows) * (style.WIDTH / columns + 0.3) + 0.2 * bool(titles)
    figure, grid = style.new_figure(columns, len(rows), height=height, squeeze=False)
    for panels, (title, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(panels, images, strict=True):
            axes.imshow(np.asarray(image), interpolation="none")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        headed = bool(titles) and panels[0] is grid[0, 0]
        panels[0].set_title("\n " if headed else " ")
        line, up = " ".join(title.split("\n")), 20 if headed else 6
        put(panels[0], line, (0, 1), (0, up), xycoords="axes fraction", in_layout=False)
    for column, text in (titles or {}).items():
        put(grid[0, column], text, (0, 1), (0, 5), xycoords="axes fraction", fontsize=9)
    return Drawing(figure, alt)
