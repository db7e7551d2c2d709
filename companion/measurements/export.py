"""All measurements as one long table, a row for each number, for other people's programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Family
from companion.measurements import records
from companion.measurements.measurement import Measurement, MeasurementError
from companion.measurements.quantities import Measurable


def everything(families: Mapping[str, Family]) -> pd.DataFrame:
    """Every number that is known about some families, live before recorded.

    Raises MeasurementError if a file cannot be read, since the table would lack its numbers.
    Columns: experiment, family, model, level, data, images (what they are), n (how many), evidence,
    inferred (why the model's identity is not certain, if it is not), code_changed (since it was
    taken), quantity, place (of a list its index from 0, of a table row and column; else empty),
    value and unit. A standard error is a quantity of its own.
    """
    each = [(e, family) for e in get_args(Measurable) for family in families.values()]
    if wrong := [said for e, family in each for said in records.broken(e, family)]:
        raise MeasurementError(f"the table would lack measurements ({len(wrong)}): {wrong[0]}")
    return table_of(m for experiment, family in each for m in records.available(experiment, family))


def table_of(measurements: Iterable[Measurement]) -> pd.DataFrame:
    """Every number of some measurements, in the columns of `everything`."""
    return pd.DataFrame(row for m in measurements for row in _rows(m))


def _rows(m: Measurement) -> Iterator[dict[str, Any]]:
    about = {name: getattr(m, name) for name in ("experiment", "family", "model", "level")}
    about |= {"data": m.data.name, "images": m.data.what, "n": m.counts.get("images")}
    about |= {"evidence": "live" if m.live else "recorded", "inferred": m.provenance.inferred}
    about |= {"code_changed": bool(records.changed_code(m))}
    for name, kept in m.values.items():
        for place, value in np.ndenumerate(np.asarray(kept.value)):
            index = " ".join(map(str, place))
            yield about | {"quantity": name, "place": index, "value": value, "unit": kept.unit}
