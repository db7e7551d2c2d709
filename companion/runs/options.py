"""The options of commands, each declared once, as a field with type, default and help.

Some belong to a single command; most are in models that several commands share and that check them.
How a field is typed follows from its annotation, see `companion.cli.main`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from analysis.base.strict import Strict, Text
from analysis.families.registry import (
    Edition,
    HeadKind,
    OwnLayer,
    family_files,
    load_families,
)
from analysis.features.plan import ExtractionSettings
from analysis.features.store import Precision
from companion.engine.experiments import RunError, load_experiments
from companion.sources.rows import Comparison

if TYPE_CHECKING:
    from analysis.images.imagelist import ImageList
    from companion.runs.grid import Grid


def option(help: str, default: Any = ..., *, least: int | None = None, **about: Any) -> Any:
    """Declare an option, required if it has no default; ``least`` is the smallest number allowed.

    ``about``: ``placed``, it is given by its place, without dashes; ``short``, one dash and letter;
    ``flag``, what is typed, if not the field's name; ``names``, gives what a shell completes with.
    """
    return Field(default, description=help, ge=least, json_schema_extra=about)


# Options that several commands share


def family_names() -> list[str]:
    """Names of the families that have files, whatever these contain."""
    return [path.stem for path in family_files()]


def chapters() -> list[str]:
    """Names of the notebooks that run for a single family."""
    return [each.name for each in load_experiments().values() if each.scope == "family"]


NotebookName = Annotated[str, option("name of a notebook", placed=True, names=load_experiments)]
Chapter = Annotated[str, option("name of a notebook", placed=True, names=chapters)]
FamilyName = Annotated[str, option("name of a family", placed=True, names=family_names)]
ReaderFamily = Annotated[
    str, option("a family you added", placed=True, names=lambda: load_families("reader"))
]
Json = Annotated[bool, option("print JSON", flag="--json")]


class Parameters(Strict):
    """The parameters of a notebook, and where its output goes."""

    parameter: tuple[tuple[str, str], ...] = option(
        "set a parameter of the notebook", (), short="-p"
    )
    output: Path | None = option("file for the executed notebook", None, short="-o")

    @field_validator("parameter")
    @classmethod
    def _once(cls, given: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        names = [name for name, _ in given]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} is set more than once")
        return given


class Machine(Strict):
    """The device of encoders, and how many images they take at a time."""

    device: str = option("where to compute: auto, cpu, cuda or mps (default: auto)", "auto")
    batch_size: int = option("images at a time (default: 128)", 128, least=1)
    workers: int = option("decoding threads (default: one per core)", os.cpu_count() or 4, least=1)

    def settings(self) -> ExtractionSettings:
        """The options that say how features are extracted."""

        names = {field.name for field in dataclasses.fields(ExtractionSettings)}
        return ExtractionSettings(**{name: value for name, value in self if name in names})


class Computing(Machine):
    """The precision, and which copies of published data sets are accepted."""

    precision: Precision = option("arithmetic precision; tf32 is NVIDIA's (default: fp32)", "fp32")
    accept_counts: bool = option(
        "accept an incomplete or altered copy of a published set; its measurements then say so",
        False,
    )


class Extraction(Computing):
    """The images, and how their features are computed."""

    data: tuple[Text, ...] = option(
        "pocket (the test images of all styles), pocket-STYLE-SPLIT, imagenet, its shifts, broden "
        "or grid (all of these; `companion status --data` lists them), or a folder of images, with "
        "or without a subfolder per class",
        (),
        names=lambda: ["pocket", "grid"],
    )
    without_labels: bool = option(
        "use all images of a folder; its subfolders are not classes", False
    )
    compile: bool = option("compile the encoders first", False)
    leave_out_damaged: bool = option("skip images that cannot be decoded, and list them", False)

    def images(self) -> list[ImageList]:
        """The data sets that are named; DatasetError for an unknown one."""
        from companion.sources.find import find_all

        accept, without = self.accept_counts, self.without_labels
        return find_all(self.data, accept_counts=accept, without_labels=without)


#: The levels that a reader can name.
SaidLevel = Literal["zero_shot", "captions", "finetuned", "supervised", "self_supervised", "random"]


class Probing(Machine):
    """The checkpoint, the images, and what to write."""

    checkpoint: Text = option(
        "a model of the book, open_clip's ARCHITECTURE/TAG, hf-hub:ORG/NAME, a timm model, or a "
        "file of weights",
        placed=True,
    )
    images: Text = option("folder of images, with or without subfolders; labels are ignored")
    architecture: str | None = option("its name in open_clip or timm, for a file of weights", None)
    renamed: bool = option(
        "the file (of torch.save) has the architecture's tensors, in its order, under other names",
        False,
    )
    title: str | None = option("what the report calls it (default: as it is called)", None)
    level: SaidLevel | None = option("how it was trained; random if it was not", None)
    layer: OwnLayer | None = option(
        "features from before a CLIP ViT's projection, where finetuned models end",
        None,
    )
    html: Path | None = option("file for the report", None)
    json_file: Path | None = option("file for the numbers", None, flag="--json")
    rotation: Path | None = option("file (.safetensors) for a random rotation", None)
    batch_size: int = option("images at a time (default: 32)", 32, least=1)
    leave_out_damaged: bool = option("skip images that cannot be used, and list them", False)


class Storing(Strict):
    """The file of embeddings, and what to write."""

    file: Path = option(
        "embeddings: .npy, .npz, .pt, .safetensors, .parquet, .arrow, .csv, .jsonl, or a flat "
        "index of faiss, also in LangChain's folder",
        placed=True,
    )
    column: str | None = option("the column of a table, the array of a file of several", None)
    by: Comparison | None = option(
        "how the engine compares (default: as the index says, else by cosine)", None
    )
    texts: Path | None = option("embeddings of texts by the same model", None)
    rows: int = option("take so many rows, evenly spaced (default: 20,000)", 20_000, least=11)
    html: Path | None = option("file for the table and the picture", None)
    svg: Path | None = option("file for the picture", None)
    csv: Path | None = option("file for the table", None)
    rotation: Path | None = option("file (.safetensors) for a random rotation", None)
    mean: Path | None = option(
        "file (.npy) for the mean of the embeddings, by cosine at length 1", None
    )


class SaidOfCheckpoint(Strict):
    """Facts about a checkpoint that then need not be guessed."""

    architecture: str | None = option("its name in open_clip or timm, for a file of weights", None)
    renamed: bool = option(
        "the file (of torch.save) has the architecture's tensors, in its order, under other names",
        False,
    )
    title: str | None = option("what pages call it (default: as the checkpoint is called)", None)
    level: SaidLevel | None = option("how it was trained; random if it was not", None)
    pretraining: str | None = option("what it was trained on, in words", None)
    head: HeadKind | None = option(
        "classifier: made from class names (zero_shot), the checkpoint's (own), or none", None
    )
    classes: str | None = option(
        "file of the head's class names, one per line, or imagenet (default: the names of the data "
        "set's subfolders)",
        None,
    )
    layer: OwnLayer | None = option(
        "features from before a CLIP ViT's projection, where finetuned models end",
        None,
    )
    templates: str | None = option(
        "file of texts with {} for the class, one per line, or imagenet for OpenAI's 80", None
    )


class Wish(SaidOfCheckpoint):
    """The family, or model of one, as which a reader adds a checkpoint."""

    name: str = option("name of the family", placed=True)
    checkpoint: str = option(
        "open_clip's ARCHITECTURE/TAG, hf-hub:ORGANISATION/NAME, a timm model, a file of weights, "
        "a model of the book, or random",
        placed=True,
    )
    model: str | None = option("the model's name; needed to add it to a family of yours", None)
    replace: bool = option("replace a family of yours (with --model: that model)", False)


class Choice(Computing):
    """The options of a grid. Empty ``families``, ``models`` and ``data`` are all of the edition.

    ``record`` None records measurements of the editions paper and zoo: those of the other editions
    are taken when the book is built, from the features.
    """

    edition: Edition = option("which families (default: paper)", "paper")
    families: tuple[str, ...] = option(
        "only these (default: all of the edition)", (), names=family_names
    )
    models: tuple[str, ...] = option("only these of their models (default: all)", ())
    data: tuple[Text, ...] = option(
        "as for `companion extract` (default: the edition's own, grid or pocket)", ()
    )
    workers: int = option(
        "decoding threads of a job (default: its share of the cores on GPUs, else 8)", 8, least=1
    )
    memory: int = option(
        "GB that the networks of a job may take together; a larger family takes several jobs, each "
        "decoding the images (default: 16)",
        16,
        least=1,
    )
    each_model: bool = option(
        "a job for each model, where a family takes longer than a cluster lets a job run", False
    )
    measure: bool = option("only extract; measure and update the book later", True)
    record: bool | None = option(
        "write measurements to data/measurements/, or leave them to the build of the book "
        "(default: --record for paper and zoo, --no-record otherwise)",
        None,
    )

    def grid(self) -> Grid:
        """What is chosen; RunError if two options contradict each other."""
        from companion.runs.grid import Grid

        if self.record and not self.measure:
            raise RunError("--record and --no-measure contradict each other: leave out one.")
        wanted = self.edition in ("paper", "zoo") if self.record is None else self.record
        return Grid(
            edition=self.edition,
            families=self.families,
            models=self.models,
            data=self.data,
            settings=self.settings(),
            threads=self.workers if "workers" in self.model_fields_set else None,
            accept_counts=self.accept_counts,
            memory=self.memory,
            each_model=self.each_model,
            records=self.measure and wanted,
        )
