"""What measurements of pruning say about the pruned head, compared with the whole one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.metrics import paired
from analysis.metrics.pruning import fewest_kept_without_loss
from companion.measurements.intervals import Interval
from companion.measurements.measurement import Measurement
from companion.measurements.quantities import ORDERS

Array = NDArray[np.float64]


class Changes(NamedTuple):
    """Differences with the ends of their 95 % intervals: fractions, (rank,) each."""

    value: Array
    low: Array
    high: Array

    def at(self, step: int) -> Interval:
        """One of them."""
        return Interval(self.value[step], self.low[step], self.high[step])


def against_whole(m: Measurement) -> tuple[Array, Changes]:
    """Accuracy (rank,) with the 1, 2, … most important directions, and its change from all."""
    change, error = (m.value(f"difference_importance{part}") for part in ("", "_error"))
    images, distinct = m.counts["images"], m.distinct_images
    gained, lost = (part * distinct / images for part in paired.discordant(change, error, images))
    low, high = paired.score_interval(gained, lost, distinct)
    low[-1] = high[-1] = 0  # the whole head against itself
    return m.value("accuracy_importance"), Changes(change, low, high)


def in_each_order(m: Measurement, shares: Iterable[float]) -> pd.DataFrame:
    """A row for each share of directions kept: accuracy in every order, and the change by it.

    ``change``: that when pruned by importance, with the ends of its interval; of the whole head
    NaN.
    """
    best, change = against_whole(m)
    kept = np.array([round(share * len(best)) for share in shares])
    accuracy = {name: m.value(f"accuracy_{name}")[kept - 1] for name in ORDERS}
    changes = [change.at(k - 1) if k < len(best) else np.nan for k in kept]
    columns = {"pruned": 100 * (1 - kept / len(best)), "kept": kept}
    return pd.DataFrame(columns | accuracy | {"change": changes})


def pruned(measurement: Measurement, share: float, of: int = 0) -> dict[str, Any]:
    """Accuracy with that share of the directions pruned, by name.

    ``of``: of how many directions, without it of those that have weight, which ``rank`` counts.
    ``fewest``: directions, kept by importance, from which on no loss is established;
    ``without_loss``: the share that can be pruned down to these.
    """
    (values, changes), counts = against_whole(measurement), measurement.counts
    rank = len(values)
    kept = min(round((1 - share) * (of or rank)), rank)
    fewest = fewest_kept_without_loss(changes.high)
    return {
        "rank": rank,
        "kept": kept,
        "fewest": fewest,
        "without_loss": 1 - fewest / rank,
        "images": counts["images"],
        "classes": counts["classes"],
        "accuracy_whole": values[-1],
        "accuracy_kept": values[kept - 1],
        "accuracy_random": measurement.value("accuracy_random")[kept - 1],
        "accuracy_change": changes.at(kept - 1),
    }


def directions(measurement: Measurement) -> int:
    """How many directions a head has, with those without weight."""
    return min(measurement.counts[name] for name in ("classes", "components"))


def pruned_under_shift(measurement: Measurement, share: float) -> dict[str, Any]:
    """What pruning that share of the directions changes, under shift too, by name."""
    steps = measurement.value("kept")
    (step,) = np.flatnonzero(steps == round((1 - share) * int(steps[-1])))
    whole, kept = measurement.value("inside_importance")[0, [-1, step]]
    accuracy, robustness = (
        Interval(*measurement.value(f"{part}_change_importance")[:, step])
        for part in ("inside", "robustness")
    )
    return {
        "rank": steps[-1],
        "kept": steps[step],
        "accuracy_whole": whole,
        "accuracy_kept": kept,
        "accuracy_random": measurement.value("inside_random")[0, step],
        "accuracy_change": accuracy,
        "robustness_change": robustness,
    }
