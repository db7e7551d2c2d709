"""How this book judges each claim: one pure function per claim, (claim, evidence) → what it finds.

Nothing is read here and nothing is said: `evidence` gathers, `claim_cards` puts into words. The
same functions judge the paper's models and the pocket lab. The paper names few cut-offs;
those of this book are `evidence.Cuts`, and are stated in words in the field `rule` of
`data/claims.yaml`. The rules on effective robustness are in `order`, those on kurtosis in
`outliers`, those on a head's directions in `heads`, those on concepts in `concepts`; each of these
modules ends with a table of its rules. `deciding` has the one helper by which they decide; what
cases are, and how an outcome follows from them, is at the top of `ledger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

from analysis.families.registry import Level
from companion.claims import concepts, heads, order, outliers
from companion.claims.evidence import Evidence
from companion.claims.ledger import (
    Claim,
    ClaimError,
    Explained,
    Outcome,
    Rules,
    Verdict,
    verdict,
)
from companion.claims.reasons import reason
from companion.measurements.measurement import Measurement
from companion.measurements.quantities import Measured

RULES: Rules = {**order.RULES, **outliers.RULES, **heads.RULES, **concepts.RULES}


def found(claim: Claim, evidence: Evidence) -> Verdict:
    """The verdict on a claim; ClaimError if nothing says how it is judged."""
    if claim.id not in RULES:
        raise ClaimError(
            f"no rule judges the claim {claim.id}: write a function in companion/claims, and name "
            "it in the table RULES of its module."
        )
    return verdict(RULES[claim.id](claim, evidence))


def judge(claim: Claim, evidence: Evidence) -> Explained:
    """The verdict on a claim, as `found`, with its reason and what other cuts would make of it."""
    judged = found(claim, evidence)
    because = reason(claim, judged, evidence)
    return Explained(**vars(judged), reason=because, at_cuts=_at_cuts(claim, evidence))


def judge_all(evidence: Evidence, claims: Mapping[str, Claim]) -> dict[str, Explained]:
    """A verdict on each claim, in their order, as `judge`."""
    return {name: judge(claim, evidence) for name, claim in claims.items()}


#: What of `Evidence` that is no measurement may carry a verdict, in words.
TABLES = {
    "robustness": "effective robustness from published accuracies and own features",
    "fits": "fits of the baseline to published accuracies",
    "elsewhere": "models that other papers trained",
    "misread": "accuracies with another activation",
}


@dataclass(frozen=True)
class _Watched(Evidence):
    """Evidence that notes what a rule looks at."""

    looked_at: dict[str, Any] = field(default_factory=dict)

    def __getattribute__(self, name: str) -> Any:
        if name in TABLES:
            object.__getattribute__(self, "looked_at")[name] = TABLES[name]
        return object.__getattribute__(self, name)

    def measured(self, experiment: Measured, *levels: Level) -> list[Measurement]:
        """As `Evidence.measured`; whatever it gives is noted as looked at."""
        found = super().measured(experiment, *levels)
        self.looked_at.update({f"{m.family}/{m.place}": m for m in found})
        return found


def rests_on(claim: Claim, evidence: Evidence) -> tuple[list[Measurement], list[str]]:
    """The measurements of models of which a verdict speaks, and other tables that its rule read."""
    watched = _Watched(**{each.name: getattr(evidence, each.name) for each in fields(evidence)})
    judged = found(claim, watched)
    named = {*judged.cases, *(number.of for number in judged.numbers)}
    models = {name for names in named for name in names.split(", ")}
    looked_at = [*watched.looked_at.values()]
    measurements = [m for m in looked_at if isinstance(m, Measurement) and m.model in models]
    tables = [words for words in TABLES.values() if words in looked_at]
    return measurements, tables if judged.cases or judged.numbers else []


def _at_cuts(claim: Claim, evidence: Evidence) -> dict[str, dict[float, Outcome]]:
    """The outcome with other values of each cut on which the claim depends: cut → value → it."""
    return {
        name: {value: found(claim, _with_cut(evidence, name, value)).outcome for value in values}
        for name, values in claim.cuts.items()
    }


def _with_cut(evidence: Evidence, name: str, value: float) -> Evidence:
    """Evidence with another cut, and with what it has worked out, which rests on no cut."""
    other = copy(evidence)
    object.__setattr__(other, "cuts", replace(evidence.cuts, **{name: value}))
    return other
