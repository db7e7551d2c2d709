"""Build the small data files of the teaching notebooks, and the answers that `check` compares with.

    python course/data/make.py           # write them
    python course/data/make.py --check   # compare them with the committed ones
    python course/data/make.py --answers # write the answers alone: after a change to an exercise

Nothing is measured here: each file is a slice of what the book has, with its origin and licence in
``course/lessons/README.md``. An answer is what the code of the exercise's solution prints.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.base.files import write_text
from analysis.base.roots import ROOT
from analysis.families.registry import load_family
from analysis.features import store
from companion.engine import check
from companion.engine.check import SEEDS
from companion.engine.style import without_markup
from companion.measurements import accuracies
from companion.sources.public import fetch

sys.path.insert(0, str(Path(__file__).parent))
from mistakes import MISTAKES

TARGET = ROOT / "course" / "lessons"
TYPES = ROOT / "data" / "published" / "imagenet_testbed_types.csv"
CAPTIONS = Path(__file__).with_name("captions.csv")
ANSWERS, HASHED = ROOT / "companion/engine/answers.json", ROOT / "companion/engine/check.json"
PAGES = [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "book/guide").glob("*.md"))]
#: A value may be off by this share of itself, or by this much: one image of 5,000 is 0.02 points.
#: What is nearly a round number that everybody knows needs three decimals.
SHARE = {"start-1": 0.05, "start-6": 0.002, "directions-2": 0.004, "pruning-2": 0.005}
SHARE |= dict.fromkeys(("outlier-2", "outlier-6", "frame-3", "origin-2"), 0.0015)
#: And this much for a student's own seed, where a bisection or one image in 5,000 decides.
LEAST: dict[str, tuple[float, ...]]
LEAST = dict.fromkeys(("pruning-3", "pruning-4", "pruning-5"), (0.02, 0.02))
LEAST["outlier-3"] = (0, 0.1)
#: What another seed takes the place of.
SEED = "default_rng(0)"
#: An exercise of a page, and the code in its solution.
BOX = re.compile(
    r"^:::\{admonition\} Exercise (?P<label>\S+) · (?P<level>read|compute|design) · "
    r"(?P<minutes>\d+) minutes\n:class: tip exercise\n:name: (?P=label)\n(?P<task>.*?)^:::\n\n"
    r"(?:^:::\{admonition\} Hint\n:class: dropdown hint\n(?P<hint>.*?)\n^:::\n\n)?"
    r"^:::\{admonition\} Solution\n:class: dropdown solution\n(?P<solution>.*?)^:::$",
    re.MULTILINE | re.DOTALL,
)
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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
    """One row for each model that has ImageNet and all five shifts, V2 as matched frequency.

    Last comes the testbed's own type of each of its models.
    """
    table = accuracies.wide(accuracies.load(), "matched_frequency")
    table = table.assign(group=table.apply(group, axis=1), name=table["model"])
    tagged = table["weights"] != ""
    table.loc[tagged, "name"] += " " + table.loc[tagged, "weights"]
    kept = table[(table["group"] != "") & ((table["level"] != "") | (table["group"] == "pool"))]
    types = pd.read_csv(TYPES).set_index("model")["type"]
    kept = kept.assign(type=kept["model"].map(types).where(kept["group"] == "pool"))
    columns = ["group", "name", "imagenet", *accuracies.FIVE_SHIFTS, "type"]
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


def answers() -> tuple[dict[str, list[float]], dict[str, dict[str, object]]]:
    """Exercise → what its solution prints, and → what `check` needs: hashes, hint, typical errors.

    Solutions are run page by page, in order: each goes on from the one before.
    """
    found: dict[str, list[float]] = {}
    hashed: dict[str, dict[str, object]] = {}
    kept = json.loads(HASHED.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in ("accuracies.csv", "controls.npz", "embeddings.npz", "words.csv"):
            Path(name).symlink_to(TARGET / name)
        Path("data").symlink_to(ROOT / "data")
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            names: dict[str, object] = {}
            for label, hint, program in tasks(text):
                found[label] = rounded(run(program, names))
                hashed[label] = to_check(label, hint, found[label], names)
            if any(SEED in exercise.task for exercise in exercises(text)):
                add_seeds(hashed, tasks(text), kept)
    return found, hashed


def to_check(
    label: str, hint: str, values: list[float], names: dict[str, object]
) -> dict[str, object]:
    """What `check` needs of an exercise, for seed 0."""
    of: dict[str, object] = {
        "exact": [type(value) is int for value in values],
        "share": SHARE.get(label, 0.02),
        "hint": without_markup(hint),
    }
    if label in LEAST:
        of["least"] = [*LEAST[label]]
    of["answer"] = check.hashes(label, of, values)
    if label in MISTAKES:
        place, code, reason = MISTAKES[label]
        wrong = float(np.ravel(eval(code, names))[0])
        of["mistake"] = mistake(label, place - 1, wrong, values, reason)
    return of


def mistake(
    label: str, place: int, wrong: float, values: list[float], reason: str
) -> dict[str, object]:
    """A typical error, which no value is taken for that is nearer to the answer.

    Raises ValueError if the error gives the answer.
    """
    apart = abs(values[place] - wrong) / 2
    if apart == 0:
        raise ValueError(f"{label}, value {place + 1}: an error gives the answer itself: {reason}")
    share = float(f"{min(0.02, apart / max(abs(wrong), 1e-12)):.2g}")
    return {
        "place": place,
        "share": share,
        "hash": check.hashed(f"{label} {place} mistake", *check.bin_of(wrong, share)),
        "reason": reason,
    }


def add_seeds(
    hashed: dict[str, dict[str, object]],
    boxes: list[tuple[str, str, str]],
    kept: dict[str, dict[str, object]],
) -> None:
    """Add a page's answers by seed, where these differ; as kept if made by the same programs."""
    now = made_from(boxes)
    labels = [label for label, *_ in boxes]
    if not any(kept.get(label, {}).get("made_from") == now for label in labels):
        by_seed = [own_answers(boxes, seed) for seed in range(SEEDS)]
        kept = {
            label: {"seeds": [check.hashes(label, hashed[label], one[label], own=True)
                              for one in by_seed]}
            for label in labels
        }  # fmt: skip
    for label in labels:
        seeds = kept.get(label, {}).get("seeds", [])
        if len({*seeds}) > 1:
            hashed[label] |= {"seeds": seeds, "made_from": now}


def made_from(boxes: list[tuple[str, str, str]]) -> str:
    """Twelve digits that follow from the programs of a page, and from how values are hashed."""
    allowed = [(label, SHARE.get(label), LEAST.get(label)) for label, *_ in boxes]
    how = [SEEDS, check.FOUR_DIGITS, check.LOOSE, check.NEAR, check.FINER, check.DIGITS, allowed]
    programs = "\n".join([*(program for *_, program in boxes), repr(how)])
    return hashlib.sha256(programs.encode()).hexdigest()[:12]


def own_answers(boxes: list[tuple[str, str, str]], seed: int) -> dict[str, list[float]]:
    """Exercise → its values where all generators of its page begin with another seed."""
    names: dict[str, object] = {}
    own = f"default_rng({seed})"
    return {label: rounded(run(code.replace(SEED, own), names)) for label, _, code in boxes}


def rounded(values: list[float]) -> list[float]:
    """To six digits; whole numbers that were counted stay whole."""
    return [v if type(v) is int else float(f"{v:.6g}") for v in values]


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
    each = lambda values: [one for v in values for one in np.ravel(v).tolist()]  # noqa: E731
    names |= {"np": np, "print": lambda *values: printed.extend(each(values))}
    exec(program, names)
    return printed


def as_text(found: dict[str, object]) -> str:
    """As JSON, with a line for each exercise."""
    lines = (
        f" {json.dumps(label)}: {json.dumps(of, ensure_ascii=False)}" for label, of in found.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write or compare; the exit status is 1 if a file differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--answers", action="store_true", help="of the answers alone")
    given = parser.parse_args()
    texts = dict(zip((ANSWERS, HASHED), map(as_text, answers()), strict=True))
    try:
        packed = {} if given.answers else arrays()
    except store.StoreError as error:
        sys.exit(
            f"{error} These features of EfficientNet-Lite0 take a minute: install the extras "
            "`extract` and `test`, which has its weights, and run `companion extract "
            "efficientnet_lite0 --data scikit_image_photographs`. Or do without them: `--answers` "
            "writes or compares the answers alone."
        )
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
