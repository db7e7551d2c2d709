"""What a notebook publishes: equal bytes, tables that align, drawings that tell what they show."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import contrast

from analysis.families.registry import LEVELS
from analysis.metrics.robustness import Baseline
from companion.measurements.records import FOLDER, read
from companion.publish import diagrams, figures, pictures, plots, style
from companion.publish.svg import plain

REGIONS = dict(
    zip(
        ("zero_shot_only", "zero_shot_finetuned", "zero_shot_supervised", "all", "finetuned_only",
         "finetuned_supervised", "supervised_only"),
        (10, 4, 0, 30, 2, 1, 5), strict=True,
    )
)  # fmt: skip


IMAGES, DIRECTIONS, CONTROL = (
    read(FOLDER / experiment / f"vit_b_16-{name}--coco_500_images.json")
    for experiment, name in (
        ("outlier_features", "openai"), ("privileged_directions", "openai"),
        ("privileged_directions", "random"),
    )
)  # fmt: skip


LINE = Baseline(1.0, 0.0, 1.0)
POOL = pd.DataFrame({"imagenet": [0.2, 0.5, 0.8], "shifted": [0.2, 0.5, 0.8]})
CURVE = figures.steps("accuracy (%)", "importance", np.linspace(0.1, 0.6, 10), np.zeros(10),
                      np.ones(10))  # fmt: skip
ENDS = ((0.1, 0.9), (0.1, 0.9))
FRAME = pd.DataFrame(
    {"panel": ["κ", "κ", "ER"], "of": ["CLIP", "ResNet", "CLIP"], "x": [1.0, 2, 3],
     "level": ["zero_shot", "supervised", "zero_shot"],
     "value": [90.0, 3, 12], "low": [80.0, 2, 11], "high": [99.0, 4, 13],
     "other": [3.0, 3, 5], "note": ["442", "none", ""]}
)  # fmt: skip
CELLS = pd.DataFrame(
    {"of": ["a", "b", "c"], "level": ["zero_shot", "zero_shot", "supervised"],
     "series": "s", "language": ["yes", "yes", "no"], "robust": ["yes", "yes", "no"]}
)  # fmt: skip
#: Each drawing with the same data, what its alternative text must say, and the first rows of
#: its data as a file.
DRAWN = {
    "kurtosis": (
        lambda: figures.kurtosis({"CLIP": IMAGES}), "CLIP: 0.00 at 16.7, 50.0 at 85.6, 100 at 182",
        "of,level,activation kurtosis κ,share with less (%)\nCLIP,zero_shot,16.72,0\n",
    ),
    "profiles": (
        lambda: figures.profiles({"CLIP": IMAGES}, 6), "CLIP: coordinate 442 at 24.1, the second",
        "of,level,coordinate,times the mean\nCLIP,zero_shot,0,1.133\n",
    ),
    "heat maps": (
        lambda: figures.heat_maps({"CLIP": IMAGES}), "CLIP: coordinate 442 from 10.7 to 16.6",
        "of,image,z,coordinate\nCLIP,0,13.13,442\n",
    ),
    "importance": (
        lambda: figures.importance({"CLIP": DIRECTIONS, "random": CONTROL}, 10),
        "CLIP, head as it is: 162 at 1.00, 24.6 at 2.00",
        'panel,of,"direction, by importance","importance, times the mean"\n'
        "CLIP,head as it is,1,161.8\n",
    ),
    "pruning": (
        lambda: figures.pruning({"CLIP": CURVE.assign(extrapolated=CURVE["directions kept"] < 2)}),
        "CLIP, least important first: 15.6 at 80.0, 60.0 at 0.00",
        "panel,quantity,of,directions kept,value,low,high\n"
        "CLIP,accuracy (%),least important first,1,10,0,100\n",
    ),
    "cone": (
        lambda: figures.clouds({"images": ("zero_shot", np.array([[0.2, 0.1], [0.4, -0.3]])),
                              "texts": ("captions", np.ones((2, 2)))}, ("v1", "v2"), "gap"),
        "images: 2, mean at 0.30, −0.10; texts: 2, mean at 1.00, 1.00.",
        "v1,v2,series,level,look\n0.2,0.1,images,zero_shot,small\n",
    ),
    "turned": (
        lambda: figures.clouds({"κ = 3": ("zero_shot", np.array([[0.2, 0.1], [0.4, 0.3]]))},
                               ("x", "y"), apart=True),
        "κ = 3: 2, mean at 0.30, 0.20.", "x,y,panel,level,look\n",
    ),
    "strips": (
        lambda: figures.strips(np.arange(1.0, 5), {"half": (2, 0.5)}),
        "half: 2 of 4 strips in colour, accuracy 50.0 %.",
        "of,direction,importance,kept\nhalf,1,4,True\n",
    ),
    "lines": (
        lambda: plots.lines(FRAME, "x", "value", log="y", horizontals={"mean": 1}, told=(1,)),
        "Lines. κ, CLIP: 90.0 at 1.00; κ, ResNet: 3.00 at 2.00; ER, CLIP: 12.0 at 3.00.",
        "panel,of,x,level,value,low,high,other,note\nκ,CLIP,1,zero_shot,90,80,99,3,442\n",
    ),
    "marks": (
        lambda: plots.marks(FRAME, "value", other="other", note="leader", verticals={"3": 3}),
        "κ, CLIP: 90.0, 80.0, 99.0, 3.00, 442; κ, ResNet: 3.00, 2.00, 4.00, 3.00, none; ER, CLIP",
        "panel,of,",
    ),
    "bars of chance": (
        lambda: plots.marks(FRAME.assign(look=["filled", "bar", "hollow"]), "value", log=["κ"]),
        "κ, ResNet: 3.00, 2.00, 4.00", "panel,of,",
    ),
    "points": (
        lambda: plots.scatter(FRAME.assign(series="all"), "x", "value", labels="note", log="x"),
        "κ, CLIP: 1.00, 90.0; κ, ResNet: 2.00, 3.00; ER, CLIP: 3.00, 12.0.", "panel,of,",
    ),
    "venn": (
        lambda: pictures.venn({"RN50": REGIONS}),
        "RN50: zero-shot only 10, zero-shot and finetuned only 4, zero-shot and supervised only 0",
        "of,encoded by,concepts\nRN50,zero-shot only,10\n",
    ),
    "pictures": (
        lambda: pictures.pictures({"a": [np.zeros((2, 2, 3))] * 2}, "Two."), "Two.", None
    ),
    "cells": (
        lambda: diagrams.grid(CELLS, "language", "robust", {("no", "yes"): "no model"}),
        "language no, robust no: 1; language yes, robust yes: 2.", "of,level,series,language,",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_drawings_say_and_hand_over_what_they_show_and_come_out_equal(name):
    draw, words, rows = DRAWN[name]
    drawing = draw()
    assert words in drawing.alt
    text = None if drawing.data is None else style.to_csv(drawing.data)
    assert text == rows or text.startswith(rows), text[:200]
    first, second = style.to_svg(drawing.figure), style.to_svg(draw().figure)
    assert "<dc:date>" not in first
    assert first == second


def test_text_in_a_drawing_is_text_and_marks_bear_their_names():
    svg = style.to_svg(plots.scatter(FRAME.assign(of="a <b>"), "x", "value").figure)
    assert re.search(r"<text [^>]*Verdana[^>]*>value</text>", svg)
    assert svg.count("<title>a &lt;b&gt;</title>") == 3
    assert "tooltip:" not in svg


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("{doc}`RN50 </runs/pruning/rn50>`", "RN50"),
        ("[reproduced]{.verdict-reproduced} [2 of 16 models]{.coverage}",
         "reproduced 2 of 16 models"),
        ("[timm](https://example.org/a)", "timm"),
        ("**87.2** ± 1.1 (`vit_b_16`), 2*3*4", "87.2 ± 1.1 (vit_b_16), 2*3*4"),
        (r"of 47; \*: *named* {cite:p}`cimpoi2014`.", "of 47; *: named."),
    ],
)  # fmt: skip
def test_a_cell_in_a_file_has_no_markup(cell, text):
    assert plain(cell) == text


def test_what_shares_no_quantity_shares_no_axis():
    """Two candidates in two panels: each has an x axis of its own, which its name labels."""
    frame = FRAME.drop(columns=["low", "high"])
    left, right = plots.scatter(frame, "value", "x").figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("κ", "ER")
    assert left.get_xlim() != right.get_xlim()


def test_every_level_has_a_colour_and_a_marker_of_its_own():
    assert tuple(style.LEVEL_STYLES) == LEVELS
    for part in ("colour", "marker", "title"):
        assert len({getattr(look, part) for look in style.LEVEL_STYLES.values()}) == len(LEVELS)


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_level_colours_stand_out_on_both_pages(page):
    for look in style.LEVEL_STYLES.values():
        assert contrast(look.colour, page) >= 3


@pytest.mark.parametrize(
    ("scale", "ends", "ticks"),
    [
        (style.logit_scale, [5, 90], "5 10 20 30 40 50 60 70 80 90"),
        (style.log_scale, [2, 300], "2 5 10 20 50 100 200"),
        (style.log_scale, [2, 300, 4], "2 10 50 200"),
        (style.log_scale, [2.6, 3.4], "2.6 2.8 3 3.2 3.4"),
    ],
)
def test_scales_have_plain_ticks_within_the_data(scale, ends, ticks):
    figure, axes = style.new_figure()
    scale(axes.xaxis, *ends)
    figure.canvas.draw()
    assert [t.get_text() for t in axes.get_xticklabels()] == ticks.split()


def test_tables_align_numbers_and_escape_pipes():
    frame = pd.DataFrame({"a|b": ["x|y", "z"], "value": ["+1.0 ± 0.2", "not measured"]})
    assert style.to_markdown(frame).splitlines() == [
        "| a\\|b | value |", "| :--- | ---: |", "| x\\|y | +1.0 ± 0.2 |", "| z | not measured |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [((0.1234,), "+12.3"), ((-0.05, 0.004), "−5.0 ± 0.4"), ((np.nan,), "n/a")],
)
def test_points_have_minus_signs_and_names_hyphens(value, text):
    assert style.points(*value) == text
    assert style.minus("ImageNet-1k -0.5 (-1 to -0.2)") == "ImageNet-1k −0.5 (−1 to −0.2)"
