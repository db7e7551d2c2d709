"""Does a measurement agree with the others of its model, its images and its kind?

Files are taken one by one and lie side by side, so that a file of other features, of other images
or with one wrong number contradicts its neighbours. What contradicts is refused; what lies far from
all that is recorded is only called unusual, since a new kind of model may be so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.images.sets import LEFT_OUT
from companion.measurements.consequences import of_sample, of_second_moments
from companion.measurements.measurement import Measurement
from companion.measurements.provenance import MANIFEST, OWN_CLASSIFIER
from companion.measurements.quantities import Measurable

Array = NDArray[np.float64]
#: A quantity of an experiment, and which entry of it if it is a list.
Place = tuple[str, str, int | None]

#: What several experiments find of the same features, and must find alike.
EQUAL: tuple[tuple[Place, ...], ...] = (
    (
        ("outlier_features", "kurtosis_mean", None),
        ("basis", "kurtosis", None),
        ("unread", "kurtosis", None),
        ("unread", "curve_kurtosis_random", 0),
        ("interventions", "kurtosis_whole", None),
        ("quantisation", "kurtosis_written", None),
    ),
    (("outlier_features", "persistence_fraction", None), ("unread", "persistence", None)),
    (
        ("outlier_features", "persistence_coordinate", None),
        ("unread", "leader", None),
        ("interventions", "leader", None),
    ),
    (
        ("accuracy", "top1", None),
        ("image_by_image", "accuracy", None),
        ("interventions", "accuracy_whole", None),
        ("interventions", "accuracy_rotated", None),
        ("pruning", "accuracy_importance", -1),
        ("pruning", "accuracy_singular_value", -1),
    ),
    (
        ("basis", "kurtosis_less_mean", None),
        ("interventions", "kurtosis_less_mean", None),
        ("quantisation", "kurtosis_less_mean", None),
    ),
    (
        ("basis", "kurtosis_eigenframe", None),
        ("interventions", "eigenframe_whole", None),
        ("interventions", "eigenframe_rotated", None),
    ),
    (("interventions", "cosine_whole", None), ("interventions", "cosine_rotated", None)),
    (("concepts", "top_direction", None), ("textures", "top_direction", None)),
    (
        ("outlier_features", "distinct_images", None),
        ("privileged_directions", "distinct_images", None),
        ("pruning", "distinct_images", None),
    ),
)
#: Of these, what a head with a bias, which sees images at their own lengths, has otherwise.
OF_LENGTHS = {"kurtosis_less_mean", "eigenframe_whole", "eigenframe_rotated"}
#: Rounding to the digits that are kept.
ROUNDING = 2e-3
#: Of whitened features, whose eigenvalues are equal, no eigenframe is like the next.
NO_ONE_FRAME = 0.1
#: Lists in which at least so many numbers differ are of one model and its images alone.
DIFFERENT = 5
#: Counts of so much information are of one model and its images, too.
MOST_BITS = 64
#: Lists that models share: of texts and heads, and steps that anyone may choose.
SHARED = {"steps", "constants", "positives", "groups", "dropped", "images_per_class", "shares"}
SHARED |= {"bits", "vector_bits"}
SHARED |= {"text_variance", "leader_inside", "singular_value_share", "top_components", "spanned"}
SHARED |= {"text_rows", "judged_by_itself", "leader_variance", "other_choices"}
#: The experiments that say which coordinate leads.
OF_COORDINATES: tuple[Measurable, ...] = ("outlier_features", "unread", "interventions")
#: A coordinate that leads in so many images leads on other images of the model, too.
LEADS = 0.9
#: Ranks of a model's coordinates on two sets of images are correlated by more: recorded pairs have
#: 0.28 and more, those of two models 0.10 at most.
ALIKE = 0.2
#: A number of images in words.
NUMBER = re.compile(
    r"\b(\d[\d,]*)(?:(?: [\w-]+){0,3}? (?:images|pictures|photographs|panels|texts|classes)|"
    r" of them)\b"
)
#: How far beyond all recorded values a value is unusual, as a factor.
UNUSUAL = 3.0
#: By how much a share that should fall may rise.
RISE = 0.1


def contradictions(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """What contradicts other measurements, a sentence each."""
    rivals = [o for o in others if (o.experiment, o.model, o.data.name) != _key(m)]
    of_model = [o for o in rivals if o.model == m.model]
    same = [o for o in of_model if o.data.name == m.data.name]
    yield from _said_images(m)
    yield from _unequal(m, [m, *(o for o in same if o.counts["images"] == m.counts["images"])])
    yield from _near_others(m, same)
    yield from _counted(m, same)
    yield from _features(m, rivals)
    yield from _copies(m, rivals)
    yield from other_encoder(m, of_model)
    yield from _other_texts(m, [o for o in of_model if o.experiment == m.experiment == "unread"])


def unusual(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Numbers far from all that are recorded of their kind, a sentence each."""
    yield from _falling(m)
    yield from _unlike_chance(m)
    peers = [o for o in others if o.experiment == m.experiment and _key(o) != _key(m)]
    for name in m.values:
        known = np.array([size for o in peers if name in o.values if (size := _size(o, name))])
        if not (size := _size(m, name)) or len(known) < 3:
            continue
        if not known.min() / UNUSUAL <= size <= known.max() * UNUSUAL:
            yield (
                f"{name} is {size:.4g} on average, and {known.min():.4g} to {known.max():.4g} in "
                f"{len(known)} other files"
            )


def _falling(m: Measurement) -> Iterator[str]:
    """Whether fewer images change their class where more directions are dropped.

    It can be: of recorded measurements one has 7 points more. So it is unusual, and not refused.
    """
    if m.experiment == "unread":
        rises = np.diff(m.value("equal_without"), axis=-1).max(initial=0)
        if rises > RISE:
            yield f"equal_without rises by {rises:.2g} where more directions are dropped"


def _unlike_chance(m: Measurement) -> Iterator[str]:
    """What images of chance do not have, and whitened features or sorted images may have."""
    if m.experiment == "basis":
        # Of N images drawn alike the shares λ have E Σ λ² ≥ 1 / N + (1 − 1 / N) / d, even if each
        # direction has as much as any other.
        few = 1 / m.counts["images"]
        most = 1 / (few + (1 - few) / m.counts["components"])
        if m.value("effective_rank") > 1.1 * most:
            yield f"effective_rank is above {most:.4g}, which so many images of chance have at most"
    if m.experiment == "outlier_features":
        yield from of_sample(m)
        leader = m.value("profile").argmax()
        if m.value("persistence_fraction") > 0.5 and m.value("persistence_coordinate") != leader:
            yield "persistence_coordinate leads in most images and is not the highest of profile"


def _key(m: Measurement) -> tuple[str, str, str]:
    return m.experiment, m.model, m.data.name


def _size(m: Measurement, name: str) -> float:
    """The mean magnitude of a quantity; 0 for what is no magnitude."""
    if m.values[name].unit in ("coordinate", "direction", "concept", "images", "count"):
        return 0.0
    values = np.abs(np.asarray(m.value(name), dtype=np.float64))
    return float(values.mean()) if values.size else 0.0


def _of_texts(m: Measurement) -> bool:
    return "captions" in m.data.name


def _said_images(m: Measurement) -> Iterator[str]:
    """Whether the images are as many as the words say, if these say a number of them."""
    if MANIFEST in m.data.what or LEFT_OUT in m.data.what:  # which count others, or none
        return
    said = [int(number.replace(",", "")) for number in NUMBER.findall(m.data.what)]
    if said and m.counts["images"] not in said:
        yield f"counts.images is {m.counts['images']}, and data.what says: {m.data.what}."


def _unequal(m: Measurement, same: Sequence[Measurement]) -> Iterator[str]:
    """What another measurement of the same images, or another number of this one, has otherwise."""
    for places in EQUAL:
        found = [(o, place, _at(o, place)) for o in same for place in places]
        there = [(o, place, value) for o, place, value in found if value is not None]
        ours = [(place, value) for o, place, value in there if o is m]
        for place, value in ours:
            for other, (experiment, name, _), theirs in there:
                off = NO_ONE_FRAME if "eigenframe" in name else ROUNDING
                if not np.isclose(value, theirs, rtol=off, atol=1e-9):
                    where = "" if other is m else f" in the {experiment} of the same images"
                    yield f"{place[1]} is {value:.6g}, and {name} is {theirs:.6g}{where}."
                    return


def _near_others(m: Measurement, same: Sequence[Measurement]) -> Iterator[str]:
    """Relations between experiments on the same images, whichever of the two is looked at.

    Of N rows of length 1 with a mean μ, N |μ|² is 1 more than N − 1 times the mean cosine of two,
    and the mean cosine with μ is |μ|; a
    coordinate's share of all squares is at least its share of those of the mean.
    """
    by = {o.experiment: o for o in same if o.counts["images"] == m.counts["images"]}
    by[m.experiment] = m
    if basis := by.get("basis"):
        share, of_coordinate = (basis.value(n) for n in ("mean_share", "mean_coordinate_share"))
        n = m.counts["images"]  # of which each is most like itself
        cosine = (n * share - 1) / max(n - 1, 1)
        if (other := by.get("interventions")) and abs(other.value("cosine_whole") - cosine) > 1e-3:
            yield f"mean_share is {share:g}, and cosine_whole of the interventions is another."
        other = by.get("outlier_features")
        if other and m in (basis, other) and 0.4 < other.value("negative_share") < 0.6:
            yield from of_second_moments(basis)
        other = by.get("image_by_image")
        if other and not _mean_of_fifths(other, "cosine_of_fifths", share**0.5, 0.02):
            yield f"mean_share is {share:g}, and cosine_of_fifths has not its root as mean."
        other = by.get("interventions")
        if other and not other.provenance.head.startswith(OWN_CLASSIFIER):
            yield from _leader_at_mean(basis, other)
        other = by.get("unread")
        if other and other.value("leader") == basis.value("mean_coordinate"):
            energy, least = other.value("leader_energy"), share * of_coordinate
            if not 0.95 * least - 0.01 <= energy <= least + (1 - share):
                yield f"leader_energy is {energy:g}, where the mean gives it {least:.4g} at least."
        if other and not other.provenance.head.startswith(OWN_CLASSIFIER):
            of_mean = share * np.asarray(other.value("mean_inside"))
            rest = np.asarray(other.value("energy")) - of_mean
            if (rest < -ROUNDING).any() or (rest > 1 - share + ROUNDING).any():
                yield (
                    "mean_inside and energy leave less than nothing, or more than there is, to "
                    f"what is not the mean, whose mean_share is {share:g}."
                )
    fifths, whole = by.get("image_by_image"), by.get("basis") or by.get("outlier_features")
    if fifths and whole and m in (fifths, whole):
        kurtosis = whole.value("kurtosis" if whole.experiment == "basis" else "kurtosis_mean")
        if not _mean_of_fifths(fifths, "kurtosis_of_fifths", kurtosis, 0.02 * kurtosis):
            yield f"kurtosis_of_fifths has not the mean {kurtosis:g} of all these images."


def _mean_of_fifths(m: Measurement, name: str, mean: float, off: float) -> bool:
    """Whether fifths have a mean; of N images, no multiple of five, some have one image more."""
    fifths = np.asarray(m.value(name))
    return bool(abs(fifths.mean() - mean) <= off + 5 / m.counts["images"] * np.ptp(fifths))


def _leader_at_mean(basis: Measurement, other: Measurement) -> Iterator[str]:
    """κ with the leader at its mean c, which then has c² / (c² + 1) of an image's energy at least.

    By itself this gives κ at least d times the square of that share.
    """
    if other.value("leader") != basis.value("mean_coordinate"):
        return
    square = basis.value("mean_share") * basis.value("mean_coordinate_share")
    share = square / (square + 1)
    least = 0.9 * basis.counts["components"] * share**2
    if other.value("kurtosis_leader_at_mean") < least:
        yield f"kurtosis_leader_at_mean is less than {least:.4g}, which its constant alone gives."


def _at(m: Measurement, place: Place) -> float | None:
    experiment, name, entry = place
    if m.experiment != experiment or name not in m.values:
        return None
    own = m.provenance.head.startswith(OWN_CLASSIFIER)
    if own and name in OF_LENGTHS and experiment != "basis":
        return None
    values = np.asarray(m.value(name), dtype=np.float64)
    if entry is None:
        return float(values)
    return float(values[entry]) if values.size else None


def _counted(m: Measurement, same: Sequence[Measurement]) -> Iterator[str]:
    """Whether it saw more images than there are; some may leave out those without classes."""
    for other in same:
        if "basis" in (m.experiment, other.experiment) and m.experiment != other.experiment:
            more = m.counts["images"] - other.counts["images"]
            all_images = "outlier_features" in (m.experiment, other.experiment)
            if more * (1 if other.experiment == "basis" else -1) > 0 or (all_images and more):
                yield (
                    f"counts.images is {m.counts['images']}, in the {other.experiment} of the same "
                    f"images it is {other.counts['images']}."
                )
                return


def _features(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether it rests on the features of the same images, and on no other model's."""
    ours = _checksums(m)
    for other in others:
        shared = ours.keys() & _checksums(other).keys()
        if other.model == m.model and any(ours[name] != _checksums(other)[name] for name in shared):
            yield f"it is made from other {min(shared)} than its {other.experiment}."
            return
        shares = {*ours.values()} & {*_checksums(other).values()}
        if other.model != m.model and shares and not _same_weights(other, m):
            yield f"it is made from the features of {other.model} on {other.data.name}."
            return


def _same_weights(one: Measurement, other: Measurement) -> bool:
    """Whether two models are one file of weights, so that they see the same images alike."""
    weights = {m.provenance.weights_sha256 for m in (one, other)}
    same = one.model != other.model and one.data.name == other.data.name
    return same and len(weights) == 1 and None not in weights


def _checksums(m: Measurement) -> dict[str, str]:
    made = m.provenance.made_from
    return {name: of for name, of in made.items() if name.startswith("features of ")}


def _copies(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether a long list is that of another model or of other images."""
    peers = [o for o in others if o.experiment == m.experiment]
    for name in m.values.keys() - SHARED:
        values = np.asarray(m.value(name))
        if len(_measured(values)) < DIFFERENT and not _tells(m, name):
            continue
        there = [o for o in peers if name in o.values and not _same_weights(o, m)]
        equal = [o for o in there if np.array_equal(o.value(name), values)]
        if len({m.model, *(o.model for o in equal)}) > 2:  # a choice, which others made as well
            continue
        for other in equal[:1]:
            yield f"{name} is that of {other.model} on {other.data.name}, to the digit."
            return


def _tells(m: Measurement, name: str) -> bool:
    """Whether counts of images are so many and so different that two lists are not equal alike."""
    if m.values[name].unit != "images" or len(values := np.ravel(m.value(name))) < 20:
        return False
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return bool(-(shares * np.log2(shares)).sum() * len(values) > MOST_BITS)


def _measured(values: Array) -> set[str]:
    """The different numbers of three digits or more: fewer are a choice, as of shares and steps."""
    written = {f"{value:.4g}" for value in np.unique(values)}
    return {text for text in written if len(re.sub(r"e.*|[-.]|^-?0\.0*", "", text).strip("0")) >= 3}


def foreign(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether numbers are another model's, or the same model's of the same images once more."""
    rivals = [o for o in others if _key(o) != _key(m)]
    yield from other_encoder(m, rivals)
    yield from _copies(m, rivals)


def other_encoder(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether coordinates do not lead and lie as on the model's other images, in a sentence."""
    if m.experiment not in OF_COORDINATES:
        return
    ours, share = _leader(m)
    for other in others:
        same = (other.model, _of_texts(other)) == (m.model, _of_texts(m))
        if not same or other.experiment not in OF_COORDINATES or other.data.name == m.data.name:
            continue
        theirs, often = _leader(other)
        if min(share, often) >= LEADS and ours != theirs:
            yield (
                f"coordinate {ours} leads, and on {other.data.name} coordinate {theirs} does in "
                f"{often:.0%} of the images: these are the features of another model, or layer."
            )
            return
        if m.experiment == other.experiment == "outlier_features":
            first, second = (np.argsort(np.argsort(o.value("profile"))) for o in (m, other))
            if len(first) == len(second) and np.corrcoef(first, second)[0, 1] < ALIKE:
                yield (
                    f"its profile is not that of the model on {other.data.name}: these are the "
                    "features of another model, or layer."
                )
                return


def _other_texts(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether the model's texts are those that it was measured with on other images."""
    for other in others:
        alike = other.names.get("text_rows") == m.names.get("text_rows")
        theirs, ours = (np.asarray(o.value("text_variance")) for o in (other, m))
        if alike and not np.allclose(theirs, ours, rtol=ROUNDING, atol=1e-6):
            yield f"text_variance is not that of the same texts on {other.data.name}."
            return


def _leader(m: Measurement) -> tuple[int, float]:
    """The coordinate that leads, and in what share of the images, where that is measured."""
    names = {"outlier_features": ("persistence_coordinate", "persistence_fraction")}
    names |= {"unread": ("leader", "persistence")}
    leader, share = names.get(m.experiment, ("leader", ""))
    return int(m.value(leader)), float(m.value(share)) if share else 0.0
