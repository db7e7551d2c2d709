"""What must be true of a measurement's numbers alone, by what they are.

Each rule is an identity but for rounding, or a bound that holds of all features and images: sums,
nested sets, shares of counted things, errors of paired differences, the kurtosis of a vector that
is rotated at random. What is merely usual is no rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.measurements.measurement import Measurement
from companion.measurements.provenance import OWN_CLASSIFIER
from companion.measurements.quantities import Measured, declared

Array = NDArray[np.float64]

#: Rounding to the digits that are kept, added up over the components of a list.
ROUNDING = 2e-3
#: Of more images, the percentiles are as good as those of so many.
MOST_RANKS = 100_000
#: What of a list can be 1, as `Quantity.one` says.
ONE: dict[str, Callable[[Array], Any]] = {"mean": np.mean, "sum": np.sum, "length": np.linalg.norm}
#: Of fewer components a vector's own mean counts, which a rule neglects.
WIDE = 32
#: Standard deviations that a number may lie from what is expected.
FAR = 6
#: Ends of ranges: what they are called, and which of them is the lower one.
ENDS = {"_lowest": -1, "_highest": 1}
#: Errors of differences that are means over random bases: smaller than those of a single one.
AVERAGED = {"difference_rotated_error"}

#: In `unread`, the share of images whose class stays, and how much accuracy changes.
JUDGED_PAIRS = (
    ("equal_without", "difference_without"),
    ("equal_one_vector", "difference_one_vector"),
    ("equal_constant", "difference_constant"),
    ("control_equal", "control_difference"),
)

Rules = Callable[[Measurement, Mapping[str, Array]], Iterator[str]]


def coherence(m: Measurement) -> Iterator[str]:
    """Which relations between the numbers do not hold, a sentence each."""
    v = {name: np.asarray(m.value(name), dtype=np.float64) for name in m.values}
    if rules := RULES.get(m.experiment):
        yield from rules(m, v)
    yield from _errors(m, v)
    yield from _shares(m, v)
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


def _shares(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Whether shares of counted things, as `data/quantities.yaml` says, are whole numbers of these.

    What is counted is one of the measurement's counts, or a quantity of it.
    """
    counts = m.counts | {name: int(of) for name, of in v.items() if not of.shape}
    for name, values in v.items():
        things = declared()[m.experiment].quantities[name].share_of
        if not things or not counts.keys() >= {*things}:
            continue
        whole = math.prod(counts[thing] for thing in things)
        for share in map(float, values.ravel()):
            off = abs(share * whole - round(share * whole))
            if off > 0.02 + whole * last_digit(share):
                yield f"{name} is {share:.7g}, no whole number of {whole:,} {' × '.join(things)}."
                break


def last_digit(number: float) -> float:
    """A unit of the last decimal of a number as a file has it.

    >>> [last_digit(number) for number in (0.25, 12.0, 1.5e-05)]
    [0.01, 1.0, 1e-06]
    """
    exponent = Decimal(f"{number:.15g}").as_tuple().exponent
    return float(10.0 ** int(exponent))


def _errors(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Whether paired differences of accuracies d have standard errors s that they can have.

    The share p of images whose recognition changes is |d| at least, and N s² = p − d².
    """
    for name, error in v.items():
        of = v.get(name.removesuffix("_error")) if name.startswith("difference_") else None
        if not name.endswith("_error") or of is None or of.shape != error.shape:
            continue
        if name in AVERAGED:
            continue
        # Of images with a class, as many as there are at most.
        n = v.get("classified", m.counts["images"])
        variance, size = error**2 * n, np.abs(of)
        slack, most = ROUNDING + 0.02 * size, 1.05 * n / max(n - 1, 0.5)
        if m.experiment == "quantisation":  # whose differences are over schemes, too
            most = np.inf
        if ((variance < (size - size**2) * 0.95 - slack) | (variance > most)).any():
            yield f"{name} is not the standard error of {name.removesuffix('_error')}."


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
    if v["zero_share"] + v["negative_share"] > 1 + ROUNDING:
        yield "zero_share and negative_share must add up to at most 1."
    if v["persistence_fraction"] * v["leaders"] < 1 - ROUNDING:
        yield "persistence_fraction must be at least one in leaders, the coordinates that lead."
    # Where it does not lead, another's |z| is √d at most; the mean |z| is 1 / √κ at least (Hölder).
    ahead = v["profile"].max() - v["profile"][int(v["persistence_coordinate"])]
    elsewhere = (1 - v["persistence_fraction"]) * (m.counts["components"] * p[-1]) ** 0.5
    if ahead > elsewhere + ROUNDING:
        yield "persistence_coordinate leads in too many images for what profile has there."
    most = (v["sample"] ** 4).sum(axis=1).max() / m.counts["components"]
    if most > p[-1] * (1 + ROUNDING):
        yield "sample has an image of a kurtosis above the highest of kurtosis_percentiles."


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
    if not _near(v["difference_importance"], best - best[-1]):
        yield "difference_importance is not accuracy_importance minus that of the whole head."


def _concepts(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    if len(v["other_choices"]) < 7:
        yield "other_choices must have seven rows: three choices along both bases, and one more."
    for name, at, best in (
        ("unique_draws", "threshold", "best"),
        ("lower_draws", "lower_threshold", "best"),
        ("coordinates_unique_draws", "threshold", "coordinates_best"),
    ):
        least, most = ((v[best] >= v[at] + off).sum() for off in (ROUNDING, -ROUNDING))
        if not least <= v[name][0] <= most:
            yield f"{name} does not begin with how many concepts reach {at} in {best}."
    if not _near(v["best_draws"][0], v["best"].mean()):
        yield "best_draws does not begin with the mean of best."


def _textures(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    if not _near(v["per_direction"][int(v["top_direction"])], v["along_top"].mean()):
        yield "per_direction is not the mean of along_top at top_direction."


def _basis(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    width, share = m.counts["components"], v["mean_coordinate_share"]
    yield from _of_rotations(v["kurtosis_rotated"], width)
    if not 1 / width <= share * (1 + ROUNDING):
        yield "mean_coordinate_share must be at least one in all components."
    if v["effective_rank"] > min(m.counts["images"], width) * (1 + ROUNDING):
        yield "effective_rank must be no more than there are images or components."


def _of_rotations(kurtosis: Array, width: int) -> Iterator[str]:
    """A random rotation makes Gaussian numbers of a vector's entries, nearly."""
    if (np.abs(kurtosis - 3 * width / (width + 2)) > FAR * (24 / width) ** 0.5).any():
        yield "kurtosis_rotated must be near 3, as of any vector that is rotated at random."


def _image_by_image(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    for of in ("kurtosis", "cosine"):
        fifths, few = v[f"accuracy_by_{of}"], 5 / m.counts["images"]
        if abs(fifths.mean() - v["accuracy"]) > few * (0.2 + np.ptp(fifths)) + ROUNDING:
            yield f"accuracy is not the mean of accuracy_by_{of}."
        if (np.diff(v[f"{of}_of_fifths"]) < 0).any():
            yield f"{of}_of_fifths must rise."


def _interventions(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    width, kurtosis = m.counts["components"], v["kurtosis_rotated"]
    yield from _of_rotations(kurtosis, width)
    if width >= WIDE and not m.provenance.head.startswith(OWN_CLASSIFIER):
        low, high = kurtosis_with_constant(v["constants"], kurtosis, width)
        slack = 0.05 + 3 / width  # a vector's own mean is neglected
        shifted = v["kurtosis_shifted"]
        if (shifted < low * (1 - slack)).any() or (shifted > high * (1 + slack)).any():
            yield "kurtosis_shifted is not that of vectors of length 1 with these constants added."
    for name in ("less_mean", "without_leader", "leader_at_mean"):
        if not _near(v[f"difference_{name}"], v[f"accuracy_{name}"] - v["accuracy_whole"]):
            yield f"difference_{name} is not accuracy_{name} minus accuracy_whole."


def kurtosis_with_constant(c: Array, kurtosis: Array, width: int) -> tuple[Array, Array]:
    """Lowest and highest κ of vectors of length 1, turned at random, with c added to an entry.

    The entry x lies within 4 / √d of 0. With c it has the share s = (c + x)² / ((c + x)² + 1 − x²)
    of the squared length, which alone gives κ = d s²; the others give their own κ (1 − s)².
    """

    def share(x: float) -> Array:
        met = np.maximum(c + x, 0) ** 2
        return met / (met + 1 - x**2)

    small, large = share(-4 / width**0.5), share(4 / width**0.5)
    low = width * small**2 + kurtosis * (1 - large) ** 2
    return low, width * large**2 + kurtosis * (1 - small) ** 2


def _unread(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    scored = v["accuracy_without"].size > 0
    like = dict.fromkeys([n for n in v if n.startswith(("accuracy_", "difference_"))], "dropped")
    like |= {f"curve_accuracy{end}": f"curve_kurtosis{end}" for end in ("", "_random")}
    for name, other in like.items():
        if v[name].size != scored * v[other].size:
            yield f"{name} must have a number for each of {other}, or all accuracies be empty."
            return
    for name in ("dropped", "energy", "mean_inside", "leader_inside"):
        if (np.diff(v[name], axis=-1) < -ROUNDING).any():
            yield f"{name} must rise with the shares: what is dropped is dropped of a larger one."
    if (np.diff(v["steps"]) <= 0).any() or (np.diff(v["text_variance"]) < 0).any():
        yield "steps and text_variance must rise: the least varying directions come first."
    dropped, summed = v["dropped"][0].astype(int), v["image_energy"].cumsum()
    if not np.allclose(
        v["energy"][0], np.append(0, summed)[dropped.clip(0, len(summed))], atol=0.01
    ):
        yield "energy is not the sum of image_energy over the directions that are dropped."
    if (np.mod(v["text_rows"], 1) != 0).any():
        yield "text_rows must be whole numbers."
    if not {*v["judged_by_itself"].tolist()} <= {0, 1}:
        yield "judged_by_itself must be 0 or 1."
    for name in ("curve_kurtosis", "curve_kurtosis_random"):
        if v["steps"][0] == 0 and not _near(v[name][..., 0], v["kurtosis"] + 0 * v[name][..., 0]):
            yield f"{name} must begin with kurtosis, where nothing is dropped."
    yield from _kept(m, v)
    whole = v["accuracy_without"] - v["difference_without"]
    if whole.size and np.ptp(whole) > 2 * ROUNDING:
        yield "difference_without is not accuracy_without minus one accuracy."


def _kept(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Images whose recognition changes, (n s² + d²) n of n with a class, change their prediction.

    Differences d of paired accuracies have the standard error s.
    """
    n, images = float(v["classified"]), m.counts["images"]
    for equal, difference in JUDGED_PAIRS:
        changed = (n * v[f"{difference}_error"] ** 2 + v[difference] ** 2) * n / images
        if changed.size and (changed * 0.98 > 1 - v[equal] + ROUNDING).any():
            yield f"{difference} and its error are of more images than {equal} leaves to change."


def _quantisation(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    if wrong := [*_partly_there(v)]:
        yield from wrong  # numbers of different lengths are compared with nothing
        return
    if not np.allclose(v["won"], v["kept_rotated"].mean(axis=0) - v["kept_written"], atol=ROUNDING):
        yield "won is not the mean of kept_rotated minus kept_written."
    for of in ("written", "rotated", "less_mean", "removed"):
        accuracy, difference = v[f"accuracy_{of}"], v[f"difference_{of}"]
        if not np.allclose(difference, accuracy - v["accuracy_whole"], atol=ROUNDING):
            yield f"difference_{of} is not accuracy_{of} minus accuracy_whole."
    for of in ("written", "less_mean", "removed"):  # of shares of neighbours, for each query
        kept, error = v[f"kept_{of}"], v[f"kept_{of}_error"]
        most = kept * (1 - kept) * v["queries"] / (v["queries"] - 1)
        if (error**2 * v["queries"] > most * (1 + ROUNDING) + ROUNDING).any():
            yield f"kept_{of}_error is more than shares of neighbours with this mean can have."


def _partly_there(v: Mapping[str, Array]) -> Iterator[str]:
    """What is judged, and what is taken off, is there for every scheme or not at all."""
    schemes, judged = v["kept_written"].size, v["accuracy_whole"].size
    vector = bool(v["kurtosis_removed"].size)
    for name, values in v.items():
        wanted = schemes
        if name.startswith(("accuracy_", "difference_")):
            wanted = judged if name == "accuracy_whole" else schemes * judged
        elif not name.endswith(("_removed", "_removed_error")):
            continue
        elif not name.startswith("kept_"):
            wanted = 1
        if name.endswith(("_removed", "_removed_error")):
            wanted *= vector
        if values.size != wanted or judged > 1:
            yield f"{name} must have {wanted} numbers, like the others."


def _accuracy(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    right, images = v["right_per_class"], v["images_per_class"]
    some = (right > 0) & (right < images)
    if some.sum() >= 20 and not (np.mod(right, 2).any() or np.mod(images, 2).any()):
        yield "right_per_class and images_per_class are even in every class: were rows doubled?"
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


#: Experiment → what is true of its numbers alone.
RULES: dict[Measured, Rules] = {
    "accuracy": _accuracy,
    "basis": _basis,
    "concepts": _concepts,
    "image_by_image": _image_by_image,
    "interventions": _interventions,
    "probe": _outlier_features,
    "outlier_features": _outlier_features,
    "privileged_directions": _privileged_directions,
    "pruning": _pruning,
    "quantisation": _quantisation,
    "textures": _textures,
    "unread": _unread,
}
