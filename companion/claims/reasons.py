"""Whether a reason that somebody wrote for a verdict is still true of the evidence.

Reasons are words of `data/claims.yaml`, and words go stale: "the control is missing" is false from
the day on which somebody records it. So each reason says of what it speaks, and is shown only while
that is so. The outcome is then shown without a reason, and a test asks for a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis.families.registry import Model
from companion.claims.evidence import Evidence
from companion.claims.ledger import Claim, Missing, Reason, Standing, Verdict
from companion.measurements.measurement import Measurement

#: What a reason may say of a verdict's cases and numbers, and when that is so.
STATES: Mapping[Standing, Callable[[Verdict], bool]] = {
    "every case agrees": lambda found: _results(found) == {"holds"},
    "some case differs": lambda found: "fails" in _results(found),
    "no case decides": lambda found: all(case.aside for case in found.cases.values()),
    "not all is measured": lambda found: found.measured < found.covered,
    "some fits agree": lambda found: 0 < _number(found, "fits_agreeing") < _number(found, "fits"),
}


def reason(claim: Claim, found: Verdict, evidence: Evidence) -> str:
    """Why the outcome is what it is, as a clause; "" if nobody wrote it or it is true no longer."""
    written = claim.reason(found.outcome)
    if not written or stale(written, found, evidence):
        return ""
    scale = {"fraction": 100}
    return written.says.format(**{n.name: n.value * scale.get(n.unit, 1) for n in found.numbers})


def runnable(claim: Claim, found: Verdict, evidence: Evidence) -> list[Model]:
    """The models whose features are missing, if the weights of all of them are public; else []."""
    written = claim.reason(found.outcome)
    every = [
        model
        for missing in (written.missing if written else ())
        for model in evidence.models.values()
        if (not missing.levels or model.level in missing.levels)
        and (not missing.pretraining or model.pretraining in missing.pretraining)
    ]
    return every if all(model.loadable and not model.stand_in for model in every) else []


def stale(written: Reason, found: Verdict, evidence: Evidence) -> list[str]:
    """What a reason says that is not so, in words; empty while all of it is true."""
    wrong = [f"“{state}” is not so" for state in written.states if not STATES[state](found)]
    for missing in written.missing:
        known = [m for m in evidence.measurements if _is(m, missing, evidence)]
        wrong += [f"{missing.experiment} of {m.model} on {m.data.name} is known" for m in known]
    every = (model for family in evidence.families.values() for model in family.models)
    public = [m for m in every if m.level in written.not_public and m.loadable and not m.stand_in]
    return [*wrong, *(f"the weights of {model.name} are public" for model in public)]


def _results(found: Verdict) -> set[str]:
    return {case.result for case in found.cases.values()}


def _number(found: Verdict, name: str) -> float:
    return next((number.value for number in found.numbers if number.name == name), 0)


def _is(m: Measurement, missing: Missing, evidence: Evidence) -> bool:
    """Whether a measurement is one of those that a reason calls missing."""
    images = {"": m.data.name, "reference": evidence.reference, "probe": evidence.probe}
    return (
        m.family in evidence.families
        and m.experiment == missing.experiment
        and (not missing.levels or m.level in missing.levels)
        and m.data.name == images[missing.images]
        and not (missing.in_task and evidence.other_task(m))
        and (not missing.pretraining or evidence.models[m.model].pretraining in missing.pretraining)
    )
