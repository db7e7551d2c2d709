"""What students write into blanks: right bodies pass all checks, wrong ones are stopped."""

import ast
import re
import textwrap
from itertools import combinations

import numpy as np
import pytest
from conftest import ROOT
from wrong_answers import RIGHT, WRONG

from results import course

TEACH = ROOT / "notebooks" / "teach"
#: Notebook → its cells that have blank functions and code that checks them.
CELLS = {
    name: [
        cell
        for cell in (TEACH / f"{name}.py").read_text().split("\n# %%")
        if course.BODY.search(cell)
    ]
    for name in course.names()
}
BODIES = {
    (name, function.name): (cell, body)
    for name, cells in CELLS.items()
    for cell in cells
    for function in ast.parse(cell).body
    if isinstance(function, ast.FunctionDef)
    for body in course.BODY.finditer(cell)
    if function.lineno <= cell[: body.start()].count("\n") + 1 <= function.end_lineno
}


def checked(name, cell, body, code):
    """Run a cell with code in the place of one body, up to the last line that checks it."""
    written = textwrap.indent(textwrap.dedent(code).strip() + "\n", body[1])
    changed = cell[: body.start()] + written + cell[body.end() :]
    lines = changed.splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith("#: "))
    source = "\n".join(lines[: last + 1]).split("\n", 1)[1]
    names = {"np": np, "combinations": combinations}
    for earlier in CELLS[name]:  # functions that it may call
        if earlier == cell:
            break
        exec(course.teachers(functions(earlier)), names)
    with np.errstate(all="ignore"):
        exec(compile(course.students(source, solved=True), name, "exec"), names)


def functions(cell):
    lines = cell.splitlines()
    nodes = [node for node in ast.parse(cell).body if isinstance(node, ast.FunctionDef)]
    return "\n".join("\n".join(lines[n.lineno - 1 : n.end_lineno + 1]) for n in nodes)


def test_every_blank_function_has_wrong_answers():
    assert {pair for pair in BODIES} == {(name, function) for name, function, _ in WRONG}
    assert len(WRONG) >= 90 and len({*WRONG}) == len(WRONG)


@pytest.mark.parametrize(("name", "function"), BODIES)
def test_the_printed_body_passes_and_an_empty_one_is_stopped(name, function):
    cell, body = BODIES[name, function]
    checked(name, cell, body, body[3])
    empty = course.students(body[0])
    assert "# your turn: " in empty and "return np.nan" in empty
    with pytest.raises(AssertionError, match=r"\.$"):
        checked(name, cell, body, empty)


@pytest.mark.parametrize(("name", "function", "code"), RIGHT)
def test_a_right_body_in_other_words_passes(name, function, code):
    checked(name, *BODIES[name, function], code)


@pytest.mark.parametrize(("name", "function", "code"), WRONG)
def test_a_wrong_body_is_stopped_where_it_is_written(name, function, code):
    """By a sentence, or by an error of NumPy's that names the shapes."""
    with pytest.raises((AssertionError, ValueError, TypeError, IndexError)) as stopped:
        checked(name, *BODIES[name, function], code)
    assert not isinstance(stopped.value, AssertionError) or re.search(r"\.$", str(stopped.value))
