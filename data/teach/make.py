"""Build the small data files of the teaching notebooks, and the answers that `check` compares with.

    python data/teach/make.py           # write them
    python data/teach/make.py --check   # compare them with the committed ones
    python data/teach/make.py --answers # write the answers alone: after a change to an exercise

Nothing is measured here: each file is a slice of what the book has, with its origin and licence in
``notebooks/teach/README.md``. An answer is what the code of the exercise's solution prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.features import store
from analysis.files import write_text
from analysis.images.public import fetch
from analysis.roots import ROOT
from companion.measurements import accuracies
from results.style import without_markup

TARGET = ROOT / "notebooks" / "teach"
CAPTIONS = Path(__file__).with_name("captions.csv")
ANSWERS = ROOT / "results/check.json"
PAGES = [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "book/guide").glob("*.md"))]
#: A value may be off by this share of itself, or by this much: one image of 5,000 is 0.02 points.
SHARE = {"start-1": 0.05}
LEAST = {"pruning-3": 0.02, "pruning-4": 0.02, "pruning-5": 0.02, "outlier-3": 0.1}
#: An exercise of a page, and the code in its solution.
BOX = re.compile(
    r"^:::\{admonition\} Exercise (?P<label>\S+) · (?P<level>read|compute|design) · "
    r"(?P<minutes>\d+) minutes\n:class: tip exercise\n:name: (?P=label)\n(?P<task>.*?)^:::\n\n"
    r"(?:^:::\{admonition\} Hint\n:class: dropdown hint\n(?P<hint>.*?)\n^:::\n\n)?"
    r"^:::\{admonition\} Solution\n:class: dropdown solution\n(?P<solution>.*?)^:::$",
    re.MULTILINE | re.DOTALL,
)
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Typical errors: value, the code of the error, which runs after the solution's, and its name.
MISTAKES = {
    "robustness-2": [(1, "-1.49 + 0.76 * np.log(0.6 / 0.4)",
        "This is a logit. Turn it back into an accuracy: 1 / (1 + exp(−logit)).")],
    "robustness-3": [(1, "100 * (np.log(0.6 / 0.4) * (1 - 0.76) + 1.49)",
        "This is a difference of logits. ER is a difference of accuracies.")],
    "robustness-4": [
        (1, "100 * (table[:, 1:] - line(table[:, 1:]))[names == 'ViT-L-14 openai'].mean()",
        "Evaluate the line at the accuracy on ImageNet, not at those on the shifts.")],
    "outlier-3": [(1, "((h + 10 * seventh) ** 4).mean()",
        "Standardise each vector first: subtract its mean, divide by its standard deviation."),
        (1, "kurtosis((h + 10 * seventh).T)",
        "Take κ over the components of each vector, not over the vectors.")],
    "outlier-4": [(1, "(np.maximum(h, 0) ** 4).mean()",
        "Standardise each vector first: subtract its mean, divide by its standard deviation.")],
    "outlier-5": [(2, "(h.argmax(1) == 7).mean()",
        "This is the share of coordinate 7. Which coordinate is dominant most often?")],
    "pruning-3": [(1, "np.mean([lost(*one, by_importance(*one)[-7:]) for one in models])",
        "You kept the least important directions. Sort in descending order.")],
    "concepts-5": [(1, "1000 * by_chance(10)",
        "Probabilities of events that can happen together do not add up.")],
    "indicators-4": [(1, "0.95", "This is how many robust models are called robust. The question "
        "is how many models that are called robust are.")],
    "indicators-5": [(1, "1 / comb(6, 3)", "Count both directions.")],
    "lab-5": [(1, "1 / 216", "Any of the six orders will do, as long as all seeds agree.")],
    "probe-5": [(1, "n / (1 + m * r)", "The design effect has m − 1: an image is not its own "
        "neighbour.")],
}  # fmt: skip
#: Images that a word must have.
LEAST_IMAGES = 10
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
    names = sorted(word for word, count in counts.items() if count >= LEAST_IMAGES)
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


def arrays() -> dict[str, dict[str, np.ndarray]]:
    """File → its arrays in half precision: 500 images and a caption of each, and two controls.

    The supervised control is read from the store, where this command puts it:
    `companion extract efficientnet_lite0 --data scikit_image_photographs`.
    """
    both = np.load(fetch("Modality-Gap/features_clip.npy"))
    images, captions = both.astype(np.float16)
    random, _ = np.load(fetch("Modality-Gap/features_clip_random.npy"))
    (model,) = load_family("efficientnet_lite0").models
    place = store.features_path(model.name, "scikit_image_photographs")
    supervised = store.read_features(place, model).features
    return {
        "embeddings.npz": {"images": images, "captions": captions},
        "controls.npz": {
            "random": random.astype(np.float16),
            "supervised": np.asarray(supervised).astype(np.float16),
        },
    }


def answers() -> dict[str, dict[str, object]]:
    """Exercise → what its solution prints, how far off a value may be, its hint, typical errors.

    Solutions are run page by page, in order: each goes on from the one before.
    """
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("accuracies.csv").symlink_to(TARGET / "accuracies.csv")
        Path("data").symlink_to(ROOT / "data")
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            names: dict[str, object] = {}
            for label, hint, program in tasks(text):
                printed = run(program, names)
                share, least = SHARE.get(label, 0.02), LEAST.get(label, 1e-9)
                found[label] = {
                    "answer": [float(f"{v:.6g}") for v in printed],
                    "within": [float(f"{max(share * abs(v), least):.3g}") for v in printed],
                    "hint": without_markup(hint),
                }
                if label in MISTAKES:
                    found[label]["mistakes"] = [
                        {"place": place - 1, "value": float(f"{eval(code, names):.6g}"),
                         "reason": reason}
                        for place, code, reason in MISTAKES[label]
                    ]  # fmt: skip
    return found


class Exercise(NamedTuple):
    """An exercise with what is folded below it; not every one has a hint."""

    label: str
    level: str
    minutes: str
    task: str
    hint: str | None
    solution: str

    @property
    def program(self) -> str:
        """The code of the solution."""
        return "\n".join(PROGRAM.findall(self.solution))


def exercises(page: str) -> list[Exercise]:
    """The exercises of a page's text, in order.

    Raises ValueError if one lacks a part that every exercise has.
    """
    boxes = [Exercise(**box.groupdict()) for box in BOX.finditer(page)]
    if len(boxes) != page.count("{admonition} Exercise"):
        labels = [exercise.label for exercise in boxes]
        raise ValueError(f"an exercise lacks a level, minutes, a name or a solution; not: {labels}")
    return boxes


def tasks(page: str) -> list[tuple[str, str, str]]:
    """Label, hint and program of the exercises and the exam's questions that show an answer."""
    boxes = [(one.label, one.hint or "", one.solution) for one in exercises(page)]
    answer = r"\{admonition\} Answer\n:class: dropdown instructor\n(.*?)^:::$"
    exam = re.findall(answer, page, re.MULTILINE | re.DOTALL)
    boxes += [(f"exam-{number}", "", text) for number, text in enumerate(exam, 1)]
    return [
        (label, hint, "\n".join(PROGRAM.findall(text)))
        for label, hint, text in boxes
        if "{answer}" in text
    ]


def run(program: str, names: dict[str, object]) -> list[float]:
    """All numbers that a program prints, in order; it goes on from `names` and adds to them."""
    printed: list[float] = []
    names |= {"np": np, "print": lambda *values: printed.extend(np.hstack(values).tolist())}
    exec(program, names)
    return printed


def main() -> int:
    """Write or compare; the exit status is 1 if a file differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--answers", action="store_true", help="of the answers alone")
    given = parser.parse_args()
    texts = {ANSWERS: json.dumps(answers(), indent=1, ensure_ascii=False) + "\n"}
    packed = {} if given.answers else arrays()
    if not given.answers:
        texts |= {TARGET / "accuracies.csv": robustness(), TARGET / "words.csv": words()}
    if not given.check:
        for path, text in texts.items():
            write_text(path, text)
        for name, own in packed.items():
            np.savez_compressed(TARGET / name, **own)
        return 0
    wrong = [path.name for path, text in texts.items() if path.read_text("utf-8") != text]
    for name, own in packed.items():
        with np.load(TARGET / name) as kept:
            if sorted(kept) != sorted(own) or any(
                not np.allclose(kept[n], own[n], rtol=2e-3, atol=1e-5) for n in own
            ):
                wrong.append(name)
    print(f"differs: {', '.join(wrong)}" if wrong else "all files are as built")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
