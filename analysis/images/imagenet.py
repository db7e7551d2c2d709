"""The classes of ImageNet and its shifts: their order, and their names.

A class is known by its WordNet id, since two names of ImageNet stand for two classes each; an
ObjectNet class by its folder. We use the 113 of ObjectNet's 313 classes that ImageNet has, too. One
of them may be several classes of ImageNet (``chair``: barber chair, folding chair, rocking chair);
`companion.measurements.tasks` says how these are counted.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache

from analysis.base.roots import ROOT
from analysis.images.imagelist import Prompts, class_prompts

FOLDER = ROOT / "data" / "imagenet"


@cache
def classes() -> tuple[str, ...]:
    """WordNet ids of ImageNet's 1,000 classes, in the order of every ImageNet head."""
    return tuple(row["wnid"] for row in table("classes.csv"))


@cache
def prompts() -> Prompts:
    """OpenAI's 1,000 class names and 80 templates; the classes are WordNet ids."""
    return Prompts(classes(), tuple(row["name"] for row in table("classes.csv")), _templates())


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
    rows = [row for row in table("objectnet.csv") if row["wnids"]]
    names = tuple(row["label"].lower() for row in rows)
    return Prompts(tuple(row["folder"] for row in rows), names, _templates())


def prompts_for(classes: Sequence[str]) -> Prompts:
    """Return prompts for names of classes; WordNet's ids as the names of ImageNet's classes."""
    return class_prompts(classes, words())


@cache
def objectnet_to_imagenet() -> dict[str, tuple[str, ...]]:
    """The WordNet ids of each of ObjectNet's 113 classes that ImageNet has, as its authors say."""
    rows = table("objectnet.csv")
    return {row["folder"]: tuple(row["wnids"].split()) for row in rows if row["wnids"]}


@cache
def _templates() -> tuple[str, ...]:
    return tuple((FOLDER / "templates.txt").read_text(encoding="utf-8").splitlines())


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a table in `FOLDER`."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
