"""Rules for the claims on concepts: how many, which they share, what a privileged one encodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import erfc, sqrt
from statistics import mean
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from analysis.families.registry import Model
from analysis.metrics import concept_counts
from analysis.metrics.average_precision import encoded
from analysis.metrics.concept_counts import Found
from analysis.metrics.indicators import holm
from analysis.metrics.robustness import NORMAL_95
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
    holds,
    numbers,
)
from companion.claims.outliers import LOWER, not_robust
from companion.measurements.intervals import Interval, Result
from companion.measurements.measurement import Measurement
from companion.measurements.measures import TOP_CONCEPTS
from companion.measurements.tables import counts_of

Flags = NDArray[np.bool_]


def d_texture(claim: Claim, evidence: Evidence) -> Findings:
    """The printed textures are among the concepts of the most important direction; later fewer.

    Judged on the backbones for which the paper prints textures. Most of the names printed for a
    zero-shot model must be among the concepts of highest average precision; if none is, it differs.
    A finetuned model must have fewer textures among them than the zero-shot one. Where only
    textures were ranked, among themselves and against other images than the probe's, a model is
    excluded.
    """
    names_of = {
        model.name: names
        for family, names in claim.names.items()
        for model in (evidence.families[family].models if family in evidence.families else ())
        if "OpenAI" in model.pretraining
    }
    pairs = [p for p in evidence.pairs("zero_shot", "finetuned") if p[0].name in names_of]
    yield Scope(len({model.name for pair in pairs for model in pair}))
    ranked = {m.model: m for m in evidence.measured("textures", "zero_shot")}
    for start, finetuned in pairs:
        before, printed = evidence.concepts.get(start.name), names_of[start.name]
        if before:
            top = [n.removesuffix(" (texture)") for n in before.names.get("top_concepts", ())]
            shared = len({*top} & {*printed})
            result: Result = "holds" if 2 * shared > len(printed) else "undecided"
            if top and not shared:
                result = "fails"
            yield start.name, Case(result, evidence.aside(before))
            yield from _textures(before)
            yield from numbers(start.name, printed=len(printed), found=shared) if top else ()
        elif start.name in ranked:
            yield from _among_textures(ranked[start.name], printed, evidence)
        if both := _probed(evidence, start, finetuned):
            before, after = both
            fewer = holds(after.value("top_textures") < before.value("top_textures"))
            yield finetuned.name, Case(fewer, evidence.aside(*both))
            yield from _textures(after)


def c_more(claim: Claim, evidence: Evidence) -> Findings:
    """Zero-shot encodes more concepts than each model that it is compared with.

    Established, either way, where the difference is significant after Holm's correction for the
    number of comparisons that decide, which share models; those aside are corrected apart. Where no
    model was probed, the smallest leads in the paper's own printed numbers are given.
    """
    compared = [pair for level in LOWER for pair in evidence.pairs("zero_shot", level)]
    yield Scope(len(compared), "pairs")
    gaps = []
    for pair in compared:
        if both := _probed(evidence, *pair):
            first, other = map(counts_of, both)
            gap = concept_counts.difference(first, other, evidence.counts)
            gaps.append((", ".join(model.name for model in pair), gap, evidence.aside(*both)))
    for decides in (True, False):
        chosen = [case for case in gaps if (case[2] is None) == decides]
        p = holm([_p_value(gap.value, gap.error) for _, gap, _ in chosen])
        for (names, gap, aside), beyond in zip(chosen, p <= SIGNIFICANCE, strict=True):
            yield names, Case(holds(gap.value > 0) if beyond else "undecided", aside)
            yield from numbers(names, more=Interval.around(gap.value, NORMAL_95 * gap.error))
    if gaps:
        yield from _counts(evidence)
        return
    for family in (f for f in evidence.families if f"{f}_zero_shot" in claim.values):
        top, *others = (claim.values[f"{family}_{level}"] for level in ("zero_shot", *LOWER))
        yield from numbers(family, printed_lead=top - max(others))


def c_overlap(claim: Claim, evidence: Evidence) -> Findings:
    """The zero-shot model encodes most of the finetuned model's concepts, more than supervised.

    What all models encode is shared by chance and because some concepts are easy, so the zero-shot
    share must exceed one half, and the supervised model's share of the same concepts. Both are
    exact binomial tests (the second is McNemar's) that take concepts as a sample; equal shares
    establish nothing. Where no model was probed, the paper's own printed shares are given.
    """
    pairs, compared = evidence.pairs("zero_shot", "finetuned"), 0
    yield Scope(len(pairs))
    for start, finetuned in pairs:
        measured = _probed(evidence, start, finetuned)
        flags = [_encoded(m, evidence) for m in measured]
        if not measured or not flags[1].any():
            continue
        compared += 1
        before, after = flags
        both, encoded_after = int((before & after).sum()), int(after.sum())
        leads = [
            _more_shared(before[after], _encoded(m, evidence)[after])
            for higher, rival in evidence.pairs("zero_shot", "supervised")
            for m in (_probed(evidence, start, rival)[1:] if higher == start else ())
        ]
        most = _more_often(both, encoded_after - both)
        result = all_hold([most, *(lead for _, lead in leads)] if leads else [most, "undecided"])
        yield finetuned.name, Case(result, evidence.aside(*measured))
        for more, _ in leads:
            yield from numbers(finetuned.name, share_more=more)
        yield from numbers(
            finetuned.name,
            share=both / encoded_after,
            shared=both,
            shared_by_chance=before.mean() * encoded_after,
            encoded=encoded_after,
        )
    if compared:
        return
    for family in (f for f in evidence.families if f in claim.regions):
        of_family = claim.regions[family]
        whole = concept_counts.totals(of_family)["finetuned"]
        for level, end in (("zero_shot", ""), ("supervised", "_supervised")):
            common = concept_counts.shared(of_family, "finetuned", level)
            yield from numbers(family, **{f"printed_share{end}": common / whole})


def c_not_indicator(claim: Claim, evidence: Evidence) -> Findings:
    """The model trained on captions, not robust, encodes a number nearer to zero-shot's.

    Nearer than to supervised's, beyond the 95 % interval. That means something only where zero-shot
    models encode more than supervised ones, beyond the interval; otherwise, and if it is not known
    whether the model is robust, it is undecided. A robust model is no test.
    """
    yield Scope(len(evidence.at("captions")))
    compared = 0
    for family in evidence.families.values():
        above, below = (
            [model for model in family.at_level(level) if model.name in evidence.concepts]
            for level in ("zero_shot", "supervised")
        )
        for model in family.at_level("captions"):
            measured = [counts_of(m) for m in _probed(evidence, model, *above, *below)]
            if not (above and below and measured):
                continue
            compared += 1
            others = measured[1:]
            groups = measured[:1], others[: len(above)], others[len(above) :]
            order, nearer = _nearer(groups, evidence.counts)
            robust = not_robust(model.name, evidence)
            aside: Aside | None = "no test" if robust == "fails" else None
            tells_apart = order.above(0) == "holds"
            result = all_hold([nearer.above(0), robust]) if tells_apart else "undecided"
            stand_in = evidence.aside(evidence.concepts[model.name])
            yield model.name, Case(result, stand_in or aside)
            zero_shot, supervised = (mean(f.value(evidence.counts) for f in g) for g in groups[1:])
            yield from numbers(model.name, zero_shot=zero_shot, supervised=supervised)
    yield from _counts(evidence) if compared else ()


def _p_value(value: float, error: float) -> float:
    """Two-sided, normal p-value: how likely its error alone gives a value as far from zero.

    It is 1 where the error is not known.
    """
    if not error > 0:
        return 0.0 if error == 0 and value else 1.0
    return erfc(abs(value) / error / sqrt(2))


def _probed(evidence: Evidence, *models: Model) -> list[Measurement]:
    """Measurements of models that were probed with the very same images and concepts, or none."""
    found = [evidence.concepts[model.name] for model in models if model.name in evidence.concepts]
    probes = [(m.counts["images"], m.value("positives").tolist()) for m in found]
    alike = len(found) == len(models) and all(probe == probes[0] for probe in probes)
    return found if alike else []


def _nearer(
    groups: Sequence[Sequence[Found]], quantity: concept_counts.Quantity
) -> tuple[Interval, Interval]:
    """How far the mean count of zero-shot exceeds that of supervised, and captions their middle.

    ``groups``: of models trained on captions, zero-shot, supervised. Of frequent concepts, as
    `concept_counts.difference`.
    """

    def difference(count: Callable[[Found], Any]) -> tuple[Any, Any]:
        captions, top, low = (np.mean([count(each) for each in group], axis=0) for group in groups)
        return top - low, captions - (top + low) / 2

    values = difference(lambda each: each.frequent(quantity).value)
    halves = difference(lambda each: each.of("halves", quantity))
    order, nearer = (
        Interval.around(float(value), NORMAL_95 * apart.std(ddof=1) if len(apart) > 1 else np.nan)
        for value, apart in zip(values, halves, strict=True)
    )
    return order, nearer


def _more_shared(flags: Flags, other: Flags) -> tuple[Interval, Result]:
    """How much larger a share of concepts one model encodes than another, of the same concepts.

    The interval is McNemar's: only concepts that one of the two alone encodes count. The result is
    that of the exact test.
    """
    first, second = int((flags & ~other).sum()), int((other & ~flags).sum())
    share, half = (first - second) / len(flags), NORMAL_95 * sqrt(first + second) / len(flags)
    return Interval.around(share, half), _more_often(first, second)


def _more_often(first: int, second: int) -> Result:
    """Whether one of two outcomes is the more frequent: an exact binomial test, two-sided."""
    if not first + second or scipy.stats.binomtest(first, first + second).pvalue > SIGNIFICANCE:
        return "undecided"
    return holds(first > second)


def _among_textures(m: Measurement, printed: Sequence[str], evidence: Evidence) -> Findings:
    """Whether most printed names are surely among the highest textures.

    A texture is surely among them if too few others reach its lowest average precision over draws,
    and surely not if as many as there are places exceed its highest. It fails if none of the
    printed ones can be among them. Numbers: places; how many are there on average and surely; how
    many of the head's directions set textures apart better than the most important one does.
    """
    names, per_direction = m.names["along_top"], m.value("per_direction")
    mean, low, high = (m.value(f"along_top{end}") for end in ("", "_lowest", "_highest"))
    rows = [names.index(name) for name in printed]
    among = sum((mean > mean[row]).sum() < TOP_CONCEPTS for row in rows)
    # of those that reach its lowest it is one itself
    sure = sum((high > low[row]).sum() - (high[row] > low[row]) < TOP_CONCEPTS for row in rows)
    out = sum((low > high[row]).sum() >= TOP_CONCEPTS for row in rows)
    result: Result = "holds" if 2 * sure > len(printed) else "undecided"
    if out == len(printed):
        result = "fails"
    yield m.model, Case(result, evidence.aside(m) or "another probe")
    yield from numbers_of(
        m,
        printed=len(printed),
        among_textures=among,
        surely_among=sure,
        places=TOP_CONCEPTS,
        textures_ranked=len(names),
        directions=len(per_direction),
        draws=m.value("draws"),
        directions_better=(per_direction > per_direction[m.value("top_direction")]).sum(),
        images=m.counts["images"],
        among_by_chance=TOP_CONCEPTS * len(printed) / len(names),
    )


def _textures(measurement: Measurement) -> tuple[Number, ...]:
    listed, textures = measurement.value("top_concepts"), measurement.value("top_textures")
    return numbers_of(measurement, textures=textures, listed=len(listed))


def _counts(evidence: Evidence) -> Iterator[Number]:
    """How many concepts each model encodes, and the same number of random directions."""
    for name, measurement in evidence.concepts.items():
        counts = counts_of(measurement)
        drawn = counts.chance(evidence.counts, "random")
        concepts = counts.value(evidence.counts)
        yield from numbers(name, concepts=concepts, concepts_of_random_directions=drawn)


def _encoded(m: Measurement, evidence: Evidence) -> Flags:
    """Which of the probe's concepts a model encodes."""
    threshold = m.value("threshold" if evidence.counts == "unique" else "lower_threshold")
    return np.asarray(encoded(m.value("best"), threshold))
