"""Verdicts in words: a claim's card, the sentence on the pocket lab beside it, and in a terminal.

The sentences stand in `data/claims.yaml`, the numbers in a `Verdict`; here they meet.
``{kurtosis}`` is the number of that name, written by its unit (fractions in percent) or by a
format: ``{kurtosis:.2f}``; ``±`` at its end adds half of the 95 % interval, ``…`` its two ends.
``{title}`` and ``{short}`` name the models, with and without their level, ``{data}`` the images;
``{checked}``, ``{agreeing}`` and ``{covered}`` count what was checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from analysis.families.registry import LEVEL_TITLES, Level
from analysis.images import sets
from companion.claims.evidence import Evidence
from companion.claims.ledger import Claim, Number, Outcome, Sentence, Verdict
from companion.publish import words
from companion.publish.style import minus

#: What the sentence beside a card shows, where a verdict has it.
BESIDE = {
    "kurtosis": "κ {}",
    "importance": "largest importance over the mean {}",
    "robustness": "effective robustness in points {:+.1f…}",
    "kept": "directions kept {}",
    "rank": "of {}",
    "accuracy_change": "change of accuracy in points {:+.1f…}",
    "robustness_change": "change of effective robustness in points {:+.1f…}",
    "textures": "textures {}",
    "named": "of {}",
    "concepts": "concepts {:.1f}",
    "concepts_of_random_directions": "by random directions {:.1f}",
    "more": "more concepts by {:+.1f±}",
    "shared": "concepts that zero-shot encodes too {}",
    "encoded": "of {}",
    "shared_by_chance": "by chance {:.1f}",
}


def card(claim: Claim, verdict: Verdict, evidence: Evidence) -> str:
    """One claim with its verdict as a block of MyST."""
    said = [_said(sentence, verdict, evidence) for sentence in claim.found]
    found = " ".join(filter(None, said))
    if verdict.outcome == "not measured":
        found = f"{found or 'No evidence yet.'} It needs: {claim.needs}"
    tolerance = claim.tolerance or 0
    rule = claim.rule.format(**asdict(evidence.cuts), tolerance=tolerance, points=100 * tolerance)
    return (
        f":::{{div}} claim-card\n**{claim.id}** {badge(verdict.outcome)} *{claim.place}, "
        f"{' and '.join(claim.version)}*\n\n**The paper:** {claim.statement}\n\n"
        f"**Expected:** {claim.expected}\n\n**Found:** {found}\n\n**Rule:** {rule}\n:::"
    )


def badge(outcome: Outcome) -> str:
    """An outcome as the book shows it."""
    return f"[{outcome}]{{.verdict-{outcome.replace(' ', '-')}}}"


def beside(
    claim: Claim, verdict: Verdict, evidence: Evidence, about: str = "*In the pocket lab:*"
) -> str:
    """What the models of ``about`` show, by level, and how many of them agree with the claim."""
    if not verdict.holds:
        return f"{about} not measured in this build."
    told = []
    for name, shape in BESIDE.items():
        of_name = [(n, _level(n.of, evidence)) for n in verdict.numbers if n.name == name]
        before, _, form = shape.rpartition(" ")
        values = [
            f"{_level_title(level, evidence)} {_spanned(found, form)}"
            for level in get_args(Level)
            if (found := [n for n, own in of_name if own == level])
        ]
        told += [f"{before}: {', '.join(values)}"] if values else []
    checks = [_kind(check, evidence) for check in verdict.holds]
    agreeing = Counter(
        kind for kind, held in zip(checks, verdict.holds.values(), strict=True) if held
    )
    agree = ", ".join(f"{agreeing[kind]} of {n} {kind}" for kind, n in Counter(checks).items())
    meaning = claim.pocket.get(verdict.outcome, "")
    shown = f"{'; '.join(told)}. " if told else ""
    sentences = f"{shown}By the card's rule {agree} agree with the claim. {meaning}"
    return f"{about} {sentences.rstrip()}"


def rows(verdicts: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    """Verdicts as plain data, one mapping per claim: what `companion claims --json` prints.

    ``agreeing`` of ``checked`` checks hold; ``covered``: of how many the claim speaks.
    """
    return [
        {
            "id": name,
            "outcome": verdict.outcome,
            "agreeing": verdict.agreeing,
            "checked": len(verdict.holds),
            "covered": verdict.covered,
            "holds": dict(verdict.holds),
            "numbers": [
                {key: value for key, value in asdict(number).items() if value not in ("", None)}
                | {"unit": number.unit}
                for number in verdict.numbers
            ],
        }
        for name, verdict in verdicts.items()
    ]


def lines(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Verdicts for a terminal: what `companion claims` prints, the numbers below each claim."""
    told = []
    for name, verdict in verdicts.items():
        count = (
            f"{verdict.agreeing} of {len(verdict.holds)} checked agree, {verdict.covered} covered"
        )
        told.append(f"{name:16} {verdict.outcome:13} {count}")
        for n in verdict.numbers:
            ends = "" if n.low is None else f" ({n.low:.4g} to {n.high:.4g})"
            unit = "" if n.unit in ("count", "dimensionless") else f" {n.unit}"
            of = "  ".join(filter(None, (n.of, n.data)))
            told.append(f"  {n.name:30} {n.value:.4g}{ends}{unit}  {of}".rstrip())
    return told


def _said(sentence: Sentence, verdict: Verdict, evidence: Evidence) -> str:
    """One sentence of a card, of everything that it is said of; "" if there is nothing."""
    totals: dict[str, Any] = {n.name: _Shown(n) for n in verdict.numbers if not n.of}
    totals |= {"checked": len(verdict.holds), "covered": verdict.covered}
    totals |= {"agreeing": verdict.agreeing}
    if not sentence.each:
        shown = verdict.outcome != "not measured" or sentence.always
        return sentence.text.format(**totals) if shown else ""
    told = []
    for n in (n for n in verdict.numbers if n.name == sentence.each):
        if sentence.levels and _level(n.of, evidence) not in sentence.levels:
            continue
        if sentence.where and (n.data == evidence.reference) != (sentence.where == "reference"):
            continue
        beside = {m.name: _Shown(m) for m in verdict.numbers if (m.of, m.data) == (n.of, n.data)}
        told.append(sentence.text.format(**totals | beside | _names(n, evidence)))
    joined = sentence.join.join(told)
    return f"{sentence.before} {joined}{sentence.after}".lstrip() if told else ""


def _names(number: Number, evidence: Evidence) -> dict[str, str]:
    """What a number is of, in words."""
    names = {"of": number.of.replace("_", "-"), "data": sets.title(number.data)}
    if number.of in evidence.families:
        return names | {"title": evidence.families[number.of].title}
    families = {m.name: f for f in evidence.families.values() for m in f.models}
    first, *others = number.of.split(", ")
    if first in families:
        family = families[first]
        models = [family.model(name) for name in (first, *others)]
        compared = " less ".join(model.title for model in models)
        names["title"] = f"{family.title}, {compared}"
        names["short"] = f"{family.title}, {models[0].pretraining}"
    return names


def _level(of: str, evidence: Evidence) -> Level | None:
    """The level of the model that something is of, the first of two; None of anything else."""
    first = of.split(", ")[0]
    models = (m for family in evidence.families.values() for m in family.models)
    return next((model.level for model in models if model.name == first), None)


def _level_title(level: Level, evidence: Evidence) -> str:
    """What all models of a level are called, or else the level."""
    titles = {model.title for model in evidence.at(level)}
    return titles.pop() if len(titles) == 1 else LEVEL_TITLES[level]


def _spanned(found: Sequence[Number], form: str) -> str:
    """One or two numbers as they are, or the lowest to the highest of more."""
    if len(found) < 3:
        return " and ".join(dict.fromkeys(form.format(_Shown(n)) for n in found))
    plain = form.replace("…", "").replace("±", "")
    ends = (end(found, key=lambda n: n.value) for end in (min, max))
    return " to ".join(dict.fromkeys(plain.format(_Shown(n)) for n in ends))


def _kind(check: str, evidence: Evidence) -> str:
    """What was checked: the level, and in brackets which of several quantities."""
    last = check.rpartition(", ")[2]
    quantity = f" ({last})" if last in ("accuracy", "robustness", "κ", "ER") else ""
    level = _level(check, evidence)
    return f"{_level_title(level, evidence)}{quantity}" if level else last


class _Shown:
    """A number as a sentence writes it: see the module."""

    def __init__(self, number: Number) -> None:
        self.number = number

    def __format__(self, form: str) -> str:
        number, plain = self.number, form.rstrip("±…")
        low, high = number.low, number.high
        value = self._written(number.value, plain)
        if low is None or high is None or plain == form:
            return value
        if form.endswith("±"):
            return f"{value} ± {self._written((high - low) / 2, plain.replace('+', ''))}"
        return f"{value} ({self._written(low, plain)} to {self._written(high, plain)})"

    def _written(self, value: float, form: str) -> str:
        unit = self.number.unit
        form = form or {"fraction": ".1f", "count": ".0f"}.get(unit, "")
        scaled = 100 * value if unit == "fraction" else value
        return minus(format(scaled, form)) if form else words.digits(scaled)
