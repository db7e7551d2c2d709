"""ImageNet and its shifts, listed from the layouts in which they are published.

* Class folders by WordNet id: ImageNet's validation set (``val/n01440764/…``), ImageNet-R, -Sketch
  and -A. ImageNet-V2's are numbers, 0 to 999, that count through ImageNet's classes; ObjectNet's
  are names (``alarm_clock``).
* ImageNet's validation images all in one folder, ``ILSVRC2012_val_00000001.JPEG`` and so on, with a
  file that says their classes, there or up to three folders above: Kaggle's
  ``LOC_val_solution.csv``, TensorFlow's ``imagenet_2012_validation_synset_labels.txt``, or
  ``ILSVRC2012_validation_ground_truth.txt`` with ``meta.mat``, both of the development kit.
* Tar shards with the same content (see `shards`), whose numbers count through the set's classes;
  ObjectNet's hold the images of its 113 classes only.
* Parquet files of the Hugging Face hub (see `parquet`), ObjectNet's likewise. Their numbers count
  through the names in their metadata, which must be WordNet ids, or ImageNet's words in its order.

A class is known by its WordNet id, since two names of ImageNet stand for two classes each; an
ObjectNet class by its folder. Images are listed by class and then by file name, under names such as
``n01440764/ILSVRC2012_val_00000293.JPEG`` whatever the layout on disk, so that two copies can be
compared. `read` says of a copy what is missing or does not belong; `image_list` refuses it then.

Of ObjectNet's 313 classes the 113 that ImageNet has are listed. One of them may be several classes
of ImageNet (``chair``: barber chair, folding chair, rocking chair); `accuracy` says how these are
counted. No torch.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from analysis.common import ROOT
from analysis.images import broden, parquet, shards
from analysis.images.imagelist import (
    DIFFERS,
    SUFFIXES,
    Availability,
    DatasetError,
    ImageList,
    Packed,
    Prompts,
)
from analysis.images.sets import GRID, Description, descriptions, locate, root

FOLDER = ROOT / "data" / "imagenet"
#: Files that say the classes of validation images that all lie in one folder.
KAGGLE, SYNSETS, GROUND_TRUTH = (
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
)
WNID = re.compile(r"n\d{8}")
#: The hub's names of validation images end in the class, others' do not.
VALIDATION = re.compile(r"^(ILSVRC2012_val_\d{8})_n\d{8}(?=\.)")
DEVKIT = Path("ILSVRC2012_devkit_t12") / "data"

Entry = tuple[int, str, Path | Packed]


@dataclass(frozen=True)
class Copy:
    """What lies on disk of a data set.

    ``keys``, ``images`` and ``labels`` (N,) are those that are listed; ``counts`` has the number of
    images of every class that was found, ObjectNet's other 200 included. ``problems`` says, a
    sentence each, how it differs from the published set.
    """

    description: Description
    place: Path
    keys: tuple[str, ...] = field(repr=False)
    images: tuple[Path | Packed, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    counts: dict[str, int] = field(repr=False)
    problems: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the listed names and classes, in order; no file is opened for it."""
        text = json.dumps([self.keys, self.labels])
        return hashlib.sha256(text.encode()).hexdigest()


@lru_cache
def classes() -> tuple[str, ...]:
    """WordNet ids of ImageNet's 1,000 classes, in the order of every ImageNet head."""
    return tuple(row["wnid"] for row in _class_table())


@lru_cache
def prompts() -> Prompts:
    """OpenAI's 1,000 class names and 80 templates; the classes are WordNet ids."""
    return Prompts(classes(), tuple(row["name"] for row in _class_table()), _templates())


@lru_cache
def objectnet_prompts() -> Prompts:
    """ObjectNet's own 113 names (``alarm clock``), in the 80 templates.

    So did those who published zero-shot accuracies on ObjectNet: CLIP_benchmark, from which
    open_clip's table comes, and WiSE-FT.
    """
    rows = [row for row in _objectnet_table() if row["wnids"]]
    names = tuple(row["label"].lower() for row in rows)
    return Prompts(tuple(row["folder"] for row in rows), names, _templates())


@lru_cache
def objectnet_to_imagenet() -> dict[str, tuple[str, ...]]:
    """The WordNet ids of each of ObjectNet's 113 classes that ImageNet has, as its authors say."""
    return {
        row["folder"]: tuple(row["wnids"].split()) for row in _objectnet_table() if row["wnids"]
    }


@lru_cache
def objectnet_labels() -> dict[str, str]:
    """ObjectNet's label of each of its 313 folders (``alarm_clock``: Alarm clock)."""
    return {row["folder"]: row["label"] for row in _objectnet_table()}


def subset(description: Description) -> tuple[str, ...]:
    """The classes that a data set's labels count through, sorted."""
    if description.layout == "objectnet":
        return tuple(objectnet_to_imagenet())
    if description.classes == len(classes()):
        return classes()
    column = description.name.replace("-", "_")
    return tuple(row["wnid"] for row in _class_table() if row[column] == "1")


def grid(*, accept_counts: bool = False) -> list[ImageList]:
    """List all that the paper computes on; DatasetError, naming every absent set, if any is."""
    absent = [one.why for one in availability() if one.name in GRID and one.state == "absent"]
    if absent:
        raise DatasetError(
            f"of the paper's {len(GRID)} data sets {len(absent)} are not here (name those that "
            f"are, to go on without): {' '.join(absent)}"
        )
    return [image_list(name, accept_counts=accept_counts) for name in GRID]


def image_list(name: str, *, accept_counts: bool = False) -> ImageList:
    """List one of the paper's data sets.

    Raises DatasetError when it is absent, and when the copy is not the published set; with
    ``accept_counts`` such a copy is listed as it is, and ``what`` says how it differs.
    """
    description = descriptions()[name]
    if description.layout == "broden":
        return broden.image_list(broden.find_root(), accept_counts=accept_counts)
    copy = read(description)
    if not copy.images:
        raise DatasetError(f"{description.title}: {_with(copy.problems)} ({copy.place}).")
    if copy.problems and not accept_counts:
        raise DatasetError(
            f"{description.title}: {_with(copy.problems)} ({copy.place}). Get it again from "
            f"{description.origin}, or take it as it is with --accept-counts: every measurement "
            "then says so."
        )
    of = subset(description)
    return ImageList(
        name=name,
        images=copy.images,
        keys=copy.keys,
        labels=np.array(copy.labels, dtype=np.int64),
        classes=of,
        prompts=objectnet_prompts() if description.layout == "objectnet" else prompts(),
        border=description.border,
        what=_what(description.title, len(copy.images), len(of), copy.sha256, copy.problems),
    )


def availability() -> list[Availability]:
    """Say of each of the paper's data sets whether it is here and complete.

    Raises DatasetError if the file that says where they lie is wrong.
    """
    root()
    return [_available(description) for description in descriptions().values()]


def read(description: Description) -> Copy:
    """List what lies on disk of a data set other than Broden, and how it differs from the original.

       Only names are looked at. Raises DatasetError when there is no such folder, or when it holds
       neither class folders nor shards or Parquet files, nor images that have a file of classes.
    images that have a file of classes.
    """
    place = locate(description)
    packed = shards.archives(place)
    if packed:
        return _from_shards(description, place, packed)
    tables = parquet.files(place)
    if tables:
        return _from_parquet(description, place, tables)
    with os.scandir(place) as found:
        entries = [entry for entry in found if entry.name[0] != "."]
    folders = [entry.name for entry in entries if entry.is_dir()]
    if description.name == "imagenet" and not folders:
        loose = sorted(entry.name for entry in entries if _is_image(entry.name))
        return _from_one_folder(description, place, loose)
    return _from_class_folders(description, place, folders)


def _from_class_folders(description: Description, place: Path, folders: list[str]) -> Copy:
    """Read folders by class; those of no class are counted as problems, not listed."""
    named = _folder_names(description)
    known = {folder: named[folder] for folder in folders if folder in named}
    label = {name: i for i, name in enumerate(subset(description))}
    entries: list[Entry] = []
    counts: Counter[str] = Counter()
    for folder, name in sorted(known.items()):
        files = _images_in(place / folder)
        counts[name] += len(files)
        if _class_of(description, name) in label:
            index = label[_class_of(description, name)]
            entries += [(index, f"{name}/{file}", place / folder / file) for file in files]
    strange = sorted(set(folders) - set(known))
    return _copy(description, place, entries, counts, list(dict.fromkeys(named.values())), strange)


def _from_one_folder(description: Description, place: Path, files: list[str]) -> Copy:
    """Read validation images that lie in one folder, whose classes a file says."""
    label = {name: i for i, name in enumerate(classes())}
    wnids = _listed_classes(place, files) if files else {}
    counts = Counter(wnids.values())
    entries: list[Entry] = [(label[w], f"{w}/{f}", place / f) for f, w in wnids.items()]
    return _copy(description, place, entries, counts, classes(), [])


def _from_shards(description: Description, place: Path, packed: list[Path]) -> Copy:
    of = subset(description)
    label = {name: i for i, name in enumerate(of)} | {str(i): i for i in range(len(of))}
    entries: list[Entry] = []
    for sample in shards.read(packed):
        if sample.label not in label:
            raise DatasetError(
                f"{sample.image.path} gives the image {sample.key} the class {sample.label!r}: a "
                f"number from 0 to {len(of) - 1}, which counts through the {len(of)} classes of "
                f"{description.title}, or the name of one is expected."
            )
        entries.append((label[sample.label], sample.key, sample.image))
    return _packed_copy(description, place, entries)


def _from_parquet(description: Description, place: Path, paths: list[Path]) -> Copy:
    """Read the hub's files; images get the names that they have in class folders."""
    of = subset(description)
    table = parquet.read(paths)
    label = {name: i for i, name in enumerate(of)}
    label |= _numbered_labels(description, table.names, paths[0])
    entries: list[Entry] = []
    for row in table.rows:
        cell = row.image
        if row.label not in label:
            raise DatasetError(
                f"{cell.path} gives the image {cell.name} the class {row.label!r}, which is none "
                f"of the {len(of)} classes of {description.title}: it is another set, or damaged."
            )
        name = of[label[row.label]]
        other = next((wnid for wnid in WNID.findall(row.path) if wnid != name), None)
        if other is not None and description.layout != "objectnet":
            raise DatasetError(
                f"{cell.path} gives the image {cell.name} the class {_named(description, name)}, "
                f"and its name says {other}: the labels and the images do not belong together; "
                "get the files again."
            )
        folder = str(classes().index(name)) if description.layout == "number" else name
        file = VALIDATION.sub(r"\1", Path(row.path).name) if row.path else cell.name
        entries.append((label[row.label], f"{folder}/{file}", cell))
    return _packed_copy(description, place, entries)


def _numbered_labels(description: Description, names: Sequence[str], path: Path) -> dict[str, int]:
    """The label of each number, given the names that the numbers count through, if they are given.

    The names are the set's classes in any order, or words for its classes, or all of ImageNet's,
    in ImageNet's order: half of them at least must agree with those known here, since WordNet has
    several words for a class, and in another order hardly any does.
    """
    of = subset(description)
    if not names:
        return {str(i): i for i in range(len(of))}
    if set(names) <= set(of):
        return {str(i): of.index(name) for i, name in enumerate(names)}
    known = dict(zip(prompts().classes, prompts().names, strict=True))
    if description.layout == "objectnet":
        known = dict(zip(of, objectnet_prompts().names, strict=True))
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


def _packed_copy(description: Description, place: Path, entries: list[Entry]) -> Copy:
    of = subset(description)
    counts = Counter(of[index] for index, _, _ in entries)
    if description.used is not None:  # packed files hold these alone
        description = description.model_copy(update={**dict(description.used), "used": None})
    return _copy(description, place, entries, counts, of, [])


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
        description=description,
        place=place,
        keys=tuple(key for _, key, _ in ordered),
        images=tuple(image for _, _, image in ordered),
        labels=tuple(index for index, _, _ in ordered),
        counts={name: count for name, count in counts.items() if count},
        problems=tuple(_problems(description, counts, expected, strange)),
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
    missing = [name for name in expected if not counts[name]]
    if missing:
        yield (
            f"{len(missing):,} of {len(expected):,} classes have no image, the first is "
            f"{_named(description, missing[0])}"
        )
    if strange:
        yield (
            f"{len(strange):,} folders are of none of its classes and are not read, the first is "
            f"{strange[0]}"
        )
    used = description.used
    listed = sum(counts[name] for name in subset(description)) if used else 0
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
            f"{_named(description, uneven[0])} with {counts[uneven[0]]:,}"
        )


def _available(description: Description) -> Availability:
    name = description.name
    if description.layout == "broden":
        return broden.availability()
    try:
        place = locate(description)
    except DatasetError as error:
        return Availability(name, "absent", None, str(error))
    try:
        copy = read(description)
    except DatasetError as error:
        return Availability(name, "incomplete", place, str(error))
    images, found = sum(copy.counts.values()), len(copy.counts)
    why = f"{_with(copy.problems)}." if copy.problems else f"{images:,} images, {found:,} classes"
    if not copy.problems and images != len(copy.images):
        of = len(subset(description))
        why += f"; the {len(copy.images):,} images of {of:,} classes of ImageNet are used"
    return Availability(
        name,
        state="incomplete" if copy.problems else "present",
        folder=place,
        why=why,
        images=images,
        classes=found,
        list_sha256=copy.sha256,
    )


def _what(title: str, images: int, of: int, sha256: str, problems: Sequence[str]) -> str:
    text = f"{title}, {images:,} images of {of:,} classes, list {sha256[:16]}"
    return f"{text}; {_taken_as_it_is(problems)}" if problems else text


def _taken_as_it_is(problems: Sequence[str]) -> str:
    return f"{DIFFERS}: {_with(problems)}"


def _with(problems: Iterable[str]) -> str:
    return "; ".join(problems)


def _folder_names(description: Description) -> dict[str, str]:
    """What class folders may be called, and the name under which their images are listed."""
    if description.layout == "objectnet":
        return {folder: folder for folder in objectnet_labels()}
    if description.layout == "number":
        numbers = {str(index): str(index) for index in range(len(classes()))}
        padded = {f"{index:04}": str(index) for index in range(len(classes()))}
        return numbers | padded | {wnid: str(i) for i, wnid in enumerate(classes())}
    return {wnid: wnid for wnid in subset(description)}


def _class_of(description: Description, folder: str) -> str:
    return classes()[int(folder)] if description.layout == "number" else folder


def _named(description: Description, folder: str) -> str:
    """A class for the reader: ``n01440764 (tench)``, ``0 (tench)``, ``alarm_clock``."""
    if description.layout == "objectnet":
        return folder
    names = dict(zip(prompts().classes, prompts().names, strict=True))
    found = names.get(_class_of(description, folder) if folder.isdecimal() else folder)
    return f"{folder} ({found})"


def _listed_classes(place: Path, files: list[str]) -> dict[str, str]:
    """The WordNet id of each validation image, by file name, from the first file that says it."""
    near = [place, *place.absolute().parents[:3]]
    for name, reader in ((KAGGLE, _kaggle), (SYNSETS, _synsets), (GROUND_TRUTH, _ground_truth)):
        for path in (p / name for above in near for p in (above, above / DEVKIT)):
            if path.is_file():
                return _looked_up(files, reader(path), path)
    raise DatasetError(
        f"{place} holds images, and no file says their classes: {KAGGLE}, {SYNSETS}, or "
        f"{GROUND_TRUTH} with meta.mat is expected there or above; or put the images into a folder "
        "per class, val/n01440764/…, as torchvision's ImageNet does."
    )


def _looked_up(files: list[str], by_stem: dict[str, str], source: Path) -> dict[str, str]:
    known = set(classes())
    for file in files:
        wnid = by_stem.get(Path(file).stem)
        if wnid not in known:
            raise DatasetError(
                f"{source} gives {file} {'no class' if wnid is None else f'the class {wnid!r}'}, "
                "one of ImageNet's 1,000 is expected: it is another file, or damaged."
            )
    return {file: by_stem[Path(file).stem] for file in files}


def _kaggle(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not {"ImageId", "PredictionString"} <= rows[0].keys():
        raise DatasetError(f"{path} has not the columns ImageId and PredictionString.")
    return {row["ImageId"]: (row["PredictionString"] or " ").split(" ")[0] for row in rows}


def _synsets(path: Path) -> dict[str, str]:
    return _numbered(path.read_text(encoding="utf-8").split())


def _ground_truth(path: Path) -> dict[str, str]:
    """Read the development kit's numbers, whose WordNet ids its meta.mat has."""
    from scipy.io import loadmat  # type: ignore[import-untyped,unused-ignore]

    meta = path.with_name("meta.mat")
    if not meta.is_file():
        raise DatasetError(
            f"{path} counts in the development kit's own order, which meta.mat explains, and there "
            f"is no {meta}: take both from ILSVRC2012_devkit_t12.tar.gz."
        )
    synsets = loadmat(str(meta), squeeze_me=True)["synsets"]
    ids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    numbers = path.read_text(encoding="utf-8").split()
    return _numbered([ids.get(int(n), n) if n.isdecimal() else n for n in numbers])


def _numbered(wnids: list[str]) -> dict[str, str]:
    return {f"ILSVRC2012_val_{number:08}": wnid for number, wnid in enumerate(wnids, 1)}


def _images_in(folder: Path) -> list[str]:
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in found if _is_image(entry.name))


def _is_image(name: str) -> bool:
    return name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


@lru_cache
def _class_table() -> tuple[dict[str, str], ...]:
    return _rows("classes.csv")


@lru_cache
def _objectnet_table() -> tuple[dict[str, str], ...]:
    return _rows("objectnet.csv")


@lru_cache
def _templates() -> tuple[str, ...]:
    return tuple((FOLDER / "templates.txt").read_text(encoding="utf-8").splitlines())


def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
