"""What students handed in: a folder's `answers.json` by student, read with suspicion, and merged.

A folder has one file for each student, `SURNAME.json`, or a folder for each, such as
`SURNAME/answers.json`, as courses' platforms hand them out. What a Mac or Jupyter adds is passed
over. A link, or a file that lies elsewhere, could be another student's: it is named, not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base.quoting import on_a_line, quoted
from companion.course.key import CourseError
from results import check

#: Of one student's file; a whole book's answers, with code and sentences, take 200,000.
MOST_BYTES = 1_000_000
#: What Moodle puts behind a student's name, and what others do.
PLATFORM = re.compile(r"_\d+_assignsubmission_(?:file|onlinetext).*$|[_-]answers$")
#: Folders and files that no student handed in.
ADDED = re.compile(r"^(?:__MACOSX|\.ipynb_checkpoints|\..*)$")
Answers = dict[str, dict[str, Any]]


@dataclass
class Work:
    """All that one student handed in; ``problems`` say what could not be read."""

    name: str
    files: list[tuple[int | None, Answers]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def number(self) -> int | None:
        """The student's number, of the first file that has one."""
        return next((number for number, _ in self.files if number is not None), None)


def works(folder: Path) -> list[Work]:
    """The works of all students of a folder, by name.

    Raises CourseError if there is no folder or no file of a student in it.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder: name the one with your students' answers.json.")
    found: dict[str, Work] = {}
    owners: dict[bytes, str] = {}
    for path in sorted(_handed_in(folder)):
        name = student_of(path.relative_to(folder))
        work = found.setdefault(name, Work(name))
        try:
            content = _content(path, folder)
            work.files.append(_read(content))
        except CourseError as error:
            work.problems.append(str(error))
            continue
        other = owners.setdefault(content, name)
        if other != name:
            work.notes.append(f"the same file, to the letter, as {other}'s")
    if not found:
        raise CourseError(f"{folder} has no answers: each student hands in one answers.json.")
    for work in found.values():
        numbers = sorted({number for number, _ in work.files if number is not None})
        if len(numbers) > 1:
            work.notes.append(f"files give different numbers: {', '.join(map(str, numbers))}")
    return [found[name] for name in sorted(found)]


def _handed_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if any(map(ADDED.match, parts)):
            continue
        if path.is_symlink() or (path.suffix == ".json" and path.is_file()):
            yield path


def student_of(inside: Path) -> str:
    """A student's name, by the path of a file in the folder, without what a platform adds.

    >>> student_of(Path("Ann Lee_12345_assignsubmission_file/answers.json"))
    'Ann Lee'
    """
    name = inside.parts[0] if len(inside.parts) > 1 else inside.stem
    return on_a_line(PLATFORM.sub("", name) or name)


def _content(path: Path, folder: Path) -> bytes:
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise CourseError(f"{path.name} is a link, and not read: ask for the file itself")
    if path.stat().st_size > MOST_BYTES:
        raise CourseError(f"larger than {MOST_BYTES:,} bytes, which no answers.json is")
    return path.read_bytes()


def _read(text: bytes) -> tuple[int | None, Answers]:
    """A student's number and answers; raises CourseError if the file is not of the form."""
    try:
        content = json.loads(text.decode("utf-8-sig"))
    # Files come from students: brackets nested too deep end in a RecursionError.
    except (ValueError, RecursionError):
        raise CourseError("not JSON: ask for the answers.json that `check` writes") from None
    answers = content.get("answers") if isinstance(content, dict) else None
    if not isinstance(answers, dict) or not all(isinstance(of, dict) for of in answers.values()):
        raise CourseError("no answers in it: ask for the answers.json that `check` writes")
    given = number = content.get("student")
    if isinstance(given, str) and re.fullmatch(r"[0-9]{1,18}", given.strip()):
        number = int(given)
    if number is not None and (type(number) is not int or not 0 <= number < check.NUMBERS):
        raise CourseError(f"the student's number is {quoted(given)}, not a whole one as expected")
    return number, answers
