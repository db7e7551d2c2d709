"""Rules for the claims on effective robustness: the order of the levels, the range, the fit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations

import pandas as pd

from analysis.metrics.robustness import Baseline, effective_robustness
from companion.claims.evidence import Evidence, compared
from companion.claims.ledger import (
    Case,
    Claim,
    ClaimError,
    Findings,
    Interval,
    Result,
    Scope,
    all_hold,
    holds,
    numbers,
)
from companion.measurements.accuracies import CLIP_V2
from companion.measurements.effective_robustness import POOL_TITLES


def judge_values(claim: Claim, measured: Mapping[str, float]) -> dict[str, Result]:
    """Whether measured numbers agree with the claim's printed ones, within its tolerance.

    `measured` must name numbers that the claim states, in its units; ClaimError otherwise.
    """
    unknown = sorted(set(measured) - set(claim.values))
    if unknown or not claim.values or claim.tolerance is None:
        raise ClaimError(
            f"claim {claim.id} cannot be judged by {sorted(measured)}: it states "
            f"{sorted(claim.values) or 'no numbers'}, with tolerance {claim.tolerance}."
        )
    return {
        name: holds(abs(value - claim.values[name]) <= claim.tolerance)
        for name, value in measured.items()
    }


def er_order(claim: Claim, evidence: Evidence) -> Findings:
    """Every two levels of a backbone and pretraining set have the claimed order in every view.

    A view whose interval contains zero decides nothing.

    A pair of models is counted once, in however many views it appears. Many checkpoints under one
    name are no model and left out. Intervals of differences take two models as independent; they
    see the same images, so these are too wide rather than too narrow.
    """
    pairs = {
        (one.name, other.name): f"{higher} over {lower}"
        for family in evidence.families.values()
        for higher, lower in combinations(claim.order, 2)
        for one, other in compared(family, higher, lower)
    }
    parts = tuple(dict.fromkeys(pairs.values()))
    yield Scope(len(pairs), "pairs", parts)
    gaps = {
        view: {
            (one, other): known[one].er.less(known[other].er)
            for one, other in pairs
            if one in known and other in known
        }
        for view, known in evidence.by_view.items()
    }
    results: dict[tuple[str, str], Result] = {}
    for pair, part in pairs.items():
        found = [of_view[pair] for of_view in gaps.values() if pair in of_view]
        if found:
            decided = {gap.above(0) for gap in found} - {"undecided"}
            results[pair] = all_hold(decided or ["undecided"])
            aside = evidence.aside(*(evidence.models[name] for name in pair))
            yield ", ".join(pair), Case(results[pair], part, aside)
    yield from numbers(pairs=len(results), pairs_in_order=[*results.values()].count("holds"))
    levels = [evidence.models[name].level for name in {*chain(*results)}]
    yield from numbers(**{f"models_{level}": levels.count(level) for level in claim.order})
    for part in parts:
        of_part = [own[pair].value for own in gaps.values() for pair in own if pairs[pair] == part]
        yield from numbers(part, smallest_gap=min(of_part)) if of_part else ()
    if evidence.by_view.get("own"):
        own = [gap.above(0) for gap in gaps["own"].values()]
        yield from numbers("own", models=len(evidence.by_view["own"]), own_pairs=len(own),
                           own_pairs_in_order=own.count("holds"))  # fmt: skip


def er_range(claim: Claim, evidence: Evidence) -> Findings:
    """The lowest and the highest zero-shot model have the printed values, and the named data.

    While models are missing, an end fails only if a known model lies beyond the printed value, and
    is undecided otherwise. Own accuracies count where none are published. Told beside it: the range
    against the line of the pool on the variant of ImageNet-V2 that CLIP's accuracies are of.
    """
    models = evidence.at("zero_shot")
    zero_shot = {
        view: rows[rows["level"] == "zero_shot"]
        for view, rows in evidence.robustness.items()
        if view in ("five", "own") and (rows["level"] == "zero_shot").any()
    }
    if not zero_shot:
        yield Scope(len(models))
        return
    every = pd.concat(list(zero_shot.values()), ignore_index=True).drop_duplicates("name")
    yield Scope(len(models), measured=len(every))
    low, high = (every.iloc[place] for place in (every["er"].argmin(), every["er"].argmax()))
    agree = judge_values(claim, {"lowest": low["er"], "highest": high["er"]})
    named = {"lowest": "YFCC" in low["pretraining"], "highest": high["family"] == "vit_l_14"}
    beyond = {
        "lowest": claim.values["lowest"] - low["er"],
        "highest": high["er"] - claim.values["highest"],
    }
    whole = len(every) == len(models)
    for end, row in (("lowest", low), ("highest", high)):
        result = agree[end] if named[end] else "fails"
        passed = beyond[end] > (claim.tolerance or 0)
        yield end, Case(result if whole or passed else "undecided", end)
        er = Interval(row["er"], row["low"], row["high"])
        yield from numbers(row["name"], **{f"{end}_robustness": er})
        yield from numbers(row["name"], **{f"printed_{end}": claim.values[end]})
    for fit in evidence.fits.to_dict("records"):
        if (fit["v2"], fit["kinds"]) == (CLIP_V2, "all"):
            line = Baseline(fit["slope"], fit["intercept"], fit["r"])
            refitted = effective_robustness(every["shifted"], every["imagenet"], line)
            yield from numbers(
                "line", refitted_lowest=refitted.min(), refitted_highest=refitted.max()
            )
    yfcc = [model.name for model in models if "YFCC" in model.pretraining]
    of_yfcc = every.loc[every["name"].isin(yfcc), "er"]
    if len(of_yfcc) == len(yfcc) > 1:
        yield from numbers("YFCC", mean_of_yfcc=of_yfcc.mean())
    for one in evidence.misread.to_dict("records"):
        yield from numbers(one["name"], plain_gelu=one["er"]) if one["name"] in yfcc else ()
    if "own" in zero_shot:
        own = zero_shot["own"]
        yield from numbers(
            "own",
            models=len(own),
            known=len(every),
            unpublished=len(every) - len(zero_shot.get("five", ())),
            lowest_robustness=own["er"].min(),
            highest_robustness=own["er"].max(),
        )


def er_fit(claim: Claim, evidence: Evidence) -> Findings:
    """One of the fits that the paper's text leaves open has all printed constants.

    Numbers are given of the fits that agree, or else of the one whose intercept is nearest.
    """
    yield Scope(1, "line")
    fits = evidence.fits
    if fits.empty:
        return
    constants = {
        f"V2 {fit.v2}, {POOL_TITLES[str(fit.kinds)]}": {
            name: float(getattr(fit, name)) for name in claim.values
        }
        for fit in fits.itertuples()
    }
    judged = {fit: all_hold(judge_values(claim, own).values()) for fit, own in constants.items()}
    nearest = min(
        constants, key=lambda f: abs(constants[f]["intercept"] - claim.values["intercept"])
    )
    agreeing = [fit for fit, own in judged.items() if own == "holds"]
    shown = agreeing or [nearest]
    yield "line", Case(judged[shown[0]])
    sizes = dict(zip(constants, fits["models"], strict=True))
    for fit in shown:
        yield from numbers(fit, models=sizes[fit], **constants[fit])
    yield from numbers(fits=len(fits), fits_agreeing=len(agreeing))
