"""The exercises' answers: `check("outlier-2", 2.99)` says whether a value is right, or hints.

Answers are computed on vectors drawn anew for each of some seeds, and a value is accepted within
what draws differ by. Pages show the answer of the first seed with the role `answer`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations, permutations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.common import ROOT, CompanionError, suggestion
from analysis.metrics import directions, outliers, pruning, robustness
from analysis.metrics.average_precision import ROUNDING, THRESHOLD
from analysis.metrics.basis import (
    eigenframe,
    energy_by_text_variance,
    less_mean,
    mean_share,
    random_rotation,
    text_directions,
    without,
)

Array = NDArray[np.float64]
Draw = np.random.Generator
Classes = NDArray[np.intp]

SEEDS, HEADS = 6, 20
#: A value may be off by so many standard deviations between draws, or by this share of itself.
SPREAD, LEAST = 6.0, 0.05
ACCURACIES = ROOT / "notebooks" / "teach" / "accuracies.csv"


class ExerciseError(CompanionError, ValueError):
    """No such exercise, or another number of values than it asks for."""


def check(label: str, *values: float) -> bool:
    """Print and return whether these values, in the order asked for, answer an exercise.

    Raises ExerciseError for an unknown exercise, another number of values, and for the exam.
    """
    if label.startswith("exam-"):
        raise ExerciseError(f"{label} is of the exam: its answer is in the instructors' build.")
    drawn = answers(label)
    if len(values) != drawn.shape[1]:
        raise ExerciseError(f"{label} got {len(values)} values, give {len(drawn[0])}, one each.")
    expected = drawn.mean(axis=0)
    allowed = np.maximum(SPREAD * drawn.std(axis=0), LEAST * np.abs(expected))
    right = np.abs(np.asarray(values) - expected) <= allowed
    orders = np.array([*permutations(values)])
    if not right.all() and (np.abs(orders - expected) <= allowed).all(axis=1).any():
        print(f"{label}: not yet. The values are right in another order.")
        return False
    for place in np.flatnonzero(~right):
        hint = _mistake(label, values[place], expected[place], allowed[place])
        print(f"{label}, value {place + 1}: not yet. {hint}")
    if right.all():
        print(f"{label}: right.")
    return bool(right.all())


def _mistake(label: str, value: float, expected: float, allowed: float) -> str:
    """The name of a typical error that gives this value, or else the exercise's hint."""
    kappa = label.startswith(("outlier-", "frame-", "origin-2")) and expected > 2.5
    if kappa and abs(value + 3 - expected) <= allowed:
        return "Did you subtract 3? κ here is the kurtosis, not the excess kurtosis."
    told_apart = abs(expected) > 2 * allowed
    if told_apart and abs(value / 100 - expected) <= allowed:
        return "It is 100 times the answer: is this in percent, and a fraction is asked for?"
    if told_apart and abs(value * 100 - expected) <= allowed:
        return "It is a hundredth of the answer: give percent, or points."
    return EXERCISES[label][1]


@cache
def answers(label: str) -> Array:
    """The answers of all draws, (SEEDS, values)."""
    return np.array([_answer(label, seed) for seed in range(SEEDS)])


def shown(label: str, place: int) -> str:
    """One value of the first draw's answer, as pages write it."""
    value = _answer(label, 0)[place]
    return f"{value:{',.0f' if abs(value) >= 1000 else '.3g'}}".replace("-", "−")


@cache
def _answer(label: str, seed: int) -> Array:
    if label not in EXERCISES:
        raise ExerciseError(f"{label!r} has no answer to check: {suggestion(label, EXERCISES)}.")
    return np.atleast_1d(np.asarray(EXERCISES[label][0](np.random.default_rng(seed)), float))


def _points(
    shifted: ArrayLike, imagenet: ArrayLike, line: robustness.Baseline = robustness.PAPER_BASELINE
) -> Array:
    return 100 * robustness.effective_robustness(shifted, imagenet, line)


def _accuracies() -> pd.DataFrame:
    """Every model by name, with its effective robustness in points, `er`."""
    table = pd.read_csv(ACCURACIES, index_col="name")
    shifted = table.loc[:, "imagenet_v2":].mean(axis=1)
    return table.assign(er=_points(shifted, table["imagenet"]))


def _two_lines() -> list[float]:
    """How much more robust the first of three models is: than the second, than the third twice."""
    other = robustness.Baseline(1.04, -1.89, r=np.nan)
    (a, b, c), d = (_points([0.5, 0.44, 0.55], [0.7, 0.7, 0.8], line) for line in
                    (robustness.PAPER_BASELINE, other))  # fmt: skip
    return [a - b, a - c, d[0] - d[2]]


def _equals() -> list[float]:
    """How many of the pool are within a point of 76 % on ImageNet, and their mean ER."""
    table = _accuracies()
    near = (table["imagenet"] - 0.76).abs() <= 0.01 + 1e-12
    own = table[near & (table["group"] == "pool")]
    return [len(own), own["er"].mean()]


def _partial(together: float, first: float, second: float) -> float:
    return (together - first * second) / float(np.sqrt((1 - first**2) * (1 - second**2)))


def _cosines() -> list[float]:
    """The class, from 1, with the largest cosine, and that cosine."""
    texts, image = np.array([[1, 0], [0, 1], [0.6, 0.8]]), np.array([0.8, 0.7])
    cosines = texts @ image / np.linalg.norm(image)
    return [int(cosines.argmax()) + 1, float(cosines.max())]


def _pocket(model: str) -> list[float]:
    """Mean accuracy over seeds in the training style and in the unseen ones, in percent."""
    table = pd.read_csv(ROOT / "data" / "pocket" / "accuracies.csv")
    tested = table[(table["model"] == model) & (table["split"] == "test")]
    means = tested.groupby("role")["accuracy"].mean()
    return [100 * means["imagenet"], 100 * means["unseen"]]


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


def _in_other_frames(draw: Draw) -> list[float]:
    """κ in the eigenframe of rotated vectors, and without the mean in their own frame."""
    h = _vectors(draw, 10)
    return [_kurtosis(eigenframe(h @ random_rotation(512, 0))), _kurtosis(less_mean(h))]


def _without_mean(draw: Draw) -> list[float]:
    """κ and the share in the mean of vectors with an outlier of either sign."""
    h = _vectors(draw)
    h[:, 7] += 10 * (-1) ** np.arange(len(h))
    return [_kurtosis(h), mean_share(h)]


def _unread(draw: Draw) -> tuple[Array, Array]:
    """Texts that vary in 40 of 64 coordinates, and images of them with a constant in another."""
    texts = draw.standard_normal((200, 64)) * (np.arange(64) < 40)
    return texts, texts + 0.3 * draw.standard_normal((200, 64)) + 20 * np.eye(64)[50]


def _dropped(draw: Draw, random: bool) -> list[float]:
    """κ of the images, and without 24 directions κ and the share that is still nearest."""
    texts, h = _unread(draw)
    if random:
        dropped = np.linalg.qr(draw.standard_normal((64, 24)))[0].T
    else:
        dropped = text_directions(texts, at_length=False).directions[:24]
    left = without(h, dropped)
    nearest = float(((left @ texts.T).argmax(axis=1) == np.arange(200)).mean())
    return [*([] if random else [_kurtosis(h)]), _kurtosis(left), nearest]


def _unread_in_another_frame(draw: Draw) -> list[float]:
    """κ of rotated images, and the share of their energy where rotated texts do not vary."""
    texts, h = _unread(draw)
    turn = random_rotation(64, int(draw.integers(1000)))
    own = text_directions(texts @ turn, at_length=False)
    return [_kurtosis(h @ turn), energy_by_text_variance(h @ turn, own).energy[:24].sum()]


def _led(h: Array) -> list[float]:
    """How often the commonest leader leads: after an addition to one component, after a cut."""
    moved = (h + 10 * (np.arange(512) == 7), np.maximum(h, 0))
    return [outliers.persistence(one).fraction for one in moved]


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
    "robustness-4": (lambda _: _accuracies()["er"]["ViT-L-14 openai"],
        "First the mean of the shifts; points."),
    "start-1": (lambda _: 100 * robustness.PAPER_BASELINE.predict(0.75),
        "Go up from 75 % to the dashed line, then left; percent."),
    "start-3": (lambda _: _cosines(), "Divide by the image's length; the texts have length 1."),
    "start-4": (lambda _: (76 - 40) - (63 - 38), "The loss of one less that of the other."),
    "atlas-2": (lambda _: _two_lines(), "Each ER is the accuracy less the line's; then subtract."),
    "atlas-3": (lambda _: [_partial(0.9, 0.8, 0.8), _partial(0.7, 0.8, 0.8)],
        "(r − r₁ r₂) over the root of (1 − r₁²)(1 − r₂²)."),
    "atlas-5": (lambda _: _equals(), "From 75 to 77 %; the mean of the five shifts first."),
    "frame-2": (lambda draw: mean_share(_vectors(draw, 10)), "100 in 512 + 100."),
    "frame-3": (lambda draw: [f(_vectors(draw, 10) @ random_rotation(512, 0))
        for f in (_kurtosis, mean_share)], "Rotate all vectors by the same matrix; κ first."),
    "frame-4": (_in_other_frames, "h @ V, eigenvectors as columns of V; then less the mean."),
    "frame-5": (_without_mean, "Plus for one half; the mean of 1,000 is not exactly 0."),
    "frame-6": (lambda draw: _dropped(draw, random=False), "The rows of V with the least σ."),
    "frame-7": (lambda draw: _dropped(draw, random=True), "24 orthonormal rows, by QR."),
    "frame-8": (_unread_in_another_frame, "Rotate both; the texts choose anew."),
    "origin-2": (lambda draw: _kurtosis(draw.standard_normal((4000, 512))),
        "The length of a vector changes no κ, so Gaussian vectors will do."),
    "origin-3": (lambda _: [1, 3 / np.sqrt((9 + 16) / 2)], "Gradient over the root of its square."),
    "origin-4": (lambda _: np.degrees(np.arctan2(4, 3)) - 45, "From the gradient to the diagonal."),
    "lab-2": (lambda _: 100 * np.sqrt(0.27 * 0.73 / 364) * np.array([1, 1.96]),
        "The root of a (1 − a) / n; in points."),
    "lab-3": (lambda _: _pocket("pocket-cnn-web-large"), "Split test, roles imagenet and unseen."),
    "lab-5": (lambda _: [1 / 36, 3 * 5 / 216 + 1 / 216], "Three levels have six orders."),
    "probe-3": (lambda _: (1.96 * 28 / (0.05 * 87)) ** 2, "1.96 sd / √n is 5 % of the mean."),
    "probe-4": (lambda _: 10**0.5, "The width goes with one over the root of the number."),
    "probe-5": (lambda _: 300 / (1 + 9 * 0.9), "n over 1 + (m − 1) r for groups of m."),
    "train-2": (lambda _: 1_281_167 // 512 * 10, "Whole batches of an epoch, times the epochs."),
    "train-4": (lambda _: [(2 + 0) / 2, 0], "First the mean of two outputs."),
    "exam-1": (lambda _: _points(0.48, 0.7), "As robustness-4."),
    "exam-2": (lambda _: _kurtosis(np.eye(1, 512)), "A single component differs."),
    "exam-3": (lambda _: [(1 + 1 + 3 / 4) / 3, _by_chance(3)], "As concepts-4."),
    "exam-4": (lambda _: [-200 / 40, 1.96 * np.sqrt(400 - 200**2 / 4000) / 40], "Points; paired."),
    "outlier-2": (lambda draw: _kurtosis(_vectors(draw)), "Over each vector's own components."),
    "outlier-3": (lambda draw: [_kurtosis(_vectors(draw, 10)), _half_of_the_most(draw)],
        "Add to the same component of all vectors; half of the most is 255."),
    "outlier-4": (lambda draw: [_kurtosis(np.maximum(_vectors(draw) - cut, 0)) for cut in (0, 1)],
        "Cut the vectors without the addition."),
    "outlier-5": (lambda draw: _led(_vectors(draw)),
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
