"""Does a measurement repeat or contradict the others of its model, its images and its kind?

Refused is what cannot be true of both: one quantity with two values, features with two checksums, a
list that was copied to the digit. What is only unlike the rest stays, since it may be the evidence
that this book lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from companion.measurements.measurement import Measurement
from companion.measurements.provenance import OWN_CLASSIFIER
from companion.measurements.quantities import Measured, declared

Array = NDArray[np.float64]

#: Rounding to the digits that are kept.
ROUNDING = 2e-3
#: Lists in which at least so many numbers differ are of one model and its images alone.
DIFFERENT = 5
#: Counts of so much information are of one model and its images, too.
MOST_BITS = 64
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


# What a file is of


def _key(m: Measurement) -> tuple[str, str, str]:
    return m.experiment, m.model, m.data.name


def _same_weights(one: Measurement, other: Measurement) -> bool:
    """Whether two models are one file of weights, so that they see the same images alike."""
    weights = {m.provenance.weights_sha256 for m in (one, other)}
    same = one.model != other.model and one.data.name == other.data.name
    return same and len(weights) == 1 and None not in weights


def _checksums(m: Measurement) -> dict[str, str]:
    made = m.provenance.made_from
    return {name: of for name, of in made.items() if name.startswith("features of ")}


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
