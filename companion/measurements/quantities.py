"""What is measured: the experiments of `data/quantities.yaml`, and which values they can give.

The fields are explained at the top of that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import inf, sqrt
from typing import Literal

from pydantic import Field, TypeAdapter

from analysis.common import ROOT, Strict, read_yaml

Order = Literal["importance", "singular_value", "reversed", "random"]
Experiment = Literal[
    "outlier_features", "privileged_directions", "pruning", "pruning_under_shift", "concepts",
    "accuracy", "basis", "interventions", "unread", "textures", "image_by_image",
]  # fmt: skip
#: What is measured of a family's models, and of one checkpoint that `companion probe` judges.
Measured = Experiment | Literal["probe"]

FILE = ROOT / "data" / "quantities.yaml"
#: The orders in which directions are pruned.
ORDERS: tuple[Order, ...] = ("importance", "singular_value", "random", "reversed")


#: Units of which there are whole numbers only.
WHOLE = frozenset({"concept", "coordinate", "count", "direction", "images", "predictions"})
#: No number of a measurement is larger: what is read from files stays within what can be computed.
LARGEST = 1e15
#: The length of a list that may be empty.
NONE_OR_MORE = "none or more"


class Quantity(Strict):
    """The unit of a number, or of each number in a list or table, and how many there are.

    ``least``: what each number is at least, where its unit does not say so. ``one``: what of a list
    is 1. A quantity is ``optional`` if files that were recorded before it came may lack it.
    """

    unit: str
    shape: tuple[int | str, ...] = ()
    digits: int = 4
    least: float | None = None
    one: Literal["mean", "sum", "length"] | None = None
    optional: bool = False


class Kind(Strict):
    """One experiment: what it needs, what decides its numbers, and which these are."""

    head: Literal["own", "largest", "optional", "none", "texts"] = "own"
    labels: bool = False
    code: tuple[str, ...]
    reads: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    counts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    quantities: dict[str, Quantity]

    @property
    def counted(self) -> tuple[str, ...]:
        """What a measurement says how many there are of."""
        headless = self.head in ("none", "texts")
        return ("images", "components", *["classes"] * (not headless), *self.counts)


@cache
def declared() -> dict[Measured, Kind]:
    """All experiments as they are declared."""
    return TypeAdapter(dict[Measured, Kind]).validate_python(read_yaml(FILE))


def possible(quantity: Quantity, counts: Mapping[str, int]) -> tuple[float, float]:
    """Lowest and highest value of a quantity, by its unit, in a measurement of so much."""
    width, concepts = counts.get("components", inf), counts.get("concepts", inf)
    images, rank = counts.get("images", inf), min(width, counts.get("classes", inf))
    ranges = {
        "fraction": (0, 1),
        "fraction of the whole": (0, 1),
        "absolute cosine": (0, 1),
        "cosine": (-1, 1),
        "correlation": (-1, 1),
        "difference of fractions": (-1, 1),
        "fraction, or end of an interval": (-1, 2),
        "component of a unit vector": (-1, 1),
        "kurtosis": (1, width),
        "coordinate": (0, width - 1),
        "direction": (0, rank - 1),
        "directions": (1, width),
        "concept": (0, concepts - 1),
        "concepts": (0, concepts),
        "images": (0, images),
        "predictions": (0, images),
        "standard deviations of the image": (-sqrt(width), sqrt(width)),
    }
    low, high = ranges.get(quantity.unit, (0, LARGEST))
    return low if quantity.least is None else quantity.least, high
