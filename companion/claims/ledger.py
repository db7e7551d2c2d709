"""The paper's claims as `data/claims.yaml` states them, and what a verdict on one consists of.

A verdict is computed, never typed. A rule (see `rules`) reports what it finds, one by one: how much
the claim covers, single *cases*, mostly one model, or two that are compared, and numbers. In a case
what the claim says *holds* if the evidence establishes it, *fails* if the evidence establishes
the contrary, and is *undecided* otherwise: the 95 % interval holds the cut, there is no control, or
a part is missing. Whether something is established, `deciding` says, with a correction for the
number of models and sets of images. From the cases follows the outcome:

- *reproduced*: it holds in every case, there is one of every level of which the claim speaks, and
  everything that it speaks of was measured;
- *partly established*: everything was measured; it holds in some case and fails in none, but other
  cases are undecided;
- *agrees so far*: the same where not everything was measured;
- *differs*: it fails in some case and holds in none;
- *mixed*: it holds in some and fails in others;
- *undecided*: measured, but neither established nor refuted in any case;
- *not measured*: there is no case.

More evidence that clearly says the same never makes an outcome less certain: an undecided case
changes nothing that another case has established, and several measurements of one thing are
undecided only if none decides or two contradict each other (`combined`). Vague evidence
can, since each look is one more chance to be wrong.

Some cases are *aside*: they are counted, shown and excluded from the verdict. These are stand-ins
(the nearest public model, not the paper's own), of models whose identity is inferred, of heads for
another task or by another probe than the claim's, and of models that cannot test a claim. Where no
other case exists the outcome is *undecided*. The *coverage* is how many of the models (or pairs)
that the claim speaks of were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from pydantic import Field, field_validator, model_validator

from analysis.base.roots import ROOT
from analysis.base.strict import Strict, checked, read_yaml
from analysis.base.texts import CompanionError
from analysis.families.registry import Level
from companion.measurements.intervals import Result
from companion.measurements.quantities import Measured

CLAIMS = ROOT / "data" / "claims.yaml"

#: Why a case decides nothing.
Aside = Literal["stand-in", "inferred", "another task", "another probe", "no test"]
ASIDES: tuple[Aside, ...] = get_args(Aside)
Outcome = Literal[
    "reproduced",
    "partly established",
    "agrees so far",
    "mixed",
    "differs",
    "undecided",
    "not measured",
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
#: What a reason may say of a verdict.
Standing = Literal[
    "every case agrees",
    "some case differs",
    "no case decides",
    "not all is measured",
    "some fits agree",
]


class ClaimError(CompanionError, ValueError):
    """The table of claims is wrong, or there is nothing by which to judge one."""


class Entry(Strict):
    """An entry of a file that is a list of entries, each with an id of its own."""

    id: str


E = TypeVar("E", bound=Entry)


class Missing(Strict):
    """Measurements that a reason calls missing: those of the claim's families that are all this.

    Empty fields say nothing. ``images``: those that claims are about, or those of concepts;
    ``in_task``: with a head of ImageNet's classes.
    """

    experiment: Measured
    levels: tuple[Level, ...] = ()
    images: Literal["", "reference", "probe"] = ""
    pretraining: tuple[str, ...] = ()
    in_task: bool = False


class Reason(Strict):
    """Why an outcome is what it is, as a clause, and what has to be so for it to be true.

    ``missing``: of each, nothing is measured; ``not_public``: no model of these levels has public
    weights, but for stand-ins; ``states``: so it is with the verdict's cases (`reasons.STATES`).
    """

    says: str
    missing: tuple[Missing, ...] = ()
    not_public: tuple[Level, ...] = ()
    states: tuple[Standing, ...] = ()

    @model_validator(mode="after")
    def _can_go_stale(self) -> Reason:
        if not (self.missing or self.not_public or self.states):
            raise ValueError(
                f"nothing says when the reason {self.says!r} is true: give missing, not_public or "
                "states"
            )
        return self


class Claim(Entry):
    """One claim; the meaning of each field is at the top of the file."""

    version: tuple[Literal["v1", "v2"], ...]
    place: str
    items: tuple[str, ...] = ()
    page: str
    short: str
    statement: str
    expected: str
    rule: str
    note: str = ""
    shown: dict[str, str]
    cuts: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    because: dict[Outcome | Literal["any"], Reason] = Field(default_factory=dict)
    pocket: dict[Outcome, str] = Field(default_factory=dict)
    values: dict[str, float] = Field(default_factory=dict)
    regions: dict[str, dict[str, int]] = Field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    order: tuple[Level, ...] = ()
    tolerance: float = 0
    tolerance_reason: str = ""
    needs: str

    @field_validator("because", mode="before")
    @classmethod
    def _of_any_outcome(cls, given: object) -> object:
        return {"any": given} if isinstance(given, dict) and "says" in given else given

    def reason(self, outcome: Outcome) -> Reason | None:
        """What somebody wrote for an outcome, or for any."""
        return self.because.get(outcome) or self.because.get("any")

    def of(self, edition: str) -> Claim:
        """The claim as an edition of the book states it: reasons are about the paper's models."""
        return self if edition == "paper" else self.model_copy(update={"because": {}})


@dataclass(frozen=True)
class Number:
    """One number that carries a verdict.

    ``of``: the model, or models separated by commas, or whatever else it is of; empty if of all
    that was checked. ``data``: the data set by name, empty where several take part. ``low``,
    ``high``: the ends of its 95 % interval, if it has one, in the same unit. ``unit``: a number
    of a measurement's quantity has that quantity's, any other the one that `unit_of` knows.
    """

    name: str
    value: float
    of: str = ""
    data: str = ""
    low: float | None = None
    high: float | None = None
    unit: str = "count"


@cache
def unit_of(name: str) -> str:
    """The unit of a number that is no quantity of a measurement; ClaimError if nothing says it."""
    units = claims_file()["units"]
    if found := [unit for unit, names in units.items() if name in names]:
        return str(found[0])
    raise ClaimError(
        f"nothing says in which unit {name!r} is: give the number the name of a quantity of "
        f"data/quantities.yaml, or list it below `units` at the top of {CLAIMS.name}."
    )


@dataclass(frozen=True)
class Case:
    """What one model, or two that are compared, say of a claim.

    ``aside``: why it decides nothing, if it does not.
    """

    result: Result
    aside: Aside | None = None


@dataclass(frozen=True)
class Scope:
    """Of how many things, called ``unit``, a claim speaks.

    ``measured``: how many of them are known, if that is not the number of cases that decide.
    ``whole``: whether there is a model of every level of which the claim speaks.
    """

    covered: int
    unit: str = "models"
    measured: int | None = None
    whole: bool = True


#: What a rule tells: one scope; cases, each with what was looked at (a model, or two by name,
#: separated by a comma); and numbers.
Findings = Iterable[Scope | tuple[str, Case] | Number]
#: How claims are judged, by their ids: what each module of rules ends with.
Rules = dict[str, Callable[[Claim, Any], Findings]]


@dataclass(frozen=True)
class Verdict:
    """What follows for a claim.

    ``cases``: what was looked at → its case. ``covered``: of how many such things, called
    ``unit``, the claim speaks; ``measured``: how many of these are known and not aside.
    ``numbers``: what the verdict rests on.
    """

    outcome: Outcome
    cases: Mapping[str, Case] = field(default_factory=dict)
    covered: int = 0
    measured: int = 0
    unit: str = "models"
    numbers: tuple[Number, ...] = ()

    def count(self, aside: Aside | None = None) -> dict[Result, int]:
        """How many cases have each result, among those that decide or those that are so aside."""
        results = [case.result for case in self.cases.values() if case.aside == aside]
        return {result: results.count(result) for result in get_args(Result)}


@dataclass(frozen=True)
class Explained(Verdict):
    """A verdict, and why its outcome is what it is, as a clause that a person wrote.

    ``reason``: "" if nobody wrote one, or if it is true no longer (`reasons`). ``at_cuts``: what
    the outcome would be with other values of the cuts on which it depends: cut → value → outcome.
    """

    reason: str = ""
    at_cuts: Mapping[str, Mapping[float, Outcome]] = field(default_factory=dict)


def verdict(findings: Findings) -> Verdict:
    """The verdict that follows from a rule's findings; a number found twice is given once."""
    scope, cases, numbers = Scope(0), dict[str, Case](), dict[Number, None]()
    for finding in findings:
        if isinstance(finding, Scope):
            scope = finding
        elif isinstance(finding, Number):
            numbers[finding] = None
        else:
            cases |= [finding]
    measured = scope.measured
    if measured is None:
        measured = sum(case.aside is None for case in cases.values())
    outcome = outcome_of(cases.values(), scope.whole and measured >= scope.covered)
    return Verdict(outcome, cases, scope.covered, measured, scope.unit, tuple(numbers))


def outcome_of(cases: Collection[Case], everything: bool) -> Outcome:
    """The outcome by the rules at the top of this module; ``everything``: all was measured."""
    if not cases:
        return "not measured"
    results = {case.result for case in cases if case.aside is None}
    if "fails" in results:
        return "mixed" if "holds" in results else "differs"
    if "holds" not in results:
        return "undecided"
    if not everything:
        return "agrees so far"
    return "reproduced" if results == {"holds"} else "partly established"


def holds(condition: bool) -> Result:
    """The result where there is no error to account for."""
    return "holds" if condition else "fails"


def combined(results: Iterable[Result]) -> Result:
    """The result of several measurements of the same thing: what the decisive ones agree on.

    Undecided if none decides, or if two contradict each other.
    """
    decided = set(results) - {"undecided"}
    return decided.pop() if len(decided) == 1 else "undecided"


def numbers(
    of: str = "",
    data: str = "",
    units: Mapping[str, str] | None = None,
    /,
    **values: float | tuple[float, float, float],
) -> tuple[Number, ...]:
    """Numbers by their names, of one thing: a value, or a value with the ends of its interval.

    ``units``: those of quantities by name, which go before `unit_of`.
    """
    arrays = {name: np.atleast_1d(np.asarray(value, float)) for name, value in values.items()}
    return tuple(
        Number(  # type: ignore[misc]
            name,
            array[0].item(),
            of,
            data,
            *(array[1:].tolist() or (None, None)),
            unit=(units or {}).get(name) or unit_of(name),
        )
        for name, array in arrays.items()
    )


def load_claims(path: Path = CLAIMS) -> dict[str, Claim]:
    """All claims by id, in the file's order; ClaimError names the entry and the field."""
    return entries(claims_file(path)["claims"], Claim, path.name)


@cache
def claims_file(path: Path = CLAIMS) -> dict[str, Any]:
    """The content of the file, its parts by name."""
    content: dict[str, Any] = read_yaml(path, ClaimError)
    return content


def entries(content: Sequence[object], kind: type[E], file: str) -> dict[str, E]:
    """Entries by their ``id``; ClaimError as above."""
    numbered = enumerate(content, 1)
    listed = [checked(kind, each, f"{file}, entry {n}", ClaimError) for n, each in numbered]
    by_id = {entry.id: entry for entry in listed}
    if len(by_id) < len(listed):
        raise ClaimError(f"{file} gives the same id to two entries; ids must differ.")
    return by_id
