"""Counts of concepts as tables and figures show them: measurements in, cells and rows out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Family, Model
from analysis.features import store
from analysis.images import emoji
from analysis.metrics import concept_counts
from analysis.metrics.average_precision import balanced_sample, project, top_concepts
from analysis.metrics.concept_counts import ConceptImages, Found, Kind, Quantity
from analysis.metrics.directions import decompose, importance
from companion.measurements import concept_probe
from companion.measurements.due import CONCEPTS, TRAINING
from companion.measurements.measures import counts_of
from companion.measurements.records import Measurement, available
from companion.publish import words
from companion.publish.dots import Row
from companion.publish.style import digits, minus


def of_family(family: Family) -> dict[str, Measurement]:
    """Title of a model → its counts, of those on the same concepts of the same images.

    Those that go with the first live measurement, or else with the first.
    """
    every = available("concepts", family, ["pocket", "broden"])
    first = next((m for m in every if m.live), every[0] if every else None)
    return {
        words.whose(m)[1].title: m
        for m in every
        if first and np.array_equal(m.value("positives"), first.value("positives"))
    }


def probe(measured: Collection[Measurement]) -> str:
    """Which images and concepts were counted (MyST)."""
    for m in measured:
        count = f"{m.counts['images']:,}"
        images = m.data.what if count in m.data.what.split() else f"{count} images ({m.data.what})"
        return (
            f"Probe: {images}, with {m.counts['concepts']:,} "
            f"concepts of at least {m.value('least_positives')} positive images each. Thresholds "
            f"on the average precision: {m.value('threshold'):g}, the paper's, and "
            f"{m.value('lower_threshold'):g}, ours."
        )
    return ""


def chosen(measured: Iterable[Measurement]) -> ConceptImages | None:
    """The images that live measurements are of, with the concepts that count; None without any."""
    live = [m for m in measured if m.live]
    if not live:
        return None
    images = concept_probe.of_data(live[0].data.name, [words.whose(m)[1] for m in live])
    return images.select(concept_counts.LEAST_POSITIVES, concept_counts.LEAST_CLUSTERS)


def quantities(measured: Collection[Measurement]) -> dict[Quantity, str]:
    """Which numbers there are, with their titles; none where nothing was measured."""
    for m in measured:
        return {
            "unique": f"AP ≥ {m.value('threshold'):g}",
            "lower": f"AP ≥ {m.value('lower_threshold'):g}",
            "best": "mean best AP",
        }
    return {}


def thresholds(measured: Collection[Measurement]) -> tuple[float, ...]:
    """The average precisions from which a concept counts as encoded, the paper's first."""
    return tuple(
        dict.fromkeys(m.value(name) for name in ("threshold", "lower_threshold") for m in measured)
    )


def mean_and_ends(values: NDArray[np.float64]) -> str:
    """The mean of some repetitions with the lowest and the highest; shares in percent."""
    if not len(values):
        return "n/a"
    scale, digits = (100, 1) if values.max() <= 1 and values.max() % 1 else (1, 0)
    low, mean, high = scale * values.min(), scale * values.mean(), scale * values.max()
    return f"{mean:.1f} ({low:.{digits}f}–{high:.{digits}f})".replace(".0 (", " (")


def beside_chance(
    found: Found, quantity: Quantity, title: str = "singular vectors"
) -> dict[str, str]:
    """A count along directions as column `title`, as many random ones, and permuted labels."""
    kinds: dict[Kind, str] = {
        "draws": title,
        "random": "random directions",
        "permuted": "permuted labels",
    }
    return {shown: mean_and_ends(found.of(kind, quantity)) for kind, shown in kinds.items()}


def frequent(found: Found, quantity: Quantity) -> str:
    """The value among frequent concepts, ± 95 % interval from halves of the images; percent."""
    if not len(found.halves):
        return "n/a"
    value, error = found.frequent(quantity)
    scale, digits = (100, 1) if quantity == "best" else (1, 0)
    return f"{scale * value:.{digits}f} ± {scale * 1.96 * error:.1f}"


def how_frequent(measured: Collection[Measurement]) -> str:
    """How many concepts are frequent, and from how many positive images on."""
    for m in measured:
        least, positives = m.value("frequent_positives"), m.value("positives")
        return f"the {(positives >= least).sum():,} concepts of at least {least} positives"
    return "frequent concepts"


def in_halves(found: Iterable[Found]) -> str:
    """How many more frequent concepts pass in halves of the images: a caution on their interval.

    Of the first of `found`, at the lower threshold; "" where nothing was halved.
    """
    for own in found:
        if len(own.halves):
            halves, whole = own.of("halves", "lower").mean(), own.frequent("lower").value
            return (
                f"In halves more of them pass by luck (by the first model, at the lower threshold, "
                f"{halves:.0f} on average and {whole:.0f} in all images), so that it is rough."
            )
    return ""


def gap(one: Found, other: Found, quantity: Quantity) -> str:
    """How much one model exceeds another among frequent concepts, ± 95 %; shares in points."""
    if len(one.halves) != len(other.halves) or not len(one.halves):
        return "n/a"
    found = concept_counts.difference(one, other, quantity)
    scale, unit = (100, " points") if quantity == "best" else (1, "")
    return minus(f"{scale * found.value:+.1f} ± {scale * 1.96 * found.error:.1f}{unit}")


def row(title: str, m: Measurement, quantity: Quantity) -> Row:
    """A model's count with the range over draws of negatives, beside what chance gives."""
    found = counts_of(m)
    chance = (found.chance(quantity, "random"), found.chance(quantity, "permuted"))
    return Row(
        title,
        m.level,
        found.value(quantity),
        *found.spread(quantity),
        chance=tuple((c.mean, c.lowest, c.highest) for c in chance),
    )


def trio(measured: Collection[Measurement]) -> dict[str, Measurement]:
    """By level a finetuned model, the zero-shot one that it started from, and a supervised one."""
    of_level = {
        level: [(words.whose(m)[1].pretraining, m) for m in measured if m.level == level]
        for level in ("finetuned", "zero_shot", "supervised")
    }
    for (start, fine), (own, zero), (_, other) in product(*of_level.values()):
        if start == own:
            return {"zero_shot": zero, "finetuned": fine, "supervised": other}
    return {}


def ranked(per_direction: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Places 1, 2, … and the counts of concepts of each direction, the highest first."""
    return np.arange(1, len(per_direction) + 1), np.sort(per_direction)[::-1]


def kinds(found: Found, images: ConceptImages, cuts: Iterable[float]) -> dict[str, str]:
    """Kind of concept → encoded at each threshold, and the mean of the best average precisions."""
    of_kind = np.array(images.kinds)
    best = concept_counts.best_of(found.ap)
    counted = [concept_counts.by_kind(found.ap, images.kinds, cut) for cut in cuts]
    return {
        f"{kind} (of {(of_kind == kind).sum()})": " / ".join(str(own[kind]) for own in counted)
        + f" ({100 * best[of_kind == kind].mean():.0f} %)"
        for kind in dict.fromkeys(images.kinds)
    }


def lookup(images: ConceptImages | None, measured: Mapping[str, Measurement]) -> pd.DataFrame:
    """One row per concept: its best average precision by each model, and along which direction.

    In the order of the first model's; empty where nothing was measured.
    """
    if images is None or not measured:
        return pd.DataFrame()
    about = {"concept": images.names, "kind": images.kinds, "images": images.positives.astype(str)}
    cells = {
        title: [
            f"{100 * ap:.0f} (v{int(v) + 1})"
            for ap, v in zip(m.value("best"), m.value("best_direction"), strict=True)
        ]
        for title, m in measured.items()
    }
    first = next(iter(measured.values()))
    return pd.DataFrame(about | cells).iloc[
        np.argsort(-np.array(first.value("best")), kind="stable")
    ]


def most_important(
    model: Model, images: ConceptImages, named: int
) -> tuple[dict[str, str], NDArray[np.intp]]:
    """A head's most important direction: the row of its best concepts, and images by their score.

    ``named``: how many concepts. The images (N,) from the highest score to the lowest, in the sign
    in which they score above zero on average.
    """
    h = concept_probe.features(model, images)
    parts = decompose(concept_probe.head(model, images.data).weight)
    weights = importance(training_features(model, h), parts)
    settings = concept_counts.settings_for(images)
    drawn = balanced_sample(images.labels, settings.seed)
    top, ap = concept_counts.along_most_important(h, parts, drawn, settings, weights)
    scores = project(h, parts.directions[[top]], normalise=False)[:, 0]
    best = top_concepts(ap[None], 0, named)
    told = (f"{images.names[c]} ({images.kinds[c]}, {100 * ap[c]:.0f})" for c in best)
    row = {
        "model": model.title,
        "direction": f"v{top + 1}",
        "importance (× mean)": digits(weights[top] / weights.mean()),
        "concepts of the highest AP (%)": ", ".join(told),
    }
    return row, np.argsort(-scores * np.sign(scores.mean()), kind="stable")


def training_features(model: Model, otherwise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of images of the model's training distribution, if the store has them."""
    for data in (TRAINING, "imagenet"):
        path = store.features_path(model.name, data)
        if not store.problem(path, model):
            return store.read_features(path, model).features
    return otherwise


def emoji_of(images: ConceptImages | None) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Pictures (N, height, width, 3) and names (N,) of the pocket lab's probe, in its order.

    Of any other probe there are none.
    """
    if images is None or images.data != CONCEPTS["pocket"]:
        return np.empty(0, np.uint8), np.empty(0, np.str_)
    every = emoji.load()
    test = np.flatnonzero(every.table["split"] == "test")
    return every.images[test], every.table["name"].to_numpy()[test]
