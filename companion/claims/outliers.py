"""Rules for the claims on outlier features: kurtosis by level, and what it says of robustness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np

from analysis.families.registry import Level
from analysis.metrics.robustness import NORMAL_95
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import (
    Aside,
    Case,
    Claim,
    Interval,
    Number,
    Result,
    Verdict,
    all_hold,
    gathered,
    numbers,
    verdict,
)
from companion.measurements.records import Measurement

LOWER: tuple[Level, ...] = ("finetuned", "supervised")
#: The layer at which kurtosis is compared: that of the zero-shot models. Elsewhere the basis is
#: another one, on which kurtosis depends.
COMPARED = "projection"


def k_zero_shot(claim: Claim, evidence: Evidence) -> Verdict:
    """The mean kurtosis is far above 3, and above that of the control where there is one."""
    found = evidence.measured("outlier_features", "zero_shot")
    cases: list[tuple[str, Case]] = []
    carried: list[Number] = []
    for m in found:
        own, control = _kurtosis(m), evidence.control(m)
        results = [own.at_least(evidence.cuts.near_gaussian)]
        if control:
            results.append(own.less(_kurtosis(control)).at_least(0))
        cases.append((m.model, Case(all_hold(results), aside=evidence.aside(m))))
        for one in (m, control) if control else (m,):
            carried += _carried(one)
            carried += numbers_of(one, low_kurtosis=one.value("kurtosis_percentiles")[5])
    carried += [n for name in dict.fromkeys(m.model for m in found) for n in _spread(name, found)]
    carried += numbers(on_reference=evidence.on_reference(found))
    return verdict(gathered(cases), len(evidence.at("zero_shot")), carried)


def k_others(claim: Claim, evidence: Evidence) -> Verdict:
    """The mean kurtosis counts as close to 3, at the layer where zero-shot models are looked at.

    A model that ends before the projection is judged where the zero-shot model's features there
    have a kurtosis far above 3 on the same images, so that the layer tells the two apart. Models at
    another layer are undecided otherwise; those of other families stand beside them.
    """
    cases: list[tuple[str, Case]] = []
    carried: list[Number] = []
    for m in evidence.measured("outlier_features", *LOWER):
        own = _kurtosis(m)
        near = own.below(evidence.cuts.near_gaussian)
        result: Result = near if _comparable(m, evidence) else "undecided"
        cases.append((m.model, Case(result, m.level, evidence.aside(m))))
        carried += _carried(m)
        carried += [n for one in evidence.zero_shot_at_layer(m) for n in _carried(one)]
        at_end = evidence.models[m.model].layer == COMPARED
        carried += () if at_end else numbers_of(m, other_layer=True)
    for m in evidence.measurements:
        if m.experiment == "outlier_features" and m.family not in evidence.families:
            carried += _carried(m)
            carried += numbers_of(m, images=m.counts["images"], leaders=m.value("leaders"))
    return verdict(gathered(cases), len(evidence.at(*LOWER)), carried, parts=LOWER)


def k_openai(claim: Claim, evidence: Evidence) -> Verdict:
    """The ratio of the mean kurtoses on the same data is at least the cut."""
    pairs = [
        (rich.name, poor.name)
        for rich, poor in evidence.partners("zero_shot")
        if "OpenAI" in rich.pretraining and poor.pretraining in ("YFCC-15M", "CC-12M")
    ]
    known = {(m.model, m.data.name): m for m in evidence.measured("outlier_features", "zero_shot")}
    cases: list[tuple[str, Case]] = []
    carried: list[Number] = []
    for (rich, poor), data in product(pairs, dict.fromkeys(data for _, data in known)):
        if (rich, data) in known and (poor, data) in known:
            both = [known[name, data] for name in (rich, poor)]
            ratio = _ratio(*map(_kurtosis, both))
            result = ratio.at_least(evidence.cuts.far_above)
            cases.append((f"{rich}, {poor}", Case(result, aside=evidence.aside(*both))))
            carried += [*_carried(both[0]), *_carried(both[1])]
            carried += numbers(f"{rich}, {poor}", data, ratio=ratio)
    return verdict(gathered(cases), len(pairs), carried, unit="pairs")


def k_captions(claim: Claim, evidence: Evidence) -> Verdict:
    """The mean kurtosis is close to 3, and the model is known not to be robust."""
    cases: list[tuple[str, Case]] = []
    carried: list[Number] = []
    for m in evidence.measured("outlier_features", "captions"):
        own, known = _kurtosis(m), evidence.robust.get(m.model)
        near = own.below(evidence.cuts.near_gaussian)
        results = [near if _comparable(m, evidence) else "undecided", not_robust(m.model, evidence)]
        cases.append((m.model, Case(all_hold(results), aside=evidence.aside(m))))
        carried += _carried(m)
        if known:
            carried += numbers(m.model, robustness=known.er, ordinary=known.ordinary)
            carried += numbers(m.model, ordinary_models=known.ordinary_models)
    return verdict(gathered(cases), len(evidence.at("captions")), carried)


def k_indicator(claim: Claim, evidence: Evidence) -> Verdict:
    """Models that are not robust have no outlier features: far coordinates and a raised kurtosis.

    Robust models cannot test that: they stand aside. Models whose robustness is not known are
    undecided, and so are those at another layer. Numbers are given of all models, and of the cells
    of the table of both properties.
    """
    levels: tuple[Level, ...] = ("zero_shot", "captions", *LOWER)
    cases: list[tuple[str, Case]] = []
    carried: list[Number] = []
    table: dict[str, tuple[str, set[bool | None]]] = {}
    for m in evidence.measured("outlier_features", *levels):
        known, outlying = evidence.robust.get(m.model), _outlying(m, evidence)
        robust = known.robust if known else None
        result: Result = "undecided"
        if robust is False and outlying is not None:
            result = "fails" if outlying else "holds"
        aside: Aside | None = "no test" if robust else evidence.aside(m)
        cases.append((m.model, Case(result, aside=aside)))
        row = {True: "robust", False: "not_robust", None: "unknown"}[robust]
        table.setdefault(m.model, (row, set()))[1].add(outlying)
        carried += _carried(m)
        carried += numbers(m.model, outliers=True) if outlying else ()
        carried += numbers(m.model, robustness=known.er) if known else ()
    carried += numbers(**_cells(table), known=len(table))
    tests = [m for m in evidence.at(*levels) if not_robust(m.name, evidence) != "fails"]
    return verdict(gathered(cases), len(tests), carried)


def not_robust(model: str, evidence: Evidence) -> Result:
    """Whether a model is known not to be robust."""
    known = evidence.robust.get(model)
    robust = known.robust if known else None
    return "undecided" if robust is None else "fails" if robust else "holds"


def _cells(table: dict[str, tuple[str, set[bool | None]]]) -> dict[str, int]:
    """Models by robustness (rows) and outlier features: with, without, or not decided."""
    columns = {True: "with", False: "without", None: "open"}
    rows = ("robust", "not_robust", "unknown")
    found = Counter(
        (row, columns[each.pop() if len(each := set(outlying)) == 1 else None])
        for row, outlying in table.values()
    )
    return {f"{row}_{column}": found[row, column] for row in rows for column in columns.values()}


def _outlying(m: Measurement, evidence: Evidence) -> bool | None:
    """Whether a model has outlier features for these images; None if that is not decided."""
    own = _kurtosis(m)
    raised = own.at_least(evidence.cuts.near_gaussian)
    if raised == "undecided" or not _comparable(m, evidence):
        return None
    return bool(raised == "holds" and len(m.value("outlier_coordinates")))


def _comparable(m: Measurement, evidence: Evidence) -> bool:
    """Whether the features come from a layer at which kurtosis can be compared.

    That is the projection, or one at which the zero-shot models of the backbone have a kurtosis far
    above 3 on the same images.
    """
    alike = evidence.zero_shot_at_layer(m)
    cut = evidence.cuts.near_gaussian
    told_apart = bool(alike) and all(_kurtosis(one).low >= cut for one in alike)
    return evidence.models[m.model].layer == COMPARED or told_apart


def _kurtosis(m: Measurement) -> Interval:
    """Mean kurtosis over images with its 95 % interval."""
    half = NORMAL_95 * m.value("kurtosis_standard_error")
    return Interval.around(m.value("kurtosis_mean"), half)


def _carried(m: Measurement) -> tuple[Number, ...]:
    return numbers_of(m, kurtosis=_kurtosis(m))


def _spread(model: str, found: Sequence[Measurement]) -> tuple[Number, ...]:
    """Of a model that was measured on several sets of images, the lowest and highest mean."""
    own = [m for m in found if m.model == model]
    if len(own) == 1:
        return numbers_of(own[0], alone=True)
    means = [_kurtosis(m).value for m in own]
    return numbers(
        model, sets=len(own), lowest_kurtosis=min(means), highest_kurtosis=max(means),
        low_kurtosis=min(m.value("kurtosis_percentiles")[5] for m in own),
    )  # fmt: skip


def _ratio(one: Interval, other: Interval) -> Interval:
    """The ratio of two independent means with its 95 % interval, normal on the scale of logs."""
    ratio = one.value / other.value
    half = np.hypot((one.high - one.value) / one.value, (other.high - other.value) / other.value)
    return Interval(ratio, ratio * np.exp(-half), ratio * np.exp(half))
