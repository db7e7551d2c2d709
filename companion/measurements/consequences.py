"""What follows from the definitions of several quantities together: shares, moments, quantisers.

Each rule is an identity but for rounding, or an inequality that holds of any features; a note says
which. `relations` has the rules that need one quantity's own definition alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from companion.measurements.measurement import Measurement
from companion.measurements.relations import WIDE

Array = NDArray[np.float64]
Rules = Callable[[Measurement, Mapping[str, Array]], Iterator[str]]

#: Rounding to the digits that are kept, added up over the components of a list.
ROUNDING = 2e-3
#: How far a number may lie beyond a bound for features of any kind: means of ratios stand in for
#: ratios of means, and a vector's own mean over its components is neglected.
SLACK = 0.1
#: What `of_sample` compares.
OF_SAMPLE = ("sample", "sample_coordinates", "profile", "kurtosis_percentiles")
#: What `of_second_moments` compares.
OF_MOMENTS: tuple[str, ...] = (
    "mean_share",
    "mean_coordinate_share",
    "kurtosis_of_mean",
    "kurtosis_less_mean",
)
OF_MOMENTS += ("kurtosis_gaussian", "kurtosis")
#: By how much the largest of many means of |cos| over `CONTROL_FEATURES` random images may differ
#: from their mean: four standard deviations of 0.76 / √1000, and a little.
NOISE = 0.12
#: The largest of a thousand sizes of normal numbers, over their mean: |z| < 5.
LARGEST_OF_NORMAL = 6.3
#: Of so many directions the largest is no matter of chance.
MANY = 50
#: The standard deviation of |cos| between images, over its mean: recorded are 0.48 to 0.86.
SPREADS = (0.02, 6.0)
#: Where fewer neighbours stay, few levels are left, and which they are is nearly chance.
FEW = 0.5
#: Of what each number is a share: a count, or the product of two, or a quantity of the measurement.
SHARES: dict[str, dict[str, tuple[str, ...]]] = {
    "outlier_features": {
        "persistence_fraction": ("images",),
        "zero_share": ("images", "components"),
        "negative_share": ("images", "components"),
    },
    "basis": dict.fromkeys(("persistence_less_mean", "persistence_rotated"), ("images",)),
    "image_by_image": {"accuracy": ("images",)},
    "interventions": dict.fromkeys(
        (
            *(f"accuracy_{of}" for of in ("whole", "rotated", "less_mean", "without_leader")),
            *(f"difference_{of}" for of in ("less_mean", "without_leader", "leader_at_mean")),
            *("accuracy_leader_at_mean", "accuracy_without_other", "accuracy_other_at_mean"),
        ),
        ("images",),
    ),
    "pruning": dict.fromkeys(
        (
            *(f"accuracy_{of}" for of in ("importance", "singular_value", "reversed")),
            *("accuracy_random_lowest", "accuracy_random_highest", "accuracy_without_each"),
            "difference_importance",
        ),
        ("images",),
    ),
    "unread": {
        **dict.fromkeys(("persistence", "persistence_without", "control_equal"), ("images",)),
        **{f"equal_{of}": ("images",) for of in ("without", "one_vector", "constant")},
        **{f"difference_{of}": ("classified",) for of in ("without", "one_vector", "constant")},
        "control_difference": ("classified",),
        "accuracy_without": ("classified",),
        "curve_accuracy": ("classified",),
    },
}

SHARES["probe"] = SHARES["outlier_features"] | {"outliers_lead": ("images",)}


def consequences(m: Measurement) -> Iterator[str]:
    """What does not follow, a sentence each."""
    v = {name: np.asarray(m.value(name), dtype=np.float64) for name in m.values}
    yield from _shares(m, v)
    if rules := _FOLLOWS.get(m.experiment):
        yield from rules(m, v)


def _shares(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Whether shares of counted things are whole numbers of these: an identity."""
    counts = {**m.counts, **({"classified": int(v["classified"])} if "classified" in v else {})}
    for name, things in SHARES.get(m.experiment, {}).items():
        if name not in v or not counts.keys() >= {*things}:
            continue
        whole = int(np.prod([counts[thing] for thing in things], dtype=object))
        for share in v[name].ravel():
            off = abs(share * whole - round(share * whole))
            if off > 0.02 + whole * _last_digit(float(share)):
                yield f"{name} is {share:.7g}, no whole number of {whole:,} {' × '.join(things)}."
                break


def _last_digit(number: float) -> float:
    """A unit of the last decimal that a number has in its file, or had there before rounding."""
    _, _, decimals = f"{number:.15g}".partition("e")[0].partition(".")
    power = int(f"{number:e}".partition("e")[2]) if "e" in f"{number:.15g}" else 0
    return float(10.0 ** (power - len(decimals)))


def _outlier_features(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    if len(v["sample"]) == m.counts["images"]:
        yield from (f"{said}." for said in of_sample(m))


def of_sample(m: Measurement) -> Iterator[str]:
    """Images of the sample stand for all: their |z| is as large as the profile says, and as ranked.

    They are the first ones, so that images in an order of their own may be others. The mean |z| of
    a vector lies between 1/√κ and 1 (Hölder).
    """
    v = {name: np.asarray(m.value(name), dtype=np.float64) for name in OF_SAMPLE}
    if len(v["sample"]) < 10 or len(v["sample_coordinates"]) < 10:
        return
    shown = np.abs(v["sample"]).mean(axis=0)
    profile = v["profile"][v["sample_coordinates"].astype(int)]
    quarter, three = np.quantile(profile, (0.25, 0.75))
    if three < 1.8 * quarter:  # coordinates too much alike to be ranked
        return
    least = 0.5 / v["kurtosis_percentiles"][-1] ** 0.5
    if not least <= shown.mean() / profile.mean() <= 1.5:
        yield "sample has other sizes than profile has at sample_coordinates"
    elif _rank_correlation(shown, profile) < 0.3:
        yield "sample has its largest numbers at other coordinates than profile"


def _rank_correlation(first: Array, second: Array) -> float:
    one, other = (np.argsort(np.argsort(of)) for of in (first, second))
    return float(np.corrcoef(one, other)[0, 1])


def _controls(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """A random head's spectrum is known, and random features lie equally near all directions.

    Their mean |cos| differ between directions by `NOISE`, so that shares alone are left of the
    importance. What is largest over the mean is 1 at least, and as much as there are directions.
    """
    shares, classes = v["singular_value_share"], m.counts["classes"]
    drawn = spectrum(classes, m.counts["components"])
    alone, both = (float(of.max() / of.mean()) for of in (shares, drawn))
    least = 1.0 if len(drawn) < MANY else both * (1 - NOISE)
    ends = {
        "control_random_features": (alone * (1 - NOISE), alone * (1 + NOISE)),
        "control_random_both": (both * (1 - NOISE), both * (1 + NOISE)),
        "control_random_head": (least, min(len(drawn), both * LARGEST_OF_NORMAL)),
        "control_centred_features": (1.0, len(shares)),
    }
    for name, (low, high) in ends.items():
        if not low - ROUNDING <= v[name] <= high + ROUNDING:
            yield f"{name} is {v[name]:.4g}, and must lie between {low:.4g} and {high:.4g}."


@cache
def spectrum(classes: int, components: int) -> Array:
    """Singular values of a head of independent Gaussian entries."""
    head = np.random.default_rng(0).normal(size=(classes, components))
    gram = head @ head.T if classes < components else head.T @ head
    return np.asarray(np.sqrt(np.linalg.eigvalsh(gram).clip(0)), dtype=np.float64)


def _basis(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """In the eigenframe, d Σ E y⁴ ≥ d Σ λ², which is d (s² + (1 − s)² / R)."""
    s, least = v["mean_share"], (1 - SLACK) * m.counts["components"]
    wide = m.counts["components"] >= WIDE
    if wide and v["kurtosis_eigenframe"] < least * (s**2 + (1 - s) ** 2 / v["effective_rank"]):
        yield "kurtosis_eigenframe is less than mean_share and effective_rank give it."


def of_second_moments(basis: Measurement) -> Iterator[str]:
    """Bounds on κ where about half of all numbers are negative, so that κ sees nearly raw moments.

    Images of length 1 are their mean μ and a rest x, |μ|² = s. With t = d Σ μ⁴ / s²
    (`kurtosis_of_mean`), d Σ E h⁴ = s² t + 6 d Σ μ² E x² + … + d Σ E x⁴, whose second term is 0 at
    least, and by Cauchy at most √ of the two others' product; a Gaussian's last one is 3 (1 − s)²
    at least. The largest share of Σ μ² bounds t by d times itself.
    """
    v = {name: np.float64(basis.value(name)) for name in OF_MOMENTS}
    d, s, t = basis.counts["components"], v["mean_share"], v["kurtosis_of_mean"]
    if d < WIDE:
        return
    least, rest = s**2 * t + 3 * (1 - s) ** 2, v["kurtosis_less_mean"]
    most = least + 6 * s * (1 - s) * (t * max(rest / 3, 1)) ** 0.5 + (1 - s) ** 2 * max(rest - 3, 0)
    if not least * (1 - SLACK) <= v["kurtosis_gaussian"] <= most * (1 + SLACK):
        yield "kurtosis_gaussian is not that of numbers with this mean_share and kurtosis_of_mean."
    if v["kurtosis"] < (1 - SLACK) * (s**2 * t + (1 - s) ** 2):
        yield "kurtosis is less than the mean image (mean_share, kurtosis_of_mean) gives it."
    if t > 1.5 * d * v["mean_coordinate_share"] + 3:
        yield "kurtosis_of_mean is more than a mean with this mean_coordinate_share can have."


def _quantisation(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Schemes by their bits; crest factors c, whose mean square the expected error gives."""
    schemes, bits = np.array(m.names["bits"]), v["bits"]
    if len(schemes) != len(bits):
        return
    for name in dict.fromkeys(schemes):
        of = schemes == name
        if (np.diff(bits[of]) >= 0).any():
            yield f"bits must fall within the scheme {name}."
            return
        for frame in ("written", "less_mean", "removed"):
            kept = v[f"kept_{frame}"]
            if len(kept) != len(of):
                continue
            before = np.maximum(kept[of][:-1], FEW)
            if (kept[of][1:] > before + 0.05 + v["queries"] ** -0.5).any():
                yield f"kept_{frame} must fall with the bits of {name}."
    if not np.array_equal(v["vector_bits"], bits[schemes == "vector"]):
        yield "vector_bits are not the bits of the scheme vector."
        return
    squares = v["error_expected"] * 12 * (2 ** (v["vector_bits"] - 1) - 1) ** 2
    if np.ptp(squares) > ROUNDING * squares.mean():
        yield "error_expected must be a crest factor's: four times as large for each bit less."
    width, crest = m.counts["components"], v["crest_written"]
    if not crest**2 * (1 - ROUNDING) <= squares.mean() <= width**0.5 * crest * (1 + ROUNDING):
        yield "error_expected is not that of vectors with this crest_written."
    if (v["error_measured"] > 3 * v["error_expected"] * (1 + ROUNDING)).any():
        yield "error_measured is more than half a step for every number."
    if (np.diff(v["error_measured"]) < -1e-12).any():
        yield "error_measured must rise with fewer bits."
    normal = (2 * np.log(width)) ** 0.5  # about the largest of so many Gaussian numbers
    if width >= 100 and (np.abs(v["crest_rotated"] / normal - 0.9) > 0.4).any():
        yield "crest_rotated must be that of Gaussian numbers, as of any vector rotated at random."


def _privileged_directions(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """E|c| ≤ √E c² for the cosine c of images with the top direction; its mean is √s t, s ≤ 1."""
    for name in ("importance_head_centred", "importance_centred"):
        if (np.diff(v[name]) > ROUNDING).any() or abs(v[name].mean() - 1) > ROUNDING:
            yield f"{name} must fall, and have the mean 1."
    mean = v["cosine_with_images"][int(v["top_direction"])]
    least = max(mean**2 - v["top_cosine_deviation"] ** 2, 0) ** 0.5
    if v["top_with_mean"] < least * (1 - ROUNDING):
        yield "top_with_mean is less than cosine_with_images and top_cosine_deviation give it."
    # The error is that of a mean of |cos|, whose spread is some share of itself.
    spread = v["importance_centred_error"] / v["importance_centred"].max()
    spread *= m.distinct_images**0.5
    alone = len(v["importance_centred"]) < 2  # its ratio to the mean is always 1
    if not alone and not SPREADS[0] <= spread <= SPREADS[1]:
        yield "importance_centred_error is not that of so many images (importance_centred)."
    if m.counts["components"] >= WIDE:
        yield from _controls(m, v)


def _concepts(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Draws begin with the images themselves; a lower threshold is reached by more concepts."""
    best, by_coordinate = v["best"], v["coordinates_best"]
    if abs(v["best_draws"][0] - best.mean()) > ROUNDING:
        yield "best_draws does not begin with the mean of best."
    least, most = ((by_coordinate >= v["threshold"] + off).sum() for off in (ROUNDING, -ROUNDING))
    if not least <= v["coordinates_unique_draws"][0] <= most:
        yield "coordinates_unique_draws does not begin with how many concepts reach threshold."
    lower = v["lower_threshold"] <= v["threshold"]
    if lower and (v["per_direction_lower"] < v["per_direction"]).any():
        yield "per_direction_lower is less than per_direction, whose threshold is higher."
    for name, counts in v.items() if lower else ():
        higher = v.get(name.replace("lower_", "unique_"), counts)  # itself where there is none
        if higher.shape == counts.shape and (counts < higher).any():
            yield f"{name} counts fewer concepts than at the higher threshold."
    if len(best) >= 30 and _rank_correlation(best, by_coordinate) < 0.2:
        yield "coordinates_best has other concepts at its top than best."


def _textures(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    top = v["per_direction"][int(v["top_direction"])]
    if abs(top - v["along_top"].mean()) > ROUNDING:
        yield "per_direction is not the mean of along_top at top_direction."
    if abs(v["importance"].mean() - 1) > ROUNDING:
        yield "importance must have the mean 1."


def _unread(m: Measurement, v: Mapping[str, Array]) -> Iterator[str]:
    """Of the first texts, directions are dropped as long as they hold no more than a share."""
    held, shares = v["text_variance"].cumsum(), v["shares"][:, None]
    least, most = ((held <= shares * (1 + off) + off).sum(axis=1) for off in (-1e-5, 1e-5))
    if not ((least <= v["dropped"][0]) & (v["dropped"][0] <= most)).all():
        yield "dropped is not how many directions hold shares of text_variance."
    if v["steps"][0] == 0:  # curves begin with nothing dropped
        first = np.atleast_2d(v["curve_kurtosis"])[:, 0]
        if (np.abs(first - v["kurtosis"]) > ROUNDING * v["kurtosis"]).any():
            yield "curve_kurtosis does not begin with kurtosis, where nothing is dropped."
        whole = [v[f"curve_accuracy{end}"] for end in ("", "_random")]
        if all(curve.size for curve in whole):
            starts = np.concatenate([np.atleast_2d(curve)[:, 0] for curve in whole])
            if np.ptp(starts) > ROUNDING:
                yield "curve_accuracy and curve_accuracy_random do not begin with one accuracy."


_FOLLOWS: dict[str, Rules] = {
    rules.__name__.removeprefix("_"): rules
    for rules in (
        *(_outlier_features, _basis, _quantisation, _privileged_directions, _concepts),
        *(_textures, _unread),
    )
}
_FOLLOWS["probe"] = _outlier_features
