"""What a notebook publishes: results with the sentences of its captions file, and guards."""

import ast
import re
import shutil

import pandas as pd
import pytest
from conftest import ROOT, cases, refused

from companion.engine import captions, labels, plots, runpage, style
from companion.engine.captions import CaptionError
from companion.engine.page import Page

FRAME = pd.DataFrame({"x": [1 / 3], "of": ["`a`"]})


@pytest.fixture
def outputs(monkeypatch, tmp_path):
    """What is displayed, data and what is said about it, with the captions above."""
    shutil.copy2(ROOT / "tests/cases/captions_of_a_chapter.yaml", tmp_path / "chapter.yaml")
    monkeypatch.setattr(captions, "CAPTIONS_FOLDER", tmp_path)
    displayed = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, raw, metadata: displayed.append((data, metadata["companion"])),
    )
    return displayed


def drawing(alt="Five marks."):
    return style.Drawing(style.new_figure()[0], alt, FRAME)


def test_results_carry_their_captions_filled(outputs):
    chapter = Page("chapter", "published", seed=0)
    chapter.figure("line", drawing(), models=7, slope=0.756)
    chapter.table("every", FRAME, "", command="measure")
    chapter.by_hand("by-hand", models=7)
    chapter.number({"er-rn50": 1.5}, er_all="2 points")
    chapter.texts(next="Measure more.")
    (figure, about), (table, of_table), *texts = outputs
    assert about == {
        "kind": "figure",
        "label": "line",
        "caption": "7 models lie near a line: 0.76. Grey: others.",
        "more": "See {doc}`/pruning`, seed 0.",
        "alt": "Five marks.",
        "evidence": "published",
    }
    assert figure["text/csv"] == table["text/csv"] == "x,of\n0.333333,a\n"
    assert figure["image/svg+xml"].startswith("<?xml") and style.INK in figure["image/svg+xml"]
    assert of_table["columns"] == {"x": "An input."} and "evidence" not in of_table
    by_label = {about["label"]: data["text/markdown"] for data, about in texts}
    assert [about["label"] for _, about in texts if about.get("by_hand")] == ["by-hand"]
    inline = {about["label"] for _, about in texts if about.get("inline")}
    assert inline == {"er-rn50", "er-all"}  # which the run's own page does not show
    assert by_label.pop("by-hand") == "7 by hand." and by_label.pop("next") == "Measure more."
    assert by_label == {"er-rn50": "1.5", "er-all": "2 points"}


def test_a_slide_is_wide_has_large_type_and_no_caption_and_a_page_leaves_it_out(outputs):
    long = "a quantity with a name that is far too long for an axis of three inches"
    frame = pd.DataFrame({"of": ["a", "b"], "x": [1.0, 2.0], long: [1.0, 2.0], "name": ["a", "b"]})
    drawing = plots.scatter(frame, "x", long, labels="name")
    one = Page("chapter", seed=0)
    one.figure("line", drawing, models=1, slope=1)
    one.slide("line", drawing, 3)
    one.slide("none", None)
    (figure, _), (slide, about), (nothing, _) = outputs
    assert about == {"kind": "slide", "label": "slide-line", "alt": drawing.alt}
    assert (
        'viewBox="0 0 460.8 216"' in slide["image/svg+xml"]
        and "far too long" in figure["image/svg+xml"]
    )
    assert long not in slide["image/svg+xml"], "a long name takes two lines"
    sizes = [float(n) for n in re.findall(r"font(?:-size)?: ([\d.]+)px", slide["image/svg+xml"])]
    assert min(sizes) >= 9 and nothing["text/plain"] == ""
    cell = {"cell_type": "code", "metadata": {}, "source": "", "id": "a"}
    output = {"data": slide, "metadata": {"companion": about}}
    kept = runpage.in_the_pages_order([cell | {"outputs": [output]}], "paper")
    assert [cell["outputs"] for cell in kept] == [[]]


def test_cells_and_numbers_are_written_as_the_captions_say(outputs):
    rows = pd.DataFrame({"of": ["ab", "cd"], "x": [-0.5, None], "y": None, "star": " *"})
    chapter = Page("chapter")
    chapter.table("written", rows, where="here")
    chapter.numbers("group", rows.iloc[0])
    (table, about), (number, of_number) = outputs
    assert table["text/csv"] == "of here,x (%)\na,−50.0 *\nc,not known\n"
    assert about["caption"] == "Cells of here." and "cells" not in about
    assert (of_number["label"], number["text/markdown"]) == ("ab-x", "−0.50")
    with pytest.raises(CaptionError, match=r"'written'.*'star'.*it has \['of', 'x', 'y'\]"):
        chapter.table("written", rows.drop(columns="star"), where="here")


def test_columns_mean_what_their_table_says_or_else_all_tables(outputs):
    (captions.CAPTIONS_FOLDER / "columns.yaml").write_text(
        "every: {columns: {x: Any, y: Shared, z: Hidden}}"
    )
    columns = captions.definitions({"columns": {"x": "Own", "z": ""}}, "| of | x | y | z |")
    assert columns == {"x": "Own", "y": "Shared"}
    Page("chapter").table("headed", [{"of": "a", "x": 1, "y": None}], unit="cm")
    assert outputs[0][1]["columns"] == {"y": "Never", "x cm": "In cm."}


def test_the_pocket_lab_has_captions_of_its_own(outputs):
    Page("chapter", seed=0, edition="pocket").figure("line", drawing(), models=1, slope=1)
    assert outputs[0][1]["caption"] == "Pocket models."


def test_what_was_not_measured_is_said_at_most_once(outputs):
    chapter = Page("chapter", seed=0)
    chapter.table("first", pd.DataFrame(), command="measure")
    chapter.figure("line", None, models=1, slope=1)
    message = style.not_measured("Kurtosis: measure.")
    assert [data["text/markdown"] for data, _ in outputs] == [message, ""]


@pytest.mark.parametrize("drawn", [[1.0, 3.0], [1.0], [20.0, 10.0]])
def test_what_is_drawn_is_what_is_told_beside_it(drawn, outputs):
    """A reader who draws something else does not keep the old words."""
    told = pd.DataFrame({"of": ["a", "b"], "x": [1.0, 2.0], "not an axis": [5.0, 6.0]})
    figure, axes = plots.panels(["one"])
    axes[0].plot(drawn, drawn)
    axes[0].set(xlabel="x")
    publish = Page("chapter", seed=0).figure
    with pytest.raises(ValueError, match=r"'line': what it draws is not .*\['x'\]: give"):
        publish("line", figure, told, says="x from 1 to 2", models=1, slope=1)
    axes[0].scatter([2.0], [0.0])
    axes[0].bar([1], [1])
    publish("line", figure, told, says="x from 1 to 2", models=1, slope=1)


@pytest.mark.parametrize(
    ("publish", "says"),
    [
        (lambda c: c.table("third", FRAME), "has no caption for the result 'third'"),
        (lambda c: c.sentence("by-hand"), r"by-hand: the notebook gives no value for \['models'\]"),
        (lambda c: c.sentence("by-hand", models=1, r=2), r"gives \['r'\], which no text names"),
        (lambda c: c.table("every", FRAME[["of"]], command=""), r"no columns \['x'\]; it has"),
        (lambda c: c.figure("line", drawing(" "), models=1, slope=1), "needs an alternative text"),
        (lambda c: c.texts({"two words": 1}), "must consist of letters, digits and hyphens"),
    ],
)
def test_a_result_and_its_caption_fit_each_other(publish, says, outputs):
    refused(says, publish, Page("chapter", seed=0))


@pytest.mark.parametrize(("text", "says"), cases("tables")["captions"])
def test_captions_that_cannot_be_used_are_named(text, says, outputs):
    (captions.CAPTIONS_FOLDER / "x.yaml").write_text(text)
    refused(says, lambda: Page("x", edition="pocket").table("t", FRAME))


def test_what_a_page_says_is_marked_where_it_does_not_hold(outputs):
    chapter = Page("chapter")
    chapter.holds(3 > 2, "three is more")
    chapter.holds(2 > 3, "two is more", "recorded, live")
    chapter.table("first", FRAME, "live", command="", holds=2 > 3)
    (_, about), (_, of_table), (_, table) = outputs
    about_both, about_table = ("recorded, live", "two is more"), ("live", "Rows")
    assert (about["evidence"], about["says"]) == about_both and "of" not in about  # the whole cell
    assert (of_table["evidence"], of_table["says"]) == about_table and of_table["of"] == "first"
    assert table["label"] == "first"


def plain(text):
    """Words alone: without roles, markup and numbers, which pages take from results."""
    text = re.sub(r"\{result\}`[^`]*`", "#", text)
    text = re.sub(r"\{[\w:-]+\}`([^`<]*?)(?: ?<[^`]*>)?`", r"\1", text)
    text = re.sub(r"[−+-]?\d[\d.,]*\d|\d", "#", text)
    return " ".join(text.replace("*", "").casefold().split())


def test_what_notebooks_guard_is_said_on_a_page():
    pages = [plain(path.read_text()) for path in (ROOT / "book").glob("*.md")]
    pages += [plain((ROOT / "book/guide/pocket_lab.md").read_text())]
    for notebook in (ROOT / "notebooks").glob("*.py"):
        nodes = [*ast.walk(ast.parse(notebook.read_text()))]
        named = {ast.unparse(n.targets[0]): n.value for n in nodes if isinstance(n, ast.Assign)}
        calls = [n for n in nodes if isinstance(n, ast.Call)]
        for said in [n.args[1] for n in calls if ast.unparse(n.func) == "page.holds"]:
            sentence = ast.literal_eval(named.get(ast.unparse(said), said))
            assert any(plain(sentence) in page for page in pages), (notebook.stem, sentence)


NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_caption_is_of_a_result(name):
    """The other way round, a run says it: a result without a caption is an error there."""
    source = (ROOT / f"notebooks/{name}.py").read_text()
    assert f'Page("{name}"' in source or f'Page(\n    "{name}"' in source
    named = captions.read_captions(name)
    assert [label for label in named if not labels.line_in_source(source, label)] == []
