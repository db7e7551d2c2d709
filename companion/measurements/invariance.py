"""What is measured of features when their basis, their mean or a coordinate is changed.

Pure functions, as in `measures`: arrays in, a mapping of numbers and arrays out. The chapter
`what_kurtosis_measures` shows them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import basis as invariants
from analysis.metrics import directions, outliers
from analysis.metrics.pruning import paired_difference
from companion.measurements.measures import Quantities

Array = NDArray[np.float64]
Integers = NDArray[np.intp]

#: The seed of all that is drawn, and of the first random frame.
SEED = 0
#: Random frames that features are turned into; coordinates left out beside the leading one;
#: constants that are added to a coordinate, in lengths of an image.
ROTATIONS, OTHERS, CONSTANTS = 10, 20, (0.0, 0.5, 1.0, 2.0, 5.0)


def basis(features: ArrayLike) -> Quantities:
    """What of the kurtosis is a matter of the basis: (N, d), N ≥ 2.

    All of images at length 1. `kurtosis_…`: means over images, as they are; less the mean image; of
    the mean image itself; in `ROTATIONS` random frames (seeds 0, 1, …); of as many draws from the
    Gaussian with the same mean and covariance (seed 0); in the frame of the eigenvectors of the
    second moments. `persistence_…` likewise. `mean_share`: the share of the energy in the mean
    image; `mean_coordinate`: where most of that lies, `mean_coordinate_share` how much of it.
    """
    h = invariants.at_length_one(features)
    mean = h.mean(axis=0)
    most = int(np.abs(mean).argmax())
    less = outliers.outlier_features(h - mean)
    frames = (h @ invariants.random_rotation(h.shape[1], seed) for seed in range(ROTATIONS))
    turned = [outliers.outlier_features(frame) for frame in frames]
    return {
        "kurtosis": outliers.kurtosis(h).mean(),
        "kurtosis_less_mean": less.kurtosis_mean,
        "persistence_less_mean": less.persistence.fraction,
        "kurtosis_of_mean": outliers.kurtosis(mean[None])[0],
        "kurtosis_rotated": [found.kurtosis_mean for found in turned],
        "persistence_rotated": [found.persistence.fraction for found in turned],
        "kurtosis_gaussian": outliers.kurtosis(invariants.gaussian(h, len(h), SEED)).mean(),
        "kurtosis_eigenframe": outliers.kurtosis(invariants.eigenframe(h)).mean(),
        "mean_share": invariants.mean_share(h),
        "mean_coordinate": most,
        "mean_coordinate_share": mean[most] ** 2 / (mean @ mean),
        "effective_rank": invariants.effective_rank(h),
    }


def interventions(
    features: ArrayLike,
    labels: ArrayLike,
    head: ArrayLike,
    bias: ArrayLike | None = None,
    owners: ArrayLike | None = None,
) -> Quantities:
    """Changes of the features, and what they do to kurtosis and accuracy: (N, d), (rows, d).

    Images are taken as the head sees them, and at length 1 where it has no `bias`, which changes
    no prediction; `owners`: the class that each row of the head stands for. The head undoes three
    changes, and `changed_…` counts the predictions that differ after each: a random rotation of
    features and head (`rotated`); after it a constant, in `CONSTANTS` of the mean length of an
    image, added to one coordinate and subtracted in the head's bias (`shifted`); and the images
    minus their mean m with W m added to the bias (`less_mean`). `cosine_…` is the mean cosine
    between two images, `eigenframe_…` κ in the eigenframe, after the largest constant.

    The head does not undo four others, and `difference_…` is what they cost: `less_mean` without
    the bias, `without_leader`, where the dominant coordinate is set to zero, and `leader_at_mean`,
    where it is set to its mean. `accuracy_without_other` and `accuracy_other_at_mean` treat each of
    `OTHERS` random coordinates alike. `mean_importance`: of the mean image's direction m,
    (‖W m‖ / Σ σ) · mean |cos(m, h)| over the mean importance of the head's directions:
    `eq-importance` with ‖W m‖ where a singular value is; `mean_importance_shifted` after the shift.
    """
    h = np.asarray(features, dtype=np.float64)
    h = invariants.at_length_one(h) if bias is None else h
    weight, targets = np.asarray(head, dtype=np.float64), np.asarray(labels)
    offset = np.zeros(len(weight)) if bias is None else np.asarray(bias, dtype=np.float64)
    classes = np.arange(len(weight)) if owners is None else np.asarray(owners)
    mean, leader = h.mean(axis=0), outliers.persistence(h).coordinate

    def predicted(seen: Array, by: Array = weight, plus: Array = offset) -> Integers:
        found: Integers = classes[np.argmax(seen @ by.T + plus, axis=1)]
        return found

    def put(coordinate: int, value: float) -> Array:
        return np.where(np.arange(h.shape[1]) == coordinate, value, h)

    def accuracy(seen: Array) -> float:
        return float((predicted(seen) == targets).mean())

    others = np.delete(np.arange(h.shape[1]), leader)
    drawn = np.random.default_rng(SEED).choice(others, min(OTHERS, len(others)), replace=False)
    changed = {
        "whole": h,
        "less_mean": h - mean,
        "without_leader": put(leader, 0),
        "leader_at_mean": put(leader, mean[leader]),
    }
    right = {name: predicted(one) == targets for name, one in changed.items()}
    differences = {
        name: paired_difference(flags, right["whole"])
        for name, flags in right.items()
        if name != "whole"
    }
    return {
        **{f"kurtosis_{name}": outliers.kurtosis(one).mean() for name, one in changed.items()},
        **{f"accuracy_{name}": flags.mean() for name, flags in right.items()},
        **{f"difference_{name}": found[0] for name, found in differences.items()},
        **{f"difference_{name}_error": found[1] for name, found in differences.items()},
        **_undone(h, weight, offset, targets, predicted),
        "mean_importance": _importance(h, head),
        "leader": leader,
        "accuracy_without_other": [accuracy(put(c, 0)) for c in drawn],
        "accuracy_other_at_mean": [accuracy(put(c, mean[c])) for c in drawn],
    }


def _undone(
    h: Array, weight: Array, offset: Array, targets: Integers, predicted: Callable[..., Integers]
) -> Quantities:
    """The changes that the head undoes: `rotated`, after it `shifted`, and `less_mean`."""
    before, turn, mean = predicted(h), invariants.random_rotation(h.shape[1], SEED), h.mean(axis=0)
    turned, by = h @ turn, weight @ turn
    after = predicted(turned, by)
    sizes = [size * float(np.linalg.norm(h, axis=1).mean()) for size in CONSTANTS]
    first = np.arange(h.shape[1]) == 0
    moved = [(turned + size * first, offset - size * by[:, 0]) for size in sizes]
    frames = {"whole": h, "rotated": turned, "shifted": moved[-1][0], "less_mean": h - mean}
    return {
        "kurtosis_rotated": outliers.kurtosis(turned).mean(),
        "accuracy_rotated": (after == targets).mean(),
        "changed_rotated": (after != before).sum(),
        "constants": list(CONSTANTS),
        "kurtosis_shifted": [outliers.kurtosis(one).mean() for one, _ in moved],
        "changed_shifted": [(predicted(one, by, plus) != before).sum() for one, plus in moved],
        "changed_less_mean": (predicted(h - mean, weight, offset + weight @ mean) != before).sum(),
        "mean_importance_shifted": _importance(moved[-1][0], by),
        **{f"cosine_{name}": _mean_cosine(one) for name, one in frames.items()},
        **{
            f"eigenframe_{name}": outliers.kurtosis(invariants.eigenframe(one)).mean()
            for name, one in frames.items()
        },
    }


def _mean_cosine(h: Array) -> float:
    """The mean cosine between two different images: from their energy in the mean, of N²."""
    return (len(h) * invariants.mean_share(h) - 1) / (len(h) - 1)


def _importance(h: Array, head: ArrayLike) -> float:
    """Importance of the direction of the images' mean, over the mean of the head's directions."""
    parts = directions.decompose(head)  # as it is kept: its type says what is rounding
    mean = invariants.at_length_one(h).mean(axis=0)
    m = (mean / np.linalg.norm(mean))[None]
    own = (
        np.linalg.norm(np.asarray(head, dtype=np.float64) @ m[0])
        * directions.mean_absolute_cosine(h, m)[0]
    )
    whole = directions.importance(h, parts).mean() * parts.singular_values.sum()
    return float(own / whole)
