"""The pocket lab's images: emoji as ten sets of artists drew them, with names, tags and classes.

The same concept in another set is the same content in another style: a natural distribution shift.
``data/emoji/emoji.zip`` holds everything; its README says how it is made, who drew the emoji, and
how classes and split were chosen. This module only reads it, without torch.
"""

from __future__ import annotations

import functools
import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
from PIL import Image

from analysis.base.files import sha256_of
from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from analysis.base.texts import suggestion
from analysis.images.imagelist import DatasetError, ImageList, Pixels, Prompts

ARCHIVE = ROOT / "data" / "emoji" / "emoji.zip"
TABLE = "concepts.csv"
#: Colours and textures of all images, computed by ``data/emoji/appearance.py``: packed bits.
APPEARANCE = ROOT / "data" / "emoji" / "appearance.npy"
#: Its checksum, to be changed with it.
APPEARANCE_SHA256 = "fda27fd1cc6d4485e9830984e807a06b28f120dd6c79ef52f3561903569c1a30"

#: Edge of every image in pixels; the background is white.
SIZE = 64
#: Pixels side by side in a style's sheet.
SHEET_COLUMNS = 40

#: What each style is for; ``data/imagenet/sets.yaml`` says what the roles are.
_TABLE = read_yaml(ROOT / "data" / "imagenet" / "sets.yaml")
STYLES: dict[str, str] = {style["name"]: style["role"] for style in _TABLE["styles"]}
#: The style that stands for ImageNet, and the five that stand for its distribution shifts.
IMAGENET = "twemoji"
SHIFTED_STYLES = tuple(style for style, role in STYLES.items() if role in ("seen", "unseen"))
#: Styles of the training sets for CLIP, by name: from one artist's captions to the whole web.
CAPTIONS = {
    "captions": ("twemoji",),
    "web_small": ("twemoji", "noto", "noto_v1"),
    "web_large": ("twemoji", "noto", "noto_v1", "emojione", "emojione_v1", "emojione_monotone"),
}

#: Classes of subgroups of Unicode's ordering. What is in none of them has ``class_index`` -1:
#: captions may train on it, no classifier sees it.
SUBGROUPS: dict[str, tuple[str, ...]] = {of: (*some,) for of, some in _TABLE["subgroups"].items()}
CLASSES = tuple(SUBGROUPS)
#: Ten of the eleven basic colour terms; white is the background's and cannot be told from it.
COLOURS = (
    *("black", "grey", "brown", "red", "orange"),
    *("yellow", "green", "blue", "purple", "pink"),
)
TEXTURES = (
    *("flat", "shaded", "plain", "detailed", "dark outline", "single-toned", "many-coloured"),
    *("horizontal lines", "vertical lines", "diagonal lines", "mirror-symmetric"),
)
#: Texts of a class, one for each wording; ``{}`` is the class name.
TEMPLATES = ("{}", "an emoji of {}", "a drawing of {}", "a picture of {}")


@dataclass(frozen=True)
class Emoji:
    """Images and what is known of each, in the same order: by style, then by Unicode's order.

    ``images`` is (N, 64, 64, 3), uint8, RGB on white, read-only. ``table`` has N rows with the
    columns ``concept`` (hexcode), ``name``, ``tags`` (joined by ``;``), ``group``, ``subgroup``,
    ``cluster`` (concepts that look alike share it), ``style``, ``split`` (train or test) and
    ``class_index`` (position in ``CLASSES``, -1 for no class).
    """

    images: Pixels
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    def select(self, styles: str | Iterable[str], split: str | None = None) -> Emoji:
        """Return the images of ``styles``, of one ``split`` or of both.

        Raises DatasetError for a style that is not known.
        """
        wanted = [styles] if isinstance(styles, str) else list(styles)
        for style in wanted:
            if style not in STYLES:
                raise DatasetError(f"unknown style {style!r}: {suggestion(style, STYLES)}.")
        keep = self.table["style"].isin(wanted)
        if split is not None:
            keep &= self.table["split"] == split
        return Emoji(self.images[keep.to_numpy()], self.table[keep].reset_index(drop=True))


@functools.cache
def load(path: Path = ARCHIVE) -> Emoji:
    """Read all images and their table; later calls share the cached result.

    Raises DatasetError if the file is missing or damaged.
    """
    every = metadata(path)
    counts = every.groupby("style", sort=False).size()
    with ThreadPoolExecutor(4) as pool:
        sheets = pool.map(_decode, _members(path, *(f"{s}.webp" for s in STYLES)), counts)
        images = np.concatenate(list(sheets))
    images.flags.writeable = False
    return Emoji(images, every)


@functools.cache
def metadata(path: Path = ARCHIVE) -> pd.DataFrame:
    """The table of all images, as `Emoji.table` has it, without reading an image; kept and shared.

    Raises DatasetError if the file is missing or damaged.
    """
    return one_row_per_image(read_table(_members(path, TABLE)[0]))


def _members(path: Path, *names: str) -> list[bytes]:
    """The content of some files in the archive."""
    if not path.is_file():
        raise DatasetError(
            f"{path} does not exist: the emoji come with the repository, so run this in a clone of "
            "it or name one in COMPANION_ROOT (`python data/emoji/make.py` makes them again)."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in names]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError) as error:
        raise DatasetError(f"{path} is damaged ({error}): get it from the repository.") from None


def one_row_per_image(table: pd.DataFrame) -> pd.DataFrame:
    """From the table of concepts (``read_table``) to `Emoji.table`: style after style."""
    rows = pd.concat([table[table[style] != ""].assign(style=style) for style in STYLES])
    index = {name: i for i, name in enumerate(CLASSES)}
    rows["class_index"] = rows["class"].map(index).fillna(-1).astype(int)
    columns = ["concept", "name", "tags", "group", "subgroup", "cluster"]
    columns += ["style", "split", "class_index"]
    return rows[columns].reset_index(drop=True)


@functools.cache
def concepts(least: int = 20) -> tuple[tuple[str, ...], tuple[str, ...], scipy.sparse.csr_array]:
    """Return names, kinds and an (N, C) boolean table: which image shows which concept.

    Rows are those of ``load()``. Kinds, in this order: ``tag`` and ``subgroup`` from the emoji's
    annotations, ``colour`` and ``texture`` computed from each image. A name may occur as more than
    one kind. Only concepts of at least ``least`` images.
    """
    table = metadata()
    parts: list[tuple[str, Sequence[str], scipy.sparse.csc_array]] = [
        ("tag", *_indicators(table["tags"].str.split(";"))),
        ("subgroup", *_indicators(table["subgroup"].map(lambda subgroup: [subgroup]))),
    ]
    colours, textures = np.split(appearance(), [len(COLOURS)], axis=1)
    parts += [("colour", COLOURS, scipy.sparse.csc_array(colours))]
    parts += [("texture", TEXTURES, scipy.sparse.csc_array(textures))]
    names, kinds = zip(*((name, kind) for kind, some, _ in parts for name in some), strict=True)
    matrix = scipy.sparse.hstack([part for _, _, part in parts], format="csc")
    keep = np.flatnonzero(np.diff(matrix.indptr) >= least)
    rows = scipy.sparse.csr_array(matrix[:, keep])
    return tuple(names[i] for i in keep), tuple(kinds[i] for i in keep), rows


def appearance(path: Path = APPEARANCE) -> npt.NDArray[np.bool_]:
    """Read (N, 21): which colours and textures (``data/emoji/appearance.py``) each image has."""
    if sha256_of(path) != APPEARANCE_SHA256:
        raise DatasetError(
            f"{path.name} is not what is expected (its sha256 differs): get it from the "
            "repository; if you made it again, put its sha256 into companion/sources/emoji.py."
        )
    packed = np.load(path, allow_pickle=False)
    return np.unpackbits(packed, axis=1, count=len(COLOURS) + len(TEXTURES)).astype(bool)


def sizes(emoji: Emoji) -> pd.DataFrame:
    """Return how many images each class (row) has by style and split (columns), as in the README.

    Images of no class are in the last row, ``(no class)``.
    """
    names = emoji.table["class_index"].map(lambda i: CLASSES[i] if i >= 0 else "(no class)")
    keys = [emoji.table["style"], emoji.table["split"]]
    counts = pd.crosstab(names, keys).rename_axis(index="class")
    order = [name for name in (*CLASSES, "(no class)") if name in counts.index]
    columns = [(s, part) for s in STYLES for part in ("train", "test") if (s, part) in counts]
    return counts.loc[order][columns]


def read_table(content: bytes) -> pd.DataFrame:
    """Parse ``concepts.csv``: one row per concept; a style's column names its icon, or is empty."""
    return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)


def from_sheet(sheet: Pixels, count: int) -> Pixels:
    """Return the first ``count`` images of a style's sheet, which has 40 in a row."""
    rows = -(-count // SHEET_COLUMNS)
    grid = sheet.reshape(rows, SIZE, SHEET_COLUMNS, SIZE, 3).swapaxes(1, 2)
    return grid.reshape(rows * SHEET_COLUMNS, SIZE, SIZE, 3)[:count]


def _decode(content: bytes, count: int) -> Pixels:
    """Return the images of a style's sheet."""
    with Image.open(io.BytesIO(content)) as sheet:
        return from_sheet(np.asarray(sheet.convert("RGB")), count)


def _indicators(labels: pd.Series) -> tuple[list[str], scipy.sparse.csc_array]:
    """Return the distinct labels, sorted, and an (N, C) table of which row has which."""
    long = labels.reset_index(drop=True).explode()
    long = long[long.notna() & (long != "")]
    codes, names = pd.factorize(long, sort=True)
    flags = np.ones(len(codes), bool), (long.index.to_numpy(), codes)
    return list(names), scipy.sparse.csc_array(flags, shape=(len(labels), len(names)))


def pocket(style: str, split: str = "test") -> ImageList:
    """List the emoji of one style and split, named ``<hexcode>/<style>``.

    Raises DatasetError for an unknown style or split.
    """
    some = load().select(style, split)
    return ImageList(
        name=f"pocket-{style}-{split}",
        images=some.images,
        keys=tuple(f"{concept}/{style}" for concept in some.table["concept"]),
        labels=some.table["class_index"].to_numpy(dtype=np.int64),
        classes=CLASSES,
        prompts=pocket_prompts(),
    )


def pocket_prompts() -> Prompts:
    """Return the class names and templates of the pocket models' zero-shot heads."""
    return Prompts(CLASSES, CLASSES, TEMPLATES)
