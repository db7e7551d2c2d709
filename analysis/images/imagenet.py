"""The classes of ImageNet and its shifts: their order, their names, and what folders call them.

A class is known by its WordNet id, since two names of ImageNet stand for two classes each; an
ObjectNet class by its folder. We use the 113 of ObjectNet's 313 classes that ImageNet has, too. One
of them may be several classes of ImageNet (``chair``: barber chair, folding chair, rocking chair);
`companion.measurements.tasks` says how these are counted. The images are listed by `copies`.
"""

from __future__ import annotations

import csv
from functools import cache

from analysis.images.imagelist import Prompts, class_prompts
from analysis.images.sets import Description, column, locate
from base.roots import ROOT

FOLDER = ROOT / "data" / "imagenet"


@cache
def classes() -> tuple[str, ...]:
    """WordNet ids of ImageNet's 1,000 classes, in the order of every ImageNet head."""
    return tuple(row["wnid"] for row in _rows("classes.csv"))


@cache
def prompts() -> Prompts:
    """OpenAI's 1,000 class names and 80 templates; the classes are WordNet ids."""
    return Prompts(classes(), tuple(row["name"] for row in _rows("classes.csv")), _templates())


@cache
def words() -> dict[str, str]:
    """WordNet's ids of ImageNet's classes, and the classes' names."""
    return dict(zip(prompts().classes, prompts().names, strict=True))


@cache
def objectnet_prompts() -> Prompts:
    """ObjectNet's own 113 names (``alarm clock``), in the 80 templates.

    Those who published zero-shot accuracies on ObjectNet did the same: CLIP_benchmark, the source
    of open_clip's table, and WiSE-FT.
    """
    rows = [row for row in _rows("objectnet.csv") if row["wnids"]]
    names = tuple(row["label"].lower() for row in rows)
    return Prompts(tuple(row["folder"] for row in rows), names, _templates())


def prompts_of(description: Description) -> Prompts:
    """The prompts of a zero-shot head for a data set; ImageNet's subsets get all 1,000 classes."""
    if description.layout == "name":
        return class_prompts(subset(description), words())
    return objectnet_prompts() if description.layout == "objectnet" else prompts()


@cache
def objectnet_to_imagenet() -> dict[str, tuple[str, ...]]:
    """The WordNet ids of each of ObjectNet's 113 classes that ImageNet has, as its authors say."""
    return {
        row["folder"]: tuple(row["wnids"].split()) for row in _rows("objectnet.csv") if row["wnids"]
    }


def subset(description: Description) -> tuple[str, ...]:
    """The classes that a data set's labels count through, sorted."""
    if description.layout == "objectnet":
        return tuple(objectnet_to_imagenet())
    if description.layout == "name":
        folders = (path for path in locate(description).iterdir() if path.is_dir())
        return tuple(sorted(path.name for path in folders if path.name[0] != "."))
    if description.classes == len(classes()):
        return classes()
    name = column(description.name)
    return tuple(row["wnid"] for row in _rows("classes.csv") if row[name] == "1")


def folder_names(description: Description) -> dict[str, str]:
    """What class folders may be called, and the name under which their images are listed."""
    if description.layout == "objectnet":
        return {row["folder"]: row["folder"] for row in _rows("objectnet.csv")}
    if description.layout == "number":
        numbers = {str(index): str(index) for index in range(len(classes()))}
        padded = {f"{index:04}": str(index) for index in range(len(classes()))}
        return numbers | padded | {wnid: str(i) for i, wnid in enumerate(classes())}
    return {wnid: wnid for wnid in subset(description)}


def class_of(description: Description, folder: str) -> str:
    """The WordNet id of the class that a folder is listed as: its own, or that of its number."""
    return classes()[int(folder)] if description.layout == "number" else folder


def named(description: Description, folder: str) -> str:
    """A class for the reader: ``n01440764 (tench)``, ``0 (tench)``, ``alarm_clock``."""
    if description.layout in ("objectnet", "name"):
        return folder
    synonyms = words().get(class_of(description, folder) if folder.isdecimal() else folder)
    return f"{folder} ({synonyms})"


@cache
def _templates() -> tuple[str, ...]:
    return tuple((FOLDER / "templates.txt").read_text(encoding="utf-8").splitlines())


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
