"""What remains of images without the directions along which a model's texts hardly vary.

Pure functions, as in `measures`: arrays in, a mapping of numbers and arrays out. The chapter
`what_kurtosis_measures` shows them. No image is looked at to choose the directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import basis, outliers
from analysis.metrics.pruning import paired_difference
from companion.measurements.invariance import Judge
from companion.measurements.measures import Quantities

Array = NDArray[np.float64]

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


class Left(NamedTuple):
    """What is left of images without some directions; accuracies of images that have a class.

    Numbers, or arrays of them.
    """

    kurtosis: Any
    persistence: Any
    equal: Any
    accuracy: Any = np.nan
    difference: Any = np.nan
    error: Any = np.nan


def unread(features: ArrayLike, texts: Sequence[Texts], judge: Judge | None = None) -> Quantities:
    """Images without directions of least text variance: (N, d), and sets of texts, one or more.

    For each set and each of `SHARES`: the directions that together hold at most this share of the
    texts' variance are `dropped`. How much of the images' `energy`, of the mean image's
    (`mean_inside`) and of the axis of the dominant coordinate (`leader_inside`) lies in them, and
    what is left `…_without` them; `…_random`: without the same number of random ones, the mean over
    `DRAWS` sets (seeds 0, 1, …). `curve_…`: without the first `steps` directions. `equal` is the
    share of predictions that stay, by the `judge`; without one, by the nearest text of another set,
    or where there is none of the same set. `judged_by_itself` is 1 where those texts judge that
    chose the directions. Accuracies are empty where no image has a class. `text_variance` and
    `image_energy`: along each direction of the first set of texts, the least varying first;
    `leader_variance` and `leader_energy`: along the axis of the dominant coordinate.
    """
    h = basis.at_length_one(features) if judge is None else judge.sees(features)
    found = [basis.text_directions(some.rows, some.at_length) for some in texts]
    counts = [[int((np.cumsum(v.variance) <= share).sum()) for share in SHARES] for v in found]
    whole, first = outliers.outlier_features(h), basis.energy_by_text_variance(h, found[0])
    leader = whole.persistence.coordinate
    inside = [
        [_inside(h, v.directions[:k], leader) for k in dropped]
        for v, dropped in zip(found, counts, strict=True)
    ]
    names = ("energy", "mean_inside", "leader_inside")
    return {
        "kurtosis": whole.kurtosis_mean,
        "persistence": whole.persistence.fraction,
        "leader": leader,
        "shares": list(SHARES),
        "text_rows": [v.texts for v in found],
        "spanned": [v.spanned for v in found],
        "judged_by_itself": [int(t.judge or (len(texts) == 1 and judge is None)) for t in texts],
        "leader_variance": [(v.directions[:, leader] ** 2) @ v.variance for v in found],
        "leader_energy": (basis.at_length_one(h)[:, leader] ** 2).mean(),
        "dropped": counts,
        **dict(zip(names, np.moveaxis(np.array(inside), 2, 0), strict=True)),
        **_losses(h, [v.directions for v in found], counts, _judges(texts, judge, len(h))),
        "text_variance": first.variance,
        "image_energy": first.energy,
    }


def _losses(
    h: Array, sets: Sequence[Array], counts: Sequence[Sequence[int]], judges: Sequence[Judge]
) -> Quantities:
    """What images (N, d) lose without some directions of each set, according to its judge."""
    looks = [_looking(h, judge) for judge in judges]
    frames = [basis.random_rotation(h.shape[1], seed) for seed in range(DRAWS)]
    steps = [step for step in STEPS if step < h.shape[1]]
    each = list(zip(looks, sets, counts, strict=True))
    without = _stacked([[look(v[:k]) for k in dropped] for look, v, dropped in each])
    random = _stacked(
        [[[look(f[:k]) for f in frames] for k in dropped] for look, _, dropped in each]
    )
    curves = _stacked([[look(v[:k]) for k in steps] for look, v, _ in each])
    drawn = _stacked([[looks[0](f[:k]) for f in frames[:CURVE_DRAWS]] for k in steps])
    judged = {
        "accuracy_without": without.accuracy,
        "difference_without": without.difference,
        "difference_without_error": without.error,
        "difference_random": random.difference.mean(axis=2),
        "curve_accuracy": curves.accuracy,
    }
    scored = (judges[0].labels >= 0).any()
    return {
        "kurtosis_without": without.kurtosis,
        "persistence_without": without.persistence,
        "equal_without": without.equal,
        "kurtosis_random": random.kurtosis.mean(axis=2),
        "kurtosis_random_lowest": random.kurtosis.min(axis=2),
        "kurtosis_random_highest": random.kurtosis.max(axis=2),
        "equal_random": random.equal.mean(axis=2),
        "steps": steps,
        "curve_kurtosis": curves.kurtosis,
        "curve_kurtosis_random": drawn.kurtosis.mean(axis=1),
        **{name: values if scored else [[]] for name, values in judged.items()},
        "curve_accuracy_random": drawn.accuracy.mean(axis=1) if scored else [],
    }


def _stacked(looks: Any) -> Left:
    """Nested lists of what is left, as arrays."""
    return Left(*np.moveaxis(np.array(looks), -1, 0))


def _judges(texts: Sequence[Texts], judge: Judge | None, images: int) -> list[Judge]:
    """Who judges each set of texts: without a head the nearest text of another set, else its own.

    So no set judges itself, unless it is the only one.
    """
    if judge is not None:
        return [judge] * len(texts)
    others = [texts[0 if place else 1 % len(texts)].rows for place in range(len(texts))]
    rows = [basis.at_length_one(some) for some in others]
    return [Judge(some, None, np.arange(len(some)), np.full(images, -1)) for some in rows]


def _looking(h: Array, judge: Judge) -> Callable[[Array], Left]:
    """A function that examines images without directions (k, d), by one judge."""
    before, labelled = judge.predicted(h), judge.labels >= 0
    right = (before == judge.labels)[labelled]

    def look(directions: Array) -> Left:
        rest = basis.without(h, directions)
        result, now = outliers.outlier_features(rest), judge.predicted(rest)
        kept = (result.kurtosis_mean, result.persistence.fraction, (now == before).mean())
        if not labelled.any():
            return Left(*kept)
        after = (now == judge.labels)[labelled]
        return Left(*kept, after.mean(), *paired_difference(after, right))

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
