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
compared. `read` says of a copy what is missing or does not belong; `image_list` refuses it then. No
torch.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.common import fingerprint
from analysis.images import imagenet, packed
from analysis.images.imagelist import DIFFERS, DatasetError, ImageList, Packed, is_image
from analysis.images.sets import Availability, Description, descriptions, locate

WNID = re.compile(r"n\d{8}")
#: The hub's names of validation images end in the class, others' do not.
VALIDATION = re.compile(r"^(ILSVRC2012_val_\d{8})_n\d{8}(?=\.)")

Entry = tuple[int, str, Path | Packed]


@dataclass(frozen=True)
class Copy:
    """What lies on disk of a data set.

    ``keys``, ``images`` and ``labels`` (N,) are those that are listed; ``counts`` has the number of
    images of every class that was found, ObjectNet's other 200 included. ``problems`` says how it
    differs from the published set; it is empty if it does not.
    """

    place: Path
    keys: tuple[str, ...] = field(repr=False)
    images: tuple[Path | Packed, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    counts: dict[str, int] = field(repr=False)
    problems: str

    @property
    def sha256(self) -> str:
        """Hash of the listed names and classes, in order; no file is opened for it."""
        return fingerprint([self.keys, self.labels])


def image_list(name: str, *, accept_counts: bool = False) -> ImageList:
    """List ImageNet or one of its shifts.

    Raises DatasetError when it is absent, and when the copy is not the published set; with
    ``accept_counts`` such a copy is listed as it is, and ``what`` says how it differs.
    """
    description = descriptions()[name]
    copy = read(description)
    if not copy.images:
        raise DatasetError(
            f"{description.title}: {copy.problems} ({copy.place}). A folder per class is expected "
            "there, or tar or Parquet files."
        )
    if copy.problems and not accept_counts:
        raise DatasetError(
            f"{description.title}: {copy.problems} ({copy.place}). Get it again from "
            f"{description.origin}, or take it as it is with --accept-counts: every measurement "
            "then says so."
        )
    of = imagenet.subset(description)
    return ImageList(
        name=name,
        images=copy.images,
        keys=copy.keys,
        labels=np.array(copy.labels, dtype=np.int64),
        classes=of,
        prompts=imagenet.prompts_of(description),
        border=description.border,
        what=f"{description.title}, {len(copy.images):,} images of {len(of):,} classes, list "
        f"{copy.sha256[:16]}" + (f"; {DIFFERS}: {copy.problems}" if copy.problems else ""),
    )


def availability(description: Description, place: Path) -> Availability:
    """Say of ImageNet or one of its shifts whether it is complete; DatasetError if damaged."""
    copy = read(description)
    images, found = sum(copy.counts.values()), len(copy.counts)
    why = f"{copy.problems}." if copy.problems else f"{images:,} images, {found:,} classes"
    if not copy.problems and images != len(copy.images):
        of = len(imagenet.subset(description))
        why += f"; the {len(copy.images):,} images of {of:,} classes of ImageNet are used"
    return Availability(
        description.name,
        state="incomplete" if copy.problems else "present",
        folder=place,
        why=why,
        images=images,
        classes=found,
        list_sha256=copy.sha256,
    )


def read(description: Description) -> Copy:
    """List what lies on disk of a data set other than Broden, and how it differs from the original.

    Only names are looked at. Raises DatasetError when there is no such folder, or when archives or
    tables in it are damaged.
    """
    place = locate(description)
    content = packed.read(place)
    if content is not None:
        return _from_packed(description, place, content)
    return _from_class_folders(description, place)


def _from_class_folders(description: Description, place: Path) -> Copy:
    """Read folders by class; those of no class are counted as problems, not listed."""
    with os.scandir(place) as found:
        folders = [entry.name for entry in found if entry.name[0] != "." and entry.is_dir()]
    named = imagenet.folder_names(description)
    known = {folder: named[folder] for folder in folders if folder in named}
    label = {name: i for i, name in enumerate(imagenet.subset(description))}
    entries: list[Entry] = []
    counts: Counter[str] = Counter()
    for folder, name in sorted(known.items()):
        with os.scandir(place / folder) as found:
            files = [entry.name for entry in found if is_image(entry.name)]
        counts[name] += len(files)
        if imagenet.class_of(description, name) in label:
            index = label[imagenet.class_of(description, name)]
            entries += [(index, f"{name}/{file}", place / folder / file) for file in files]
    strange = sorted(set(folders) - set(known))
    return _copy(description, place, entries, counts, list(dict.fromkeys(named.values())), strange)


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
    counts = Counter(of[index] for index, _, _ in entries)
    if description.used is not None:  # packed files hold these alone
        description = description.model_copy(update={**dict(description.used), "used": None})
    return _copy(description, place, entries, counts, of, [])


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
    known = imagenet.words()
    if description.layout == "objectnet":
        known = dict(zip(of, imagenet.objectnet_prompts().names, strict=True))
    counted = of if len(names) == len(of) else tuple(known)
    agree = sum(
        known[name].lower() in [word.strip().lower() for word in words.split(",")]
        for name, words in zip(counted, names, strict=False)
    )
    if len(names) != len(counted) or 2 * agree < len(names):
        raise DatasetError(
            f"{path} counts through {len(names)} classes ({names[0]!r}, {names[-1]!r} the last), "
            f"of which {agree} are called as the {len(of)} of {description.title} in their order: "
            "it is another set, or sorted otherwise."
        )
    return {str(i): of.index(name) for i, name in enumerate(counted) if name in of}


def _copy(
    description: Description,
    place: Path,
    entries: list[Entry],
    counts: Counter[str],
    expected: Sequence[str],
    strange: list[str],
) -> Copy:
    ordered = sorted(entries, key=lambda entry: entry[:2])
    return Copy(
        place=place,
        keys=tuple(key for _, key, _ in ordered),
        images=tuple(image for _, _, image in ordered),
        labels=tuple(index for index, _, _ in ordered),
        counts={name: count for name, count in counts.items() if count},
        problems="; ".join(_problems(description, counts, expected, strange)),
    )


def _problems(
    description: Description, counts: Counter[str], expected: Sequence[str], strange: list[str]
) -> Iterable[str]:
    total, published = sum(counts.values()), description.images
    if total < published:
        yield (f"{total:,} of {published:,} images: this copy of {description.title} is incomplete")
    elif total > published:
        yield (
            f"{total:,} images where {published:,} were published: this copy of "
            f"{description.title} has more than the set, or is another one"
        )
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
            f"{len(strange):,} folders are of none of its classes and are not read, the first is "
            f"{strange[0]}"
        )
    used = description.used
    listed = sum(counts[name] for name in imagenet.subset(description)) if used else 0
    if used and listed != used.images:
        yield (
            f"{listed:,} images of the {used.classes:,} classes of ImageNet where {used.images:,} "
            "were published"
        )
    each = description.per_class
    uneven = [name for name in expected if each and counts[name] not in (0, each)]
    if uneven:
        yield (
            f"{len(uneven):,} classes have another number of images than {each}, the first is "
            f"{imagenet.named(description, uneven[0])} with {counts[uneven[0]]:,}"
        )
