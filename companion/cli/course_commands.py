"""What the commands of `companion` do that help to teach: grades and exams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from analysis.base.files import check_writable, write_output
from companion.runs.options import option


def grade(
    folder: Annotated[Path, option("your students' answers.json", placed=True)],
    exercises: Annotated[tuple[str, ...], option("only these (default: all)")] = (),
    csv: Annotated[Path | None, option("also write each value with its points, as CSV")] = None,
    sheets: Annotated[
        Path | None, option("folder of sheets to read answers in words by, one an exercise")
    ] = None,
    parts: Annotated[
        Path | None, option("CSV with points of lab, project and exam, for the final mark")
    ] = None,
) -> int:
    """Grade what students handed in: points from the answer keys, by student and exercise.

    Each student hands in the answers.json that `check` writes; of several files of one student the
    best attempt counts. Values are judged again, with the student's own seed if the file has a
    number; the column `to read` counts points for reasons. Type these into the sheets, and call
    again. A file of parts that is not there is written, to fill in.

    companion grade handed_in/
    companion grade handed_in/ --exercises outlier-2 outlier-7 --csv grades.csv
    companion grade handed_in/ --sheets reading/ --parts parts.csv
    """
    from companion.course import grade as grades
    from companion.course import key, reading

    if csv:
        check_writable(csv, suffix=".csv")
    tasks = key.chosen(exercises)
    students = grades.graded(folder, tasks)
    if not exercises:
        set_ = grades.answered(students)
        tasks = [task for task in tasks if task.label in set_]
    print(*grades.table(students, tasks), sep="\n")
    earned = {student.name: 0.0 for student in students}
    if sheets:
        earned, still_open, others = reading.read(sheets, students, tasks)
        left = f"{still_open} cells are empty" if still_open else "all points are typed in"
        print(f"\nSheets to read by are in {sheets}: {left}.")
        if others:
            print(f"Rows of students without a file in {folder} are kept: {', '.join(others)}.")
    if parts:
        print("", *reading.final(students, tasks, earned, reading.points_of(parts, students)),
              sep="\n")  # fmt: skip
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


#: All of them read pages that a checkout alone has.
COMMANDS = (grade, exam)
