"""Copies of ImageNet and its shifts, listed from class folders, in which they are published.

Folders are called by WordNet ids: ImageNet's validation set (``val/n01440764/…``), ImageNet-R,
-Sketch and -A. ImageNet-V2's are numbers, 0 to 999, that count through ImageNet's classes;
ObjectNet's are names (``alarm_clock``).

Images are listed by class and then by file name, under names such as
``n01440764/ILSVRC2012_val_00000293.JPEG`` whatever the folders are called, so that two copies can
be compared. `image_list` refuses a copy in which something is missing or does not belong. No torch.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.base.files import fingerprint
from analysis.images import imagenet
from analysis.images.imagelist import DatasetError, ImageList, Prompts, class_prompts, is_image
from companion.sources import flat, sets
from companion.sources.sets import DIFFERS, Description, column, descriptions, locate

Entry = tuple[int, str, str]


class Copy(NamedTuple):
    """What lies on disk of a data set.

    ``entries`` are the images that are listed: label, name, and where each is; ``counts`` has the
    number of images of every class that was found, ObjectNet's other 200 included. ``strange``
    folders are of none of the classes that are ``expected``.
    """

    entries: list[Entry]
    counts: Counter[str]
    expected: Sequence[str]
    strange: Sequence[str] = ()


def image_list(name: str, *, accept_counts: bool = False) -> ImageList:
    """List ImageNet or one of its shifts.

    Raises DatasetError when it is absent, and when the copy is not the published set; with
    ``accept_counts`` such a copy is listed as it is, and ``what`` says how it differs.
    """
    description = descriptions()[name]
    place = locate(description)
    copy = _from_class_folders(description, place)
    problems = "; ".join(_problems(description, copy))
    if not copy.entries:
        raise DatasetError(
            f"{description.title}: {problems} ({place}). A folder per class is expected there."
        )
    if problems and not accept_counts:
        raise DatasetError(
            f"{description.title}: {problems} ({place}). Get it again from {description.origin}, "
            "or take it as it is with --accept-counts: every measurement then says so."
        )
    of = subset(description)
    labels, keys, images = zip(*sorted(copy.entries, key=lambda entry: entry[:2]), strict=True)
    return ImageList(
        name=name,
        images=images,
        keys=keys,
        labels=np.array(labels, dtype=np.int64),
        classes=of,
        prompts=prompts_of(description),
        border=description.border,
        what=f"{description.title}, {len(images):,} images of {len(of):,} classes, list "
        f"{fingerprint([keys, labels])[:16]}" + (f"; {DIFFERS}: {problems}" if problems else ""),
    )


def _from_class_folders(description: Description, place: Path) -> Copy:
    """Read folders by class; those of no class are counted as problems, not listed."""
    with os.scandir(place) as listing:  # of strings: paths of a million images take seconds
        folders = [entry.name for entry in listing if entry.name[0] != "." and entry.is_dir()]
    named = folder_names(description)
    classes = {folder: named[folder] for folder in folders if folder in named}
    label = {name: i for i, name in enumerate(subset(description))}
    entries: list[Entry] = []
    counts: Counter[str] = Counter()
    for folder, name in sorted(classes.items()):
        with os.scandir(place / folder) as listing:
            files = [entry.name for entry in listing if is_image(entry.name)]
        counts[name] += len(files)
        if class_of(description, name) in label:
            index = label[class_of(description, name)]
            entries += [(index, f"{name}/{file}", f"{place}/{folder}/{file}") for file in files]
    strange = sorted(set(folders) - set(classes))
    if description.name == sets.IMAGENET and not classes and (listed := flat.classes_of(place)):
        counts.update(listed.values())
        entries = [
            (label[name], f"{name}/{file}", f"{place}/{file}")
            for file, name in listed.items()
            if name in label
        ]
    return Copy(entries, counts, list(dict.fromkeys(named.values())), strange)


def _problems(description: Description, copy: Copy) -> Iterable[str]:
    """How a copy differs from the published set."""
    _, counts, expected, strange = copy
    used = description.used
    if counts.total() != description.images:
        yield f"{counts.total():,} images where {description.images:,} were published"
    if description.layout == "name" and len(expected) != description.classes:
        yield f"{len(expected):,} classes where {description.classes:,} were published"
    missing = [name for name in expected if not counts[name]]
    if missing:
        yield (
            f"{len(missing):,} of {len(expected):,} classes have no image, the first is "
            f"{named(description, missing[0])}"
        )
    if strange:
        yield (
            f"{len(strange):,} folders belong to none of its classes and are not read, the first "
            f"is {strange[0]}"
        )
    if used and len(copy.entries) != used.images:
        yield (
            f"{len(copy.entries):,} images of the {used.classes:,} classes of ImageNet where "
            f"{used.images:,} were published"
        )
    each = description.per_class
    uneven = [name for name in expected if each and counts[name] not in (0, each)]
    if uneven:
        yield (
            f"{len(uneven):,} classes have another number of images than {each}, the first is "
            f"{named(description, uneven[0])} with {counts[uneven[0]]:,}"
        )


def prompts_of(description: Description) -> Prompts:
    """The prompts of a zero-shot head for a data set; ImageNet's subsets get all 1,000 classes."""
    if description.layout == "name":
        return class_prompts(subset(description), imagenet.words())
    return imagenet.objectnet_prompts() if description.layout == "objectnet" else imagenet.prompts()


def subset(description: Description) -> tuple[str, ...]:
    """The classes that a data set's labels count through, sorted."""
    if description.layout == "objectnet":
        return tuple(imagenet.objectnet_to_imagenet())
    if description.layout == "name":
        folders = (path for path in locate(description).iterdir() if path.is_dir())
        return tuple(sorted(path.name for path in folders if path.name[0] != "."))
    if description.classes == len(imagenet.classes()):
        return imagenet.classes()
    name = column(description.name)
    return tuple(row["wnid"] for row in imagenet.table("classes.csv") if row[name] == "1")


def folder_names(description: Description) -> dict[str, str]:
    """What class folders may be called, and the name under which their images are listed."""
    if description.layout == "objectnet":
        return {row["folder"]: row["folder"] for row in imagenet.table("objectnet.csv")}
    if description.layout == "number":
        numbers = {str(index): str(index) for index in range(len(imagenet.classes()))}
        padded = {f"{index:04}": str(index) for index in range(len(imagenet.classes()))}
        return numbers | padded | {wnid: str(i) for i, wnid in enumerate(imagenet.classes())}
    return {wnid: wnid for wnid in subset(description)}


def class_of(description: Description, folder: str) -> str:
    """The WordNet id of the class that a folder is listed as: its own, or that of its number."""
    return imagenet.classes()[int(folder)] if description.layout == "number" else folder


def named(description: Description, folder: str) -> str:
    """A class for the reader: ``n01440764 (tench)``, ``0 (tench)``, ``alarm_clock``."""
    if description.layout in ("objectnet", "name"):
        return folder
    synonyms = imagenet.words().get(class_of(description, folder) if folder.isdecimal() else folder)
    return f"{folder} ({synonyms})"
