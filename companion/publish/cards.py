"""Verdicts in words: a claim's card, the sentence on the pocket lab beside it, and in a terminal.

The sentences stand in `data/claims.yaml`, the numbers in a `Verdict`; here they meet.
``{kurtosis}`` is the number of that name, written by its unit (fractions in percent) or by a
format: ``{kurtosis:.2f}``; ``±`` at its end adds half of the 95 % interval, ``…`` its two ends.
``{title}`` and ``{short}`` name the models, with and without their level, ``{other}`` what the last
of two is pretrained on, ``{data}`` the images.
The outcome and the coverage are written by `badge` and `coverage`, how many cases agree by
`agreement`: no sentence of a card says them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from analysis.families.registry import LEVEL_TITLES, Level
from analysis.images import sets
from companion.claims.evidence import Evidence, at_reach
from companion.claims.ledger import (
    OUTCOMES,
    Aside,
    Case,
    Claim,
    Number,
    Result,
    Sentence,
    Verdict,
)
from companion.claims.rules import judge_all
from companion.publish.style import digits, items, minus

#: A result in words, of one case and of several.
RESULTS: dict[Result, tuple[str, str]] = {
    "holds": ("agrees", "agree"),
    "fails": ("differs", "differ"),
    "undecided": ("undecided", "undecided"),
}
#: Why cases stand aside, before how many agree.
ASIDES: dict[Aside | None, str] = {
    None: "",
    "stand-in": "stand-ins, which decide nothing: ",
    "inferred": "models that are inferred, which decide nothing: ",
    "another task": "in another task, which decides nothing: ",
    "another probe": "by another probe, which decides nothing: ",
    "no test": "robust models, which cannot test it: ",
}
#: Whether a model is robust, in words.
ROBUST = {True: "robust", False: "not robust", None: "not known"}
#: Other choices of `Cuts.reach`.
REACHES = (0.02, 0.1)
#: What the sentence beside a card shows, where a verdict has it.
BESIDE = {
    "kurtosis": "κ {}",
    "importance_centred": "largest importance over the mean, head centred {}",
    "robustness": "effective robustness in points {:+.1f…}",
    "kept": "directions kept {}",
    "rank": "directions in all {}",
    "accuracy_change": "change of accuracy in points {:+.1f…}",
    "robustness_change": "change of effective robustness in points {:+.1f…}",
    "textures": "textures {}",
    "listed": "concepts listed {}",
    "concepts": "concepts {:.1f}",
    "concepts_of_random_directions": "by random directions {:.1f}",
    "more": "more concepts by {:+.1f±}",
    "shared": "concepts that zero-shot encodes too {}",
    "encoded": "concepts in all {}",
    "shared_by_chance": "by chance {:.1f}",
}


def card(claim: Claim, verdict: Verdict, evidence: Evidence) -> str:
    """One claim with its verdict as a block of MyST."""
    said = [_said(sentence, verdict, evidence) for sentence in claim.found]
    found = " ".join(filter(None, said))
    if verdict.outcome == "not measured":
        found = f"{found or 'No evidence yet.'} It needs: {claim.needs}"
    measured = f"{coverage(verdict)}{agreement(verdict)}."
    tolerance = claim.tolerance or 0
    rule = claim.rule.format(
        **asdict(evidence.cuts) | {"reach": 100 * evidence.cuts.reach},
        **claim.values, tolerance=tolerance, points=100 * tolerance,
    )  # fmt: skip
    return (
        f":::{{div}} claim-card\n**{claim.id}** {badge(verdict)} *{claim.place}, "
        f"{' and '.join(claim.version)}*\n\n**The paper:** {claim.statement}\n\n"
        f"**Expected:** {claim.expected}\n\n**Measured:** {measured}\n\n**Found:** {found}\n\n"
        f"**Rule:** {rule}\n\n**Shown in:** {{bearing}}`{claim.id}`\n:::"
    )


def badge(verdict: Verdict) -> str:
    """An outcome as the book shows it, and beside it how much of what it speaks of was measured."""
    outcome = verdict.outcome
    shown = f"[{outcome}]{{.verdict-{outcome.replace(' ', '-')}}}"
    aside = sum(case.aside is not None for case in verdict.cases.values())
    more = f", {aside} aside" if aside else ""
    return f"{shown} [{coverage(verdict)}{more}]{{.coverage}}" if verdict.cases else shown


def counts(verdicts: Mapping[str, Verdict]) -> str:
    """How many claims have which outcome, those of a sort that none has left out."""
    found = Counter(one.outcome for one in verdicts.values())
    told = (f"{found[outcome]} {outcome}" for outcome in OUTCOMES if found[outcome])
    return f"{len(verdicts)} claims: {', '.join(told)}."


def by_reach(evidence: Evidence, claims: Mapping[str, Claim]) -> str:
    """What another reach of ordinary models changes: a list (MyST), one item for each reach."""
    own, told = judge_all(evidence, claims), []
    titles = {m.name: f"{f.title}, {m.title}" for f in evidence.families.values() for m in f.models}
    for reach in REACHES:
        other = at_reach(evidence, reach)
        changed: dict[str, list[str]] = {}
        for name, known in evidence.robust.items():
            answers = [ROBUST[one.robust] for one in (known, other.robust[name])]
            if len({*answers}) > 1:
                how = f"{answers[1]} instead of {answers[0]}"
                changed.setdefault(how, []).append(titles[name])
        of = sum(map(len, changed.values()))
        listed = (f" {how.capitalize()}: {'; '.join(names)}." for how, names in changed.items())
        moved = [
            f"{{ref}}`{name} <claim-{name}>` {verdict.outcome}"
            for name, verdict in judge_all(other, claims).items()
            if verdict.outcome != own[name].outcome
        ]
        outcomes = f"Outcomes that change: {', '.join(moved)}." if moved else "No outcome changes."
        told.append(
            f"Within {100 * reach:g} points {of} of {len(evidence.robust)} answers change."
            f"{''.join(listed)} {outcomes}"
        )
    return items(told)


def outcome(verdict: Verdict) -> str:
    """An outcome inside a sentence, with how much of what it speaks of was measured."""
    return f"*{verdict.outcome}* ({coverage(verdict)} measured)"


def coverage(verdict: Verdict) -> str:
    """How many of the models, or whatever else a claim speaks of, were measured."""
    return f"{verdict.measured} of {verdict.covered} {verdict.unit}"


def agreement(verdict: Verdict) -> str:
    """In how many cases a claim holds, of those that decide and of those aside; "" without any.

    As it follows the coverage.
    """
    told = ""
    for aside in (None, *get_args(Aside)):
        found = {result: verdict.count(result, aside) for result in RESULTS}
        if aside == "no test" and any(found.values()):
            told += f"; {ASIDES[aside]}{sum(found.values())}"
        elif any(found.values()):
            of = "" if aside or sum(found.values()) == verdict.measured else " values"
            told += f"{'; ' if aside else ', '}{ASIDES[aside]}{_counted(found, of)}"
    return told


def _counted(results: Mapping[Result, int], of: str = "") -> str:
    """How many agree, differ and are undecided; "" if there are none."""
    return ", ".join(
        f"{number}{of} {RESULTS[result][number > 1]}"
        for result, number in results.items()
        if number
    )


def beside(
    claim: Claim, verdict: Verdict, evidence: Evidence, about: str = "*In the pocket lab:*"
) -> str:
    """What the models of ``about`` show, by level, and how many of them agree with the claim."""
    if not verdict.cases:
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
    results: dict[str, Counter[Result]] = {}
    for name, case in verdict.cases.items():
        results.setdefault(_kind(name, case, evidence), Counter())[case.result] += 1
    agree = "; ".join(
        f"{kind}: {_counted({r: found[r] for r in RESULTS})}" for kind, found in results.items()
    )
    meaning = claim.pocket.get(verdict.outcome, "")
    shown = f"{'; '.join(told)}. " if told else ""
    outcome = f"By the card's rule *{verdict.outcome}* ({agree})."
    return f"{about} {shown}{outcome} {meaning}".rstrip()


def rows(verdicts: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    """Verdicts as plain data, one mapping per claim: what `companion claims --json` prints.

    ``coverage``: of how many models, or whatever ``unit`` says, the claim speaks, and how many of
    them were measured; ``agreement``: in how many cases that decide it holds; ``aside``: the same
    of those that do not decide, by the reason.
    """
    return [
        {
            "id": name,
            "outcome": verdict.outcome,
            "coverage": {
                "measured": verdict.measured, "of": verdict.covered, "unit": verdict.unit,
            },
            "agreement": {result: verdict.count(result) for result in RESULTS},
            "aside": {
                aside: {result: verdict.count(result, aside) for result in RESULTS}
                for aside in get_args(Aside)
                if any(case.aside == aside for case in verdict.cases.values())
            },
            "cases": {
                case: {key: value for key, value in asdict(found).items() if value}
                for case, found in verdict.cases.items()
            },
            "numbers": [
                {key: value for key, value in asdict(number).items() if value not in ("", None)}
                | {"unit": number.unit}
                for number in verdict.numbers
            ],
        }
        for name, verdict in verdicts.items()
    ]  # fmt: skip


def lines(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Verdicts for a terminal: what `companion claims` prints, the numbers below each claim."""
    told = []
    for name, verdict in verdicts.items():
        count = f"{coverage(verdict)}{agreement(verdict)}"
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
    if not sentence.each:
        return "" if verdict.outcome == "not measured" else sentence.text.format(**totals)
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
    known = [*evidence.families.values(), *evidence.others.values()]
    families = {m.name: f for f in known for m in f.models}
    first, *others = number.of.split(", ")
    if first in families:
        family = families[first]
        models = [family.model(name) for name in (first, *others)]
        compared = " less ".join(model.title for model in models)
        names["title"] = f"{family.title}, {compared}"
        names["short"] = f"{family.title}, {models[0].pretraining}"
        names["other"] = models[-1].pretraining
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


def _kind(name: str, case: Case, evidence: Evidence) -> str:
    """What a case is of, in words: its level, of two models the second's, and why it is aside."""
    level = _level(name.rpartition(", ")[2], evidence)
    kind = _level_title(level, evidence) if level else name
    return f"{kind} ({case.aside})" if case.aside else kind


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
            rounded = ".2g" if not plain and number.unit not in ("fraction", "count") else ""
            return f"{value} ± {self._written((high - low) / 2, plain.replace('+', '') or rounded)}"
        return f"{value} ({self._written(low, plain)} to {self._written(high, plain)})"

    def _written(self, value: float, form: str) -> str:
        unit = self.number.unit
        form = form or {"fraction": ".1f", "count": ".0f"}.get(unit, "")
        scaled = 100 * value if unit == "fraction" else value
        return minus(format(scaled, form)) if form else digits(scaled)
