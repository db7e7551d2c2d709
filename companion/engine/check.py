"""Is it right? `check("outlier-2", 2.993)` says whether values answer an exercise, or hints.

Needs NumPy and `check.json` in the same folder: for each exercise hashes of the values that its
seed gives, how far off a value may be (2 % unless the exercise says more), a hint, and hashes of
what typical errors give. `course/data/make.py` computes them with the code of the solutions. Hashes
hide values from a glance, and not from somebody who tries all numbers.

What was checked is kept in `answers.json`, in the folder where Python runs: label, values, the code
of the cell, time and attempts, for whoever grades; `say("outlier-7", "Because …")` adds an answer
in words. If a course gives numbers to its students, `student(4711)` says which seed is theirs;
exercises that draw numbers then have answers of their own, to four digits.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from difflib import get_close_matches
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

HASHED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("check.json").read_text(encoding="utf-8")
)
KEPT = "answers.json"
#: Letters of an answer in words, and of a cell's code.
LONGEST = 10_000
#: A student's number modulo this, its last two digits, is the student's seed.
SEEDS = 100
#: Students' numbers are smaller: they have at most eighteen digits.
NUMBERS = 10**18
#: Half of the fourth digit, or a little more; what another sign or scale is recognised by; near.
FOUR_DIGITS, LOOSE, NEAR = 6e-4, 0.02, 0.05
#: What counts as zero, and what as no number.
ZERO, HUGE = 2e-9, 1e100
#: Bins are this many times finer than what a value may be off by; digits of a bin's hash.
FINER, DIGITS = 32, 5


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


def say(label: str, sentence: str) -> None:
    """Keep an answer in words, or the reason for values, in `answers.json`, for whoever grades.

    Raises ExerciseError if it is no text, or longer than anybody reads.
    """
    if not isinstance(sentence, str) or not 0 < len(sentence.strip()) <= LONGEST:
        raise ExerciseError(f"{label}: give a text of at most {LONGEST:,} letters.")
    kept = _kept()
    if "answers" in kept:
        kept["answers"][label] = kept["answers"].get(label, {}) | {"sentence": sentence.strip()}
        _write(kept)
        print(f"{label}: your words are kept in {KEPT}.")


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
    if label not in HASHED:
        near = get_close_matches(label, HASHED, n=1) or sorted(HASHED)[:1]
        raise ExerciseError(f"{label!r} has no answer to check. Did you mean {near[0]!r}?")
    try:
        given = np.concatenate([np.ravel(np.asarray(value, float)) for value in (*values, ())])
    except (TypeError, ValueError):
        raise ExerciseError(f"{label}: give numbers, not {values!r}.") from None
    asked = count(label)
    if len(given) != asked:
        raise ExerciseError(f"{label}: expected {asked} value(s), got {len(given)}.")
    return [float(value) for value in given]


def count(label: str) -> int:
    """How many values an exercise asks for."""
    return len(HASHED[label]["exact"])


def judged(label: str, given: Sequence[float], number: int | None = None) -> Judged:
    """Judge values of an exercise, for a student's number or, without one, for seed 0."""
    places = range(len(given))
    fits = [[_is(label, place, value, number) for place in places] for value in given]
    right = [fits[place][place] for place in places]
    if not all(right):
        for order in permutations(places):
            if all(fits[value][place] for place, value in enumerate(order)):
                said = "The values are right, but in another order."
                return Judged(right, [f"{label}: not yet. {said}"])
    wrong = (place for place in places if not right[place])
    said_of = {place: _reason(label, place, given[place], number) for place in wrong}
    return Judged(
        right, [f"{label}, value {at + 1}: not yet. {why}" for at, why in said_of.items()]
    )


def is_right(label: str, given: Sequence[float], number: int | None = None) -> bool:
    """Are all values of an exercise right, for a student's number?"""
    return all(_is(label, place, value, number) for place, value in enumerate(given))


def _reason(label: str, place: int, value: float, number: int | None) -> str:
    """The typical error that gives this value, or else the exercise's hint."""
    of = HASHED[label]
    if number is not None and "seeds" in of and _is(label, place, value, 0):
        return f"This is the value of seed 0. Draw with default_rng({number % SEEDS}), your seed."
    frequent, name = of.get("mistake", {"place": None}), f"{label} {place} mistake"
    if frequent["place"] == place and matches(frequent["hash"], name, value, frequent["share"]):
        return str(frequent["reason"])
    if label.startswith(("outlier-", "frame-", "origin-")) and _is(
        label, place, value + 3, number, "loose"
    ):
        return "Did you subtract 3? κ here is the kurtosis, not the excess kurtosis."
    if _is(label, place, -value, number, "loose"):
        return "The sign is wrong: which one is subtracted from which?"
    if _is(label, place, value / 100, number, "loose"):
        return "This is 100 times the answer. Did you give percent where a fraction is asked for?"
    if _is(label, place, value * 100, number, "loose"):
        return "This is a hundredth of the answer. Give percent, or percentage points."
    if _is(label, place, value, number, "near"):
        return _near(of["exact"][place], number, "seeds" in of)
    return str(of["hint"])


def _near(exact: bool, number: int | None, drawn: bool) -> str:
    if exact:
        return "Close, but this is a count: it has to be exact."
    digits = "four digits" if number is not None else "three digits (or as many as are asked for)"
    order = ", and draw in the order that the exercise names" if drawn else ""
    return f"Close: give {digits}, round at the end only{order}."


# Values and their hashes


def _is(label: str, place: int, value: float, number: int | None, kind: str = "right") -> bool:
    """Is this value right at this place of the answer, or near it in another sense?"""
    of = HASHED[label]
    own = number is not None and "seeds" in of
    kept = of["seeds"][number % SEEDS] if own and number is not None else of["answer"]
    kept = kept.split()[place]
    for at, (named, off) in enumerate(kinds(of, place, own)):
        hashed = kept[DIGITS * at : DIGITS * (at + 1)]
        sought = named == kind or (named == "least" and kind == "right")
        if sought and matches(hashed, f"{label} {place} {named}", value, off):
            return True
    return False


def kinds(of: dict[str, Any], place: int, own: bool) -> list[tuple[str, float]]:
    """Which hashes are kept of a value, and how far off it may be for each: 0 for a count."""
    share = min(of["share"], FOUR_DIGITS) if own else of["share"]
    found = [("right", 0 if of["exact"][place] else share), ("loose", LOOSE), ("near", NEAR)]
    return [*found, *([("least", of["least"][place])] if "least" in of else [])]


def hashes(label: str, of: dict[str, Any], values: Sequence[float], own: bool = False) -> str:
    """What `check.json` keeps of an exercise's values: a word for each."""
    return " ".join(
        "".join(
            hashed(f"{label} {at} {n}", *bin_of(value, off, n)) for n, off in kinds(of, at, own)
        )
        for at, value in enumerate(values)
    )


def bin_of(value: float, off: float, name: str = "") -> tuple[str, int]:
    """Where a value lies among bins finer than what it may be off by, as a share of itself.

    If the name is that of the least allowance, bins are equally wide and ``off`` is no share; if
    ``off`` is 0, each whole number has a bin.
    """
    if not abs(value) < HUGE:
        return "none", 0
    if name.endswith("least"):
        return "", math.floor(value / max(off, ZERO) * FINER)
    if off == 0:
        return ("=", round(value)) if abs(value - round(value)) < ZERO else ("none", 0)
    if abs(value) < ZERO:
        return "zero", 0
    return "-" if value < 0 else "+", math.floor(math.log(abs(value)) * FINER / math.log1p(off))


def hashed(name: str, sign: str, number: int) -> str:
    """The hash of a bin."""
    return sha256(f"{name} {sign}{number}".encode()).hexdigest()[:DIGITS]


def matches(kept: str, name: str, value: float, off: float) -> bool:
    """Is this the hash of a value that lies no farther off than it may?"""
    sign, number = bin_of(value, off, name)
    reach = range(-FINER, FINER + 1) if off else range(1)
    return any(hashed(name, sign, number + step) == kept for step in reach)


# What is kept


def _number(number: Any) -> int | None:
    if number is not None and (type(number) is not int or not 0 <= number < NUMBERS):
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
        found = {"values": given, "right": right, "time": now}
        code = _cell()
        words = {name: before[name] for name in ("guess", "sentence") if name in before}
        kept["answers"][label] = found | ({"code": code} if code else {}) | words
    kept["answers"][label]["attempts"] = before.get("attempts", 0) + 1
    _write(kept)


def _cell() -> str:
    """The code of the notebook's cell that runs, if it is one."""
    cells = getattr(sys.modules.get("__main__"), "In", None)
    code = cells[-1] if isinstance(cells, list) and cells else ""
    return code[:LONGEST] if isinstance(code, str) else ""


def _write(kept: dict[str, Any]) -> None:
    if "answers" not in kept:
        return
    part = Path(f"{KEPT}.part")
    try:
        part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        part.replace(KEPT)
    except OSError as error:
        print(f"{KEPT} cannot be written ({error.strerror}), so nothing is kept.")
