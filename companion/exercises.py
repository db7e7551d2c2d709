"""The exercises' answers: `check("outlier-2", 2.99)` says whether a value is right, or hints.

Answers are computed on vectors drawn anew for each of some seeds, and a value is accepted within
what draws differ by. Pages show the answer of the first seed with the role `answer`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.common import ROOT, CompanionError, suggestion
from analysis.metrics import directions, outliers, pruning, robustness
from analysis.metrics.average_precision import ROUNDING, THRESHOLD
from analysis.metrics.basis import random_rotation

Array = NDArray[np.float64]
Draw = np.random.Generator
Classes = NDArray[np.intp]

SEEDS, HEADS = 4, 20
#: A value may be off by so many standard deviations between draws, or by this share of itself.
SPREAD, LEAST = 6.0, 0.05
ACCURACIES = ROOT / "notebooks" / "teach" / "accuracies.csv"


class ExerciseError(CompanionError, ValueError):
    """No such exercise, or another number of values than it asks for."""


def check(label: str, *values: float) -> bool:
    """Print and return whether these values, in the order asked for, answer an exercise.

    Raises ExerciseError for an unknown exercise and for another number of values.
    """
    drawn = answers(label)
    if len(values) != drawn.shape[1]:
        raise ExerciseError(f"{label} got {len(values)} values, give {len(drawn[0])}, one each.")
    expected = drawn.mean(axis=0)
    allowed = np.maximum(SPREAD * drawn.std(axis=0), LEAST * np.abs(expected))
    right = np.abs(np.asarray(values) - expected) <= allowed
    for place in np.flatnonzero(~right):
        print(f"{label}, value {place + 1}: not yet. {EXERCISES[label][1]}")
    if right.all():
        print(f"{label}: right.")
    return bool(right.all())


@cache
def answers(label: str) -> Array:
    """The answers of all draws, (SEEDS, values)."""
    return np.array([_answer(label, seed) for seed in range(SEEDS)])


def shown(label: str, place: int) -> str:
    """One value of the first draw's answer, as pages write it."""
    return f"{_answer(label, 0)[place]:.3g}".replace("-", "−")


@cache
def _answer(label: str, seed: int) -> Array:
    if label not in EXERCISES:
        raise ExerciseError(f"{label!r} has no answer to check: {suggestion(label, EXERCISES)}.")
    return np.atleast_1d(np.asarray(EXERCISES[label][0](np.random.default_rng(seed)), float))


def _points(shifted: float, imagenet: float) -> float:
    return 100 * float(robustness.effective_robustness(shifted, imagenet))


def _model(name: str) -> float:
    table = np.genfromtxt(ACCURACIES, delimiter=",", skip_header=1, dtype=None, encoding="utf-8")
    _, _, imagenet, *shifts = next(row for row in table if row[1] == name)
    return _points(np.mean(shifts), imagenet)


def _vectors(draw: Draw, added: float = 0.0, images: int = 1000) -> Array:
    h = draw.standard_normal((images, 512))
    h[:, 7] += added
    return h


def _kurtosis(h: Array) -> float:
    return float(outliers.kurtosis(h).mean())


def _half_of_the_most(draw: Draw) -> float:
    """What to add to one component for half of the largest possible κ, by bisection."""
    h, low, high = _vectors(draw, images=200), 10.0, 100.0
    while high - low > 0.1:
        middle = (low + high) / 2
        moved = h + middle * (np.arange(512) == 7)
        low, high = (low, middle) if _kurtosis(moved) > 255 else (middle, high)
    return low


def _leads(h: Array) -> float:
    return float(np.bincount(h.argmax(axis=1)).max() / len(h))


def _largest(h: Array, head: Array) -> float:
    found = directions.importance(h, head)
    return float(found.max() / found.mean())


def _cones(draw: Draw, centred: bool = False) -> list[float]:
    """Largest importance over the mean: one vector in the images, in the head, in both."""
    h, head, common = _vectors(draw), _vectors(draw), draw.standard_normal(512)
    common *= 30 / np.linalg.norm(common)
    rows = head + common
    if centred:
        return [_largest(h + common, rows - rows.mean(axis=0))]
    return [_largest(h + common, head), _largest(h, rows), _largest(h + common, rows)]


def _miniature(draw: Draw) -> tuple[Array, Classes, Array]:
    head = draw.standard_normal((100, 8)) @ draw.standard_normal((8, 64))
    head += 0.1 * draw.standard_normal(head.shape)
    labels = draw.integers(100, size=5000)
    return head[labels] + 2 * draw.standard_normal((5000, 64)), labels, head


def _accuracy(h: Array, labels: Classes, head: Array) -> float:
    return float(((h @ head.T).argmax(axis=1) == labels).mean())


def _over_heads(draw: Draw, measure: Callable[..., ArrayLike], *more: object) -> Array:
    """The mean in points over heads, which differ much among themselves."""
    found = [np.asarray(measure(*_miniature(draw), *more)) for _ in range(HEADS)]
    return np.asarray(100 * np.mean(found, axis=0))


def _lost(h: Array, labels: Classes, head: Array, kind: pruning.Order, kept: list[int]) -> Array:
    seed = 0 if kind == "random" else None
    order = pruning.pruning_order(directions.importance(h, head), kind, seed)
    right = pruning.right_at_every_step(h, labels, head, order, kept=kept)
    return np.asarray(_accuracy(h, labels, head) - right.mean(axis=1))


def _common_part(h: Array, labels: Classes, head: Array, draw: Draw) -> list[float]:
    """What the first and the second direction cost alone, where rows have a common part."""
    common = draw.standard_normal(64)
    parts = directions.decompose(head + 50 * common / np.linalg.norm(common))
    order = np.argsort(-directions.importance(h, parts))
    last = [np.roll(order, -1), np.append(np.delete(order, 1), order[1])]
    heads = [pruning.prune(parts, one, parts.rank - 1) for one in last]
    return [_accuracy(h, labels, head) - _accuracy(h, labels, less) for less in heads]


@cache
def _by_chance(n: int) -> float:
    """The probability that a random order of n positives and n negatives reaches the threshold."""
    precision = np.arange(1, n + 1) / (np.array(list(combinations(range(2 * n), n))) + 1)
    return float((precision.mean(axis=1) >= THRESHOLD - ROUNDING).mean())


def _clusters(draw: Draw) -> list[float]:
    """Mean correlation over both clusters, and the standard deviation of that within one."""
    x, y = draw.standard_normal((2, 1000, 16)) + 5 * (np.arange(16) > 7)
    over_all = [np.corrcoef(*pair)[0, 1] for pair in zip(x, y, strict=True)]
    within = [np.corrcoef(*pair)[0, 1] for pair in zip(x[:, :8], y[:, :8], strict=True)]
    return [float(np.mean(over_all)), float(np.std(within))]


#: How an answer is computed from a draw, and a hint.
EXERCISES: dict[str, tuple[Callable[[Draw], ArrayLike], str]] = {
    "robustness-2": (lambda _: robustness.PAPER_BASELINE.predict([0.6, 0.9]),
        "Logit first, then the line, then the inverse logit; give fractions."),
    "robustness-3": (lambda _: [_points(a, a) for a in (0.6, 0.8, 0.95)],
        "Both accuracies are the same; subtract what the line expects, and give points."),
    "robustness-4": (lambda _: _model("ViT-L-14 openai"), "First the mean of the shifts; points."),
    "outlier-2": (lambda draw: _kurtosis(_vectors(draw)), "Over each vector's own components."),
    "outlier-3": (lambda draw: [_kurtosis(_vectors(draw, 10)), _half_of_the_most(draw)],
        "Add to the same component of all vectors; half of the most is 255."),
    "outlier-4": (lambda draw: [_kurtosis(np.maximum(_vectors(draw) - cut, 0)) for cut in (0, 1)],
        "Cut the vectors without the addition."),
    "outlier-5": (lambda draw: [_leads(_vectors(draw, 10)), _leads(np.maximum(_vectors(draw), 0))],
        "Divide the largest count by the number of vectors."),
    "outlier-6": (lambda draw: _kurtosis(_vectors(draw, 10) @ random_rotation(512, 0)),
        "np.linalg.qr of a Gaussian matrix gives an orthogonal one."),
    "directions-2": (lambda draw: _largest(_vectors(draw), _vectors(draw)), "Divide by the mean."),
    "directions-3": (_cones, "Scale the one vector to length 30 before it is added."),
    "directions-4": (lambda draw: _cones(draw, centred=True), "The mean is over rows of the head."),
    "pruning-2": (lambda draw: _over_heads(draw, _accuracy), "The mean of 20 heads, in percent."),
    "pruning-3": (lambda draw: _over_heads(draw, _lost, "importance", [7, 8]), "In points."),
    "pruning-4": (lambda draw: [_over_heads(draw, _lost, kind, [8])[0]
        for kind in ("random", "singular_value")], "The random order first; points."),
    "pruning-5": (lambda draw: _over_heads(draw, _common_part, draw), "Keep all others; points."),
    "concepts-2": (lambda _: 500 * 300 / 1197, "A share of a share of all concepts."),
    "concepts-4": (lambda _: [_by_chance(n) for n in (2, 5, 10)], "Count orders, or draw many."),
    "concepts-5": (lambda _: 1 - (1 - _by_chance(10)) ** 1000, "First: that none of them passes."),
    "indicators-3": (_clusters, "Centres at (0, 0) and (5, 5), both spreads 1, 1,000 draws."),
    "indicators-4": (lambda _: 0.095 / (0.095 + 0.09), "Of all that it calls robust, who is?"),
    "indicators-5": (lambda _: [2 / comb(6, 3), 2 / comb(12, 6)], "The robust above, or below."),
}  # fmt: skip
