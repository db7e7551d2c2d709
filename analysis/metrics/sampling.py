"""How many images and concepts tell something by themselves: a copy is no evidence.

`copies` are rows of features that are equal to the last bit. Two files of one picture that were
encoded, cut or batched differently have features that differ a little: `scenes` counts them once.
Concepts that mark largely the same images, as parts and their object do, are encoded, or not,
together: whoever takes concepts as a sample has to take their groups as independent.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

ALIKE = 0.25
"""Share of images in common, of those that show either, from which on concepts are one group."""
#: Rows and columns of the cosines that are computed at a time.
ROWS, COLUMNS = 512, 16_384
#: Principal directions of a sketch, rows that they are found in, and an error of its cosines.
DIRECTIONS, SAMPLE, ROUNDED = 32, 4096, 1e-4


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
    the same features. Pairs are compared in all d components only if their `_sketches` have such a
    cosine and no others link them; so the N² products are short.

    >>> x = np.random.default_rng(0).normal(size=(30, 64))
    >>> scenes(x), scenes(np.tile(x, (9, 1)) + 0.01)
    (30, 30)
    """
    array = np.asanyarray(features)
    mean = array.mean(axis=0, dtype=np.float64)
    sketches = _sketches(array, mean)
    order = sketches[:, 0].argsort(kind="stable")
    sketches = sketches[order]
    group = np.arange(len(array))
    for start in range(0, len(array), ROWS):
        rows = slice(start, start + ROWS)
        # Vectors of length 1 with such a cosine are no farther apart than this, in any direction.
        reach = sketches[rows][-1, 0] + np.sqrt(2 - 2 * alike) + ROUNDED
        end = int(np.searchsorted(sketches[:, 0], reach, "right"))
        for first in range(start, end, COLUMNS):
            columns = slice(first, min(first + COLUMNS, end))
            i, j = np.nonzero(sketches[rows] @ sketches[columns].T > alike - ROUNDED)
            unlinked = group[start + i] != group[first + j]
            a, b = np.unique(start + i[unlinked]), np.unique(first + j[unlinked])
            if len(a):
                cosines = _units(array, order[a], mean) @ _units(array, order[b], mean).T
                i, j = np.nonzero(cosines > alike)
                group = _linked(group, np.stack([a[i], b[j]]))
    sizes = np.bincount(group)
    return min(distinct_images(array), int(len(group) ** 2 // (sizes**2).sum()))


def _sketches(features: NDArray[Any], mean: NDArray[np.float64]) -> NDArray[np.float32]:
    """Short vectors of length 1 whose cosines are no smaller: (N, d) → (N, k + 1).

    They are the projections on the k principal directions of at most `SAMPLE` rows, and the length
    of the rest: two rests have no larger product than their lengths have (Cauchy and Schwarz).
    """
    sample = _units(features, slice(None, None, -(-len(features) // SAMPLE)), mean)
    directions = np.linalg.eigh(sample.T @ sample)[1][:, : -DIRECTIONS - 1 : -1]
    sketches = np.empty((len(features), directions.shape[1] + 1), np.float32)
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        inside = _units(features, rows, mean) @ directions
        sketches[rows, :-1] = inside
        sketches[rows, -1] = np.sqrt(np.maximum(1 - (inside**2).sum(axis=1), 0))
    return sketches


def _units(features: NDArray[Any], rows: Any, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some rows less the mean, in float64, of length 1."""
    apart = np.asarray(features[rows], np.float64) - mean
    apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), np.finfo(float).tiny)
    return apart


def _linked(group: NDArray[np.intp], links: NDArray[np.intp]) -> NDArray[np.intp]:
    """The groups of rows (N,), each below N, after pairs of rows (2, n) were linked."""
    names, ends = np.unique(group[links], return_inverse=True)
    pairs = (np.ones(links.shape[1], bool), ends.reshape(links.shape))
    graph = scipy.sparse.coo_array(pairs, shape=(len(names), len(names)))
    joined = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    renamed = np.arange(len(group))
    renamed[names] = names[np.unique(joined, return_index=True)[1]][joined]
    return renamed[group]
