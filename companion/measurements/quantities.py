"""What is measured: the experiments of `data/quantities.yaml`, and which values they can give.

The fields are explained at the top of that file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from math import inf, sqrt
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from analysis.common import ROOT, Strict, read_yaml

Order = Literal["importance", "singular_value", "reversed", "random"]
Experiment = Literal[
    "outlier_features", "privileged_directions", "pruning", "pruning_under_shift", "concepts",
    "accuracy", "basis", "interventions", "textures",
]  # fmt: skip

FILE = ROOT / "data" / "quantities.yaml"
#: What a sweep of pruning judges, and the orders in which directions are pruned.
SWEPT = ("inside", "outside", "robustness")
ORDERS: tuple[Order, ...] = ("importance", "singular_value", "random", "reversed")


class Quantity(Strict):
    """The unit of a number, or of each number in a list or table, and how many there are."""

    unit: str
    shape: tuple[int | str, ...] = ()
    digits: int = 4


class Kind(Strict):
    """One experiment: what it needs, what decides its numbers, and which these are."""

    head: Literal["own", "largest", "none"] = "own"
    labels: bool = False
    code: tuple[str, ...]
    reads: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    quantities: dict[str, Quantity]


@cache
def declared() -> dict[Experiment, Kind]:
    """All experiments as they are declared."""
    return TypeAdapter(dict[Experiment, Kind]).validate_python(read_yaml(FILE))


def misfits(
    experiment: Experiment, values: Mapping[str, NDArray[Any]], counts: Mapping[str, int]
) -> Iterator[str]:
    """Which quantities are longer or shorter than what they are of, a sentence each."""
    kind = declared()[experiment]
    needed = ("images", "components", "classes")[: 2 if kind.head == "none" else 3]
    for name in {*needed} - counts.keys():
        yield f"counts.{name} is missing"
    most = min(counts.get("components", inf), counts.get("classes", inf))
    sizes = dict(counts) | {name: int(v) for name, v in values.items() if v.ndim == 0}
    for name, quantity in kind.quantities.items():
        for size, of in zip(values[name].shape, quantity.shape, strict=True):
            expected = of if isinstance(of, int) else sizes.setdefault(of, size)
            if of != "any" and size != expected:
                yield f"values.{name} has {size} numbers for {expected} {of}"
    if not 0 < sizes.get("rank", 1) <= most:
        yield f"there are {sizes['rank']} directions, a head has 1 to {most}"


def possible(quantity: Quantity, counts: Mapping[str, int]) -> tuple[float, float]:
    """Lowest and highest value of a quantity, by its unit, in a measurement of so much."""
    width, concepts = counts.get("components", inf), counts.get("concepts", inf)
    ranges = {
        "fraction": (0, 1),
        "fraction of the whole": (0, 1),
        "absolute cosine": (0, 1),
        "cosine": (-1, 1),
        "difference of fractions": (-1, 1),
        "fraction, or end of an interval": (-1, 2),
        "component of a unit vector": (-1, 1),
        "kurtosis": (1, width),
        "coordinate": (0, width - 1),
        "direction": (0, min(width, counts.get("classes", inf)) - 1),
        "concept": (0, concepts - 1),
        "concepts": (0, concepts),
        "standard deviations of the image": (-sqrt(width), sqrt(width)),
    }
    return ranges.get(quantity.unit, (0, inf))
