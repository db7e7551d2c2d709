"""Rules for the claims on a head's directions: privileged ones, and how many can be pruned."""

from __future__ import annotations

from math import nan, sqrt

from analysis.families.registry import Level
from companion.claims.deciding import Look, PValues, above, below, contrary, decided, every
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import Claim, Findings, Rules, Scope, numbers
from companion.claims.outliers import LOWER
from companion.measurements.intervals import Interval
from companion.measurements.measurement import Measurement
from companion.measurements.pruned import directions, pruned, pruned_under_shift

#: Margins by which a whole head's accuracy must exceed chance before "no loss" means anything.
ABOVE_CHANCE = 10


def d_privileged(claim: Claim, evidence: Evidence) -> Findings:
    """Zero-shot models have a privileged direction, finetuned ones a weaker one, supervised none.

    Judged by the importance of the mean-centred head for mean-centred images: adding one vector to
    all rows of the head, or to all images, changes no prediction. A zero-shot model's must exceed
    the control's, and is undecided without one. A finetuned model is compared with the zero-shot
    model of the same pretraining on the same images. Every comparison is one of 95 % intervals.
    Numbers of models trained on captions and of the controls are given too.
    """
    levels: tuple[Level, ...] = ("zero_shot", *LOWER)
    yield evidence.scope(*levels)
    measured = evidence.measured("privileged_directions", *levels)
    by_set = {(m.model, m.data.name): m for m in measured}
    start = {b.name: a.name for a, b in evidence.pairs("zero_shot", "finetuned")}
    looks, more = [], {m.file_name: _more_than_control(m, evidence) for m in measured}
    for m in measured:
        largest, cut = _largest_centred(m), evidence.cuts.privileged
        trained = [
            more[other.file_name]
            for other in measured
            if (other.family, other.data.name, other.level) == (m.family, m.data.name, "zero_shot")
            and any(_is_privileged(control, evidence) for control in evidence.control(other))
        ]
        if m.level == "supervised":
            tested = below(largest, cut)
        elif m.level == "zero_shot":
            tested, trained = above(largest, cut), [more[m.file_name]]
        else:
            other = by_set.get((start.get(m.model, ""), m.data.name))
            tested = below(largest.less(_largest_centred(other)), 0) if other else PValues()
        looks.append(
            Look(m.model, every([tested, *trained]), evidence.aside(m) or evidence.other_task(m))
        )
    yield from decided(looks).items()
    beside = evidence.measured("privileged_directions", "captions", "random")
    for m in (*measured, *beside) if measured else ():
        yield from numbers_of(
            m,
            importance=m.value("importance").max(),
            importance_centred=_largest_centred(m),
            importance_head_centred=m.value("importance_head_centred").max(),
            classes=m.counts["classes"],
        )
    yield from numbers(on_reference=evidence.on_reference(measured))


def p_80(claim: Claim, evidence: Evidence) -> Findings:
    """Neither accuracy nor effective robustness falls by more than the margin.

    A model's case holds if the 95 % intervals of both changes lie above minus the margin, and fails
    if one of them lies below. "Unchanged" means something only where there is something to lose: it
    is undecided unless the whole head's accuracy exceeds chance by `ABOVE_CHANCE` margins and
    keeping the same number of random directions loses more than the margin. What pruning changes
    under shift takes precedence over accuracy alone, which can fail and not hold. Where a head has
    directions without weight, it is left open whether they count among those that are pruned; then
    both counts must agree. In another task a model is excluded.
    """
    share, margin = claim.values["pruned_share"], evidence.cuts.margin
    yield Scope(len(evidence.at("zero_shot")))
    under_shift = evidence.measured("pruning_under_shift", "zero_shot")
    looks = []
    for m in under_shift:
        after = pruned_under_shift(m, share)
        changes = after["accuracy_change"], after["robustness_change"]
        holds, fails = every(above(change, -margin) for change in changes)
        whole = after["accuracy_whole"]
        above_chance = whole - 1 / m.counts["classes"] >= ABOVE_CHANCE * margin
        can_lose = above_chance and whole - after["accuracy_random"] > margin
        keeps_fewer = round((1 - share) * directions(m)) > after["kept"] + 1
        # there was nothing to lose; or a loss is due to keeping fewer
        tested = PValues(holds if can_lose else nan, nan if keeps_fewer else fails)
        looks.append(Look(m.model, tested, evidence.aside(m)))
        yield from numbers_of(m, **after)
    shifted, alone = {m.model for m in under_shift}, set()
    for m in evidence.measured("pruning", "zero_shot"):
        after, every_one = pruned(m, share), directions(m)
        of_all = pruned(m, share, every_one) if every_one > after["rank"] else after
        if of_all["kept"] > after["kept"] + 1:  # one is rounding
            after |= {"all": every_one, "kept_of_all": of_all["kept"]}
            after["change_of_all"] = of_all["accuracy_change"]
        yield from numbers_of(m, **after)
        if m.model not in shifted:
            counted = [
                above(after[name], -margin)
                for name in ("accuracy_change", "change_of_all")
                if name in after
            ]
            lost = every(contrary(change) for change in counted)  # both counts must agree
            other_task = evidence.other_task(m)
            looks.append(Look(m.model, PValues(fails=lost.holds), evidence.aside(m) or other_task))
            alone |= set() if other_task else {m.model}
    yield from decided(looks).items()
    yield from numbers(accuracy_models=len(shifted | alone), robustness_models=len(shifted))


def _is_privileged(m: Measurement, evidence: Evidence) -> bool:
    return _largest_centred(m).above(evidence.cuts.privileged) == "holds"


def _more_than_control(m: Measurement, evidence: Evidence) -> PValues:
    """Whether a model's largest importance exceeds its control's; nothing refutes a claim here."""
    drawn = [_largest_centred(m).less(_largest_centred(other)) for other in evidence.control(m)]
    return PValues(holds=above(drawn[0], 0).holds if len(drawn) == 1 else nan)


def _largest_centred(measurement: Measurement) -> Interval:
    """The largest importance over the mean, head and images mean-centred, with its interval."""
    largest = float(measurement.value("importance_centred").max())
    error = float(measurement.value("importance_centred_error"))
    copied = measurement.counts["images"] / measurement.distinct_images
    return Interval.of_mean(largest, error * sqrt(copied), measurement.distinct_images)


RULES: Rules = {
    "D-privileged": d_privileged,
    "P-80": p_80,
}
