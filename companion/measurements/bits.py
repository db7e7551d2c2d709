"""How many bits features need: as written, rotated, without one vector, without their mean.

Pure functions, as in `measures`: arrays in, a mapping of numbers and arrays out. The page `bits`
shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import basis, outliers
from analysis.metrics import quantisation as metrics
from analysis.metrics.pruning import paired_difference
from companion.measurements.invariance import Judge
from companion.measurements.measures import Quantities
from companion.measurements.unread import Texts

Array = NDArray[np.float64]
Quantiser = Callable[[ArrayLike], Array]

#: Seeds of the rotations; the share of the texts' variance in the directions that hold the one
#: vector; the quantile of magnitudes at which the clipped scheme clips.
ROTATIONS, SHARE, QUANTILE = 5, 1e-4, 0.99
#: Bits of the scheme whose error theory predicts.
BITS = (8, 6, 5, 4, 3, 2)
#: Each scheme by name and bits per number.
SCHEMES: dict[tuple[str, int], Quantiser] = {
    **{("vector", bits): partial(metrics.uniform, bits=bits) for bits in BITS},
    **{("tensor", b): partial(metrics.uniform, bits=b, scale="tensor") for b in (8, 4, 3, 2)},
    ("range", 4): partial(metrics.ranged, bits=4, of="tensor"),
    **{("dimension", bits): partial(metrics.ranged, bits=bits, of="dimension") for bits in (4, 3)},
    **{("clipped", b): partial(metrics.uniform, bits=b, quantile=QUANTILE) for b in (4, 3)},
    ("sign", 1): metrics.sign,
    ("product", 1): metrics.product,
}


def names() -> list[str]:
    """The scheme of each entry of what `quantisation` gives."""
    return [name for name, _ in SCHEMES]


def quantisation(
    features: ArrayLike, texts: Texts | None = None, judge: Judge | None = None
) -> Quantities:
    """What each of `SCHEMES` leaves of images (N, d), N > 10, in four frames.

    `…_written`: in the axes that the model gives; `…_rotated`: in `ROTATIONS` random bases (seeds
    0, 1, …); `…_less_mean`: the mean image is subtracted first and added after decoding; and
    `…_removed`: the images lose the part of their mean that lies in directions of least text
    variance, which is not added again; empty without texts. `kept`: the share of the ten nearest
    neighbours, by cosine between decoded images, that were neighbours at full precision, with its
    standard error over images. `won`: what rotations add, paired by image. `accuracy`: of the
    judge, empty without one, and `difference`: from `accuracy_whole`. `crest` and `error`: of one
    scale per vector at `BITS`, measured and expected from the crest factor.
    """
    h = basis.at_length_one(features) if judge is None else judge.sees(features)
    queries = metrics.evenly(len(h), metrics.QUERIES)
    look = _looking(metrics.nearest(h, queries), queries, judge)
    mean, frames = h.mean(axis=0), (basis.random_rotation(h.shape[1], s) for s in range(ROTATIONS))
    of_frame = {
        "written": [look(h)],
        "rotated": [look(h @ turn, turn=turn) for turn in frames],
        "less_mean": [look(h - mean, added=mean)],
        "removed": [] if texts is None else [look(without_one_vector(h, texts))],
    }
    return {
        "bits": [bits for _, bits in SCHEMES],
        "queries": len(queries),
        **_of_neighbours({name: [left.kept for left in of] for name, of in of_frame.items()}),
        **_of_predictions(
            {name: [left.hits for left in of] for name, of in of_frame.items()}, h, judge
        ),
        **{
            f"{name}_{frame}": _one_or_list(frame, [getattr(left, name) for left in of])
            for name in ("kurtosis", "crest")
            for frame, of in of_frame.items()
        },
        **_errors(h),
    }


class Left(NamedTuple):
    """What the schemes leave of images in one frame, and the images' own kurtosis and crest factor.

    `kept`: (schemes, queries). `hits`: (schemes, images with a class), empty without a judge.
    """

    kept: Array
    hits: Array
    kurtosis: float
    crest: float


def without_one_vector(h: Array, texts: Texts) -> Array:
    """Images without the direction of their mean's part that lies where texts vary least."""
    found = basis.text_directions(texts.rows, texts.at_length)
    least = found.directions[: int((np.cumsum(found.variance) <= SHARE).sum())]
    return basis.less_direction(h, basis.mean_part(h, least))


def _looking(found: Any, queries: Any, judge: Judge | None) -> Callable[..., Left]:
    """A function that quantises images by each scheme: neighbours kept, and the judge's hits.

    Images may be in another basis, and without a constant that is `added` after decoding.
    """

    def look(images: Array, turn: Array | None = None, added: Any = 0.0) -> Left:
        kept, hits, turned = [], [], judge
        if judge is not None and turn is not None:
            turned = judge._replace(weight=judge.weight.astype(np.float64) @ turn)
        for scheme in SCHEMES.values():
            decoded = scheme(images) + added
            kept.append(metrics.kept(found, decoded, queries))
            if turned is not None:
                hits.append((turned.predicted(decoded) == turned.labels)[turned.labels >= 0])
        kurtosis, crest = outliers.kurtosis(images).mean(), metrics.crest(images).mean()
        return Left(np.array(kept), np.array(hits), kurtosis, crest)

    return look


def _of_neighbours(kept: dict[str, list[Array]]) -> Quantities:
    """From the neighbours kept, (schemes, queries) in each frame, to means and their errors."""
    numbers: Quantities = {"kept_rotated": [of.mean(axis=1) for of in kept["rotated"]]}
    over_frames = {name: np.mean(of, axis=0) for name, of in kept.items() if of}
    for name in kept:
        of = over_frames.get(name)
        numbers.setdefault(f"kept_{name}", [] if of is None else of.mean(axis=1))
        numbers[f"kept_{name}_error"] = [] if of is None else standard_error(of)
    won = over_frames["rotated"] - over_frames["written"]
    return numbers | {"won": won.mean(axis=1), "won_error": standard_error(won)}


def _of_predictions(hits: dict[str, list[Array]], h: Array, judge: Judge | None) -> Quantities:
    """From hits, (schemes, images) in each frame, to accuracies and differences from the whole."""
    scored = judge is not None and bool((judge.labels >= 0).any())
    whole = np.zeros(0)
    if judge is not None and scored:
        whole = (judge.predicted(h) == judge.labels)[judge.labels >= 0]
    numbers: Quantities = {"accuracy_whole": [whole.mean()] if scored else []}
    for name, of in hits.items():
        there = scored and bool(of)
        mean = np.mean(of, axis=0) if there else np.zeros((0, 0))
        change, error = paired_difference(mean, whole) if there else ([], [])
        numbers[f"accuracy_{name}"] = mean.mean(axis=1) if there else []
        numbers[f"difference_{name}"], numbers[f"difference_{name}_error"] = change, error
    return numbers


def _one_or_list(frame: str, values: Sequence[float]) -> Any:
    """Several bases, or a frame that may be missing, give a list; the others a number."""
    return values if frame in ("rotated", "removed") else values[0]


def _errors(h: Array) -> Quantities:
    """Relative squared errors of one scale per vector at `BITS`, and what crest factors predict."""
    crests = metrics.crest(h)
    coded = (metrics.uniform(h, bits) for bits in BITS)
    return {
        "vector_bits": list(BITS),
        "error_measured": [metrics.relative_error(h, some).mean() for some in coded],
        "error_expected": [metrics.expected_error(crests, bits).mean() for bits in BITS],
    }


def standard_error(values: Array) -> Array:
    """Standard error of the mean over the last axis: (…, n) → (…)."""
    error: Array = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    return error
