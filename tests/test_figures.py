"""What a notebook publishes: equal bytes, tables that align, drawings that tell what they show."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import cases, contrast
from matplotlib.text import Text

from analysis.families.registry import LEVELS
from companion.chapters import figures, picture_rows, pruning_figures, sketches
from companion.measurements.records import FOLDER, read
from results import plots, style, svg, words
from results.style import without_markup

CASES = cases("drawings")
IMAGES, DIRECTIONS, CONTROL = (
    read(FOLDER / f"{name}--coco_500_images.json")
    for name in (
        "outlier_features/vit_b_16-openai",
        "privileged_directions/vit_b_16-openai",
        "privileged_directions/vit_b_16-random",
    )
)


CURVE = pruning_figures.steps(
    "accuracy (%)", "importance", np.linspace(0.1, 0.6, 10), np.zeros(10), np.ones(10)
).assign(extrapolated=lambda curve: curve["directions kept"] < 2)
FRAME, CELLS = (pd.DataFrame(cases("frames")[name]) for name in ("frame", "cells"))
SERIES = FRAME.assign(series="all")
#: Each drawing, again with the same data.
DRAWN = {
    "kurtosis": lambda: figures.kurtosis({"CLIP": IMAGES}),
    "profiles": lambda: figures.profiles({"CLIP": IMAGES}, 6),
    "heat maps": lambda: figures.heat_maps({"CLIP": IMAGES}),
    "importance": lambda: figures.importance({"CLIP": DIRECTIONS, "random": CONTROL}, 10),
    "pruning": lambda: pruning_figures.curves({"CLIP": CURVE}),
    "cone": lambda: figures.clouds(
        {
            "images": ("zero_shot", np.array([[0.2, 0.1], [0.4, -0.3]])),
            "texts": ("captions", np.ones((2, 2))),
        },
        ("v1", "v2"),
        "gap",
    ),
    "turned": lambda: figures.clouds(
        {"κ = 3": ("zero_shot", np.array([[0.2, 0.1], [0.4, 0.3]]))}, ("x", "y"), apart=True
    ),
    "strips": lambda: pruning_figures.strips(np.arange(1.0, 5), {"half": (2, 0.5)}),
    "lines": lambda: plots.lines(FRAME, "x", "value", log="y", horizontals={"mean": 1}),
    "marks": lambda: plots.marks(FRAME, "value", other="other", note="leader", verticals={"3": 3}),
    "points": lambda: plots.scatter(SERIES, "x", "value", labels="note", log="x"),
    "venn": lambda: picture_rows.venn({"RN50": cases("frames")["regions"]}),
    "pictures": lambda: picture_rows.pictures({"a": [np.zeros((2, 2, 3))] * 2}, "Two."),
    "cells": lambda: sketches.in_cells(CELLS, "language", "robust", {("no", "yes"): "no model"}),
}

#: Drawings that are wider than a phone.
WIDE = {
    "heat maps": lambda: figures.heat_maps(dict.fromkeys("ab", IMAGES)),
    "venn": lambda: picture_rows.venn(dict.fromkeys("ab", cases("frames")["regions"])),
    "pictures": lambda: picture_rows.pictures({"one,\nof two": [np.zeros((2, 2, 3))] * 9}, "Nine."),
    "marks": DRAWN["marks"],
}


@pytest.mark.parametrize("name", DRAWN)
def test_drawings_say_and_hand_over_what_they_show_and_come_out_equal(name):
    drawing, (words, rows) = DRAWN[name](), CASES[name]
    assert words in drawing.alt
    text = None if drawing.data is None else style.to_csv(drawing.data)
    assert text == rows or text.startswith(rows), text[:200]
    first, second = style.to_svg(drawing.figure), style.to_svg(DRAWN[name]().figure)
    assert "<dc:date>" not in first
    assert first == second


def test_text_in_a_drawing_is_text_and_marks_bear_their_names():
    svg = style.to_svg(plots.scatter(FRAME.assign(of="a <b>"), "x", "value").figure)
    assert re.search(r"<text [^>]*Verdana[^>]*>value</text>", svg)
    assert svg.count("<title>a &lt;b&gt;</title>") == 3
    assert "tooltip:" not in svg


@pytest.mark.parametrize(
    ("first", "second", "names", "legends"),
    [
        ([1, 2, 3], [3, 3, 3], ["a", "b"], 0),
        ([1, 2, 3], [1.01, 2, 3], ["a and b"], 0),
        ([0, 9] * 50, [9, 0] * 50, [], 1),
    ],
)
def test_series_are_named_next_to_them_and_in_a_legend_where_they_are_not_apart(
    first, second, names, legends
):
    both = {"a": first, "b": second}.items()
    parts = [{"of": of, "level": "random", "x": range(len(y)), "y": y} for of, y in both]
    figure = plots.lines(style.stacked(parts), "x", "y").figure
    words.place_names(figure)
    (axes,) = figure.axes
    assert ([text.get_text() for text in axes.texts], len(figure.legends)) == (names, legends)
    lines = [line.get_transform().transform(line.get_xydata()) for line in axes.lines]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(box.count_contains(line) for box in boxes for line in lines)


@pytest.mark.parametrize("name", WIDE)
def test_every_drawing_has_a_form_as_wide_as_a_phone(name):
    figure = WIDE[name]().figure
    assert svg.stack_panels(figure) and figure.get_figwidth() == style.PHONE
    drawn = figure.get_tightbbox().padded(-0.02)
    assert drawn.x0 >= 0 and drawn.x1 <= style.PHONE


@pytest.mark.parametrize("name", ["points", "marks"])
def test_a_picture_leaves_words_as_wide_as_they_are_in_a_drawing(name):
    """A picture has more dots. On phones, names would be placed as if they were wider."""
    plain, pictured = (DRAWN[name]().figure for _ in range(2))
    for figure in (plain, pictured):
        figure.set_figwidth(8)
        words.place_names(figure)
        figure.set_layout_engine(None)
    style.to_png(pictured)
    texts = zip(plain.findobj(Text), pictured.findobj(Text), strict=True)
    widths = [[text.get_window_extent().width for text in both] for both in texts]
    assert any(width for width, _ in widths)
    assert [width for width, _ in widths] == pytest.approx([width for _, width in widths])
    narrow = []
    for figure in (plain, pictured):
        assert svg.stack_panels(figure)
        narrow.append(style.to_svg(figure))
    assert narrow[0] == narrow[1]


def test_names_of_marks_are_apart_and_kappa_has_the_same_logarithmic_axis_everywhere():
    figure = plots.scatter(FRAME.rename(columns={"value": "κ"}), "x", "κ", labels="of").figure
    words.place_names(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert [box.count_overlaps(boxes) for box in boxes] == [1, 1]
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


@pytest.mark.parametrize(("cell", "text"), cases("tables")["plain"])
def test_a_cell_in_a_file_has_no_markup(cell, text):
    assert without_markup(cell) == text


def test_what_shares_no_quantity_shares_no_axis():
    """Two candidates in two panels: each has an x axis of its own, which its name labels."""
    frame = FRAME.drop(columns=["low", "high"])
    left, right = plots.scatter(frame, "value", "x").figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("activation kurtosis κ", "ER")
    assert left.get_xlim() != right.get_xlim()


def test_every_level_has_a_colour_that_stands_out_and_a_marker_of_its_own():
    assert tuple(style.LEVEL_STYLES) == LEVELS
    for part in ("colour", "marker", "title"):
        assert len({getattr(look, part) for look in style.LEVEL_STYLES.values()}) == len(LEVELS)
    kinds = {look.colour for look in style.CONTRASTED.values()} - {style.INK}  # as the theme
    assert not kinds & {look.colour for look in style.LEVEL_STYLES.values()}
    for colour in (*kinds, *(look.colour for look in style.LEVEL_STYLES.values())):
        assert min(contrast(colour, page) for page in ("#ffffff", "#121212")) >= 3


@pytest.mark.parametrize(("scale", "ends", "ticks"), cases("frames")["ticks"])
def test_scales_have_plain_ticks_within_the_data(scale, ends, ticks):
    figure, axes = style.new_figure()
    getattr(style, scale)(axes.xaxis, *ends)
    figure.canvas.draw()
    assert [t.get_text() for t in axes.get_xticklabels()] == ticks.split()


def test_tables_align_numbers_and_escape_pipes():
    frame = pd.DataFrame({"a|b": ["x|y", "z"], "value": ["+1.0 ± 0.2", "not measured"]})
    head = "| a\\|b | value |\n| :--- | ---: |\n"
    rows = "| x\\|y | +1.0 ± 0.2 |\n| z | not measured |"
    assert style.to_markdown(frame).strip() == head + rows


def test_points_have_minus_signs_and_names_hyphens():
    assert (style.points(0.1234), style.points(np.nan)) == ("+12.3", "n/a")
    assert style.points(-0.05, 0.004) == "−5.0 ± 0.4"
    assert style.minus("ImageNet-1k -0.5 (-1 to -0.2)") == "ImageNet-1k −0.5 (−1 to −0.2)"
