"""The paper's claims, and how a verdict follows from what was measured.

`data/claims.yaml` holds what the paper states. A verdict is computed, never typed: *reproduced*
if everything that the claim covers was measured and holds, *differs* if something measured does
not hold, *partly* if what was measured holds but not all that the claim covers was measured, and
*not measured* without evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from analysis.common import ROOT
from analysis.families.registry import Level

CLAIMS = ROOT / "data" / "claims.yaml"

Outcome = Literal["reproduced", "differs", "partly", "not measured"]


class ClaimError(ValueError):
    """The table of claims is wrong, or a claim is judged by what it does not state."""


class Claim(BaseModel):
    """One claim; the meaning of each field is at the top of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    version: tuple[Literal["v1", "v2"], ...]
    place: str
    page: str
    statement: str
    expected: str
    values: dict[str, float]
    order: tuple[Level, ...]
    tolerance: float | None
    tolerance_reason: str
    needs: str


@dataclass(frozen=True)
class Verdict:
    """The outcome and the sentence that carries its evidence (MyST)."""

    outcome: Outcome
    evidence: str


def load_claims(path: Path = CLAIMS) -> dict[str, Claim]:
    """All claims by id, in the file's order; ClaimError names the entry and the field."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        claims = TypeAdapter(list[Claim]).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ClaimError(f"{path.name}, entry {place}: {first['msg']}.") from None
    if len({claim.id for claim in claims}) < len(claims):
        raise ClaimError(f"{path.name} gives the same id to two claims; ids must differ.")
    return {claim.id: claim for claim in claims}


def judge_values(claim: Claim, measured: Mapping[str, float]) -> Outcome:
    """Compare measured numbers with the claim's printed ones, within its tolerance.

    `measured` must name numbers that the claim states, in its units; those it leaves out count as
    not measured.
    """
    unknown = sorted(set(measured) - set(claim.values))
    if unknown or not claim.values or claim.tolerance is None:
        raise ClaimError(
            f"claim {claim.id} cannot be judged by {sorted(measured)}: it states "
            f"{sorted(claim.values) or 'no numbers'}, with tolerance {claim.tolerance}."
        )
    if not measured:
        return "not measured"
    if any(abs(value - claim.values[name]) > claim.tolerance for name, value in measured.items()):
        return "differs"
    return "reproduced" if set(measured) == set(claim.values) else "partly"


def judge_cases(holds: Mapping[str, bool], covered: int) -> Outcome:
    """Judge a claim on each of `covered` models from those for which it could be checked.

    `holds`: model → whether what was measured of it agrees. ValueError if it has more models than
    the claim covers.
    """
    if len(holds) > covered:
        raise ValueError(f"{len(holds)} models were checked, but the claim covers {covered}.")
    if not holds:
        return "not measured"
    if not all(holds.values()):
        return "differs"
    return "reproduced" if len(holds) == covered else "partly"


@dataclass(frozen=True)
class Ordering:
    """How often the levels came in the claimed order."""

    outcome: Outcome
    pairs: int  # neighbouring or end levels compared
    reversed_pairs: int
    complete: int  # groups with all levels in one view
    groups: int


def judge_order(order: Sequence[Level], views: Sequence[pd.DataFrame]) -> Ordering:
    """Check that values fall along `order` in every group of every view.

    A view is a frame with one row per group (same groups and index in each) and one column per
    level, NaN where not measured. Values of different views are never compared with each other. A
    group is complete if one view has all its levels.
    """
    pairs = reversed_pairs = 0
    complete = pd.Series(False, index=views[0].index)
    for view in views:
        complete |= view[list(order)].notna().all(axis="columns")
        for i, higher in enumerate(order):
            for lower in order[i + 1 :]:
                gap = (view[higher] - view[lower]).dropna()
                pairs += len(gap)
                reversed_pairs += int((gap <= 0).sum())
    if not pairs:
        outcome: Outcome = "not measured"
    elif reversed_pairs:
        outcome = "differs"
    else:
        outcome = "reproduced" if complete.all() else "partly"
    return Ordering(outcome, pairs, reversed_pairs, int(complete.sum()), len(complete))
