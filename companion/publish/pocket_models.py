"""The pocket lab's models, a row each, and what pruning their directions changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from analysis.families.registry import Edition
from analysis.metrics.pruning import Sweep
from companion.measurements.records import TRAINING, Measurement
from companion.measurements.tables import sweeps_of
from companion.publish import figures, measured, words


def models(edition: Edition, pruned_share: float) -> pd.DataFrame:
    """A row for each model of which everything is measured, on the training images and all sets.

    Shares, accuracies and effective robustness are in percent and points; what pruning
    ``pruned_share`` of the directions changes is in columns with `_change`.
    """
    rows = []
    for m in measured.known("outlier_features", edition):
        directions = words.of_same_model(m, "privileged_directions").get(TRAINING)
        pruned = words.of_same_model(m, "pruning_under_shift").get("pocket")
        if m.data.name == TRAINING and directions and pruned:
            sweep = sweeps_of(pruned)["importance"]
            rows.append(_row(m, directions) | _pruned(sweep, pruned_share))
    return pd.DataFrame(rows)


def _row(m: Measurement, directions: Measurement) -> dict[str, Any]:
    """What a model's features and head are like."""
    family, model = words.whose(m)
    return {
        "backbone": family.title,
        "of": f"{family.title.removeprefix('Pocket ')}, {model.title}",
        "title": model.title,
        "level": model.level,
        "look": look(model.name),
        "kurtosis": m.value("kurtosis_mean"),
        "persistence": 100 * m.value("persistence_fraction"),
        "importance": directions.value("importance").max(),
        "centred": directions.value("importance_head_centred")[0],
    }


def _pruned(sweep: Sweep, share: float) -> dict[str, Any]:
    """Accuracy and effective robustness, and how they change as a share of directions is pruned."""
    kept = round((1 - share) * len(sweep.steps))
    row = {}
    for name, quantity in (("accuracy", "inside"), ("er", "robustness")):
        changes = change(sweep, quantity, kept)
        for place, end in enumerate(("", "_low", "_high")):
            whole = (sweep.curves, sweep.low, sweep.high)[place]
            row[f"{name}{end}"] = 100 * getattr(whole, quantity)[-1]
            row[f"{name}_change{end}"] = 100 * changes[place]
    return row


def look(model: str) -> str:
    """Of a model's marks: hollow for the small web, the pocket lab's second zero-shot model."""
    return "hollow" if model.endswith("web-small") else "filled"


def change(sweep: Sweep, quantity: str, kept: int) -> tuple[float, float, float]:
    """What keeping so many directions changes, and its 95 % interval; fractions."""
    ends = (sweep.change, sweep.change_low, sweep.change_high)
    value, low, high = (float(getattr(end, quantity)[sweep.at(kept)]) for end in ends)
    return value, low, high


def pruning_steps(
    orders: Mapping[str, Sweep], quantities: Mapping[str, str], lowest: float
) -> pd.DataFrame:
    """Quantities, by their labels, in each order of pruning; with an interval in two of them.

    ``lowest``: the accuracy below which the baseline is extrapolated.
    """
    parts = []
    for (label, quantity), order in product(quantities.items(), figures.ORDERS):
        sweep = orders[order]
        ends = (sweep.low, sweep.high) if order in ("importance", "random") else ()
        values = (getattr(curve, quantity) for curve in (sweep.curves, *ends))
        part = figures.steps(label, order, *values, kept=sweep.steps)
        below = sweep.curves.inside < (lowest if quantity == "robustness" else 0)
        parts.append(part.assign(extrapolated=below))
    return pd.concat(parts)


def pruning_rows(
    title: str, sweep: Sweep, shares: Iterable[float], lowest: float
) -> Iterator[dict[str, Any]]:
    """A row for each share of directions kept: accuracies, robustness, and how they change.

    ``lowest``: the accuracy below which the baseline is extrapolated, which a mark says.
    """
    rank = int(sweep.steps[-1])
    for kept in dict.fromkeys(max(1, round(share * rank)) for share in shares):
        top1_change, er_change = (
            None if kept == rank else change(sweep, quantity, kept)
            for quantity in ("inside", "robustness")
        )
        row = {name: values[sweep.at(kept)] for name, values in sweep.curves._asdict().items()}
        row |= {"model": title, "kept": kept, "far": " (*)" * bool(row["inside"] < lowest)}
        yield row | {"top1_change": top1_change, "er_change": er_change}


def pruning_losses(title: str, sweep: Sweep) -> dict[str, Any]:
    """Below how many directions accuracy is lost, and how many smaller heads have a lower ER."""
    rank, least = int(sweep.steps[-1]), sweep.fewest_without_loss("inside")
    lower = 0 if sweep.change_high is None else np.sum(sweep.change_high.robustness < 0)
    row = {"model": title, "rank": rank, "least": least, "pruned": 1 - least / rank}
    return row | {"lower": lower, "smaller": len(sweep.steps) - 1}
