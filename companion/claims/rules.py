"""How this book judges each claim: one pure function per claim, (claim, evidence) → what it finds.

Nothing is read here and nothing is said: `evidence` gathers, `cards` puts into words. The same
functions judge the paper's models and the pocket lab. The paper names hardly any cut-off; those of
this book are `evidence.Cuts`, and stand in words in the field `rule` of `data/claims.yaml`. The
rules on effective robustness are in `order`, those on kurtosis in `outliers`, those on concepts in
`concepts`; what cases are and how an outcome follows from them is at the top of `ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analysis.families.registry import Level
from analysis.metrics.pruning import fewest_kept_without_loss
from analysis.metrics.robustness import NORMAL_95
from companion.claims import concepts, order, outliers
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import (
    Aside,
    Case,
    Claim,
    ClaimError,
    Findings,
    Interval,
    Number,
    Result,
    Scope,
    Verdict,
    all_hold,
    numbers,
    verdict,
)
from companion.claims.outliers import LOWER
from companion.measurements.records import Measurement

#: Margins by which a whole head's accuracy must exceed chance before "no loss" means anything.
ABOVE_CHANCE = 10
#: What pruning changes by the two counts of directions: see `pruned`.
COUNTED = ("accuracy_change", "change_of_all")


def d_privileged(claim: Claim, evidence: Evidence) -> Findings:
    """Zero-shot models have a privileged direction, finetuned ones a weaker one, supervised none.

    Judged by the importance of the mean-centred head for mean-centred images: adding one vector to
    all rows of the head, or to all images, changes no prediction. A zero-shot model's must exceed
    the control's, and is undecided without one. A finetuned model is compared with the zero-shot
    model of the same pretraining on the same images. Every comparison is one of 95 % intervals.
    Numbers of models trained on captions and of the controls are given too.
    """
    levels: tuple[Level, ...] = ("zero_shot", *LOWER)
    yield Scope(len(evidence.at(*levels)), parts=levels)
    measured = evidence.measured("privileged_directions", *levels)
    known = {(m.model, m.data.name): m for m in measured}
    start = {b.name: a.name for a, b in evidence.partners("finetuned")}
    for m in measured:
        own, cut = _largest_centred(m), evidence.cuts.privileged
        if m.level == "supervised":
            result = own.below(cut)
        elif m.level == "zero_shot":
            more = [own.less(_largest_centred(one)).above(0) for one in evidence.control(m)]
            exceeds: Result = "holds" if more == ["holds"] else "undecided"
            result = all_hold([own.above(cut), exceeds])
        else:
            other = known.get((start.get(m.model, ""), m.data.name))
            result = own.less(_largest_centred(other)).below(0) if other else "undecided"
        yield m.model, Case(result, m.level, evidence.aside(m) or _another_task(m, evidence))
    beside = evidence.measured("privileged_directions", "captions", "random")
    for m in (*measured, *beside) if measured else ():
        whole = float(m.value("importance").max())
        yield from numbers_of(m, importance=whole)
        if "importance_centred" not in m.lacks:
            yield from numbers_of(m, importance_centred=_largest_centred(m))
        yield from numbers_of(m, importance_head_centred=m.value("importance_head_centred").max())
        yield from numbers_of(m, classes=m.counts["classes"])
    yield from numbers(on_reference=evidence.on_reference(measured))


def p_80(claim: Claim, evidence: Evidence) -> Findings:
    """Neither accuracy nor effective robustness falls by more than the margin.

    A model's case holds if the 95 % intervals of both changes lie above minus the margin, and fails
    if one of them lies below. "Unchanged" means something only where there is something to lose: it
    is undecided unless the whole head's accuracy exceeds chance by `ABOVE_CHANCE` margins and
    keeping as many random directions loses more than the margin. What pruning changes under shift
    goes before accuracy alone, which can fail and not hold. Where a head has directions without
    weight, it is left open whether they count among those that are pruned; then both counts must
    agree. In another task a model stands aside.
    """
    share, margin = claim.values["pruned_share"], evidence.cuts.margin
    yield Scope(len(evidence.at("zero_shot")))
    under_shift = evidence.measured("pruning_under_shift", "zero_shot")
    for m in under_shift:
        under = pruned_under_shift(m, share)
        changes = [under[f"{what}_change"] for what in ("accuracy", "robustness")]
        result = all_hold(_no_loss(change, margin) for change in changes)
        if result == "holds" and not _can_lose(m, under, margin):
            result = "undecided"
        if result == "fails" and _kept_of_all(m, share) > under["kept"].value + 1:
            result = "undecided"  # a loss may be due to keeping fewer
        yield m.model, Case(result, aside=evidence.aside(m))
        yield from under.values()
    shifted = {m.model for m in under_shift}
    alone = set()
    for m in evidence.measured("pruning", "zero_shot"):
        found = pruned(m, share)
        yield from found.values()
        if m.model not in shifted:
            counted = [found[name] for name in COUNTED if name in found]
            same = {_no_loss(change, margin) for change in counted}
            lost: Result = same.pop() if len(same) == 1 else "undecided"
            aside = evidence.aside(m) or _another_task(m, evidence)
            yield m.model, Case(all_hold([lost, "undecided"]), aside=aside)
            alone |= {m.model} if evidence.in_task(m) else set()
    yield from numbers(accuracy_models=len(shifted | alone), robustness_models=len(shifted))


def _no_loss(change: Number, margin: float) -> Result:
    """Whether a change is no loss of more than the margin."""
    return Interval(change.value, change.low or 0.0, change.high or 0.0).above(-margin)


def _can_lose(m: Measurement, found: Mapping[str, Number], margin: float) -> bool:
    """Whether pruning could have cost more than the margin: see `p_80`."""
    whole = found["accuracy_whole"].value
    above_chance = whole - 1 / m.counts["classes"] >= ABOVE_CHANCE * margin
    return above_chance and whole - found["accuracy_random"].value > margin


def pruned(measurement: Measurement, share: float) -> dict[str, Number]:
    """Accuracy with that share of the directions pruned, by name: see `p_80`.

    ``fewest``: directions, kept by importance, from which on no loss is established;
    ``without_loss``: the share that can be pruned down to these. ``rank`` counts the directions
    that have weight. Where the head has more, ``all``, there are also ``kept_of_all`` and
    ``change_of_all``: how many are kept of these, and what that changes.
    """
    values = measurement.value("accuracy_importance")
    rank, kept = len(values), round((1 - share) * len(values))
    changes = measurement.value("difference_importance")
    halves = NORMAL_95 * measurement.value("difference_importance_error")
    fewest = fewest_kept_without_loss(changes + halves)

    def change(kept: int) -> Interval:
        return Interval.around(changes[kept - 1], halves[kept - 1])

    found = numbers_of(
        measurement, rank=rank, kept=kept, fewest=fewest, without_loss=1 - fewest / rank,
        images=measurement.counts["images"], classes=measurement.counts["classes"],
        accuracy_whole=values[-1], accuracy_kept=values[kept - 1],
        accuracy_random=measurement.value("accuracy_random")[kept - 1],
        accuracy_change=change(kept),
    )  # fmt: skip
    of_all = min(_kept_of_all(measurement, share), rank)
    if of_all > kept + 1:  # one is rounding
        found += numbers_of(
            measurement, all=_all(measurement), kept_of_all=of_all, change_of_all=change(of_all)
        )
    return {one.name: one for one in found}


def _all(measurement: Measurement) -> int:
    """How many directions a head has, with those without weight."""
    return min(measurement.counts["classes"], measurement.counts["components"])


def _kept_of_all(measurement: Measurement, share: float) -> int:
    return round((1 - share) * _all(measurement))


def pruned_under_shift(measurement: Measurement, share: float) -> dict[str, Number]:
    """What pruning that share of the directions changes, under shift too, by name: see `p_80`."""
    steps = measurement.value("kept")
    rank = int(steps[-1])
    (step,) = np.flatnonzero(steps == round((1 - share) * rank))
    whole, kept = measurement.value("inside_importance")[0, [-1, step]]
    random = measurement.value("inside_random")[0, step]
    accuracy, robustness = (
        Interval(*measurement.value(f"{part}_change_importance")[:, step])
        for part in ("inside", "robustness")
    )
    found = numbers_of(
        measurement, rank=rank, kept=steps[step], accuracy_whole=whole, accuracy_kept=kept,
        accuracy_random=random, accuracy_change=accuracy, robustness_change=robustness,
    )  # fmt: skip
    return {one.name: one for one in found}


RULES: dict[str, Callable[[Claim, Evidence], Findings]] = {
    "ER-order": order.er_order,
    "ER-range": order.er_range,
    "ER-fit": order.er_fit,
    "K-zero-shot": outliers.k_zero_shot,
    "K-others": outliers.k_others,
    "K-openai": outliers.k_openai,
    "K-captions": outliers.k_captions,
    "D-privileged": d_privileged,
    "D-texture": concepts.d_texture,
    "P-80": p_80,
    "C-more": concepts.c_more,
    "C-overlap": concepts.c_overlap,
    "C-not-indicator": concepts.c_not_indicator,
    "K-indicator": outliers.k_indicator,
}


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """The verdict on a claim; ClaimError for one that no rule judges."""
    if claim.id not in RULES:
        raise ClaimError(
            f"no rule judges claim {claim.id}: add a function for it to {__name__}.RULES."
        )
    return verdict(RULES[claim.id](claim, evidence))


def judge_all(evidence: Evidence, claims: Mapping[str, Claim]) -> dict[str, Verdict]:
    """A verdict on each claim, in their order, as `judge`."""
    return {name: judge(claim, evidence) for name, claim in claims.items()}


def _largest_centred(measurement: Measurement) -> Interval:
    """The largest importance over the mean, head and images mean-centred, with its interval."""
    if "importance_centred" in measurement.lacks:
        return Interval(np.nan, np.nan, np.nan)
    largest = float(measurement.value("importance_centred").max())
    error = float(measurement.value("importance_centred_error"))
    return Interval.of_mean(largest, error, measurement.counts["images"])


def _another_task(measurement: Measurement, evidence: Evidence) -> Aside | None:
    """Whether a head is for another task than the one that claims are about."""
    return None if evidence.in_task(measurement) else "another task"
