"""Is a contributed measurement plausible? What `companion check` looks at.

`measurements.read` already refuses a file that is not of the expected form. Here its content is
held against what must be true of such numbers (shares add up, cosines are at most 1, kurtosis lies
between 1 and the number of components) and against the registry. Passing says that a file is
coherent and traceable, not that its numbers are right: only taking them again can show that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.common import suggestion
from analysis.families.registry import Family, Model
from analysis.images import sets
from companion.measurements import accuracy, records
from companion.measurements.quantities import QUANTITIES
from companion.measurements.records import Measurement, MeasurementError

Array = NDArray[np.float64]

#: Rounding to the digits that are kept, added up over the components of a list.
ROUNDING = 2e-3
#: Unit → lowest and highest possible value.
RANGES: dict[str, tuple[float, float]] = {
    "fraction": (0, 1),
    "fraction of the whole": (0, 1),
    "absolute cosine": (0, 1),
    "cosine": (0, 1),
    "component of a unit vector": (-1, 1),
    "times the mean": (0, np.inf),
    "count": (0, np.inf),
    "images": (0, np.inf),
}


def problems(path: Path, families: Mapping[str, Family]) -> list[str]:
    """What is wrong with one measurement file, a sentence each; empty if nothing is."""
    try:
        measurement = records.read(path)
    except MeasurementError as error:
        return [str(error)]
    found = [*_about_the_model(measurement, families), *_about_the_numbers(measurement)]
    return [f"{path.name}: {problem}" for problem in found]


def _about_the_model(m: Measurement, families: Mapping[str, Family]) -> Iterator[str]:
    """Whether the registry knows the model as the measurement describes it."""
    family = families.get(m.family)
    if family is None:
        yield f"its family {m.family!r} has no file: {suggestion(m.family, families)}."
        return
    known = {model.name: model for model in family.models}
    model = known.get(m.model)
    if model is None:
        yield f"families/{m.family}.yaml has no model {m.model!r}: {suggestion(m.model, known)}."
        return
    yield from _against_description(m, model)


def _against_description(m: Measurement, model: Model) -> Iterator[str]:
    if m.level != model.level:
        yield f"its level is {m.level}, that of {model.name} is {model.level}."
    width = m.counts.get("components", model.width)
    if width != model.width:
        yield f"it has {width} components, {model.name} has {model.width}."
    expected = getattr(model, "weights_sha256", None)
    if expected and m.provenance.weights_sha256 != expected:
        yield (
            f"it was taken with weights of sha256 {m.provenance.weights_sha256}, the family file "
            f"names {expected}: measure the weights that the file names, or correct it."
        )
    if "images" not in m.counts:
        yield "it saw single images but does not say how many (`counts.images`)."


def _about_the_numbers(m: Measurement) -> Iterator[str]:
    """Ranges by unit, then what must hold between the numbers."""
    units = QUANTITIES[m.experiment]
    for name, quantity in units.items():
        values = np.atleast_1d(np.asarray(m.value(name), dtype=np.float64))
        low, high = _range(m, name, quantity.unit)
        outside = (values < low) | (values > high)
        if outside.any():
            yield (
                f"{name} is {values[outside][0]:g}, which is impossible: it lies between {low:g} "
                f"and {high:g} ({quantity.unit})."
            )
    for condition, sentence in RULES:
        if set(condition.needs) <= set(units) and not condition.holds(m):
            yield sentence
    if m.experiment == "accuracy":
        yield from _about_counts(m)


def _about_counts(m: Measurement) -> Iterator[str]:
    """Whether an accuracy counts the images and classes that it says, and the published ones."""
    per_class = np.asarray(m.value("images_per_class"))
    images, classes = m.counts.get("images"), m.counts.get("classes")
    if (int(per_class.sum()), len(per_class)) != (images, classes):
        yield (
            f"images_per_class adds up to {int(per_class.sum())} images of {len(per_class)} "
            f"classes, `counts` says {images} of {classes}."
        )
    published = sets.descriptions().get(m.data.name)
    used = (published.used or published) if published else None
    complete = accuracy.of_measurement(m).complete
    if used and (images, classes) != (used.images, used.classes) and complete:
        yield (
            f"{m.data.name} was published with {used.images} images of {used.classes} classes, "
            f"this saw {images} of {classes}, and `data.what` does not say that the copy differs: "
            "measure the published set, or take the copy with --accept-counts."
        )


def _range(m: Measurement, name: str, unit: str) -> tuple[float, float]:
    """Lowest and highest possible value of a quantity of this measurement."""
    width = m.counts.get("components", np.inf)
    if name.startswith("difference_"):
        return -1, 1
    if m.experiment == "pruning_under_shift" and unit == "fraction":
        return -1, 2  # ends of intervals, too
    if name.startswith(("unique_", "lower_")) and unit == "count":
        return 0, m.counts.get("concepts", np.inf)
    if name in ("kurtosis_mean", "kurtosis_percentiles"):
        return 1, width
    if unit == "coordinate":
        return 0, width - 1
    if unit == "concept":
        return 0, m.counts.get("concepts", np.inf) - 1
    if unit == "direction":
        return 0, min(width, m.counts.get("classes", np.inf)) - 1
    if unit == "standard deviations of the image":
        return -np.sqrt(width), np.sqrt(width)
    return RANGES.get(unit, (0, np.inf))


class _Rule:
    """A condition on some quantities of a measurement."""

    def __init__(self, *needs: str, holds: Callable[..., bool]) -> None:
        self.needs = needs
        self._holds = holds

    def holds(self, m: Measurement) -> bool:
        """Whether the measurement, which has all that the rule needs, obeys it."""
        return self._holds(*(np.asarray(m.value(name), dtype=np.float64) for name in self.needs))


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= ROUNDING * max(1.0, abs(wanted))


def _rises(values: Array) -> bool:
    return bool((np.diff(values) >= 0).all())


#: What must hold between the numbers of a measurement, and what is said if it does not.
RULES: tuple[tuple[_Rule, str], ...] = (
    (
        _Rule("kurtosis_percentiles", holds=lambda p: len(p) == 101 and _rises(p)),
        "kurtosis_percentiles must be 101 rising numbers, the percentiles from 0 to 100.",
    ),
    (
        _Rule(
            "kurtosis_mean", "kurtosis_percentiles",
            holds=lambda mean, p: p[0] * 0.999 <= mean <= p[-1] * 1.001,
        ),
        "kurtosis_mean lies outside the range of single images (kurtosis_percentiles).",
    ),
    (
        _Rule("profile", holds=lambda profile: _near(profile.mean(), 1)),
        "profile is relative to the mean coordinate, so its mean must be 1.",
    ),
    (
        _Rule(
            "profile", "outlier_threshold", "outlier_coordinates",
            holds=lambda profile, threshold, named: set(named.astype(int))
            == set(np.flatnonzero(profile >= threshold)),
        ),
        "outlier_coordinates are not those whose profile reaches outlier_threshold.",
    ),
    (
        _Rule("importance", holds=lambda importance: _near(importance.mean(), 1)),
        "importance is relative to its mean, so its mean must be 1.",
    ),
    (
        _Rule(
            "importance", "top_direction",
            holds=lambda importance, top: importance[int(top)] == importance.max(),
        ),
        "top_direction is not the direction of the largest importance.",
    ),
    (
        _Rule("singular_value_share", holds=lambda s: _near(s.sum(), 1) and _rises(-s)),
        "singular_value_share must fall and add up to 1.",
    ),
    (
        _Rule("top_components", holds=lambda v: _near(float(v @ v), 1)),
        "top_components must be a vector of length 1.",
    ),
    (
        _Rule(
            "accuracy_importance", "accuracy_singular_value", "accuracy_reversed",
            "accuracy_random",
            holds=lambda *curves: all(
                len(c) == len(curves[0]) and _near(c[-1], curves[0][-1]) for c in curves
            ),
        ),
        "the accuracies of all orders must be equal when every direction is kept.",
    ),
    (
        _Rule(
            "right_per_class", "images_per_class",
            holds=lambda right, images: right.shape == images.shape
            and bool((right <= images).all()),
        ),
        "right_per_class and images_per_class must be as long, and no class have more right than "
        "images.",
    ),
    (
        _Rule(
            "top1", "right_per_class", "images_per_class",
            holds=lambda top1, right, images: abs(top1 - right.sum() / images.sum()) <= 1e-3 * top1,
        ),
        "top1 is not the share of right_per_class in images_per_class.",
    ),
    (
        _Rule(
            "top1_standard_error", "right_per_class", "images_per_class",
            holds=lambda error, right, images: abs(
                error - np.sqrt(right.sum() * (images.sum() - right.sum()) / images.sum() ** 3)
            ) <= 1e-3 * error,
        ),
        "top1_standard_error is not the binomial one of right_per_class in images_per_class.",
    ),
    (
        _Rule(
            "accuracy_importance", "difference_importance",
            holds=lambda a, difference: bool(np.allclose(a - a[-1], difference, atol=ROUNDING)),
        ),
        "difference_importance is not accuracy_importance less that of the whole head.",
    ),
)  # fmt: skip
