"""The exercises' answers as tests of otter-grader, which many courses grade notebooks with.

A student gives an exercise's values the name of its label, `outlier_3 = 16.3, 35`; each criterion
of the answer key that counts values is one test. The tests ask `check`, which is written with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from base.files import write_text
from companion.course.key import CourseError, Criterion, Worth
from results import course

FOLDER = "tests"


def test_file(task: Worth) -> str:
    """One test file of otter-grader, in its dictionary of doctests."""
    name = task.label.replace("-", "_")
    cases = [
        {"code": _code(task.label, name, one), "hidden": False, "locked": False,
         "points": one.points}
        for one in task.criteria if one.values
    ]  # fmt: skip
    suite = {"cases": cases, "scored": True, "setup": "", "teardown": "", "type": "doctest"}
    return (
        f"OK_FORMAT = True\n\ntest = {dict(name=name, points=task.of_values, suites=[suite])!r}\n"
    )


def _code(label: str, name: str, criterion: Criterion) -> str:
    return (
        ">>> from check import judged, numbers\n"
        f">>> given = numbers({label!r}, [{name}])\n"
        f">>> found = judged({label!r}, given, globals().get('student_number'))\n"
        f">>> all(found.right[place] for place in {criterion.values!r})\nTrue"
    )


def notebook(tasks: Sequence[Worth]) -> str:
    """A notebook with a place for each answer."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    first = (
        "import otter\n\ngrader = otter.Notebook()\nstudent_number = None  # yours, if you have one"
    )
    cells = [new_markdown_cell("# Answers"), new_code_cell(first)]
    for task in tasks:
        name = task.label.replace("-", "_")
        cells += [
            new_markdown_cell(f"Exercise {task.label}: one value, or several with commas between."),
            new_code_cell(f"{name} = ..."),
            new_code_cell(f'grader.check("{name}")'),
        ]
    for place, cell in enumerate(cells):
        cell["id"] = f"answers-{place}"
    return str(nbformat.writes(new_notebook(cells=cells)))


def write(folder: Path, tasks: Sequence[Worth]) -> list[Path]:
    """Write the tests, what they import and a notebook for the answers; returns their paths.

    Raises CourseError, before anything is written, if the notebook is there already.
    """
    if (folder / "answers.ipynb").exists():
        raise CourseError(f"{folder}/answers.ipynb is there already: name another folder.")
    texts = {f"{FOLDER}/{task.label.replace('-', '_')}.py": test_file(task) for task in tasks}
    texts |= {name: content.decode() for name, content in course.checking().items()}
    texts["answers.ipynb"] = notebook(tasks)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text)
    return [folder / name for name in texts]
