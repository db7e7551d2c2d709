"""What each experiment of section 3 measures, from arrays to named quantities.

Pure functions: arrays in, a mapping of numbers and arrays out, no files. `data/quantities.yaml`
says, per experiment, which quantities there are and in which unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import average_precision, concept_counts, directions, outliers
from analysis.metrics import pruning as sweeping
from analysis.metrics.concept_counts import (
    LEAST_CLUSTERS,
    LEAST_POSITIVES,
    ConceptImages,
    Found,
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
from analysis.metrics.robustness import PAPER_BASELINE, bootstrap_baselines, fit_baseline
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

    What the quantities are is said by `outliers.OutlierFeatures`; `sample` by the function of that
    name.
    """
    found = outliers.outlier_features(features)
    most, fraction = found.persistence
    shown, values = sample(features, found.profile)
    return {
        "kurtosis_mean": found.kurtosis_mean,
        "kurtosis_standard_error": found.kurtosis_standard_error,
        "kurtosis_percentiles": found.kurtosis_percentiles,
        "profile": found.profile,
        "outlier_threshold": outliers.OUTLIER_THRESHOLD,
        "outlier_coordinates": found.coordinates(),
        "persistence_coordinate": most,
        "persistence_fraction": fraction,
        "leaders": found.leaders,
        "zero_share": found.zero_share,
        "negative_share": found.negative_share,
        "sample_coordinates": shown,
        "sample": values,
    }


def sample(features: ArrayLike, profile: Array) -> tuple[NDArray[np.intp], Array]:
    """Some coordinates, and z of the first images there: (N, d), (d,) → (shown,), (images, shown).

    Half of the coordinates are those of the highest profile, the others evenly spread over the
    rest, in rank order.
    """
    order = np.argsort(-profile, kind="stable")
    half = min(SAMPLE_COORDINATES, len(order)) // 2
    others = np.linspace(half, len(order) - 1, half).round().astype(int)
    shown: NDArray[np.intp] = order[np.unique(np.concatenate([np.arange(half), others]))]
    first = np.array(outliers.checked_features(features)[:SAMPLE_IMAGES], dtype=np.float64)
    return shown, outliers.standardised(first)[:, shown]


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
        **{f"control_{name}": top for name, top in controls.items()},
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

    def right(kind: Order, seed: int | None = None) -> NDArray[np.bool_]:
        order = pruning_order(importance, kind, seed)
        return right_at_every_step(features, labels, parts, order, class_subset, bias)

    best = right("importance")
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
    if pool is None:
        baseline, drawn = PAPER_BASELINE, RANDOM_ORDERS_ON_IMAGENET
        kept = np.unique([max(1, round(share * parts.rank)) for share in SHARES]).astype(np.intp)
        found = sweeping.sweeps(
            sets, parts, bias, ORDERS, baseline,
            lambda flags: sweeping.sampled(flags, baseline, kept), drawn, kept,
        )  # fmt: skip
    else:
        baseline, drawn = fit_baseline(*pool), RANDOM_ORDERS
        refits = bootstrap_baselines(*pool, RESAMPLES, SEED + 1)
        units = [one.units for one in sets if one.units is not None]
        found = sweeping.sweeps(
            sets, parts, bias, ORDERS, baseline,
            lambda flags: sweeping.resampled(flags, units, baseline, refits, SEED), drawn,
        )  # fmt: skip
    tables: Quantities = {"kept": found[ORDERS[0]].steps, "random_orders": drawn}
    for part, (order, sweep) in product(Curves._fields, found.items()):
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
    would remain.
    `positives`, `best` (average precision of the best direction, first draw of negatives) and
    `best_direction` are lists over the concepts that remain, `per_direction` and
    `per_direction_lower` (concepts that each direction encodes at both thresholds) over directions.
    `unique_…`, `lower_…`: how many concepts some direction encodes at the threshold and at the
    lower one; `best_…`: the mean over concepts of the best average precision. Each is a list: over
    draws of negatives (`draws`), sets of as many random directions, permutations of the labels, and
    random halves of the images, in which only concepts of at least `frequent_positives` are looked
    for: their standard deviation estimates the standard error of the count of these (see
    `concept_counts.draw`). `coordinates_…`: the same along coordinates instead of singular vectors.
    `top_…`: see `_along_most_important`; `other_choices`: see `_other_choices`. ``annotated``:
    negatives from images in which somebody looked for the concept.
    """
    chosen = probe.select(LEAST_POSITIVES, LEAST_CLUSTERS)
    settings = concept_counts.settings_for(chosen, annotated=annotated)
    parts = directions.decompose(head)
    axes = np.eye(parts.directions.shape[1])
    drawn = concept_counts.draw(chosen, settings)
    found = concept_counts.count(features, parts.directions, drawn, settings)
    along_axes = concept_counts.count(features, axes, replace(drawn, halves=()), settings)
    ap = np.nan_to_num(found.ap)
    encoded = [average_precision.encoded(ap, at) for at in (settings.threshold, settings.lower)]
    return {
        **_lists(found),
        **_lists(along_axes, "coordinates_"),
        **_along_most_important(features, parts, drawn.own[0], settings, chosen.kinds),
        "threshold": settings.threshold,
        "lower_threshold": settings.lower,
        "least_positives": LEAST_POSITIVES,
        "frequent_positives": settings.frequent,
        "directions": found.directions,
        "draws": settings.draws,
        "chance_sets": settings.chance,
        "positives": chosen.positives,
        "best": ap.max(axis=0),
        "best_direction": ap.argmax(axis=0),
        "per_direction": average_precision.polysemanticity(encoded[0]),
        "per_direction_lower": average_precision.polysemanticity(encoded[1]),
        "coordinates_best": np.nan_to_num(along_axes.ap).max(axis=0),
        "other_choices": _other_choices(
            features, (parts.directions, axes), probe, drawn.own[0], settings, annotated
        ),
        "concepts_of_few_clusters": len(probe.select(LEAST_POSITIVES).names) - len(chosen.names),
    }


def _lists(found: Found, basis: str = "") -> Quantities:
    """What was counted repeatedly, by the names that `concepts` gives."""
    return {
        f"{basis}{quantity}_{kind}": values[:, column]
        for kind in ("draws", "random", "permuted", "halves")
        if len(values := getattr(found, kind))
        for column, quantity in enumerate(concept_counts.QUANTITIES)
    }


def _along_most_important(
    features: ArrayLike,
    parts: directions.Decomposition,
    own: average_precision.BalancedSample,
    settings: concept_counts.Settings,
    kinds: Sequence[str],
) -> Quantities:
    """Concepts along the most important direction for these images, `top_direction`.

    It points to where the images lie on average. `top_concepts`: those of highest average
    precision, the best first, as places in `positives`; `top_textures`: how many are textures.
    """
    top, along = concept_counts.along_most_important(features, parts, own, settings)
    best = average_precision.top_concepts(along[None], 0, TOP_CONCEPTS)
    return {
        "top_direction": top,
        "top_concepts": best,
        "top_average_precision": along[best],
        "top_textures": [kinds[c] for c in best].count("texture"),
    }


def accuracy(right: ArrayLike, labels: ArrayLike, classes: int) -> Quantities:
    """Top-1 accuracy from what was classified right: flags (N,), labels (N,) from 0 to classes − 1.

    `top1`: the fraction of all images that is right, not balanced over classes. Its standard error
    is the binomial one, sqrt(a(1 − a) / N), as in `robustness.sampling_error`: the images are taken
    as an independent sample. `right_per_class` and `images_per_class` follow the data set's order
    of classes, so that a class-balanced accuracy can be computed from them. Raises ValueError
    without images, and if flags and labels are not one per image.
    """
    flags, numbers = np.asarray(right, dtype=bool), np.asarray(labels)
    if not flags.size or flags.shape != numbers.shape or flags.ndim != 1:
        raise ValueError(
            f"an accuracy needs a flag and a label for each image, got shapes {flags.shape} and "
            f"{numbers.shape}."
        )
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
    own: average_precision.BalancedSample,
    settings: concept_counts.Settings,
    annotated: bool,
) -> list[list[int]]:
    """Unique concepts at both thresholds (columns), first draw; in each row one choice is changed.

    None; a direction or its opposite; features at length 1; the three along the other of both
    bases; without the condition on clusters; and, where it is known in which images somebody looked
    for a concept, negatives from these, and positives from `LEAST_SHARE` of the picture on, of
    concepts that then have enough of them.
    """
    changes: tuple[dict[str, Any], ...] = ({}, {"both_signs": True}, {"normalise": True})
    choices = [(vectors, change, own) for vectors in bases for change in changes]
    samples = [probe.select(LEAST_POSITIVES).sample(settings.seed, annotated)]
    if probe.shares is not None:
        chosen = probe.select(LEAST_POSITIVES, LEAST_CLUSTERS)
        strict = probe.at_least(LEAST_SHARE).select(LEAST_POSITIVES, LEAST_CLUSTERS)
        samples.append(chosen.sample(settings.seed, annotated=True))
        samples.append(strict.sample(settings.seed, annotated))
    choices += [(bases[0], {}, sample) for sample in samples]
    return [_first_counts(features, *choice, settings) for choice in choices]


def _first_counts(
    features: ArrayLike,
    vectors: Array,
    change: Mapping[str, Any],
    sample: average_precision.BalancedSample,
    settings: concept_counts.Settings,
) -> list[int]:
    """Unique concepts along directions at both thresholds, with one choice changed."""
    changed = replace(settings, **change)
    scores = average_precision.project(features, vectors, normalise=changed.normalise)
    ap = concept_counts.average_precision(scores, sample, changed)
    return [int(count) for count in concept_counts.tally(ap, changed)[:2]]


def _unit_mean(features: ArrayLike) -> Array:
    """Mean of the rows, each taken at length 1."""
    array = outliers.checked_features(features)
    blocks = directions.unit_blocks(array, array.shape[1])
    mean: Array = np.sum([h.sum(axis=0) for h in blocks], axis=0) / len(array)
    return mean


def _absolute_cosine(v: Array, w: Array) -> float:
    """|cos| of a unit vector with another vector."""
    return float(abs(v @ w) / np.linalg.norm(w))
