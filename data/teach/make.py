"""Build the small data files beside the teaching notebooks, `notebooks/teach`.

    python data/teach/make.py           # write them
    python data/teach/make.py --check   # compare them with the committed ones

Nothing is measured here: each file is a slice of what the book has, with its origin and licence in
``notebooks/teach/README.md``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.common import ROOT, write_text
from analysis.features.published import read_array
from analysis.images.public import fetch
from companion.measurements import accuracies

TARGET = ROOT / "notebooks" / "teach"
EMBEDDINGS = TARGET / "embeddings.npz"
CAPTIONS = Path(__file__).with_name("captions.csv")
#: Images that a word must have.
LEAST = 10
#: Words that say nothing about a picture by themselves.
_STOP_WORDS = """
    a an the this that these those there here it its he his she her they them their we you
    i someone something some any all each other another one
    of in on at to into onto by with without for from as than up down out off over under
    above below behind beside between near next through along around across against past
    toward towards inside outside away about
    and or but while when where which who whom what how not no nor so if very just also
    is are was were be been being am has have had do does did can could will would may s t
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def group(model: pd.Series) -> str:
    """Which part a model plays; empty for those that the notebook leaves out."""
    if model["source"] == "imagenet_testbed":
        return "" if model["kind"] == accuracies.MORE_DATA else "pool"
    return {"open_clip": "zero_shot", "model_soups": "finetuned"}.get(model["source"], "")


def robustness() -> str:
    """One row for each model that has ImageNet and all five shifts, V2 as matched frequency."""
    table = accuracies.wide(accuracies.load(), "matched_frequency")
    table = table.assign(group=table.apply(group, axis=1), name=table["model"])
    tagged = table["weights"] != ""
    table.loc[tagged, "name"] += " " + table.loc[tagged, "weights"]
    kept = table[(table["group"] != "") & ((table["level"] != "") | (table["group"] == "pool"))]
    columns = ["group", "name", "imagenet", *accuracies.FIVE_SHIFTS]
    return kept[columns].to_csv(index=False, float_format="%.4f", lineterminator="\n")


def words() -> str:
    """Which of 500 captions has which word: one row for each image, in the embeddings' order.

    Words are runs of the letters a to z in lower case, without those in ``STOP_WORDS``. A plural in
    -s or -es counts as its singular if the singular also occurs: ``benches`` as ``bench``, but
    ``people`` and ``glass`` stay. In alphabetical order.
    """
    texts = pd.read_csv(CAPTIONS)["caption"]
    shown = singulars([set(re.findall("[a-z]+", text.lower())) - STOP_WORDS for text in texts])
    counts = Counter(word for words in shown for word in words)
    names = sorted(word for word, count in counts.items() if count >= LEAST)
    table = pd.DataFrame([[int(name in words) for name in names] for words in shown], columns=names)
    return table.to_csv(index=False, lineterminator="\n")


def singulars(shown: list[set[str]]) -> list[set[str]]:
    """The words of each caption, plurals as their singulars where these occur."""
    known = set().union(*shown)

    def singular(word: str) -> str:
        for ending in ("s", "es"):
            stem = word.removesuffix(ending)
            if len(stem) > 2 and stem != word and stem in known:
                return stem
        return word

    return [{singular(word) for word in words} for words in shown]


def embeddings() -> dict[str, np.ndarray]:
    """500 images and a caption of each, (500, 512), in half precision."""
    both = np.asarray(read_array(fetch("Modality-Gap/features_clip.npy")))
    images, captions = both.astype(np.float16)
    return {"images": images, "captions": captions}


def main() -> int:
    """Write or compare; the exit status is 1 if a file differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    texts, arrays = {"accuracies.csv": robustness(), "words.csv": words()}, embeddings()
    if not check:
        for name, text in texts.items():
            write_text(TARGET / name, text)
        np.savez_compressed(EMBEDDINGS, **arrays)
        return 0
    wrong = [n for n, text in texts.items() if (TARGET / n).read_text("utf-8") != text]
    with np.load(EMBEDDINGS) as kept:
        if sorted(kept) != sorted(arrays) or any((kept[n] != arrays[n]).any() for n in arrays):
            wrong.append(EMBEDDINGS.name)
    print(f"differs: {', '.join(wrong)}" if wrong else "all files are as built")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
