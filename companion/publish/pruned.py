"""How accuracy and effective robustness change as directions are pruned: curves, rows, words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from analysis.metrics.pruning import Sweep
from companion.publish import words
from companion.publish.charts import ORDERS, Curve
from companion.publish.style import percent, points


def curves(orders: Mapping[str, Sweep], quantity: str, lowest: float) -> dict[str, Curve]:
    """One quantity in each order of pruning, with its interval in two of them.

    ``lowest``: the accuracy below which the baseline is extrapolated, and robustness not sound.
    """
    found = {}
    for order in ORDERS:
        sweep, band = orders[order], order in ("importance", "random")
        low, high = (getattr(end, quantity) if band else None for end in (sweep.low, sweep.high))
        sound = sweep.curves.inside >= (lowest if quantity == "robustness" else 0)
        found[order] = Curve(sweep.steps, getattr(sweep.curves, quantity), low, high, sound)
    return found


def rows(
    title: str, sweep: Sweep, shares: Iterable[float], inside: str, outside: str, lowest: float
) -> Iterator[dict[str, str]]:
    """A row for each share of directions kept: accuracies, robustness, and how they change.

    ``inside``, ``outside``: what the training distribution and its shifts are called.
    """
    rank = int(sweep.steps[-1])
    for kept in dict.fromkeys(max(1, round(share * rank)) for share in shares):
        top1, mean, er = (values[sweep.at(kept)] for values in sweep.curves)
        whole = kept == rank
        yield {
            "model": title,
            "kept": str(kept),
            f"{inside} (%)": percent(top1),
            "change (points)": "" if whole else _change(sweep, "inside", kept, ", "),
            f"{outside.removesuffix(' styles')} (%)": percent(mean),
            "ER (points)": points(er) + " (*)" * bool(top1 < lowest),
            "change of ER": "" if whole else _change(sweep, "robustness", kept, ", "),
        }


def told(title: str, sweep: Sweep, share: float) -> str:
    """What pruning a share of the directions changes, and from where on a loss is established."""
    rank, least = int(sweep.steps[-1]), sweep.fewest_without_loss("inside")
    kept, high = round((1 - share) * rank), sweep.change_high
    lost = 0 if high is None else np.sum(high.robustness < 0)
    return (
        f"- **{title}:** with {kept} of {rank} directions kept accuracy changes by "
        f"{_change(sweep, 'inside', kept)} points, effective robustness by "
        f"{_change(sweep, 'robustness', kept)} points. A loss of accuracy is established below "
        f"{least} directions ({100 * (1 - least / rank):.0f} % pruned), one of effective "
        f"robustness with {lost} of the {len(sweep.steps) - 1} smaller heads."
    )


def _change(sweep: Sweep, quantity: str, kept: int, joint: str = " to ") -> str:
    """What pruning changes, with its interval: percentage points."""
    parts = (sweep.change, sweep.change_low, sweep.change_high)
    value, low, high = (getattr(part, quantity)[sweep.at(kept)] for part in parts)
    return words.with_interval(value, low, high, joint)
