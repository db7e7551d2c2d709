"""What each experiment of section 3 measures, from arrays to named quantities.

Pure functions: arrays in, a mapping of numbers and arrays out, no files. `QUANTITIES` says, per
experiment and per basis, which quantities there are and in which unit. The *basis* is what the
arrays allow: features of every image, or only a mean embedding, or only a head. Quantities of
different bases have different names on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import directions, outliers
from analysis.metrics.pruning import (
    Order,
    accuracy_without_each,
    paired_difference,
    pruning_order,
    right_at_every_step,
)

Array = NDArray[np.float64]
Quantities = dict[str, Any]

#: Images and coordinates of the sample that is kept of standardised features.
SAMPLE_IMAGES, SAMPLE_COORDINATES = 40, 24
#: Concepts that are named of the most important direction.
TOP_CONCEPTS = 5
#: How many random orders pruning is repeated with; the seeds are 0, 1, 2, …
RANDOM_ORDERS = 20


def outlier_features(
    features: ArrayLike, threshold: float = outliers.OUTLIER_THRESHOLD
) -> Quantities:
    """Outlier features of images: (N, d) → kurtosis, activation profile, persistence, a sample.

    `kurtosis_percentiles` are those from 0 to 100, over images. `leaders` is the number of
    different coordinates that lead in some image. `sample`: z of the first images (rows) at the
    coordinates `sample_coordinates`, half of them those of the highest profile, the others evenly
    spread over the rest.
    """
    array = outliers.checked_features(features)
    found = outliers.outlier_features(array)
    most, fraction = found.persistence
    shown = _sample_coordinates(found.profile)
    first = np.array(array[:SAMPLE_IMAGES], dtype=np.float64)
    return {
        "kurtosis_mean": found.kurtosis_mean,
        "kurtosis_standard_error": found.kurtosis_standard_error,
        "kurtosis_percentiles": found.kurtosis_percentiles,
        "profile": found.profile,
        "outlier_threshold": threshold,
        "outlier_coordinates": found.coordinates(threshold),
        "persistence_coordinate": most,
        "persistence_fraction": fraction,
        "leaders": int((found.leading > 0).sum()),
        "zero_share": found.zero_share,
        "negative_share": found.negative_share,
        "sample_coordinates": shown,
        "sample": outliers.standardised(first)[:, shown],
    }


def outlier_features_of_mean(mean: ArrayLike) -> Quantities:
    """What a mean embedding (d,) allows: its own kurtosis and profile.

    Neither is an average over images: averaging removes what differs between images, so what is
    common to them stands out more.
    """
    row = np.asarray(mean)[None]
    return {
        "kurtosis_of_mean": outliers.kurtosis(row)[0],
        "profile_of_mean": outliers.activation_profile(row),
    }


def outlier_features_of_moments(mean: ArrayLike, covariance: ArrayLike) -> Quantities:
    """What mean (d,) and covariance (d, d) of the images' embeddings allow.

    `rms_profile`: sqrt(mean_i² + covariance_ii), the root mean square of each coordinate over
    images, relative to its mean over coordinates. `mean_share`: |mean|² / (|mean|² + trace), how
    much of the mean squared length of an embedding the mean makes up.
    """
    mu, sigma = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    if sigma.shape != (*mu.shape, *mu.shape):
        raise ValueError(
            f"a covariance of shape {sigma.shape} does not belong to a mean of shape {mu.shape}; "
            "expected (d, d) and (d,)."
        )
    squares = mu**2 + np.diag(sigma)
    rms = np.sqrt(squares)
    return outlier_features_of_mean(mu) | {
        "mean_share": (mu**2).sum() / squares.sum(),
        "rms_profile": rms / rms.mean(),
    }


def privileged_directions(
    features: ArrayLike, head: ArrayLike, threshold: float = directions.PRIVILEGED_THRESHOLD
) -> Quantities:
    """Importance of a head's directions for images: (N, d), (classes, d).

    Lists follow the singular values, except `importance_head_centred`: the importances of the head
    less its mean row, which predicts the same classes, sorted. The *top* direction is the most
    important one. `top_with_mean`, `top_with_gap`: |cos| with the mean of the images and with the
    gap between the images' and the head rows' means, all taken at length 1.
    `top_cosine_deviation`: standard deviation over images of cos(v, h).
    """
    parts = directions.decompose(head)
    importance = directions.importance(features, parts)
    top = int(importance.argmax())
    v = parts.directions[top]
    rows = np.asarray(head, dtype=np.float64)
    centred = directions.importance(features, rows - rows.mean(axis=0))
    mean = _unit_mean(features)
    cosines = np.concatenate([h @ v for h in directions.unit_blocks(features, len(v))])
    return _of_head(rows, parts, top) | {
        "importance": importance / importance.mean(),
        "importance_head_centred": np.sort(centred)[::-1] / centred.mean(),
        "cosine_with_images": directions.mean_absolute_cosine(features, parts.directions),
        "privileged_threshold": threshold,
        "privileged_directions": directions.privileged(importance, threshold),
        "top_direction": top,
        "top_cosine_deviation": cosines.std(),
        "top_with_mean": _absolute_cosine(v, mean),
        "top_with_gap": _absolute_cosine(v, mean - _unit_mean(rows)),
    }


def privileged_directions_of_mean(head: ArrayLike, mean: ArrayLike) -> Quantities:
    """What a head and a mean embedding allow: the spectrum, and |cos| of each v_i with the mean.

    Importance needs every image; this is another quantity. The top direction is the first one.
    """
    parts = directions.decompose(head)
    row = np.asarray(mean)[None]
    return privileged_directions_of_head(head) | {
        "cosine_with_mean": directions.mean_absolute_cosine(row, parts.directions)
    }


def privileged_directions_of_head(head: ArrayLike) -> Quantities:
    """What a head alone allows: its spectrum, and its first direction."""
    return _of_head(np.asarray(head, dtype=np.float64), directions.decompose(head), 0)


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


def concepts(features: ArrayLike, head: ArrayLike, probe: Any) -> Quantities:
    """Concepts along a head's right singular vectors: (N, d), (classes, d), a `Probe` of N images.

    Concepts with fewer than `least_positives` positive images are left out before any count.
    `positives`, `best` (average precision of the best direction, first draw of negatives) and
    `best_direction` are lists over the concepts that remain. `unique_…`, `lower_…`: how many
    concepts some direction encodes at the threshold and at the lower one; `best_…`: the mean over
    concepts of the best average precision. Each is a list: over draws of negatives (`draws`), sets
    of as many random directions, permutations of the labels, and random halves of the images,
    whose standard deviation estimates the standard error (see `concept_counts.draw`).
    `top_concepts`: of the most important direction for these images, `top_direction`, pointing to
    where the images lie on average, the concepts of highest average precision, the best first, as
    places in `positives`; `top_textures`: how many of them are textures.
    """
    from analysis.metrics import concept_counts
    from analysis.metrics.average_precision import top_concepts
    from companion.measurements import concept_probe

    chosen = probe.select(concept_probe.LEAST_POSITIVES)
    settings = concept_counts.settings_for(chosen)
    parts = directions.decompose(head)
    drawn = concept_counts.draw(chosen, settings)
    found = concept_counts.count(features, parts.directions, drawn, settings)
    lists = {
        f"{quantity}_{kind}": getattr(found, kind)[:, column]
        for column, quantity in enumerate(concept_counts.QUANTITIES)
        for kind in ("draws", "random", "permuted", "halves")
    }
    ap = np.nan_to_num(found.ap)
    top, along = concept_counts.along_most_important(features, parts, drawn.own[0], settings)
    best = top_concepts(along[None], 0, TOP_CONCEPTS)
    return lists | {
        "threshold": settings.threshold,
        "lower_threshold": settings.lower,
        "least_positives": concept_probe.LEAST_POSITIVES,
        "directions": found.directions,
        "draws": settings.draws,
        "chance_sets": settings.chance,
        "positives": chosen.positives,
        "best": ap.max(axis=0),
        "best_direction": ap.argmax(axis=0),
        "top_direction": top,
        "top_concepts": best,
        "top_average_precision": along[best],
        "top_textures": [chosen.kinds[c] for c in best].count("texture"),
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


def _of_head(rows: Array, parts: directions.Decomposition, top: int) -> Quantities:
    return {
        "singular_value_share": parts.singular_values / parts.singular_values.sum(),
        "top_with_head_mean": _absolute_cosine(parts.directions[top], rows.mean(axis=0)),
        "top_components": parts.directions[top],
    }


def _sample_coordinates(profile: Array) -> NDArray[np.intp]:
    """The coordinates of the highest profile, and as many spread over the rest, in rank order."""
    order = np.argsort(-profile, kind="stable")
    half = min(SAMPLE_COORDINATES, len(order)) // 2
    others = np.linspace(half, len(order) - 1, half).round().astype(int)
    shown: NDArray[np.intp] = order[np.unique(np.concatenate([np.arange(half), others]))]
    return shown


def _unit_mean(features: ArrayLike) -> Array:
    """Mean of the rows, each taken at length 1."""
    array = outliers.checked_features(features)
    blocks = directions.unit_blocks(array, array.shape[1])
    mean: Array = np.sum([h.sum(axis=0) for h in blocks], axis=0) / len(array)
    return mean


def _absolute_cosine(v: Array, w: Array) -> float:
    """|cos| of a unit vector with another vector."""
    return float(abs(v @ w) / np.linalg.norm(w))
