"""Rules for the claims on outlier features: kurtosis by level, and what it says of robustness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np

from analysis.families.registry import Level
from companion.claims.deciding import (
    SIGNIFICANCE,
    TRUE,
    Look,
    PValues,
    above,
    association,
    below,
    contrary,
    decided,
    every,
    mean_above,
    some,
)
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import Aside, Claim, Findings, Number, Rules, Scope, numbers
from companion.measurements.intervals import Interval, Result
from companion.measurements.measurement import Measurement

LOWER: tuple[Level, ...] = ("finetuned", "supervised")
#: The layer at which kurtosis is compared: that of the zero-shot models. Elsewhere the basis is
#: another one, on which kurtosis depends.
COMPARED = "projection"
#: The table of `k_indicator`: of models that are robust or not, those with outlier features or not.
ROWS = {True: "robust", False: "not_robust", None: "unknown"}
COLUMNS = {True: "with", False: "without", None: "open"}
#: Training regimes, each with its pretraining set, of either kind, below which chance may be all.
LEAST_REGIMES = 5
#: Whether a model is robust, and whether it has outlier features; None if it is not known.
Cell = tuple[bool | None, bool | None]


def k_zero_shot(claim: Claim, evidence: Evidence) -> Findings:
    """The mean kurtosis is far above 3, and above that of random weights.

    The control is the same backbone on the same images, or, where that is missing or decides
    nothing, any backbone with random weights; without any a model is undecided.
    """
    yield Scope(len(evidence.at("zero_shot")))
    measured = evidence.measured("outlier_features", "zero_shot")
    drawn = evidence.measured("outlier_features", "random")
    looks = []
    for m in measured:
        controls = evidence.control(m)
        if not any(_decides(m.kurtosis.less(control.kurtosis)) for control in controls):
            controls = drawn
        more = some(above(m.kurtosis.less(control.kurtosis), 0) for control in controls)
        looks.append(Look(m.model, every([_far_above(m, evidence), more]), evidence.aside(m)))
        for each in (m, *controls):
            yield from _numbers(each, low_kurtosis=each.value("kurtosis_percentiles")[5])
    yield from decided(looks).items()
    yield from numbers(on_reference=evidence.on_reference(measured))


def k_others(claim: Claim, evidence: Evidence) -> Findings:
    """The mean kurtosis counts as close to 3, at the layer where zero-shot models are looked at.

    A model that ends before the projection is judged where the zero-shot model's features there
    have a kurtosis far above 3 on the same images, so that the layer separates the two. Models at
    another layer are undecided otherwise; those of other families are shown as well.
    """
    yield evidence.scope(*LOWER)
    measured = evidence.measured("outlier_features", *LOWER)
    looks = [Look(m.model, _near_gaussian(m, evidence), evidence.aside(m)) for m in measured]
    yield from decided(looks).items()
    for m in measured:
        for each in (m, *evidence.zero_shot_at_layer(m)):
            yield from _numbers(each)
    others = (m for m in evidence.measurements if m.family not in evidence.families)
    for m in others:
        if m.experiment == "outlier_features" and m.level in LOWER:
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
    looks = []
    for pair, data in product(pairs, dict.fromkeys(data for _, data in by_set)):
        both = [by_set[name, data] for name in pair if (name, data) in by_set]
        if len(both) == 2:
            ratio, names = _ratio(*(m.kurtosis for m in both)), ", ".join(pair)
            in_logs = Interval(*np.log(ratio).tolist())
            far_above = above(in_logs, float(np.log(evidence.cuts.far_above)))
            looks.append(Look(names, far_above, evidence.aside(*both)))
            for m in both:
                yield from _numbers(m)
            yield from numbers(names, data, ratio=ratio)
    yield from decided(looks).items()


def k_captions(claim: Claim, evidence: Evidence) -> Findings:
    """The model has no outlier features (`no_outliers`), and is known not to be robust."""
    yield Scope(len(evidence.at("captions")))
    measured = evidence.measured("outlier_features", "captions")
    yield from decided(
        Look(
            m.model,
            every([no_outliers(m, evidence), not_robust(m.model, evidence)]),
            evidence.aside(m),
        )
        for m in measured
    ).items()
    for m in measured:
        yield from _with_robustness(m, evidence)
        if robustness := evidence.robust.get(m.model):
            yield from numbers(m.model, ordinary_models=robustness.ordinary_models)


def k_indicator(claim: Claim, evidence: Evidence) -> Findings:
    """Models that are not robust have no outlier features: far coordinates and a raised kurtosis.

    Robust models cannot test that alone and are excluded. Models whose robustness is not known are
    undecided, and so are those at another layer. Where nothing has outlier features, their absence
    says nothing of robustness: no model agrees unless the table of both properties is unlikely if
    they are independent (`association`). Models that were pretrained alike are alike, so that table
    counts regimes, each with its pretraining set, and says nothing where fewer than `LEAST_REGIMES`
    of either kind are known. A model that is not robust and has them differs in any case. Numbers
    are given of all models, and of the cells of the table of models.
    """
    levels: tuple[Level, ...] = ("zero_shot", "captions", *LOWER)
    every_model = evidence.at(*levels)
    yield Scope(sum(known_robust(model.name, evidence) is not True for model in every_model))
    measured = evidence.measured("outlier_features", *levels)
    clean = [Look(m.model, no_outliers(m, evidence), evidence.aside(m)) for m in measured]
    has = _with_outliers(clean)
    regimes = _regimes(_with_outliers(c for c in clean if not c.aside), evidence)
    kinds = [sum(number for cell, number in regimes.items() if cell[0] is kind) for kind in ROWS]
    chance = association(regimes) if min(kinds[:2]) >= LEAST_REGIMES else 1.0
    looks = []
    for look in clean:  # a model says something if it is not robust
        counts = not_robust(look.of, evidence).holds
        holds, fails = (float(np.maximum(p, counts)) for p in look.tested)
        tested = PValues(holds if chance <= SIGNIFICANCE else np.nan, fails)
        aside: Aside | None = "no test" if known_robust(look.of, evidence) else look.aside
        looks.append(Look(look.of, tested, aside))
    yield from decided(looks).items()
    for m in measured:
        yield from _with_robustness(m, evidence)
    cells = _table(has, evidence)
    for (robust, row), (outliers, column) in product(ROWS.items(), COLUMNS.items()):
        yield from numbers(**{f"{row}_{column}": cells[robust, outliers]})
    yield from numbers(known=len(has), by_chance=chance)
    yield from numbers(robust_regimes=kinds[0], not_robust_regimes=kinds[1])


def _with_outliers(clean: Iterable[Look]) -> dict[str, bool | None]:
    """Whether each model has outlier features, None if it is not known."""
    known: dict[Result, bool] = {"fails": True, "holds": False}
    looks = [look._replace(aside=None) for look in clean]
    return {name: known.get(case.result) for name, case in decided(looks).items()}


def _table(has: Mapping[str, bool | None], evidence: Evidence) -> Counter[Cell]:
    """How many models are known to be robust or not, and to have outlier features or not."""
    return Counter((known_robust(name, evidence), outliers) for name, outliers in has.items())


def _regimes(has: Mapping[str, bool | None], evidence: Evidence) -> Counter[Cell]:
    """The same table of regimes, each with its pretraining set.

    One counts if its known models agree on whether they are robust. One that is robust has outlier
    features if all of them have, one that is not if any has: the less favourable for the claim.
    """
    cells: dict[tuple[str, str], list[Cell]] = {}
    for name, outliers in has.items():
        model = evidence.models[name]
        regime = cells.setdefault((model.level, model.pretraining), [])
        regime.append((known_robust(name, evidence), outliers))
    table: Counter[Cell] = Counter()
    for models in cells.values():
        known = [cell for cell in models if None not in cell]
        if len({robust for robust, _ in known}) == 1:
            robust = known[0][0]
            table[robust, (all if robust else any)(outliers for _, outliers in known)] += 1
    return table


def known_robust(model: str, evidence: Evidence) -> bool | None:
    """Whether a model is robust, None if it is not known."""
    robustness = evidence.robust.get(model)
    return robustness.robust if robustness else None


def not_robust(model: str, evidence: Evidence) -> PValues:
    """Whether a model is not robust, as `known_robust`, with p-values."""
    robustness = evidence.robust.get(model)
    if robustness is None or np.isnan(robustness.limit):
        return PValues()
    tested = below(robustness.excess, robustness.limit)
    certain = min(tested) < SIGNIFICANCE / 2
    return PValues() if certain and robustness.robust is None else tested  # reaches contradict


def no_outliers(m: Measurement, evidence: Evidence) -> PValues:
    """Whether a model has no outlier features for these images: the definition of every claim.

    It has them if κ is far above 3 and some coordinate far above the mean one.
    """
    if not _tells_apart(m, evidence):
        return PValues()
    return _near_gaussian(m, evidence) if len(m.value("outlier_coordinates")) else TRUE


def _near_gaussian(m: Measurement, evidence: Evidence) -> PValues:
    """Whether the mean kurtosis counts as close to 3, at a layer where that says something."""
    return contrary(_far_above(m, evidence)) if _tells_apart(m, evidence) else PValues()


def _far_above(m: Measurement, evidence: Evidence) -> PValues:
    """Whether the mean kurtosis counts as far above 3; over images, kurtosis is skewed."""
    number = m.distinct_images
    error = m.value("kurtosis_standard_error") * np.sqrt(m.counts["images"] / number)
    apart = m.value("kurtosis_percentiles") - np.mean(m.value("kurtosis_percentiles"))
    deviation = np.sqrt(np.mean(apart**2))
    skew = float(np.mean(apart**3) / deviation**3) if deviation else 0.0
    return mean_above(m.kurtosis.value, error, skew, number, evidence.cuts.near_gaussian)


def _tells_apart(m: Measurement, evidence: Evidence) -> bool:
    """Whether kurtosis says something at a model's layer.

    It does at the projection, and where the zero-shot models of the backbone have a kurtosis far
    above 3 on the same images.
    """
    if evidence.models[m.model].layer == COMPARED:
        return True
    cut, alike = evidence.cuts.near_gaussian, evidence.zero_shot_at_layer(m)
    return bool(alike) and all(other.kurtosis.low > cut for other in alike)


def _decides(difference: Interval) -> bool:
    return difference.low > 0 or difference.high < 0


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


RULES: Rules = {
    "K-zero-shot": k_zero_shot,
    "K-others": k_others,
    "K-openai": k_openai,
    "K-captions": k_captions,
    "K-indicator": k_indicator,
}
