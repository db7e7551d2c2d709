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
from companion.publish.style import percent, points, with_interval


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
    row: dict[str, Any] = {"rank": len(sweep.steps), "kept": kept}
    row["pruned"] = 100 * sweep.curves.inside[sweep.at(kept)]
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
    title: str, sweep: Sweep, shares: Iterable[float], inside: str, outside: str, lowest: float
) -> Iterator[dict[str, str]]:
    """A row for each share of directions kept: accuracies, robustness, and how they change.

    ``inside``, ``outside``: what the training distribution and its shifts are called.
    """
    rank, outside = int(sweep.steps[-1]), outside.removesuffix(" styles")
    for kept in dict.fromkeys(max(1, round(share * rank)) for share in shares):
        top1, mean, er = (values[sweep.at(kept)] for values in sweep.curves)
        top1_change, er_change = (
            "" if kept == rank else with_interval(*change(sweep, quantity, kept))
            for quantity in ("inside", "robustness")
        )
        row = {"model": title, "kept": str(kept), f"{inside} (%)": percent(top1)}
        row |= {"change (points)": top1_change, f"{outside} (%)": percent(mean)}
        row["ER (points)"] = points(er) + " (*)" * bool(top1 < lowest)
        yield row | {"change of ER": er_change}


def pruning_losses(title: str, sweep: Sweep) -> dict[str, Any]:
    """Below how many directions accuracy is lost, and how many smaller heads have a lower ER."""
    rank, least = int(sweep.steps[-1]), sweep.fewest_without_loss("inside")
    high = sweep.change_high
    row = {"model": title, "directions": rank}
    row["accuracy is lost below"] = f"{least} ({100 * (1 - least / rank):.0f} % pruned)"
    lower = 0 if high is None else int(np.sum(high.robustness < 0))
    return row | {"heads with a lower ER": f"{lower} of {len(sweep.steps) - 1}"}
