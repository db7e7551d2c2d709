"""Is it right? `check("outlier-2", 2.993)` says whether values answer an exercise, or hints.

Needs NumPy and `check.json` in the same folder: for each exercise the values that its seed gives,
how far off a value may be (2 % unless the exercise says more), a hint, and values that typical
errors give. `data/teach/make.py` computes them with the code of the solutions.

What was checked is kept in `answers.json`, in the folder where Python runs: label, values, time and
attempts, for whoever grades. If a course gives numbers to its students, `student(4711)` says which
seed is theirs; exercises that draw numbers then have answers of their own, to four digits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

ANSWERS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("check.json").read_text(encoding="utf-8")
)
KEPT = "answers.json"
#: A student's number modulo this is the student's seed.
SEEDS = 20
#: Half of the fourth digit, or a little more; and how near is near.
FOUR_DIGITS, NEAR = 6e-4, 0.05


class ExerciseError(ValueError):
    """There is no such exercise, or it asks for other values."""


class Judged(NamedTuple):
    """Which values are right, and what is said of those that are not."""

    right: list[bool]
    said: list[str]


def check(label: str, *values: ArrayLike | EllipsisType, student: int | None = None) -> bool:
    """Print and return whether these values, in the order asked for, answer an exercise.

    Keeps them in `answers.json`. Raises ExerciseError for an unknown exercise, a wrong number of
    values, a number of a student that is none, and for the exam.
    """
    if any(value is ... for value in values):
        print(f"{label}: put your value in the place of the dots.")
        return False
    kept = _kept()
    number = _number(kept.get("student") if student is None else student)
    given = numbers(label, values)
    found = judged(label, given, number)
    print(*(found.said or [f"{label}: right."]), sep="\n")
    _keep(kept, number, label, given, found.right)
    return all(found.right)


def student(number: int) -> int:
    """Keep a student's number in `answers.json`; returns the seed that it gives, and prints it."""
    _number(number)
    kept = _kept()
    _write(kept | {"student": number})
    seed = number % SEEDS
    print(f"Student {number}: where an exercise says default_rng(0), write default_rng({seed}).")
    return seed


def numbers(label: str, values: Sequence[Any]) -> list[float]:
    """The values as a list; raises ExerciseError if they cannot answer the exercise."""
    if label.startswith("exam-"):
        raise ExerciseError(
            f"{label} is part of the exam: its answer is in the instructors' build."
        )
    if label not in ANSWERS:
        near = get_close_matches(label, ANSWERS, n=1) or sorted(ANSWERS)[:1]
        raise ExerciseError(f"{label!r} has no answer to check. Did you mean {near[0]!r}?")
    try:
        given = np.concatenate([np.ravel(np.asarray(value, float)) for value in (*values, ())])
    except (TypeError, ValueError):
        raise ExerciseError(f"{label}: give numbers, not {values!r}.") from None
    asked = len(ANSWERS[label]["answer"])
    if len(given) != asked:
        raise ExerciseError(f"{label}: expected {asked} value(s), got {len(given)}.")
    return [float(value) for value in given]


def expected(label: str, number: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The values that answer an exercise, and how far off each may be, for a student's number."""
    of = ANSWERS[label]
    answer, within = np.array(of["answer"]), np.array(of["within"])
    if number is None or "seeds" not in of:
        return answer, within
    answer = np.array(of["seeds"][number % SEEDS])
    return answer, np.minimum(within, np.maximum(FOUR_DIGITS * np.abs(answer), of.get("least", 0)))


def judged(label: str, given: Sequence[float], number: int | None = None) -> Judged:
    """Judge values of an exercise, for a student's number or, without one, for seed 0."""
    answer, within = expected(label, number)
    within = within + 1e-9
    values = np.array(given)
    right = np.abs(values - answer) <= within
    orders = np.array([*permutations(values)])
    if not right.all() and (np.abs(orders - answer) <= within).all(axis=1).any():
        return Judged(
            right.tolist(), [f"{label}: not yet. The values are right, but in another order."]
        )
    said = [
        f"{label}, value {place + 1}: not yet. {_reason(label, place, values[place], number)}"
        for place in np.flatnonzero(~right).tolist()
    ]
    return Judged(right.tolist(), said)


def _reason(label: str, place: int, value: float, number: int | None) -> str:
    """The typical error that gives this value, or else the exercise's hint."""
    of = ANSWERS[label]
    answer, within = (float(each[place]) for each in expected(label, number))
    if number is not None and "seeds" in of and abs(value - of["answer"][place]) <= within:
        return f"This is the value of seed 0. Draw with default_rng({number % SEEDS}), your seed."
    for mistake in of.get("mistakes", ()):
        wrong = mistake["value"]
        if mistake["place"] == place and abs(value - wrong) <= min(
            0.02 * abs(wrong) + 1e-12, abs(answer - wrong) / 2
        ):
            return str(mistake["reason"])
    loose = max(within, 0.02 * abs(answer))
    if label.startswith(("outlier-", "frame-", "origin-")) and abs(value + 3 - answer) <= loose:
        return "Did you subtract 3? κ here is the kurtosis, not the excess kurtosis."
    if abs(-value - answer) <= loose < abs(answer):
        return "The sign is wrong: which one is subtracted from which?"
    if abs(value / 100 - answer) <= loose < abs(answer):
        return "This is 100 times the answer. Did you give percent where a fraction is asked for?"
    if abs(value * 100 - answer) <= loose < abs(answer):
        return "This is a hundredth of the answer. Give percent, or percentage points."
    if abs(value - answer) <= NEAR * abs(answer):
        return _near(within, number, "seeds" in of)
    return str(of["hint"])


def _near(within: float, number: int | None, drawn: bool) -> str:
    if within == 0:
        return "Close, but this is a count: it has to be exact."
    digits = "four digits" if number is not None else "three digits (or as many as are asked for)"
    order = ", and draw in the order that the exercise names" if drawn else ""
    return f"Close: give {digits}, round at the end only{order}."


# What is kept


def _number(number: Any) -> int | None:
    if number is not None and (type(number) is not int or number < 0):
        raise ExerciseError(f"A student's number is a whole number such as 4711, not {number!r}.")
    return number


def _kept() -> dict[str, Any]:
    """What `answers.json` has, or nothing if it cannot be read: then it stays as it is."""
    try:
        kept = json.loads(Path(KEPT).read_text(encoding="utf-8"))
        number = kept.get("student")
        if all(type(of) is dict for of in (kept["answers"], *kept["answers"].values())):
            return {"answers": kept["answers"]} | ({} if number is None else {"student": number})
    except FileNotFoundError:
        return {"answers": {}}
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        pass
    print(f"{KEPT} cannot be read, so nothing is kept: rename it, and check again.")
    return {}


def _keep(
    kept: dict[str, Any], number: int | None, label: str, given: list[float], right: list[bool]
) -> None:
    """Note an attempt. The best one stays: the latest of those with the most right values."""
    if "answers" not in kept:
        return
    if number is not None:
        kept["student"] = number
    before = kept["answers"].get(label, {})
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")  # noqa: UP017
    if sum(right) >= sum(before.get("right", ())):
        kept["answers"][label] = {"values": given, "right": right, "time": now}
    kept["answers"][label]["attempts"] = before.get("attempts", 0) + 1
    _write(kept)


def _write(kept: dict[str, Any]) -> None:
    if "answers" not in kept:
        return
    part = Path(f"{KEPT}.part")
    try:
        part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        part.replace(KEPT)
    except OSError as error:
        print(f"{KEPT} cannot be written ({error.strerror}), so nothing is kept.")
