"""What a notebook publishes: equal bytes, tables that align, drawings that tell what they show."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import cases, contrast

from analysis.families.registry import LEVELS
from companion.chapters import figures, picture_rows, pruning_figures, sketches
from companion.engine import plots, style, words
from companion.engine.style import without_markup
from companion.measurements.records import FOLDER, read

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
    "shrinking": lambda: pruning_figures.shrinking(
        pd.DataFrame({"kept": [500, 1], "caption": ["A cat.", "A man."], "right": [True, False]})
    ),
    "lines": lambda: plots.lines(FRAME, "x", "value", log="y", horizontals={"mean": 1}),
    "marks": lambda: plots.marks(FRAME, "value", other="other", note="leader", verticals={"3": 3}),
    "points": lambda: plots.scatter(SERIES, "x", "value", labels="note", log="x"),
    "venn": lambda: picture_rows.venn({"RN50": cases("frames")["regions"]}),
    "pictures": lambda: picture_rows.pictures({"a": [np.zeros((2, 2, 3))] * 2}, "Two."),
    "cells": lambda: sketches.in_cells(CELLS, "language", "robust", {("no", "yes"): "no model"}),
}

#: Drawings of several panels or pictures.
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


@pytest.mark.parametrize(("of", "legends"), [("ab", 1), ("a", 0)])
def test_series_are_named_in_a_legend_and_one_alone_is_not(of, legends):
    parts = [{"of": name, "level": "random", "x": range(3), "y": [1, 2, 3]} for name in of]
    figure = plots.lines(style.stacked(parts), "x", "y").figure
    for _ in range(2):  # as of a drawing that a slide shows as well
        words.lay_out(figure)
    assert len(figure.legends) == legends and not figure.axes[0].texts


@pytest.mark.parametrize("name", DRAWN)
def test_one_drawing_is_for_phone_page_and_slide(name):
    """As wide as a phone shows legibly, and nothing reaches out of it."""
    figure = (DRAWN | WIDE)[name]().figure
    words.lay_out(figure)
    assert figure.get_figwidth() == style.WIDTH
    drawn = figure.get_tightbbox().padded(-0.06)
    assert drawn.x0 >= 0 and drawn.x1 <= style.WIDTH
    least = re.findall(r"font-size: ([\d.]+)px", style.to_svg(figure))
    assert min(map(float, least), default=9) >= 9


def test_names_of_marks_are_apart_and_kappa_has_the_same_logarithmic_axis_everywhere():
    figure = plots.scatter(FRAME.rename(columns={"value": "κ"}), "x", "κ", labels="of").figure
    words.lay_out(figure)
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
