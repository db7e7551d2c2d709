"""The pocket lab's images: emoji as ten sets of artists drew them, with names, tags and classes.

The same concept in another set is the same content in another style: a natural distribution
shift. ``data/emoji/emoji.zip`` holds everything; its README tells how it is made, by whom the
drawings are and how classes and split were chosen. This module only reads it: no torch.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from analysis.registry import ROOT, suggestion

ARCHIVE = ROOT / "data" / "emoji" / "emoji.zip"
TABLE = "concepts.csv"

#: Edge of every image in pixels; the background is white.
SIZE = 64
#: Images side by side in a style's sheet.
SHEET_COLUMNS = 40
#: A sheet keeps this many bits of each colour channel: its compression is lossless after that.
BITS = 6

#: What each style is for. ``imagenet``: the training distribution. ``seen``: a shift whose style
#: is in both web sets. ``unseen``: a shift whose style no model ever trains on. ``web``: only in
#: a web set.
STYLES: dict[str, Literal["imagenet", "seen", "unseen", "web"]] = {
    "twemoji": "imagenet",
    "noto": "seen",
    "openmoji": "unseen",
    "fluent_flat": "unseen",
    "fluent_high_contrast": "unseen",
    "fxemoji": "unseen",
    "noto_v1": "web",
    "emojione": "web",
    "emojione_v1": "web",
    "emojione_monotone": "web",
}
#: The style that stands for ImageNet, and the five that stand for its distribution shifts.
IMAGENET = "twemoji"
SHIFTS = tuple(style for style, role in STYLES.items() if role in ("seen", "unseen"))
UNSEEN = tuple(style for style, role in STYLES.items() if role == "unseen")
#: Styles of the training sets for CLIP, by name: from one artist's captions to the whole web.
CAPTIONS = {
    "captions": ("twemoji",),
    "web_small": ("twemoji", "noto", "noto_v1"),
    "web_large": ("twemoji", "noto", "noto_v1", "emojione", "emojione_v1", "emojione_monotone"),
}
WEB_SMALL = CAPTIONS["web_small"]
WEB_LARGE = CAPTIONS["web_large"]

#: Classes, each a subgroup of the Unicode emoji ordering or several. What is in none of them has
#: ``class_index`` -1: captions may train on it, no classifier sees it.
SUBGROUPS: dict[str, tuple[str, ...]] = {
    "smiling face": ("face-smiling", "face-affection", "face-tongue"),
    "unhappy face": ("face-concerned", "face-negative", "face-unwell"),
    "heart": ("heart",),
    "hand": (
        *("hand-fingers-open", "hand-fingers-partial", "hand-single-finger"),
        *("hand-fingers-closed", "hands", "hand-prop"),
    ),
    "person": ("person", "person-role", "person-fantasy"),
    "athlete": ("person-sport",),
    "mammal": ("animal-mammal",),
    "bird": ("animal-bird",),
    "sea animal": ("animal-marine",),
    "insect": ("animal-bug",),
    "plant": ("plant-flower", "plant-other"),
    "fruit or vegetable": ("food-fruit", "food-vegetable"),
    "dish": ("food-prepared", "food-asian"),
    "dessert": ("food-sweet",),
    "drink": ("drink",),
    "building": ("place-building", "place-religious"),
    "place": ("place-map", "place-geographic", "place-other"),
    "land vehicle": ("transport-ground",),
    "aircraft": ("transport-air",),
    "sky": ("sky-weather",),
    "clothing": ("clothing",),
    "music": ("sound", "music", "musical-instrument"),
    "electronic device": ("phone", "computer", "light-video"),
    "book or letter": ("book-paper", "mail"),
    "office supply": ("office", "writing"),
    "tool": ("tool",),
    "sport": ("sport",),
    "game": ("game",),
    "celebration": ("event",),
    "lettering": ("alphanum",),
    "arrow": ("arrow",),
    "media button": ("av-symbol",),
    "traffic sign": ("transport-sign", "warning"),
    "zodiac sign": ("zodiac",),
}
CLASSES = tuple(SUBGROUPS)

Images = npt.NDArray[np.uint8]


class EmojiError(ValueError):
    """The emoji file, or a question to it, is wrong; the message says how."""


@dataclass(frozen=True)
class Emoji:
    """Images and what is known of each, in the same order: by style, then by Unicode's order.

    ``images`` is (N, 64, 64, 3), uint8, RGB on white, read-only. ``table`` has N rows with the
    columns ``concept`` (hexcode), ``name``, ``tags`` (joined by ``;``), ``group``, ``subgroup``,
    ``cluster`` (concepts that look alike share it), ``style``, ``split`` (train or test) and
    ``class_index`` (position in ``CLASSES``, -1 for no class).
    """

    images: Images
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    def select(
        self, styles: str | Iterable[str], split: str | None = None, classes: bool = False
    ) -> Emoji:
        """Return the images of ``styles``, of one ``split`` or both, if asked only with a class."""
        wanted = [styles] if isinstance(styles, str) else list(styles)
        for style in wanted:
            _known(style, STYLES, "style")
        keep = self.table["style"].isin(wanted)
        if split is not None:
            _known(split, ("train", "test"), "split")
            keep &= self.table["split"] == split
        if classes:
            keep &= self.table["class_index"] >= 0
        return Emoji(self.images[keep.to_numpy()], self.table[keep].reset_index(drop=True))


@functools.cache
def load(path: Path = ARCHIVE) -> Emoji:
    """Read all images and their table; the result is kept, and shared by later calls.

    Raises EmojiError if the file is missing or its sheets do not fit its table.
    """
    if not path.is_file():
        raise EmojiError(f"{path} does not exist: run `python data/emoji/make.py`.")
    with zipfile.ZipFile(path) as archive:
        concepts = read_table(archive.read(TABLE))
        sheets = {style: archive.read(f"{style}.webp") for style in STYLES}
    parts = {style: concepts[concepts[style] != ""] for style in STYLES}
    ends = np.cumsum([len(part) for part in parts.values()])
    images = np.empty((ends[-1], SIZE, SIZE, 3), np.uint8)
    targets = np.split(images, ends[:-1])  # views
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_decode, STYLES, sheets.values(), targets))
    images.flags.writeable = False
    table = pd.concat([part.assign(style=style) for style, part in parts.items()])
    index = {name: i for i, name in enumerate(CLASSES)}
    table["class_index"] = table["class"].map(index).fillna(-1).astype(int)
    columns = ["concept", "name", "tags", "group", "subgroup", "cluster"]
    columns += ["style", "split", "class_index"]
    return Emoji(images, table[columns].reset_index(drop=True))


def read_table(content: bytes) -> pd.DataFrame:
    """Parse ``concepts.csv``: one row per concept; a style's column names its icon, or is empty."""
    table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    missing = [style for style in STYLES if style not in table]
    if missing:
        raise EmojiError(f"{TABLE} has no column {missing[0]!r}: rebuild it with make.py.")
    return table


def to_sheet(images: Images) -> Images:
    """Lay (N, 64, 64, 3) images out in rows of 40: (64 · rows, 2560, 3), white where none is."""
    rows = -(-len(images) // SHEET_COLUMNS)
    full = np.full((rows * SHEET_COLUMNS, SIZE, SIZE, 3), 255, np.uint8)
    full[: len(images)] = images
    grid = full.reshape(rows, SHEET_COLUMNS, SIZE, SIZE, 3).swapaxes(1, 2)
    return grid.reshape(rows * SIZE, SHEET_COLUMNS * SIZE, 3)


def from_sheet(sheet: Images, count: int) -> Images:
    """Return the first ``count`` images of a sheet: the inverse of ``to_sheet``."""
    rows = -(-count // SHEET_COLUMNS)
    expected = (rows * SIZE, SHEET_COLUMNS * SIZE, 3)
    if sheet.shape != expected:
        raise EmojiError(f"a sheet of {count} images must be {expected}, this is {sheet.shape}.")
    grid = sheet.reshape(rows, SIZE, SHEET_COLUMNS, SIZE, 3).swapaxes(1, 2)
    return grid.reshape(rows * SHEET_COLUMNS, SIZE, SIZE, 3)[:count]


def _decode(style: str, content: bytes, target: Images) -> None:
    """Fill ``target`` with the images of a style's sheet."""
    with Image.open(io.BytesIO(content)) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    try:
        target[:] = from_sheet(pixels, len(target))
    except EmojiError as error:
        raise EmojiError(f"{style}: {error}") from None


def _known(name: str, known: Iterable[str], what: str) -> None:
    """Raise EmojiError if ``name`` is not among ``known``."""
    names = list(known)
    if name not in names:
        raise EmojiError(f"unknown {what} {name!r}: {suggestion(name, names)}.")
