"""What changes in features when their basis, their mean or a coordinate is changed.

Pure functions, as in `measures`: arrays in, a mapping of numbers and arrays out. The chapter
`what_kurtosis_measures` shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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
#: Random bases to which features are rotated; coordinates left out as well as the dominant one;
#: constants that are added to a coordinate, in lengths of an image.
ROTATIONS, OTHERS, CONSTANTS = 10, 20, (0.0, 0.5, 1.0, 2.0, 5.0)


def basis(features: ArrayLike) -> Quantities:
    """How much of the kurtosis depends on the basis: (N, d), N ≥ 2.

    Images are at length 1, read in blocks of rows. `kurtosis_…`: means over images, as they are;
    minus the mean image; of the mean image itself; in `ROTATIONS` random bases (seeds 0, 1, …); of
    the same number of draws from the Gaussian with the same mean and covariance (seed 0); in the
    basis of the eigenvectors of the second moments. `persistence_…` likewise. `mean_share`: the
    share of the energy in the mean image; `mean_coordinate`: where most of that lies,
    `mean_coordinate_share` how much of it.
    """
    array, width = np.asarray(features), np.shape(features)[1]
    mean = invariants.mean_image(array)
    most = int(np.abs(mean).argmax())

    def looks(change: Callable[[Array], Array]) -> outliers.OutlierFeatures:
        def seen(h: Array) -> Array:
            return change(h / np.linalg.norm(h, axis=1, keepdims=True))

        return outliers.outlier_features(array, seen)

    def turned(matrix: Array) -> outliers.OutlierFeatures:
        return looks(lambda h: h @ matrix)

    less_mean = looks(lambda h: h - mean)
    rotated = [turned(invariants.random_rotation(width, seed)) for seed in range(ROTATIONS)]
    drawn = map(outliers.kurtosis, invariants.gaussian_blocks(array, len(array), SEED))
    return {
        "kurtosis": outliers.kurtosis(array).mean(),
        "kurtosis_less_mean": less_mean.kurtosis_mean,
        "persistence_less_mean": less_mean.persistence.fraction,
        "kurtosis_of_mean": outliers.kurtosis(mean[None])[0],
        "kurtosis_rotated": [found.kurtosis_mean for found in rotated],
        "persistence_rotated": [found.persistence.fraction for found in rotated],
        "kurtosis_gaussian": np.concatenate(list(drawn)).mean(),
        "kurtosis_eigenframe": turned(invariants.eigenvectors(array)).kurtosis_mean,
        "mean_share": invariants.mean_share(array),
        "mean_coordinate": most,
        "mean_coordinate_share": mean[most] ** 2 / (mean @ mean),
        "effective_rank": invariants.effective_rank(array),
    }


class Judge(NamedTuple):
    """A linear head (rows, d) with a bias (rows,) or None, and the classes of the images.

    `owners`: (rows,) the class that each row stands for. `labels`: (N,), −1 where there is none.
    """

    weight: NDArray[np.floating]
    bias: NDArray[np.floating] | None
    owners: Integers
    labels: Integers

    def sees(self, features: ArrayLike) -> Array:
        """Images (N, d) at length 1 if there is no bias, which changes no prediction."""
        h = np.asarray(features, dtype=np.float64)
        return invariants.at_length_one(h) if self.bias is None else h

    def predicted(self, h: Array) -> Integers:
        """The class of each image: (N, d) → (N,)."""
        logits = h @ self.weight.T.astype(np.float64) + (0 if self.bias is None else self.bias)
        classes: Integers = self.owners[np.argmax(logits, axis=1)]
        return classes


def interventions(features: ArrayLike, judge: Judge) -> Quantities:
    """Changes of the features, and what they do to kurtosis and accuracy: (N, d), a judge.

    Images are taken as the judge sees them. The head undoes three changes, and `changed_…` counts
    the predictions that differ after each: a random rotation of features and head (`rotated`);
    after it a constant, in `CONSTANTS` of the mean length of an image, added to one coordinate and
    subtracted in the head's bias (`shifted`); and the images minus their mean m with W m added to
    the bias (`less_mean`). `cosine_…` is the mean cosine between two images, `eigenframe_…` κ in
    the eigenframe, after the largest constant.

    The head does not undo four others, and `difference_…` is what they cost: `less_mean` without
    the bias, `without_leader`, where the dominant coordinate is set to zero, and `leader_at_mean`,
    where it is set to its mean. `accuracy_without_other` and `accuracy_other_at_mean` treat each of
    `OTHERS` random coordinates alike. `mean_importance`: of the mean image's direction m,
    (‖W m‖ / Σ σ) · mean |cos(m, h)| over the mean importance of the head's directions:
    `eq-importance` with ‖W m‖ where a singular value is; `mean_importance_shifted` after the shift.
    """
    h = judge.sees(features)
    mean, leader, places = h.mean(axis=0), outliers.persistence(h).coordinate, np.arange(h.shape[1])

    def put(coordinate: int, value: float) -> Array:
        return np.where(places == coordinate, value, h)

    def right(images: Array) -> NDArray[np.bool_]:
        flags: NDArray[np.bool_] = judge.predicted(images) == judge.labels
        return flags

    left, at_mean = put(leader, 0), put(leader, mean[leader])
    changed = {"less_mean": h - mean, "without_leader": left, "leader_at_mean": at_mean}
    frames = {"whole": h} | changed
    hits = {name: right(images) for name, images in frames.items()}
    costs = {name: paired_difference(hits[name], hits["whole"]) for name in changed}
    others = np.delete(places, leader)
    drawn = np.random.default_rng(SEED).choice(others, min(OTHERS, len(others)), replace=False)
    return {
        **{f"kurtosis_{name}": outliers.kurtosis(images).mean() for name, images in frames.items()},
        **{f"accuracy_{name}": hit.mean() for name, hit in hits.items()},
        **{f"difference_{name}": cost for name, (cost, _) in costs.items()},
        **{f"difference_{name}_error": error for name, (_, error) in costs.items()},
        **_undone(h, judge),
        "mean_importance": _importance(h, judge.weight),
        "leader": leader,
        "accuracy_without_other": [right(put(c, 0)).mean() for c in drawn],
        "accuracy_other_at_mean": [right(put(c, mean[c])).mean() for c in drawn],
    }


def _undone(h: Array, judge: Judge) -> Quantities:
    """The changes that the head undoes: `rotated`, then `shifted`, and `less_mean`."""
    before, centred = judge.predicted(h), h - h.mean(axis=0)
    turn = invariants.random_rotation(h.shape[1], SEED)
    weight, bias = judge.weight.astype(np.float64), 0 if judge.bias is None else judge.bias
    turned, turning = h @ turn, judge._replace(weight=weight @ turn)
    after = turning.predicted(turned)
    sizes = [size * float(np.linalg.norm(h, axis=1).mean()) for size in CONSTANTS]
    moved = [turned + size * (np.arange(h.shape[1]) == 0) for size in sizes]
    moving = [turning._replace(bias=bias - size * turning.weight[:, 0]) for size in sizes]
    centring = judge._replace(bias=bias + weight @ h.mean(axis=0))
    frames = {"whole": h, "rotated": turned, "shifted": moved[-1], "less_mean": centred}
    return {
        "kurtosis_rotated": outliers.kurtosis(turned).mean(),
        "accuracy_rotated": (after == judge.labels).mean(),
        "changed_rotated": (after != before).sum(),
        "constants": list(CONSTANTS),
        "kurtosis_shifted": [outliers.kurtosis(images).mean() for images in moved],
        "changed_shifted": [
            (head.predicted(images) != before).sum()
            for head, images in zip(moving, moved, strict=True)
        ],
        "changed_less_mean": (centring.predicted(centred) != before).sum(),
        "mean_importance_shifted": _importance(moved[-1], turning.weight),
        **{f"cosine_{name}": _mean_cosine(images) for name, images in frames.items()},
        **{
            f"eigenframe_{name}": outliers.kurtosis(invariants.eigenframe(images)).mean()
            for name, images in frames.items()
        },
    }


def _mean_cosine(h: Array) -> float:
    """The mean cosine between two different images: from their energy in the mean, of N²."""
    return (len(h) * invariants.mean_share(h) - 1) / (len(h) - 1)


def _importance(h: Array, head: NDArray[np.floating]) -> float:
    """Importance of the direction of the images' mean, over the mean of the head's directions."""
    parts = directions.decompose(head)  # as it is kept: its type says what is rounding
    mean = invariants.at_length_one(h).mean(axis=0)
    m = mean / np.linalg.norm(mean)
    along = directions.mean_absolute_cosine(h, m[None])[0]
    own = np.linalg.norm(head.astype(np.float64) @ m) * along
    whole = directions.importance(h, parts).mean() * parts.singular_values.sum()
    return float(own / whole)
