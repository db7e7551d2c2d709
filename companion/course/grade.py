"""Points for what students' `answers.json` hold; whether a value is right is judged again here.

A folder has one file for each student, `SURNAME.json`, or a folder for each, such as
`SURNAME/answers.json`, as courses' platforms hand them out. What a file says of itself (right,
time, attempts) is shown and never believed.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base.quoting import as_cell, on_a_line, printable, quoted
from base.texts import aligned
from companion.course.key import CourseError, Worth
from results import check

#: Of one student's file; a whole book's answers take 20,000.
MOST_BYTES = 1_000_000
COLUMNS = (
    *("student", "number", "exercise", "values", "right", "attempts"),
    *("time", "points", "of", "to_read", "note"),
)


@dataclass(frozen=True)
class Mark:
    """What one student gave for one exercise, and what it earns."""

    label: str
    values: tuple[float, ...] = ()
    right: tuple[bool, ...] = ()
    points: float = 0
    attempts: int = 0
    time: str = ""
    note: str = ""


@dataclass
class Student:
    """A student's marks; ``problem`` says why there are none."""

    name: str
    number: int | None = None
    marks: dict[str, Mark] = field(default_factory=dict)
    problem: str = ""
    note: str = ""

    @property
    def points(self) -> float:
        """Of all exercises."""
        return sum(mark.points for mark in self.marks.values())


def graded(folder: Path, tasks: Sequence[Worth]) -> list[Student]:
    """All students of a folder, by name, with a mark for each exercise.

    Raises CourseError if there is no folder or no file of a student in it.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder: name the one with your students' answers.json.")
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
    if not paths:
        raise CourseError(f"{folder} has no answers: each student hands in one answers.json.")
    students = [_student(path, folder, tasks) for path in paths]
    numbers = Counter(student.number for student in students)
    names = Counter(student.name for student in students)
    for student in students:
        if student.number is not None and numbers[student.number] > 1:
            student.note = f"{numbers[student.number]} students give the number {student.number}"
        if names[student.name] > 1:
            student.note = f"{names[student.name]} files are from {student.name}"
    _name_sources(students)
    return students


def _student(path: Path, folder: Path, tasks: Sequence[Worth]) -> Student:
    inside = path.relative_to(folder)
    name = inside.parts[0] if len(inside.parts) > 1 else path.stem
    name = on_a_line(name.removesuffix("_answers").removesuffix("-answers"))
    try:
        number, answers = _read(path)
        return Student(name, number, {t.label: _mark(t, number, answers) for t in tasks})
    except CourseError as error:
        return Student(name, problem=str(error))


def _read(path: Path) -> tuple[int | None, dict[str, Any]]:
    """A student's number and answers; raises CourseError if the file is not of the form."""
    if path.stat().st_size > MOST_BYTES:
        raise CourseError(f"larger than {MOST_BYTES:,} bytes, which no answers.json is")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    # Files come from students: brackets nested too deep end in a RecursionError.
    except (ValueError, RecursionError):
        raise CourseError("not JSON: ask for the answers.json that `check` writes") from None
    answers = content.get("answers") if isinstance(content, dict) else None
    if not isinstance(answers, dict) or not all(isinstance(of, dict) for of in answers.values()):
        raise CourseError("no answers in it: ask for the answers.json that `check` writes")
    number = content.get("student")
    if number is not None and (type(number) is not int or not 0 <= number < check.NUMBERS):
        raise CourseError(f"the student's number is {quoted(number)}, not a whole one as expected")
    return number, answers


def _mark(task: Worth, number: int | None, answers: dict[str, Any]) -> Mark:
    given = answers.get(task.label)
    if given is None:
        return Mark(task.label, note="not answered")
    values, attempts, time = given.get("values"), given.get("attempts"), given.get("time")
    asked = check.count(task.label)
    whole, most = isinstance(values, list) and len(values) == asked, sys.float_info.max
    if not whole or not all(type(v) in (int, float) and abs(v) <= most for v in values):
        return Mark(task.label, note=f"not {asked} number(s)")
    right = check.judged(task.label, values, number).right
    return Mark(
        task.label,
        tuple(map(float, values)),
        tuple(right),
        task.earned(right),
        attempts if type(attempts) is int else 0,
        printable(time)[:30] if isinstance(time, str) else "",
    )


def _name_sources(students: list[Student]) -> None:
    """Note where wrong values are right for another seed: first those of students are tried."""
    owners = {s.number % check.SEEDS: s.name for s in students if s.number is not None}
    for student in students:
        for label, mark in student.marks.items():
            if student.number is None or all(mark.right) or not mark.values:
                continue
            own = student.number % check.SEEDS
            others = [*owners, *range(check.SEEDS)] if "seeds" in check.HASHED[label] else []
            for seed in others:
                if seed != own and check.is_right(label, mark.values, seed):
                    of = f", {owners[seed]}'s" if seed in owners else ""
                    note = f"right for seed {seed}{of}, not for {own}"
                    student.marks[label] = Mark(**{**mark.__dict__, "note": note})
                    break


def table(students: Iterable[Student], tasks: Sequence[Worth]) -> list[str]:
    """A line for each student, points by exercise, as text to read; then what is to be noted."""
    rows = [["student", "number", *(task.label for task in tasks), "points", "of", "to read"]]
    said = []
    of = sum(task.of_values for task in tasks)
    for student in students:
        marks = [student.marks.get(task.label) for task in tasks]
        cells = [f"{m.points:.3g}" if m and m.attempts + len(m.values) else "–" for m in marks]
        read = sum(t.of_reasons for t, m in zip(tasks, marks, strict=True) if m and m.values)
        total = "–" if student.problem else f"{student.points:.3g}"
        number = "–" if student.number is None else str(student.number)
        rows.append([student.name, number, *cells, total, str(of), str(read)])
        notes = [f"{m.label}: {m.note}" for m in marks if m and m.note != "not answered" and m.note]
        said += [f"{student.name}: {n}." for n in (student.problem, student.note, *notes) if n]
    return [*aligned(rows), *([""] if said else []), *said]


def as_csv(students: Iterable[Student], tasks: Sequence[Worth]) -> str:
    """A row for each student and exercise, as CSV; `to_read` are points for what has to be read."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    rows.writeheader()
    for student in students:
        for row in _rows(student, tasks):
            rows.writerow({name: as_cell(value) for name, value in row.items()})
    return text.getvalue()


def _rows(student: Student, tasks: Sequence[Worth]) -> Iterator[Mapping[str, object]]:
    about = {"student": student.name, "number": student.number}
    if student.problem:
        yield about | {"note": student.problem}
        return
    for task in tasks:
        mark = student.marks[task.label]
        notes = [note for note in (mark.note, student.note) if note]
        yield about | {
            "exercise": task.label,
            "values": " ".join(f"{value:g}" for value in mark.values),
            "right": " ".join("yes" if one else "no" for one in mark.right),
            "attempts": mark.attempts,
            "time": mark.time,
            "points": f"{mark.points:.3g}",
            "of": task.of_values,
            "to_read": task.of_reasons,
            "note": "; ".join(notes),
        }
