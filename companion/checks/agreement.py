"""Does a measurement repeat or contradict the others of its model, its images and its kind?

Refused is what cannot be true of both: one quantity with two values, features with two checksums, a
list that was copied to the digit. What is only unlike the rest is called *unusual* and stays, since
it may be the evidence that this book lacks: a leader that hangs on the images, say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from companion.measurements.measurement import Measurement
from companion.measurements.provenance import OWN_CLASSIFIER
from companion.measurements.quantities import Measurable, Measured, declared

Array = NDArray[np.float64]

#: Rounding to the digits that are kept.
ROUNDING = 2e-3
#: Lists in which at least so many numbers differ are of one model and its images alone.
DIFFERENT = 5
#: Counts of so much information are of one model and its images, too.
MOST_BITS = 64
#: How far beyond all recorded values a value is unusual, as a factor.
UNUSUAL = 3.0
#: A number of two digits or more in words on images, no part of a name or checksum.
NUMBER = re.compile(r"(?<![\w.-])[1-9][\d,]*\d(?![\w-])")
#: The experiments that say which coordinate leads.
OF_COORDINATES: tuple[Measurable, ...] = ("outlier_features", "unread", "interventions")
#: In all recorded files, a coordinate that leads in so many images leads on the model's other ones.
LEADS = 0.9
#: In all recorded pairs, ranks of a model's coordinates on two sets of images correlate by more.
ALIKE = 0.2
#: Profiles of fewer images are of what these show as much as of the model: nine photographs of
#: clothes and aerial ones, by one model, correlate by less.
FEWEST = 30


# What is refused


def contradictions(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """What contradicts other measurements, a sentence each."""
    rivals = [o for o in others if _key(o) != _key(m)]
    same = [o for o in rivals if (o.model, o.data.name) == (m.model, m.data.name)]
    yield from _unequal(m, [m, *(o for o in same if o.counts["images"] == m.counts["images"])])
    yield from _counted(m, same)
    yield from _features(m, rivals)
    yield from copies(m, rivals)


def _unequal(m: Measurement, same: Sequence[Measurement]) -> Iterator[str]:
    """What another measurement of the same images, or another number of this one, has otherwise."""
    found = [(o, *each) for o in same for each in _known(o)]
    for name, number, value in _known(m):
        for other, theirs, there, known in found:
            if number == there and not np.isclose(value, known, rtol=ROUNDING, atol=1e-9):
                where = "" if other is m else f" in the {other.experiment} of the same images"
                yield f"{name} is {value:.6g}, and {theirs} is {known:.6g}{where}."
                return


def _known(m: Measurement) -> Iterator[tuple[str, str, float]]:
    """Names in a measurement, which number each is by `same_as` and `last_as`, and its value."""
    own = m.provenance.head.startswith(OWN_CLASSIFIER)
    for name in m.values:
        number, last, at_length_one = _number(m.experiment, name)
        values = np.asarray(m.value(name), dtype=np.float64)
        if number and values.size and not (at_length_one and own):
            called = f"the last of {name}" if last else name
            yield called, number, float(values[-1] if last else values)


@cache
def _number(experiment: Measured, name: str) -> tuple[str, bool, bool]:
    """Which number a quantity is, "" if nothing is said of it; and how, as `Quantity` says."""
    about = declared()[experiment].quantities[name]
    named = {
        q.same_as or q.last_as for kind in declared().values() for q in kind.quantities.values()
    }
    itself = f"{experiment}.{name}"
    number = about.same_as or about.last_as or (itself if itself in named else "")
    return number, bool(about.last_as), about.at_length_one


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


def copies(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether a long list is that of another model or of other images, to the digit."""
    peers = [o for o in others if o.experiment == m.experiment and _key(o) != _key(m)]
    for name in m.values:
        values = np.asarray(m.value(name))
        chosen = declared()[m.experiment].quantities[name].choice
        if chosen or (len(_measured(values)) < DIFFERENT and not _tells(m, name)):
            continue
        there = [o for o in peers if name in o.values and not _same_weights(o, m)]
        equal = [o for o in there if np.array_equal(o.value(name), values)]
        if len({m.model, *(o.model for o in equal)}) > 2:  # a choice, which others made as well
            continue
        for other in equal[:1]:
            yield f"{name} is that of {other.model} on {other.data.name}, to the digit."
            return


# What is unusual


def unusual(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """What is unlike all that is recorded of its kind, a clause each: no reason to refuse it."""
    yield from unlike_its_model(m, others)
    said = {int(number.replace(",", "")) for number in NUMBER.findall(m.data.what)}
    if said and m.counts["images"] not in said:
        yield f"counts.images is {m.counts['images']}, and data.what says: {m.data.what}"
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


def unlike_its_model(m: Measurement, others: Sequence[Measurement]) -> Iterator[str]:
    """Whether coordinates do not lead and lie as on the model's other images, in a clause.

    Features of another model or layer look so, and so do narrow or unlike sets of images.
    """
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
                f"{often:.0%} of the images: other images, or features of another model or layer"
            )
            return
        few = min(o.counts["images"] for o in (m, other)) < FEWEST
        if m.experiment == other.experiment == "outlier_features" and not few:
            first, second = (np.argsort(np.argsort(o.value("profile"))) for o in (m, other))
            if len(first) == len(second) and np.corrcoef(first, second)[0, 1] < ALIKE:
                yield (
                    f"its profile is unlike that on {other.data.name}: other images, or "
                    "features of another model or layer"
                )
                return


def _leader(m: Measurement) -> tuple[int, float]:
    """The coordinate that leads, and in what share of the images, where that is measured."""
    names = {"outlier_features": ("persistence_coordinate", "persistence_fraction")}
    names |= {"unread": ("leader", "persistence")}
    leader, share = names.get(m.experiment, ("leader", ""))
    return int(m.value(leader)), float(m.value(share)) if share else 0.0


# What a file is of


def _key(m: Measurement) -> tuple[str, str, str]:
    return m.experiment, m.model, m.data.name


def _of_texts(m: Measurement) -> bool:
    return "captions" in m.data.name


def _same_weights(one: Measurement, other: Measurement) -> bool:
    """Whether two models are one file of weights, so that they see the same images alike."""
    weights = {m.provenance.weights_sha256 for m in (one, other)}
    same = one.model != other.model and one.data.name == other.data.name
    return same and len(weights) == 1 and None not in weights


def _checksums(m: Measurement) -> dict[str, str]:
    made = m.provenance.made_from
    return {name: of for name, of in made.items() if name.startswith("features of ")}


def _size(m: Measurement, name: str) -> float:
    """The mean magnitude of a quantity; 0 for what is no magnitude."""
    if m.values[name].unit in ("coordinate", "direction", "concept", "images", "count"):
        return 0.0
    values = np.abs(np.asarray(m.value(name), dtype=np.float64))
    return float(values.mean()) if values.size else 0.0


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
