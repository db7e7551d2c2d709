"""How this book judges each claim: one pure function per claim, (claim, evidence) → `Verdict`.

Nothing is read here and nothing is said: `evidence` gathers, `cards` puts into words. The same
functions judge the paper's models and the pocket lab. The paper names hardly any cut-off; those of
this book are `evidence.Cuts`, and stand in words in the field `rule` of `data/claims.yaml`. The
rules on effective robustness are in `order`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Level, Model
from analysis.metrics import concept_counts
from analysis.metrics.average_precision import encoded
from analysis.metrics.pruning import fewest_kept_without_loss
from companion.claims import order
from companion.claims.evidence import Evidence, Interval
from companion.claims.ledger import (
    Claim,
    ClaimError,
    Number,
    Outcome,
    Verdict,
    numbers,
    printed_regions,
)
from companion.measurements.measures import counts_of
from companion.measurements.records import Measurement

Rule = Callable[[Claim, Evidence], Verdict]

LOWER: tuple[Level, ...] = ("finetuned", "supervised")
GAUSSIAN = 3.0


def judge_cases(holds: Mapping[str, bool], covered: int) -> Outcome:
    """Judge a claim on each of `covered` models from those for which it could be checked.

    `holds`: model → whether what was measured of it agrees. ValueError if it has more models than
    the claim covers.
    """
    if len(holds) > covered:
        raise ValueError(f"{len(holds)} models were checked, but the claim covers {covered}.")
    if not holds:
        return "not measured"
    if not all(holds.values()):
        return "differs"
    return "reproduced" if len(holds) == covered else "partly"


def k_zero_shot(claim: Claim, evidence: Evidence) -> Verdict:
    """Every single image's kurtosis lies above 3 and above every image of the control."""
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    found = evidence.measured("outlier_features", "zero_shot")
    for m in found:
        control = evidence.control(m)
        lowest, _ = _ends(m)
        holds[m.model] = lowest > max(GAUSSIAN, _ends(control)[1] if control else GAUSSIAN)
        for one in (m, control) if control else (m,):
            low, high = _ends(one)
            carried += _kurtosis(one)
            carried += _numbers(one, lowest_kurtosis=low, highest_kurtosis=high)
    carried += numbers(on_reference=evidence.on_reference(found))
    return _verdict(holds, len(evidence.at("zero_shot")), carried)


def k_others(claim: Claim, evidence: Evidence) -> Verdict:
    """The mean kurtosis counts as close to 3. Models of other families stand beside them."""
    found = evidence.measured("outlier_features", *LOWER)
    holds = {m.model: _mean(m) < evidence.cuts.near_gaussian for m in found}
    carried = [n for m in found for n in _kurtosis(m)]
    for m in evidence.measurements:
        if m.experiment == "outlier_features" and m.family not in evidence.families:
            carried += _kurtosis(m)
            carried += _numbers(m, images=m.counts["images"], leaders=m.value("leaders"))
    return _verdict(holds, len(evidence.at(*LOWER)), carried)


def k_openai(claim: Claim, evidence: Evidence) -> Verdict:
    """95 % of the images of OpenAI's model lie above 95 % of those of the other model."""
    known = {m.model: m for m in evidence.measured("outlier_features", "zero_shot")}
    pairs = [
        (rich.name, poor.name)
        for rich, poor in evidence.partners("zero_shot")
        if "OpenAI" in rich.pretraining and poor.pretraining in ("YFCC-15M", "CC-12M")
    ]
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for names in pairs:
        rich, poor = (known.get(name) for name in names)
        if rich and poor and rich.data.name == poor.data.name:
            low, high = (m.value("kurtosis_percentiles") for m in (rich, poor))
            holds[", ".join(names)] = bool(low[5] > high[95])
            carried += [*_kurtosis(rich), *_kurtosis(poor)]
    return _verdict(holds, len(pairs), carried)


def k_captions(claim: Claim, evidence: Evidence) -> Verdict:
    """The mean kurtosis is close to 3, and effective robustness not above zero beyond doubt."""
    models = evidence.at("captions")
    known = {m.model: m for m in evidence.measured("outlier_features", "captions")}
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for name in (model.name for model in models if model.name in known):
        holds[f"{name}, κ"] = _mean(known[name]) < evidence.cuts.near_gaussian
        carried += _kurtosis(known[name])
        if name in evidence.intervals:
            holds[f"{name}, ER"] = evidence.intervals[name].low <= 0
            carried += numbers(name, robustness=evidence.intervals[name])
    return _verdict(holds, 2 * len(models), carried)


def k_indicator(claim: Claim, evidence: Evidence) -> Verdict:
    """No model that is not robust has outlier features: a coordinate far above the mean and a κ.

    Numbers are given of all models of which both are known; `outliers` is there for those with
    outlier features. The claim is taken to cover the models below zero-shot.
    """
    covered = len(evidence.at(*LOWER, "captions"))
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for m in evidence.measured("outlier_features", *LOWER, "zero_shot", "captions"):
        if m.model in evidence.intervals:
            er = evidence.intervals[m.model]
            above = _mean(m) >= evidence.cuts.near_gaussian
            outlying = bool(len(m.value("outlier_coordinates")) and above)
            if er.low <= 0:
                holds[m.model] = not outlying
            carried += [*_kurtosis(m), *numbers(m.model, robustness=er)]
            carried += _numbers(m, outliers=True) if outlying else ()
    measured, outliers = (sum(n.name == name for n in carried) for name in ("kurtosis", "outliers"))
    carried += numbers(measured=measured, outlying=outliers)
    return _verdict(holds, max(covered, len(holds)), carried)


def d_privileged(claim: Claim, evidence: Evidence) -> Verdict:
    """Zero-shot models have a privileged direction, the lower levels' is weaker.

    The controls and the models trained on captions stand beside them.
    """
    found = evidence.measured("privileged_directions", "zero_shot")
    lower = evidence.measured("privileged_directions", *LOWER)
    holds = {m.model: _largest(m) >= evidence.cuts.privileged for m in found}
    holds |= {
        m.model: _largest(m) < _largest(start)
        for m in lower
        for start in found
        if (m.family, m.data.name) == (start.family, start.data.name)
    }
    carried: list[Number] = []
    beside = evidence.measured("privileged_directions", "captions", "random")
    for m in (*found, *lower, *beside) if found else ():
        centred = m.value("importance_head_centred")[0]
        carried += _numbers(m, importance=_largest(m), importance_centred=centred)
        carried += _numbers(m, classes=m.counts["classes"])
    carried += numbers(
        zero_shot=len(found),
        zero_shot_models=len(evidence.at("zero_shot")),
        on_reference=evidence.on_reference(found),
        lower=len({*holds} - {m.model for m in found}),
        lower_models=len(evidence.at(*LOWER)),
    )
    return _verdict(holds, len(evidence.at("zero_shot", *LOWER)), carried)


def d_texture(claim: Claim, evidence: Evidence) -> Verdict:
    """More than half of the concepts listed are textures in zero-shot models, later fewer."""
    pairs = evidence.partners("finetuned")
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for start, finetuned in pairs:
        if start.name in evidence.concepts:
            own = evidence.concepts[start.name]
            before, named = int(own.value("top_textures")), len(own.value("top_concepts"))
            holds[start.name] = before > named / 2
            carried += numbers(start.name, textures=before, named=named)
            if _same_probe(evidence, start, finetuned):
                after = int(evidence.concepts[finetuned.name].value("top_textures"))
                holds[finetuned.name] = after < before
                carried += numbers(finetuned.name, textures=after, named=named)
    return _verdict(holds, len({m.name for pair in pairs for m in pair}), carried)


def p_80(claim: Claim, evidence: Evidence) -> Verdict:
    """No loss of accuracy or of effective robustness is established: no interval below zero.

    Decided by accuracy on the data set that the claim is about, and by what pruning changes under
    shift. Accuracy in another task stands beside it.
    """
    share = claim.values["pruned_share"]
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for m in evidence.measured("pruning", "zero_shot"):
        found = pruned(m, share)
        if m.data.name == evidence.reference:
            holds[f"{m.model}, accuracy"] = (found["accuracy_change"].high or 0) >= 0
        carried += found.values()
    for m in evidence.measured("pruning_under_shift", "zero_shot"):
        under = pruned_under_shift(m, share)
        for what in ("accuracy", "robustness"):
            holds[f"{m.model}, {what}"] = (under[f"{what}_change"].high or 0) >= 0
        carried += under.values()
    models = evidence.at("zero_shot")
    under_shift = sum(name.endswith(", robustness") for name in holds)
    carried += numbers(
        accuracy_models=len(holds) - under_shift,
        robustness_models=under_shift,
        zero_shot_models=len(models),
    )
    return _verdict(holds, 2 * len(models), carried)


def pruned(measurement: Measurement, share: float) -> dict[str, Number]:
    """Accuracy with that share of the directions pruned, by name: see `p_80`.

    ``fewest``: directions, kept by importance, from which on no loss is established;
    ``without_loss``: the share that can be pruned down to these.
    """
    rank = len(measurement.value("accuracy_importance"))
    kept = round((1 - share) * rank)
    changes = measurement.value("difference_importance")
    halves = 1.96 * measurement.value("difference_importance_error")
    fewest = fewest_kept_without_loss(changes + halves)
    change, half = changes[kept - 1], halves[kept - 1]
    found = _numbers(
        measurement, rank=rank, kept=kept, fewest=fewest, without_loss=1 - fewest / rank,
        images=measurement.counts["images"], classes=measurement.counts["classes"],
        accuracy_whole=measurement.value("accuracy_importance")[-1],
        accuracy_kept=measurement.value("accuracy_importance")[kept - 1],
        accuracy_random=measurement.value("accuracy_random")[kept - 1],
        accuracy_change=Interval(change, change - half, change + half),
    )  # fmt: skip
    return {one.name: one for one in found}


def pruned_under_shift(measurement: Measurement, share: float) -> dict[str, Number]:
    """What pruning that share of the directions changes, under shift too, by name: see `p_80`."""
    steps = measurement.value("kept")
    rank = int(steps[-1])
    (step,) = np.flatnonzero(steps == round((1 - share) * rank))
    whole, kept = measurement.value("inside_importance")[0, [-1, step]]
    accuracy, robustness = (
        Interval(*measurement.value(f"{part}_change_importance")[:, step])
        for part in ("inside", "robustness")
    )
    found = _numbers(
        measurement, rank=rank, kept=steps[step], accuracy_whole=whole, accuracy_kept=kept,
        accuracy_change=accuracy, robustness_change=robustness,
    )  # fmt: skip
    return {one.name: one for one in found}


def c_more(claim: Claim, evidence: Evidence) -> Verdict:
    """Zero-shot encodes more concepts than each model that it is compared with.

    Where no model was probed, the smallest leads in the paper's own printed numbers are given.
    """
    compared = [*evidence.partners("finetuned"), *evidence.partners("supervised")]
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for pair in compared:
        if _same_probe(evidence, *pair):
            one, other = (counts_of(evidence.concepts[model.name]) for model in pair)
            gap = concept_counts.difference(one, other, evidence.counts)
            names, half = ", ".join(model.name for model in pair), 1.96 * gap.error
            holds[names] = gap.value > 0
            carried += numbers(names, more=Interval(gap.value, gap.value - half, gap.value + half))
    carried += numbers(sure=sum(n.low is not None and n.low > 0 for n in carried))
    if holds:
        carried += _counts(evidence)
    else:
        for family in _printed(claim, evidence, "_zero_shot"):
            own, *others = (claim.values[f"{family}_{level}"] for level in ("zero_shot", *LOWER))
            carried += numbers(family, printed_lead=own - max(others))
    return _verdict(holds, len(compared), carried)


def c_overlap(claim: Claim, evidence: Evidence) -> Verdict:
    """The zero-shot model encodes more than half of the finetuned model's concepts.

    Where no model was probed, the shares in the paper's own printed numbers are given.
    """
    pairs = evidence.partners("finetuned")
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for start, finetuned in pairs:
        if _same_probe(evidence, start, finetuned):
            before, after = (_encoded(evidence, m) for m in (start, finetuned))
            if after.any():
                share = (before & after).sum() / after.sum()
                holds[finetuned.name] = bool(share > 0.5)
                carried += numbers(
                    finetuned.name, share=share, shared=(before & after).sum(),
                    shared_by_chance=before.mean() * after.sum(), encoded=after.sum(),
                )  # fmt: skip
    if not holds:
        regions = printed_regions(claim)
        for family in _printed(claim, evidence, "_all"):
            common = concept_counts.shared(regions[family], "finetuned", "zero_shot")
            whole = concept_counts.totals(regions[family])["finetuned"]
            carried += numbers(family, printed_share=common / whole)
    return _verdict(holds, len(pairs), carried)


def c_not_indicator(claim: Claim, evidence: Evidence) -> Verdict:
    """The model trained on captions encodes a number nearer to zero-shot's than to supervised's."""
    holds: dict[str, bool] = {}
    carried: list[Number] = []
    for family in evidence.families.values():
        top, low = (
            [m for m in family.at_level(level) if m.name in evidence.concepts]
            for level in ("zero_shot", "supervised")
        )
        for model in family.at_level("captions"):
            if top and low and _same_probe(evidence, model, *top, *low):
                own, above, below = (
                    mean(counts_of(evidence.concepts[m.name]).value(evidence.counts) for m in some)
                    for some in ([model], top, low)
                )
                holds[model.name] = abs(own - above) < abs(own - below)
                carried += numbers(model.name, zero_shot=above, supervised=below)
    carried += _counts(evidence) if holds else ()
    return _verdict(holds, len(evidence.at("captions")), carried)


RULES: dict[str, Rule] = {
    "ER-order": order.er_order,
    "ER-range": order.er_range,
    "ER-fit": order.er_fit,
    "K-zero-shot": k_zero_shot,
    "K-others": k_others,
    "K-openai": k_openai,
    "K-captions": k_captions,
    "D-privileged": d_privileged,
    "D-texture": d_texture,
    "P-80": p_80,
    "C-more": c_more,
    "C-overlap": c_overlap,
    "C-not-indicator": c_not_indicator,
    "K-indicator": k_indicator,
}


def judge_all(evidence: Evidence, claims: Mapping[str, Claim]) -> dict[str, Verdict]:
    """A verdict on each claim, in their order; ClaimError for a claim that no rule judges."""
    unknown = [name for name in claims if name not in RULES]
    if unknown:
        raise ClaimError(
            f"no rule judges claim {unknown[0]}: add a function for it to {__name__}.RULES."
        )
    return {name: RULES[name](claim, evidence) for name, claim in claims.items()}


def _verdict(holds: Mapping[str, bool], covered: int, carried: Iterable[Number]) -> Verdict:
    """A verdict from single checks; a number that belongs to several is given once."""
    outcome = judge_cases(holds, covered)
    return Verdict(outcome, holds, covered, tuple(dict.fromkeys(carried)))


def _numbers(measurement: Measurement, **values: Any) -> tuple[Number, ...]:
    return numbers(measurement.model, measurement.data.name, **values)


def _kurtosis(measurement: Measurement) -> tuple[Number, ...]:
    return _numbers(measurement, kurtosis=_mean(measurement))


def _mean(measurement: Measurement) -> float:
    return float(measurement.value("kurtosis_mean"))


def _ends(measurement: Measurement) -> tuple[float, float]:
    """The lowest and the highest kurtosis of a single image."""
    low, *_, high = measurement.value("kurtosis_percentiles")
    return float(low), float(high)


def _largest(measurement: Measurement) -> float:
    """The most important direction's importance, times the mean."""
    return float(measurement.value("importance").max())


def _same_probe(evidence: Evidence, *models: Model) -> bool:
    """Whether the models were probed with the very same images and concepts."""
    known = [evidence.concepts[m.name] for m in models if m.name in evidence.concepts]
    return len(known) == len(models) and all(
        one.counts["images"] == known[0].counts["images"]
        and np.array_equal(one.value("positives"), known[0].value("positives"))
        for one in known
    )


def _counts(evidence: Evidence) -> list[Number]:
    """How many concepts each model encodes, and as many random directions of its features."""
    carried: list[Number] = []
    for name, measurement in evidence.concepts.items():
        found = counts_of(measurement)
        carried += numbers(name, concepts=found.value(evidence.counts))
        by_chance = found.chance(evidence.counts, "random").mean
        carried += numbers(name, concepts_of_random_directions=by_chance)
    return carried


def _encoded(evidence: Evidence, model: Model) -> NDArray[np.bool_]:
    """Which of the probe's concepts a model encodes."""
    found = evidence.concepts[model.name]
    threshold = found.value("threshold" if evidence.counts == "unique" else "lower_threshold")
    return np.asarray(encoded(found.value("best"), threshold))


def _printed(claim: Claim, evidence: Evidence, end: str) -> list[str]:
    """Families of which the claim states a printed number whose name ends so."""
    return [family for family in evidence.families if f"{family}{end}" in claim.values]
