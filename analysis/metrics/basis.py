"""Which properties of a representation depend on its basis, and which no rotation changes.

A rotation of the features that the head undoes changes no cosine and no prediction, but it changes
the activation kurtosis, which looks at coordinates. This module has the operations that show this,
quantities of the same features that no rotation changes, and the directions along which a model's
texts vary least, which zero-shot classification therefore barely reads in any basis. Images are
taken at length 1, as CLIP compares them, (N, d) → (N, d); computations are in float64. The
definitions are on the book's page `what_kurtosis_measures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.directions import unit_blocks
from analysis.metrics.outliers import BLOCK_BYTES, checked_features

Array = NDArray[np.float64]

#: Up to so many images a Gaussian is drawn as sums of them.
SUMMED = 16_384


def at_length_one(features: ArrayLike) -> Array:
    """Scale each image to length 1: (N, d) → (N, d); ValueError for rows that are zero."""
    array = checked_features(features)
    return np.concatenate(list(unit_blocks(array, array.shape[1])))


def less_mean(features: ArrayLike) -> Array:
    """Images at length 1 minus their mean: (N, d) → (N, d). Needs two images or more.

    >>> less_mean([[2.0, 0.0], [0.0, 3.0]])
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """
    h = at_length_one(features)
    if len(h) < 2:
        raise ValueError("a single image less the mean of one image is nothing; give two or more.")
    return h - h.mean(axis=0)


@lru_cache(maxsize=16)  # the same frames serve many sets of images
def random_rotation(width: int, seed: int) -> Array:
    """An orthogonal matrix (width, width) drawn uniformly (Haar measure).

    It is Q of the decomposition QR of normal numbers, the diagonal of R made positive (Mezzadri
    2007), as in SciPy's `ortho_group`, whose module takes a second to import.
    """
    columns, triangle = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))
    matrix: Array = columns * np.sign(np.diag(triangle))
    matrix.flags.writeable = False
    return matrix


def quarter_turn(width: int, seed: int) -> Array:
    """A random rotation (width, width) whose square is −1; the width is even.

    For every angle a, cos(a) + sin(a) J is then a rotation too: a path from the axes in which
    features are written (a = 0) to random ones (a = 90°), on which each vector stays in the plane
    of two vectors, itself and its image under J.

    >>> turn = quarter_turn(4, seed=0)
    >>> bool(np.allclose(turn @ turn, -np.eye(4)) and np.allclose(turn.T, -turn))
    True
    """
    if width % 2:
        raise ValueError(f"a quarter turn pairs the axes, so the width must be even, got {width}.")
    axes = random_rotation(width, seed)
    first, second = axes[:, ::2], axes[:, 1::2]
    return second @ first.T - first @ second.T


def eigenvectors(features: ArrayLike) -> Array:
    """The eigenvectors of the images' second moments, as columns: (N, d) → (d, d).

    The second moments are E[h hᵀ] of the images at length 1, without subtracting the mean. The
    eigenvectors are ordered by falling eigenvalue, and each points to where the mean image is not
    negative.
    """
    array = checked_features(features)
    second = np.zeros((array.shape[1], array.shape[1]))
    for h in unit_blocks(array, len(second)):
        second += h.T @ h
    vectors: Array = np.linalg.eigh(second / len(array))[1][:, ::-1]
    return vectors * np.where(mean_image(array) @ vectors < 0, -1.0, 1.0)


def eigenframe(features: ArrayLike) -> Array:
    """Images in the basis of their `eigenvectors`: (N, d) → (N, d).

    Rotating the features beforehand changes nothing here, so any statement about these coordinates
    holds for the features in every basis.
    """
    return at_length_one(features) @ eigenvectors(features)


def gaussian(features: ArrayLike, images: int, seed: int) -> Array:
    """Draw (images, d) from the Gaussian with the images' mean and covariance.

    A property that the draws share with the features follows from these two moments alone.
    """
    return np.concatenate(list(gaussian_blocks(features, images, seed)))


def gaussian_blocks(features: ArrayLike, images: int, seed: int) -> Iterator[Array]:
    """Yield the draws of `gaussian` a block of rows at a time.

    A draw is a random sum of the images less their mean. Of more than `SUMMED` images it is a
    random sum of the square root of their covariance instead: another draw from the same Gaussian,
    with d random numbers an image and not N.
    """
    array, draws = checked_features(features), np.random.default_rng(seed)
    mean = mean_image(array)
    if len(array) > SUMMED:
        values, vectors = np.linalg.eigh(covariance(array))
        root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    else:
        root = (at_length_one(array) - mean) / np.sqrt(len(array))
    step = max(1, BLOCK_BYTES // (8 * len(root)))
    for start in range(0, images, step):
        yield mean + draws.standard_normal((min(step, images - start), len(root))) @ root


def mean_image(features: ArrayLike) -> Array:
    """The mean of images at length 1: (N, d) → (d,)."""
    array = checked_features(features)
    total = np.zeros(array.shape[1])
    for h in unit_blocks(array, array.shape[1]):
        total += h.sum(axis=0)
    return total / len(array)


def covariance(features: ArrayLike) -> Array:
    """The covariance of images at length 1, divided by N: (N, d) → (d, d)."""
    array, mean = checked_features(features), mean_image(features)
    total = np.zeros((len(mean), len(mean)))
    for h in unit_blocks(array, len(mean)):
        total += (h - mean).T @ (h - mean)
    return total / len(array)


def mean_share(features: ArrayLike) -> float:
    """The share of the images' energy that lies in their mean, ‖E h‖² / E‖h‖², at length 1.

    It lies between 0 (directions that cancel) and 1 (equal images). No rotation changes it.

    >>> mean_share([[1, 0], [0, 5]])
    0.5
    """
    mean = mean_image(features)
    return float(mean @ mean)


def effective_rank(features: ArrayLike) -> float:
    """In how many directions images vary: (Σ λ)² / Σ λ² of the eigenvalues of their covariance.

    It lies between 1 and the width, for the images at length 1. No rotation changes it. Raises
    ValueError for images that do not vary.
    """
    array = checked_features(features)
    if len(array) < array.shape[1]:  # the same eigenvalues, of the smaller of two matrices
        centred = less_mean(array)
        gram = centred @ centred.T
    else:
        gram = covariance(array)
    squares = float((gram**2).sum())
    if not squares:
        raise ValueError("all images are equal, so they vary in no direction; give others.")
    return float(np.trace(gram) ** 2 / squares)


class TextDirections(NamedTuple):
    """An orthonormal basis of feature space, ordered by how much texts vary along each direction.

    `directions`: (d, d), a direction in each row. `variance`: (d,), rising; each direction's share
    of the texts' variance, summing to 1. `spanned`: how many directions have a variance that
    rounding cannot have caused. `texts`: the number of texts.
    """

    directions: Array
    variance: Array
    spanned: int
    texts: int


class TextEnergy(NamedTuple):
    """The texts' `variance` and the images' `energy` along each text direction, as shares (d,)."""

    variance: Array
    energy: Array


def text_directions(texts: ArrayLike, at_length: bool = True) -> TextDirections:
    """The directions along which texts (n, d) vary, least first; n ≥ 2.

    `texts` are embeddings, or the rows of a zero-shot head. With `at_length` they are scaled to
    length 1; without it they are taken as they are, for a classifier whose rows' lengths count. The
    directions are the right singular vectors of the texts minus their mean; whatever is orthogonal
    to all of these comes first, with variance 0. Rotating features and texts, or adding a constant
    to them, changes no result. Raises ValueError for a single text, and for texts that are all
    equal.

    >>> text_directions([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]).variance
    array([0. , 0.5, 0.5])
    """
    array = checked_features(texts, smallest_width=1)
    t = at_length_one(array) if at_length else np.asarray(array, dtype=np.float64)
    values, vectors = np.linalg.svd(t - t.mean(axis=0), full_matrices=True)[1:]
    # What rounding to the texts' own type leaves, and what the decomposition itself does.
    stored = np.finfo(array.dtype).eps / 2 if np.issubdtype(array.dtype, np.floating) else 0.0
    computing = max(t.shape) * np.finfo(np.float64).eps
    stored, computing = np.linalg.norm(t) * np.array([stored, computing])
    spanned = int((values > max(stored, computing)).sum())  # as in `directions.decompose`
    squares = np.zeros(t.shape[1])
    squares[: len(values)] = np.where(values > computing, values, 0) ** 2
    if not spanned:
        raise ValueError(f"the {len(t)} texts are equal, so they vary in no direction; give more.")
    varied = int((values > computing).sum())
    vectors = np.concatenate([vectors[:varied], _settled(vectors[varied:])])
    return TextDirections(vectors[::-1], (squares / squares.sum())[::-1], spanned, len(t))


def _settled(null: Array) -> Array:
    """Orthonormal rows that span a null space, fixed by a seed whatever computed the space."""
    drawn = np.random.default_rng(0).normal(size=null.shape[::-1])
    columns, triangle = np.linalg.qr(null.T @ (null @ drawn))
    return (columns * np.sign(np.diag(triangle))).T


def least_varying(texts: ArrayLike, share: float) -> Array:
    """The directions that together hold at most `share` of the texts' variance: (k, d).

    Raises ValueError if every direction holds more.
    """
    found = text_directions(texts)
    count = int((np.cumsum(found.variance) <= share).sum())
    if not count:
        raise ValueError(
            f"no direction holds as little as {share:g} of the texts' variance, the least varying "
            f"one holds {found.variance[0]:.2g}; give a larger share."
        )
    return found.directions[:count]


def without(features: ArrayLike, directions: ArrayLike) -> Array:
    """Remove from features (N, d) their part along orthonormal directions (k, d): → (N, d).

    >>> without([[1.0, 2.0]], [[0.0, 1.0]])
    array([[1., 0.]])
    """
    h, v = np.asarray(features, dtype=np.float64), np.asarray(directions, dtype=np.float64)
    if not np.allclose(v @ v.T, np.eye(len(v)), atol=1e-6):
        raise ValueError("directions must be orthonormal: of length 1 and at right angles.")
    return h - (h @ v.T) @ v


def mean_part(features: ArrayLike, directions: ArrayLike) -> Array:
    """The mean image's part in the span of orthonormal directions: (N, d), (k, d) → (d,).

    Along directions in which texts vary least it is the one vector that carries κ.

    >>> mean_part([[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0]])
    array([0., 3.])
    """
    v = np.asarray(directions, dtype=np.float64)
    part: Array = np.asarray(features, dtype=np.float64).mean(axis=0) @ v.T @ v
    return part


def less_direction(features: ArrayLike, vector: ArrayLike) -> Array:
    """Features (N, d) without their part along a vector (d,) of any length; along 0 all is kept.

    >>> less_direction([[1.0, 2.0]], [0.0, -3.0])
    array([[1., 0.]])
    """
    v = np.asarray(vector, dtype=np.float64)
    length = np.linalg.norm(v)
    return without(features, v[None] / length if length else v[None][:0])


def principal_directions(features: ArrayLike) -> Array:
    """The directions of features (N, d), not centred, of most energy first: (rank, d).

    These are the eigenvectors of the second moments whose eigenvalue rounding cannot have caused.
    """
    h = np.asarray(features, dtype=np.float64)
    energies, vectors = np.linalg.eigh(h.T @ h)
    some = energies > max(h.shape) * np.finfo(np.float64).eps * energies[-1]
    directions: Array = vectors.T[some][::-1]
    return directions


def energy_by_text_variance(features: ArrayLike, texts: ArrayLike | TextDirections) -> TextEnergy:
    """The images' energy along each text direction, the least varying first: images (N, d).

    Energies are shares of E‖h‖², at length 1. Directions without variance have no natural order, so
    each gets their mean energy. Rotating features and texts changes nothing.
    """
    found = texts if isinstance(texts, TextDirections) else text_directions(texts)
    energy = ((at_length_one(features) @ found.directions.T) ** 2).mean(axis=0)
    empty = len(energy) - found.spanned
    energy[:empty] = energy[:empty].mean() if empty else 0
    return TextEnergy(found.variance, energy)
