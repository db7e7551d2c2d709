"""What a measurement is: numbers with their units, of which model and images, and from where.

`records` reads and writes them as files. What is not known here, a field, a quantity or a unit, is
refused.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from analysis.common import CompanionError, Name, Plain, Sha256, Strict, Words
from analysis.families.registry import Level
from analysis.images import sets
from analysis.images.imagelist import is_whole
from companion.measurements.quantities import LARGEST, WHOLE, Measured, Quantity, declared

#: What `Provenance.head_classes` says of a head of ImageNet's 1,000 classes.
IMAGENET = "ImageNet's"

Number = int | float
Numbers = Number | list[Number] | list[list[Number]]


class MeasurementError(CompanionError, ValueError):
    """A measurement is not as it must be; the message names the file, the field and the reason."""


class _Strict(Strict):
    model_config = ConfigDict(strict=True)


class Value(_Strict):
    """Numbers with the unit of each."""

    unit: Words
    value: Numbers


class Data(_Strict):
    """The data set: a name that can be part of a file's, and what it is."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    what: Words

    @property
    def title(self) -> str:
        """What the data set is called."""
        return sets.title(self.name) + ", not the published set" * (not is_whole(self.what))


class Origin(_Strict):
    """A public file that the measurement rests on, by its content."""

    name: Words
    sha256: Sha256


class Provenance(_Strict):
    """Where the numbers come from.

    ``weights_sha256`` may be absent only if ``weights_note`` says why, which is so where others
    embedded the images; ``origins`` then says which files of theirs were used. ``made_from`` has
    all that decides the numbers, by name: checksums of features, of the head and of files, and a
    hash of what each module does; ``version`` is that of this package, ``taken`` the day
    (YYYY-MM-DD). ``head_classes``: `IMAGENET` if the head's list of classes is ImageNet's.
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
    #: Whether it lies beside the features in the store, or is recorded; the file does not say it.
    live: bool = Field(default=False, exclude=True)

    @model_validator(mode="after")
    def _known_quantities(self) -> Measurement:
        known = declared()[self.experiment].quantities
        for name in [*self.values, *known]:
            _check_quantity(name, known.get(name), self.values.get(name))
        return self

    @property
    def lacks(self) -> list[str]:
        """Quantities that are not in the file, because they came after it was recorded."""
        return [name for name in declared()[self.experiment].quantities if name not in self.values]

    @property
    def file_name(self) -> str:
        """The name of its file within the experiment's folder."""
        return f"{self.model}--{self.data.name}.json"

    @property
    def places(self) -> tuple[str, str]:
        """Where its file can lie: the ends of its path, recorded and live."""
        live = f"{self.model}/measurements/{self.experiment}--{self.data.name}.json"
        return f"{self.experiment}/{self.file_name}", live

    def value(self, name: str) -> Any:
        """One quantity: a number, or an array for a list or table.

        Raises MeasurementError for one that it `lacks`.
        """
        if name not in self.values:
            raise MeasurementError(
                f"{self.file_name} has no {name}: companion measure {self.experiment} "
                f"{self.family} --record takes it."
            )
        kept = self.values[name]
        value = np.asarray(kept.value) if isinstance(kept.value, list) else kept.value
        if kept.unit in WHOLE:  # they may be written as 3.0
            return value.astype(int) if isinstance(value, np.ndarray) else int(value)
        return value


def _check_quantity(name: str, known: Quantity | None, given: Value | None) -> None:
    if known is None:
        raise ValueError(f"values.{name} is no known quantity of this experiment")
    if given is None:
        if known.optional:
            return
        raise ValueError(f"values.{name} is missing")
    if given.unit != known.unit:
        raise ValueError(f"values.{name} is in {given.unit!r}, expected {known.unit!r}")
    try:
        array = np.asarray(given.value, dtype=np.float64)
    except ValueError:
        raise ValueError(f"values.{name} has rows of different lengths") from None
    except OverflowError:
        array = np.full([1] * len(known.shape), np.inf)
    if array.ndim != len(known.shape):
        raise ValueError(f"values.{name} needs {len(known.shape)} dimensions, it has {array.ndim}")
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"values.{name} holds a number beyond ±{LARGEST:g}")
