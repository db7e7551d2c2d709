"""Points for what students handed in; whether a value is right is judged again here.

What a file says of itself (right, time, attempts) is shown and never believed. Of several files of
one student the best attempt at each exercise counts.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from analysis.base.quoting import as_cell, on_a_line, printable, quoted
from analysis.base.texts import aligned
from companion.course import key
from companion.course.handed_in import Answers, Work, works
from companion.course.key import Worth
from companion.engine import check

#: More attempts than anybody makes.
MOST_ATTEMPTS = 100_000
COLUMNS = (
    *("student", "number", "exercise", "values", "right", "attempts"),
    *("time", "points", "of", "to_read", "note", "guess", "sentence", "code"),
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
    guess: str = ""
    sentence: str = ""
    code: str = ""

    @property
    def is_answered(self) -> bool:
        """Is there something to judge or to read?"""
        return bool(self.values or self.sentence)


@dataclass
class Student:
    """A student's marks; ``problem`` says why there are none, or what was not read."""

    name: str
    number: int | None = None
    marks: dict[str, Mark] = field(default_factory=dict)
    problem: str = ""
    note: str = ""

    @property
    def points(self) -> float:
        """Of all exercises, for values."""
        return sum(mark.points for mark in self.marks.values())


def graded(folder: Path, tasks: Sequence[Worth]) -> list[Student]:
    """All students of a folder, by name, with a mark for each exercise.

    Raises CourseError if there is no folder or no file of a student in it.
    """
    students = [_student(work, tasks) for work in works(folder)]
    numbers = Counter(student.number for student in students)
    for student in students:
        if student.number is not None and numbers[student.number] > 1:
            shared = f"{numbers[student.number]} students give the number {student.number}"
            student.note = "; ".join(filter(None, (student.note, shared)))
    _name_sources(students)
    return students


def _student(work: Work, tasks: Sequence[Worth]) -> Student:
    notes = dict.fromkeys([*_odd(work), *work.notes])
    student = Student(work.name, work.number, note="; ".join(notes))
    student.problem = "; ".join(dict.fromkeys(work.problems))
    if work.files:
        student.marks = {task.label: _best(task, work.files) for task in tasks}
    return student


def _odd(work: Work) -> Iterator[str]:
    """What no file that `check` wrote holds: exercises that are none, attempts that cannot be."""
    known = key.tasks()
    for label, given in (one for _, answers in work.files for one in answers.items()):
        if label not in known:
            yield f"there is no exercise {quoted(on_a_line(label))}"
        elif "attempts" in given and not _possible(given["attempts"]):
            yield f"{label}: {quoted(given['attempts'])} attempts are impossible"


def _possible(attempts: object) -> TypeGuard[int]:
    return type(attempts) is int and 0 <= attempts < MOST_ATTEMPTS


def _best(task: Worth, files: Sequence[tuple[int | None, Answers]]) -> Mark:
    """The best attempt, the later of equal ones, with all that was written in words."""
    marks = [_mark(task, number, answers) for number, answers in files]
    best = max(marks, key=lambda m: (m.points, sum(m.right), bool(m.values), m.is_answered, m.time))
    sentences = [m.sentence for m in sorted(marks, key=lambda m: m.time) if m.sentence]
    return replace(
        best,
        sentence="\n".join(dict.fromkeys(sentences)),
        attempts=sum(mark.attempts for mark in marks),
    )


def _mark(task: Worth, number: int | None, answers: Answers) -> Mark:
    given = answers.get(task.label)
    if given is None:
        return Mark(task.label, note="not answered")
    attempts, time = given.get("attempts"), given.get("time")
    mark = Mark(
        task.label,
        attempts=attempts if _possible(attempts) else 0,
        time=printable(time)[:30] if isinstance(time, str) else "",
        guess=_text(given.get("guess")),
        sentence=_text(given.get("sentence")),
        code=_text(given.get("code")),
    )
    values = given.get("values")
    if task.label not in check.HASHED or (values is None and (mark.sentence or mark.guess)):
        return mark if mark.sentence else replace(mark, note="not answered")
    asked, most = check.count(task.label), sys.float_info.max
    if (
        not isinstance(values, list)
        or len(values) != asked
        or not all(type(v) in (int, float) and abs(v) <= most for v in values)
    ):
        return replace(mark, note=f"not {asked} number(s)")
    right = check.judged(task.label, values, number).right
    return replace(
        mark, values=tuple(map(float, values)), right=tuple(right), points=task.earned(right)
    )


def _text(given: Any) -> str:
    return printable(given)[: check.LONGEST].strip() if isinstance(given, str) else ""


def _name_sources(students: list[Student]) -> None:
    """Note where wrong values are right for another seed: first those of students are tried.

    Of a file without a number two values have to agree on a seed: one may do so by chance.
    """
    owners = {s.number % check.SEEDS: s.name for s in students if s.number is not None}
    for student in students:
        own = None if student.number is None else student.number % check.SEEDS
        wrong = [m for m in student.marks.values() if m.values and not all(m.right)]
        wrong = [mark for mark in wrong if "seeds" in check.HASHED[mark.label]]
        fits = {
            seed: [mark for mark in wrong if check.is_right(mark.label, mark.values, seed)]
            for seed in dict.fromkeys([*owners, *range(check.SEEDS)])
            if seed != own
        }
        for seed, marks in fits.items():
            if own is None and sum(len(mark.values) for mark in marks) < 2:
                continue
            of = f", {owners[seed]}'s" if seed in owners else ""
            than = "and the file has no number" if own is None else f"not for {own}"
            for mark in marks:
                if not student.marks[mark.label].note:
                    note = f"right for seed {seed}{of}, {than}"
                    student.marks[mark.label] = replace(student.marks[mark.label], note=note)


def answered(students: Iterable[Student]) -> set[str]:
    """The exercises that somebody answered: what nobody did was not set."""
    marks = (mark for student in students for mark in student.marks.values())
    return {mark.label for mark in marks if mark.is_answered}


def table(students: Iterable[Student], tasks: Sequence[Worth]) -> list[str]:
    """A line for each student, points by exercise, as text to read; then what is to be noted."""
    rows = [["student", "number", *(task.label for task in tasks), "points", "of", "to read"]]
    said = []
    of = sum(task.of_values for task in tasks)
    for student in students:
        marks = [student.marks.get(task.label) for task in tasks]
        cells = [f"{m.points:.3g}" if m and m.attempts + len(m.values) else "–" for m in marks]
        read = sum(t.of_reasons for t, m in zip(tasks, marks, strict=True) if m and m.is_answered)
        total = f"{student.points:.3g}" if student.marks else "–"
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
    for row in (row for student in students for row in _rows(student, tasks)):
        rows.writerow({name: as_cell(value) for name, value in row.items()})
    return text.getvalue()


def _rows(student: Student, tasks: Sequence[Worth]) -> Iterator[dict[str, object]]:
    about: dict[str, object] = {"student": student.name, "number": student.number}
    if not student.marks:
        yield about | {"note": student.problem}
    for task in tasks if student.marks else ():
        mark = student.marks[task.label]
        notes = [note for note in (mark.note, student.note, student.problem) if note]
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
            "guess": mark.guess,
            "sentence": mark.sentence,
            "code": mark.code,
        }
