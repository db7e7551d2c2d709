"""What the commands of `companion` do that help to teach: grades, exams, tests for a grader."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from base.files import check_writable, write_output
from companion.runs.options import option


def grade(
    folder: Annotated[Path, option("your students' answers.json", placed=True)],
    exercises: Annotated[tuple[str, ...], option("only these (default: all)")] = (),
    csv: Annotated[Path | None, option("also write each value with its points, as CSV")] = None,
) -> int:
    """Grade what students checked: points from the answer keys, by student and exercise.

    Each student hands in the answers.json that `check` writes. Values are judged again, with the
    student's own seed if the file has a number; the column `to read` counts points for reasons.

    companion grade handed_in/
    companion grade handed_in/ --exercises outlier-2 outlier-3 --csv grades.csv
    """
    from companion.course import grade as grades
    from companion.course import key
    from results.check import HASHED

    if csv:
        check_writable(csv, suffix=".csv")
    tasks = key.chosen(exercises, {*HASHED})
    students = grades.graded(folder, tasks)
    if not exercises:  # what nobody has answered was not set
        answered = {label for s in students for label, mark in s.marks.items() if mark.values}
        tasks = [task for task in tasks if task.label in answered]
    print(*grades.table(students, tasks), sep="\n")
    if csv:
        write_output(csv, grades.as_csv(students, tasks))
    return int(any(student.problem for student in students))


def exam(
    seed: Annotated[int, option("draws the numbers: keep it to yourself", least=0)],
    out: Annotated[Path, option("folder to write to")] = Path(),
    html: Annotated[bool, option("write pages to print instead of Markdown")] = False,
) -> None:
    """Draw an exam of six questions, and its key in a file of its own.

    Whoever knows the seed can draw the key, too. A page to print has room below each question.

    companion exam --seed 2027
    companion exam --seed 2027 --html
    companion exam --seed 2028 --out exams/
    """
    from companion.course import exam as exams

    print(*exams.written(seed, out, html=html), sep="\n")


def otter(
    folder: Annotated[Path, option("folder to write to", placed=True)],
    exercises: Annotated[tuple[str, ...], option("only these (default: all)")] = (),
) -> None:
    """Write the exercises' answers as tests of otter-grader, with a notebook to answer in.

    companion otter tests/ --exercises outlier-2 outlier-3
    """
    from companion.course import key
    from companion.course import otter as tests
    from results.check import HASHED

    paths = tests.write(folder, key.chosen(exercises, {*HASHED}))
    print(f"{len(paths)} files in {folder}. Next, there: otter check answers.ipynb, or")
    print("otter generate -t tests -o autograder.zip check.py check.json")


#: All of them read pages that a checkout alone has.
COMMANDS = (grade, exam, otter)
