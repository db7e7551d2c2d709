"""Rules for the claims on effective robustness: the order of the levels, the range, the fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pandas as pd

from analysis.families.registry import Model
from analysis.metrics.robustness import Baseline, effective_robustness
from companion.claims.deciding import Look, above, decided
from companion.claims.evidence import Evidence
from companion.claims.ledger import (
    Case,
    Claim,
    Findings,
    Rules,
    Scope,
    holds,
    numbers,
)
from companion.measurements.accuracies import CLIP_V2
from companion.measurements.effective_robustness import POOL_TITLES
from companion.measurements.intervals import Interval, Result

Row = Mapping[Hashable, Any]
#: The methods of `Evidence.elsewhere` that a claim on training regimes is about.
REGIMES = ("zero-shot", "FT", "from scratch")


def er_order(claim: Claim, evidence: Evidence) -> Findings:
    """Every two levels of a backbone and pretraining set have the claimed order.

    A pair of models is one case, in however many views it appears; views that contradict each
    other leave it undecided. Many checkpoints under one name are no single model and left out.
    Intervals of differences take two models as independent; they see the same images, so these are
    too wide rather than too narrow.
    """
    pairs = {
        f"{first.name}, {other.name}": (first, other, f"{higher} over {lower}")
        for higher, lower in combinations(claim.order, 2)
        for first, other in evidence.pairs(higher, lower)
    }
    yield Scope(len(pairs), "pairs")
    gaps = [
        (view, name, models[first.name].er.less(models[other.name].er))
        for view, models in evidence.by_view.items()
        for name, (first, other, _) in pairs.items()
        if models.keys() >= {first.name, other.name}
    ]
    results = decided(
        Look(name, above(gap, 0), "stand-in" if _stands_in(*pairs[name][:2]) else None)
        for _, name, gap in gaps
    )
    yield from results.items()
    in_order = [case.result for case in results.values()].count("holds")
    yield from numbers(pairs=len(results), pairs_in_order=in_order)
    levels = {model.name: model.level for name in results for model in pairs[name][:2]}
    counted = Counter(levels.values())
    yield from numbers(**{f"models_{level}": counted[level] for level in claim.order})
    for part in dict.fromkeys(part for *_, part in pairs.values()):
        if of_part := [gap.value for _, name, gap in gaps if pairs[name][2] == part]:
            yield from numbers(part, smallest_gap=min(of_part))
    if measured := evidence.by_view.get("own"):
        own = decided(Look(name, above(gap, 0)) for view, name, gap in gaps if view == "own")
        agree = [case.result for case in own.values()].count("holds")
        yield from numbers("own", models=len(measured))
        yield from numbers("own", own_pairs=len(own), own_pairs_in_order=agree)
    yield from _elsewhere(claim, evidence)


def _stands_in(*models: Model) -> bool:
    return any(model.stand_in for model in models)


def _elsewhere(claim: Claim, evidence: Evidence) -> Findings:
    """The same of pairs on five shifts of which another paper trained at least one: stand-ins."""
    known = evidence.elsewhere
    theirs = known[known["model"].isin(REGIMES)].to_dict("records") if len(known) else []
    rows = [*theirs, *evidence.robustness["five"].to_dict("records")] if theirs else []
    gaps = {
        f"{first['name']}; {other['name']}": _er(first).less(_er(other))
        for levels in combinations(claim.order, 2)
        for first, other in product(rows, repeat=2)
        if (first["level"], other["level"]) == levels and _compared(first, other, theirs)
    }
    results = decided(Look(name, above(gap, 0), "stand-in") for name, gap in gaps.items())
    yield from results.items()
    in_order = [case.result for case in results.values()].count("holds")
    yield from numbers(elsewhere_pairs=len(gaps), elsewhere_pairs_in_order=in_order)
    for row in theirs:
        yield from numbers(row["name"], robustness=_er(row))


def _compared(first: Row, other: Row, theirs: Sequence[Row]) -> bool:
    """Whether two models have one backbone, and a paper of ``theirs`` trained at least one.

    A finetuned model is compared with the zero-shot one that the same paper evaluated, if it did.
    """
    papers = {row["source"] for row in theirs}
    alike = first["family"] == other["family"] and bool({first["source"], other["source"]} & papers)
    if first["level"] == "zero_shot":
        same = [row for row in theirs if row["level"] == "zero_shot"]
        own = other["source"] in {row["source"] for row in same}
        alike &= first["source"] == other["source"] if own else first["source"] not in papers
    return alike and (other["level"] != "finetuned" or first["pretraining"] == other["pretraining"])


def _er(row: Row) -> Interval:
    return Interval(row["er"], row["low"], row["high"])


def er_range(claim: Claim, evidence: Evidence) -> Findings:
    """The lowest and the highest zero-shot model have the printed values, and the named data.

    An end fails only if its whole 95 % interval lies farther off than the tolerance, or if the data
    are others; while models are missing, only if a known model lies beyond the printed value, and
    is undecided otherwise. Own accuracies count where none are published. Also given is the range
    against the line of the pool on the variant of ImageNet-V2 that CLIP's accuracies are of.
    """
    models = evidence.at("zero_shot")
    known = [
        rows.assign(view=view)
        for view, rows in evidence.robustness.items()
        if view in ("five", "own") and len(rows)
    ]
    rows = pd.concat(known, ignore_index=True) if known else pd.DataFrame({"level": []})
    zero_shot = rows[rows["level"] == "zero_shot"]
    every = zero_shot.drop_duplicates("name") if known else zero_shot
    yield Scope(len(models), measured=len(every))
    if every.empty:
        return
    ends = [every["er"].idxmin(), every["er"].idxmax()]
    low, high = every.loc[ends].to_dict("records")
    named = {"lowest": "YFCC" in low["pretraining"], "highest": high["family"] == "vit_l_14"}
    for end, row, sign in (("lowest", low, -1), ("highest", high, 1)):
        printed = claim.values[end]
        beyond = sign * (row["er"] - printed)
        er = Interval(row["er"], row["low"], row["high"])
        off = max(er.low - printed, printed - er.high) > claim.tolerance
        result: Result = "fails" if off or not named[end] else "undecided"
        result = "holds" if named[end] and abs(beyond) <= claim.tolerance else result
        decides = len(every) == len(models) or beyond > claim.tolerance
        yield end, Case(result if decides else "undecided")
        yield from numbers(row["name"], **{f"{end}_robustness": er})
        yield from numbers(row["name"], **{f"printed_{end}": printed})
    for fit in evidence.fits.to_dict("records"):
        if (fit["v2"], fit["kinds"]) == (CLIP_V2, "all"):
            line = Baseline(fit["slope"], fit["intercept"], fit["r"])
            refit = effective_robustness(every["shifted"], every["imagenet"], line)
            yield from numbers("line", refitted_lowest=refit.min(), refitted_highest=refit.max())
    yfcc = [model.name for model in models if "YFCC" in model.pretraining]
    of_yfcc = every.loc[every["name"].isin(yfcc), "er"]
    if len(of_yfcc) == len(yfcc) > 1:
        yield from numbers("YFCC", mean_of_yfcc=of_yfcc.mean())
    for row in evidence.misread.to_dict("records"):
        yield from numbers(row["name"], plain_gelu=row["er"]) if row["name"] in yfcc else ()
    measured = zero_shot.loc[zero_shot["view"] == "own", "er"]
    if len(measured):
        unpublished = (every["view"] == "own").sum()
        yield from numbers("own", models=len(measured), known=len(every), unpublished=unpublished)
        lowest, highest = measured.min(), measured.max()
        yield from numbers("own", lowest_robustness=lowest, highest_robustness=highest)


def er_fit(claim: Claim, evidence: Evidence) -> Findings:
    """One of the fits that the paper's text leaves open has all printed constants.

    Numbers are given of the fits that agree, or else of the one whose intercept is nearest.
    """
    yield Scope(1, "line")
    fits = evidence.fits
    if fits.empty:
        return
    constants = [*claim.values]
    off = (fits[constants] - pd.Series(claim.values)).abs()
    agree = (off <= claim.tolerance).all(axis=1)
    yield "line", Case(holds(bool(agree.any())))
    reported = fits[agree] if agree.any() else fits.loc[[off["intercept"].idxmin()]]
    for fit in reported.to_dict("records"):
        name = f"V2 {fit['v2']}, {POOL_TITLES[fit['kinds']]}"
        yield from numbers(name, **{each: fit[each] for each in ("models", *constants)})
    yield from numbers(fits=len(fits), fits_agreeing=int(agree.sum()))


RULES: Rules = {
    "ER-order": er_order,
    "ER-range": er_range,
    "ER-fit": er_fit,
}
