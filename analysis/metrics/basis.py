"""What of a representation is a matter of its basis, and what no rotation changes.

A rotation of the features, undone in the head, changes no cosine and no prediction; the activation
kurtosis, which looks at coordinates, follows it. Here are the operations that show that, and
statements about the same features that stay. Images are taken at length 1, as CLIP compares them,
(N, d) → (N, d); computing is in float64. The definitions are on the book's page
`what_kurtosis_measures`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.directions import unit_blocks
from analysis.metrics.outliers import checked_features

Array = NDArray[np.float64]


def at_length_one(features: ArrayLike) -> Array:
    """Each image scaled to length 1: (N, d) → (N, d); ValueError for rows that are zero."""
    array = checked_features(features)
    return np.concatenate(list(unit_blocks(array, array.shape[1])))


def less_mean(features: ArrayLike) -> Array:
    """Images at length 1, less their mean: (N, d) → (N, d). Needs two images or more.

    >>> less_mean([[2.0, 0.0], [0.0, 3.0]])
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """
    h = at_length_one(features)
    if len(h) < 2:
        raise ValueError("a single image less the mean of one image is nothing; give two or more.")
    centred: Array = h - h.mean(axis=0)
    return centred


@lru_cache(maxsize=16)  # the same frames serve many sets of images
def random_rotation(width: int, seed: int) -> Array:
    """An orthogonal matrix (width, width), uniformly distributed (Haar)."""
    matrix: Array = scipy.stats.ortho_group.rvs(width, random_state=np.random.default_rng(seed))
    matrix.flags.writeable = False
    return matrix


def eigenframe(features: ArrayLike) -> Array:
    """Images in the frame of the eigenvectors of their second moments: (N, d) → (N, d).

    The second moments are E[h hᵀ] of the images at length 1, the mean not taken off; the frame is
    ordered by falling eigenvalue, and in each direction the mean image is not negative. Rotating
    the features before changes nothing here, so any statement about these coordinates is one about
    the features in every basis.
    """
    h = at_length_one(features)
    _, vectors = np.linalg.eigh(h.T @ h / len(h))
    turned = h @ vectors[:, ::-1]
    pointing: Array = turned * np.where(turned.sum(axis=0) < 0, -1.0, 1.0)
    return pointing


def gaussian(features: ArrayLike, images: int, seed: int) -> Array:
    """Draws (images, d) from the Gaussian with the images' mean and covariance.

    A property that they share with the features follows from these two moments alone.
    """
    h = at_length_one(features)
    centred = h - h.mean(axis=0)
    noise = np.random.default_rng(seed).standard_normal((images, len(h)))
    drawn: Array = h.mean(axis=0) + noise @ centred / np.sqrt(len(h))
    return drawn


def mean_share(features: ArrayLike) -> float:
    """The share of the images' energy that lies in their mean, ‖E h‖² / E‖h‖², at length 1.

    Between 0 (directions that cancel) and 1 (equal images). No rotation changes it.

    >>> mean_share([[1, 0], [0, 5]])
    0.5
    """
    mean = at_length_one(features).mean(axis=0)
    return float(mean @ mean)


def effective_rank(features: ArrayLike) -> float:
    """In how many directions images vary: (Σ λ)² / Σ λ² of the eigenvalues of their covariance.

    Between 1 and the width, of the images at length 1. No rotation changes it. ValueError for
    images that do not vary.
    """
    centred = less_mean(features)
    small = centred if len(centred) < centred.shape[1] else centred.T
    gram = small @ small.T  # the same eigenvalues, of the smaller of two matrices
    squares = float((gram**2).sum())
    if not squares:
        raise ValueError("all images are equal, so they vary in no direction; give others.")
    return float(np.trace(gram) ** 2 / squares)
