"""Sheets to read answers in words by, and the final mark.

A sheet is a table of one exercise (CSV, for any spreadsheet): a row for each student with what was
written, and a column for each criterion of the answer key that needs a reader. Points that are
typed in count at the next call, and are never overwritten: rows of students who are not in the
folder stay, as do columns of the teacher's own. The parts of the final mark, their
points and weights are those that the page for teachers prints.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from analysis.base.files import write_text
from analysis.base.quoting import as_cell
from analysis.base.texts import aligned, decoded
from companion.course import key
from companion.course.grade import Mark, Student
from companion.course.key import CourseError, Criterion, Worth

#: A row of the page's table of parts: name, points, weight in percent, points to pass with.
PART = re.compile(
    r"^\| (?P<name>exercises|lab|project|exam)\b[^|]*\| (?P<points>\d*)[^|]*\| (?P<weight>\d+) % "
    r"\| (?P<least>\d*)[^|]*\|$",
    re.MULTILINE,
)
FIXED = ("student", "right", "first guess", "answer in words", "code", "note")


class Part(NamedTuple):
    """A part of the final mark; exercises have the points of their keys, here 0."""

    name: str
    points: int
    weight: int
    least: int


def parts(page: Path = key.PAGE) -> list[Part]:
    """The parts of the final mark, as printed; raises CourseError if they do not make a whole."""
    found = [
        Part(one["name"], int(one["points"]) if one["name"] != "exercises" else 0,
             int(one["weight"]), int(one["least"] or 0))
        for one in PART.finditer(page.read_text(encoding="utf-8"))
    ]  # fmt: skip
    if sum(part.weight for part in found) != 100 or len(found) != 4:
        raise CourseError(f"{page.name}: the weights of the final mark do not add up to 100 %.")
    return found


# Sheets


def to_read(task: Worth) -> list[Criterion]:
    """The criteria of an exercise that need a reader."""
    return [one for one in task.criteria if not one.values]


def heading(criterion: Criterion) -> str:
    """A criterion as the heading of its column, with its points."""
    return str(as_cell(f"{criterion.text} ({criterion.points})"))


class Table(NamedTuple):
    """A CSV as a teacher keeps it; a row's first cell names the student, as `named` writes it."""

    headings: list[str]
    rows: dict[str, dict[str, str]]
    delimiter: str


def opened(path: Path) -> Table:
    """A CSV as any spreadsheet saves it; raises CourseError where two rows name one student."""
    text = decoded(path.read_bytes())
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        first_row, *lines = [*csv.reader(io.StringIO(text), delimiter=delimiter)] or [[]]
    except csv.Error as error:
        raise CourseError(
            f"{path} is no table ({error}): save it as CSV, and call again."
        ) from None
    headings = [name or f"column {place}" for place, name in enumerate(first_row, 1)]
    if len({*headings}) < len(headings):
        raise CourseError(f"{path} has two columns of one name: rename one, and call again.")
    rows: dict[str, dict[str, str]] = {}
    for line, cells in enumerate(lines, 2):
        if not any(cells):
            continue
        if cells[0] in rows or any(cells[len(headings) :]):
            what = "is a second row of" if cells[0] in rows else "has more cells than headings for"
            raise CourseError(
                f"{path}, row {line} {what} {cells[0]!r}: correct it, and call again."
            )
        rows[cells[0]] = dict(zip(headings, [*cells, *[""] * len(headings)], strict=False))
    return Table(headings, rows, delimiter)


def named(student: Student) -> str:
    """A student's name as it stands in a table."""
    return str(as_cell(student.name))


def sheet(task: Worth, students: Iterable[Student], typed: Table) -> str:
    """One exercise's sheet as CSV, with all rows and cells that a teacher typed in before."""
    text = io.StringIO()
    headings = list(dict.fromkeys([*FIXED, *map(heading, to_read(task)), *typed.headings]))
    rows = csv.DictWriter(text, headings, lineterminator="\n", delimiter=typed.delimiter)
    rows.writeheader()
    written = dict(typed.rows)
    for student in students:
        mark = student.marks.get(task.label) or Mark(task.label)
        if mark.is_answered or named(student) in written:
            right = " ".join("yes" if one else "no" for one in mark.right)
            words = [student.name, right, mark.guess, mark.sentence, mark.code, mark.note]
            new = {name: str(as_cell(word)) for name, word in zip(FIXED, words, strict=True)}
            written[named(student)] = written.get(named(student), {}) | new
    rows.writerows(written[name] for name in sorted(written))
    return "\ufeff" + text.getvalue()  # without it Excel takes UTF-8 for another encoding


def typed_in(path: Path, task: Worth) -> Table:
    """What was typed into a sheet; raises CourseError for points that cannot be."""
    criteria = to_read(task)
    if not path.exists():
        return Table([*FIXED, *map(heading, criteria)], {}, ",")
    typed = opened(path)
    if typed.headings[:1] != ["student"] or not {*map(heading, criteria)} <= {*typed.headings}:
        raise CourseError(
            f"{path} is no sheet of {task.label} with the key's criteria: move it, and call again."
        )
    for name, row in typed.rows.items():
        for cell, one in zip(points_in(row, task), criteria, strict=True):
            if cell and not 0 <= _number(cell) <= one.points:
                raise CourseError(
                    f"{path}, {name}: {cell!r} is not between 0 and {one.points} points for "
                    f"{one.text!r}."
                )
    return typed


def points_in(row: dict[str, str], task: Worth) -> list[str]:
    """What was typed for each criterion of an exercise; empty cells where nothing was."""
    return [row.get(heading(one), "").strip() for one in to_read(task)]


def _number(cell: str) -> float:
    """Points as typed, with a point or a comma; −1 if it is no number."""
    return float(cell.replace(",", ".")) if re.fullmatch(r"\d+([.,]\d+)?", cell) else -1


def read(
    folder: Path, students: Sequence[Student], tasks: Sequence[Worth]
) -> tuple[dict[str, float], int, list[str]]:
    """Write or refresh the sheets; points for reasons by student, open cells, rows of nobody here.

    Raises CourseError, before anything is written, for points that cannot be.
    """
    of_reasons = [task for task in tasks if to_read(task)]
    before = {task.label: typed_in(folder / f"{task.label}.csv", task) for task in of_reasons}
    folder.mkdir(parents=True, exist_ok=True)
    earned, still_open = dict.fromkeys((student.name for student in students), 0.0), 0
    for task in of_reasons:
        typed = before[task.label]
        write_text(folder / f"{task.label}.csv", sheet(task, students, typed))
        for student in students:
            cells = points_in(typed.rows.get(named(student), {}), task)
            mark = student.marks.get(task.label)
            if mark and mark.is_answered:
                still_open += sum(not cell for cell in cells)
            earned[student.name] += sum(_number(cell) for cell in cells if cell)
    here = {*map(named, students)}
    return earned, still_open, sorted({n for typed in before.values() for n in typed.rows} - here)


# The final mark


def points_of(path: Path, students: Sequence[Student]) -> dict[str, dict[str, float | None]]:
    """Student → points of the other parts; the file is written, to fill in, if it is not there.

    Raises CourseError for points that cannot be, or a student who handed in nothing.
    """
    others = [part for part in parts() if part.points]
    if not path.exists():
        rows = [["student", *(part.name for part in others)]]
        rows += [[named(s), *[""] * len(others)] for s in students]
        write_text(path, "\ufeff" + "".join(",".join(map(_cell, row)) + "\n" for row in rows))
    table = opened(path)
    if not {"student", *(part.name for part in others)} <= {*table.headings}:
        columns = ", ".join(["student", *(part.name for part in others)])
        raise CourseError(f"{path} has other columns than {columns}.")
    found: dict[str, dict[str, float | None]] = {}
    for row in table.rows.values():
        name = row["student"]
        found[name] = {}
        for part in others:
            cell = row[part.name].strip()
            if cell and not 0 <= _number(cell) <= part.points:
                raise CourseError(
                    f"{path}: {name} has {cell!r} points for the {part.name}, of {part.points}."
                )
            found[name][part.name] = _number(cell) if cell else None
    return found


def _cell(text: str) -> str:
    return f'"{text.replace(chr(34), 2 * chr(34))}"' if re.search(r'[",\n]', text) else text


def final(
    students: Sequence[Student],
    tasks: Sequence[Worth],
    earned: dict[str, float],
    results: dict[str, dict[str, float | None]],
) -> list[str]:
    """A line for each student: the parts' points, the weighted mark, and whether passed."""
    every = parts()
    of = sum(task.of_values + task.of_reasons for task in tasks)
    rows = [["student", *(f"{p.name} (of {p.points or of})" for p in every), "mark", "passed"]]
    for student in students:
        points: dict[str, float | None] = {"exercises": student.points + earned[student.name]}
        points |= results.get(named(student), {part.name: None for part in every if part.points})
        missing = [part.name for part in every if points.get(part.name) is None]
        given = {part: points[part.name] or 0 for part in every}
        mark = sum(part.weight * value / (part.points or of or 1) for part, value in given.items())
        short = [part.name for part, value in given.items() if value < part.least]
        why = [f"{name} too low" for name in short] + (["less than half"] if mark < 50 else [])
        passed = f"open: {', '.join(missing)}" if missing else f"no: {', '.join(why)}"
        rows.append([
            student.name,
            *("–" if points.get(p.name) is None else f"{given[p]:.3g}" for p in every),
            "–" if missing else f"{mark:.1f} %",
            passed if missing or why else "yes",
        ])  # fmt: skip
    return aligned(rows)
