"""Counts of concepts as tidy tables, and the concepts along single directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Family, Model
from analysis.features import store
from analysis.metrics import concept_counts
from analysis.metrics.average_precision import (
    balanced_sample,
    project,
    random_directions,
    top_concepts,
)
from analysis.metrics.concept_counts import (
    ConceptImages,
    CountName,
    Found,
    Kind,
    shared,
    totals,
)
from analysis.metrics.directions import decompose, importance
from companion.chapters.measured import model_of
from companion.engine.style import digits, minus
from companion.measurements import concept_probe
from companion.measurements.kept_counts import counts_of
from companion.measurements.measurement import Measurement
from companion.measurements.pending import CONCEPTS
from companion.measurements.records import TRAINING, available
from companion.sources import emoji

#: By what a quantity is multiplied to be shown: counts stay, a precision is in percent.
SCALE: dict[CountName, int] = {"unique": 1, "lower": 1, "best": 100}
#: What is counted, and by what it could come about without a meaning.
KINDS: dict[Kind, str] = {
    "draws": "encoded",
    "random": "random directions",
    "permuted": "permuted labels",
}


def of_family(family: Family) -> dict[str, Measurement]:
    """Title of a model → its counts, for models with the same concepts and images.

    These are the concepts and images of the first live measurement, or else of the first.
    """
    every = available("concepts", family, ["pocket", "broden"])
    first = next((m for m in every if m.live), every[0] if every else None)
    return {
        model_of(m).title: m
        for m in every
        if first and np.array_equal(m.value("positives"), first.value("positives"))
    }


def probe_images(measured: Iterable[Measurement]) -> str:
    """Which images and concepts were counted (MyST)."""
    for m in measured:
        count = f"{m.counts['images']:,}"
        images = m.data.what if count in m.data.what.split() else f"{count} images ({m.data.what})"
        concepts, least = f"{m.counts['concepts']:,} concepts", m.value("least_positives")
        return f"Probe: {images}, with {concepts} of at least {least} positive images each."
    return ""


def quantities(measured: Iterable[Measurement]) -> dict[CountName, str]:
    """The numbers that were counted, with their titles; none where nothing was measured."""
    for m in measured:
        cuts = (f"AP ≥ {m.value(name):g}" for name in ("threshold", "lower_threshold"))
        return dict(zip(concept_counts.QUANTITIES, (*cuts, "mean best AP"), strict=True))
    return {}


def counted(measured: Mapping[str, Measurement], basis: str = "") -> pd.DataFrame:
    """A row for each model and quantity, with the counts of each kind of `KINDS` as a list.

    ``frequent``: the count among frequent concepts, and ``half`` of its 95 % interval, known of
    singular vectors where images were halved. ``basis``: as in `counts_of`.
    """
    rows = []
    for title, m in measured.items():
        counts = counts_of(m, basis)
        for quantity, named in quantities([m]).items():
            of_kinds = [SCALE[quantity] * counts.of(kind, quantity) for kind in KINDS]
            frequent, error = SCALE[quantity] * np.array(counts.frequent(quantity))
            known = np.isfinite(error) and not basis
            ends = (frequent, 1.96 * error) if known else (None, None)
            rows.append((title, m.level, named, *of_kinds, *ends))
    return pd.DataFrame(rows, columns=["of", "level", "counted", *KINDS, "frequent", "half"])


def against_chance(measured: Mapping[str, Measurement], quantity: CountName) -> pd.DataFrame:
    """Each model's count with its range and that of chance, a panel for each kind of chance."""
    rows = counted(measured)
    rows = rows[rows["counted"] == quantities(measured.values()).get(quantity)]
    draws = rows["draws"]
    rows = rows.assign(concepts=draws.map(np.mean), low=draws.map(np.min), high=draws.map(np.max))
    panels = [
        rows.assign(panel=KINDS[kind], chance=rows[kind].map(np.mean))
        for kind in ("permuted", "random")
    ]
    columns = ["of", "level", "counted", "concepts", "low", "high", "panel", "chance"]
    return pd.concat(panels)[columns]


def excess(measured: Mapping[str, Measurement]) -> pd.DataFrame:
    """How far the first model's count exceeds each other's, among frequent concepts, ± 95 %."""
    rows, (first, *others) = [], [*measured] or [""]
    for other in others:
        of_first, of_other = (counts_of(measured[title]) for title in (first, other))
        row = {"models": f"{first} minus {other}"}
        for quantity, named in quantities(measured.values()).items():
            if len(of_first.halves) == len(of_other.halves) > 0:
                value, error = concept_counts.difference(of_first, of_other, quantity)
                scale = SCALE[quantity]
                row[named] = minus(f"{scale * value:+.1f} ± {scale * 1.96 * error:.1f}")
        rows.append(row)
    return pd.DataFrame(rows).dropna(axis="columns")


def trio(measured: Iterable[Measurement]) -> dict[str, Measurement]:
    """A finetuned model, its zero-shot start, and a supervised model, by level."""
    models = list(measured)
    needed = ("zero_shot", "finetuned", "supervised")
    for three in product(*([m for m in models if m.level == level] for level in needed)):
        if len({model_of(m).pretraining for m in three[:2]}) == 1:
            return dict(zip(needed, three, strict=True))
    return {}


# What lies along directions, of models whose features are here


def chosen(measured: Iterable[Measurement]) -> ConceptImages | None:
    """Read the images on which live measurements were taken, None if no measurement is live.

    Of their concepts are kept those that occur often enough to count.
    """
    if not (live := [m for m in measured if m.live]):
        return None
    images = concept_probe.of_data(live[0].data.name, [model_of(m) for m in live])
    return images.select(concept_counts.LEAST_POSITIVES, concept_counts.LEAST_CLUSTERS)


def kinds(counts: Found, images: ConceptImages, cuts: Iterable[float]) -> dict[str, str]:
    """Kind of concept → encoded at each threshold, and the mean of the best average precisions."""
    best = pd.Series(concept_counts.best_of(counts.ap)).groupby(np.array(images.kinds))
    cut = [concept_counts.by_kind(counts.ap, images.kinds, at) for at in cuts]
    return {
        f"{kind} (of {best.size()[kind]})": " / ".join(str(of_kind[kind]) for of_kind in cut)
        + f" ({100 * best.mean()[kind]:.0f} %)"
        for kind in dict.fromkeys(images.kinds)
    }


def lookup(images: ConceptImages | None, measured: Mapping[str, Measurement]) -> pd.DataFrame:
    """One row per concept: its best average precision by each model, and along which direction.

    In the order of the first model's; empty where nothing was measured.
    """
    if images is None or not measured:
        return pd.DataFrame()
    table = {"concept": images.names, "kind": images.kinds, "images": images.positives.astype(str)}
    for title, m in measured.items():
        pairs = zip(m.value("best"), m.value("best_direction"), strict=True)
        table[title] = [f"{100 * ap:.0f} (v{int(v) + 1})" for ap, v in pairs]
    first = np.array(next(iter(measured.values())).value("best"))
    return pd.DataFrame(table).iloc[np.argsort(-first, kind="stable")]


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
    drawn = balanced_sample(images.labels, (settings := concept_counts.settings_for(images)).seed)
    top, ap = concept_counts.along_most_important(h, parts, drawn, settings, weights)
    scores = project(h, parts.directions[[top]], normalise=False)[:, 0]
    best = top_concepts(ap[None], 0, named)
    concepts = (f"{images.names[c]} ({images.kinds[c]}, {100 * ap[c]:.0f})" for c in best)
    row = {"model": model.title, "direction": f"v{top + 1}"}
    row["importance (× mean)"] = digits(weights[top] / weights.mean())
    row["concepts of the highest AP (%)"] = ", ".join(concepts)
    return row, np.argsort(-scores * np.sign(scores.mean()), kind="stable")


def top_images(
    model: Model, images: ConceptImages, count: int
) -> tuple[str, dict[str, NDArray[np.intp]]]:
    """The concept that the head's directions rank best, and the first images of two directions.

    These are the best of the head's directions for it and the best of the same number of random
    ones, each with its average precision as title → rows of ``count`` images.
    """
    h = concept_probe.features(model, images)
    heads = decompose(concept_probe.head(model, images.data).weight).directions
    directions = {"head's": heads, "random": random_directions(len(heads), heads.shape[1], 0)}
    drawn, settings = balanced_sample(images.labels, 0), concept_counts.Settings()
    scores = {name: project(h, v, normalise=False) for name, v in directions.items()}
    ap = {n: concept_counts.average_precision(s, drawn, settings) for n, s in scores.items()}
    concept = int(ap["head's"].max(axis=0).argmax())
    rows = {}
    for name in directions:
        best = ap[name][:, concept].argmax()
        first = np.argsort(-scores[name][:, best], kind="stable")[:count]
        hits = int(images.labels[first][:, [concept]].sum())
        title = f"{name} direction,\nAP {ap[name][best, concept]:.2f},\n{hits} of {count} show it"
        rows[title] = first
    return images.names[concept], rows


def training_features(model: Model, otherwise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of images of the model's training distribution, if the store has them."""
    for data in (TRAINING, "imagenet"):
        path = store.features_path(model.name, data)
        if not store.problem(path, model):
            return store.read_features(path, model).features
    return otherwise


def emoji_of(images: ConceptImages | None) -> tuple[NDArray[np.uint8], Sequence[str]]:
    """Pictures (N, height, width, 3) and names (N,) of the pocket lab's probe, in its order.

    Of any other probe there are none.
    """
    if images is None or images.data != CONCEPTS["pocket"]:
        return np.empty(0, np.uint8), []
    every = emoji.load()
    test = np.flatnonzero(every.table["split"] == "test")
    return every.images[test], every.table["name"].to_numpy()[test].tolist()


def share_of(of_regions: Mapping[str, int], level: str, other: str) -> float:
    """The share of one level's concepts that another encodes too; NaN if it has none."""
    whole = totals(of_regions)[level]
    return shared(of_regions, level, other) / whole if whole else float("nan")
