"""Exams by a seed: questions with numbers drawn, and answers that the metrics compute from them.

The wording is in `course/data/exam.md`, a section for each variant of a question. Here numbers are
drawn, one function for each variant, and what follows from them is computed.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.base.files import replaced, write_text
from analysis.base.roots import ROOT
from analysis.metrics import basis, directions, outliers, pruning, robustness
from companion.course import sheet
from companion.course.key import CourseError

PAGE = ROOT / "course" / "data" / "exam.md"
SECTION = re.compile(
    r"^## (\d) · ([^\n]+) · (\d+) points\n\n(.*?)\n\n### Answer\n\n(.*?)(?=\n## |\Z)", re.M | re.S
)
#: A figure in a task, by the accuracies of its models.
FIGURE = re.compile(r"\[\[figure ([\d. ]+)\]\]")
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


def with_figures(text: str, seed: int, *, inline: bool) -> tuple[str, dict[str, bytes]]:
    """A sheet's text with its figures, as data in it or as files by name, PNG."""
    files: dict[str, bytes] = {}

    def placed(found: re.Match[str]) -> str:
        png = figure(tuple(float(one) for one in found[1].split()))
        name = f"exam_{seed}.png"
        if inline:
            return f"![A figure](data:image/png;base64,{base64.b64encode(png).decode()})"
        files[name] = png
        return f"![A figure]({name})"

    return FIGURE.sub(placed, text), files


def figure(points: tuple[float, ...]) -> bytes:
    """Three models, A to C, and the paper's line, both axes as logits, as PNG.

    ``points``: accuracies in percent, on ImageNet and under shift, model by model.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def logit(percent: Any) -> Any:
        return np.log(np.asarray(percent) / (100 - np.asarray(percent)))

    drawing = Figure(figsize=(5.2, 4), layout="constrained")
    axes, ticks, x = FigureCanvasAgg(drawing).figure.add_subplot(), np.arange(20, 91, 10), [50, 90]
    line_ = robustness.PAPER_BASELINE
    axes.plot(logit(x), line_.slope * logit(x) + line_.intercept, color="black")
    for name, here, there in zip("ABC", points[::2], points[1::2], strict=True):
        axes.plot(logit(here), logit(there), "o", color="black")
        axes.annotate(name, (logit(here), logit(there)), xytext=(6, 4), textcoords="offset points")
    axes.set(xlabel="ImageNet, %", ylabel="mean under shift, %", xlim=logit(x))
    axes.set_ylim(*logit([20, 85]))
    axes.set_xticks(logit(ticks[3:]), ticks[3:].tolist())
    axes.set_yticks(logit(ticks[:-1]), ticks[:-1].tolist())
    axes.grid(color="0.85")
    kept = io.BytesIO()
    drawing.savefig(kept, format="png", dpi=110, metadata={"Software": None})
    return kept.getvalue()


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
    pictures: dict[str, bytes] = {}
    for name in names:
        texts[name], found = with_figures(texts[name], seed, inline=html)
        pictures |= found
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
    for name, picture in pictures.items():
        with replaced(folder / name) as part:
            part.write_bytes(picture)
    return [*files, *(folder / name for name in pictures)]


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


def three_models(rng: Generator) -> Fields:
    """A figure to read: two models of equal accuracy without shift, and a third one on the line."""
    printed = robustness.PAPER_BASELINE
    while True:
        here, third = int(rng.integers(60, 72)), int(rng.integers(82, 90))
        line_, on = 100 * robustness.expected(np.array([here, third]) / 100, printed)
        shifted = [round(line_ + rng.uniform(6, 12)), round(line_ + rng.uniform(-6, 3))]
        er = [float(y - line_) for y in shifted]
        if er[0] - max(er[1], 0) > 4 and abs(er[1]) > 0.5 and on - shifted[0] > 3:
            break
    points = f"{here} {shifted[0]} {here} {shifted[1]} {third} {on:.4f}"
    return {
        "figure": f"[[figure {points}]]", "here": here, "third": third, "third_shifted": float(on),
        "first": er[0], "second": er[1], "between": shifted[0] - shifted[1],
    }  # fmt: skip


def back_through_the_logit(rng: Generator) -> Fields:
    """A point of the line by hand, and a difference of logits, which is no effective robustness."""
    expected = shifted = 0.0
    while abs(shifted - expected) < 2:
        slope, intercept = rng.integers(70, 95) / 100, -rng.integers(100, 180) / 100
        imagenet, shifted = int(rng.integers(60, 85)), int(rng.integers(40, 60))
        line_ = robustness.Baseline(slope, intercept, 1)
        expected = 100 * float(robustness.expected(imagenet / 100, line_))
    logits = math.log(shifted / (100 - shifted)) - (
        slope * math.log(imagenet / (100 - imagenet)) + intercept
    )
    return {
        "slope": f"{slope:.2f}", "intercept": f"{intercept:.2f}".replace("-", "−"),
        "imagenet": imagenet, "shifted": shifted, "expected": expected, "er": shifted - expected,
        "logits": logits, "sign": "above" if shifted > expected else "below",
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
    chance = passing / len(every)
    directions_ = int(rng.choice([n for n in (5, 10, 20) if 1 - (1 - chance) ** n < 0.99]))
    words = [str(rank) for rank in every[row]]
    return {
        "positives": positives, "negatives": negatives, "threshold": f"{threshold:g}",
        "ranks": ", ".join(words[:-1]) + f" and {words[-1]}", "precision": precisions[row],
        "passes": "passes" if precisions[row] >= threshold else "does not pass",
        "orders_passing": passing, "orders": len(every), "chance": chance,
        "directions": directions_, "any": 1 - (1 - chance) ** directions_,
    }  # fmt: skip


def _orders(positives: int, negatives: int) -> np.ndarray:
    """The average precision of every order of positives and negatives."""
    every = np.array([*combinations(range(1, positives + negatives + 1), positives)])
    return np.asarray((np.arange(1, positives + 1) / every).mean(axis=1))


def a_count_of_concepts(rng: Generator) -> Fields:
    """How many words a head would encode by chance."""
    some = expected = 0.0
    while not (0.05 < some < 0.6 and expected > 10):  # chance counts some words, and leaves others
        positives, threshold = int(rng.integers(3, 6)), float(rng.choice([0.85, 0.9, 0.95]))
        precisions = _orders(positives, positives)
        passing = int((precisions >= threshold - 1e-12).sum())
        chance, directions_ = passing / len(precisions), int(rng.choice([10, 20, 50]))
        some, words = 1 - (1 - chance) ** directions_, int(rng.choice([60, 120, 200]))
        expected = words * some
    found = round(expected * float(rng.uniform(1.2, 1.6)))
    return {
        "positives": positives, "threshold": f"{threshold:g}", "orders_passing": passing,
        "orders": len(precisions), "chance": chance, "directions": directions_, "any": some,
        "words": words, "expected": expected, "found": found, "excess": found - expected,
    }  # fmt: skip


def both_signs(rng: Generator) -> Fields:
    """A direction and its opposite: the better of the two."""
    positives, negatives = int(rng.integers(2, 4)), int(rng.integers(3, 5))
    size, threshold = positives + negatives, float(rng.choice([0.8, 0.85, 0.9]))
    every = np.array([*combinations(range(1, size + 1), positives)])
    one, turned = (
        (np.arange(1, positives + 1) / np.sort(ranks, axis=1)).mean(axis=1)
        for ranks in (every, size + 1 - every)
    )
    row = int(rng.choice(np.flatnonzero(turned > one)))
    passing = int((np.maximum(one, turned) >= threshold - 1e-12).sum())
    words = [str(rank) for rank in every[row]]
    return {
        "positives": positives, "negatives": negatives, "threshold": f"{threshold:g}",
        "ranks": ", ".join(words[:-1]) + f" and {words[-1]}", "one": one[row],
        "turned": turned[row], "orders_passing": passing, "orders": len(every),
        "chance": passing / len(every), "alone": float((one >= threshold - 1e-12).mean()),
    }  # fmt: skip


def _paired(gained: int, lost: int, images: int) -> tuple[float, float]:
    """Difference and half its 95 % interval, in points."""
    whole = np.arange(images) < lost
    pruned = np.arange(images) >= images - gained
    difference, error = pruning.paired_difference(pruned, whole)
    return 100 * float(difference), 196 * float(error)


def _verdict(difference: float, half: float, margin: float) -> str:
    low, high = difference - half, difference + half
    if high < -margin:
        return "The whole interval lies beyond the margin: a cost"
    loss = "a loss is established, since the interval excludes zero"
    if low > -margin:
        inside = "The whole interval lies inside the margin: no cost by this standard"
        return f"{inside}, although {loss}" if high < 0 else inside
    if high < 0:
        return f"The interval contains the margin: {loss}; whether it exceeds the margin is open"
    return "The interval contains the margin and zero: nothing is decided, more images are needed"


def _clear(difference: float, halves: tuple[float, ...], margin: float) -> bool:
    """Is no end of an interval so near to the margin or to zero that rounding decides?"""
    ends = [difference + sign * half for half in halves for sign in (-1, 1)]
    near = [*(end + margin for end in ends), *ends, difference + margin]
    return min(map(abs, near)) > 0.1


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
        told_apart = few_gained < gained < lost and verdicts[0] != verdicts[1]
        if told_apart and _clear(difference, (half, few_half), margin):
            break
    return {
        "images": images, "lost": lost, "gained": gained, "margin": margin,
        "difference": difference, "half": half, "low": difference - half,
        "high": difference + half, "verdict": verdicts[0], "few_lost": few_lost,
        "few_gained": few_gained, "few_half": few_half, "few_verdict": verdicts[1],
    }  # fmt: skip


def how_many_images(rng: Generator) -> Fields:
    """The images with which a paired interval is as narrow as a margin asks."""
    margin = int(rng.integers(1, 4))
    gained, lost = (float(n) for n in rng.integers([2, 6], [6, 11]))
    changed, difference = (gained + lost) / 100, (gained - lost) / 100
    variance = changed - difference**2
    needed = 1.96**2 * variance / (margin / 100) ** 2
    unpaired = int(rng.integers(55, 76)) / 100
    apart = 1.96**2 * 2 * unpaired * (1 - unpaired) / (margin / 100) ** 2
    return {
        "margin": margin, "gained": int(gained), "lost": int(lost),
        "difference": 100 * difference, "needed": math.ceil(needed),
        "accuracy": round(100 * unpaired), "apart": math.ceil(apart), "times": apart / needed,
    }  # fmt: skip


def two_intervals(rng: Generator) -> Fields:
    """The same difference with an interval for two samples, and with that of pairs."""
    while True:
        images, margin = int(rng.choice([1000, 2000, 4000])), int(rng.integers(2, 5))
        whole = int(rng.integers(55, 75)) * images // 100
        lost, gained = (int(n) for n in rng.integers([20, 10], [90, 60]) * images // 1000)
        difference, half = _paired(gained, lost, images)
        shares = np.array([whole, whole + gained - lost]) / images
        apart = 196 * float(np.sqrt((shares * (1 - shares)).sum() / images))
        verdicts = [_verdict(difference, each, margin) for each in (apart, half)]
        if (
            lost > gained
            and verdicts[0] != verdicts[1]
            and _clear(difference, (half, apart), margin)
        ):
            break
    return {
        "images": images, "margin": margin, "whole": whole, "pruned": whole + gained - lost,
        "lost": lost, "gained": gained, "difference": difference, "apart": apart, "half": half,
        "apart_verdict": verdicts[0], "verdict": verdicts[1],
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
    "line": line,
    "three models": three_models,
    "back through the logit": back_through_the_logit,
    "indicator vector": indicator_vector,
    "one component": one_component,
    "ranking": ranking,
    "a count of concepts": a_count_of_concepts,
    "both signs": both_signs,
    "paired": paired,
    "how many images": how_many_images,
    "two intervals": two_intervals,
    "rotation": rotation,
    "stretched coordinates": stretched_coordinates,
    "constant with its bias": constant_with_its_bias,
    "scale of the head": scale_of_the_head,
    "two groups": two_groups,
    "a certificate": a_certificate,
}
