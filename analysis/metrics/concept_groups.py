"""Which concepts are alike: they mark largely the same images, as parts and their object do.

Such concepts are encoded, or not, together. Whoever takes concepts as a sample has to take these
groups as independent, not the concepts.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

ALIKE = 0.25
"""Share of images in common, of those that show either, from which on concepts are one group."""


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
