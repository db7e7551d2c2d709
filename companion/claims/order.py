"""Rules for the claims on effective robustness: the order of the levels, the range, the fit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.families.registry import Level
from companion.claims.evidence import Evidence, Interval
from companion.claims.ledger import Claim, ClaimError, Outcome, Verdict, numbers
from companion.measurements.views import groups


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


@dataclass(frozen=True)
class Ordering:
    """How often the levels came in the claimed order.

    ``pairs``: neighbouring or end levels compared; ``complete``: groups with all levels in one
    view; ``holds``: group → whether all its pairs have the order, groups without pairs left out.
    """

    outcome: Outcome
    pairs: int
    reversed_pairs: int
    complete: int
    holds: dict[Hashable, bool]


def judge_order(order: Sequence[Level], views: Sequence[pd.DataFrame]) -> Ordering:
    """Check that values fall along `order` in every group of every view.

    A view is a frame with one row per group (same groups and index in each) and one column per
    level, NaN where not measured. Values of different views are never compared with each other. A
    group is complete if one view has all its levels.
    """
    pairs = reversed_pairs = 0
    complete = pd.Series(False, index=views[0].index)
    holds: dict[Hashable, bool] = {}
    for view in views:
        complete |= view[list(order)].notna().all(axis="columns")
        for i, higher in enumerate(order):
            for lower in order[i + 1 :]:
                gap = (view[higher] - view[lower]).dropna()
                pairs += len(gap)
                reversed_pairs += int((gap <= 0).sum())
                holds |= {group: holds.get(group, True) and v > 0 for group, v in gap.items()}
    if not pairs:
        outcome: Outcome = "not measured"
    elif reversed_pairs:
        outcome = "differs"
    else:
        outcome = "reproduced" if complete.all() else "partly"
    return Ordering(outcome, pairs, reversed_pairs, int(complete.sum()), holds)


def er_order(claim: Claim, evidence: Evidence) -> Verdict:
    """Every two levels of a backbone and pretraining set have the claimed order in every view."""
    zero_shot = evidence.at("zero_shot")  # one for each backbone and pretraining set
    views = {
        view: groups(rows, evidence.families)
        for view, rows in evidence.robustness.items()
        if len(rows)
    }
    if not views:
        return Verdict("not measured", covered=len(zero_shot))
    found = judge_order(claim.order, list(views.values()))
    carried = numbers(
        pairs=found.pairs,
        pairs_in_order=found.pairs - found.reversed_pairs,
        complete=found.complete,
    )
    for higher, lower in zip(claim.order, claim.order[1:], strict=False):
        gaps = pd.concat([view[higher] - view[lower] for view in views.values()])
        if gaps.notna().any():
            carried += numbers(f"{higher} over {lower}", smallest_gap=gaps.min())
    if "own" in views:
        own = judge_order(claim.order, [views["own"]])
        carried += numbers(
            "own",
            models=len(evidence.robustness["own"]),
            own_pairs=own.pairs,
            own_pairs_in_order=own.pairs - own.reversed_pairs,
        )
    holds = {model.name: found.holds[g] for g, model in enumerate(zero_shot) if g in found.holds}
    return Verdict(found.outcome, holds, len(zero_shot), carried)


def er_range(claim: Claim, evidence: Evidence) -> Verdict:
    """The lowest and the highest zero-shot model have the printed values, and the named data.

    Own accuracies count where none are published.
    """
    zero_shot = {
        view: rows[rows["level"] == "zero_shot"]
        for view, rows in evidence.robustness.items()
        if view in ("five", "own") and (rows["level"] == "zero_shot").any()
    }
    if not zero_shot:
        return Verdict("not measured", covered=2)
    every = pd.concat(list(zero_shot.values()), ignore_index=True).drop_duplicates("name")
    low, high = (every.iloc[place] for place in (every["er"].argmin(), every["er"].argmax()))
    ends = {"lowest": low["er"], "highest": high["er"]}
    named = {"lowest": "YFCC" in low["pretraining"], "highest": high["family"] == "vit_l_14"}
    holds = {
        end: named[end] and judge_values(claim, {end: value}) != "differs"
        for end, value in ends.items()
    }
    carried = (
        *numbers(
            low["name"],
            lowest_robustness=Interval(low["er"], low["low"], low["high"]),
            printed_lowest=claim.values["lowest"],
        ),
        *numbers(
            high["name"],
            highest_robustness=Interval(high["er"], high["low"], high["high"]),
            printed_highest=claim.values["highest"],
        ),
    )
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
    outcome = judge_values(claim, ends) if all(named.values()) else "differs"
    return Verdict(outcome, holds, len(ends), carried)


def er_fit(claim: Claim, evidence: Evidence) -> Verdict:
    """One of the fits that the paper's text leaves open has all printed constants.

    Numbers are given of the fits that agree, or else of the one whose intercept is nearest.
    """
    fits = evidence.fits
    if fits.empty:
        return Verdict("not measured")
    constants = {
        f"V2 {fit.v2}, pool {fit.kinds}": {name: float(getattr(fit, name)) for name in claim.values}
        for fit in fits.itertuples()
    }
    holds = {fit: judge_values(claim, own) == "reproduced" for fit, own in constants.items()}
    away = [abs(own["intercept"] - claim.values["intercept"]) for own in constants.values()]
    agreeing = [fit for fit, held in holds.items() if held]
    shown = agreeing or [list(constants)[away.index(min(away))]]
    sizes = dict(zip(constants, fits["models"], strict=True))
    carried = [n for fit in shown for n in numbers(fit, models=sizes[fit], **constants[fit])]
    return Verdict("reproduced" if agreeing else "differs", holds, len(fits), tuple(carried))
