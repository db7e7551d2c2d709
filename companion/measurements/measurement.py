"""What a measurement is: numbers with their units, the model, the images and the provenance.

`records` reads and writes them as files. Unknown fields, quantities and units are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from analysis.base.strict import Name, Plain, Sha256, Strict, Words
from analysis.base.texts import CompanionError
from analysis.families.registry import Level
from companion.measurements.intervals import Interval
from companion.measurements.quantities import (
    LARGEST,
    NONE_OR_MORE,
    Measured,
    Quantity,
    Unit,
    declared,
    possible,
    units,
)
from companion.sources import sets

#: What `Provenance.head_classes` says of a head of ImageNet's 1,000 classes.
IMAGENETS_CLASSES = "ImageNet's"

Number = int | float
Numbers = Number | list[Number] | list[list[Number]]


class MeasurementError(CompanionError, ValueError):
    """A measurement is not as it must be; the message names the file, the field and the reason."""


class NothingMeasuredError(MeasurementError):
    """A page has nothing to show; the message says what is missing and how to get it."""


class _Strict(Strict):
    model_config = ConfigDict(strict=True)


class Value(_Strict):
    """Numbers with their unit."""

    unit: Words
    value: Numbers


class Data(_Strict):
    """The data set: a name that can be part of a file's, and what it is."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
    what: Words

    @property
    def title(self) -> str:
        """The title of the data set."""
        return sets.title(self.name) + ", not the published set" * (not self.is_whole)

    @property
    def is_whole(self) -> bool:
        """Whether the images are those of the published data set, as far as is known."""
        return sets.is_whole(self.what)


class Origin(_Strict):
    """A public file that the measurement rests on, by its content."""

    name: Words
    sha256: Sha256


class Provenance(_Strict):
    """Where the numbers come from.

    ``weights_sha256`` may be absent only if ``weights_note`` says why, which is so where others
    embedded the images; ``origins`` then says which files of theirs were used. ``made_from`` has
    all that decides the numbers, by name: checksums of features, of the head and of files, and a
    hash of what is reached in each module; ``version`` is that of this package, ``taken`` the day
    (YYYY-MM-DD). ``head_classes``: `IMAGENETS_CLASSES` if the head's list of classes is ImageNet's.
    ``inferred`` says from what the model is, where no source names it: it decides no
    claim alone.
    """

    weights: Words
    weights_sha256: Sha256 | None
    weights_note: Plain
    inferred: Plain = ""
    origins: Annotated[list[Origin], Field(min_length=1)]
    layer: Words
    head: Plain
    head_classes: Plain = ""
    version: Words
    made_from: Annotated[dict[Words, Words], Field(min_length=1)]
    libraries: dict[Words, Words]
    device: Words
    precision: Words
    taken: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Provenance:
        if self.weights_sha256 is None and not self.weights_note:
            raise ValueError("without weights_sha256, weights_note must say why there is none")
        if self.taken:
            date.fromisoformat(self.taken)
        if "numpy" not in self.libraries:
            raise ValueError("libraries must give 'numpy'")
        return self


class Measurement(_Strict):
    """One experiment's numbers for one model on one data set; `names`: what lists point to."""

    format: Literal[2]
    experiment: Measured
    family: Name
    model: Name
    level: Level
    data: Data
    counts: dict[Words, Annotated[int, Field(gt=0, le=int(LARGEST))]]
    values: dict[Words, Value]
    names: dict[Words, list[Words]] = Field(default_factory=dict)
    provenance: Provenance
    #: Whether it lies next to the features in the store, or is recorded; the file does not say it.
    live: bool = Field(default=False, exclude=True)

    @property
    def lacks(self) -> list[str]:
        """Quantities that the file lacks, because they were introduced after it was recorded."""
        return [name for name in declared()[self.experiment].quantities if name not in self.values]

    @property
    def file_name(self) -> str:
        """The name of its file within the experiment's folder."""
        return f"{self.model}--{self.data.name}.json"

    @property
    def place(self) -> str:
        """The end of its file's path, recorded or live."""
        if self.live:
            return f"{self.model}/measurements/{self.experiment}--{self.data.name}.json"
        return f"{self.experiment}/{self.file_name}"

    @property
    def distinct_images(self) -> int:
        """As how many different images they tell, as far as the file knows.

        `sampling.scenes` where it was counted by a trained encoder, else copies to the last bit
        (`sampling.distinct_images`): without features nobody can find pictures that are almost
        equal.
        """
        known = ["distinct_images"] if self.level == "random" else ["scenes", "distinct_images"]
        found = next((name for name in known if name in self.values), None)
        return int(self.value(found)) if found else self.counts["images"]

    @property
    def kurtosis(self) -> Interval:
        """Mean κ over images with its 95 % interval."""
        return self.of_images("kurtosis_mean", "kurtosis_standard_error")

    def of_images(self, mean: str, error: str) -> Interval:
        """A mean over images with its 95 % interval, which rests on distinct images alone."""
        distinct = self.distinct_images
        inflated = self.value(error) * math.sqrt(self.counts["images"] / distinct)
        return Interval.of_mean(self.value(mean), inflated, distinct)

    def value(self, name: str) -> Any:
        """One quantity: a number, or an array for a list or table.

        Raises MeasurementError for one that it `lacks`.
        """
        if name not in self.values:
            raise MeasurementError(
                f"{self.file_name} has no {name}: take it with companion measure {self.experiment} "
                f"{self.family} --record."
            )
        kept = self.values[name]
        value = np.asarray(kept.value) if isinstance(kept.value, list) else kept.value
        unit = units().get(kept.unit)
        if unit and unit.whole:  # they may be written as 3.0
            return value.astype(int) if isinstance(value, np.ndarray) else int(value)
        return value


def misfits(m: Measurement) -> Iterator[str]:
    """What is impossible in a measurement's numbers (name, unit, length or value), a clause each.

    Only the first is certain, because the others may follow from it.
    """
    kind = declared()[m.experiment]
    needed = {name for name, quantity in kind.quantities.items() if not quantity.optional}
    for part, given, known, wanted in (
        ("counts", m.counts, {*kind.counted, "classes"}, {*kind.counted}),
        ("values", m.values, {*kind.quantities}, needed),
        ("names", m.names, {*kind.names}, {*kind.names}),
    ):
        yield from (f"{part}.{n} is not known to this experiment" for n in sorted({*given} - known))
        yield from (f"{part}.{n} is missing" for n in sorted(wanted - {*given}))
    measured = {name: quantity for name, quantity in kind.quantities.items() if name in m.values}
    for name, quantity in measured.items():
        yield from _misfit(name, quantity, m.values[name], m.counts)
    shapes = {name: np.shape(m.values[name].value) for name in measured}
    sizes = m.counts | {name: m.value(name) for name, shape in shapes.items() if not shape}
    for name, quantity in measured.items():
        for size, of in zip(shapes[name], quantity.shape, strict=True):
            expected = of if isinstance(of, int) else sizes.setdefault(of, size)
            if not size and of != NONE_OR_MORE:
                yield f"values.{name} is empty"
            elif size != expected and of not in (NONE_OR_MORE, "any"):
                yield f"values.{name} has {size} numbers for {expected} {of}"
    most = min(m.counts["components"], m.counts.get("classes", LARGEST))
    if not 0 < sizes.get("rank", 1) <= most:
        yield f"there are {sizes['rank']} directions, a head has 1 to {most}"
    for name in kind.names:
        if len(m.names[name]) != np.size(m.values[name].value):
            yield f"names.{name} and values.{name} are of different lengths"


def _misfit(
    name: str, quantity: Quantity, given: Value, counts: Mapping[str, int]
) -> Iterator[str]:
    """What is wrong with a single quantity."""
    if given.unit != quantity.unit:
        yield f"values.{name} is in {given.unit!r}, expected {quantity.unit!r}"
    try:
        array = np.asarray(given.value, dtype=np.float64)
    except ValueError:
        yield f"values.{name} has rows of different lengths"
        return
    # An integer beyond any float: it is refused below, as infinity is.
    except OverflowError:
        array = np.full([1] * len(quantity.shape), np.inf)
    if array.ndim != len(quantity.shape):
        yield f"values.{name} needs {len(quantity.shape)} dimensions, it has {array.ndim}"
    low, high = possible(quantity, counts)
    if not (np.abs(array) <= LARGEST).all():
        yield f"values.{name} holds a number beyond ±{LARGEST:g}"
    elif (outside := array[(array < low) | (array > high)]).size:
        yield (
            f"{name} is {outside.flat[0]:g}, which is impossible: it lies between {low:g} and "
            f"{high:g} ({quantity.unit})"
        )
    elif units().get(quantity.unit, Unit()).whole and (parts := array[array % 1 != 0]).size:
        yield f"{name} has {parts.flat[0]:g}, where whole numbers are expected"
