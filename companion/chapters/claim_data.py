"""Verdicts as plain data, for other people's programs: `claims.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from analysis.families.registry import Edition
from companion.chapters.claim_cards import ASIDES, rule, sentence
from companion.claims import rates
from companion.claims.evidence import Evidence, gather
from companion.claims.ledger import Case, Claim, Explained, Number, load_claims
from companion.claims.rules import judge_all, rests_on

#: Changes when what is written here means something else.
FORMAT = 1


def as_json(edition: Edition = "paper", evidence: Evidence | None = None) -> str:
    """All claims as one text: of each what it says, its verdict, rule, numbers, evidence, rates.

    ``evidence``: what to judge by, if not all that is known of the edition now.
    """
    claims, known = load_claims(), evidence or gather(edition)
    verdicts = judge_all(known, {name: claim.of(edition) for name, claim in claims.items()})
    content = {"format": FORMAT, "edition": edition, "claims": rows(claims, verdicts, known)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def rows(
    claims: Mapping[str, Claim], verdicts: Mapping[str, Explained], evidence: Evidence
) -> list[dict[str, Any]]:
    """A mapping for each claim.

    ``coverage``: of how many models, or whatever ``unit`` says, the claim speaks, and how many of
    them were measured; ``agreement``: in how many cases that decide it holds; ``aside``: the same
    of those that do not decide, by the reason. ``evidence``: the measurements that it rests on, and
    which other tables. ``rates``: in percent of draws, none for a claim of which nobody drew them.
    ``at_cuts``: the outcome with other cuts.
    """
    drawn = rates.kept()
    found = []
    for name, verdict in verdicts.items():
        claim = claims[name]
        measurements, tables = rests_on(claim, evidence)
        known = rates.of_claim(name, drawn)._asdict() if name in {*drawn["claim"]} else None
        found.append(
            {
                "id": name,
                "statement": claim.statement.strip(),
                "place": claim.place,
                "version": list(claim.version),
                "outcome": verdict.outcome,
                "reason": verdict.reason,
                "sentence": sentence(verdict),
                "rule": rule(claim, evidence).strip(),
                "coverage": {
                    "measured": verdict.measured,
                    "of": verdict.covered,
                    "unit": verdict.unit,
                },
                "agreement": verdict.count(),
                "aside": {a: verdict.count(a) for a in ASIDES if any(verdict.count(a).values())},
                "cases": {of: _given(case) for of, case in verdict.cases.items()},
                "numbers": [_given(number) for number in verdict.numbers],
                "evidence": {
                    "measurements": [
                        {"file": m.place, "kind": "live" if m.live else "recorded"}
                        for m in measurements
                    ],
                    "tables": tables,
                },
                "rates": known,
                "at_cuts": verdict.at_cuts,
            }
        )
    return found


def _given(thing: Case | Number) -> dict[str, Any]:
    """The fields that say something; a number that is not known is null."""
    given = {key: value for key, value in asdict(thing).items() if value not in ("", None)}
    return {key: None if value != value else value for key, value in given.items()}
