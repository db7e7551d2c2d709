"""What moves to `plots` and `figures`: curves of several quantities, and curves of pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from numpy.typing import ArrayLike

from companion.publish import plots, style
from companion.publish.figures import ORDERS
from companion.publish.pictures import ends, pictures, venn
from companion.publish.style import Drawing

__all__ = ["ORDERS", "Curve", "curves", "ends", "pictures", "venn"]


class Curve(NamedTuple):
    """A quantity in one order of pruning, at steps with `kept` directions, the last with all.

    `values` and the ends of their band are fractions; all (steps,). `sound`: where the line is not
    extrapolated.
    """

    kept: ArrayLike
    values: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    sound: ArrayLike | None = None


def curves(
    shown: Mapping[str, Mapping[str, tuple[str, ArrayLike, ArrayLike]]],
    xlabel: str,
    steps: bool = False,
) -> Drawing:
    """Lines in panels; `shown`: label of the y axis → title → level, x, y."""
    frame = style.stacked(
        {"panel": label, "quantity": label, "of": title, "level": level, xlabel: x, "value": y}
        for label, lines in shown.items()
        for title, (level, x, y) in lines.items()
    )
    drawstyle = "steps-mid" if steps else "default"
    return plots.lines(frame, xlabel, "value", columns=2, drawstyle=drawstyle)
