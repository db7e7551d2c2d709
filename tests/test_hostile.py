"""Hostile texts in what a reader takes along: slides, downloads, reports, notebooks, hand-outs.

Each payload has a mark of its own, so that each way must show which of them got in, and that none
of them became an element or an attribute that runs it. What a project writes of such texts is
opened in Chromium by a slow test of `test_faults`.
"""

import ast
import base64
import csv
import io
import json
import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from conftest import cases

from analysis.base.texts import as_words
from companion.cli import evidence_commands
from companion.course import grade, key
from companion.engine import captions, course, downloads, plots, single_page, slides, style
from companion.engine.page import Page
from companion.measurements import export as exporting

MARKS = [f"window.ran={100 + n}" for n in range(len(cases("faults")["texts"]))]
#: Texts as they are, and as a page has those that a stranger's file or folder is called.
TEXTS = [
    text.replace("MARK", mark)
    for mark, text in zip(MARKS, cases("faults")["texts"].values(), strict=True)
]
WORDS = [as_words(text) for text in TEXTS]
BOOK = downloads.Book(TEXTS[0], TEXTS[1], "2026")
CAPTIONS = """
seen, listed:
  caption: "The finding is of {who}. So it is."
  more: "It is of {who}."
  method: "It was measured with {who}."
"""
ADDRESSES = ("href", "xlink:href", "src", "action", "formaction", "data")


class Read(HTMLParser):
    """What of a page, or a drawing, would run something, and all of its text."""

    def __init__(self, text):
        super().__init__()
        self.runs, self.element, self.texts = [], "", []
        self.feed(text)
        self.close()
        self.text = " ".join(self.texts)

    def handle_starttag(self, name, given):
        self.element = name
        for attribute, value in given:
            value = value or ""
            scheme = "".join(value.split()).lower().startswith(("javascript:", "data:text/html"))
            if attribute.startswith("on") or attribute in ("srcdoc", "autofocus"):
                self.runs.append(f"{name} {attribute}={value}")
            if attribute in ADDRESSES and scheme:
                self.runs.append(f"{name} {attribute}={value}")
            self.texts.append(value)

    def handle_endtag(self, name):
        self.element = ""

    def handle_data(self, data):
        self.texts.append(data)
        if self.element == "script" and "window.ran" in data:
            self.runs.append(f"script {data}")


def got_in(text, marks=MARKS):
    """Assert that no payload of a page runs, and that all of these are in its text."""
    read = Read(text)
    assert read.runs == []
    assert [mark for mark in marks if mark not in read.text] == []


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A figure, the same for slides, and a table of such names: an executed notebook."""
    folder, outputs = tmp_path_factory.mktemp("captions"), []
    (folder / "hostile.yaml").write_text(CAPTIONS)

    def display(data, raw, metadata):
        outputs.append(nbformat.v4.new_output("display_data", data, metadata=metadata))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captions, "CAPTIONS_FOLDER", folder)
        patch.setattr("IPython.display.display", display)
        drawing = plots.marks(pd.DataFrame({"of": WORDS, "share": 0.5}), "share", label=WORDS[14])
        drawing = drawing._replace(alt=" ".join(TEXTS))
        hostile = Page("hostile", "live", who=" ".join(WORDS))
        hostile.figure("seen", drawing)
        hostile.table("listed", pd.DataFrame({"of": TEXTS + WORDS, TEXTS[14]: "x"}))
        hostile.slide("seen", drawing)
    cells = [nbformat.v4.new_code_cell("1", outputs=outputs)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize("text", TEXTS[:2] + TEXTS[14:16])
def test_a_payload_that_is_not_escaped_is_noticed(text):
    assert Read(f"""<p title="{text}">{text}</p><p title='{text}'></p>""").runs


def test_slides(results):
    found = {o.metadata["companion"]["label"]: o for o in results.cells[0].outputs}

    def find(reference):
        return found[reference].metadata["companion"], found[reference].data

    lines = "\n\n".join(" ".join(text.split()) for text in TEXTS)
    got_in(slides.deck(f"# {lines}\n\n> 3 min: {TEXTS[14]}", find))
    for name in found:
        got_in(slides.deck(f"# A\n\n> 1 min\n\n```{{result}} {name}\n```\n", find))


def test_downloads(results):
    files = dict(downloads.files(results, "hostile/mine", "abc", BOOK))
    drawn = {f"seen.{end}" for end in ("svg", "csv", "bib")}
    assert {*files} == drawn | {"listed.csv", "listed.bib"}
    got_in(files["seen.svg"].decode())
    for name, rows in (("seen.csv", len(TEXTS)), ("listed.csv", 2 * len(TEXTS))):
        read = [*csv.reader(io.StringIO(files[name].decode()))]
        assert len(read) == 1 + rows and {len(row) for row in read} == {2}
        assert [mark for mark in MARKS if mark not in files[name].decode()] == []


def test_citations():
    """No text ends its field for BibTeX, which counts braces; TeX reads no command in it."""
    for text in TEXTS:
        note = {"kind": "table", "caption": text, "evidence": text}
        entry = downloads.bibtex("hostile/mine#seen", note, "abc", downloads.Book(*[text] * 3))
        depths = [0]
        for character in entry.partition("{")[2].rstrip("}\n"):
            depths.append(depths[-1] + {"{": 1, "}": -1}.get(character, 0))
        assert depths[-1] == min(depths) == 0, entry
        assert {*re.findall(r"\\([a-z]+)", entry)} <= {
            name[1:-2] for name in downloads.TEX.values()
        }
        assert re.search(r"window\.ran=1\d\d", entry)


def test_reports(results):
    shown = nbformat.from_dict(results)
    shown.cells = [nbformat.v4.new_markdown_cell(" ".join(TEXTS)), *results.cells]
    shown.cells[1].outputs = results.cells[0].outputs[:2]
    report = single_page.page(
        shown, " ".join(TEXTS), lambda note: downloads.bibtex("hostile#seen", note, "abc", BOOK)
    )
    got_in(report)
    held = re.findall(r'href="data:image/svg\+xml;base64,([^"]*)"', report)
    assert len(held) == 1
    got_in(base64.b64decode(held[0]).decode())


def test_notebooks_hold_no_html(results):
    """An executed notebook opens in Jupyter, which shows these kinds alone as they are."""
    for output in results.cells[0].outputs:
        assert not {"text/html", "application/javascript", "text/latex"} & {*output.data}
        if output.metadata["companion"]["kind"] != "table":
            got_in(output.data["image/svg+xml"])


def test_hand_outs(monkeypatch, tmp_path):
    """Notebooks are handed out as they are written; no file's name ends a text in their code."""
    names = sorted(text.replace("/", "|").replace("\n", " ") + ".npz" for text in TEXTS)
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(course, "TEACH", tmp_path)
    said = "".join(f"# {line}\n" for text in TEXTS for line in text.splitlines())
    read = "".join(f'# "{name}"\n' for name in names)
    source = f"# %% [markdown]\n{said}\n# %%\n{read}1  #: {TEXTS[14]}\n"
    for text in (course.teachers(source), course.students(source), course.students(source, True)):
        handed = course.notebook("outlier_features", text, "someone/a-book")
        notebook = nbformat.reads(handed, as_version=4)
        assert [mark for mark in MARKS if mark not in handed] == []
        code = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
        loop = next(node for cell in code for node in cell.body if isinstance(node, ast.For))
        assert ast.literal_eval(loop.iter) == ["check.json", "check.py", *names]
        assert not any(cell.get("outputs") for cell in notebook.cells)
        nbformat.validate(notebook)


#: Texts that a spreadsheet runs, or asks to.
FORMULAS = [
    *("=HYPERLINK(window.ran)", "@SUM(1)", "+1+cmd", "-2+3", " =1+1", "\xa0=1+1", "＝1+1"),
    *("－1＋1", "\u200b=1", "\ufeff@A1"),
]


def runs(cell):
    """Whether a spreadsheet takes a cell for a formula."""
    begins = re.match(r"[\s\u200b\ufeff]*[=+@＝＋－＠-]", cell)
    return begins and not re.fullmatch(r"-\d+", cell)


def test_no_cell_of_any_csv_is_a_formula(tmp_path, monkeypatch):
    """Each writer of what strangers called is asked: downloads of the book, and `export`."""
    frame = pd.DataFrame({"model": FORMULAS, "=1": [f"**{text}**" for text in FORMULAS]})
    frame["k"] = -1.5
    table = pd.read_csv(io.StringIO(style.to_csv(frame)), dtype=str, header=None)
    exported = frame.rename(columns={"=1": "one"})
    monkeypatch.setattr(exporting, "everything", lambda families: exported)
    evidence_commands.export(tmp_path / "all.csv")
    whole = pd.read_csv(tmp_path / "all.csv", dtype=str)
    cells = [*table.to_numpy().ravel(), *whole.to_numpy().ravel()]
    assert len(cells) > 50 and not [cell for cell in cells if runs(cell) and cell != "-1.5"]
    assert "-1.5" in cells and "'@SUM(1)" in cells


def test_grades(tmp_path):
    """A student's folder is called as she likes: it is a text in a cell, and no formula."""
    names = [text.replace("/", "|").replace("\n", " ") for text in TEXTS]
    names += [*filter(str.isprintable, FORMULAS), "-1"]
    for name in names:
        (tmp_path / name).mkdir()
        answers = {"outlier-3": {"values": [1, 2], "time": f"={name}", "attempts": 1}}
        (tmp_path / name / "answers.json").write_text(json.dumps({"answers": answers}))
    (tmp_path / names[0] / "answers.json").write_text(names[0])
    tasks = key.chosen(("outlier-3",))
    students = grade.graded(tmp_path, tasks)
    rows = [*csv.DictReader(io.StringIO(grade.as_csv(students, tasks)))]
    assert {row["student"].removeprefix("'") for row in rows} == {*names}
    cells = [cell or "" for row in rows for cell in row.values()]
    assert not [cell for cell in cells if runs(cell)]
    assert all(line.isprintable() for line in grade.table(students, tasks))
