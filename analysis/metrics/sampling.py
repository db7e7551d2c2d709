"""How many images there are where some are copies of others: a copy is no evidence.

Rows of features that are equal to the last bit count as copies. Nothing else does: two files of one
picture that were encoded, cut or batched differently have features that differ a little.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
