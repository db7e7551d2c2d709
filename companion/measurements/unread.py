"""What remains of images without the directions along which a model's texts vary least.

Pure functions, as in `measures`: arrays in, a mapping of numbers and arrays out. The chapter
`what_kurtosis_measures` shows them. No image is looked at to choose the directions; the one vector
is the mean image's part in them, and `CONTROLS` are what images alone would choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import basis, outliers
from analysis.metrics.pruning import paired_difference
from companion.measurements.invariance import Integers, Judge
from companion.measurements.measures import Quantities

Array = NDArray[np.float64]

#: Shares of the texts' variance that dropped directions hold together; sets of random directions,
#: of which the whole curve sees the first.
SHARES, DRAWS, CURVE_DRAWS = (1e-5, 1e-4, 1e-3, 1e-2), 5, 3
#: The share at which `CONTROLS` take off as many directions or coordinates.
SHARE = 1e-4
#: What else could be taken off the images, in the order of the tables `control_…`.
CONTROLS = {
    "random_part": "the mean image's part in as many random directions",
    "mean": "the direction of the mean image",
    "gap": "the direction between the means of images and texts",
    "most_varying": "as many directions along which images vary most",
    "least_varying": "as many directions along which images vary least",
    "most_energy": "as many directions in which images have most energy",
    "leader_at_zero": "the dominant coordinate, set to 0",
    "leader_at_mean": "the dominant coordinate, set to its mean",
    "largest_at_zero": "as many of the largest coordinates, set to 0",
    "largest_at_mean": "as many of the largest coordinates, set to their means",
}
#: One direction that images alone could choose: the mean image's part orthogonal to so many of the
#: directions along which they vary most (at most all but one), or in so many largest coordinates.
ORTHOGONAL, LARGEST = (5, 20, 100, 300, 490), (1, 3, 20)
CONTROLS |= {
    f"orthogonal_{r}": f"the mean image's part orthogonal to the {r} directions of most variance"
    for r in ORTHOGONAL
}
CONTROLS |= {
    f"mean_in_{n}": f"the mean image's part in its {n} largest coordinate{'s' * (n > 1)}"
    for n in LARGEST
}
#: The last: logits are as before, by a bias that holds what the mean gave each class.
CONTROLS["biased"] = "the whole mean image as a constant, moved into the head's bias"
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


#: Examines changed images; the second, if given, are what the judge sees of them.
Look: TypeAlias = Callable[..., Left]


def unread(features: ArrayLike, texts: Sequence[Texts], judge: Judge | None = None) -> Quantities:
    """Images without directions of least text variance: (N, d), and sets of texts, one or more.

    For each set and each of `SHARES`: the directions that together hold at most this share of the
    texts' variance are `dropped`. How much of the images' `energy`, of the mean image's
    (`mean_inside`) and of the axis of the dominant coordinate (`leader_inside`) lies in them, and
    what is left `…_without` them; `…_random`: without the same number of random ones, the mean over
    `DRAWS` sets (seeds 0, 1, …); `…_one_vector`: without a single direction, that of the mean
    image's part in them; `…_constant`: with this part subtracted from every image. `control_…`:
    with one of `CONTROLS` instead, at `SHARE`; where these are directions between images, they are
    `controlled` many, at most half of those in which the images vary. `curve_…`: without the first
    `steps` directions. `equal` is the share of predictions that stay, by the `judge`; without one,
    by the nearest text of another set, or where there is none of the same set. `judged_by_itself`
    is 1 where those texts judge that chose the directions. `classified` images have a class, and
    accuracies are empty where none has. `text_variance` and `image_energy`: along each direction
    of the first set of texts, the least varying first; `leader_variance` and `leader_energy`: along
    the axis of the dominant coordinate.
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
    looks = [_looking(h, one) for one in _judges(texts, judge, len(h))]
    return {
        "kurtosis": whole.kurtosis_mean,
        "persistence": whole.persistence.fraction,
        "leader": leader,
        "shares": list(SHARES),
        "text_rows": [v.texts for v in found],
        "spanned": [v.spanned for v in found],
        "classified": 0 if judge is None else (judge.labels >= 0).sum(),
        "judged_by_itself": [int(t.judge or (len(texts) == 1 and judge is None)) for t in texts],
        "leader_variance": [(v.directions[:, leader] ** 2) @ v.variance for v in found],
        "leader_energy": (basis.at_length_one(h)[:, leader] ** 2).mean(),
        "dropped": counts,
        **dict(zip(names, np.moveaxis(np.array(inside), 2, 0), strict=True)),
        **_losses(h, [v.directions for v in found], counts, looks),
        **_controls(h, texts, [dropped[SHARES.index(SHARE)] for dropped in counts], whole, looks),
        "text_variance": first.variance,
        "image_energy": first.energy,
    }


def _losses(
    h: Array, sets: Sequence[Array], counts: Sequence[Sequence[int]], looks: Sequence[Look]
) -> Quantities:
    """What images (N, d) lose without some directions of each set, as its judge sees it."""
    frames = [basis.random_rotation(h.shape[1], seed) for seed in range(DRAWS)]
    steps = [step for step in STEPS if step < h.shape[1]]
    each = list(zip(looks, sets, counts, strict=True))

    def left(change: Callable[[Array], Array]) -> Left:
        return _stacked([[look(change(v[:k])) for k in dropped] for look, v, dropped in each])

    random = _stacked(
        [
            [[look(basis.without(h, f[:k])) for f in frames] for k in dropped]
            for look, _, dropped in each
        ]
    )
    curves = _stacked([[look(basis.without(h, v[:k])) for k in steps] for look, v, _ in each])
    drawn = _stacked(
        [[looks[0](basis.without(h, f[:k])) for f in frames[:CURVE_DRAWS]] for k in steps]
    )
    without = left(lambda v: basis.without(h, v))
    scored = not np.isnan(without.accuracy).any()
    return {
        **_named("{}_without", without),
        **_named("{}_one_vector", left(lambda v: basis.less_direction(h, basis.mean_part(h, v)))),
        **_named("{}_constant", left(lambda v: h - basis.mean_part(h, v))),
        "persistence_without": without.persistence,
        "accuracy_without": without.accuracy if scored else [[]],
        "kurtosis_random": random.kurtosis.mean(axis=2),
        "kurtosis_random_lowest": random.kurtosis.min(axis=2),
        "kurtosis_random_highest": random.kurtosis.max(axis=2),
        "equal_random": random.equal.mean(axis=2),
        "difference_random": random.difference.mean(axis=2) if scored else [[]],
        "steps": steps,
        "curve_kurtosis": curves.kurtosis,
        "curve_kurtosis_random": drawn.kurtosis.mean(axis=1),
        "curve_accuracy": curves.accuracy if scored else [[]],
        "curve_accuracy_random": drawn.accuracy.mean(axis=1) if scored else [],
    }


def _controls(
    h: Array,
    texts: Sequence[Texts],
    counts: Sequence[int],
    whole: outliers.OutlierFeatures,
    looks: Sequence[Look],
) -> Quantities:
    """What images (N, d) lose by each of `CONTROLS`, for each set of texts and its count."""
    mean, places = h.mean(axis=0), np.arange(h.shape[1])
    varying, energies = basis.principal_directions(h - mean), basis.principal_directions(h)
    leader, tallest = whole.persistence.coordinate, np.argsort(-whole.profile, kind="stable")
    frame = basis.random_rotation(h.shape[1], 0)
    controlled = [min(k, len(varying) // 2) for k in counts]

    def put(coordinates: Integers, values: ArrayLike) -> Array:
        return np.where(np.isin(places, coordinates), values, h)

    def changed(some: Texts, count: int, few: int) -> Iterator[Array]:
        yield basis.less_direction(h, basis.mean_part(h, frame[:count]))
        yield basis.less_direction(h, mean)
        yield basis.less_direction(h, mean - _mean_text(some))
        yield basis.without(h, varying[:few])
        yield basis.without(h, varying[len(varying) - few :])
        yield basis.without(h, energies[:few])
        for coordinates in (np.array([leader]), tallest[:count]):
            yield put(coordinates, 0.0)
            yield put(coordinates, mean)
        for r in ORTHOGONAL:
            most = varying[: min(r, h.shape[1] - 1)]
            yield basis.less_direction(h, mean - basis.mean_part(h, most))
        by_size = np.argsort(-np.abs(mean), kind="stable")
        for n in LARGEST:
            yield basis.less_direction(h, np.where(np.isin(places, by_size[:n]), mean, 0.0))

    each = zip(texts, counts, controlled, looks, strict=True)
    left = _stacked(
        [
            [*map(look, changed(t, k, few)), look(h - mean, h - mean + mean)]
            for t, k, few, look in each
        ]
    )
    about = {"controls": [*range(len(CONTROLS))], "controlled": controlled}
    return about | _named("control_{}", left)


def _named(form: str, left: Left) -> Quantities:
    """What is left, under names of a form; what needs classes is empty where there are none."""
    scored = not np.isnan(left.accuracy).any()
    name = form.format
    return {
        name("kurtosis"): left.kurtosis,
        name("equal"): left.equal,
        name("difference"): left.difference if scored else [[]],
        name("difference") + "_error": left.error if scored else [[]],
    }


def _mean_text(texts: Texts) -> Array:
    """The mean of texts as they choose directions: (d,)."""
    rows = basis.at_length_one(texts.rows) if texts.at_length else np.asarray(texts.rows)
    mean: Array = rows.mean(axis=0, dtype=np.float64)
    return mean


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


def _looking(h: Array, judge: Judge) -> Look:
    """A function that examines images (N, d) after a change of them, by one judge."""
    before, labelled = judge.predicted(h), judge.labels >= 0
    right = (before == judge.labels)[labelled]

    def look(rest: Array, seen: Array | None = None) -> Left:
        now = judge.predicted(rest if seen is None else seen)
        result = outliers.outlier_features(rest)
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
