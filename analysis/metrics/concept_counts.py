"""How many concepts a model's directions encode, and how many chance would give.

`average_precision` computes which direction encodes which concept. This module compares the counts
(`eq-n-unique`) with what the same number of random directions reach on the same features, and with
what the model's own directions reach once the labels are permuted, and it measures how much the
counts vary with the negatives drawn and with the images available. Arrays go in, numbers come out;
the module does not know which images and concepts these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import directions
from analysis.metrics.average_precision import (
    BalancedSample,
    average_precision_on,
    balanced_sample,
    encoded,
    project,
    random_directions,
)
from analysis.metrics.directions import Decomposition

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
CountName = Literal["unique", "lower", "best"]
Kind = Literal["draws", "random", "permuted", "halves"]
QUANTITIES: tuple[CountName, ...] = ("unique", "lower", "best")
MANY_LABELS = 200_000
"""Labels from which a probe counts as large: Broden has several times as many, the others less."""
LEAST_POSITIVES = 20
"""Positive images that a concept needs: of all rankings of 20 positives and 20 negatives a share of
4.4e-6 has an average precision of 0.9 or more."""
LEAST_CLUSTERS = 5
"""Clusters of images that look alike among its positives that a concept needs."""
REGIONS = {
    "zero_shot_only": ("zero_shot",),
    "zero_shot_finetuned": ("zero_shot", "finetuned"),
    "zero_shot_supervised": ("zero_shot", "supervised"),
    "all": ("zero_shot", "finetuned", "supervised"),
    "finetuned_only": ("finetuned",),
    "finetuned_supervised": ("finetuned", "supervised"),
    "supervised_only": ("supervised",),
}
"""The seven regions of three levels' sets, by the levels that they lie in."""


@dataclass(frozen=True)
class ConceptImages:
    """A probe: N images labelled with C concepts.

    ``labels`` (N, C) says which image shows which concept; ``names`` and ``kinds`` (C,) describe
    the concepts. ``data`` are the store's data sets that hold the images, in the order of the rows,
    and ``numbers`` (N,) the images' row numbers there. ``units`` (N,) numbers what an image
    depicts, ``places`` (N,) who drew it; images with the same number in ``clusters`` (N,) look
    alike or share a unit. Each photograph is its own unit and cluster. Features of the images
    numbered ``left_out`` may be in the store but are not used. Where they are known, ``annotated``
    maps a kind to the images (N,) in which somebody looked for concepts of that kind, and
    ``shares`` (N, C) says how much of a picture each concept takes.
    """

    title: str
    data: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    labels: scipy.sparse.csr_array = field(repr=False)
    numbers: NDArray[np.uint64] = field(repr=False)
    units: Rows = field(repr=False)
    places: Rows = field(repr=False)
    clusters: Rows = field(repr=False)
    left_out: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64), repr=False)
    annotated: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict, repr=False)
    shares: scipy.sparse.csr_array | None = field(default=None, repr=False)

    @property
    def positives(self) -> NDArray[np.intp]:
        """How many images show each concept, (C,)."""
        return np.asarray(self.labels.sum(axis=0), dtype=np.intp).ravel()

    def at_least(self, share: float) -> ConceptImages:
        """A picture shows a concept only if the concept takes at least such a share of it."""
        assert self.shares is not None  # only who knows shares asks
        return replace(self, labels=scipy.sparse.csr_array(self.shares >= share))

    def sample(
        self, seed: int, annotated: bool = False, labels: scipy.sparse.csr_array | None = None
    ) -> BalancedSample:
        """Equal numbers of positives and negatives of each concept, by the labels (N, C) or others.

        ``annotated``: negatives only from images in which somebody looked for the concept's kind.
        """
        among = [self.annotated[kind] for kind in self.kinds] if annotated else None
        return balanced_sample(self.labels if labels is None else labels, seed, among)

    def part(self, images: NDArray[np.bool_], concepts: ArrayLike) -> ConceptImages:
        """Some of the images (N,) and of the concepts, by their numbers, for drawing samples."""
        columns = np.asarray(concepts, dtype=np.intp)
        return replace(
            self,
            names=tuple(self.names[c] for c in columns),
            kinds=tuple(self.kinds[c] for c in columns),
            labels=scipy.sparse.csr_array(self.labels[images][:, columns]),
            annotated={kind: looked[images] for kind, looked in self.annotated.items()},
            shares=None,
        )

    def select(self, positives: int, clusters: int = 1) -> ConceptImages:
        """Only concepts with so many positive images, of so many clusters; none of them twice.

        A concept that marks exactly the images of an earlier one (the subgroup of sweets and the
        tag "dessert") is left out.
        """
        columns, first = scipy.sparse.csc_array(self.labels), dict[bytes, int]()
        for c in np.flatnonzero(self.positives >= positives).tolist():
            rows = np.sort(columns.indices[columns.indptr[c] : columns.indptr[c + 1]])
            if len(np.unique(self.clusters[rows])) >= clusters:
                first.setdefault(rows.tobytes(), c)
        return self.part(np.ones(len(self.units), np.bool_), list(first.values()))


@dataclass(frozen=True)
class Settings:
    """How concepts are counted.

    ``threshold`` is the average precision from which a concept counts as encoded, ``lower`` a
    second, lower threshold. ``both_signs`` takes the better of a direction and its opposite.
    ``normalise`` scales features to length 1 before projecting. ``annotated`` takes negatives only
    from images in which somebody looked for the concept's kind. ``draws`` is the number of draws of
    negatives, ``chance`` that of sets of random directions and of permutations, and ``halves`` that
    of halves of the images for the standard error, in which only concepts with at least
    ``frequent`` positive images are counted.
    """

    threshold: float = 0.9
    lower: float = 0.8
    both_signs: bool = False
    normalise: bool = False
    annotated: bool = False
    seed: int = 0
    draws: int = 5
    chance: int = 10
    halves: int = 30
    frequent: int = 2 * LEAST_POSITIVES

    @property
    def thresholds(self) -> tuple[float, float]:
        """The threshold and the lower one."""
        return self.threshold, self.lower


def settings_for(probe: ConceptImages, **choices: Any) -> Settings:
    """The settings for a probe: fewer repetitions where it has more than `MANY_LABELS` labels.

    `choices`: other fields of `Settings`. Recorded measurements and live pages both call this
    function, so they repeat equally often.
    """
    settings = Settings(**choices)
    if probe.labels.nnz <= MANY_LABELS:
        return settings
    return replace(settings, draws=3, chance=5, halves=20)


@dataclass(frozen=True)
class Found:
    """Counts for one model's directions.

    ``directions``: their number. ``ap`` (directions, C): average precisions for the first draw of
    negatives; a recorded measurement has one row, each concept's best. Each other array has one row
    per repetition and the columns of `QUANTITIES`: concepts encoded at the threshold, at the lower
    one, and the mean over concepts of the best direction's average precision. ``halves`` count
    frequent concepts alone (see `draw`), and ``of_frequent`` (3,) has the same quantities of these
    concepts in all images, for the first draw of negatives: zero, and NaN, where no concept is
    frequent.
    """

    directions: int
    ap: Array = field(repr=False)
    draws: Array
    random: Array
    permuted: Array
    halves: Array
    of_frequent: Array

    def of(self, kind: Kind, quantity: CountName) -> Array:
        """One quantity in all repetitions of a kind."""
        return getattr(self, kind)[:, QUANTITIES.index(quantity)]

    def value(self, quantity: CountName) -> float:
        """The mean over draws of negatives."""
        return float(self.of("draws", quantity).mean())

    def chance(self, quantity: CountName, kind: Literal["random", "permuted"]) -> float:
        """What random directions, or permuted labels, reach on average."""
        return float(self.of(kind, quantity).mean())

    def frequent(self, quantity: CountName) -> Difference:
        """The value among frequent concepts, and its standard error: see `draw`."""
        value = float(self.of_frequent[QUANTITIES.index(quantity)])
        return Difference(value, _deviation(self.of("halves", quantity)))


class Difference(NamedTuple):
    """A value, or the difference of two models' values on the same images, with standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Draws:
    """Images drawn for each concept, the same for every model: see `draw`.

    ``own`` for the labels as they are, ``permuted`` for permuted ones; ``halves`` are pairs of
    which images are in the half, (N,), and the draw among these for the ``frequent`` concepts,
    (C,).
    """

    own: tuple[BalancedSample, ...] = field(repr=False)
    permuted: tuple[BalancedSample, ...] = field(repr=False)
    halves: tuple[tuple[NDArray[np.bool_], BalancedSample], ...] = field(repr=False)
    frequent: NDArray[np.bool_] = field(repr=False)


def draw(probe: ConceptImages, settings: Settings) -> Draws:
    """Draw positives and equal numbers of negatives for each concept, for all that `count` does.

    The standard deviation of a count over random halves of the probe's clusters, drawn without
    replacement, estimates the standard error of the count over all of them (the delete-half
    jackknife, Shao and Wu 1989), including the draw of negatives. This requires a count whose level
    does not depend on the number of images, but with fewer positives more concepts pass by luck.
    Halves therefore count only *frequent* concepts, which keep the least number of positives on
    average, and the error is that of the count among these. A bootstrap, which repeats images,
    would not meet the requirement.
    """
    first = settings.seed
    frequent = probe.positives >= settings.frequent
    repeated = settings.halves if frequent.any() else 0
    halves = [half_of_clusters(probe, first + 2000 + n) for n in range(repeated)]

    def sample(of: ConceptImages, number: int, labels: Any = None) -> BalancedSample:
        return of.sample(first + number, settings.annotated, labels)

    return Draws(
        own=tuple(sample(probe, n) for n in range(settings.draws)),
        permuted=tuple(
            sample(probe, n, permuted_units(probe, first + 1000 + n))
            for n in range(settings.chance)
        ),
        halves=tuple(
            (half, sample(probe.part(half, np.flatnonzero(frequent)), n))
            for n, half in enumerate(halves)
        ),
        frequent=frequent,
    )


def count(features: ArrayLike, directions: ArrayLike, draws: Draws, settings: Settings) -> Found:
    """Count concepts in directions (k, d) of features (N, d), with chance and standard error."""
    vectors = np.asarray(directions, dtype=np.float64)
    scores = project(features, vectors, normalise=settings.normalise)
    own = [average_precision(scores, sample, settings) for sample in draws.own]

    def random(n: int) -> NDArray[np.float32]:
        drawn = random_directions(len(vectors), vectors.shape[1], settings.seed + n)
        return project(features, drawn, normalise=settings.normalise)

    def tallied(pairs: Iterable[tuple[NDArray[np.float32], BalancedSample]]) -> Array:
        rows = [tally(average_precision(s, sample, settings), settings) for s, sample in pairs]
        return np.array(rows).reshape(-1, len(QUANTITIES))

    return Found(
        directions=len(vectors),
        ap=own[0],
        draws=np.array([tally(ap, settings) for ap in own]),
        random=tallied((random(n), draws.own[n % len(own)]) for n in range(settings.chance)),
        permuted=tallied((scores, sample) for sample in draws.permuted),
        halves=tallied((scores[half], sample) for half, sample in draws.halves),
        of_frequent=tally(own[0][:, draws.frequent], settings),
    )


def average_precision(scores: ArrayLike, sample: BalancedSample, settings: Settings) -> Array:
    """Average precision (k, C) of scores (N, k) on the images drawn."""
    ap = average_precision_on(scores, sample)
    if settings.both_signs:
        return np.maximum(ap, average_precision_on(-np.asarray(scores), sample))
    return ap


def along_most_important(
    features: ArrayLike,
    parts: Decomposition,
    sample: BalancedSample,
    settings: Settings,
    weights: ArrayLike | None = None,
) -> tuple[int, Array]:
    """A head's most important direction, and the average precision along it, (C,).

    ``features`` (N, d) are the probe's; ``weights`` (rank,) are the importances that select the
    direction, by default those for the probe's images. The direction's arbitrary sign is chosen so
    that it points to where the images lie on average; a low score is then the unusual one.
    """
    found = directions.importance(features, parts) if weights is None else np.asarray(weights)
    top = int(found.argmax())
    scores = project(features, parts.directions[[top]], normalise=settings.normalise)
    scores = scores * np.sign(scores.mean())
    return top, average_precision_on(scores, sample)[0]


def tally(ap: ArrayLike, settings: Settings) -> Array:
    """The numbers of `QUANTITIES` from average precisions (k, C); NaN counts as not encoded.

    Without concepts, NaN.
    """
    if not np.shape(ap)[1]:
        return np.full(len(QUANTITIES), np.nan)
    counts = [encoded(ap, level).any(axis=0).sum() for level in settings.thresholds]
    return np.array([*counts, best_of(ap).mean()])


def best_of(ap: ArrayLike) -> Array:
    """Each concept's highest average precision over directions: (k, C) → (C,), NaN as 0."""
    return np.nan_to_num(np.asarray(ap, dtype=np.float64)).max(axis=0)


def difference(one: Found, other: Found, quantity: CountName) -> Difference:
    """How much one model's value exceeds another's among frequent concepts.

    The result includes the standard error of this paired difference.
    """
    apart = one.of("halves", quantity) - other.of("halves", quantity)
    whole = one.frequent(quantity).value - other.frequent(quantity).value
    return Difference(whole, _deviation(apart))


def regions(sets: Mapping[str, ArrayLike], threshold: float) -> dict[str, int]:
    """Sizes of the `REGIONS` of three levels' encoded concepts, from their average precisions."""
    encodes = {level: encoded(ap, threshold).any(axis=0) for level, ap in sets.items()}
    return {
        name: int(
            np.all([has == (level in levels) for level, has in encodes.items()], axis=0).sum()
        )
        for name, levels in REGIONS.items()
    }


def totals(of_regions: Mapping[str, int]) -> dict[str, int]:
    """Level → how many concepts it encodes, from the regions."""
    return {level: shared(of_regions, level, level) for level in REGIONS["all"]}


def shared(of_regions: Mapping[str, int], level: str, other: str) -> int:
    """How many concepts two levels have in common."""
    return sum(n for region, n in of_regions.items() if {level, other} <= {*REGIONS[region]})


def by_kind(ap: ArrayLike, kinds: tuple[str, ...], threshold: float) -> dict[str, int]:
    """How many concepts of each kind are encoded, kinds in their order of appearance."""
    has, own = encoded(ap, threshold).any(axis=0), np.array(kinds)
    return {kind: int((has & (own == kind)).sum()) for kind in dict.fromkeys(kinds)}


def _deviation(values: Array) -> float:
    """Standard deviation of a sample, NaN for fewer than two values."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def permuted_units(probe: ConceptImages, seed: int) -> scipy.sparse.csr_array:
    """The labels (N, C) after the units have exchanged theirs at random.

    Only units with pictures in the same places are exchanged, and all pictures of a unit move
    together: a concept keeps its number of positives and what makes them alike, but no longer what
    they show.
    """
    generator = np.random.default_rng(seed)
    order = np.lexsort((probe.places, probe.units))
    starts = np.flatnonzero(np.diff(probe.units[order], prepend=-1))
    blocks = np.split(order, starts[1:])
    same: dict[bytes, list[int]] = {}
    for number, block in enumerate(blocks):
        same.setdefault(probe.places[block].tobytes(), []).append(number)
    source = np.empty(len(order), dtype=np.intp)
    for numbers in same.values():
        for number, other in zip(numbers, generator.permutation(numbers), strict=True):
            source[blocks[number]] = blocks[other]
    return scipy.sparse.csr_array(probe.labels[source])


def half_of_clusters(probe: ConceptImages, seed: int) -> NDArray[np.bool_]:
    """Whether each image (N,) is in a random half of the clusters; no cluster is divided."""
    count = int(probe.clusters.max()) + 1
    chosen = np.random.default_rng(seed).permutation(count) < count // 2
    return chosen[probe.clusters]
