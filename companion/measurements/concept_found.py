"""Counts of concepts, from recorded measurements and from the paper's figures."""

from __future__ import annotations

import numpy as np

from analysis.metrics.concept_counts import QUANTITIES, REGIONS, Array, Found
from companion.claims.ledger import Claim
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


def printed_regions(claim: Claim) -> dict[str, dict[str, int]]:
    """Family → region → number of concepts, as printed in version 1's Venn diagrams."""
    found: dict[str, dict[str, int]] = {}
    for name, value in claim.values.items():
        region = max((r for r in REGIONS if name.endswith(f"_{r}")), key=len)
        found.setdefault(name.removesuffix(f"_{region}"), {})[region] = int(value)
    return found
