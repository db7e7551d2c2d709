"""What students write into blanks: right bodies pass all checks, wrong ones are stopped."""

import ast
import importlib.util
import re
import textwrap
import warnings
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from conftest import cases
from right_answers import RIGHT

from companion.engine import course

#: Notebook → its source: all that are handed out with blanks.
SOURCES = {name: (course.TEACH / f"{name}.py").read_text() for name in course.names()}
SOURCES["lab"] = course.LAB.read_text()
SPEC = importlib.util.spec_from_file_location("check_blanks", course.BLANKS)
CHECKS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CHECKS)
CELLS = {name: source.split("\n# %%") for name, source in SOURCES.items()}
MARKS = (course.BODY, course.BLANK)
#: Notebook and function → the cell in which its body, or its last line, is a blank.
BODIES = {
    (name, function.name): (cell, body)
    for name, cells in CELLS.items()
    for cell in cells
    for marks in MARKS
    for body in marks.finditer(cell)
    for function in ast.parse(cell).body
    if isinstance(function, ast.FunctionDef)
    if function.lineno <= cell[: body.start()].count("\n") + 1 <= function.end_lineno
}


def indented(body):
    return re.match("[ ]*", body[0].lstrip("\n"))[0]


def checked(name, cell, body, code):
    """Run a cell with code in the place of one body, up to the last line that checks it.

    The cells before count with their functions alone; of drawn numbers there are some.
    """
    written = textwrap.indent(textwrap.dedent(code).strip() + "\n", indented(body))
    changed = cell[: body.start()] + written.removesuffix("\n" * (body.re is course.BLANK))
    changed += cell[body.end() :]
    lines = changed.splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith("#: "))
    source = "\n".join(lines[: last + 1]).split("\n", 1)[1]
    names = {"np": np, "combinations": combinations, "rng": np.random.default_rng(0)}
    names["check_blanks"] = CHECKS
    for earlier in CELLS[name]:  # functions that it may call
        if earlier == cell:
            break
        exec(course.teachers(functions(earlier)), names)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(course.students(source, solved=True), name, "exec"), names)


def printed(body):
    return body[3] if body.re is course.BODY else body[0].split("  #: ")[0].strip("\n") + "\n"


CHANGED = [
    (name, function, textwrap.dedent(printed(BODIES[name, function][1])).replace(old, new))
    for name, functions in cases("wrong_bodies").items()
    for function, changes in functions.items()
    for old, every in changes.items()
    for new in every
]
WRITTEN = [
    (name, function, code)
    for name, functions in cases("written_bodies").items()
    for function, codes in functions.items()
    for code in codes
]
ALL_WRONG = [*dict.fromkeys([*CHANGED, *WRITTEN])]


def functions(cell):
    if cell.startswith(" [markdown]") or "def " not in cell:
        return ""
    lines = cell.splitlines()
    nodes = [node for node in ast.parse(cell).body if isinstance(node, ast.FunctionDef)]
    return "\n".join("\n".join(lines[n.lineno - 1 : n.end_lineno + 1]) for n in nodes)


def test_every_blank_function_has_wrong_answers():
    counts = Counter((name, function) for name, function, _ in ALL_WRONG)
    assert {*counts} == {*BODIES} and min(counts.values()) >= 10
    assert not [one for one in CHANGED if one[2] == textwrap.dedent(printed(BODIES[one[:2]][1]))]


@pytest.mark.parametrize(("name", "function"), BODIES)
def test_the_printed_body_passes_and_an_empty_one_is_stopped(name, function):
    cell, body = BODIES[name, function]
    checked(name, cell, body, printed(body))
    empty = course.students(body[0].strip("\n") + "\n")
    assert "# your turn: " in empty and "return np.nan" in empty
    with pytest.raises(AssertionError, match=r"\.$"):
        checked(name, cell, body, empty)


@pytest.mark.parametrize(("name", "function", "code"), RIGHT)
def test_a_right_body_in_other_words_passes(name, function, code):
    checked(name, *BODIES[name, function], code)


@pytest.mark.parametrize(("name", "function", "code"), ALL_WRONG)
def test_a_wrong_body_is_stopped_where_it_is_written(name, function, code):
    """By a sentence, or by an error of NumPy's that names the shapes."""
    with pytest.raises((AssertionError, ValueError, TypeError, IndexError)) as stopped:
        checked(name, *BODIES[name, function], code)
    assert not isinstance(stopped.value, AssertionError) or re.search(r"\.$", str(stopped.value))


@pytest.mark.parametrize("name", SOURCES)
def test_checks_leave_the_names_of_the_notebook_alone(name):
    def assigned(source):
        statements = [s for s in ast.parse(source).body if not isinstance(s, ast.FunctionDef)]
        nodes = [node for statement in statements for node in ast.walk(statement)]
        return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}

    checks = "\n".join(re.findall(r"^#: (.*)$", SOURCES[name], re.M))
    assert assigned(checks) & assigned(course.teachers(SOURCES[name])) == set()


FALSE = [
    ("mean_share", lambda h: ((h / CHECKS._length(h)) ** 2).mean(axis=0).sum(), "axis 1"),
    ("adam", lambda m, s: m / s, "Add 1e-8 to the root"),
    ("kurtosis", lambda h: (CHECKS._scaled(CHECKS._own(h)) ** 4).mean(axis=1).min(), "first"),
    (
        "kurtosis_and_share",
        lambda h: (
            (CHECKS._scaled(CHECKS._own(h)) ** 4).mean(),
            np.bincount(np.abs(h).argmax(axis=1)).max() / len(h),
        ),
        "take np.abs",
    ),
    ("accuracy", lambda h, head, y: ((h @ head.T).argmax(axis=0) == y).mean(), "shape"),
]


@pytest.mark.parametrize(("name", "function", "said"), FALSE)
def test_no_mistake_is_named_that_was_not_made(name, function, said):
    """Where two mistakes give one result, the sentence is the recipe."""
    with pytest.raises(AssertionError) as stopped, np.errstate(all="ignore"):
        CHECKS.check(function, name)
    assert said not in str(stopped.value)
