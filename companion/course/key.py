"""What each exercise is worth, from the answer keys of the page for teachers.

A row of a key names the exercise, its points, and for what there are how many: *two values (2); the
reason (1)*. Points for what the role `answer` shows can be given by a program, the others need a
reader.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from analysis.base.roots import ROOT
from analysis.base.texts import CompanionError, suggestion

PAGE = ROOT / "book" / "guide" / "teach.md"
ROW = re.compile(r"^\| \{ref\}`(\S+) <\1>` \| (\d+) \| (.*) \|$", re.MULTILINE)
CRITERION = re.compile(r"(.+?) \((\d)\)(?:; |$)")
VALUE = re.compile(r"\{answer\}`\S+?(?: (\d+))?`")


class CourseError(CompanionError):
    """What teaching needs cannot be read or written; the message says why."""


class Criterion(NamedTuple):
    """Points for something; ``values`` are the places, from 0, of the values that earn them."""

    points: int
    values: tuple[int, ...]
    text: str


class Worth(NamedTuple):
    """An exercise with what it is worth."""

    label: str
    criteria: tuple[Criterion, ...]

    @property
    def of_values(self) -> int:
        """Points that a program can give."""
        return sum(one.points for one in self.criteria if one.values)

    @property
    def of_reasons(self) -> int:
        """Points for which somebody has to read."""
        return sum(one.points for one in self.criteria if not one.values)

    def earned(self, right: list[bool]) -> float:
        """Points for values: each value of a criterion earns the same part of its points."""
        return sum(
            one.points * sum(right[place] for place in one.values) / len(one.values)
            for one in self.criteria
            if one.values
        )


def tasks(page: Path = PAGE) -> dict[str, Worth]:
    """Exercise → what it is worth, in the order of the keys; raises CourseError without any."""
    found = {}
    for label, points, criteria in ROW.findall(page.read_text(encoding="utf-8")):
        parts = tuple(
            Criterion(int(worth), tuple(int(n or 1) - 1 for n in VALUE.findall(text)), text)
            for text, worth in CRITERION.findall(criteria)
        )
        if sum(part.points for part in parts) != int(points):
            raise CourseError(f"{page.name}: the points of {label} do not add up to {points}.")
        found[label] = Worth(label, parts)
    if not found:
        raise CourseError(f"{page} has no answer key.")
    return found


def chosen(labels: tuple[str, ...]) -> list[Worth]:
    """The exercises of these names, all of them if none is named.

    Raises CourseError for a name that is unknown.
    """
    known = tasks()
    for label in labels:
        if label not in known:
            raise CourseError(f"there is no exercise {label!r}: {suggestion(label, known)}.")
    return [task for label, task in known.items() if label in (labels or known)]
