"""The course: the teaching notebooks as files to hand out.

A teaching notebook is a percent source in `course/lessons`. Marks in it make two notebooks of one
source. The student's has blanks: where a line ends in `#: what to compute`, and instead of the
lines between `#:[ what to do` and `#:]`, the body of a function. It also has the code of lines that
are nothing but `#: code`, which check the blanks; the teacher's has neither. Where a line ends in
`#:@ line`, or is nothing else, the notebook that runs in the page has that line in its place.

    python -m companion.engine.course FOLDER    # writes all of them, with what they need
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from analysis.base.roots import CODE, ROOT
from analysis.base.strict import Strict, checked, read_yaml
from analysis.base.texts import CompanionError
from companion.engine import check

TEACH = ROOT / "course" / "lessons"
CHECK = CODE / "companion/engine/check.py"
#: What checks the blanks, of which notebooks have the calls.
BLANKS = TEACH / "checks" / "check_blanks.py"
#: Exercise → its answer with seed 0: for solutions and keys, never handed out.
ANSWERS: dict[str, list[float]] = json.loads(
    (CODE / "companion/engine/answers.json").read_text(encoding="utf-8")
)
#: The notebook of the lab, which stands for the lab sheet's commands.
LAB = TEACH / "lab" / "lab.py"
#: The branch of a repository on GitHub to which the site's workflow publishes all files.
BRANCH = "teach"
BLANK = re.compile(r"^([ ]*(?:return|[\w\[\]:, ]+ [-+*]?=)) [^\n]*?  #: ([^\n]*)$", re.MULTILINE)
BODY = re.compile(r"^([ ]*)#:\[ ([^\n]*)\n(.*?)^[ ]*#:\]\n", re.MULTILINE | re.DOTALL)
IN_THE_PAGE = re.compile(r"^(?:([ ]*)|[^\n]*?  )#:@ ([^\n]*)$", re.MULTILINE)
CHECK_LINE = re.compile(r"^([ ]*)#: ", re.MULTILINE)


class Course(Strict):
    """What is particular to a book; `course/lessons/course.yaml` explains the fields."""

    chapters: Mapping[str, str] = {}
    lab: Mapping[str, str] = {}


def of_book() -> Course:
    """The course of this book; CompanionError if its file is wrong."""
    return _course(TEACH / "course.yaml")


@cache
def _course(path: Path) -> Course:
    if not path.is_file():
        return Course()
    return checked(Course, read_yaml(path), path.name, CompanionError)


def chapter_of(name: str) -> str:
    """The chapter whose exercises a teaching notebook goes with."""
    return of_book().chapters.get(name, name)


def lab_data() -> dict[str, Path]:
    """What the lab's notebook reads: each file by the name that it has next to the notebook."""
    return {name: ROOT / path for name, path in of_book().lab.items()}


def in_the_page(source: str) -> str:
    """A source with the lines for the page: what is too slow in a browser is smaller there."""
    return IN_THE_PAGE.sub(lambda line: (line[1] or "") + line[2], source)


def elsewhere(source: str) -> str:
    """A source without the lines for the page."""
    return re.sub(r"^[ ]*#:@ [^\n]*\n|  #:@ [^\n]*$", "", source, flags=re.MULTILINE)


def teachers(source: str) -> str:
    """A teaching notebook's source with every line, without the marks."""
    source = elsewhere(source)
    marks = r"^[ ]*#: [^\n]*\n|  #: [^\n]*$"
    return re.sub(marks, "", BODY.sub(r"\3", source), flags=re.MULTILINE)


def unmarked(source: str) -> str:
    """A part of a source, for a page, without any mark.

    >>> unmarked("def f(h):\\n    #:[ the mean\\n    return h.mean()  #: a mean\\n")
    'def f(h):\\n    return h.mean()\\n'
    """
    return re.sub(r"^[ ]*#:[^\n]*\n|  #:[^\n]*$", "", source, flags=re.MULTILINE)


def students(source: str, solved: bool = False) -> str:
    """The same with blanks, which are numbers that are none, and checks; or solved, with checks."""
    text = BODY.sub(r"\3" if solved else _blank, elsewhere(source))
    text = text if solved else BLANK.sub(r"\1 np.nan  # your turn: \2", text)
    return CHECK_LINE.sub(r"\1", text)


def _blank(body: re.Match[str]) -> str:
    """Instead of a function's body: what to do, and as many numbers that are none."""
    indent, what, code = body.groups()
    returned = ast.parse(textwrap.dedent(code)).body[-1]
    value = getattr(returned, "value", None)
    count = len(value.elts) if isinstance(value, ast.Tuple) else 1
    return f"{indent}# your turn: {what}\n{indent}return {', '.join(['np.nan'] * count)}\n"


def notebook(name: str, source: str, repository: str = "") -> str:
    """A percent source as the text of an `.ipynb` file, not executed; its last cell checks answers.

    With a repository on GitHub its exercises are links, and a cell gets the files that it needs.
    """
    chapter = chapter_of(name)
    page = (ROOT / "book" / f"{chapter}.md").read_text(encoding="utf-8")
    named = re.findall(r"^:name: (\S+)$", page, re.MULTILINE)
    first = next(label for label in named if label in ANSWERS)
    values = ", ".join(["..."] * len(ANSWERS[first]))
    source += (
        "\n# %% [markdown]\n# **Are your answers to the chapter's exercises right?** Put your own "
        f'label and values in.\n\n# %%\nfrom check import check\n\ncheck("{first}", {values})\n'
    )
    if repository:
        owner, _, project = repository.partition("/")
        site = f"https://{owner}.github.io/{project}/{chapter}.html"
        source = re.sub(r"\b([Ee]xercise )([a-z]+-\d)\b", rf"\1[\2]({site}#\2)", source)
        head, _, rest = source.partition("\n# %%\n")
        source = f"{head}\n# %%\n{_fetching(repository, needs(source))}\n# %%\n{rest}"
    return written(name, source)


def written(name: str, source: str) -> str:
    """A percent source as the text of an `.ipynb` file."""
    import jupytext

    cells = jupytext.reads(source, fmt="py:percent")
    for number, cell in enumerate(cells.cells):
        cell["id"] = f"{name}-{number}"
    return str(jupytext.writes(cells, fmt="ipynb"))


def needs(source: str) -> list[str]:
    """The names of the files that a notebook reads."""
    data = [path.name for path in sorted(TEACH.iterdir()) if f'"{path.name}"' in source]
    blanks = [BLANKS.name] if f"import {BLANKS.stem}" in source else []
    return ["check.json", "check.py", *blanks, *data]


def offered() -> list[str]:
    """The names of all files that notebooks, and exercises in the page, may read."""
    sources = ((TEACH / f"{name}.py").read_text(encoding="utf-8") for name in names())
    read = (file for source in sources for file in needs(source))
    return [*dict.fromkeys([*read, *lab_data()])]


def _fetching(repository: str, names: list[str]) -> str:
    """The code of a cell that gets files, where a notebook came alone."""
    base = f"https://raw.githubusercontent.com/{repository}/{BRANCH}/"
    return (
        "from pathlib import Path\nfrom urllib.request import urlretrieve\n\n"
        f"for name in {names!r}:\n    if not Path(name).exists():\n"
        f"        urlretrieve({base!r} + name, name)\n"
    )


def checking() -> dict[str, bytes]:
    """The program that checks answers, and the answers of all exercises but the exam's."""
    checked = {label: of for label, of in check.HASHED.items() if not label.startswith("exam-")}
    return {
        "check.py": CHECK.read_bytes(),
        "check.json": json.dumps(checked, ensure_ascii=False).encode(),
    }


def files(name: str, repository: str = "", solved: bool = True) -> dict[str, bytes]:
    """What a teaching notebook is handed out with, by file name; without solutions if so asked."""
    source = (TEACH / f"{name}.py").read_text(encoding="utf-8")
    texts = {"requirements.txt": "matplotlib\nnumpy\n"}
    texts[f"{name}_blanks.ipynb"] = notebook(name, students(source), repository)
    if solved:
        texts[f"{name}_solved.ipynb"] = notebook(name, teachers(source), repository)
    copied = ["LICENCE.txt", "README.md", *needs(source)[2:]]
    contents = checking() | {path: text.encode() for path, text in texts.items()}
    beside = {BLANKS.name: BLANKS}
    return contents | {path: beside.get(path, TEACH / path).read_bytes() for path in copied}


def lab(solved: bool = False) -> dict[str, bytes]:
    """What the lab is handed out with, by file name: it needs NumPy alone."""
    source = LAB.read_text(encoding="utf-8")
    texts = {"requirements.txt": "numpy\n", "lab_blanks.ipynb": written("lab", students(source))}
    if solved:
        texts["lab_solved.ipynb"] = written("lab", teachers(source))
    copied = lab_data() | {name: TEACH / name for name in ("LICENCE.txt", "README.md")}
    copied[BLANKS.name] = BLANKS
    contents = {path: text.encode() for path, text in texts.items()}
    return contents | {name: path.read_bytes() for name, path in copied.items()}


def names() -> list[str]:
    """All teaching notebooks."""
    return sorted(path.stem for path in TEACH.glob("*.py"))


def packed(contents: dict[str, bytes]) -> bytes:
    """Files as a zip: equal contents give equal bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def main(folder: Path) -> None:
    """Write all files into a folder; a notebook that is there already stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names():
        for path, content in files(name).items():
            if not (path.endswith(".ipynb") and (folder / path).exists()):
                (folder / path).write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name one folder: python -m companion.engine.course lab")
    main(Path(sys.argv[1]))
