"""The experiments of `data/quantities.yaml`: what they measure, and which values are possible.

The fields are explained at the top of that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from analysis.base.roots import ROOT
from analysis.base.strict import Strict, read_yaml

Order = Literal["importance", "singular_value", "reversed", "random"]
Measurable = Literal[
    "outlier_features", "privileged_directions", "pruning", "pruning_under_shift", "concepts",
    "accuracy", "basis", "interventions", "unread", "quantisation", "textures", "image_by_image",
]  # fmt: skip
#: What is measured of a family's models, and of one checkpoint that `companion probe` judges.
Measured = Measurable | Literal["probe"]

FILE = ROOT / "data" / "quantities.yaml"
#: The orders in which directions are pruned.
ORDERS: tuple[Order, ...] = ("importance", "singular_value", "random", "reversed")


#: No number of a measurement is larger: what is read from files stays within what can be computed.
LARGEST = 1e15
#: The length of a list that may be empty.
NONE_OR_MORE = "none or more"


class Unit(Strict):
    """The possible numbers of a unit; the fields are explained at the top of the file."""

    least: float = 0
    most: float = LARGEST
    of: str = ""
    place: bool = False
    whole: bool = False


class Quantity(Strict):
    """The unit of a number, or of each number in a list or table, and how many there are.

    ``least``: what each number is at least, where its unit does not say so. ``one``: what of a list
    is 1. A quantity is ``optional`` if files that were recorded before it came may lack it. One
    that is a single number may have a ``column`` in the tables of its experiment, and what that
    ``means``. The rest is what its numbers are held against.
    """

    unit: str
    shape: tuple[int | str, ...] = ()
    least: float | None = None
    one: Literal["mean", "sum", "length"] | None = None
    optional: bool = False
    column: str = ""
    means: str = ""
    same_as: str = ""
    last_as: str = ""
    at_length_one: bool = False
    share_of: tuple[str, ...] = ()
    choice: bool = False


class Kind(Strict):
    """One experiment: what it needs, what decides its numbers, and which these are.

    ``version`` is raised when it gives other numbers.
    """

    version: Annotated[int, Field(ge=1)]
    head: Literal["own", "largest", "optional", "none", "texts", "texts if any"] = "own"
    labels: bool = False
    reads: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    counts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    quantities: dict[str, Quantity]

    @property
    def counted(self) -> tuple[str, ...]:
        """The things that a measurement counts."""
        headless = self.head in ("none", "texts", "texts if any")
        return ("images", "components", *["classes"] * (not headless), *self.counts)


@cache
def units() -> dict[str, Unit]:
    """The declared units."""
    return TypeAdapter(dict[str, Unit]).validate_python(read_yaml(FILE)["units"])


@cache
def declared() -> dict[Measured, Kind]:
    """All experiments as they are declared."""
    experiments = {name: about for name, about in read_yaml(FILE).items() if name != "units"}
    return TypeAdapter(dict[Measured, Kind]).validate_python(experiments)


def possible(quantity: Quantity, counts: Mapping[str, int]) -> tuple[float, float]:
    """Lowest and highest value of a quantity, by its unit, in a measurement of so much."""
    unit, least = units().get(quantity.unit, Unit()), quantity.least
    rank = min(counts.get(name, LARGEST) for name in ("components", "classes"))
    most = {**counts, "rank": rank}.get(unit.of, unit.most)
    return unit.least if least is None else least, most - unit.place
