"""Counts of concepts, read back from the tables of a measurement.

`measures` writes these tables, one for each quantity and statistic. Pages and claims compute with
objects of `analysis.metrics`.
"""

from __future__ import annotations

import numpy as np

from analysis.metrics.concept_counts import QUANTITIES, Found, Settings, tally
from companion.measurements.measurement import Measurement


def counts_of(measurement: Measurement, basis: str = "") -> Found:
    """The counts that a measurement of concepts holds, rounded as it keeps numbers.

    ``basis``: "" for singular vectors, "coordinates_" for coordinates. The average precisions
    have one row, each concept's best.
    """

    def table(kind: str) -> np.ndarray:
        names = [f"{basis}{quantity}_{kind}" for quantity in QUANTITIES]
        lists = [measurement.value(name) for name in names if name in measurement.values]
        return np.array(lists, dtype=np.float64).reshape(len(names), -1).T

    best = np.array(measurement.value(f"{basis}best"), dtype=np.float64)[None]
    frequent = measurement.value("positives") >= measurement.value("frequent_positives")
    settings = Settings(measurement.value("threshold"), measurement.value("lower_threshold"))
    kinds = {kind: table(kind) for kind in ("draws", "random", "permuted", "halves")}
    return Found(
        directions=measurement.counts["components"] if basis else measurement.value("directions"),
        ap=best,
        of_frequent=tally(best[:, frequent], settings),
        **kinds,
    )
