"""Is a contributed measurement plausible? What `companion check` looks at.

`records.read` already refuses a file that is not of the expected form. This module checks its
content against what must be true of such numbers, and against the registry. Passing says that a
file is coherent and traceable, not that its numbers are right: only taking them again can show
that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.common import suggestion
from analysis.families.registry import ZOO, Family
from analysis.images import sets
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.measurements import atlas, records
from companion.measurements.quantities import declared
from companion.measurements.records import Measurement, MeasurementError

Array = NDArray[np.float64]

#: Rounding to the digits that are kept, added up over the components of a list.
ROUNDING = 2e-3
#: Of more images, the percentiles are as good as those of so many.
MOST_RANKS = 100_000
#: What of a list can be 1, as `Quantity.one` says.
ONE: dict[str, Callable[[Array], Any]] = {"mean": np.mean, "sum": np.sum, "length": np.linalg.norm}
#: Ends of ranges: what they are called, and which of them is the lower one.
ENDS = {"_lowest": -1, "_highest": 1}


def files(given: Sequence[Path]) -> list[Path]:
    """The measurement files that are named, or lie in named folders; by default all recorded ones.

    Raises MeasurementError if there is none.
    """
    paths: list[Path] = []
    for place in given or [records.FOLDER]:
        if not place.exists():
            raise MeasurementError(f"{place} does not exist: check the path.")
        paths += sorted(place.rglob("*.json")) if place.is_dir() else [place]
    if not paths:
        raise MeasurementError(f"there is no measurement file in {', '.join(map(str, given))}.")
    return paths


def report(paths: Sequence[Path], families: Mapping[str, Family]) -> tuple[list[str], int]:
    """A report on measurement files, and how many are not sound."""
    lines: list[str] = []
    wrong = older = 0
    for path in paths:
        faults = problems(path, families)
        lacks = [] if faults else records.read(path).lacks
        sound = f"{path.name}: sound" + f", not measured: {', '.join(lacks)}" * bool(lacks)
        lines += faults or [sound]
        wrong, older = wrong + bool(faults), older + bool(lacks)
    lines.append(f"{len(paths) - wrong} of {len(paths)} measurement files are sound.")
    if older:
        lines.append(
            f"{older} lack quantities that were introduced after they were recorded: take them "
            "with companion measure EXPERIMENT FAMILY --record."
        )
    return lines, wrong


def problems(path: Path, families: Mapping[str, Family]) -> list[str]:
    """What is wrong with one measurement file, a sentence each; empty if nothing is."""
    try:
        m = records.read(path)
    except MeasurementError as error:
        return [str(error)]
    checks = (_model(m, families), _published(m), _taken(m), _coherence(m))
    return [f"{path.name}: {problem}" for check in checks for problem in check]


def _model(m: Measurement, families: Mapping[str, Family]) -> Iterator[str]:
    """Whether the registry knows the model as the measurement describes it."""
    family = families.get(m.family)
    if family is None and m.family.startswith(ZOO):  # its file is of the machine that took it
        if m.model not in {*atlas.facts()["zoo"]}:
            yield f"no published model of open_clip is called {m.model!r} in the edition {ZOO}."
        return
    if family is None:
        yield f"its family {m.family!r} has no file: {suggestion(m.family, families)}."
        return
    models = {model.name: model for model in family.models}
    if m.model not in models:
        yield f"families/{m.family}.yaml has no model {m.model!r}: {suggestion(m.model, models)}."
        return
    model, weights = models[m.model], m.provenance.weights_sha256
    if m.level != model.level:
        yield f"its level is {m.level}, that of {model.name} is {model.level}."
    if (width := m.counts.get("components", model.width)) != model.width:
        yield f"it has {width} components, {model.name} has {model.width}."
    if model.weights_sha256 not in (None, weights):
        yield (
            f"it was taken with weights of sha256 {weights}, the family file names "
            f"{model.weights_sha256}: measure the weights that the file names, or correct it."
        )


def _taken(m: Measurement) -> Iterator[str]:
    """Whether its day is today or earlier, anywhere on Earth."""
    day = m.provenance.taken
    if day and date.fromisoformat(day) > datetime.now(UTC).date() + timedelta(days=1):
        yield f"it was taken on {day}, which is to come: correct the date, or this machine's clock."


def _coherence(m: Measurement) -> Iterator[str]:
    """Which relations between the numbers do not hold."""
    v = {name: np.asarray(m.value(name), dtype=np.float64) for name in m.values}
    if rules := _COHERENT.get(m.experiment):
        yield from rules(m, v)
    for name, values in v.items():
        which = declared()[m.experiment].quantities[name].one
        if which and not _near(ONE[which](values), 1):
            yield f"{name} must have the {which} 1."
        for end, sign in ENDS.items():
            middle = v.get(name.removesuffix(end)) if name.endswith(end) else None
            if middle is None or middle.shape != values.shape:
                continue
            if (sign * (values - middle) < -ROUNDING).any():
                yield f"{name} is not the {end[1:]} of {name.removesuffix(end)}."


def _outlier_features(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    if v["outlier_threshold"] != OUTLIER_THRESHOLD:
        yield f"outlier_threshold must be this book's {OUTLIER_THRESHOLD:g}."
    if v["leaders"] > min(m.counts["images"], m.counts["components"]):
        yield "leaders must be no more than there are images or components."
    p, reached = v["kurtosis_percentiles"], v["profile"] >= v["outlier_threshold"]
    if (np.diff(p) < 0).any():
        yield "kurtosis_percentiles must rise."
    else:
        error = v["kurtosis_standard_error"]
        yield from _mean_of(p, v["kurtosis_mean"], error, m.counts["images"])
    if sorted(v["outlier_coordinates"]) != [*np.flatnonzero(reached)]:
        yield "outlier_coordinates are not those whose profile reaches outlier_threshold."
    if len({*v["sample_coordinates"]}) < len(v["sample_coordinates"]):
        yield "sample_coordinates must differ."


def _privileged_directions(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    importance, top = v["importance"], v["top_direction"]
    if importance[min(int(top), len(importance) - 1)] != importance.max():
        yield "top_direction is not the direction of the largest importance."
    reached = np.flatnonzero(importance >= v["privileged_threshold"])
    if sorted(v["privileged_directions"]) != [*reached]:
        yield "privileged_directions are not those whose importance reaches the threshold."
    if (np.diff(v["singular_value_share"]) > 0).any():
        yield "singular_value_share must fall."


def _pruning(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    best = v["accuracy_importance"]
    orders = [v[f"accuracy_{order}"] for order in ("singular_value", "reversed", "random")]
    if not all(_near(accuracies[-1], best[-1]) for accuracies in orders):
        yield "the accuracies of all orders must be equal when every direction is kept."
    if not _near(v["difference_importance"], best - best[-1]):
        yield "difference_importance is not accuracy_importance minus that of the whole head."


def _concepts(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    if len(v["other_choices"]) < 7:
        yield "other_choices must have seven rows: three choices along both bases, and one more."
    for name, at in (("unique_draws", "threshold"), ("lower_draws", "lower_threshold")):
        least, most = ((v["best"] >= v[at] + off).sum() for off in (ROUNDING, -ROUNDING))
        if not least <= v[name][0] <= most:
            yield f"{name} does not begin with how many concepts reach {at} in best."


def _interventions(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    for name in ("less_mean", "without_leader", "leader_at_mean"):
        if not _near(v[f"difference_{name}"], v[f"accuracy_{name}"] - v["accuracy_whole"]):
            yield f"difference_{name} is not accuracy_{name} minus accuracy_whole."


def _unread(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    scored = v["accuracy_without"].size > 0
    like = dict.fromkeys([n for n in v if n.startswith(("accuracy_", "difference_"))], "dropped")
    like |= {f"curve_accuracy{end}": f"curve_kurtosis{end}" for end in ("", "_random")}
    for name, other in like.items():
        if v[name].size != scored * v[other].size:
            yield f"{name} must have a number for each of {other}, or all accuracies be empty."


def _accuracy(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    right, images = v["right_per_class"], v["images_per_class"]
    n = int(images.sum())
    top1 = min(right.sum() / max(n, 1), 1.0)
    if (right > images).any():
        yield "no class can have more right (right_per_class) than images (images_per_class)."
    if not np.isclose(v["top1"], top1, rtol=1e-3):
        yield "top1 is not the share of right_per_class in images_per_class."
    if not np.isclose(v["top1_standard_error"], (top1 * (1 - top1) / max(n, 1)) ** 0.5, rtol=1e-3):
        yield "top1_standard_error is not the binomial one of right_per_class in images_per_class."
    if n != m.counts["images"]:
        yield f"images_per_class adds up to {n} images, counts.images is {m.counts['images']}."


#: Experiment → what is true of its numbers alone.
_RULES = (_outlier_features, _privileged_directions, _pruning, _concepts, _interventions, _unread)
_COHERENT: dict[str, Callable[[Measurement, Mapping[str, Array]], Iterator[str]]] = {
    rules.__name__.removeprefix("_"): rules for rules in (*_RULES, _accuracy)
}


def _published(m: Measurement) -> Iterator[str]:
    """Whether it saw a published data set in full."""
    name = m.data.name
    if len(m.data.what.split()) < 2 and m.data.what != sets.title(name):
        yield f"data.what is {m.data.what!r}: say how many images there are, and of what."
    if name not in sets.descriptions() or not m.data.is_whole:
        return
    published = {"images": sets.images(name)}
    if m.experiment == "accuracy":  # which all classes of the set take part in
        published["classes"] = sets.classes(name)
    for what, count in published.items():
        if m.counts[what] != count:
            yield (
                f"{name} was published with {count} {what}, this saw {m.counts[what]}, and "
                "`data.what` does not say that the copy differs: measure the published set, or "
                "take the copy with --accept-counts."
            )


def _mean_of(percentiles: Array, mean: Array, error: Array, images: int) -> Iterator[str]:
    """Whether images with these percentiles can have this mean kurtosis and standard error.

    The image of rank j is the (100 j / (N − 1))th percentile, so that it lies between the two next
    to it in the list; that bounds the sums of values and of squared deviations.
    """
    place = 100 * np.arange(min(images, MOST_RANKS)) / max(min(images, MOST_RANKS) - 1, 1)
    low, high = percentiles[np.floor(place).astype(int)], percentiles[np.ceil(place).astype(int)]
    slack = ROUNDING * high.max()
    if not low.mean() - slack <= mean <= high.mean() + slack:
        yield "kurtosis_mean is not that of single images (kurtosis_percentiles)."
        return
    far = np.maximum(np.abs(low - mean), np.abs(high - mean))
    near = np.clip(mean, low, high) - mean
    least, most = (((part**2).mean() / max(images - 1, 1)) ** 0.5 for part in (near, far))
    slack /= images**0.5
    if not least * (1 - ROUNDING) - slack <= error <= most * (1 + ROUNDING) + slack:
        yield "kurtosis_standard_error is not that of single images (kurtosis_percentiles)."


def _near(values: ArrayLike, wanted: ArrayLike) -> bool:
    return np.shape(values) == np.shape(wanted) and bool(
        np.allclose(values, wanted, rtol=ROUNDING, atol=ROUNDING)
    )
