"""The one table of the data sets: the name, size and place of each.

``data/imagenet/sets.yaml`` describes them: the sets that a reader has to obtain, the pocket lab's
styles, and what else measurements name. Names are spelled one way, ``imagenet-v2``; `column` and
`published` are the only places that know how tables of accuracies spell them.

A set is looked for in the folder that the environment variable ``COMPANION_DATA`` names, under the
folder names that its description lists. Where sets lie apart, a file says where:
``~/.config/companion/data.yaml``, or the one that ``COMPANION_DATA_CONFIG`` names, maps names of
sets to their folders::

    root: /datasets                        # for all that are not named; COMPANION_DATA goes before
    imagenet: /scratch/ilsvrc2012/val      # the folder of class folders
    objectnet: ~/objectnet-1.0/images

The images themselves are listed by `imagenet` and `broden`. No torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from analysis.base.roots import ROOT
from analysis.base.strict import Name, Strict, Text, checked, parse_yaml, read_yaml
from analysis.base.texts import suggestion
from analysis.images.imagelist import DatasetError

SETS = ROOT / "data" / "imagenet" / "sets.yaml"
CONFIG = Path("~/.config/companion/data.yaml")
IMAGENET = "imagenet"
#: The paper's shifts, in its order; its ImageNet-V2 is taken to be the one published for CLIP.
SHIFTS = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
#: What the paper computes on.
GRID = (IMAGENET, *SHIFTS, "broden")
SPLITS = ("train", "test")
#: Where a data set is looked for of which nothing says where it is.
UNSET = "the environment variable COMPANION_DATA names, but this variable is not set"
#: How a data set, and all that is measured on it, says that the copy is not the published one.
DIFFERS = "NOT the published set, taken as it is"
#: How a measurement says that images were left out of a data set.
LEFT_OUT = "damaged images left out"

Role = Literal["imagenet", "seen", "unseen", "web"]


class _Titled(Strict):
    name: Name
    title: Text


class Used(Strict):
    """The part of a set on which accuracies are measured."""

    images: PositiveInt
    classes: PositiveInt


class Description(_Titled):
    """One data set: counts as published, folder names, origin and terms.

    ``short`` is the title on axes. ``published`` is the set's name in the table of published
    accuracies, if it is there. ``per_class`` is the number of images of every class, where that is
    the same for all. ``layout`` says what class folders are called: by WordNet id, by number, in
    ObjectNet's or Broden's own way, or each by its ``name``, of any classes. ``border`` is the
    width in pixels of the frame that is cut off every image. ``how`` says how to obtain the set if
    its ``origin`` no longer serves it. ``citation`` is a key of the book's bibliography.
    """

    short: Text | None = None
    published: Text | None = None
    images: PositiveInt
    classes: PositiveInt
    per_class: PositiveInt | None = None
    used: Used | None = None
    layout: Literal["wnid", "number", "objectnet", "broden", "name"]
    border: int = 0
    folders: Annotated[tuple[Text, ...], Field(min_length=1)]
    origin: Text
    how: Text | None = None
    terms: Text
    citation: Text

    @property
    def obtain(self) -> str:
        """How a reader gets the set, as a sentence."""
        return self.how or f"Get it from {self.origin} ({self.terms})."


class Style(_Titled):
    """One style of emoji; ``role`` says which set of the paper it stands for."""

    role: Role


class Packaged(_Titled):
    """Images without labels that come with a Python package; ``what`` is for the reader."""

    what: Text
    place: Text
    files: tuple[Text, ...]


@dataclass(frozen=True)
class Availability:
    """Whether a data set that cannot come with the project is here; ``why`` is for the reader."""

    name: str
    state: Literal["present", "incomplete", "absent"]
    folder: Path | None
    why: str

    def __str__(self) -> str:
        where = "" if self.folder is None else f"  {self.folder}"
        return f"{self.name}  {self.state}{where}  {self.why}"

    @property
    def fields(self) -> dict[str, Any]:
        """The same for programs, with what was published."""
        about = {"images", "classes", "origin", "terms"}
        published = descriptions()[self.name].model_dump(include=about)
        here = {"state": self.state, "folder": self.folder, "why": self.why}
        return {"data": self.name, **here, "published": published}


class _Table(Strict):
    sets: tuple[Description, ...]
    packaged: tuple[Packaged, ...]
    styles: tuple[Style, ...]
    subgroups: dict[str, tuple[Text, ...]]
    titles: dict[str, Text]


@lru_cache
def _table() -> _Table:
    return checked(_Table, read_yaml(SETS), SETS.name)


@lru_cache
def descriptions() -> dict[str, Description]:
    """Return the description of every set that must be obtained, by name, in the file's order."""
    return {each.name: each for each in _table().sets}


@lru_cache
def packaged() -> dict[str, Packaged]:
    """Return the sets that come with Python packages, by name."""
    return {each.name: each for each in _table().packaged}


@lru_cache
def styles() -> dict[str, Style]:
    """Return the pocket lab's styles by name, in the file's order."""
    return {each.name: each for each in _table().styles}


def subgroups() -> dict[str, tuple[str, ...]]:
    """Return the pocket lab's classes, and the subgroups of emoji that each is made of."""
    return _table().subgroups


def title(name: str) -> str:
    """Return the title of a data set; a reader's set, which is not in the table, has its name."""
    return _titles().get(name, name.replace("_", " "))


def short(name: str) -> str:
    """Return what a described set is called on axes and in columns: ``V2``, ``Sketch``."""
    description = descriptions()[name]
    return description.short or description.title


def images(name: str) -> int:
    """Return the number of images that accuracies on a described set are taken on."""
    description = descriptions()[name]
    return (description.used or description).images


def classes(name: str) -> int:
    """Return the number of classes that a prediction on a described set chooses among."""
    description = descriptions()[name]
    return (description.used or description).classes


def is_whole(what: str) -> bool:
    """Whether images are those of the complete published data set, by their description."""
    return not any(mark in what for mark in (DIFFERS, LEFT_OUT))


def column(name: str) -> str:
    """Return how tables of accuracies spell a set: ``imagenet_v2``, of whatever variant."""
    return name.replace("-", "_")


def published() -> dict[str, str]:
    """Return the sets of the table of published accuracies: the name there and the one here."""
    return {each.published: each.name for each in _table().sets if each.published}


@lru_cache
def _titles() -> dict[str, str]:
    table = _table()
    emoji = {
        f"pocket-{style.name}-{split}": f"{style.title} emoji, {split}"
        for style in table.styles
        for split in SPLITS
    }
    titled: list[_Titled] = [*table.sets, *table.packaged]
    described = {each.name: each.title for each in titled}
    return described | emoji | table.titles


def locate(description: Description) -> Path:
    """Return the folder of a data set; DatasetError, saying what was looked for, if none exists.

    A folder named after the set itself takes precedence over the names in its description.
    """
    title, folders = description.title, description.folders
    place, parent = _configured().get(description.name), root()
    if place is not None:
        if place.is_dir():
            return place
        raise DatasetError(
            f"{config_file()} says that {title} lies in {place}, which is not a folder: correct it "
            "there."
        )
    if parent is None:
        raise DatasetError(
            f"{title} is looked for in the folder that {UNSET}. {description.obtain} Then set "
            f"COMPANION_DATA to the folder above {folders[0]}."
        )
    for name in folders:
        if (parent / name).is_dir():
            return parent / name
    raise DatasetError(
        f"{title} is not in {parent} (COMPANION_DATA): none of {', '.join(folders)} is there. "
        + description.obtain
    )


def root() -> Path | None:
    """Return the folder of all data sets: COMPANION_DATA, else the configuration's ``root``.

    DatasetError if the configuration is wrong.
    """
    configured = _configured()  # also read where it is not needed, so that it is never wrong unseen
    named = os.environ.get("COMPANION_DATA")
    return Path(named).expanduser() if named else configured.get("root")


def config_file() -> Path:
    """Return the path of the configuration, whether or not it exists."""
    return Path(os.environ.get("COMPANION_DATA_CONFIG") or CONFIG).expanduser()


def _configured() -> dict[str, Path]:
    path = config_file()
    if not path.is_file():
        if os.environ.get("COMPANION_DATA_CONFIG"):
            raise DatasetError(f"COMPANION_DATA_CONFIG names {path}, but there is no such file.")
        return {}
    content = parse_yaml(path.read_bytes(), str(path), DatasetError) or {}
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise DatasetError(
            f"{path} must map names of data sets to folders, as in `objectnet: /data/objectnet-1.0`"
            ", one a line."
        )
    names = ["root", *descriptions()]
    for name in content:
        if name not in names:
            raise DatasetError(f"{path}: unknown data set {name!r}: {suggestion(name, names)}.")
    return {name: Path(folder).expanduser() for name, folder in content.items()}
