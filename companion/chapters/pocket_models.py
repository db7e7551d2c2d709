"""The pocket lab's models, a row each, and what pruning their directions changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import pandas as pd

from analysis.families.registry import Edition
from analysis.metrics.pruning import fewest_kept_without_loss
from companion.chapters import measured, pruning_figures
from companion.measurements.measurement import Measurement, NothingMeasuredError
from companion.measurements.pruned import pruned_under_shift
from companion.measurements.records import TRAINING


def models(edition: Edition, pruned_share: float) -> pd.DataFrame:
    """A row for each model that is measured in full, on the training images and all sets.

    Shares, accuracies and effective robustness are in percent and points; what pruning
    ``pruned_share`` of the directions changes is in columns with `_change`. NothingMeasuredError if
    there is no such model.
    """
    rows = []
    for m in measured.of_editions("outlier_features", edition):
        directions = measured.of_same_model(m, "privileged_directions").get(TRAINING)
        pruned = measured.of_same_model(m, "pruning_under_shift").get("pocket")
        if m.data.name == TRAINING and directions and pruned:
            rows.append(_row(m, directions) | _pruned(pruned, pruned_share))
    if not rows:
        raise NothingMeasuredError(
            "No model of the pocket lab is measured in this build: install the extra `extract`, "
            "which has PyTorch, and build the book again."
        )
    return pd.DataFrame(rows)


def _row(m: Measurement, directions: Measurement) -> dict[str, Any]:
    """The quantities of a model's features and head."""
    family, model = measured.family_of(m), measured.model_of(m)
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


def _pruned(m: Measurement, share: float) -> dict[str, float]:
    """Effective robustness, and how this and accuracy change as a share of directions is pruned."""
    after = pruned_under_shift(m, share)
    ends = {"er": m.value("robustness_importance")[:, -1]}
    ends |= {"accuracy_change": after["accuracy_change"], "er_change": after["robustness_change"]}
    return {
        f"{name}{end}": 100 * value
        for name, values in ends.items()
        for end, value in zip(("", "_low", "_high"), values, strict=True)
    }


def look(model: str) -> str:
    """The look of a model's marks: hollow for the small web, the lab's second zero-shot model."""
    return "hollow" if model.endswith("web-small") else "filled"


def pruning_steps(m: Measurement, quantities: Mapping[str, str], lowest: float) -> pd.DataFrame:
    """Quantities, by their labels, in each order of pruning; with an interval in two of them.

    ``lowest``: the accuracy below which the baseline is extrapolated.
    """
    parts = []
    for (label, quantity), order in product(quantities.items(), pruning_figures.DRAWN_ORDERS):
        ends = m.value(f"{quantity}_{order}")[: 3 if order in ("importance", "random") else 1]
        part = pruning_figures.steps(label, order, *ends, kept=m.value("kept"))
        below = m.value(f"inside_{order}")[0] < (lowest if quantity == "robustness" else 0)
        parts.append(part.assign(extrapolated=below))
    return pd.concat(parts)


def pruning_rows(
    title: str, m: Measurement, shares: Iterable[float], lowest: float
) -> Iterator[dict[str, Any]]:
    """A row for each share of directions kept: accuracies, robustness, and how they change.

    ``lowest``: the accuracy below which the baseline is extrapolated, which a mark says.
    """
    steps = m.value("kept").tolist()
    for kept in dict.fromkeys(max(1, round(share * steps[-1])) for share in shares):
        at = steps.index(kept)
        row = {of: m.value(f"{of}_importance")[0, at] for of in ("inside", "outside", "robustness")}
        for of in ("inside", "robustness") if kept < steps[-1] else ():
            row[f"{of}_change"] = tuple(m.value(f"{of}_change_importance")[:, at])
        far = " (*)" if row["inside"] < lowest else ""
        yield row | {"model": title, "kept": kept, "far": far}


def pruning_losses(title: str, m: Measurement) -> dict[str, Any]:
    """Below how many directions accuracy is lost, and how many smaller heads have a lower ER."""
    steps, rank = m.value("kept"), int(m.value("kept")[-1])
    least = fewest_kept_without_loss(m.value("inside_change_importance")[2], steps)
    lower = (m.value("robustness_change_importance")[2] < 0).sum()
    row = {"model": title, "rank": rank, "least": least, "pruned": 1 - least / rank}
    return row | {"lower": lower, "smaller": len(steps) - 1}
