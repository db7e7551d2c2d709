"""Concepts of the 500 COCO images with public CLIP embeddings: the words of their captions.

One caption per image, in the embeddings' order; origin, licence and how the order was established
are in ``data/concepts/README.md``. What a caption does not mention may still be in the picture, so
an image without a word is not surely a negative: this lowers scores rather than raises them.
"""

from __future__ import annotations

import csv
import functools
import re
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import sparse

from analysis.common import ROOT
from analysis.images.imagelist import DatasetError

CAPTIONS = ROOT / "data" / "concepts" / "coco_500_captions.csv"
IMAGES = 500
#: Words that say nothing about a picture by themselves.
STOP_WORDS = """
    a an the this that these those there here it its he his she her they them their we you
    i someone something some any all each other another one
    of in on at to into onto by with without for from as than up down out off over under
    above below behind beside between near next through along around across against past
    toward towards inside outside away about
    and or but while when where which who whom what how not no nor so if very just also
    is are was were be been being am has have had do does did can could will would may s t
"""
STOP = frozenset(STOP_WORDS.split())


@functools.cache
def captions(path: Path = CAPTIONS) -> tuple[str, ...]:
    """Return one caption per image, in the order of the embeddings' rows. Raises DatasetError."""
    with path.open(encoding="utf-8", newline="") as file:
        found = tuple(row["caption"] for row in csv.DictReader(file))
    if len(found) != IMAGES:
        raise DatasetError(f"{path.name} has {len(found)} captions, {IMAGES} are expected.")
    return found


def coco_words(least: int = 10) -> tuple[tuple[str, ...], sparse.csr_array]:
    """Return words and a (500, C) boolean table: whose caption has which word.

    Words are runs of the letters a to z in lower case, without those in ``STOP``. A plural in -s or
    -es counts as its singular if the singular also occurs: ``benches`` as ``bench``, but ``people``
    and ``glass`` stay. Only words of at least ``least`` images, in alphabetical order.
    """
    if least < 1:
        raise DatasetError(f"a concept needs at least one image, got least={least}.")
    shown = _singulars([set(re.findall("[a-z]+", text.lower())) - STOP for text in captions()])
    counts = Counter(word for words in shown for word in words)
    names = tuple(sorted(word for word, count in counts.items() if count >= least))
    table = np.array([[name in words for name in names] for words in shown], dtype=bool)
    return names, sparse.csr_array(table.reshape(IMAGES, len(names)))


def _singulars(shown: list[set[str]]) -> list[set[str]]:
    known = set().union(*shown)

    def singular(word: str) -> str:
        for ending in ("s", "es"):
            stem = word.removesuffix(ending)
            if len(stem) > 2 and stem != word and stem in known:
                return stem
        return word

    return [{singular(word) for word in words} for words in shown]
