"""How many bits features need: quantisers, and how many nearest neighbours survive them.

A quantiser replaces numbers by few levels. The functions here return the decoded features, so that
their neighbours and predictions can be compared with those at full precision. Features are read in
blocks of rows; results are those of float64.

Quantisers are textbook ones, and rotating before them is not ours: iterative quantisation (Gong and
Lazebnik 2011) and optimised product quantisation (Ge et al. 2013) learn a rotation, RaBitQ (Gao and
Long 2024) draws one for codes of one bit, and QuaRot (Ashkboos et al. 2024) and SpinQuant (Liu et
al. 2024) rotate language models to remove outliers. Kaul et al. (2410.17174) lower the kurtosis of
activations by another optimiser, with the same aim; Chowers et al. (2603.29080) find that a
narrower gap between images and texts makes quantised embeddings change fewer answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.basis import at_length_one
from analysis.metrics.outliers import checked_features, finite_blocks

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

#: How many neighbours count, and images whose neighbours are looked for, at most: of more images
#: these are evenly spaced ones, which then suffice for a standard error below 1.5 points.
NEIGHBOURS, QUERIES = 10, 1000
#: Cosines that differ by less are equal but for rounding.
TIED = 1e-9
#: Product quantisation: numbers that share a code, codes, images that codebooks learn from, steps.
PART, CODES, LEARNED_FROM, STEPS = 4, 16, 1000, 10
#: Images whose cosines with all others are in memory at a time.
BLOCK = 256


def uniform(
    features: ArrayLike,
    bits: int,
    scale: Literal["vector", "tensor"] = "vector",
    quantile: float = 1.0,
) -> Array:
    """Round to 2^bits − 1 levels, evenly spaced around 0: (N, d) → (N, d).

    The symmetric quantiser of Wu et al. (2020): the step is a / (2^(bits − 1) − 1), with a the
    largest magnitude of each vector, or of all features (`tensor`). With a `quantile` below 1, a is
    that quantile of the magnitudes, and what is larger is clipped. Raises ValueError for less than
    2 bits, and for other quantiles than of (0, 1].

    >>> uniform([[7.0, 1.4, -0.2]], 4)
    array([[7., 1., 0.]])
    >>> uniform([[7.0, 1.4, -0.2]], 2)
    array([[7., 0., 0.]])
    """
    if bits < 2 or not 0 < quantile <= 1:
        raise ValueError("a symmetric quantiser needs 2 bits or more and a quantile in (0, 1].")
    array, most = checked_features(features), 2 ** (bits - 1) - 1
    decoded = np.empty(array.shape)
    if scale == "tensor":  # of a quantile, the whole is needed at once
        sizes = (np.abs(h).max() for _, h in finite_blocks(array))
        of_all = max(sizes) if quantile == 1 else np.quantile(np.abs(array), quantile)
    for rows, h in finite_blocks(array):
        if scale == "vector":
            size = np.abs(h)
            largest = size.max(axis=1) if quantile == 1 else np.quantile(size, quantile, axis=1)
        else:
            largest = np.full(len(h), of_all)
        step = np.where(largest > 0, largest, 1)[:, None] / most
        decoded[rows] = np.clip(np.round(h / step), -most, most) * step + 0.0  # no −0
    return decoded


def ranged(features: ArrayLike, bits: int, of: Literal["dimension", "tensor"]) -> Array:
    """Divide a range into 2^bits − 1 cells: (N, d) → (N, d), the middle of each number's cell.

    The range reaches from the lowest number to the highest, of each `dimension` or of the whole
    `tensor`. Cells and middles are those of faiss (Douze et al. 2024): `QT_4bit` and `QT_8bit` have
    a range per dimension, `QT_4bit_uniform` and `QT_8bit_uniform` a single one.

    >>> ranged([[0.0, 0.0], [3.0, 30.0]], 2, "dimension")
    array([[ 0.5,  5. ],
           [ 3.5, 35. ]])
    """
    array, cells = checked_features(features), 2**bits - 1
    blocks = [(h.min(axis=0), h.max(axis=0)) for _, h in finite_blocks(array)]
    low, high = np.min([b[0] for b in blocks], axis=0), np.max([b[1] for b in blocks], axis=0)
    if of == "tensor":
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    width = np.where(high > low, high - low, 1)
    decoded = np.empty(array.shape)
    for rows, h in finite_blocks(array):
        decoded[rows] = low + (np.floor((h - low) / width * cells) + 0.5) / cells * width
    return decoded


def sign(features: ArrayLike) -> Array:
    """Keep the sign of each number, and the mean magnitude of each vector: (N, d) → (N, d).

    One bit per number. That magnitude is the least-squares one (Rastegari et al. 2016); cosines do
    not depend on it.

    >>> sign([[3.0, -1.0]])
    array([[ 2., -2.]])
    """
    array = checked_features(features)
    decoded = np.empty(array.shape)
    for rows, h in finite_blocks(array):
        decoded[rows] = np.where(h < 0, -1, 1) * np.abs(h).mean(axis=1, keepdims=True)
    return decoded


def product(features: ArrayLike, seed: int = 0) -> Array:
    """Product quantisation (Jégou et al. 2011) with a bit per number: (N, d) → (N, d).

    Each `PART` neighbouring numbers become the nearest of `CODES` vectors, which k-means finds on
    at most `LEARNED_FROM` of the same images, in `STEPS` steps from `CODES` of them, all drawn by
    the seed.

    >>> h = np.repeat([[1.0, 2, 3, 4], [-5, 6, -7, 8]], 10, axis=0)
    >>> np.array_equal(product(h), h)
    True
    """
    array = np.asarray(checked_features(features), dtype=np.float64)
    width = array.shape[1]
    padded = np.pad(array, ((0, 0), (0, -width % PART)))
    parts = padded.reshape(len(array), -1, PART).swapaxes(0, 1)
    rows = np.random.default_rng(seed).permutation(len(array))[:LEARNED_FROM]
    decoded = np.empty_like(parts)
    for place, (part, codes) in enumerate(zip(parts, _codes(parts[:, rows]), strict=True)):
        decoded[place] = codes[_likeness(part, codes).argmax(axis=1)]
    flat: Array = decoded.swapaxes(0, 1).reshape(len(array), -1)[:, :width]
    return flat


def _codes(rows: Array) -> Array:
    """Lloyd's k-means of each part from its first rows: (parts, n, PART) → (parts, CODES, PART)."""
    codes = rows[:, :CODES]
    for _ in range(STEPS):
        own = _likeness(rows, codes).argmax(axis=2)[..., None] == np.arange(codes.shape[1])
        sizes = own.sum(axis=1)[..., None]
        sums = own.swapaxes(1, 2).astype(np.float64) @ rows
        codes = np.where(sizes > 0, sums / np.maximum(sizes, 1), codes)
    return codes


def _likeness(rows: Array, codes: Array) -> Array:
    """Larger where a code is nearer: (…, n, PART), (…, codes, PART) → (…, n, codes)."""
    like: Array = rows @ codes.swapaxes(-1, -2) - (codes**2).sum(axis=-1)[..., None, :] / 2
    return like


# What is left


def evenly(images: int, most: int) -> Indices:
    """At most so many rows, evenly spaced: indices.

    >>> evenly(5, 3)
    array([0, 2, 4])
    """
    rows: Indices = np.unique(np.linspace(0, images - 1, min(images, most)).round().astype(np.intp))
    return rows


def nearest(features: ArrayLike, queries: ArrayLike, neighbours: int = NEIGHBOURS) -> Indices:
    """The images with the largest cosines to some of them, without themselves: (N, d), (q,).

    Returns (q, neighbours), in no order. Raises ValueError if there are not more images.

    >>> nearest([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], [0, 2], neighbours=1)
    array([[1],
           [3]])
    """
    unit, rows = at_length_one(features), np.asarray(queries, dtype=np.intp)
    _check_number(len(unit), neighbours)
    parts = [np.argpartition(-c, neighbours - 1)[:, :neighbours] for _, c in _cosines(unit, rows)]
    return np.concatenate(parts)


def kept(found: ArrayLike, decoded: ArrayLike, queries: ArrayLike) -> Array:
    """The share of each image's neighbours that are still its nearest: (q, k), (N, d), (q,) → (q,).

    `found` is the result of `nearest` at full precision. A quantiser makes cosines equal; among
    equal ones the order is a matter of chance, so each counts with the probability that it is
    taken. What is decoded as 0 has a cosine of 0 with everything.

    >>> kept([[1]], [[1.0, 0], [2, 0], [3, 0]], [0])
    array([0.5])
    """
    h, rows = np.asarray(decoded, dtype=np.float64), np.asarray(queries, dtype=np.intp)
    before = np.asarray(found, dtype=np.intp)
    neighbours = before.shape[1]
    _check_number(len(h), neighbours)
    lengths = np.linalg.norm(h, axis=1, keepdims=True)
    unit = h / np.where(lengths > 0, lengths, 1)
    shares, clear = _clearly_kept(before, unit, rows)
    for part, cosines in _cosines(unit, rows[~clear]):
        own = np.take_along_axis(cosines, before[~clear][part], axis=1)
        cosines.partition(-neighbours, axis=1)
        last = cosines[:, -neighbours, None].copy()
        free = neighbours - (cosines[:, -neighbours:] > last + TIED).sum(axis=1, keepdims=True)
        apart = np.abs(np.subtract(cosines, last, out=cosines), out=cosines)
        tied = (apart <= TIED).sum(axis=1, keepdims=True)
        chance = (own > last + TIED) + (np.abs(own - last) <= TIED) * free / tied
        shares[np.flatnonzero(~clear)[part]] = chance.mean(axis=1)
    return shares


def _clearly_kept(found: Indices, unit: Array, rows: Indices) -> tuple[Array, NDArray[np.bool_]]:
    """Shares kept as cosines in float32 tell, and for which images rounding cannot change them.

    That is so where the last neighbour is nearer than the next image by more than twice the bound
    on a cosine's rounding error (d times float32's epsilon), for half the time of float64.
    """
    neighbours, slack = found.shape[1], unit.shape[1] * np.finfo(np.float32).eps
    shares, clear = np.empty(len(rows)), np.empty(len(rows), dtype=np.bool_)
    for part, cosines in _cosines(unit.astype(np.float32), rows):
        own = np.take_along_axis(cosines, found[part], axis=1)
        cosines.partition(-neighbours - 1, axis=1)
        last = cosines[:, -neighbours:].min(axis=1)
        clear[part] = last - cosines[:, -neighbours - 1] > 2 * slack + TIED
        shares[part] = (own >= last[:, None]).mean(axis=1)
    return shares, clear


def _check_number(images: int, neighbours: int) -> None:
    if images <= neighbours:
        raise ValueError(
            f"{images} images have no {neighbours} neighbours each; give more than {neighbours}."
        )


def _cosines(unit: NDArray[Any], rows: Indices) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Cosines of some images with all, of themselves −∞: a block of them at a time."""
    for start in range(0, len(rows), BLOCK):
        part = slice(start, min(start + BLOCK, len(rows)))
        cosines = unit[rows[part]] @ unit.T
        cosines[np.arange(len(cosines)), rows[part]] = -np.inf
        yield part, cosines


# Why


def crest(features: ArrayLike) -> Array:
    """The largest magnitude over the root mean square of each vector: (N, d) → (N,).

    The crest factor of signal processing. It lies between √κ′ and (d κ′)^¼ with κ′ = d Σ h⁴ /
    (Σ h²)², which is κ of a vector whose numbers have the mean 0: max h² ≥ Σ h⁴ / Σ h², and
    max h⁴ ≤ Σ h⁴.

    >>> crest([[3.0, 0, 0, 0], [1, 1, -1, 1]])
    array([2., 1.])
    """
    array = checked_features(features)
    values = np.empty(len(array))
    for rows, h in finite_blocks(array):
        values[rows] = np.abs(h).max(axis=1) / np.sqrt((h * h).mean(axis=1))
    return values


def expected_error(crests: ArrayLike, bits: int) -> Array:
    """The relative squared error that a crest factor lets expect of `uniform`: same shape.

    A step Δ gives an error of Δ² / 12 if the rounding error is spread evenly over it (Bennett
    1948). With one scale per vector, Δ over the root mean square is the crest factor over
    2^(bits − 1) − 1. Where that is no longer small, most numbers become 0, and the error is less.

    >>> expected_error([3.5, 14.0], 4).round(3)
    array([0.021, 0.333])
    """
    steps: Array = np.asarray(crests, dtype=np.float64) / (2 ** (bits - 1) - 1)
    return steps**2 / 12


def relative_error(features: ArrayLike, decoded: ArrayLike) -> Array:
    """‖decoded − h‖² / ‖h‖² of each vector: (N, d) twice → (N,)."""
    h = np.asarray(features, dtype=np.float64)
    errors: Array = ((np.asarray(decoded) - h) ** 2).sum(axis=1) / (h * h).sum(axis=1)
    return errors
