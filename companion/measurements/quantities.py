"""The schema of measurements: which quantities an experiment measures, each with its unit."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, sqrt
from typing import Literal, NamedTuple

Order = Literal["importance", "singular_value", "reversed", "random"]
Experiment = Literal[
    "outlier_features", "privileged_directions", "pruning", "pruning_under_shift", "concepts",
    "accuracy", "basis", "interventions",
]  # fmt: skip


class Quantity(NamedTuple):
    """The unit of a number, or of each number in a list (1) or a table (2 dimensions).

    ``digits``: significant digits that are kept, so that a new measurement makes a short diff.
    """

    unit: str
    dimensions: int = 0
    digits: int = 4


#: What a sweep of pruning judges, and the orders in which directions are pruned.
SWEPT = ("inside", "outside", "robustness")
ORDERS: tuple[Order, ...] = ("importance", "singular_value", "random", "reversed")
_RATIO, _FRACTION, _SHARE = "times the mean", "fraction", "fraction of the whole"
_INDEX, _COSINE, _KURTOSIS = "coordinate", "absolute cosine", "kurtosis"
_CHANGE, _INTERVAL = "difference of fractions", "fraction, or end of an interval"
_CONCEPTS = {"unique": "concepts", "lower": "concepts", "best": _FRACTION}
#: What a measurement of an experiment holds: exactly these quantities.
QUANTITIES: dict[Experiment, dict[str, Quantity]] = {
    "outlier_features": {
        "kurtosis_mean": Quantity(_KURTOSIS),
        "kurtosis_standard_error": Quantity("dimensionless"),
        "kurtosis_percentiles": Quantity(_KURTOSIS, 1),
        "profile": Quantity(_RATIO, 1),
        "outlier_threshold": Quantity(_RATIO),
        "outlier_coordinates": Quantity(_INDEX, 1),
        "persistence_coordinate": Quantity(_INDEX),
        "persistence_fraction": Quantity(_FRACTION),
        "leaders": Quantity("count"),
        "zero_share": Quantity(_SHARE),
        "negative_share": Quantity(_SHARE),
        "sample_coordinates": Quantity(_INDEX, 1),
        "sample": Quantity("standard deviations of the image", 2),
    },
    "privileged_directions": {
        "singular_value_share": Quantity(_SHARE, 1),
        "importance": Quantity(_RATIO, 1),
        "importance_head_centred": Quantity(_RATIO, 1),
        "cosine_with_images": Quantity(_COSINE, 1),
        "privileged_threshold": Quantity(_RATIO),
        "privileged_directions": Quantity("direction", 1),
        "top_direction": Quantity("direction"),
        "top_components": Quantity("component of a unit vector", 1),
        "top_with_head_mean": Quantity(_COSINE),
        "top_cosine_deviation": Quantity("cosine"),
        "top_with_mean": Quantity(_COSINE),
        "top_with_gap": Quantity(_COSINE),
    },
    "pruning": {
        "accuracy_importance": Quantity(_FRACTION, 1),
        "accuracy_singular_value": Quantity(_FRACTION, 1),
        "accuracy_reversed": Quantity(_FRACTION, 1),
        "accuracy_random": Quantity(_FRACTION, 1),
        "accuracy_random_lowest": Quantity(_FRACTION, 1),
        "accuracy_random_highest": Quantity(_FRACTION, 1),
        "random_orders": Quantity("count"),
        "difference_importance": Quantity(_CHANGE, 1),
        "difference_importance_error": Quantity(_FRACTION, 1),
        "accuracy_without_each": Quantity(_FRACTION, 1),
    },
    # Tables have three rows: the value, and the lower and upper end of its 95 % interval; of random
    # orders the mean, the lowest and the highest. Columns are the steps.
    "pruning_under_shift": {
        "kept": Quantity("directions", 1),
        "random_orders": Quantity("count"),
        **{f"{part}_{order}": Quantity(_INTERVAL, 2, 6) for part in SWEPT for order in ORDERS},
        **{
            f"{part}_change_{order}": Quantity(_INTERVAL, 2, 6)
            for part in SWEPT
            for order in ORDERS
            if order != "random"
        },
    },
    "concepts": {
        "threshold": Quantity(_FRACTION),
        "lower_threshold": Quantity(_FRACTION),
        "least_positives": Quantity("count"),
        "frequent_positives": Quantity("count"),
        "directions": Quantity("count"),
        "draws": Quantity("count"),
        "chance_sets": Quantity("count"),
        "positives": Quantity("count", 1),
        "best": Quantity(_FRACTION, 1, 6),
        "best_direction": Quantity("direction", 1),
        "per_direction": Quantity("concepts", 1),
        "per_direction_lower": Quantity("concepts", 1),
        "top_direction": Quantity("direction"),
        "top_concepts": Quantity("concept", 1),
        "top_average_precision": Quantity(_FRACTION, 1, 6),
        "top_textures": Quantity("count"),
        "coordinates_best": Quantity(_FRACTION, 1, 6),
        "other_choices": Quantity("count", 2),
        "concepts_of_few_clusters": Quantity("count"),
        **{
            f"{basis}{quantity}_{kind}": Quantity(unit, 1, 6)
            for basis in ("", "coordinates_")
            for quantity, unit in (
                ("unique", "concepts"),
                ("lower", "concepts"),
                ("best", _FRACTION),
            )
            for kind in ("draws", "random", "permuted", "halves")
            if (basis, kind) != ("coordinates_", "halves")
        },
    },
    "accuracy": {
        "top1": Quantity(_FRACTION),
        "top1_standard_error": Quantity(_FRACTION),
        "right_per_class": Quantity("images", 1),
        "images_per_class": Quantity("images", 1),
    },
    "basis": {
        "kurtosis": Quantity(_KURTOSIS),
        "kurtosis_less_mean": Quantity(_KURTOSIS),
        "persistence_less_mean": Quantity(_FRACTION),
        "kurtosis_of_mean": Quantity(_KURTOSIS),
        "kurtosis_rotated": Quantity(_KURTOSIS, 1),
        "persistence_rotated": Quantity(_FRACTION, 1),
        "kurtosis_gaussian": Quantity(_KURTOSIS),
        "kurtosis_eigenframe": Quantity(_KURTOSIS),
        "mean_share": Quantity(_SHARE),
        "mean_coordinate": Quantity(_INDEX),
        "mean_coordinate_share": Quantity(_SHARE),
        "effective_rank": Quantity("directions"),
    },
    "interventions": {
        **{
            f"{what}_{name}": Quantity(unit)
            for name in ("whole", "rotated", "less_mean", "without_leader")
            for what, unit in (("kurtosis", _KURTOSIS), ("accuracy", _FRACTION))
        },
        "changed_rotated": Quantity("predictions"),
        "leader": Quantity(_INDEX),
        "difference_less_mean": Quantity(_CHANGE),
        "difference_less_mean_error": Quantity(_FRACTION),
        "difference_without_leader": Quantity(_CHANGE),
        "difference_without_leader_error": Quantity(_FRACTION),
        "accuracy_without_other": Quantity(_FRACTION, 1),
        "constants": Quantity("lengths of an image", 1),
        "kurtosis_shifted": Quantity(_KURTOSIS, 1),
        "changed_shifted": Quantity("predictions", 1),
    },
}


def possible(quantity: Quantity, counts: Mapping[str, int]) -> tuple[float, float]:
    """Lowest and highest value of a quantity, by its unit, in a measurement of so much."""
    width, concepts = counts.get("components", inf), counts.get("concepts", inf)
    ranges = {
        _FRACTION: (0, 1),
        _SHARE: (0, 1),
        _COSINE: (0, 1),
        "cosine": (0, 1),
        _CHANGE: (-1, 1),
        _INTERVAL: (-1, 2),
        "component of a unit vector": (-1, 1),
        _KURTOSIS: (1, width),
        _INDEX: (0, width - 1),
        "direction": (0, min(width, counts.get("classes", inf)) - 1),
        "concept": (0, concepts - 1),
        "concepts": (0, concepts),
        "standard deviations of the image": (-sqrt(width), sqrt(width)),
    }
    return ranges.get(quantity.unit, (0, inf))
