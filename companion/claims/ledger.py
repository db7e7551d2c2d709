"""The paper's claims as `data/claims.yaml` states them, and what a verdict on one consists of.

A verdict is computed, never typed: *reproduced* if everything that the claim covers was measured
and holds, *differs* if something measured does not hold, *partly* if what was measured holds but
not all that the claim covers was measured, and *not measured* without evidence. How each claim is
judged stands in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from analysis.common import ROOT, CompanionError, Strict, first_reason
from analysis.families.registry import Level
from analysis.metrics.concept_counts import REGIONS

CLAIMS = ROOT / "data" / "claims.yaml"

Outcome = Literal["reproduced", "differs", "partly", "not measured"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "partly", "differs", "not measured")
Unit = Literal["dimensionless", "times the mean", "fraction", "count"]
#: Names of the numbers that carry verdicts, by unit; all others are counts.
UNITS: dict[Unit, tuple[str, ...]] = {
    "dimensionless": (
        *("kurtosis", "lowest_kurtosis", "highest_kurtosis"), *("slope", "intercept", "r"),
    ),
    "times the mean": ("importance", "importance_centred"),
    "fraction": (
        *("robustness", "lowest_robustness", "highest_robustness", "robustness_change"),
        *("smallest_gap", "printed_lowest", "printed_highest", "share", "printed_share"),
        *("accuracy_whole", "accuracy_kept", "accuracy_random", "accuracy_change", "without_loss"),
    ),
}  # fmt: skip


class ClaimError(CompanionError, ValueError):
    """The table of claims is wrong, or a claim is judged by what it does not state."""


class Sentence(Strict):
    """A sentence of a claim's card, or one for each thing that a number is of (see `cards`)."""

    text: str
    each: str = ""
    levels: tuple[Level, ...] = ()
    where: Literal["reference", "elsewhere"] | None = None
    join: str = " "
    before: str = ""
    after: str = ""
    always: bool = False


class Claim(Strict):
    """One claim; the meaning of each field is at the top of the file."""

    id: str
    version: tuple[Literal["v1", "v2"], ...]
    place: str
    page: str
    statement: str
    expected: str
    rule: str
    found: tuple[Sentence, ...]
    pocket: dict[Outcome, str] = Field(default_factory=dict)
    values: dict[str, float]
    order: tuple[Level, ...]
    tolerance: float | None
    tolerance_reason: str
    needs: str


@dataclass(frozen=True)
class Number:
    """One number that carries a verdict.

    ``of``: the model, or models separated by commas, or whatever else it is of; empty if of all
    that was checked. ``data``: the data set by name, empty where several take part. ``low``,
    ``high``: the ends of its 95 % interval, if it has one, in the same unit.
    """

    name: str
    value: float
    of: str = ""
    data: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def unit(self) -> Unit:
        """The unit of the value and of the interval's ends."""
        return next((unit for unit, names in UNITS.items() if self.name in names), "count")


@dataclass(frozen=True)
class Verdict:
    """What follows for a claim.

    ``holds``: what was checked (a model, or a model and a quantity, or two models) → whether it
    agrees. ``covered``: of how many such checks the claim speaks. ``numbers``: what that rests on.
    """

    outcome: Outcome
    holds: Mapping[str, bool] = field(default_factory=dict)
    covered: int = 0
    numbers: tuple[Number, ...] = ()

    @property
    def agreeing(self) -> int:
        """How many of those that were checked agree with the claim."""
        return sum(self.holds.values())

    def of(self, name: str) -> dict[str, Number]:
        """What the numbers of that name are of → the number, in the order in which they came."""
        return {one.of: one for one in self.numbers if one.name == name}


def numbers(
    of: str = "", data: str = "", /, **values: float | tuple[float, float, float]
) -> tuple[Number, ...]:
    """Numbers by their names, of one thing: a value, or a value with the ends of its interval."""
    found = []
    for name, given in values.items():
        value, *ends = map(float, given if isinstance(given, tuple) else (given,))
        found.append(Number(name, value, of, data, *ends))
    return tuple(found)


def load_claims(path: Path = CLAIMS) -> dict[str, Claim]:
    """All claims by id, in the file's order; ClaimError names the entry and the field."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        claims = TypeAdapter(list[Claim]).validate_python(content)
    except ValidationError as error:
        raise ClaimError(f"{path.name}, entry {first_reason(error)}.") from None
    if len({claim.id for claim in claims}) < len(claims):
        raise ClaimError(f"{path.name} gives the same id to two claims; ids must differ.")
    return {claim.id: claim for claim in claims}


def printed_regions(claim: Claim) -> dict[str, dict[str, int]]:
    """Family → region → number of concepts, as printed in version 1's Venn diagrams."""
    found: dict[str, dict[str, int]] = {}
    for name, value in claim.values.items():
        region = max((r for r in REGIONS if name.endswith(f"_{r}")), key=len)
        found.setdefault(name.removesuffix(f"_{region}"), {})[region] = int(value)
    return found
