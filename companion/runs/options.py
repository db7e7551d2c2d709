"""What commands take: each option is declared once, as a field with type, default and help.

Some are a command's own, most stand in models that several commands share and that check them. How
a field is typed follows from its annotation, see `companion.cli`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from analysis.common import Strict
from analysis.families.registry import (
    Edition,
    Family,
    HeadKind,
    Model,
    OwnLayer,
    family_files,
    load_families,
)
from analysis.features import store
from analysis.features.store import Precision
from companion.runs.experiments import load_experiments

if TYPE_CHECKING:
    from analysis.features.plan import Settings
    from analysis.images.imagelist import ImageList


def option(help: str, default: Any = ..., *, least: int | None = None, **about: Any) -> Any:
    """Declare an option, required if it has no default; ``least`` is the smallest number allowed.

    ``about``: ``placed``, it is given by its place, without dashes; ``short``, one dash and letter;
    ``flag``, what is typed, if not the field's name; ``names``, gives what a shell completes with.
    """
    return Field(default, description=help, ge=least, json_schema_extra=about)


#: What a command does; returns its exit status, None for 0.
Do = Callable[..., int | None]


@dataclass(frozen=True)
class Verb:
    """A command: the function that does it, whose docstring ends with a paragraph of examples.

    ``extras`` are those of this package that it takes where a library is missing; ``checkout`` says
    that it works in a checkout alone.
    """

    do: Do
    extras: str = "extract"
    checkout: bool = False


VERBS: dict[str, Verb] = {}


def verb(**more: Any) -> Callable[[Do], Do]:
    """Make a command of a function; its parameters are its options, or models of some."""

    def register(do: Do) -> Do:
        VERBS[do.__name__] = Verb(do, **more)
        return do

    return register


# Options that several commands share


def family_names() -> list[str]:
    """Names of the families that there are files of, whatever these hold."""
    return [path.stem for path in family_files()]


def chapters() -> list[str]:
    """Names of the notebooks that run for a single family."""
    return [one.name for one in load_experiments().values() if one.scope == "family"]


def families_of_readers() -> Iterable[str]:
    """Names of the families that readers have added."""
    return load_families("reader")


Experiment = Annotated[str, option("a notebook's name", placed=True, names=load_experiments)]
Chapter = Annotated[str, option("a notebook's name", placed=True, names=chapters)]
FamilyName = Annotated[str, option("a family", placed=True, names=family_names)]
ReaderFamily = Annotated[str, option("a family of yours", placed=True, names=families_of_readers)]
Json = Annotated[bool, option("machine-readable", flag="--json")]


class Parameters(Strict):
    """What a notebook is run with, and to where."""

    parameter: tuple[tuple[str, str], ...] = option(
        "set a parameter of the notebook", (), short="-p"
    )
    output: Path | None = option("write the executed notebook there", None, short="-o")


class Machine(Strict):
    """Where encoders run, and on how many images at a time."""

    device: str = option("auto, cpu, cuda or mps (auto)", "auto")
    batch_size: int = option("images at a time (128)", 128, least=1)
    workers: int = option("threads that decode images (one per core)", os.cpu_count() or 4, least=1)

    def settings(self) -> Settings:
        """How features are extracted: those of these options that say so."""
        from analysis.features.plan import Settings

        known = {field.name for field in dataclasses.fields(Settings)}
        return Settings(**{name: value for name, value in self if name in known})


class Computing(Machine):
    """How exactly, and on which copies of published data sets."""

    precision: Precision = option("of the arithmetic; tf32 is NVIDIA's (fp32)", "fp32")
    accept_counts: bool = option(
        "take a copy of a published set that is incomplete or altered; what is measured says so",
        False,
    )


class Extraction(Computing):
    """Which images, and how their features are computed."""

    data: tuple[str, ...] = option(
        "pocket (the test images of all styles), pocket-STYLE-SPLIT, imagenet, its shifts, broden "
        "or grid (all of these; `companion status --data` lists them), or a folder of images, in "
        "subfolders by class or not",
        (),
        names=lambda: ["pocket", "grid"],
    )
    without_labels: bool = option(
        "take all images of a folder, its subfolders for no classes", False
    )
    compile: bool = option("compile the encoders first", False)
    leave_out_damaged: bool = option("list images that cannot be decoded and go on", False)

    def images(self) -> list[ImageList]:
        """The data sets that are named; DatasetError for what is none."""
        from analysis.images.find import find_all

        accept, without = self.accept_counts, self.without_labels
        return find_all(self.data, accept_counts=accept, without_labels=without)

    def extracted(
        self, models: Sequence[Model], data: Sequence[ImageList], checkpoint: Path | None = None
    ) -> Iterator[str]:
        """Extract the features of data sets; yields their paths, with what was left out."""
        from analysis.features.extract import extract

        for images in data:
            for path in (store.features_path(model.name, images.name) for model in models):
                with contextlib.suppress(store.StoreError):
                    before = store.read_sidecar(path)["precision"]
                    if before != self.precision:
                        yield f"{path} is there in {before}: made anew in {self.precision}"
        for path in extract(models, data, self.settings(), checkpoint=checkpoint):
            left_out = store.read_features(path).sidecar["data"]["left_out"]
            yield str(path) + f" ({len(left_out)} left out: {', '.join(left_out)})" * bool(left_out)


class Probing(Machine):
    """Which checkpoint, on which images, and what to write."""

    checkpoint: str = option(
        "a model of the book, open_clip's ARCHITECTURE/TAG, hf-hub:ORG/NAME, a timm model, or a "
        "file of weights",
        placed=True,
    )
    images: str = option("a folder of them, in folders or not; labels are not looked at")
    architecture: str | None = option("of a file that does not say it: open_clip's or timm's", None)
    html: Path | None = option("write the report there", None)
    json_file: Path | None = option("write the numbers there", None, flag="--json")
    batch_size: int = option("images at a time (32)", 32, least=1)
    leave_out_damaged: bool = option("list images that cannot be used and go on", False)


class Description(Strict):
    """What may be said about a checkpoint so that it need not be guessed."""

    architecture: str | None = option("of a file of weights, as open_clip or timm calls it", None)
    level: Literal["zero_shot", "captions", "finetuned", "supervised"] | None = option(
        "how it was trained", None
    )
    pretraining: str | None = option("what it was trained on, in words", None)
    head: HeadKind | None = option(
        "the classifier is made of class names (zero_shot), in the checkpoint (own), or none", None
    )
    classes: str | None = option(
        "a file of the head's class names, one a line, or imagenet (default: the names of the data "
        "set's subfolders)",
        None,
    )
    layer: OwnLayer | None = option(
        "take a vision transformer of CLIP before its projection, where finetuned models end", None
    )
    templates: str | None = option(
        "a file of texts with {} for the name, one a line, or imagenet for OpenAI's 80", None
    )


class Wish(Description):
    """What a reader asks for: a checkpoint as a family, or as a model of one."""

    name: str = option("of the family", placed=True)
    checkpoint: str = option(
        "open_clip's ARCHITECTURE/TAG, hf-hub:ORGANISATION/NAME, a timm model, a file of weights, "
        "a model of the book, or random",
        placed=True,
    )
    title: str | None = option("the family's name on the pages (default: the checkpoint's)", None)
    model: str | None = option("the model's name; needed to add to a family of yours", None)
    replace: bool = option("write a family of yours anew (with --model: that model)", False)


class Choice(Computing):
    """Which grid, and how. Empty ``families``, ``models`` and ``data`` are all of the edition.

    ``record`` None records measurements of the editions paper and zoo: those of the other editions
    are taken when the book is built, from the features.
    """

    edition: Edition = option("(paper)", "paper")
    families: tuple[str, ...] = option(
        "some only (default: all of the edition)", (), names=family_names
    )
    models: tuple[str, ...] = option("some of their models only (default: all)", ())
    data: tuple[str, ...] = option(
        "as companion extract takes it (default: what the edition computes on: grid or pocket)", ()
    )
    workers: int = option("threads of a job that decode images (8)", 8, least=1)
    measure: bool = option("extract only; measure and update the book later", True)
    record: bool | None = option(
        "write measurements to data/measurements/, or leave them to the build of the book "
        "(--record for paper and zoo, else --no-record)",
        None,
    )

    @property
    def records(self) -> bool:
        """Whether measurements are taken and written to ``data/measurements/``."""
        own = self.edition in ("paper", "zoo") if self.record is None else self.record
        return self.measure and own

    def of(self, family: Family) -> list[Model]:
        """The models of a family that are chosen and can be loaded: random, or with weights."""
        chosen = self.models or [model.name for model in family.models]
        return [model for model in family.models if model.loadable and model.name in chosen]
