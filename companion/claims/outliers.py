"""Rules for the claims on outlier features: kurtosis by level, and what it says of robustness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import scipy

from analysis.families.registry import Level
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import (
    SIGNIFICANCE,
    Aside,
    Case,
    Claim,
    Findings,
    Number,
    Scope,
    all_hold,
    combined,
    holds,
    numbers,
)
from companion.measurements.intervals import Interval, Result
from companion.measurements.measurement import Measurement

LOWER: tuple[Level, ...] = ("finetuned", "supervised")
#: The layer at which kurtosis is compared: that of the zero-shot models. Elsewhere the basis is
#: another one, on which kurtosis depends.
COMPARED = "projection"
#: The table of `k_indicator`: of models that are robust or not, those with outlier features or not.
ROWS: dict[Result, str] = {"fails": "robust", "holds": "not_robust", "undecided": "unknown"}
COLUMNS: dict[Result, str] = {"fails": "with", "holds": "without", "undecided": "open"}


def k_zero_shot(claim: Claim, evidence: Evidence) -> Findings:
    """The mean kurtosis is far above 3, and above that of random weights.

    The control is the same backbone on the same images, or, where that is missing or decides
    nothing, every backbone with random weights; without any a model is undecided.
    """
    yield Scope(len(evidence.at("zero_shot")))
    measured = evidence.measured("outlier_features", "zero_shot")
    drawn = evidence.measured("outlier_features", "random")
    for m in measured:
        controls = evidence.control(m)
        if _exceeds(m, controls) == "undecided":
            controls = drawn
        far_above = m.kurtosis.above(evidence.cuts.near_gaussian)
        result = all_hold([far_above, _exceeds(m, controls)])
        yield m.model, Case(result, evidence.aside(m))
        for each in (m, *controls):
            yield from _numbers(each, low_kurtosis=each.value("kurtosis_percentiles")[5])
    yield from numbers(on_reference=evidence.on_reference(measured))


def k_others(claim: Claim, evidence: Evidence) -> Findings:
    """The mean kurtosis counts as close to 3, at the layer where zero-shot models are looked at.

    A model that ends before the projection is judged where the zero-shot model's features there
    have a kurtosis far above 3 on the same images, so that the layer separates the two. Models at
    another layer are undecided otherwise; those of other families are shown as well.
    """
    yield evidence.scope(*LOWER)
    for m in evidence.measured("outlier_features", *LOWER):
        yield m.model, Case(_near_gaussian(m, evidence), evidence.aside(m))
        for each in (m, *evidence.zero_shot_at_layer(m)):
            yield from _numbers(each)
    for m in evidence.measurements:
        if m.experiment == "outlier_features" and m.family not in evidence.families:
            yield from _numbers(m, images=m.counts["images"], leaders=m.value("leaders"))


def k_openai(claim: Claim, evidence: Evidence) -> Findings:
    """The ratio of the mean kurtoses on the same data is at least the cut."""
    pairs = [
        (rich.name, poor.name)
        for rich, poor in evidence.pairs("zero_shot", "zero_shot")
        if "OpenAI" in rich.pretraining and poor.pretraining in ("YFCC-15M", "CC-12M")
    ]
    yield Scope(len(pairs), "pairs")
    by_set = {(m.model, m.data.name): m for m in evidence.measured("outlier_features", "zero_shot")}
    for pair, data in product(pairs, dict.fromkeys(data for _, data in by_set)):
        both = [by_set[name, data] for name in pair if (name, data) in by_set]
        if len(both) == 2:
            ratio, names = _ratio(*(m.kurtosis for m in both)), ", ".join(pair)
            far_above = ratio.above(evidence.cuts.far_above)
            yield names, Case(far_above, evidence.aside(*both))
            for m in both:
                yield from _numbers(m)
            yield from numbers(names, data, ratio=ratio)


def k_captions(claim: Claim, evidence: Evidence) -> Findings:
    """The model has no outlier features (`no_outliers`), and is known not to be robust."""
    yield Scope(len(evidence.at("captions")))
    for m in evidence.measured("outlier_features", "captions"):
        results = [no_outliers(m, evidence), not_robust(m.model, evidence)]
        yield m.model, Case(all_hold(results), evidence.aside(m))
        yield from _with_robustness(m, evidence)
        if robustness := evidence.robust.get(m.model):
            yield from numbers(m.model, ordinary_models=robustness.ordinary_models)


def k_indicator(claim: Claim, evidence: Evidence) -> Findings:
    """Models that are not robust have no outlier features: far coordinates and a raised kurtosis.

    Robust models cannot test that alone and are excluded. Models whose robustness is not known are
    undecided, and so are those at another layer. Where nothing has outlier features, their absence
    says nothing of robustness: no model agrees unless the table of both properties is unlikely if
    they are independent (`_association`). A model that is not robust and has them differs in any
    case. Numbers are given of all models, and of the cells of the table.
    """
    levels: tuple[Level, ...] = ("zero_shot", "captions", *LOWER)
    yield Scope(sum(not_robust(model.name, evidence) != "fails" for model in evidence.at(*levels)))
    measured = evidence.measured("outlier_features", *levels)
    clean = {m.model: list[Result]() for m in measured}
    for m in measured:
        clean[m.model].append(no_outliers(m, evidence))
        yield from _with_robustness(m, evidence)
    decide = {m.model for m in measured if not evidence.aside(m)}
    chance = _association(_table({name: clean[name] for name in decide}, evidence))
    for m in measured:
        test, result = not_robust(m.model, evidence), no_outliers(m, evidence)
        aside: Aside | None = "no test" if test == "fails" else evidence.aside(m)
        says = test == "holds" and (result == "fails" or chance <= SIGNIFICANCE)
        yield m.model, Case(result if says else "undecided", aside)
    cells = _table(clean, evidence)
    for (test, row), (result, column) in product(ROWS.items(), COLUMNS.items()):
        yield from numbers(**{f"{row}_{column}": cells[test, result]})
    yield from numbers(known=len(clean), by_chance=chance)


def _table(
    clean: Mapping[str, Sequence[Result]], evidence: Evidence
) -> Counter[tuple[Result, Result]]:
    """How many models are known to be robust or not, and to have outlier features or not."""
    return Counter((not_robust(name, evidence), combined(each)) for name, each in clean.items())


def _association(table: Counter[tuple[Result, Result]]) -> float:
    """How likely as many robust models with outlier features are if these say nothing of it.

    Fisher's exact test, one-sided; 1 if no robust model has outlier features.
    """
    known: tuple[Result, Result] = ("fails", "holds")
    counts = [[table[row, column] for column in known] for row in known]
    if not counts[0][0]:
        return 1.0
    return round(float(scipy.stats.fisher_exact(counts, "greater").pvalue), 12)  # 1/20 is 5 %


def not_robust(model: str, evidence: Evidence) -> Result:
    """Whether a model is known not to be robust."""
    robustness = evidence.robust.get(model)
    robust = robustness.robust if robustness else None
    return "undecided" if robust is None else holds(not robust)


def no_outliers(m: Measurement, evidence: Evidence) -> Result:
    """Whether a model has no outlier features for these images: the definition of every claim.

    It has them if κ is far above 3 and some coordinate far above the mean one.
    """
    near = _near_gaussian(m, evidence)
    return "holds" if near == "fails" and not len(m.value("outlier_coordinates")) else near


def _near_gaussian(m: Measurement, evidence: Evidence) -> Result:
    """Whether the mean kurtosis counts as close to 3; undecided at a layer where that says nothing.

    It says something at the projection, and where the zero-shot models of the backbone have a
    kurtosis far above 3 on the same images.
    """
    cut, alike = evidence.cuts.near_gaussian, evidence.zero_shot_at_layer(m)
    told_apart = bool(alike) and all(other.kurtosis.low > cut for other in alike)
    if evidence.models[m.model].layer != COMPARED and not told_apart:
        return "undecided"
    return m.kurtosis.below(cut)


def _exceeds(m: Measurement, controls: Sequence[Measurement]) -> Result:
    """Whether the mean kurtosis exceeds that of controls."""
    return combined(m.kurtosis.less(control.kurtosis).above(0) for control in controls)


def _numbers(m: Measurement, **more: float) -> tuple[Number, ...]:
    return numbers_of(m, kurtosis=m.kurtosis, **more)


def _with_robustness(m: Measurement, evidence: Evidence) -> Findings:
    yield from _numbers(m)
    if robustness := evidence.robust.get(m.model):
        yield from numbers(m.model, robustness=robustness.er, excess=robustness.excess)


def _ratio(first: Interval, other: Interval) -> Interval:
    """The ratio of two independent means with its 95 % interval, normal on the scale of logs."""
    ratio = first.value / other.value
    half = np.hypot(
        (first.high - first.value) / first.value, (other.high - other.value) / other.value
    )
    return Interval(ratio, ratio * np.exp(-half), ratio * np.exp(half))
