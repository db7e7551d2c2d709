"""Copies of ImageNet and its shifts, listed from the layouts in which they are published.

* Class folders by WordNet id: ImageNet's validation set (``val/n01440764/…``), ImageNet-R, -Sketch
  and -A. ImageNet-V2's are numbers, 0 to 999, that count through ImageNet's classes; ObjectNet's
  are names (``alarm_clock``).
* Tar archives with the same content (see `packed`), whose numbers count through the set's classes;
  ObjectNet's hold the images of its 113 classes only.
* Parquet files of the Hugging Face hub, ObjectNet's likewise. Their numbers count through the names
  in their metadata, which must be WordNet ids, or ImageNet's words in its order.

Images are listed by class and then by file name, under names such as
``n01440764/ILSVRC2012_val_00000293.JPEG`` whatever the layout on disk, so that two copies can be
compared. `image_list` refuses a copy in which something is missing or does not belong. No torch.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.images import imagenet, packed
from analysis.images.imagelist import ImageList, Packed, is_image
from analysis.images.sets import DIFFERS, DatasetError, Description, descriptions, locate
from base.files import fingerprint

WNID = re.compile(r"n\d{8}")
#: The hub's names of validation images end in the class, others' do not.
VALIDATION = re.compile(r"^(ILSVRC2012_val_\d{8})_n\d{8}(?=\.)")

Entry = tuple[int, str, Path | Packed]


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
    packs = packed.read(place)
    if packs is None:
        copy = _from_class_folders(description, place)
    else:
        copy = _from_packed(description, place, packs)
    problems = "; ".join(_problems(description, packs is not None, copy))
    if not copy.entries:
        raise DatasetError(
            f"{description.title}: {problems} ({place}). A folder per class is expected there, or "
            "tar files, not compressed, or Parquet files."
        )
    if problems and not accept_counts:
        raise DatasetError(
            f"{description.title}: {problems} ({place}). Get it again from {description.origin}, "
            "or take it as it is with --accept-counts: every measurement then says so."
        )
    of = imagenet.subset(description)
    labels, keys, images = zip(*sorted(copy.entries, key=lambda entry: entry[:2]), strict=True)
    return ImageList(
        name=name,
        images=images,
        keys=keys,
        labels=np.array(labels, dtype=np.int64),
        classes=of,
        prompts=imagenet.prompts_of(description),
        border=description.border,
        what=f"{description.title}, {len(images):,} images of {len(of):,} classes, list "
        f"{fingerprint([keys, labels])[:16]}" + (f"; {DIFFERS}: {problems}" if problems else ""),
    )


def _from_class_folders(description: Description, place: Path) -> Copy:
    """Read folders by class; those of no class are counted as problems, not listed."""
    with os.scandir(place) as listing:
        folders = [entry.name for entry in listing if entry.name[0] != "." and entry.is_dir()]
    named = imagenet.folder_names(description)
    classes = {folder: named[folder] for folder in folders if folder in named}
    label = {name: i for i, name in enumerate(imagenet.subset(description))}
    entries: list[Entry] = []
    counts: Counter[str] = Counter()
    for folder, name in sorted(classes.items()):
        with os.scandir(place / folder) as listing:
            files = [entry.name for entry in listing if is_image(entry.name)]
        counts[name] += len(files)
        if imagenet.class_of(description, name) in label:
            index = label[imagenet.class_of(description, name)]
            entries += [(index, f"{name}/{file}", place / folder / file) for file in files]
    strange = sorted(set(folders) - set(classes))
    return Copy(entries, counts, list(dict.fromkeys(named.values())), strange)


def _from_packed(description: Description, place: Path, content: packed.Content) -> Copy:
    """Read archives or tables; images of tables get the names that they have in class folders."""
    of = imagenet.subset(description)
    label = {name: i for i, name in enumerate(of)}
    label |= _numbered_labels(description, content.names or (), place)
    entries: list[Entry] = []
    for sample in content.samples:
        if sample.label not in label:
            raise DatasetError(
                f"{sample.image.path} gives the image {sample.name} the class {sample.label!r}, "
                f"which is none of the {len(of)} classes of {description.title}, by number or by "
                "name: it is another set, or damaged."
            )
        name, key = of[label[sample.label]], sample.name
        other = next((wnid for wnid in WNID.findall(key) if wnid != name), None)
        if other is not None and description.layout != "objectnet":
            raise DatasetError(
                f"{sample.image.path} gives the image {key} the class "
                f"{imagenet.named(description, name)}, and its name says {other}: the labels and "
                "the images do not belong together; get the files again."
            )
        if content.names is not None:
            folder = str(imagenet.classes().index(name)) if description.layout == "number" else name
            key = f"{folder}/" + VALIDATION.sub(r"\1", Path(key).name)
        entries.append((label[sample.label], key, sample.image))
    return Copy(entries, Counter(of[index] for index, _, _ in entries), of)


def _numbered_labels(description: Description, names: Sequence[str], path: Path) -> dict[str, int]:
    """The label of each number, given the names that the numbers count through, if they are given.

    The names are the set's classes in any order, or words for its classes, or all of ImageNet's,
    in ImageNet's order: half of them at least must agree with those known here, since WordNet has
    several words for a class, and in another order hardly any does.
    """
    of = imagenet.subset(description)
    if not names:
        return {str(i): i for i in range(len(of))}
    if set(names) <= set(of):
        return {str(i): of.index(name) for i, name in enumerate(names)}
    ours = imagenet.words()
    if description.layout == "objectnet":
        ours = dict(zip(of, imagenet.objectnet_prompts().names, strict=True))
    counted = of if len(names) == len(of) else tuple(ours)
    agree = sum(
        ours[name].lower() in [word.strip().lower() for word in words.split(",")]
        for name, words in zip(counted, names, strict=False)
    )
    if len(names) != len(counted) or 2 * agree < len(names):
        raise DatasetError(
            f"{path} counts through {len(names)} classes ({names[0]!r}, {names[-1]!r} the last), "
            f"of which {agree} are called as the {len(of)} of {description.title} in their order: "
            "it is another set, or sorted in another way."
        )
    return {str(i): of.index(name) for i, name in enumerate(counted) if name in of}


def _problems(description: Description, is_packed: bool, copy: Copy) -> Iterable[str]:
    """How a copy differs from the published set; packed files hold only the classes in use."""
    _, counts, expected, strange = copy
    used = description.used
    published = (used or description).images if is_packed else description.images
    if counts.total() != published:
        yield f"{counts.total():,} images where {published:,} were published"
    if description.layout == "name" and len(expected) != description.classes:
        yield f"{len(expected):,} classes where {description.classes:,} were published"
    missing = [name for name in expected if not counts[name]]
    if missing:
        yield (
            f"{len(missing):,} of {len(expected):,} classes have no image, the first is "
            f"{imagenet.named(description, missing[0])}"
        )
    if strange:
        yield (
            f"{len(strange):,} folders belong to none of its classes and are not read, the first "
            f"is {strange[0]}"
        )
    if used and not is_packed and len(copy.entries) != used.images:
        yield (
            f"{len(copy.entries):,} images of the {used.classes:,} classes of ImageNet where "
            f"{used.images:,} were published"
        )
    each = description.per_class
    uneven = [name for name in expected if each and counts[name] not in (0, each)]
    if uneven:
        yield (
            f"{len(uneven):,} classes have another number of images than {each}, the first is "
            f"{imagenet.named(description, uneven[0])} with {counts[uneven[0]]:,}"
        )
