"""Counts of concepts from recorded measurements."""

from __future__ import annotations

import numpy as np

from analysis.metrics.concept_counts import QUANTITIES, Array, Found
from companion.measurements.records import Measurement


def recorded(measurement: Measurement) -> Found:
    """The counts that a recorded measurement holds, rounded as it keeps numbers."""

    def table(kind: str) -> Array:
        lists = [measurement.value(f"{quantity}_{kind}") for quantity in QUANTITIES]
        return np.array(lists, dtype=np.float64).T

    return Found(
        directions=int(measurement.value("directions")),
        ap=np.array(measurement.value("best"), dtype=np.float64)[None],
        draws=table("draws"),
        random=table("random"),
        permuted=table("permuted"),
        halves=table("halves"),
    )
