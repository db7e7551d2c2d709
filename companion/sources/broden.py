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
by category there are more, because some labels are in several. We know only the paper's two counts:
neither how many pixels make a positive image, nor whether an image in which nobody looked for a
concept may be a negative of it. Each source was annotated in some categories
only: textures in DTD's images, scenes in ADE20K's.

`sets` says where it is looked for, and how many images and labels were published. No torch.
"""

from __future__ import annotations

import csv
import itertools
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from analysis.base.files import fingerprint, replaced, sha256_of
from analysis.images.imagelist import DatasetError, ImageList
from companion.sources.sets import DIFFERS, descriptions, locate

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
AGAIN = "unpack it again, or take it as it is: `companion extract` with --accept-counts"


@dataclass(frozen=True)
class Concepts:
    """Which concepts each image shows.

    ``names`` (C,), in the order of the label numbers, are distinct; ``categories`` (C,) is the one
    in which most images have the label. ``shares`` (N, C) is the largest share of a mask's pixels
    that the concept has, 1 where the image as a whole is so labelled, in float32; ``annotated``
    (N, 6) is whether the image has any annotation in each of `CATEGORIES`. ``images`` (N,) are
    paths below ``images/``, in the index's order. ``what`` is empty for the published set and else
    says how this one differs.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    shares: scipy.sparse.csr_array = field(repr=False)
    annotated: NDArray[np.bool_] = field(repr=False)
    images: tuple[str, ...] = field(repr=False)
    what: str = ""


def find_root() -> Path:
    """Return Broden's folder; DatasetError, saying how to obtain it, if there is none."""
    return locate(descriptions()["broden"])


def image_list(root: Path, *, accept_counts: bool = False) -> ImageList:
    """List Broden's images in the index's order, without labels; all must be there.

    With ``accept_counts`` a copy with other images or labels than published is listed as far as it
    is there, and ``what`` says how it differs. Raises DatasetError.
    """
    index, _, what = _read_tables(root, accept_counts)
    keys = tuple(index["image"])
    paths = [root / "images" / key for key in keys]
    missing = [] if accept_counts else [path for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing):,} of {len(keys):,} images in {root / 'index.csv'} are missing, the "
            f"first is {missing[0]}: this copy of Broden is incomplete, {AGAIN}. "
            + descriptions()["broden"].obtain
        )
    return ImageList(
        name="broden",
        images=paths,
        keys=keys,
        labels=np.full(len(keys), -1),
        classes=(),
        what=what,
    )


def concepts(root: Path, folder: Path, *, accept_counts: bool = False) -> Concepts:
    """Read which image shows how much of which concept: N images, C concepts.

    ``accept_counts`` takes a copy with other images or labels than published, as far as it is
    there; the result's ``what`` then says how it differs. Reading all masks takes minutes, so the
    table is kept in ``folder`` for as long as both tables of Broden, and the images that are there,
    stay as they are; the masks themselves are not looked at again. Raises DatasetError when
    something is missing, damaged or not as expected.
    """
    index, labels, what = _read_tables(root, accept_counts)
    images = tuple(index["image"])
    tables = [sha256_of(root / name) for name in ("index.csv", "label.csv")]
    path = folder / f"broden-shares-{fingerprint([*tables, images])[:16]}.npz"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        table = _kept(path)
        if table is None:
            table = _read_masks(root, index, labels)
            with replaced(path) as part, part.open("wb") as file:
                scipy.sparse.save_npz(file, table)
    return Concepts(
        names=tuple(labels["name"]),
        categories=tuple(labels["category"]),
        shares=table,
        annotated=(index[[*CATEGORIES]] != "").to_numpy(),
        images=images,
        what=what,
    )


def _read_tables(root: Path, accept_counts: bool) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Read the index and the labels, and say how they differ from what was published.

    Of the index a row for each image: its name, its masks' edges, and what each category has. With
    ``accept_counts`` those whose image is there, else DatasetError.
    """
    path = root / "index.csv"
    index = _read_csv(path, ["image", "split", "sh", "sw", *CATEGORIES], ["sh", "sw"])
    labels = _read_labels(root)
    if accept_counts:
        index = index.loc[[(root / "images" / name).is_file() for name in index["image"]]]
    published = descriptions()["broden"]
    counts = (len(index), published.images, "images"), (len(labels), published.classes, "labels")
    differ = "; ".join(
        f"{number:,} {what} where Broden has {expected:,}"
        for number, expected, what in counts
        if number != expected
    )
    if differ and not accept_counts:
        raise DatasetError(
            f"{differ}: this copy of it is incomplete, or another version ({root}); {AGAIN}. "
            f"{published.obtain}"
        )
    return index, labels, f"Broden, {DIFFERS}: {differ}" if differ else ""


def _read_csv(path: Path, columns: list[str], numbers: list[str]) -> pd.DataFrame:
    """Read some columns of a table, of texts and of numbers; DatasetError if it is not sound."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            widths = {len(row) for row in csv.reader(file) if row}
        if len(widths) > 1:  # which pandas would fill up
            raise ValueError("a row is cut short")
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[columns].map(str.strip)
        return table.assign(**{name: table[name].astype(int) for name in numbers})
    except FileNotFoundError:
        raise DatasetError(
            f"{path} is missing: this is no folder of Broden. {descriptions()['broden'].obtain}"
        ) from None
    except (OSError, ValueError, KeyError, csv.Error) as error:  # which name what is wrong
        raise DatasetError(
            f"{path} is not readable as a table of Broden ({error}): unpack it again."
        ) from None


def _read_labels(root: Path) -> pd.DataFrame:
    """Read names and categories of ``label.csv`` by number, rising, with names made distinct."""
    path = root / "label.csv"
    table = _read_csv(path, ["number", "name", "category"], ["number"])
    table = table.set_index("number").sort_index()
    # the first of ``material(36);object(3)``: the one of most images
    table["category"] = table["category"].str.extract(r"^(\w+)\(", expand=False)
    apart = table["name"] + " (" + table["category"] + ")"
    table["name"] = table["name"].mask(table["name"].duplicated(keep=False), apart)
    numbers = table.index.to_series()
    wrong = numbers.duplicated() | (numbers < 1) | table["name"].duplicated()
    wrong |= ~table["category"].isin(CATEGORIES)
    if wrong.any():
        number = numbers[wrong].iloc[0]
        raise DatasetError(
            f"{path} is not a table of Broden: see the label number {number}. Numbers from 1 on, "
            f"each once, distinct names and a category of {', '.join(CATEGORIES)} with the number "
            "of images, as in object(12), are expected."
        )
    return table


def _read_masks(root: Path, index: pd.DataFrame, labels: pd.DataFrame) -> scipy.sparse.csr_array:
    """Read the masks of all images into an (N, C) table of shares, in float32."""
    column = {number: place for place, number in enumerate(labels.index)}

    def shown(row: dict[str, Any]) -> dict[int, float]:
        cells = [part.strip() for name in CATEGORIES for part in row[name].split(";")]
        masks = {(int(cell), "index.csv"): 1.0 for cell in cells if cell.isdecimal()}
        for name in (cell for cell in cells if cell and not cell.isdecimal()):
            path, size = root / "images" / name, (row["sh"], row["sw"])
            pixels = np.bincount(_read_mask(path, size).ravel())
            shares = pixels / pixels.sum()
            masks |= {(number, name): shares[number] for number in np.flatnonzero(pixels).tolist()}
        largest: dict[int, float] = {}
        for (number, where), share in masks.items():
            if number not in column and number:  # number 0 is no label
                raise DatasetError(
                    f"{where} gives the image {row['image']} the label number {number}, which "
                    "label.csv does not have: the files are of different copies of Broden, or "
                    "damaged."
                )
            if number:
                largest[column[number]] = max(share, largest.get(column[number], 0))
        return dict(sorted(largest.items()))

    with ThreadPoolExecutor(os.cpu_count() or 4) as pool:  # decoding lets other threads run
        waiting = pool.map(shown, index.to_dict("records"))
        masks = list(tqdm(waiting, "reading Broden's masks", len(index), False, unit=" images"))
    ends = np.cumsum([0, *map(len, masks)])
    indices = np.fromiter(itertools.chain(*masks), np.int64)
    shares = np.fromiter(itertools.chain(*(mask.values() for mask in masks)), np.float32)
    return scipy.sparse.csr_array((shares, indices, ends), shape=(len(index), len(labels)))


def _read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.int64]:
    """Decode a mask, shape ``size``: red + 256 · green. DatasetError names what cannot be read."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.int64)
    except FileNotFoundError:
        raise DatasetError(
            f"the mask {path} is not there: this copy of Broden is incomplete, unpack it again."
        ) from None
    # Pillow calls a broken chunk of a PNG a SyntaxError.
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
    # It only saves time: what cannot be read is made again.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
