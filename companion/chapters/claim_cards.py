"""Verdicts as a reader sees them: a badge, a claim's card, the ledger's rows, lines for a terminal.

How many models were measured, in a `sentence`, is said on cards, in tables and in a terminal alone.
Sentences of a page give the outcome and the reason that somebody wrote for it.

The texts are those of `data/claims.yaml`; the numbers are a `Verdict`'s, shown as one table. Its
columns are the numbers that the claim names in `shown`, each with its heading: a heading that ends
with "(%)" or "(points)" gives the unit, and points have a sign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby

import pandas as pd

from companion.claims import rates, reasons
from companion.claims.evidence import Evidence
from companion.claims.ledger import (
    OUTCOMES,
    Aside,
    Claim,
    ClaimError,
    Explained,
    Number,
    Outcome,
    Verdict,
    claims_file,
    unit_of,
)
from companion.engine.style import digits, minus, to_markdown
from companion.measurements.intervals import Result
from companion.measurements.quantities import units
from companion.sources import sets

#: A result in words, of one case and of several.
RESULTS: dict[Result, tuple[str, str]] = claims_file()["results"]
#: Who the cases are that are excluded from the verdict, before what they say.
ASIDES: dict[Aside, str] = claims_file()["asides"]


#: Units of which there are whole numbers only.
WHOLE = tuple(name for name, unit in units().items() if unit.whole)


class Total(float):
    """A number of a claim's note. Its form "many" begins a sentence on how many there are."""

    def __format__(self, form: str) -> str:
        """The number in a form of Python's, or "many"."""
        if form == "many":
            return f"{self:.0f}" if self else "None"
        return super().__format__(form)


def card(claim: Claim, verdict: Explained, evidence: Evidence) -> str:
    """One claim with its verdict as a block of MyST: evidence and rule unfold by a click."""
    totals = {n.name: Total(n.value) for n in verdict.numbers if not n.of}
    frame = numbers_table(claim, verdict, evidence)
    absent = verdict.outcome == "not measured"
    note = "" if absent and frame.empty else claim.note.format(**totals)
    numbers = "" if frame.empty else f"\n\n{to_markdown(frame)}"
    folded = {
        "Measured": {
            "Measured": f"{sentence(verdict)[:1].upper()}{sentence(verdict)[1:]}. {note}{numbers}",
            "To measure it": f"We need {claim.needs}" if absent else "",
            "Public weights, run here by nobody yet": commands(claim, verdict, evidence),
        },
        "Rule": {
            "Expected": claim.expected,
            "Rule": rule(claim, evidence),
            "Other cuts": flips(verdict),
            "Error rates": error_rates(claim),
        },
    }
    place = f"*{claim.place}, {' and '.join(claim.version)}*"
    head = f"**{claim.id}** {badge(verdict, place)}"
    open_ = [f"**The paper:** {claim.statement}"]
    blocks = [_folded(title, texts) for title, texts in folded.items()]
    shown_in = f"**Shown in:** {{bearing}}`{claim.id}`"
    return "\n\n".join([f"::::{{div}} claim-card\n{head}", *open_, *blocks, shown_in]) + "\n::::"


def commands(claim: Claim, verdict: Verdict, evidence: Evidence) -> str:
    """What to run, by checkpoint, where all that is missing has public weights (MyST)."""
    if verdict.outcome not in OPEN:
        return ""
    families = {m.name: f.name for f in evidence.families.values() for m in f.models}
    return ", ".join(
        f"`companion extract {families[m.name]} --model {m.name} --data imagenet`"
        for m in reasons.runnable(claim, verdict, evidence)
    )


def _folded(title: str, texts: Mapping[str, str]) -> str:
    """Texts below a title that unfolds them (MyST), each with its name unless that is the title."""
    said = {name: text.strip() for name, text in texts.items() if text}
    named = [text if name == title else f"**{name}:** {text}" for name, text in said.items()]
    return "\n\n".join([f":::{{dropdown}} {title}", *named, ":::"])


def line(claim: Claim, verdict: Explained) -> str:
    """One claim with its verdict in a line that leads to the card, as MyST."""
    reason = verdict.reason
    why = f" [{reason[0].upper()}{reason[1:]}.]{{.because}}" if reason else ""
    return (
        f":::{{div}} claim-line\n{{ref}}`{claim.id} <claim-{claim.id}>` {chip(verdict)} "
        f"{claim.statement}{why}\n:::"
    )


def brief(claim: Claim, verdict: Verdict) -> str:
    """A verdict on other models than the claim's, and what it means for them, as MyST."""
    partly = verdict.outcome in ("agrees so far", "partly established")
    key: Outcome = "reproduced" if partly else verdict.outcome
    return f"{chip(verdict)} {claim.pocket.get(key, '')}".rstrip()


#: Outcomes of claims for which evidence is lacking.
OPEN = ("undecided", "not measured")


def strip(claims: Mapping[str, Claim], verdicts: Mapping[str, Explained]) -> str:
    """The decided claims by outcome, each a link to its card, as a list (MyST)."""
    rows = []
    for outcome in [outcome for outcome in OUTCOMES if outcome not in OPEN]:
        names = [name for name, verdict in verdicts.items() if verdict.outcome == outcome]
        if names:
            counted = chip(verdicts[names[0]]).replace("[", f"[{len(names)} ", 1)
            rows.append(f"- {counted} {' · '.join(_linked(claims, verdicts, names))}")
    return "\n".join([":::{div} claim-strip", *rows, ":::"])


def strip_open(
    claims: Mapping[str, Claim], verdicts: Mapping[str, Explained], evidence: Evidence
) -> str:
    """The other claims by what is missing, as `strip`."""
    names = [name for name, verdict in verdicts.items() if verdict.outcome in OPEN]
    ready = [n for n in names if reasons.runnable(claims[n], verdicts[n], evidence)]
    kinds = {
        "Public weights, run here by nobody yet": ready,
        "Not public": [name for name in names if name not in ready],
    }
    rows = [
        f"- **{kind}** ({len(of)}): {' · '.join(_linked(claims, verdicts, of))}"
        for kind, of in kinds.items()
        if of
    ]
    return "\n".join([":::{div} claim-strip", *rows, ":::"])


def _linked(
    claims: Mapping[str, Claim],
    verdicts: Mapping[str, Explained],
    names: Iterable[str],
) -> Iterator[str]:
    """Links to cards: what the paper claims or, where that differs, what was found."""
    for name in names:
        found = verdicts[name].reason if verdicts[name].outcome == "differs" else ""
        words = found[:1].upper() + found[1:] or claims[name].short
        yield f"{{ref}}`{words} <claim-{name}>`"


def rule(claim: Claim, evidence: Evidence) -> str:
    """How the claim is judged, with its cuts and tolerance filled in."""
    values = asdict(evidence.cuts) | claim.values
    return claim.rule.format(**values, tolerance=claim.tolerance, points=100 * claim.tolerance)


def chip(verdict: Verdict) -> str:
    """An outcome as the book shows it (MyST)."""
    return f"[{verdict.outcome}]{{.verdict-{verdict.outcome.replace(' ', '-')}}}"


def badge(verdict: Explained, place: str = "") -> str:
    """An outcome, perhaps where the claim is, and the reason, if there is one (MyST)."""
    why = verdict.reason and f"[{verdict.reason}]{{.because}}"
    return " ".join(filter(None, (chip(verdict), place, why)))


def sentence(verdict: Verdict) -> str:
    """How much was measured and how many agree, without a full stop."""
    unit, deciding = verdict.unit, verdict.count()
    number, apart = sum(deciding.values()), [case.aside for case in verdict.cases.values()]
    text = f"{verdict.measured} of {verdict.covered} {unit}"
    if not verdict.measured:
        every = "the paper's own" if "stand-in" in apart else verdict.covered
        text = f"none of {every} {unit}" if every else f"no such {unit} are here, so none"
    text += " was measured" if verdict.measured < 2 else " were measured"
    if verdict.measured == verdict.covered == 1:
        text = f"one {unit.removesuffix('s')} was judged"
    if verdict.measured and number:
        of = " values" if number > 1 else " value"
        said = _counted(deciding, of)
        text += f": {_counted(deciding)}" if number == verdict.measured else f"; {said}"
    for aside, who in ASIDES.items():
        if number := apart.count(aside):
            of = " " + who.format(unit=unit if number > 1 else unit.removesuffix("s"))
            said = f"{number}{of}" if aside == "no test" else _counted(verdict.count(aside), of)
            text += f"; {said}"
    return text


def reckoned(verdict: Explained) -> str:
    """A `sentence` with the reason of *reproduced*, which limits it."""
    why = verdict.reason if verdict.outcome == "reproduced" else ""
    return f"{sentence(verdict)}; {why}" if why else sentence(verdict)


def _counted(results: Mapping[Result, int], who: str = "") -> str:
    """How many agree, differ and are undecided, of those that are named."""
    some = [(RESULTS[result], number) for result, number in results.items() if number]
    if len(some) > 1:
        said = ", ".join(f"{number} {verbs[number > 1]}" for verbs, number in some)
        return f"{who.strip()}: {said}".removeprefix(": ")
    ((verbs, number),) = some
    every = {1: "1" if who else "it", 2: "both"}.get(number, f"all {number}" if who else "all")
    return f"{every}{who} {verbs[number > 1]}"


def counts(verdicts: Mapping[str, Verdict]) -> str:
    """How many claims have which outcome, leaving out outcomes that none has."""
    by_outcome = Counter(verdict.outcome for verdict in verdicts.values())
    parts = (f"{by_outcome[outcome]} {outcome}" for outcome in OUTCOMES if by_outcome[outcome])
    return f"{len(verdicts)} claims: {', '.join(parts)}."


def reasoned(verdict: Explained) -> str:
    """An outcome inside a sentence, with the reason for it, if there is one."""
    because = f", because {verdict.reason}" if verdict.reason else ""
    return f"*{verdict.outcome}*{because}"


def error_rates(claim: Claim) -> str:
    """How often the rule is wrong where the truth is known, and how often right."""
    table, said = rates.kept(), claims_file()["rates"]
    if claim.id not in {*table["claim"]}:
        return str(claims_file()["no_rates"])
    found = rates.of_claim(claim.id, table)
    shown = {name: f"{v:.1f}" for name, v in found._asdict().items() if isinstance(v, float)}
    shown["power"], deceived = f"{found.power:.0f}", []
    for world, each in found.deceived.items():
        sides = zip(said["sides"], each, strict=True)
        parts = " and ".join(f"{share:.0f} % {side}" for side, share in sides if share)
        deceived.append(f"{world} ({parts})")
    texts = [said["wrong"], said["in_part"] * bool(found.part_world), said["power"]]
    texts.insert(2, said["deceived"] * bool(deceived))
    filled = found._asdict() | shown | {"deceived": "; ".join(deceived)}
    return " ".join(text.strip().format(**filled) for text in texts if text)


def flips(verdict: Explained) -> str:
    """The outcomes with other values of the cut on which the claim depends; "" if none."""
    tried = [
        (f"{100 * value:g} points" if unit_of(name) == "fraction" else f"{value:g}", outcome)
        for name, outcomes in verdict.at_cuts.items()
        for value, outcome in outcomes.items()
    ]
    parts = []
    for outcome, group in groupby(tried, lambda each: each[1]):
        first, *others = (value for value, _ in group)
        ends = [first.removesuffix(" points"), others[-1]] if others else [first]
        parts.append(f"*{outcome}* at {' to '.join(ends)}")
    return f"{', '.join(parts)}." if parts and not parts[0].startswith("*not measured") else ""


def numbers_table(claim: Claim, verdict: Verdict, evidence: Evidence) -> pd.DataFrame:
    """A verdict's numbers as text: a row for each model, or other subject, and data set.

    Rows are in the order of the families and their models, controls last.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for n in verdict.numbers:
        if n.of and n.name in claim.shown and pd.notna(n.value):
            heading = claim.shown[n.name]
            row = rows.setdefault((n.of, n.data), {"of": _name(n.of, evidence)})
            row["images"] = sets.title(n.data) if n.data else ""
            row[heading] = written(n, heading)
    order = {m.name: (m.level == "random", i) for i, m in enumerate(evidence.models.values())}
    places = {row: order.get(row[0].split(", ")[0], (False, len(order))) for row in rows}
    ordered = sorted(rows, key=lambda row: (*places[row], ", " in row[0] or row[1] != ""))
    columns = ["of", "images", *claim.shown.values()]
    cells = [{column: rows[row].get(column, "") for column in columns} for row in ordered]
    frame = pd.DataFrame(cells, columns=columns, dtype=str)
    return frame.loc[:, (frame != "").any()].rename(columns={"of": " "})


def written(n: Number, heading: str) -> str:
    """A number with its interval: in percent or points if the heading ends so.

    Raises ClaimError if a fraction's heading does not, or another number's does.
    """
    fraction = "fraction" in n.unit
    if fraction != heading.endswith(("(%)", "(points)")):
        raise ClaimError(
            f"{n.name} is in {n.unit}, so the heading {heading!r} must "
            f"{'' if fraction else 'not '}end with (%) or (points): correct it in the entry's "
            "`shown`."
        )
    sign = "+" if heading.endswith("(points)") else ""

    def as_text(value: float) -> str:
        if fraction:
            return minus(f"{100 * value:{sign}.1f}")
        return f"{value:,.0f}" if n.unit in WHOLE and not value % 1 else minus(digits(value))

    if n.low is None or n.high is None:
        return as_text(n.value)
    return f"{as_text(n.value)} ({as_text(n.low)} to {as_text(n.high)})"


def _name(of: str, evidence: Evidence) -> str:
    """The subject of a number in words: a family, a model, or models that are compared."""
    if of in evidence.families:
        return evidence.families[of].title
    every = [*evidence.families.values(), *evidence.others.values()]
    families = {m.name: f for f in every for m in f.models}
    names = of.split(", ")
    if names[0] not in families:
        return {"own": "own features"}.get(of, of.replace("_", "-"))
    family = families[names[0]]
    return f"{family.title}, {' against '.join(family.model(name).title for name in names)}"


def lines(verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """Verdicts for a terminal: what `companion claims` prints, the numbers below each claim."""
    for name, verdict in verdicts.items():
        yield f"{name:16} {verdict.outcome:18} {sentence(verdict)}"
        for n in verdict.numbers:
            ends = "" if n.low is None else f" ({n.low:.4g} to {n.high:.4g})"
            unit = "" if n.unit in ("count", "dimensionless") else f" {n.unit}"
            of = "  ".join(filter(None, (n.of, n.data)))
            yield f"  {n.name:30} {n.value:.4g}{ends}{unit}  {of}".rstrip()
