"""Rules for the claims on effective robustness: the order of the levels, the range, the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import pandas as pd

from analysis.families.registry import Level, Model
from companion.claims.evidence import Evidence
from companion.claims.ledger import (
    Case,
    Claim,
    ClaimError,
    Interval,
    Number,
    Result,
    Verdict,
    all_hold,
    numbers,
    verdict,
)

#: Pairs of models, the one that should be more robust first → the part of the claim.
Pairs = dict[tuple[str, str], str]


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
        name: "holds" if abs(value - claim.values[name]) <= claim.tolerance else "fails"
        for name, value in measured.items()
    }


def er_order(claim: Claim, evidence: Evidence) -> Verdict:
    """Every two levels of a backbone and pretraining set have the claimed order in every view.

    A pair of models is counted once, in however many views it appears. Many checkpoints under one
    name are no model and left out.
    """
    pairs = pairs_in_order(evidence, claim.order)
    views = {
        view: rows.drop_duplicates("name", keep=False).set_index("name")
        for view, rows in evidence.robustness.items()
    }
    gaps = {view: _gaps(pairs, rows) for view, rows in views.items()}
    cases: dict[str, Case] = {}
    for pair, part in pairs.items():
        found = [of_view[pair] for of_view in gaps.values() if pair in of_view]
        if found:
            result = all_hold(gap.at_least(0) for gap in found)
            aside = evidence.aside(*(evidence.models[name] for name in pair))
            cases[", ".join(pair)] = Case(result, part, aside)
    carried = [*numbers(pairs=len(cases), pairs_in_order=_holding(cases))]
    carried += numbers(**_models(cases, evidence, claim.order))
    for part in dict.fromkeys(pairs.values()):
        of_part = [
            g.value for own in gaps.values() for pair, g in own.items() if pairs[pair] == part
        ]
        carried += numbers(part, smallest_gap=min(of_part)) if of_part else ()
    if len(views.get("own", ())):
        own = {pair: gap.at_least(0) for pair, gap in gaps["own"].items()}
        carried += numbers(
            "own",
            models=len(views["own"]),
            own_pairs=len(own),
            own_pairs_in_order=sum(result == "holds" for result in own.values()),
        )
    parts = tuple(dict.fromkeys(pairs.values()))
    return verdict(cases, len(pairs), carried, parts=parts, unit="pairs")


def pairs_in_order(evidence: Evidence, order: Sequence[Level]) -> Pairs:
    """Every two models of different levels, of one backbone and pretraining set.

    A supervised model is compared with all others of its backbone.
    """
    found: Pairs = {}
    for family in evidence.families.values():
        for higher, lower in combinations(order, 2):
            for one in family.at_level(higher):
                for other in family.at_level(lower):
                    same = lower == "supervised" or one.pretraining == other.pretraining
                    if same and one.is_one and other.is_one:
                        found[one.name, other.name] = f"{higher} over {lower}"
    return found


def _gaps(pairs: Pairs, rows: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """Differences of effective robustness where both models are known, with 95 % intervals.

    The intervals take the two as independent. Models see the same images, so that is too wide
    rather than too narrow.
    """
    known = {name: Interval(*rows.loc[name, ["er", "low", "high"]]) for name in rows.index}
    return {
        (one, other): known[one].less(known[other])
        for one, other in pairs
        if one in known and other in known
    }


def _holding(cases: Mapping[str, Case]) -> int:
    return sum(case.result == "holds" for case in cases.values())


def _models(
    cases: Mapping[str, Case], evidence: Evidence, order: Sequence[Level]
) -> dict[str, int]:
    """How many models of each level the cases are made of."""
    names = {name for case in cases for name in case.split(", ")}
    levels = [evidence.models[name].level for name in names]
    return {f"models_{level}": levels.count(level) for level in order}


def er_range(claim: Claim, evidence: Evidence) -> Verdict:
    """The lowest and the highest zero-shot model have the printed values, and the named data.

    Own accuracies count where none are published.
    """
    models = evidence.at("zero_shot")
    zero_shot = {
        view: rows[rows["level"] == "zero_shot"]
        for view, rows in evidence.robustness.items()
        if view in ("five", "own") and (rows["level"] == "zero_shot").any()
    }
    if not zero_shot:
        return verdict({}, len(models))
    every = pd.concat(list(zero_shot.values()), ignore_index=True).drop_duplicates("name")
    low, high = (every.iloc[place] for place in (every["er"].argmin(), every["er"].argmax()))
    agree = judge_values(claim, {"lowest": low["er"], "highest": high["er"]})
    named = {"lowest": "YFCC" in low["pretraining"], "highest": high["family"] == "vit_l_14"}
    cases = {end: Case(result if named[end] else "fails", end) for end, result in agree.items()}
    carried: list[Number] = []
    for end, row in (("lowest", low), ("highest", high)):
        er = Interval(row["er"], row["low"], row["high"])
        carried += numbers(row["name"], **{f"{end}_robustness": er})
        carried += numbers(row["name"], **{f"printed_{end}": claim.values[end]})
    carried += _misread(evidence.misread, models)
    if "own" in zero_shot:
        own = zero_shot["own"]
        carried += numbers(
            "own",
            models=len(own),
            known=len(every),
            unpublished=len(every) - len(zero_shot.get("five", ())),
            lowest_robustness=own["er"].min(),
            highest_robustness=own["er"].max(),
        )
    return replace(verdict(cases, len(models), carried), measured=len(every))


def _misread(misread: pd.DataFrame, models: Sequence[Model]) -> list[Number]:
    """What the models pretrained on YFCC reach under the wrong activation."""
    yfcc = [model.name for model in models if "YFCC" in model.pretraining]
    rows = misread.to_dict("records")
    return [
        n for row in rows if row["name"] in yfcc for n in numbers(row["name"], plain_gelu=row["er"])
    ]


def er_fit(claim: Claim, evidence: Evidence) -> Verdict:
    """One of the fits that the paper's text leaves open has all printed constants.

    Numbers are given of the fits that agree, or else of the one whose intercept is nearest.
    """
    fits = evidence.fits
    if fits.empty:
        return verdict({}, 1, unit="line")
    constants = {
        f"V2 {fit.v2}, pool {fit.kinds}": {name: float(getattr(fit, name)) for name in claim.values}
        for fit in fits.itertuples()
    }
    judged = {fit: all_hold(judge_values(claim, own).values()) for fit, own in constants.items()}
    nearest = min(
        constants, key=lambda f: abs(constants[f]["intercept"] - claim.values["intercept"])
    )
    agreeing = [fit for fit, own in judged.items() if own == "holds"]
    shown = agreeing or [nearest]
    sizes = dict(zip(constants, fits["models"], strict=True))
    carried = [n for fit in shown for n in numbers(fit, models=sizes[fit], **constants[fit])]
    carried += numbers(fits=len(fits), fits_agreeing=len(agreeing))
    return verdict({"line": Case(judged[shown[0]])}, 1, carried, unit="line")
