"""What a pocket model's representation is like, in a few numbers: one row per model and seed.

The same numbers for features that were just extracted and for those of a finished training, so
that models of all seeds, whose weights are not kept, can be set beside those that are. No torch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.images import emoji
from analysis.metrics import concept_counts, directions, outliers
from analysis.metrics.concept_counts import Draws, Settings
from companion.measurements import concept_probe
from training.pocket import POCKET

#: One row for each model of the pocket families and seed, written by ``data/pocket/make.py``.
REPRESENTATIONS = POCKET / "representations.csv"
COLUMNS = (
    "model", "family", "level", "seed", "kurtosis", "kurtosis_error", "persistence", "leader",
    "largest", "top_importance", "n_encoded", "n_unique", "best", "random_directions",
)  # fmt: skip
#: Concepts count from the paper's threshold and from a lower one of ours.
SETTINGS = Settings(threshold=0.9, lower=0.8, seed=0, chance=5, halves=0)


def quantities(features: ArrayLike, head: ArrayLike) -> dict[str, Any]:
    """The numbers of a row from features (N, d) of all test emoji and a head (classes, d).

    N is in the order of `probe_data.pocket`. ``kurtosis`` (mean and its standard error),
    ``persistence`` (a fraction) with its coordinate ``leader``, ``largest`` (coordinate of the
    activation profile, times the mean) and ``top_importance`` (times the mean) are of the test
    emoji in the training style; ``n_encoded`` and ``n_unique`` are the unique concepts with an
    average precision of at least 0.9 and 0.8 along the head's right singular vectors, ``best``
    the mean over concepts of the best direction's average precision (a fraction),
    ``random_directions`` what as many random directions reach where n_unique counts.
    """
    array = np.asarray(features, dtype=np.float64)
    inside = array[training_style()]
    parts = directions.decompose(head)
    kurtosis = outliers.kurtosis(inside)
    leader, fraction = outliers.persistence(inside)
    importance = directions.importance(inside, parts)
    counts = concept_counts.count(array, parts.directions, _draws(), SETTINGS)
    return {
        "kurtosis": kurtosis.mean(),
        "kurtosis_error": kurtosis.std(ddof=1) / np.sqrt(len(kurtosis)),
        "persistence": fraction,
        "leader": leader,
        "largest": outliers.activation_profile(inside).max(),
        "top_importance": importance.max() / importance.mean(),
        "n_encoded": counts.value("unique"),
        "n_unique": counts.value("lower"),
        "best": counts.value("best"),
        "random_directions": counts.chance("lower", "random").mean,
    }


@lru_cache(maxsize=1)
def training_style() -> NDArray[np.bool_]:
    """Which of the probe's images are in the training style: (N,)."""
    table: pd.DataFrame = emoji.load().table
    return (table[table["split"] == "test"]["style"] == emoji.IMAGENET).to_numpy()


def recorded() -> pd.DataFrame:
    """The kept rows of all seeds, columns `COLUMNS`."""
    return pd.read_csv(REPRESENTATIONS)


@lru_cache(maxsize=1)
def _draws() -> Draws:
    whole = concept_probe.pocket()
    chosen = whole.select(concept_probe.LEAST_POSITIVES, concept_probe.LEAST_CLUSTERS)
    return concept_counts.draw(chosen, SETTINGS)
