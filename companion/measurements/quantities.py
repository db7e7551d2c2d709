"""The schema of measurements: which quantities an experiment measures, each with its unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, sqrt
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

Order = Literal["importance", "singular_value", "reversed", "random"]
Experiment = Literal[
    "outlier_features", "privileged_directions", "pruning", "pruning_under_shift", "concepts",
    "accuracy", "basis", "interventions", "textures",
]  # fmt: skip


class Quantity(NamedTuple):
    """The unit of a number, or of each number in a list (1) or a table (2 dimensions).

    ``digits``: significant digits that are kept, so that a new measurement makes a short diff.
    ``shape``: for each dimension what there is one number for: a count or a quantity of the
    measurement, a number, anything else that has the same length wherever it is named, * for any.
    """

    unit: str
    dimensions: int = 0
    digits: int = 4
    shape: str = ""


#: What a sweep of pruning judges, and the orders in which directions are pruned.
SWEPT = ("inside", "outside", "robustness")
ORDERS: tuple[Order, ...] = ("importance", "singular_value", "random", "reversed")
_RATIO, _FRACTION, _SHARE = "times the mean", "fraction", "fraction of the whole"
_INDEX, _COSINE, _KURTOSIS = "coordinate", "absolute cosine", "kurtosis"
_CHANGE, _INTERVAL = "difference of fractions", "fraction, or end of an interval"
#: What counts of concepts are repeated over, and what there is one number for.
CHOSEN = {"draws": "draws", "random": "chance_sets", "permuted": "chance_sets", "halves": "halves"}
#: What a measurement of an experiment holds: exactly these quantities.
QUANTITIES: dict[Experiment, dict[str, Quantity]] = {
    "outlier_features": {
        "kurtosis_mean": Quantity(_KURTOSIS),
        "kurtosis_standard_error": Quantity("dimensionless"),
        "kurtosis_percentiles": Quantity(_KURTOSIS, 1, shape="101"),
        "profile": Quantity(_RATIO, 1, shape="components"),
        "outlier_threshold": Quantity(_RATIO),
        "outlier_coordinates": Quantity(_INDEX, 1, shape="*"),
        "persistence_coordinate": Quantity(_INDEX),
        "persistence_fraction": Quantity(_FRACTION),
        "leaders": Quantity("count"),
        "zero_share": Quantity(_SHARE),
        "negative_share": Quantity(_SHARE),
        "sample_coordinates": Quantity(_INDEX, 1, shape="shown"),
        "sample": Quantity("standard deviations of the image", 2, shape="* shown"),
    },
    "privileged_directions": {
        "singular_value_share": Quantity(_SHARE, 1, shape="rank"),
        "importance": Quantity(_RATIO, 1, shape="rank"),
        "importance_head_centred": Quantity(_RATIO, 1, shape="*"),
        "control_random_head": Quantity(_RATIO),
        "control_random_features": Quantity(_RATIO),
        "control_random_both": Quantity(_RATIO),
        "control_centred_features": Quantity(_RATIO),
        "cosine_with_images": Quantity(_COSINE, 1, shape="rank"),
        "privileged_threshold": Quantity(_RATIO),
        "privileged_directions": Quantity("direction", 1, shape="*"),
        "top_direction": Quantity("direction"),
        "top_components": Quantity("component of a unit vector", 1, shape="components"),
        "top_with_head_mean": Quantity(_COSINE),
        "top_cosine_deviation": Quantity("cosine"),
        "top_with_mean": Quantity(_COSINE),
        "top_with_gap": Quantity(_COSINE),
    },
    "pruning": {
        "accuracy_importance": Quantity(_FRACTION, 1, shape="rank"),
        "accuracy_singular_value": Quantity(_FRACTION, 1, shape="rank"),
        "accuracy_reversed": Quantity(_FRACTION, 1, shape="rank"),
        "accuracy_random": Quantity(_FRACTION, 1, shape="rank"),
        "accuracy_random_lowest": Quantity(_FRACTION, 1, shape="rank"),
        "accuracy_random_highest": Quantity(_FRACTION, 1, shape="rank"),
        "random_orders": Quantity("count"),
        "difference_importance": Quantity(_CHANGE, 1, shape="rank"),
        "difference_importance_error": Quantity(_FRACTION, 1, shape="rank"),
        "accuracy_without_each": Quantity(_FRACTION, 1, shape="rank"),
    },
    # Tables have three rows: the value, and the lower and upper end of its 95 % interval; of random
    # orders the mean, the lowest and the highest. Columns are the steps.
    "pruning_under_shift": {
        "kept": Quantity("directions", 1, shape="kept"),
        "random_orders": Quantity("count"),
        **{
            f"{part}_{order}": Quantity(_INTERVAL, 2, 6, "3 kept")
            for part in SWEPT
            for order in ORDERS
        },
        **{
            f"{part}_change_{order}": Quantity(_INTERVAL, 2, 6, "3 kept")
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
        "positives": Quantity("count", 1, shape="concepts"),
        "best": Quantity(_FRACTION, 1, 6, shape="concepts"),
        "best_direction": Quantity("direction", 1, shape="concepts"),
        "per_direction": Quantity("concepts", 1, shape="directions"),
        "per_direction_lower": Quantity("concepts", 1, shape="directions"),
        "top_direction": Quantity("direction"),
        "top_concepts": Quantity("concept", 1, shape="top"),
        "top_average_precision": Quantity(_FRACTION, 1, 6, shape="top"),
        "top_textures": Quantity("count"),
        "coordinates_best": Quantity(_FRACTION, 1, 6, shape="concepts"),
        "other_choices": Quantity("count", 2, shape="* 2"),
        "concepts_of_few_clusters": Quantity("count"),
        **{
            f"{basis}{quantity}_{kind}": Quantity(unit, 1, 6, CHOSEN[kind])
            for basis in ("", "coordinates_")
            for quantity, unit in (
                ("unique", "concepts"),
                ("lower", "concepts"),
                ("best", _FRACTION),
            )
            for kind in CHOSEN
            if (basis, kind) != ("coordinates_", "halves")
        },
    },
    "accuracy": {
        "top1": Quantity(_FRACTION),
        "top1_standard_error": Quantity(_FRACTION),
        "right_per_class": Quantity("images", 1, shape="classes"),
        "images_per_class": Quantity("images", 1, shape="classes"),
    },
    "basis": {
        "kurtosis": Quantity(_KURTOSIS),
        "kurtosis_less_mean": Quantity(_KURTOSIS),
        "persistence_less_mean": Quantity(_FRACTION),
        "kurtosis_of_mean": Quantity(_KURTOSIS),
        "kurtosis_rotated": Quantity(_KURTOSIS, 1, shape="rotations"),
        "persistence_rotated": Quantity(_FRACTION, 1, shape="rotations"),
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
        "mean_importance": Quantity(_RATIO),
        "leader": Quantity(_INDEX),
        "difference_less_mean": Quantity(_CHANGE),
        "difference_less_mean_error": Quantity(_FRACTION),
        "difference_without_leader": Quantity(_CHANGE),
        "difference_without_leader_error": Quantity(_FRACTION),
        "accuracy_without_other": Quantity(_FRACTION, 1, shape="*"),
        "constants": Quantity("lengths of an image", 1, shape="constants"),
        "kurtosis_shifted": Quantity(_KURTOSIS, 1, shape="constants"),
        "changed_shifted": Quantity("predictions", 1, shape="constants"),
    },
    "textures": {
        "draws": Quantity("count"),
        "top_direction": Quantity("direction"),
        "along_top": Quantity(_FRACTION, 1, 6, shape="textures"),
        "along_top_lowest": Quantity(_FRACTION, 1, 6, shape="textures"),
        "along_top_highest": Quantity(_FRACTION, 1, 6, shape="textures"),
        "against_top": Quantity(_FRACTION, 1, 6, shape="textures"),
        "textures_lie_at": Quantity("cosine"),
        "others_lie_at": Quantity("cosine"),
        "importance": Quantity(_RATIO, 1, shape="rank"),
        "per_direction": Quantity(_FRACTION, 1, shape="rank"),
        "per_random_direction": Quantity(_FRACTION, 1, shape="rank"),
    },
}


#: What is measured without a head.
HEADLESS: tuple[Experiment, ...] = ("outlier_features", "basis")


def misfits(
    experiment: Experiment, values: Mapping[str, NDArray[Any]], counts: Mapping[str, int]
) -> Iterator[str]:
    """Which quantities are longer or shorter than what they are of, a sentence each."""
    needed = ("images", "components", "classes")[: 2 if experiment in HEADLESS else 3]
    for name in {*needed} - counts.keys():
        yield f"counts.{name} is missing"
    most = min(counts.get("components", inf), counts.get("classes", inf))
    sizes = dict(counts) | {name: int(v) for name, v in values.items() if v.ndim == 0}
    for name, quantity in QUANTITIES[experiment].items():
        for size, of in zip(values[name].shape, quantity.shape.split(), strict=False):
            expected = int(of) if of.isdigit() else sizes.setdefault(of, size)
            if of != "*" and size != expected:
                yield f"values.{name} has {size} numbers for {expected} {of}"
    if not 0 < sizes.get("rank", 1) <= most:
        yield f"there are {sizes['rank']} directions, a head has 1 to {most}"


def possible(quantity: Quantity, counts: Mapping[str, int]) -> tuple[float, float]:
    """Lowest and highest value of a quantity, by its unit, in a measurement of so much."""
    width, concepts = counts.get("components", inf), counts.get("concepts", inf)
    ranges = {
        _FRACTION: (0, 1),
        _SHARE: (0, 1),
        _COSINE: (0, 1),
        "cosine": (-1, 1),
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
