"""How many images and concepts tell something by themselves: a copy is no evidence.

`copies` are rows of features that are equal to the last bit. Two files of one picture that were
encoded, cut or batched differently have features that differ a little: `scenes` counts them once.
Concepts that mark largely the same images, as parts and their object do, are encoded, or not,
together: whoever takes concepts as a sample has to take their groups as independent.
"""

from __future__ import annotations

import hashlib

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

ALIKE = 0.25
"""Share of images in common, of those that show either, from which on concepts are one group."""
#: Rows that are compared with all others at a time.
ROWS = 512


def copies(features: ArrayLike) -> NDArray[np.intp]:
    """How often each distinct row of features (N, d) appears, in the order of appearance.

    >>> copies([[1.0, 2], [3, 4], [1, 2]]).tolist()
    [2, 1]
    """
    counts = dict[bytes, int]()
    for row in np.asanyarray(features):
        key = hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest()
        counts[key] = counts.get(key, 0) + 1
    return np.array([*counts.values()], dtype=np.intp)


def distinct_images(features: ArrayLike) -> int:
    """How many images that all differ would tell as much of a mean: (N, d) → at most N.

    The number of distinct rows if all are repeated equally often, and fewer otherwise, since a mean
    over N rows then rests on those that are repeated most: N² / Σ (copies)² (Kish 1965), rounded
    down.

    >>> distinct_images([[1.0], [2], [3]] * 9), distinct_images([[1.0], [2], [3], [3], [3]])
    (3, 2)
    """
    repeated = copies(features)
    return int(repeated.sum() ** 2 // (repeated**2).sum())


def groups(labels: scipy.sparse.csr_array) -> NDArray[np.intp]:
    """The number of each concept's group, (C,), from which image shows which concept, (N, C).

    Groups are joined as long as two concepts, one of each, have on average `ALIKE` of the images in
    common that show either (Jaccard; average linkage, which makes no chains). Every concept must be
    shown by some image.

    >>> groups(scipy.sparse.csr_array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])).tolist()
    [0, 0, 1]
    """
    if labels.shape[1] < 2:
        return np.zeros(labels.shape[1], np.intp)
    numbers = labels.astype(np.float64)
    both = (numbers.T @ numbers).toarray()
    own = both.diagonal()
    apart = 1 - both / (own[:, None] + own - both)
    hierarchy = scipy.cluster.hierarchy
    tree = hierarchy.average(apart[np.triu_indices(len(own), 1)])
    return np.asarray(hierarchy.fcluster(tree, 1 - ALIKE, "distance") - 1, np.intp)


def scenes(features: ArrayLike, alike: float = 0.98) -> int:
    """As `distinct_images`, with images counted as copies that are almost equal to the encoder.

    Two are if their features (N, d), less the mean over images, have a cosine above ``alike``, or
    if others link them. Only a trained encoder can tell: random weights give all pictures nearly
    the same features. It takes N² d multiplications.

    >>> x = np.random.default_rng(0).normal(size=(30, 64))
    >>> scenes(x), scenes(np.tile(x, (9, 1)) + 0.01)
    (30, 30)
    """
    apart = np.asarray(features, np.float64)
    apart = apart - apart.mean(axis=0)
    apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), np.finfo(float).tiny)
    group = np.arange(len(apart))
    for start in range(0, len(apart), ROWS):
        near = apart[start : start + ROWS] @ apart[start:].T > alike
        for row, linked in enumerate(near):
            found = group[start:][linked]
            if (found != group[start + row]).any():
                merged = np.zeros(len(group), bool)
                merged[found] = True
                group[merged[group]] = found.min()
    sizes = np.bincount(group)
    return min(distinct_images(features), int(len(group) ** 2 // (sizes**2).sum()))
