"""Rules for the claims on concepts: how many, which they share, what a privileged one encodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import erfc, sqrt
from statistics import mean
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from analysis.families.registry import Family, Level, Model
from analysis.metrics import concept_counts
from analysis.metrics.average_precision import encoded
from analysis.metrics.concept_counts import Found
from analysis.metrics.indicators import holm
from analysis.metrics.robustness import NORMAL_95
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import (
    Aside,
    Case,
    Claim,
    Findings,
    Interval,
    Number,
    Result,
    Scope,
    all_hold,
    holds,
    numbers,
    printed_regions,
)
from companion.claims.outliers import LOWER, not_robust
from companion.measurements.measures import TOP_CONCEPTS, counts_of
from companion.measurements.records import Measurement

Flags = NDArray[np.bool_]

#: How often any of several comparisons may be called established though nothing is there.
SIGNIFICANCE = 0.05


def d_texture(claim: Claim, evidence: Evidence) -> Findings:
    """The printed textures are among the concepts of the most important direction; later fewer.

    Judged on the backbones for which the paper prints textures. Of a zero-shot model most of the
    printed names must be among the concepts of highest average precision; none of them differs. A
    finetuned model must have fewer textures among them than the zero-shot one. Where only textures
    were ranked, among themselves and against other images than the probe's, a model stands aside.
    """
    pairs = [
        (start, finetuned, printed)
        for start, finetuned in evidence.partners("finetuned")
        if "OpenAI" in start.pretraining and (printed := _printed_names(claim, evidence, start))
    ]
    covered = {model.name for *pair, _ in pairs for model in pair}
    yield Scope(len(covered), parts=("zero_shot", "finetuned"))
    ranked = {m.model: m for m in evidence.measured("textures", "zero_shot")}
    for start, finetuned, printed in pairs:
        own = evidence.concepts.get(start.name)
        if own:
            found = _top_names(own)
            shared = len({*found} & {*printed})
            known: Result = "holds" if 2 * shared > len(printed) else "undecided"
            result = "fails" if found and not shared else known
            yield start.name, Case(result, "zero_shot", evidence.aside(own))
            yield from _textures(own)
            yield from numbers(start.name, printed=len(printed), found=shared) if found else ()
        elif start.name in ranked:
            yield from _among_textures(ranked[start.name], printed, evidence)
        if own and _same_probe(evidence, start, finetuned):
            after = evidence.concepts[finetuned.name]
            fewer = holds(after.value("top_textures") < own.value("top_textures"))
            yield finetuned.name, Case(fewer, "finetuned", evidence.aside(own, after))
            yield from _textures(after)


def c_more(claim: Claim, evidence: Evidence) -> Findings:
    """Zero-shot encodes more concepts than each model that it is compared with.

    Established, either way, where the difference is significant after Holm's correction for the
    number of comparisons that decide, which share models; those aside are corrected apart. Where no
    model was probed, the smallest leads in the paper's own printed numbers are given.
    """
    compared = [*evidence.partners("finetuned"), *evidence.partners("supervised")]
    yield Scope(len(compared), "pairs", LOWER)
    gaps = {}
    for pair in compared:
        if _same_probe(evidence, *pair):
            one, other = _found(evidence, *pair)
            gaps[pair] = concept_counts.difference(one, other, evidence.counts)
    asides = {
        pair: evidence.aside(*pair, *(evidence.concepts[model.name] for model in pair))
        for pair in gaps
    }
    for decides in (True, False):
        chosen = [pair for pair in gaps if (asides[pair] is None) == decides]
        p = holm([_p_value(gaps[pair].value, gaps[pair].error) for pair in chosen])
        for pair, beyond in zip(chosen, p <= SIGNIFICANCE, strict=True):
            gap, names = gaps[pair], ", ".join(model.name for model in pair)
            more = holds(gap.value > 0) if beyond else "undecided"
            yield names, Case(more, pair[1].level, asides[pair])
            yield from numbers(names, more=Interval.around(gap.value, NORMAL_95 * gap.error))
    if gaps:
        yield from _counts(evidence)
        return
    for family in _printed(claim, evidence, "_zero_shot"):
        own, *others = (claim.values[f"{family}_{level}"] for level in ("zero_shot", *LOWER))
        yield from numbers(family, printed_lead=own - max(others))


def c_overlap(claim: Claim, evidence: Evidence) -> Findings:
    """The zero-shot model encodes most of the finetuned model's concepts, more than supervised.

    What all models encode is shared by chance and because some concepts are easy, so the zero-shot
    share must exceed one half, and the supervised model's share of the same concepts. Both are
    exact binomial tests (the second is McNemar's) that take concepts as a sample; equal shares
    establish nothing. Where no model was probed, the paper's own printed shares are given.
    """
    pairs = evidence.partners("finetuned")
    yield Scope(len(pairs))
    probed = [
        pair for pair in pairs if _same_probe(evidence, *pair) and _encoded(evidence, pair[1]).any()
    ]
    for start, finetuned in probed:
        before, after = (_encoded(evidence, m) for m in (start, finetuned))
        share = float((before & after).sum() / after.sum())
        leads = [
            _more_shared(before[after], _encoded(evidence, rival)[after])
            for one, rival in evidence.partners("supervised")
            if one == start and _same_probe(evidence, start, rival)
        ]
        both = int((before & after).sum())
        most = _more_often(both, int(after.sum()) - both)
        result = all_hold([most, *(lead for _, lead in leads)] if leads else [most, "undecided"])
        aside = evidence.aside(*(evidence.concepts[m.name] for m in (start, finetuned)))
        yield finetuned.name, Case(result, aside=aside)
        for more, _ in leads:
            yield from numbers(finetuned.name, share_more=more)
        yield from numbers(
            finetuned.name, share=share, shared=int((before & after).sum()),
            shared_by_chance=float(before.mean() * after.sum()), encoded=int(after.sum()),
        )  # fmt: skip
    if probed:
        return
    regions = printed_regions(claim)
    for family in _printed(claim, evidence, "_all"):
        of_family, whole = regions[family], concept_counts.totals(regions[family])["finetuned"]
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

    def probed(family: Family, level: Level) -> list[Model]:
        return [model for model in family.at_level(level) if model.name in evidence.concepts]

    compared = [
        (model, top, low)
        for family in evidence.families.values()
        for model in family.at_level("captions")
        if (top := probed(family, "zero_shot")) and (low := probed(family, "supervised"))
        if _same_probe(evidence, model, *top, *low)
    ]
    for model, top, low in compared:
        own, above, below = (_found(evidence, *some) for some in ([model], top, low))
        order, nearer = _nearer(own[0], above, below, evidence.counts)
        robust = not_robust(model.name, evidence)
        aside: Aside | None = "no test" if robust == "fails" else None
        known = order.above(0) == "holds"
        result = all_hold([nearer.above(0), robust]) if known else "undecided"
        yield model.name, Case(result, aside=evidence.aside(model) or aside)
        yield from numbers(
            model.name,
            zero_shot=mean(one.value(evidence.counts) for one in above),
            supervised=mean(one.value(evidence.counts) for one in below),
        )
    yield from _counts(evidence) if compared else ()


def _p_value(value: float, error: float) -> float:
    """Two-sided, normal: how likely a value at least as far from zero is by its error alone.

    One where the error is not known.
    """
    if not error > 0:
        return 0.0 if error == 0 and value else 1.0
    return erfc(abs(value) / error / sqrt(2))


def _found(evidence: Evidence, *models: Model) -> list[Found]:
    return [counts_of(evidence.concepts[model.name]) for model in models]


def _nearer(
    own: Found, above: Sequence[Found], below: Sequence[Found], quantity: concept_counts.Quantity
) -> tuple[Interval, Interval]:
    """How far the mean count of `above` exceeds that of `below`, and `own` the middle of the two.

    Of frequent concepts, as `concept_counts.difference`.
    """

    def difference(of: Callable[[Found], Any]) -> tuple[Any, Any]:
        top, low = (np.mean([of(one) for one in group], axis=0) for group in (above, below))
        return top - low, of(own) - (top + low) / 2

    values = difference(lambda one: one.frequent(quantity).value)
    halves = difference(lambda one: one.of("halves", quantity))
    order, nearer = (
        Interval.around(float(value), NORMAL_95 * apart.std(ddof=1) if len(apart) > 1 else np.nan)
        for value, apart in zip(values, halves, strict=True)
    )
    return order, nearer


def _more_shared(one: Flags, other: Flags) -> tuple[Interval, Result]:
    """How much larger a share of concepts one model encodes than another, of the same concepts.

    The interval is McNemar's: only concepts that one of the two alone encodes count. The result is
    that of the exact test.
    """
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    share, half = (first - second) / len(one), NORMAL_95 * sqrt(first + second) / len(one)
    return Interval.around(share, half), _more_often(first, second)


def _more_often(first: int, second: int) -> Result:
    """Whether one of two outcomes is the more frequent: an exact binomial test, two-sided."""
    if not first + second or scipy.stats.binomtest(first, first + second).pvalue > SIGNIFICANCE:
        return "undecided"
    return holds(first > second)


def _printed_names(claim: Claim, evidence: Evidence, model: Model) -> tuple[str, ...]:
    """The textures that the paper prints for a model's backbone; none for other backbones."""
    family = next(f for f in evidence.families.values() if model in f.models)
    return claim.names.get(family.name, ())


def _top_names(measurement: Measurement) -> list[str]:
    """The concepts of highest average precision by name, if the measurement has them."""
    return [name.removesuffix(" (texture)") for name in measurement.names.get("top_concepts", ())]


def _among_textures(m: Measurement, printed: Sequence[str], evidence: Evidence) -> Findings:
    """Whether most printed names are surely among the highest textures.

    A texture is surely among them if too few others reach its lowest average precision over draws,
    and surely not if as many as there are places exceed its highest. It fails if none of the
    printed ones can be among them. Numbers: places; how many are there on average and surely; how
    many of the head's directions set textures apart better than the most important one does.
    """
    names = m.names["along_top"]
    mean, low, high = (m.value(f"along_top{end}") for end in ("", "_lowest", "_highest"))
    rows = [names.index(name) for name in printed]
    others = ~np.eye(len(names), dtype=bool)
    among = [int((mean > mean[row]).sum()) < TOP_CONCEPTS for row in rows]
    sure = [int((high > low[row])[others[row]].sum()) < TOP_CONCEPTS for row in rows]
    out = [int((low > high[row]).sum()) >= TOP_CONCEPTS for row in rows]
    known: Result = "holds" if 2 * sum(sure) > len(printed) else "undecided"
    aside = evidence.aside(m) or "another probe"
    yield m.model, Case("fails" if all(out) else known, "zero_shot", aside)
    every = m.value("per_direction")
    yield from numbers_of(
        m, printed=len(printed), among_textures=sum(among), surely_among=sum(sure),
        places=TOP_CONCEPTS, textures_ranked=len(names), directions=len(every),
        draws=m.value("draws"),
        directions_better=(every > every[m.value("top_direction")]).sum(),
        images=m.counts["images"], among_by_chance=TOP_CONCEPTS * len(printed) / len(names),
    )  # fmt: skip


def _textures(measurement: Measurement) -> tuple[Number, ...]:
    listed, textures = measurement.value("top_concepts"), measurement.value("top_textures")
    return numbers_of(measurement, textures=textures, listed=len(listed))


def _same_probe(evidence: Evidence, *models: Model) -> bool:
    """Whether the models were probed with the very same images and concepts."""
    known = [evidence.concepts[m.name] for m in models if m.name in evidence.concepts]
    return len(known) == len(models) and all(
        one.counts["images"] == known[0].counts["images"]
        and np.array_equal(one.value("positives"), known[0].value("positives"))
        for one in known
    )


def _counts(evidence: Evidence) -> Iterator[Number]:
    """How many concepts each model encodes, and as many random directions of its features."""
    for name, measurement in evidence.concepts.items():
        found = counts_of(measurement)
        own, drawn = found.value(evidence.counts), found.chance(evidence.counts, "random").mean
        yield from numbers(name, concepts=own, concepts_of_random_directions=drawn)


def _encoded(evidence: Evidence, model: Model) -> Flags:
    """Which of the probe's concepts a model encodes."""
    found = evidence.concepts[model.name]
    threshold = found.value("threshold" if evidence.counts == "unique" else "lower_threshold")
    return np.asarray(encoded(found.value("best"), threshold))


def _printed(claim: Claim, evidence: Evidence, end: str) -> list[str]:
    """Families of which the claim states a printed number whose name ends so."""
    return [family for family in evidence.families if f"{family}{end}" in claim.values]
