"""What each experiment of section 3 measures: arrays in, a mapping of numbers and arrays out.

Pure functions, no files. `data/quantities.yaml` says, per experiment, which quantities there are
and in which unit; `kept_counts` reads the larger ones back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import average_precision, concept_counts, directions, outliers
from analysis.metrics import pruning as sweeping
from analysis.metrics.average_precision import BalancedSample
from analysis.metrics.concept_counts import (
    LEAST_CLUSTERS,
    LEAST_POSITIVES,
    ConceptImages,
    Found,
    Settings,
)
from analysis.metrics.pruning import (
    Curves,
    Images,
    Order,
    accuracy_without_each,
    paired_difference,
    pruning_order,
    right_at_every_step,
)
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    bootstrap_baselines,
    fit_baseline,
)
from analysis.metrics.sampling import distinct_images, groups, scenes
from companion.measurements.quantities import ORDERS

Array = NDArray[np.float64]
Quantities = dict[str, Any]

#: Images and coordinates of the sample that is kept of standardised features.
SAMPLE_IMAGES, SAMPLE_COORDINATES = 40, 24
#: Of a picture, from where on it shows a concept by a stricter reading of Broden.
LEAST_SHARE = 0.01
#: Concepts that are named of the most important direction.
TOP_CONCEPTS = 5
#: How many random orders pruning is repeated with; the seeds are 0, 1, 2, …
RANDOM_ORDERS = 20
#: The same on ImageNet and its shifts, where each takes minutes.
RANDOM_ORDERS_ON_IMAGENET = 3
#: Shares of the directions that are kept there.
SHARES = tuple(step / 40 for step in range(1, 41))
#: Bootstrap resamples of units and baselines, and their seed.
RESAMPLES, SEED = 2000, 0


def outlier_features(features: ArrayLike) -> Quantities:
    """Outlier features of images: (N, d) → kurtosis, activation profile, persistence, a sample.

    `outliers.OutlierFeatures` explains the quantities, and the function `sample` the sample. The
    standard error takes all images as independent; of `distinct_images` are copies no part, of
    `scenes` nearly equal pictures (see `Measurement.of_images`).
    """
    result = outliers.outlier_features(features)
    coordinate, fraction = result.persistence
    sampled, values = sample(features, result.profile)
    return {
        "kurtosis_mean": result.kurtosis_mean,
        "kurtosis_standard_error": result.kurtosis_standard_error,
        "distinct_images": distinct_images(features),
        "scenes": scenes(features),
        "kurtosis_percentiles": result.kurtosis_percentiles,
        "profile": result.profile,
        "outlier_threshold": outliers.OUTLIER_THRESHOLD,
        "outlier_coordinates": result.coordinates(),
        "persistence_coordinate": coordinate,
        "persistence_fraction": fraction,
        "leaders": result.leaders,
        "zero_share": result.zero_share,
        "negative_share": result.negative_share,
        "sample_coordinates": sampled,
        "sample": values,
    }


def sample(features: ArrayLike, profile: Array) -> tuple[NDArray[np.intp], Array]:
    """Some coordinates (k,), and z of the first images there (images, k), of features (N, d).

    Half of the coordinates are those of the highest profile, the others evenly spread over the
    rest, in rank order.
    """
    order = np.argsort(-profile, kind="stable")
    half = min(SAMPLE_COORDINATES, len(order)) // 2
    others = np.linspace(half, len(order) - 1, half).round().astype(int)
    sampled: NDArray[np.intp] = order[np.unique(np.concatenate([np.arange(half), others]))]
    first = np.array(outliers.checked_features(features)[:SAMPLE_IMAGES], dtype=np.float64)
    return sampled, outliers.standardised(first)[:, sampled]


def privileged_directions(features: ArrayLike, head: ArrayLike) -> Quantities:
    """Importance of a head's directions for images: (N, d), (classes, d).

    Lists follow the singular values, except `importance_head_centred`: the importances of the head
    less its mean row, which predicts the same classes, sorted, and `importance_centred`, the same
    with the mean image subtracted too, whose `…_error` is the standard error of the largest. The
    *top* direction is the most important one. `control_…`: the largest importance with one thing
    changed, see `directions.Controls`. `top_with_mean`, `top_with_gap`: |cos| with the mean of the
    images and with the gap between the images' and the head rows' means, all taken at length 1.
    `top_cosine_deviation`: standard deviation over images of cos(v, h).
    """
    parts = directions.decompose(head)
    importance = directions.importance(features, parts)
    top = int(importance.argmax())
    v = parts.directions[top]
    rows = np.asarray(head, dtype=np.float64)
    centred = directions.importance(features, directions.decompose(head, less_mean=True))
    both = directions.centred_importance(features, head)
    controls = directions.controls(features, head)._asdict()
    mean = _unit_mean(features)
    cosines = np.concatenate([h @ v for h in directions.unit_blocks(features, len(v))])
    return {
        "singular_value_share": parts.shares,
        "importance": importance / importance.mean(),
        "importance_head_centred": np.sort(centred)[::-1] / centred.mean(),
        "importance_centred": both.importance,
        "importance_centred_error": both.error,
        "distinct_images": distinct_images(features),
        **{f"control_{name}": largest for name, largest in controls.items()},
        "cosine_with_images": directions.mean_absolute_cosine(features, parts.directions),
        "privileged_threshold": directions.PRIVILEGED_THRESHOLD,
        "privileged_directions": directions.privileged(importance),
        "top_direction": top,
        "top_components": v,
        "top_with_head_mean": _absolute_cosine(v, rows.mean(axis=0)),
        "top_cosine_deviation": cosines.std(),
        "top_with_mean": _absolute_cosine(v, mean),
        "top_with_gap": _absolute_cosine(v, mean - _unit_mean(rows)),
    }


def pruning(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike,
    class_subset: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Quantities:
    """Accuracy with 1, 2, … directions kept, in four orders, and without each direction.

    `accuracy_random`, `_lowest`, `_highest`: mean and range over `RANDOM_ORDERS` random orders.
    `difference_importance`: accuracy in the order of importance less that of the whole head on the
    same images, and its standard error.
    """
    parts = directions.decompose(head)
    importance = directions.importance(features, parts)

    def right(kind: Order, seed: int = 0) -> NDArray[np.bool_]:
        order = pruning_order(importance, kind, seed)
        return right_at_every_step(features, labels, parts, order, class_subset, bias)

    best = right("importance")
    # The last step keeps every direction: the whole head.
    difference, error = paired_difference(best, best[-1])
    random = np.array([right("random", seed).mean(axis=1) for seed in range(RANDOM_ORDERS)])
    return {
        "accuracy_importance": best.mean(axis=1),
        "accuracy_singular_value": right("singular_value").mean(axis=1),
        "accuracy_reversed": right("reversed").mean(axis=1),
        "accuracy_random": random.mean(axis=0),
        "accuracy_random_lowest": random.min(axis=0),
        "accuracy_random_highest": random.max(axis=0),
        "random_orders": RANDOM_ORDERS,
        "difference_importance": difference,
        "difference_importance_error": error,
        "distinct_images": distinct_images(features),
        "accuracy_without_each": accuracy_without_each(features, labels, parts, class_subset, bias),
    }


def pruning_under_shift(
    sets: Sequence[Images],
    head: ArrayLike,
    bias: ArrayLike | None = None,
    pool: tuple[ArrayLike, ArrayLike] | None = None,
) -> Quantities:
    """Accuracy and effective robustness with the head (classes, d) pruned, in four orders.

    The first data set is the training distribution, on which directions are ordered; the others
    are its shifts. ``pool``: accuracies on both of the models that the baseline is fitted to, one
    each: units and pool are resampled, `RESAMPLES` times. Without it the baseline is the paper's
    printed line, held fixed, and the intervals are those of finite test sets; some `SHARES` of the
    directions are kept. Where there is no interval its ends are −1 and 1.
    """
    parts = directions.decompose(head)
    steps, refits = np.arange(1, parts.rank + 1), []
    if pool is None:
        baseline, random_orders = PAPER_BASELINE, RANDOM_ORDERS_ON_IMAGENET
        steps = np.unique([max(1, round(share * parts.rank)) for share in SHARES]).astype(np.intp)
    else:
        baseline, random_orders = fit_baseline(*pool), RANDOM_ORDERS
        refits = bootstrap_baselines(*pool, RESAMPLES, SEED + 1)

    def judge(flags: Sequence[sweeping.Flags]) -> sweeping.Sweep:
        if pool is None:
            return sweeping.sampled(flags, baseline, steps)
        units = [images.units for images in sets if images.units is not None]
        return sweeping.resampled(flags, units, baseline, refits, SEED)

    sweeps = sweeping.sweeps(sets, parts, bias, ORDERS, baseline, judge, random_orders, steps)
    tables: Quantities = {"kept": steps, "random_orders": random_orders}
    for part, (order, sweep) in product(Curves._fields, sweeps.items()):
        tables[f"{part}_{order}"] = _table(part, sweep.curves, sweep.low, sweep.high)
        if sweep.change is not None:
            change = (sweep.change, sweep.change_low, sweep.change_high)
            tables[f"{part}_change_{order}"] = _table(part, *change)
    return tables


def concepts(
    features: ArrayLike, head: ArrayLike, probe: ConceptImages, annotated: bool = False
) -> Quantities:
    """Concepts along a head's right singular vectors: (N, d), (classes, d), a probe of N images.

    Concepts with fewer than `LEAST_POSITIVES` positive images, or `LEAST_CLUSTERS` clusters, are
    left out before any count; without the condition on clusters `concepts_of_few_clusters` more
    would remain. `positives` and `groups` are lists over the concepts that remain. `unique_…`,
    `lower_…`: how many concepts some direction encodes at the threshold and at the lower one;
    `best_…`: the mean over concepts of the best average precision. Each is a list: over draws of
    negatives (`draws`), sets of the same number of random directions, permutations of the labels,
    and random halves of the images, in which only concepts of at least `frequent_positives` are
    looked for: their standard deviation estimates the standard error of the count of these (see
    `concept_counts.draw`). `coordinates_…`: the same along coordinates instead of singular vectors.
    The other quantities are explained by the functions below. ``annotated``: negatives from images
    in which somebody looked for the concept.
    """
    chosen = probe.select(LEAST_POSITIVES, LEAST_CLUSTERS)
    settings = concept_counts.settings_for(chosen, annotated=annotated)
    parts = directions.decompose(head)
    axes = np.eye(parts.directions.shape[1])
    drawn = concept_counts.draw(chosen, settings)
    sample, bases = drawn.own[0], (parts.directions, axes)
    counts = concept_counts.count(features, parts.directions, drawn, settings)
    along_axes = concept_counts.count(features, axes, replace(drawn, halves=()), settings)
    return {
        **_lists(counts),
        **_lists(along_axes, "coordinates_"),
        **_along_most_important(features, parts, sample, settings, chosen.kinds),
        "threshold": settings.threshold,
        "lower_threshold": settings.lower,
        "least_positives": LEAST_POSITIVES,
        "frequent_positives": settings.frequent,
        "directions": counts.directions,
        "draws": settings.draws,
        "chance_sets": settings.chance,
        "positives": chosen.positives,
        "groups": groups(chosen.labels),
        **_of_each(counts, settings),
        "coordinates_best": np.nan_to_num(along_axes.ap).max(axis=0),
        "other_choices": _other_choices(features, bases, probe, sample, settings),
        "concepts_of_few_clusters": len(probe.select(LEAST_POSITIVES).names) - len(chosen.names),
    }


def _of_each(counts: Found, settings: Settings) -> Quantities:
    """The results for each concept and each direction.

    `best`: a concept's average precision along its `best_direction`, first draw of negatives;
    `per_direction` and `per_direction_lower`: how many concepts a direction encodes at both
    thresholds.
    """
    ap = np.nan_to_num(counts.ap)
    at, lower = (average_precision.encoded(ap, t) for t in settings.thresholds)
    return {
        "best": ap.max(axis=0),
        "best_direction": ap.argmax(axis=0),
        "per_direction": average_precision.polysemanticity(at),
        "per_direction_lower": average_precision.polysemanticity(lower),
    }


def _lists(counts: Found, basis: str = "") -> Quantities:
    """Repeated counts, by the names that `concepts` gives."""
    return {
        f"{basis}{quantity}_{kind}": values[:, column]
        for kind in ("draws", "random", "permuted", "halves")
        if len(values := getattr(counts, kind))
        for column, quantity in enumerate(concept_counts.QUANTITIES)
    }


def _along_most_important(
    features: ArrayLike,
    parts: directions.Decomposition,
    sample: BalancedSample,
    settings: Settings,
    kinds: Sequence[str],
) -> Quantities:
    """Concepts along the most important direction for these images, `top_direction`.

    It points to where the images lie on average. `top_concepts`: those of highest average
    precision, the best first, as places in `positives`; `top_textures`: how many are textures.
    """
    top, along = concept_counts.along_most_important(features, parts, sample, settings)
    best = average_precision.top_concepts(along[None], 0, TOP_CONCEPTS)
    return {
        "top_direction": top,
        "top_concepts": best,
        "top_average_precision": along[best],
        "top_textures": [kinds[c] for c in best].count("texture"),
    }


def accuracy(right: ArrayLike, labels: ArrayLike, classes: int) -> Quantities:
    """Top-1 accuracy from what was classified right: flags (N,), labels (N,) from 0 to classes − 1.

    `top1`: the fraction of all images that is right, not balanced over classes, with the binomial
    standard error of an independent sample, sqrt(a(1 − a) / N), as in `robustness.sampling_error`.
    `right_per_class` and `images_per_class` follow the data set's order of classes, so that a
    class-balanced accuracy can be computed from them.
    """
    flags, numbers = np.asarray(right, dtype=bool), np.asarray(labels)
    top1 = float(flags.mean())
    return {
        "top1": top1,
        "top1_standard_error": float(np.sqrt(top1 * (1 - top1) / len(flags))),
        "right_per_class": np.bincount(numbers[flags], minlength=classes),
        "images_per_class": np.bincount(numbers, minlength=classes),
    }


def _table(part: str, *rows: Curves | None) -> Array:
    """One curve's value and the ends of its interval: (3, steps)."""
    value, low, high = (getattr(row, part) for row in rows)
    return np.array([value, np.nan_to_num(low, nan=-1), np.nan_to_num(high, nan=1)])


def _other_choices(
    features: ArrayLike,
    bases: Sequence[Array],
    probe: ConceptImages,
    sample: BalancedSample,
    settings: Settings,
) -> list[list[int]]:
    """Unique concepts at both thresholds (columns), first draw; in each row one choice is changed.

    None; a direction or its opposite; features at length 1; the three along the other of both
    bases; without the condition on clusters; and, where it is known in which images somebody looked
    for a concept, negatives from these, and positives from `LEAST_SHARE` of the picture on, of
    concepts that then have enough of them.
    """
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"both_signs": True},
        {"normalise": True},
    )
    choices = [(vectors, replace(settings, **c), sample) for vectors in bases for c in changes]
    samples = [probe.select(LEAST_POSITIVES).sample(settings.seed, settings.annotated)]
    if probe.shares is not None:
        chosen = probe.select(LEAST_POSITIVES, LEAST_CLUSTERS)
        strict = probe.at_least(LEAST_SHARE).select(LEAST_POSITIVES, LEAST_CLUSTERS)
        samples.append(chosen.sample(settings.seed, annotated=True))
        samples.append(strict.sample(settings.seed, settings.annotated))
    choices += [(bases[0], settings, other) for other in samples]
    rows = []
    for vectors, changed, drawn in choices:
        scores = average_precision.project(features, vectors, normalise=changed.normalise)
        ap = concept_counts.average_precision(scores, drawn, changed)
        rows.append([int(count) for count in concept_counts.tally(ap, changed)[:2]])
    return rows


def _unit_mean(features: ArrayLike) -> Array:
    """Mean of the rows, each taken at length 1."""
    array = outliers.checked_features(features)
    blocks = directions.unit_blocks(array, array.shape[1])
    mean: Array = np.sum([h.sum(axis=0) for h in blocks], axis=0) / len(array)
    return mean


def _absolute_cosine(v: Array, w: Array) -> float:
    """|cos| of a unit vector with another vector."""
    return float(abs(v @ w) / np.linalg.norm(w))
