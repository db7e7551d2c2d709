"""Do textures lie along the most important direction, as the paper says of zero-shot models?

A pure function, as in `measures`. It asks of one kind of images, textures, how well a direction
sets each of its classes apart from images of other kinds, and what other directions do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics import basis, directions
from analysis.metrics.average_precision import BalancedSample, average_precision_on, project

Array = NDArray[np.float64]

#: How often negatives are drawn; the seeds are 0, 1, …, that of random directions is 0.
DRAWS = 5


def textures(features: ArrayLike, shown: Any, head: ArrayLike) -> dict[str, Any]:
    """Average precision of textures along a head's directions: (N, d), (N, textures), (rows, d).

    `shown`: scipy.sparse, which image shows which texture. The positives of a texture are all its
    images, the negatives the same number that show none at all; means over `DRAWS` draws of these.
    `along_top`: along the most important direction for these images, in the sign in which textures
    score higher on average, which is the favourable one; `_lowest` and `_highest` of the draws;
    `against_top`: in the other sign. `textures_lie_at`, `others_lie_at`: mean cosine with it, in
    the sign of `along_top`. `per_direction`: the mean over textures along every direction, each in
    its favourable sign, in the order of the singular values; `per_random_direction`: along the same
    number of directions of a random orthogonal basis. `importance`: of each direction, over the
    mean.
    """
    h = basis.at_length_one(features)
    parts = directions.decompose(head)
    importance = directions.importance(h, parts)
    top = int(importance.argmax())
    samples = [_against_others(shown, seed) for seed in range(DRAWS)]
    frame = basis.random_rotation(h.shape[1], 0)[: parts.rank]
    is_texture = np.asarray(shown.sum(axis=1)).ravel() > 0

    def both_ways(vectors: Array) -> Array:
        """Average precisions of (draws, signs, directions, textures), the favourable sign first."""
        scores = project(h, vectors, normalise=False)
        gap = scores[is_texture].mean(axis=0) - scores[~is_texture].mean(axis=0)
        scores *= np.where(gap < 0, -1, 1)
        return np.array(
            [[average_precision_on(sign * scores, drawn) for sign in (1, -1)] for drawn in samples]
        )

    along_all = both_ways(parts.directions)
    along, against = along_all[:, 0, top], along_all[:, 1, top]
    cosines = h @ parts.directions[top]
    sign = np.sign(cosines[is_texture].mean() - cosines[~is_texture].mean())
    return {
        "draws": DRAWS,
        "top_direction": top,
        "along_top": along.mean(axis=0),
        "along_top_lowest": along.min(axis=0),
        "along_top_highest": along.max(axis=0),
        "against_top": against.mean(axis=0),
        "textures_lie_at": sign * cosines[is_texture].mean(),
        "others_lie_at": sign * cosines[~is_texture].mean(),
        "importance": importance / importance.mean(),
        "per_direction": along_all[:, 0].mean(axis=(0, 2)),
        "per_random_direction": both_ways(frame)[:, 0].mean(axis=(0, 2)),
    }


def _against_others(shown: Any, seed: int) -> BalancedSample:
    """All images of each texture, and the same number drawn from images that show none."""
    columns = shown.tocsc()
    others = np.flatnonzero(np.asarray(shown.sum(axis=1)).ravel() == 0)
    generator = np.random.default_rng(seed)
    rows, flags, starts = [], [], [0]
    for first, last in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        positives = np.sort(columns.indices[first:last])
        negatives = np.sort(generator.choice(others, len(positives), replace=False))
        rows += [positives, negatives]
        flags += [True] * len(positives) + [False] * len(negatives)
        starts.append(len(flags))
    return BalancedSample(
        shown.shape[0], np.array(starts), np.concatenate(rows).astype(np.int64), np.array(flags)
    )
