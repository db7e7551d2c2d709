"""Exams by a seed: questions with numbers drawn, and answers that the metrics compute from them.

The wording is in `data/teach/exam.md`, a section for each variant of a question. Here numbers are
drawn, one function for each variant, and what follows from them is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.metrics import basis, directions, outliers, pruning, robustness
from base.files import write_text
from base.roots import ROOT
from companion.course import sheet
from companion.course.key import CourseError

PAGE = ROOT / "data" / "teach" / "exam.md"
SECTION = re.compile(
    r"^## (\d) · ([^\n]+) · (\d+) points\n\n(.*?)\n\n### Answer\n\n(.*?)(?=\n## |\Z)", re.M | re.S
)
MINUTES = 90
Fields = dict[str, Any]
Generator = np.random.Generator


class Question(NamedTuple):
    """A variant of a question, with fields or filled in."""

    number: int
    variant: str
    points: int
    task: str
    answer: str


def variants() -> list[Question]:
    """All variants of all questions, in order, with their fields."""
    found = SECTION.findall(PAGE.read_text(encoding="utf-8"))
    return [Question(int(n), name, int(p), task, answer) for n, name, p, task, answer in found]


def drawn(seed: int) -> list[Question]:
    """The questions of one exam, with the numbers of a seed and their answers."""
    rng, every = np.random.default_rng(seed), variants()
    exam = []
    for number in sorted({one.number for one in every}):
        of = [one for one in every if one.number == number]
        one = of[rng.integers(len(of))]
        texts = {name: shown(value) for name, value in DRAW[one.variant](rng).items()}
        filled = (text.strip().format(**texts) for text in (one.task, one.answer))
        exam.append(one._replace(task=next(filled), answer=next(filled)))
    return exam


def shown(value: Any) -> str:
    """A number as an exam prints it: three digits, with a true minus sign."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, int | np.integer)
    text = f"{int(value):,}" if whole else f"{value:#.3g}".rstrip(".")
    return ("0" if float(value) == 0 else text).replace("-", "−")


def written(seed: int, folder: Path, *, html: bool = False) -> list[Path]:
    """Write an exam and, apart from it, its key, as Markdown or as pages; returns their paths.

    Raises CourseError if a file of that name says something else: it may have been edited.
    """
    exam = drawn(seed)
    total = sum(one.points for one in exam)
    head = f"**{MINUTES} minutes, {total} points. A pocket calculator is allowed.**"
    texts = {f"exam_{seed}.md": f"# Exam\n\n{head}", f"exam_{seed}_key.md": f"# Key, seed {seed}"}
    names = [*texts]
    for one in exam:
        title = f"\n\n## Question {one.number} · {one.points} points\n\n"
        texts[names[0]] += title + one.task
        texts[names[1]] += f"{title}{one.task}\n\n**Answer.** {one.answer}"
    if html:
        texts = {
            f"{name.removesuffix('.md')}.html": sheet.to_print(text, room=name == names[0])
            for name, text in texts.items()
        }
    files = {folder / name: f"{text.rstrip()}\n" for name, text in texts.items()}
    for path, text in files.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise CourseError(f"{path} is there with another text: move it, or name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        write_text(path, text)
    return [*files]


# What is drawn, and what follows from it


def line(rng: Generator) -> Fields:
    """Two models of which another line turns the order around."""
    printed = robustness.PAPER_BASELINE
    while True:
        other = robustness.Baseline(rng.integers(95, 115) / 100, -rng.integers(150, 210) / 100, 1)
        imagenet = rng.integers([62, 74], [73, 85])
        shifted = imagenet - rng.integers([12, 14], [28, 32])
        on = [
            100 * robustness.effective_robustness(shifted / 100, imagenet / 100, each)
            for each in (printed, other)
        ]
        apart = on[0][0] - on[0][1], on[1][0] - on[1][1]
        if apart[0] * apart[1] < 0 and min(map(abs, apart)) > 0.5:
            break
    return {
        "slope": f"{printed.slope:.2f}", "intercept": f"{printed.intercept:.2f}".replace("-", "−"),
        "other_slope": f"{other.slope:.2f}",
        "other_intercept": f"{other.intercept:.2f}".replace("-", "−"),
        "first_imagenet": imagenet[0], "second_imagenet": imagenet[1],
        "first_shifted": shifted[0], "second_shifted": shifted[1],
        "first": on[0][0], "second": on[0][1], "first_other": on[1][0], "second_other": on[1][1],
        "more": "first" if apart[0] > 0 else "second",
        "lower": imagenet.min(), "higher": imagenet.max(),
    }  # fmt: skip


def _kappa(ones: int, width: int, size: float = 1) -> float:
    return float(outliers.kurtosis(size * (np.arange(width) < ones)[None].astype(float))[0])


def indicator_vector(rng: Generator) -> Fields:
    """A vector of two values."""
    width = int(rng.choice([32, 64, 128]))
    ones, size = (int(n) for n in rng.integers([2, 2], [7, 9]))
    half = min(range(1, width), key=lambda count: _kappa(count, width))
    return {"width": width, "ones": ones, "size": size, "kappa": _kappa(ones, width, size),
            "half": half, "least": _kappa(half, width)}  # fmt: skip


def one_component(rng: Generator) -> Fields:
    """The largest kurtosis that there is."""
    width = int(rng.choice([128, 256, 768, 1024, 2048]))
    four = outliers.kurtosis(np.array([[1.0, 1, -1, -1], [5, 3, 5, 3]]))
    assert np.allclose(four, four[0])
    kappa = _kappa(1, width)
    return {"width": width, "kappa": f"{kappa:,.2f}", "excess": f"{kappa - 3:,.2f}",
            "four": round(float(four[0]))}  # fmt: skip


def ranking(rng: Generator) -> Fields:
    """Ranks of positives, and how many orders are as good."""
    positives, negatives = int(rng.integers(2, 4)), int(rng.integers(3, 5))
    every = np.array([*combinations(range(1, positives + negatives + 1), positives)])
    precisions = (np.arange(1, positives + 1) / every).mean(axis=1)
    threshold = float(rng.choice([0.8, 0.85, 0.9]))
    row = int(rng.choice(np.flatnonzero((precisions > 0.6) & (precisions < 1))))
    passing = int((precisions >= threshold).sum())
    directions_ = int(rng.choice([5, 10, 20]))
    chance = passing / len(every)
    words = [str(rank) for rank in every[row]]
    return {
        "positives": positives, "negatives": negatives, "threshold": f"{threshold:g}",
        "ranks": ", ".join(words[:-1]) + f" and {words[-1]}", "precision": precisions[row],
        "passes": "passes" if precisions[row] >= threshold else "does not pass",
        "orders_passing": passing, "orders": len(every), "chance": chance,
        "directions": directions_, "any": 1 - (1 - chance) ** directions_,
    }  # fmt: skip


def _paired(gained: int, lost: int, images: int) -> tuple[float, float]:
    """Difference and half its 95 % interval, in points."""
    whole = np.arange(images) < lost
    pruned = np.arange(images) >= images - gained
    difference, error = pruning.paired_difference(pruned, whole)
    return 100 * float(difference), 196 * float(error)


def _verdict(difference: float, half: float, margin: float) -> str:
    if difference + half < -margin:
        return "The whole interval lies beyond the margin: a cost"
    if difference - half > -margin:
        return "The whole interval lies inside the margin: no cost by this standard"
    return "The interval contains the margin: nothing is decided, more images are needed"


def paired(rng: Generator) -> Fields:
    """A paired difference; with fewer images that change, it decides more."""
    images, margin = int(rng.choice([2000, 3000, 4000, 5000])), int(rng.integers(2, 5))
    while True:
        lost, gained = (int(n) for n in 10 * rng.integers([12, 6], [40, 30]))
        few_gained = int(rng.integers(1, 4)) * 10
        few_lost = few_gained + lost - gained
        difference, half = _paired(gained, lost, images)
        few_half = _paired(few_gained, few_lost, images)[1]
        verdicts = [_verdict(difference, each, margin) for each in (half, few_half)]
        if few_gained < gained < lost and (verdicts[0] != verdicts[1] or rng.random() < 0.02):
            break
    return {
        "images": images, "lost": lost, "gained": gained, "margin": margin,
        "difference": difference, "half": half, "low": difference - half,
        "high": difference + half, "verdict": verdicts[0], "few_lost": few_lost,
        "few_gained": few_gained, "few_half": few_half, "few_verdict": verdicts[1],
    }  # fmt: skip


Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _effects(rng: Generator, change: Change) -> Fields:
    """Which quantities a change of features and head changes, tried on drawn ones."""
    h = rng.normal(size=(400, 16)) + 2 * np.eye(16)[3] + 0.3 * rng.normal(size=16)
    head = rng.normal(size=(10, 16))
    turned, other, bias = change(h, head)

    def found(features: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
        right = scores.argmax(axis=1)
        return {
            "κ": outliers.kurtosis(features),
            "persistence": np.abs(features - features.mean(axis=1, keepdims=True)).argmax(axis=1),
            "the importance of the first direction": directions.importance(features, rows)[0],
            "accuracy": right,
            "effective robustness": right,  # a function of two accuracies
            "the share of energy in the mean": basis.mean_share(features),
        }

    before, after = found(h, head, h @ head.T), found(turned, other, turned @ other.T + bias)
    same = [name for name in before if np.allclose(before[name], after[name])]
    return {
        "changed": ", ".join(name for name in before if name not in same) or "nothing",
        "same": ", ".join(same),
    }


def rotation(rng: Generator) -> Fields:
    """Features and head turned."""
    turn = basis.random_rotation(16, int(rng.integers(1000)))
    return _effects(rng, lambda h, head: (h @ turn, head @ turn, np.zeros(len(head))))


def stretched_coordinates(rng: Generator) -> Fields:
    """Each coordinate has a scale of its own, which the head takes back."""
    factors = rng.uniform(0.5, 3, size=16)
    effects = _effects(rng, lambda h, head: (h * factors, head / factors, np.zeros(len(head))))
    return effects | {"smallest": factors.min(), "largest": factors.max()}


def constant_with_its_bias(rng: Generator) -> Fields:
    """The mean taken out of the features, and put into a bias."""
    return _effects(rng, lambda h, head: (h - h.mean(axis=0), head, head @ h.mean(axis=0)))


def scale_of_the_head(rng: Generator) -> Fields:
    """A logit scale."""
    factor = int(rng.choice([10, 50, 100]))
    effects = _effects(rng, lambda h, head: (h, factor * head, np.zeros(len(head))))
    return effects | {"factor": factor}


def two_groups(rng: Generator) -> Fields:
    """How many models there are of each kind."""
    robust, others = (int(n) for n in rng.integers(5, 12, size=2))
    return {"robust": robust, "others": others, "models": robust + others}


def a_certificate(rng: Generator) -> Fields:
    """Bayes' rule, and a search among candidates."""
    sensitivity, specificity = (int(n) for n in rng.integers([85, 80], [99, 97]))
    one_in, candidates = int(rng.choice([5, 10, 20])), int(rng.integers(3, 9))
    robust, others = (int(n) for n in rng.integers(2, 5, size=2))
    called = sensitivity / one_in
    share = called / (called + (1 - 1 / one_in) * (100 - specificity))
    by_chance = 2 / comb(robust + others, robust)
    return {
        "sensitivity": sensitivity, "specificity": specificity, "one_in": one_in,
        "candidates": candidates, "robust": robust, "others": others, "share": share,
        "found_by_chance": 1 - (1 - by_chance) ** candidates,
    }  # fmt: skip


#: Variant, as its section is called → what draws and computes its fields.
DRAW: dict[str, Callable[[Generator], Fields]] = {
    do.__name__.replace("_", " "): do
    for do in (line, indicator_vector, one_component, ranking, paired, rotation,
               stretched_coordinates, constant_with_its_bias, scale_of_the_head, two_groups,
               a_certificate)
}  # fmt: skip
