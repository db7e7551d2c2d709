"""What is measured of images without the directions along which a model's texts hardly vary.

Pure functions, as in `measures`: arrays in, a mapping of numbers and arrays out. The chapter
`what_kurtosis_measures` shows them. No image is looked at to choose the directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import basis, outliers
from analysis.metrics.pruning import paired_difference
from companion.measurements.measures import Quantities

Array = NDArray[np.float64]
Integers = NDArray[np.intp]

#: Shares of the texts' variance that dropped directions hold together; sets of random directions,
#: of which the whole curve sees the first.
SHARES, DRAWS, CURVE_DRAWS = (1e-5, 1e-4, 1e-3, 1e-2), 5, 3
#: Numbers of dropped directions along the whole curve: 0, 1, 2, 3, 4, 6, 8, 11, 16, …
STEPS = sorted({0, *(round(2 ** (half / 2)) for half in range(26))})


class Texts(NamedTuple):
    """Texts (n, d) that choose directions; `at_length`: taken at length 1, as CLIP compares.

    `judge`: whether they are the very head that judges as well.
    """

    rows: ArrayLike
    at_length: bool = True
    judge: bool = False


@dataclass(frozen=True)
class Judge:
    """A linear head (rows, d) with a bias (rows,) or None, which says what is lost.

    `owners`: (rows,) the class that each row stands for. `labels`: (N,) the images' classes, −1
    where there is none.
    """

    weight: Array
    bias: Array | None
    owners: Integers
    labels: Integers

    def predicted(self, h: Array) -> Integers:
        """The class of each image: (N, d) → (N,)."""
        logits = h @ self.weight.T + (0 if self.bias is None else self.bias)
        classes: Integers = self.owners[np.argmax(logits, axis=1)]
        return classes


class Left(NamedTuple):
    """What is left of images without some directions; accuracies of images that have a class."""

    kurtosis: float
    persistence: float
    equal: float
    accuracy: float
    difference: float
    error: float


def unread(features: ArrayLike, texts: Sequence[Texts], judge: Judge | None = None) -> Quantities:
    """Images without directions of least text variance: (N, d), and sets of texts, one or more.

    For each set and each of `SHARES`: the directions that together hold at most this share of the
    texts' variance are `dropped`. How much of the images' `energy`, of the mean image's
    (`mean_inside`) and of the axis of the dominant coordinate (`leader_inside`) lies in them, and
    what is left `…_without` them; `…_random`: without as many random directions, the mean over
    `DRAWS` sets (seeds 0, 1, …). `curve_…`: without the first `steps` directions. `equal` is the
    share of predictions that stay, by the `judge`; without one, by the nearest text of another set,
    or where there is none of the same set. `judged_by_itself` is 1 where those texts judge that
    chose the directions. Accuracies are empty where no image has a class. `text_variance` and
    `image_energy`: along each direction of the first set of texts, the least varying first;
    `leader_variance` and `leader_energy`: along the axis of the dominant coordinate.
    """
    h = np.asarray(features, dtype=np.float64)
    h = h if judge is not None and judge.bias is not None else basis.at_length_one(h)
    found = [basis.text_directions(one.rows, one.at_length) for one in texts]
    looks = [_looking(h, judge or _nearest(texts, place, len(h))) for place in range(len(texts))]
    counts = [[int((np.cumsum(one.variance) <= share).sum()) for share in SHARES] for one in found]
    sets = list(zip(looks, [one.directions for one in found], counts, strict=True))
    frames = [basis.random_rotation(h.shape[1], seed) for seed in range(DRAWS)]
    steps = [step for step in STEPS if step < h.shape[1]]
    without = np.array([[look(v[:k]) for k in own] for look, v, own in sets])
    random = np.array([[[look(f[:k]) for f in frames] for k in own] for look, _, own in sets])
    curves = np.array([[look(v[:k]) for k in steps] for look, v, _ in sets])
    drawn = np.array([[looks[0](f[:k]) for f in frames[:CURVE_DRAWS]] for k in steps]).mean(axis=1)
    whole, own = outliers.outlier_features(h), basis.energy_by_text_variance(h, found[0])
    leader = whole.persistence.coordinate
    inside = [[_inside(h, v[:k], leader) for k in own_counts] for _, v, own_counts in sets]
    energy, mean_inside, leader_inside = np.moveaxis(inside, 2, 0)  # type: ignore[type-var]
    kurtosis, persistence, equal, accuracy, difference, error = range(len(Left._fields))
    scored = judge is not None and bool((judge.labels >= 0).any())
    judged = {
        "accuracy_without": without[..., accuracy],
        "difference_without": without[..., difference],
        "difference_without_error": without[..., error],
        "difference_random": random[..., difference].mean(axis=2),
        "curve_accuracy": curves[..., accuracy],
    }
    return {
        "kurtosis": whole.kurtosis_mean,
        "persistence": whole.persistence.fraction,
        "leader": leader,
        "shares": list(SHARES),
        "text_rows": [one.texts for one in found],
        "spanned": [one.spanned for one in found],
        "judged_by_itself": [int(one.judge or (len(texts) == 1 and not judge)) for one in texts],
        "leader_variance": [(v.directions[:, leader] ** 2) @ v.variance for v in found],
        "leader_energy": (basis.at_length_one(h)[:, leader] ** 2).mean(),
        "dropped": counts,
        "energy": energy,
        "mean_inside": mean_inside,
        "leader_inside": leader_inside,
        "kurtosis_without": without[..., kurtosis],
        "persistence_without": without[..., persistence],
        "equal_without": without[..., equal],
        "kurtosis_random": random[..., kurtosis].mean(axis=2),
        "kurtosis_random_lowest": random[..., kurtosis].min(axis=2),
        "kurtosis_random_highest": random[..., kurtosis].max(axis=2),
        "equal_random": random[..., equal].mean(axis=2),
        "steps": steps,
        "curve_kurtosis": curves[..., kurtosis],
        "curve_kurtosis_random": drawn[:, kurtosis],
        **{name: values if scored else [[]] for name, values in judged.items()},
        "curve_accuracy_random": drawn[:, accuracy] if scored else [],
        "text_variance": own.variance,
        "image_energy": own.energy,
    }


def _nearest(texts: Sequence[Texts], place: int, images: int) -> Judge:
    """A judge where there is no head: which text of another set is nearest, else of the same."""
    others = [*texts[:place], *texts[place + 1 :], texts[place]]
    rows = basis.at_length_one(others[0].rows)
    return Judge(rows, None, np.arange(len(rows)), np.full(images, -1))


def _looking(h: Array, judge: Judge) -> Callable[[Array], Left]:
    """How to look at images without directions (k, d), by one judge."""
    before, known = judge.predicted(h), judge.labels >= 0
    right = (before == judge.labels)[known]

    def look(directions: Array) -> Left:
        seen = basis.without(h, directions)
        found, now = outliers.outlier_features(seen), judge.predicted(seen)
        after = (now == judge.labels)[known]
        change = paired_difference(after, right) if known.any() else (np.nan, np.nan)
        return Left(
            float(found.kurtosis_mean), found.persistence.fraction, float((now == before).mean()),
            float(after.mean()) if known.any() else np.nan, float(change[0]), float(change[1]),
        )  # fmt: skip

    return look


def _inside(h: Array, directions: Array, leader: int) -> tuple[float, float, float]:
    """Shares within directions (k, d): of energy, of the mean image's, of a coordinate's axis."""
    unit = basis.at_length_one(h)
    mean = unit.mean(axis=0)
    return (
        float(((unit @ directions.T) ** 2).sum(axis=1).mean()),
        float(((directions @ mean) ** 2).sum() / (mean @ mean)),
        float((directions[:, leader] ** 2).sum()),
    )
