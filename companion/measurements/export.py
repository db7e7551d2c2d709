"""All measurements as one long table, a row for each number, for other people's programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Family
from companion.measurements import records
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement


def everything(families: Mapping[str, Family]) -> pd.DataFrame:
    """Every number that is known of some families, live before recorded.

    Columns: experiment, family, model, level, data, images (what they are), n (how many),
    quantity, place (of a list its index from 0, of a table row and column; else empty), value,
    unit, error (the standard error that the measurement gives for it, if any), evidence, inferred
    (why the model's identity is not certain, if it is not), code_changed (since it was taken).
    """
    return pd.DataFrame(
        row
        for experiment in get_args(Experiment)
        for family in families.values()
        for m in records.available(experiment, family)
        for row in _rows(m)
    )


def _rows(m: Measurement) -> Iterator[dict[str, Any]]:
    about = {name: getattr(m, name) for name in ("experiment", "family", "model", "level")}
    about |= {"data": m.data.name, "images": m.data.what, "n": m.counts.get("images")}
    after = {
        "evidence": "live" if m.live else "recorded",
        "inferred": m.provenance.inferred,
        "code_changed": bool(records.changed_code(m)),
    }
    for name, kept in m.values.items():
        values = np.asarray(kept.value)
        errors = _errors(m, name, values)
        for place, value in np.ndenumerate(values):
            yield {
                **about,
                "quantity": name,
                "place": " ".join(map(str, place)),
                "value": value,
                "unit": kept.unit,
                "error": errors[place],
                **after,
            }


def _errors(m: Measurement, name: str, values: np.ndarray) -> np.ndarray:
    """The standard errors that a measurement gives for a quantity, NaN where there are none."""
    stem = name.removesuffix("_mean")
    for other in (f"{name}_error", f"{name}_standard_error", f"{stem}_standard_error"):
        if other in m.values and np.shape(m.value(other)) == values.shape:
            return np.asarray(m.value(other), dtype=np.float64)
    return np.full(values.shape, np.nan)
