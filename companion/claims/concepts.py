"""Rules for the claims on concepts: how many, which they share, what a privileged one encodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from analysis.families.registry import Model
from analysis.metrics import concept_counts
from analysis.metrics.average_precision import encoded
from analysis.metrics.concept_counts import Found
from analysis.metrics.robustness import NORMAL_95
from companion.claims.deciding import (
    FALSE,
    TRUE,
    Look,
    PValues,
    above,
    balance,
    decided,
    every,
)
from companion.claims.evidence import Evidence, numbers_of
from companion.claims.ledger import Aside, Claim, Findings, Number, Rules, Scope, numbers
from companion.claims.outliers import LOWER, known_robust, not_robust
from companion.measurements.intervals import Interval, student_95
from companion.measurements.kept_counts import counts_of
from companion.measurements.measurement import Measurement
from companion.measurements.measures import TOP_CONCEPTS

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def d_texture(claim: Claim, evidence: Evidence) -> Findings:
    """The printed textures are among the concepts of the most important direction; later fewer.

    Judged on the backbones for which the paper prints textures. Most of the names printed for a
    zero-shot model must be among the concepts of highest average precision; if none is, nor any
    other texture, it differs. A finetuned model must have fewer textures among them than the
    zero-shot one, by Fisher's exact test, which takes the concepts as independent. Where only
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
    looks = []
    for start, finetuned in pairs:
        before, printed = evidence.concepts.get(start.name), names_of[start.name]
        if before:
            top = [n.removesuffix(" (texture)") for n in before.names.get("top_concepts", ())]
            shared = len({*top} & {*printed})
            named = TRUE if 2 * shared > len(printed) else PValues()
            if top and not shared and not before.value("top_textures"):
                named = FALSE
            looks.append(Look(start.name, named, evidence.aside(before)))
            yield from _textures(before)
            yield from numbers(start.name, printed=len(printed), found=shared) if top else ()
        elif start.name in ranked and {*printed} <= {*ranked[start.name].names["along_top"]}:
            tested = _surely_among(ranked[start.name], printed)
            aside = evidence.aside(ranked[start.name]) or "another probe"
            looks.append(Look(start.name, tested, aside))
            yield from _among_textures(ranked[start.name], printed)
        if both := _probed(evidence, start, finetuned):
            looks.append(Look(finetuned.name, _fewer_textures(*both), evidence.aside(*both)))
            yield from _textures(both[1])
    yield from decided(looks).items()


def c_more(claim: Claim, evidence: Evidence) -> Findings:
    """Zero-shot encodes more concepts than each model that it is compared with.

    Established, either way, where the difference is beyond its error from halves of the images.
    Where no model was probed, the smallest leads in the paper's own printed numbers are given.
    """
    compared = [pair for level in LOWER for pair in evidence.pairs("zero_shot", level)]
    yield Scope(len(compared), "pairs")
    looks, counts = [], {name: counts_of(m) for name, m in evidence.concepts.items()}
    for pair in compared:
        if both := _probed(evidence, *pair):
            first, other = (counts[model.name] for model in pair)
            names = ", ".join(model.name for model in pair)
            gap = concept_counts.difference(first, other, evidence.counts)
            freedom = len(first.halves) - 1
            more = _around(gap.value, gap.error, freedom)
            looks.append(Look(names, above(more, 0, freedom), evidence.aside(*both)))
            yield from numbers(names, more=more)
    yield from decided(looks).items()
    if looks:
        yield from _counts(counts, evidence)
        return
    for family in (f for f in evidence.families if f"{f}_zero_shot" in claim.values):
        top, *others = (claim.values[f"{family}_{level}"] for level in ("zero_shot", *LOWER))
        yield from numbers(family, printed_lead=top - max(others))


def c_overlap(claim: Claim, evidence: Evidence) -> Findings:
    """The zero-shot model encodes most of the finetuned model's concepts, more than supervised.

    What all models encode is shared by chance and because some concepts are easy, so the zero-shot
    share must exceed one half, and the supervised model's share of the same concepts. Both are
    exact tests that take groups of concepts, which mark the same images, as a sample
    (`deciding.balance`); equal shares establish nothing. Without known groups nothing is decided.
    Where no model was probed, the paper's own printed shares are given.
    """
    pairs = evidence.pairs("zero_shot", "finetuned")
    yield Scope(len(pairs))
    looks = []
    for start, finetuned in pairs:
        measured = _probed(evidence, start, finetuned)
        flags = [_encoded(m, evidence) for m in measured]
        if not measured or not flags[1].any():
            continue
        before, after = flags
        both, encoded_after = int((before & after).sum()), int(after.sum())
        rivals = [
            _encoded(m, evidence)[after]
            for higher, rival in evidence.pairs("zero_shot", "supervised")
            for m in (_probed(evidence, start, rival)[1:] if higher == start else ())
        ]
        group = _groups(measured[1])
        shared = before[after].astype(float)
        sizes = [_by_group(shared - each, group, after) for each in (0.5, *rivals)]
        tests = [balance(size) if group is not None else PValues() for size in sizes]
        tested = every(tests if rivals else [*tests, PValues()])
        looks.append(Look(finetuned.name, tested, evidence.aside(*measured)))
        for size in sizes[1:]:  # only concepts that one of the two alone encodes count
            half = NORMAL_95 * float(np.hypot.reduce(size, initial=0.0)) / encoded_after
            more = Interval.around(float(size.sum()) / encoded_after, half)
            yield from numbers(finetuned.name, share_more=more)
        yield from numbers(
            finetuned.name,
            share=both / encoded_after,
            shared=both,
            shared_by_chance=before.mean() * encoded_after,
            encoded=encoded_after,
        )
    yield from decided(looks).items()
    if looks:
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
    looks = []
    for family in evidence.families.values():
        upper, lower = (
            [model for model in family.at_level(level) if model.name in evidence.concepts]
            for level in ("zero_shot", "supervised")
        )
        for model in family.at_level("captions"):
            measured = [counts_of(m) for m in _probed(evidence, model, *upper, *lower)]
            if not (upper and lower and measured):
                continue
            others = measured[1:]
            groups = measured[:1], others[: len(upper)], others[len(upper) :]
            freedom = len(measured[0].halves) - 1
            order, nearer = _nearer(groups, evidence.counts)
            tests = [above(nearer, 0, freedom), not_robust(model.name, evidence)]
            stand_in = evidence.aside(evidence.concepts[model.name])
            aside: Aside | None = "no test" if known_robust(model.name, evidence) else None
            tested = every(tests) if order.low > 0 else PValues()
            looks.append(Look(model.name, tested, stand_in or aside))
            zero_shot, supervised = (mean(f.value(evidence.counts) for f in g) for g in groups[1:])
            yield from numbers(model.name, zero_shot=zero_shot, supervised=supervised)
    yield from decided(looks).items()
    counts = {name: counts_of(m) for name, m in evidence.concepts.items()} if looks else {}
    yield from _counts(counts, evidence)


def _around(value: float, error: float, freedom: int) -> Interval:
    """The 95 % interval of a value whose standard error comes from so many halves, less one."""
    return Interval.around(value, (student_95(freedom) if freedom > 0 else np.nan) * error)


def _fewer_textures(before: Measurement, after: Measurement) -> PValues:
    """Whether fewer concepts listed for a second model are textures (Fisher's exact test)."""
    lists = [
        (m.value("top_textures"), len(m.value("top_concepts")) - m.value("top_textures"))
        for m in (before, after)
    ]
    sides: tuple[Any, ...] = ("greater", "less")
    return PValues(*(float(scipy.stats.fisher_exact(lists, side).pvalue) for side in sides))


def _groups(m: Measurement) -> NDArray[np.intp] | None:
    """The group of each concept, None for files that do not say it."""
    return m.value("groups") if "groups" in m.values else None


def _by_group(
    amounts: NDArray[Any], group: NDArray[np.intp] | None, of: Flags
) -> NDArray[np.float64]:
    """Sums of amounts of some concepts (``of``) over the groups that they are in."""
    own = np.arange(len(amounts)) if group is None else group[of]
    return np.asarray(np.bincount(own, weights=amounts), np.float64)


def _probed(evidence: Evidence, *models: Model) -> list[Measurement]:
    """Measurements of models that were probed with the very same images and concepts, or none."""
    found = [evidence.concepts[model.name] for model in models if model.name in evidence.concepts]
    probes = [(m.counts["images"], m.value("positives").tobytes()) for m in found]
    alike = len(found) == len(models) and all(probe == probes[0] for probe in probes)
    return found if alike else []


def _nearer(
    groups: Sequence[Sequence[Found]], quantity: concept_counts.CountName
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
        _around(float(value), apart.std(ddof=1) if len(apart) > 1 else np.nan, len(apart) - 1)
        for value, apart in zip(values, halves, strict=True)
    )
    return order, nearer


def _surely_among(m: Measurement, printed: Sequence[str]) -> PValues:
    """Whether most printed names are surely among the highest textures.

    A texture is surely among them if too few others reach its lowest average precision over draws,
    and surely not if as many as there are places exceed its highest. It fails if none of the
    printed ones can be among them.
    """
    low, high = (m.value(f"along_top{end}") for end in ("_lowest", "_highest"))
    rows = [m.names["along_top"].index(name) for name in printed]
    if all((low > high[row]).sum() >= TOP_CONCEPTS for row in rows):
        return FALSE
    return TRUE if 2 * _sure(low, high, rows) > len(printed) else PValues()


def _sure(low: Floats, high: Floats, rows: Sequence[int]) -> int:
    # of those that reach its lowest it is one itself
    return sum((high > low[row]).sum() - (high[row] > low[row]) < TOP_CONCEPTS for row in rows)


def _among_textures(m: Measurement, printed: Sequence[str]) -> Findings:
    """Numbers of a ranking of textures among themselves.

    Places; how many printed names are there on average and surely; how many of the head's
    directions set textures apart better than the most important one does.
    """
    names, per_direction = m.names["along_top"], m.value("per_direction")
    mean, low, high = (m.value(f"along_top{end}") for end in ("", "_lowest", "_highest"))
    rows = [names.index(name) for name in printed]
    yield from numbers_of(
        m,
        printed=len(printed),
        among_textures=sum((mean > mean[row]).sum() < TOP_CONCEPTS for row in rows),
        surely_among=_sure(low, high, rows),
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


def _counts(counts: Mapping[str, Found], evidence: Evidence) -> Iterator[Number]:
    """How many concepts each model encodes, and the same number of random directions."""
    for name, found in counts.items():
        drawn = found.chance(evidence.counts, "random")
        concepts = found.value(evidence.counts)
        yield from numbers(name, concepts=concepts, concepts_of_random_directions=drawn)


def _encoded(m: Measurement, evidence: Evidence) -> Flags:
    """Which of the probe's concepts a model encodes."""
    threshold = m.value("threshold" if evidence.counts == "unique" else "lower_threshold")
    return np.asarray(encoded(m.value("best"), threshold))


RULES: Rules = {
    "D-texture": d_texture,
    "C-more": c_more,
    "C-overlap": c_overlap,
    "C-not-indicator": c_not_indicator,
}
