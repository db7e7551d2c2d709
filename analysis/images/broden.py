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
the two counts: how many pixels make a positive image is our choice (``least_pixels``).

Environment variable ``COMPANION_DATA``: the folder in which ``broden1_224/`` lies; `paper_sets`
says how to name another place. No torch.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse

from analysis.features import store
from analysis.images import sets
from analysis.images.imagelist import DIFFERS, Availability, DatasetError, ImageList

IMAGES = 63_305
LABELS = 1_197
CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
#: Sizes of image in the order of our liking: CLIP reads 224 × 224 pixels.
FOLDERS = ("broden1_224", "broden1_227", "broden1_384")
HOW = (
    "Broden is no longer reliably served where it was published "
    "(netdissect.csail.mit.edu/data/broden1_224.zip), and we know of no mirror that its authors "
    "name: take broden1_224/ from a copy that your lab has, or build it with "
    "script/makebroden.sh of github.com/CSAILVision/NetDissect from ADE20K, Pascal VOC 2010, "
    "Pascal-Part, Pascal-Context, OpenSurfaces and DTD"
)
AGAIN = "unpack it again, or take it as it is: `companion extract` with --accept-counts"


class BrodenError(DatasetError):
    """Broden is absent, incomplete or damaged; the message says what to do."""


@dataclass(frozen=True)
class Concepts:
    """Which image shows which concept.

    ``names`` (C,), in the order of the label numbers, are distinct; ``categories`` (C,) is the one
    in which most images have the label. ``table`` (N, C) is boolean; ``images`` (N,) are paths
    below ``images/``, in the index's order; ``splits`` (N,) are ``train`` or ``val``. ``what`` is
    empty for the published set and else says how this one differs.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    table: sparse.csr_array = field(repr=False)
    images: tuple[str, ...] = field(repr=False)
    splits: tuple[str, ...] = field(repr=False)
    what: str = ""


@dataclass(frozen=True)
class _Row:
    """One image of the index: its labels as a whole, and its masks of (height, width) pixels."""

    image: str
    split: str
    size: tuple[int, int]
    labels: tuple[int, ...]
    masks: tuple[str, ...]


@dataclass(frozen=True)
class _Labels:
    numbers: NDArray[np.int64]
    names: tuple[str, ...]
    categories: tuple[str, ...]


def find_root() -> Path:
    """Return Broden's folder (see `paper_sets`), of 224 pixels if there are several sizes.

    Raises BrodenError, saying how it is obtained.
    """
    own = sets.own_place("broden")
    if own is not None:
        if own.is_dir():
            return own
        raise BrodenError(
            f"{sets.config_file()} says that Broden lies in {own}, which is not a folder: "
            "correct it there."
        )
    parent = sets.root()
    if parent is None:
        raise BrodenError(
            "Broden is looked for in the folder that the environment variable COMPANION_DATA "
            f"names, and it is not set. {HOW}; then set COMPANION_DATA to the folder it lies in."
        )
    known = [parent / name for name in FOLDERS]
    others = sorted(parent.glob("broden1_*")) if parent.is_dir() else []
    found = [path for path in (*known, *others) if path.is_dir()]
    if not found:
        raise BrodenError(f"there is no folder broden1_224 in {parent} (COMPANION_DATA). {HOW}.")
    return found[0]


def availability() -> Availability:
    """Say whether Broden is here, and complete as far as its two tables tell."""
    try:
        root = find_root()
    except DatasetError as error:
        return Availability("broden", "absent", None, str(error))
    try:
        rows, labels = _read_index(root), _read_labels(root)
        _expect(rows, labels, root)
    except BrodenError as error:
        return Availability("broden", "incomplete", root, str(error))
    found = f"{len(rows):,} images, {len(labels.names):,} concepts"
    return Availability(
        "broden", "present", root, found, len(rows), len(labels.names), _sha256(root / "index.csv")
    )


def image_list(root: Path, *, accept_counts: bool = False) -> ImageList:
    """List Broden's images in the index's order, without labels; all must be there.

    With ``accept_counts`` a copy with other images or labels than published is listed as far as it
    is there, and ``what`` says how it differs. Raises BrodenError.
    """
    rows, known = _read_index(root), _read_labels(root)
    if accept_counts:
        rows = _present(rows, root)
    else:
        _expect(rows, known, root)
    keys = tuple(row.image for row in rows)
    paths = [root / "images" / key for key in keys]
    missing = [] if accept_counts else [path for path in paths if not path.is_file()]
    if missing:
        raise BrodenError(
            f"{len(missing):,} of {len(keys):,} images in {root / 'index.csv'} are not there, the "
            f"first is {missing[0]}: this copy of Broden is incomplete, {AGAIN}. {HOW}."
        )
    return ImageList(
        name="broden", images=paths, keys=keys, labels=np.full(len(keys), -1), classes=(),
        what=_what(rows, known),
    )  # fmt: skip


def concepts(
    root: Path,
    *,
    least_pixels: int = 1,
    accept_counts: bool = False,
    folder: Path | None = None,
) -> Concepts:
    """Read which image shows which concept: N images, C concepts.

    An image shows a concept if one of its masks has at least ``least_pixels`` pixels of it, or if
    the image as a whole is so labelled. ``accept_counts`` takes a copy with other images or labels
    than published, as far as it is there; the result's ``what`` then says how it differs. Reading
    all masks takes minutes, so the table is kept in the store (of ``folder``) for as long as both
    tables of Broden, and the images that are there, stay as they are; the masks themselves are not
    looked at again. Raises BrodenError when something is missing, damaged or not as expected.
    """
    if least_pixels < 1:
        raise BrodenError(f"least_pixels must be at least 1, got {least_pixels}.")
    rows, known = _read_index(root), _read_labels(root)
    if accept_counts:
        rows = _present(rows, root)
    else:
        _expect(rows, known, root)
    path = (folder or store.default_folder()) / "concepts" / "broden.safetensors"
    made_of = {
        "index_sha256": _sha256(root / "index.csv"),
        "label_sha256": _sha256(root / "label.csv"),
        "images_sha256": hashlib.sha256("\0".join(row.image for row in rows).encode()).hexdigest(),
        "least_pixels": least_pixels,
    }
    with store.locked([path]):
        table = _cached(path, made_of, len(known.names))
        if table is None:
            table = _read_table(root, rows, known, least_pixels)
            packed = np.packbits(table.toarray(), axis=1)
            what = "which image (row) shows which concept of Broden (bit, in the label's order)"
            store.write(path, {"concepts": packed}, {"what": what, **made_of})
    return Concepts(
        names=known.names,
        categories=known.categories,
        table=table,
        images=tuple(row.image for row in rows),
        splits=tuple(row.split for row in rows),
        what=_what(rows, known),
    )


def _present(rows: list[_Row], root: Path) -> list[_Row]:
    """Those rows of the index whose image is there."""
    return [row for row in rows if (root / "images" / row.image).is_file()]


def _differences(rows: list[_Row], known: _Labels) -> list[str]:
    """How many images and labels there are, where that is not what was published."""
    counts = ((len(rows), IMAGES, "images"), (len(known.names), LABELS, "labels"))
    return [
        f"{found:,} of {expected:,} {what}"
        if found < expected
        else f"{found:,} {what} where Broden has {expected:,}"
        for found, expected, what in counts
        if found != expected
    ]


def _what(rows: list[_Row], known: _Labels) -> str:
    """Nothing for the published set, else how this one differs."""
    differ = _differences(rows, known)
    return f"Broden, {DIFFERS}: {'; '.join(differ)}" if differ else ""


def _expect(rows: list[_Row], known: _Labels, root: Path) -> None:
    differ = _differences(rows, known)
    if not differ:
        return
    more = len(rows) > IMAGES or len(known.names) > LABELS
    raise BrodenError(
        f"{'; '.join(differ)}: this copy of Broden is "
        + (f"another data set, or a later version ({root})" if more else f"incomplete ({root})")
        + f"; {AGAIN}. {HOW}."
    )


def _read_csv(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a table that must have these columns; BrodenError otherwise."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            found = list(reader)
            names = reader.fieldnames or ()
    except FileNotFoundError:
        raise BrodenError(f"{path} is not there: this is no folder of Broden. {HOW}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BrodenError(f"{path} is not readable ({error}): unpack Broden again.") from None
    missing = [name for name in columns if name not in names]
    if missing:
        raise BrodenError(
            f"{path} has no column {missing[0]!r}, only {', '.join(names) or 'an empty line'}: it "
            "is not a table of Broden, or of another version."
        )
    short = [line for line, row in enumerate(found, 2) if None in row.values()]
    if short:
        raise BrodenError(f"{path} is cut short at row {short[0]}: unpack Broden again.")
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
        raise BrodenError(
            f"{path} has the label number {twice[0] if twice else numbers[0]} "
            f"{'twice' if twice else 'where 1 is the least'}: it is not a table of Broden."
        )
    names = _distinct([(name, category) for _, name, category in table], path)
    return _Labels(np.array(numbers, np.int64), names, tuple(c for _, _, c in table))


def _distinct(labels: list[tuple[str, str]], path: Path) -> tuple[str, ...]:
    """Write ``name (category)`` where labels of several categories have the same name."""
    count = Counter(name for name, _ in labels)
    names = tuple(f"{name} ({kind})" if count[name] > 1 else name for name, kind in labels)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BrodenError(f"{path} has two labels called {twice[0]!r}: names must be distinct.")
    return names


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
            )
        )
    return rows


def _number(text: str, path: Path) -> int:
    if not text.strip().isdecimal():
        raise BrodenError(f"{path} has {text!r} where a number is expected: unpack Broden again.")
    return int(text)


def _category(text: str, path: Path) -> str:
    """Return the first category of ``material(36);object(3)``: the one of most images."""
    first = re.match(r"\s*(\w+)\(", text)
    if not first or first[1] not in CATEGORIES:
        raise BrodenError(
            f"{path} has the category {text!r} where one of {', '.join(CATEGORIES)} with the "
            "number of images, as in object(12), is expected."
        )
    return first[1]


def _read_table(root: Path, rows: list[_Row], known: _Labels, least: int) -> sparse.csr_array:
    """Read the masks of all images into an (N, C) boolean table."""
    columns = np.full(int(known.numbers.max(initial=0)) + 1, -1)
    columns[0] = len(known.numbers)  # number 0 is no label: a column of its own, dropped below
    columns[known.numbers] = np.arange(len(known.numbers))

    def shown(row: _Row) -> NDArray[np.int64]:
        found = [_columns(np.array(row.labels, np.int64), columns, "index.csv", row.image)]
        for name in row.masks:
            counts = np.bincount(_read_mask(root / "images" / name, row.size).ravel())
            found.append(_columns(np.flatnonzero(counts >= least), columns, name, row.image))
        every = np.unique(np.concatenate(found))
        return every[every < len(known.numbers)]

    found = _for_all(shown, rows, "reading Broden's masks")
    ends = np.cumsum([0, *map(len, found)])
    indices = np.concatenate([*found, np.zeros(0, np.int64)])
    return sparse.csr_array(
        (np.ones(len(indices), dtype=bool), indices, ends), shape=(len(rows), len(known.numbers))
    )


def _columns(
    numbers: NDArray[np.int64], columns: NDArray[np.int64], where: str, image: str
) -> NDArray[np.int64]:
    inside = numbers < len(columns)
    found: NDArray[np.int64] = np.where(inside, columns[np.where(inside, numbers, 0)], -1)
    if (found < 0).any():
        raise BrodenError(
            f"{where} gives the image {image} the label number {numbers[found < 0][0]}, which "
            "label.csv does not have: the files are of different copies of Broden, or damaged."
        )
    return found


def _read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.int64]:
    """Decode a mask, shape ``size``: red + 256 · green. BrodenError names what cannot be read."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.int64)
    except FileNotFoundError:
        raise BrodenError(
            f"the mask {path} is not there: this copy of Broden is incomplete, unpack it again."
        ) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), path.name)
        raise BrodenError(f"the mask {path} is damaged ({reason}): unpack it again.") from None
    red, green, blue = np.moveaxis(pixels, -1, 0)
    if red.shape != size or blue.any():
        raise BrodenError(
            f"{path} is not a mask of {size[0]} × {size[1]} label numbers (it has "
            f"{red.shape[0]} × {red.shape[1]} pixels, blue{' not' if blue.any() else ''} all "
            "zero): unpack it again."
        )
    mask: NDArray[np.int64] = red + 256 * green
    return mask


def _for_all(
    work: Callable[[_Row], NDArray[np.int64]], rows: list[_Row], what: str
) -> list[NDArray[np.int64]]:
    """Do the work for every row, in threads (decoding lets other threads run), in order."""
    with ThreadPoolExecutor(os.cpu_count() or 4) as pool:
        return list(_with_progress(pool.map(work, rows), len(rows), what))


def _with_progress(
    results: Iterator[NDArray[np.int64]], total: int, what: str
) -> Iterator[NDArray[np.int64]]:
    """Show how far it is: a bar if tqdm is installed, else a line at every tenth."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        step = max(1, total // 10)
        for done, result in enumerate(results, 1):
            yield result
            if done % step == 0:
                print(f"{what}: {done:,} of {total:,} images", file=sys.stderr)
        return
    yield from tqdm(results, total=total, desc=what, unit=" images", leave=False)


def _cached(path: Path, made_of: dict[str, object], labels: int) -> sparse.csr_array | None:
    """Return the table in the store if it is sound and was made of the same, else None."""
    try:
        tensors, sidecar = store.read(path)
    except store.StoreError:
        return None
    if any(sidecar.get(key) != value for key, value in made_of.items()):
        return None
    bits = np.unpackbits(tensors["concepts"], axis=1, count=labels)
    return sparse.csr_array(bits.astype(bool))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
