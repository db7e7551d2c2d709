"""Is it right? `check("outlier-2", 2.99)` says whether values answer an exercise, or hints.

Needs NumPy and `check.json` in the same folder: for each exercise the values that its seed gives,
how far off a value may be (2 % unless the exercise says more), a hint, and values that typical
errors give. `data/teach/make.py` computes them with the code of the solutions.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

ANSWERS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("check.json").read_text(encoding="utf-8")
)


class ExerciseError(ValueError):
    """There is no such exercise, or it asks for other values."""


def check(label: str, *values: ArrayLike) -> bool:
    """Print and return whether these values, in the order asked for, answer an exercise.

    Raises ExerciseError for an unknown exercise, a wrong number of values, and for the exam.
    """
    if label.startswith("exam-"):
        raise ExerciseError(
            f"{label} is part of the exam: its answer is in the instructors' build."
        )
    if label not in ANSWERS:
        near = get_close_matches(label, ANSWERS, n=1) or sorted(ANSWERS)[:1]
        raise ExerciseError(f"{label!r} has no answer to check. Did you mean {near[0]!r}?")
    answer, within = (np.array(ANSWERS[label][name]) for name in ("answer", "within"))
    try:
        given = np.concatenate([np.ravel(np.asarray(value, float)) for value in (*values, ())])
    except (TypeError, ValueError):
        raise ExerciseError(f"{label}: give numbers, not {values!r}.") from None
    if len(given) != len(answer):
        raise ExerciseError(f"{label}: expected {len(answer)} value(s), got {len(given)}.")
    right = np.abs(given - answer) <= within
    orders = np.array([*permutations(given)])
    if not right.all() and (np.abs(orders - answer) <= within).all(axis=1).any():
        print(f"{label}: not yet. The values are right, but in another order.")
        return False
    for place in np.flatnonzero(~right).tolist():
        print(f"{label}, value {place + 1}: not yet. {_reason(label, place, given[place])}")
    if right.all():
        print(f"{label}: right.")
    return bool(right.all())


def _reason(label: str, place: int, value: float) -> str:
    """The typical error that gives this value, or else the exercise's hint."""
    of = ANSWERS[label]
    answer, within = of["answer"][place], of["within"][place]
    for mistake in of.get("mistakes", ()):
        off = abs(value - mistake["value"])
        if mistake["place"] == place and off <= 0.02 * abs(mistake["value"]):
            return str(mistake["reason"])
    if label.startswith(("outlier-", "frame-", "origin-")) and abs(value + 3 - answer) <= within:
        return "Did you subtract 3? κ here is the kurtosis, not the excess kurtosis."
    if abs(value / 100 - answer) <= within < abs(answer):
        return "This is 100 times the answer. Did you give percent where a fraction is asked for?"
    if abs(value * 100 - answer) <= within < abs(answer):
        return "This is a hundredth of the answer. Give percent, or percentage points."
    return str(of["hint"])
