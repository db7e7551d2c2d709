"""What students handed in: a folder's `answers.json` by student, read with suspicion, and merged.

A folder has one file for each student, `SURNAME.json`, or a folder for each, such as
`SURNAME/answers.json`, as courses' platforms hand them out. What a Mac or Jupyter adds is passed
over; every other file that is no JSON is named. A link, or a file that lies elsewhere, could be
another student's: it is named, not read. Moodle's number tells persons of one name apart.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.base.quoting import on_a_line, quoted
from analysis.base.texts import decoded
from companion.course.key import CourseError
from companion.engine import check

#: Of one student's file; a whole book's answers, with code and sentences, take 200,000.
MOST_BYTES = 1_000_000
#: What Moodle puts behind a student's name, and what others do.
PLATFORM = re.compile(r"_(\d+)_assignsubmission_(?:file|onlinetext).*$|[_-]answers$")
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
    passed: list[str] = field(default_factory=list)

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
    paths = {path: student_of(path.relative_to(folder)) for path in sorted(_handed_in(folder))}
    names = Counter(name for name, _ in {*paths.values()})
    found: dict[str, Work] = {}
    owners: dict[bytes, str] = {}
    for path, (name, moodle) in paths.items():
        namesakes, name = names[name], f"{name} ({moodle})" if names[name] > 1 and moodle else name
        work = found.setdefault(name, Work(name))
        if namesakes > 1:
            work.notes.append("another student has this name, or one has two numbers in Moodle")
        if path.suffix.lower() != ".json" and not path.is_symlink():
            work.passed.append(on_a_line(path.relative_to(folder)))
            continue
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
        if work.passed:
            said = f"not read: {', '.join(work.passed)}; answers are a .json file"
            (work.notes if work.files else work.problems).append(said)
        numbers = sorted({number for number, _ in work.files if number is not None})
        if len(numbers) > 1:
            work.notes.append(f"files give different numbers: {', '.join(map(str, numbers))}")
    return [found[name] for name in sorted(found)]


def _handed_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if any(map(ADDED.match, path.relative_to(folder).parts)):
            continue
        if path.is_symlink() or not (path.is_dir() or _is_a_teachers(path)):
            yield path


def _is_a_teachers(path: Path) -> bool:
    """Whether a file is a sheet or another table that `grade` wrote, and a teacher filled in."""
    return path.suffix == ".csv" and decoded(path.read_bytes()).startswith("student")


def student_of(inside: Path) -> tuple[str, str]:
    """A student's name, by the path of a file in the folder, and the number that Moodle adds.

    >>> student_of(Path("Ann Lee_12345_assignsubmission_file/answers.json"))
    ('Ann Lee', '12345')
    """
    name = unicodedata.normalize("NFC", inside.parts[0] if len(inside.parts) > 1 else inside.stem)
    added = PLATFORM.search(name)
    return on_a_line(PLATFORM.sub("", name) or name), (added and added[1]) or ""


def _content(path: Path, folder: Path) -> bytes:
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise CourseError(f"{path.name} is a link, and not read: ask for the file itself")
    if not path.is_file():
        raise CourseError("no file that can be read: ask for the answers.json that `check` writes")
    if path.stat().st_size > MOST_BYTES:
        raise CourseError(f"larger than {MOST_BYTES:,} bytes, which no answers.json is")
    return path.read_bytes()


def _read(text: bytes) -> tuple[int | None, Answers]:
    """A student's number and answers; raises CourseError if the file is not of the form."""
    try:
        content = json.loads(decoded(text))
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
