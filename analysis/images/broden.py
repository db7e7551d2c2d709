"""Broden: the paper's concept data set, 63,305 images with 1,197 labels, read from its folder.

Broden (Bau et al., *Network Dissection*, CVPR 2017) joins ADE20K, Pascal-Context, Pascal-Part,
OpenSurfaces and DTD. Its folder, ``broden1_224/`` for images of 224 × 224 pixels (227 and 384 are
the same at other sizes), holds

* ``label.csv``: number, name and categories of each label. One number stands for one name in
  every category: ``fabric`` is a material in some images and an object in others.
* ``index.csv``: one row per image. Its cells in the columns color, object, part, material, scene
  and texture hold, joined by ``;``, label numbers (the whole image is so labelled) or names of
  masks: PNGs in which red + 256 · green is a pixel's label number, 0 for none. Masks have half
  the image's edge. Parts overlap, so that an image may have several masks of them.
* ``images/``: the images and the masks.

Every label counts as one concept here, colours included: `label.csv` has the paper's 1,197. Counted
by category there are more, because some labels are in several. Of the paper we know no more than
the two counts: how many pixels make a positive image is not known, nor whether an image in which
nobody looked for a concept may be a negative of it. Each source was annotated in some categories
only: textures in DTD's images, scenes in ADE20K's.

`sets` says where it is looked for, and how many images and labels were published. No torch.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from analysis.common import fingerprint, replaced, sha256_of
from analysis.images.imagelist import DIFFERS, DatasetError, ImageList
from analysis.images.sets import Availability, descriptions, locate

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
AGAIN = "unpack it again, or take it as it is: `companion extract` with --accept-counts"


@dataclass(frozen=True)
class Concepts:
    """Which image shows which concept.

    ``names`` (C,), in the order of the label numbers, are distinct; ``categories`` (C,) is the one
    in which most images have the label. ``shares`` (N, C) is the largest share of a mask's pixels
    that the concept has, 1 where the image as a whole is so labelled, in float32; ``annotated``
    (N, 6) is whether the image has any annotation in each of `CATEGORIES`. ``images`` (N,) are
    paths below ``images/``, in the index's order; ``splits`` (N,) are ``train`` or ``val``.
    ``what`` is empty for the published set and else says how this one differs.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    shares: scipy.sparse.csr_array = field(repr=False)
    annotated: NDArray[np.bool_] = field(repr=False)
    images: tuple[str, ...] = field(repr=False)
    splits: tuple[str, ...] = field(repr=False)
    what: str = ""


@dataclass(frozen=True)
class _Row:
    """One image of the index: its labels as a whole, its masks of (height, width) pixels.

    ``annotated``: in which of `CATEGORIES` it has any.
    """

    image: str
    split: str
    size: tuple[int, int]
    labels: tuple[int, ...]
    masks: tuple[str, ...]
    annotated: tuple[bool, ...]


@dataclass(frozen=True)
class _Labels:
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    categories: tuple[str, ...]


def find_root() -> Path:
    """Return Broden's folder; DatasetError, saying how it is obtained, if there is none."""
    return locate(descriptions()["broden"])


def availability() -> Availability:
    """Say whether Broden is here, and complete as far as its two tables tell."""
    try:
        root = find_root()
    except DatasetError as error:
        return Availability("broden", "absent", None, str(error))
    try:
        rows, labels, _ = _read_tables(root, accept_counts=False)
    except DatasetError as error:
        return Availability("broden", "incomplete", root, str(error))
    images, concepts = len(rows), len(labels.names)
    found, listed = f"{images:,} images, {concepts:,} concepts", sha256_of(root / "index.csv")
    return Availability("broden", "present", root, found, images, concepts, listed)


def image_list(root: Path, *, accept_counts: bool = False) -> ImageList:
    """List Broden's images in the index's order, without labels; all must be there.

    With ``accept_counts`` a copy with other images or labels than published is listed as far as it
    is there, and ``what`` says how it differs. Raises DatasetError.
    """
    rows, _, what = _read_tables(root, accept_counts)
    keys = tuple(row.image for row in rows)
    paths = [root / "images" / key for key in keys]
    missing = [] if accept_counts else [path for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing):,} of {len(keys):,} images in {root / 'index.csv'} are not there, the "
            f"first is {missing[0]}: this copy of Broden is incomplete, {AGAIN}. "
            + descriptions()["broden"].obtain
        )
    return ImageList(
        name="broden", images=paths, keys=keys, labels=np.full(len(keys), -1), classes=(),
        what=what,
    )  # fmt: skip


def concepts(root: Path, folder: Path, *, accept_counts: bool = False) -> Concepts:
    """Read which image shows how much of which concept: N images, C concepts.

    ``accept_counts`` takes a copy with other images or labels than published, as far as it is
    there; the result's ``what`` then says how it differs. Reading all masks takes minutes, so the
    table is kept in ``folder`` for as long as both tables of Broden, and the images that are there,
    stay as they are; the masks themselves are not looked at again. Raises DatasetError when
    something is missing, damaged or not as expected.
    """
    rows, known, what = _read_tables(root, accept_counts)
    images = tuple(row.image for row in rows)
    tables = [sha256_of(root / name) for name in ("index.csv", "label.csv")]
    path = folder / f"broden-shares-{fingerprint([*tables, images])[:16]}.npz"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        table = _kept(path)
        if table is None:
            table = _read_masks(root, rows, known)
            with replaced(path) as part, part.open("wb") as file:
                scipy.sparse.save_npz(file, table)
    return Concepts(
        names=known.names,
        categories=known.categories,
        shares=table,
        annotated=np.array([row.annotated for row in rows], dtype=bool).reshape(len(rows), -1),
        images=images,
        splits=tuple(row.split for row in rows),
        what=what,
    )


def _read_tables(root: Path, accept_counts: bool) -> tuple[list[_Row], _Labels, str]:
    """Read the index and the labels, and say how they differ from what was published.

    With ``accept_counts`` of the index those rows whose image is there, else DatasetError.
    """
    rows, known = _read_index(root), _read_labels(root)
    if accept_counts:
        rows = [row for row in rows if (root / "images" / row.image).is_file()]
    published = descriptions()["broden"]
    counts = (
        (len(rows), published.images, "images"),
        (len(known.names), published.classes, "labels"),
    )
    differ = "; ".join(
        f"{found:,} of {expected:,} {what}"
        if found < expected
        else f"{found:,} {what} where Broden has {expected:,}"
        for found, expected, what in counts
        if found != expected
    )
    if differ and not accept_counts:
        more = any(found > expected for found, expected, _ in counts)
        copy = "another data set, or a later version" if more else "incomplete"
        raise DatasetError(
            f"{differ}: this copy of Broden is {copy} ({root}); {AGAIN}. {published.obtain}"
        )
    return rows, known, f"Broden, {DIFFERS}: {differ}" if differ else ""


def _read_csv(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a table that must have these columns; DatasetError otherwise."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            found = list(reader)
            names = reader.fieldnames or ()
    except FileNotFoundError:
        raise DatasetError(
            f"{path} is not there: this is no folder of Broden. {descriptions()['broden'].obtain}"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not readable ({error}): unpack Broden again.") from None
    missing = [name for name in columns if name not in names]
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]!r}, only {', '.join(names) or 'an empty line'}: it "
            "is not a table of Broden, or of another version."
        )
    short = [line for line, row in enumerate(found, 2) if None in row.values()]
    if short:
        raise DatasetError(f"{path} is cut short at row {short[0]}: unpack Broden again.")
    return found


def _read_labels(root: Path) -> _Labels:
    """Read ``label.csv``, in the order of the numbers, with names made distinct."""
    path = root / "label.csv"
    rows = _read_csv(path, ("number", "name", "category"))
    table = sorted(
        (_number(row["number"], path), row["name"].strip(), _category(row["category"], path))
        for row in rows
    )
    numbers = [number for number, _, _ in table]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice or (numbers and numbers[0] < 1):
        raise DatasetError(
            f"{path} has the label number {twice[0] if twice else numbers[0]} "
            f"{'twice' if twice else 'where 1 is the least'}: it is not a table of Broden."
        )
    count = Counter(name for _, name, _ in table)
    names = [f"{name} ({kind})" if count[name] > 1 else name for _, name, kind in table]
    same = [name for name, times in Counter(names).items() if times > 1]
    if same:
        raise DatasetError(f"{path} has two labels called {same[0]!r}: names must be distinct.")
    return _Labels(tuple(numbers), tuple(names), tuple(kind for _, _, kind in table))


def _read_index(root: Path) -> list[_Row]:
    path = root / "index.csv"
    table = _read_csv(path, ("image", "split", "sh", "sw", *CATEGORIES))
    rows = []
    for row in table:
        cells = [part.strip() for name in CATEGORIES for part in row[name].split(";")]
        rows.append(
            _Row(
                image=row["image"],
                split=row["split"],
                size=(_number(row["sh"], path), _number(row["sw"], path)),
                labels=tuple(int(cell) for cell in cells if cell.isdecimal()),
                masks=tuple(cell for cell in cells if cell and not cell.isdecimal()),
                annotated=tuple(bool(row[name].strip()) for name in CATEGORIES),
            )
        )
    return rows


def _number(text: str, path: Path) -> int:
    if not text.strip().isdecimal():
        raise DatasetError(f"{path} has {text!r} where a number is expected: unpack Broden again.")
    return int(text)


def _category(text: str, path: Path) -> str:
    """Return the first category of ``material(36);object(3)``: the one of most images."""
    first = re.match(r"\s*(\w+)\(", text)
    if not first or first[1] not in CATEGORIES:
        raise DatasetError(
            f"{path} has the category {text!r} where one of {', '.join(CATEGORIES)} with the "
            "number of images, as in object(12), is expected."
        )
    return first[1]


def _read_masks(root: Path, rows: list[_Row], known: _Labels) -> scipy.sparse.csr_array:
    """Read the masks of all images into an (N, C) table of shares, in float32."""
    column = {number: place for place, number in enumerate(known.numbers)}

    def shown(row: _Row) -> dict[int, float]:
        found = {(number, "index.csv"): 1.0 for number in row.labels}
        for name in row.masks:
            pixels = np.bincount(_read_mask(root / "images" / name, row.size).ravel())
            shares = pixels / pixels.sum()
            found |= {(number, name): shares[number] for number in np.flatnonzero(pixels).tolist()}
        largest: dict[int, float] = {}
        for (number, where), share in found.items():
            if number not in column and number:  # number 0 is no label
                raise DatasetError(
                    f"{where} gives the image {row.image} the label number {number}, which "
                    "label.csv does not have: the files are of different copies of Broden, or "
                    "damaged."
                )
            if number:
                largest[column[number]] = max(share, largest.get(column[number], 0))
        return dict(sorted(largest.items()))

    with ThreadPoolExecutor(os.cpu_count() or 4) as pool:  # decoding lets other threads run
        waiting = pool.map(shown, rows)
        found = list(tqdm(waiting, "reading Broden's masks", len(rows), False, unit=" images"))
    ends = np.cumsum([0, *map(len, found)])
    indices = np.fromiter(itertools.chain(*found), np.int64)
    shares = np.fromiter(itertools.chain(*(one.values() for one in found)), np.float32)
    return scipy.sparse.csr_array((shares, indices, ends), shape=(len(rows), len(known.numbers)))


def _read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.int64]:
    """Decode a mask, shape ``size``: red + 256 · green. DatasetError names what cannot be read."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.int64)
    except FileNotFoundError:
        raise DatasetError(
            f"the mask {path} is not there: this copy of Broden is incomplete, unpack it again."
        ) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), path.name)
        raise DatasetError(f"the mask {path} is damaged ({reason}): unpack it again.") from None
    red, green, blue = np.moveaxis(pixels, -1, 0)
    if red.shape != size or blue.any():
        raise DatasetError(
            f"{path} is not a mask of {size[0]} × {size[1]} label numbers (it has "
            f"{red.shape[0]} × {red.shape[1]} pixels, blue{' not' if blue.any() else ''} all "
            "zero): unpack it again."
        )
    mask: NDArray[np.int64] = red + 256 * green
    return mask


def _kept(path: Path) -> scipy.sparse.csr_array | None:
    """Return the table that was kept; None if there is none, or it is damaged."""
    try:
        return scipy.sparse.csr_array(scipy.sparse.load_npz(path))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
