"""What a notebook meets: measurements as a frame, and a page that takes any figure."""

import re

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from conftest import ROOT, refused
from test_page import outputs  # noqa: F401 - a fixture

from companion import book
from companion.chapters import measured as titles
from companion.engine import captions, execute, plots
from companion.engine.page import Page

CURVES = pd.DataFrame({"x": [1, 2, 1, 2], "y": [1.0, 2, 3, 4], "of": [*"aabb"]})


@pytest.mark.parametrize("experiment", ["outlier_features", "basis", "quantisation"])
def test_a_frame_has_a_row_for_each_measurement_and_its_numbers(experiment):
    found = book.measured(experiment, "paper", "contrast")
    records = titles.of_editions(experiment, "paper", "contrast")
    assert len(found) == len(records) > 20 and found["title"].is_unique
    for row, m in zip(found.to_dict("records"), records, strict=True):
        assert row["record"] == m and row["title"] == titles.set_title(m)
        for name in m.values:
            assert np.array_equal(row[name], m.value(name))
    kept = [m.place for m in titles.one_set_each(records)]
    assert [m.place for m in book.front(found)["record"]] == kept


def test_two_rows_of_one_title_are_refused():
    found = book.measured("outlier_features", "vit_b_16")
    refused("two rows have the title", book.titled, pd.concat([found, found.head(1)]))


def test_titles_and_columns_do_not_depend_on_which_rows_are_left():
    """No row 0 is needed, and nothing is lost by a filter, a merge or a pivot."""
    found = book.measured("outlier_features", "vit_b_16")
    nothing = found[found["level"] == "supervised"]
    for frame in (nothing, book.front(nothing), book.measured("pruning_under_shift", "rn50")):
        assert len(frame) == 0 and {"title", "evidence", "record"} < {*frame}
    assert [*book.titled(found[::-1])["title"]] == [*found["title"]][::-1]
    assert book.declared(nothing).columns == {}


def test_a_readers_own_figure_is_published_once_with_one_legend(outputs):  # noqa: F811
    figure, axes = plt.subplots()
    sns.lineplot(CURVES, x="x", y="y", hue="of", ax=axes)
    axes.set(xscale="log", xlabel="inputs")
    page = Page("chapter", seed=0)
    page.figure("line", figure, CURVES, says="b lies −above a", slide=3, models=1, slope=1)
    (shown, about), (slide, _) = outputs
    assert about["alt"] == "y against inputs. b lies −above a."
    assert shown["text/csv"].startswith("x,y,of\n1,1,a\n") and "image/png" not in shown
    for svg in (shown["image/svg+xml"], slide["image/svg+xml"]):
        assert svg.count('id="legend_1"') == 1 and svg.count(">b</text>") == 1
    assert not plt.fignum_exists(figure.number), "Jupyter would show it a second time"


def test_what_has_no_rows_needs_no_branch(outputs):  # noqa: F811
    figure, axes = plots.panels([])
    page = Page("chapter", CURVES.assign(evidence="live").head(0), seed=0)
    page.figure("line", figure, CURVES.head(0), says="", slide=3, models=1, slope=1)
    page.table("first", CURVES.head(0), {"a": "{x}"}, command="measure")
    assert [about["label"] for _, about in outputs] == ["line", "slide-line", "first"]
    assert len(axes) == 0 and "Kurtosis: measure." in outputs[2][0]["text/markdown"]


def test_columns_are_named_in_the_notebook(outputs):  # noqa: F811
    page = Page("chapter", "live", seed=0)
    also = book.Also({"new": "{y:digits} | not measured"}, {"new": "A new one."})
    page.table("first", CURVES, {"x": "{of}"}, also=also, means={"x": "Own."}, command="")
    page.table("first", CURVES[["y"]].set_axis(["x"], axis=1) / 3, command="")
    (table, about), (plain, _) = outputs
    assert table["text/csv"].splitlines()[:2] == ["x,new", "a,1.00"]
    assert about["columns"] == {"x": "Own.", "new": "A new one."}
    assert plain["text/markdown"].splitlines()[2] == "| 0.333 |"
    assert plain["text/csv"].splitlines()[1] == "0.333333", "readers get the number"
    refused("has no columns", page.table, "first", CURVES, means={"z": "None."}, command="")


@pytest.mark.parametrize(
    ("name", "family"), [("outlier_features", "rn50x64"), ("effective_robustness", "siglip_b_16")]
)
def test_a_notebook_needs_no_measurement(name, family, outputs, monkeypatch):  # noqa: F811
    """A family of which nothing was measured: boxes and empty texts, and no error."""
    monkeypatch.setattr(captions, "CAPTIONS_FOLDER", ROOT / "book/captions")
    monkeypatch.setattr(book, "available", lambda *_: [])
    source = (ROOT / f"notebooks/{name}.py").read_text()
    exec(re.sub(r'^family: str = "\w+"', f'family = "{family}"', source, flags=re.M), {})
    kinds = [about["kind"] for _, about in outputs]
    assert "figure" not in kinds and "text" in kinds
    if name == "outlier_features":
        assert book.features(book.measured(name, family)) is None, "no numbers stand in unsaid"


def test_another_data_set_leaves_out_the_sentences_on_ours_and_says_so(outputs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(captions, "CAPTIONS_FOLDER", ROOT / "book/captions")
    every = book.measured
    monkeypatch.setattr(
        book, "measured", lambda *of: every(*of).query("not data_set.str.startswith('coco_500_')")
    )
    exec((ROOT / "notebooks/directions_overview.py").read_text(), {})
    told = {about["label"]: data["text/plain"] for data, about in outputs}
    assert "are missing" in told["left-out"] and "importance-largest" not in told


CHANGES = {
    "effective_robustness": ("dodge=0.16)", 'dodge=0.16); axes.set_title("Mine")'),
    "directions_overview": ('aspect="equal"', 'aspect="equal", title="Mine"'),
    "outlier_features": (
        'axes.set_xscale("log")',
        'axes.set_xscale("log"); axes.set_title("Mine")',
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_reader_who_changes_a_line_sees_another_figure(name, tmp_path):
    import papermill

    source = (ROOT / f"notebooks/{name}.py").read_text()
    assert CHANGES[name][0] in source
    drawn = []
    for text in (source, source.replace(*CHANGES[name])):
        path = tmp_path / "mine.py"
        path.write_text(text)
        nbformat.write(execute._as_ipynb(path), path.with_suffix(".ipynb"))
        done = papermill.execute_notebook(
            path.with_suffix(".ipynb"), None, cwd=str(ROOT), progress_bar=False
        )
        shown = [o for c in done.cells for o in c.get("outputs", []) if "data" in o]
        assert not [o for o in shown if "image/png" in o["data"]], "shown a second time"
        drawn.append("".join(o["data"].get("image/svg+xml", "") for o in shown))
    assert "Mine" in drawn[1] and "Mine" not in drawn[0]
