"""All measurements as one long table, a row for each number, for other people's programs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from analysis.base.files import replaced
from analysis.base.quoting import as_cell
from analysis.base.texts import CompanionError
from analysis.families.registry import Family
from companion.measurements import records
from companion.measurements.measurement import Measurement, MeasurementError
from companion.measurements.quantities import Measurable

#: Rows of a part of a Parquet file that is read, or skipped, as a whole.
ROWS = 1000


def everything(families: Mapping[str, Family]) -> pd.DataFrame:
    """Every number that is known about some families, live before recorded.

    Raises MeasurementError if a file cannot be read, since the table would lack its numbers.
    Columns: experiment, family, model, level, data, images (what they are), n (how many), evidence,
    inferred (why the model's identity is not certain, if it is not), older (than the version of
    its experiment), quantity, place (of a list its index from 0, of a table row and column; else
    empty), value and unit. A standard error is a quantity of its own.
    """
    return table_of(_all(families))


def whole_quantities(families: Mapping[str, Family]) -> pd.DataFrame:
    """`everything` with one row for each quantity of each measurement, sorted by data set.

    In place of place and value: values, all numbers row by row, and shape, which is empty for a
    single number.
    """
    rows = [
        about | {"quantity": name, "values": kept.ravel(), "shape": [*kept.shape], "unit": unit}
        for m in _all(families)
        for about in [_about(m)]
        for name, kept, unit in _quantities(m)
    ]
    return pd.DataFrame(rows).sort_values("data", kind="stable", ignore_index=True)


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV; each text is looked at once, however many rows have it."""
    texts = [str(name) for name in table if not is_numeric_dtype(table[name])]
    cell = cache(as_cell)
    return table.assign(**{name: table[name].map(cell) for name in texts}).to_csv(index=False)


def write_parquet(table: pd.DataFrame, path: Path, *, folder: bool = False) -> None:
    """Write a table as Parquet, in parts of few data sets, of which a reader may skip all others.

    A folder gets a file for each data set, called after it and with the columns and types of the
    whole. Raises CompanionError if pyarrow is not installed, and for a folder that has other such
    files: whoever reads it whole would read these, too.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise CompanionError(
            f"{path.name} is written by pyarrow, which is not installed: pip install pyarrow, or "
            "give a name that ends in .csv."
        )
    from pyarrow import Schema

    tables = {path: table}
    if folder:
        tables = {path / f"{name}.parquet": rows for name, rows in table.groupby("data")}
        if others := sorted({*path.glob("*.parquet")} - tables.keys()):
            raise CompanionError(
                f"{path} has {others[0].name}, which is of no data set here ({len(others)} such "
                "files): remove what is out of date, or name another folder."
            )
    types = Schema.from_pandas(table, preserve_index=False)  # a column may be empty in a file
    for place, rows in tables.items():
        with replaced(place) as part:
            rows.to_parquet(part, index=False, schema=types, row_group_size=ROWS)


def _all(families: Mapping[str, Family]) -> Iterator[Measurement]:
    """All measurements of some families; MeasurementError if a file cannot be read."""
    each = [(e, family) for e in get_args(Measurable) for family in families.values()]
    if wrong := [said for e, family in each for said in records.broken(e, family)]:
        raise MeasurementError(f"the table would lack measurements ({len(wrong)}): {wrong[0]}")
    return (m for experiment, family in each for m in records.available(experiment, family))


def table_of(measurements: Iterable[Measurement]) -> pd.DataFrame:
    """Every number of some measurements, in the columns of `everything`."""
    every = [
        (about | {"quantity": name, "place": "", "value": np.nan, "unit": unit}, kept)
        for m in measurements
        for about in [_about(m)]
        for name, kept, unit in _quantities(m)
    ]
    rows = np.repeat(np.arange(len(every)), [kept.size for _, kept in every])
    table = pd.DataFrame([about for about, _ in every]).take(rows).reset_index(drop=True)
    places = (" ".join(map(str, at)) for _, kept in every for at in np.ndindex(kept.shape))
    return table.assign(place=[*places], value=[v for _, kept in every for v in kept.flat])


def _about(m: Measurement) -> dict[str, Any]:
    about = {name: getattr(m, name) for name in ("experiment", "family", "model", "level")}
    about |= {"data": m.data.name, "images": m.data.what, "n": m.counts.get("images")}
    about |= {"evidence": "live" if m.live else "recorded", "inferred": m.provenance.inferred}
    return about | {"older": records.is_older(m)}


def _quantities(m: Measurement) -> Iterator[tuple[str, NDArray[Any], str]]:
    """Name, numbers and unit of each quantity."""
    for name, kept in m.values.items():
        yield name, np.asarray(kept.value, dtype=float), kept.unit
