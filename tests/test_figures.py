"""What a notebook publishes: equal bytes, tables that align, labels that are checked."""

import re

import numpy as np
import pandas as pd
import pytest

from analysis.families.registry import LEVELS
from companion.publish import style as figures


def draw():
    figure, axes = figures.new_figure()
    for number, level in enumerate(LEVELS):
        figures.level_points(axes, level, [0.1 + 0.1 * number], [0.5])
    figures.logit_scale(axes.xaxis, [0.05, 0.9])
    axes.legend()
    return figure, axes


def test_equal_figures_give_equal_bytes_without_a_date():
    first, second = figures.to_svg(draw()[0]), figures.to_svg(draw()[0])
    assert first == second
    assert "<dc:date>" not in first


def test_every_level_has_a_colour_and_a_marker_of_its_own():
    assert tuple(figures.LEVEL_STYLES) == LEVELS
    for part in ("colour", "marker", "title"):
        assert len({getattr(style, part) for style in figures.LEVEL_STYLES.values()}) == len(LEVELS)


def luminance(colour: str) -> float:
    """WCAG 2 relative luminance."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_level_colours_stand_out_on_both_pages(page):
    for style in figures.LEVEL_STYLES.values():
        high, low = sorted((luminance(style.colour), luminance(page)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3


def test_logit_ticks_are_percent_within_the_data():
    _, axes = draw()
    axes.figure.canvas.draw()
    assert [t.get_text() for t in axes.get_xticklabels()] == [
        "5", "10", "20", "30", "40", "50", "60", "70", "80", "90",
    ]  # fmt: skip


def test_tables_align_numbers_and_escape_pipes():
    frame = pd.DataFrame({"a|b": ["x|y", "z"], "value": ["+1.0 ± 0.2", "not measured"]})
    assert figures.to_markdown(frame).splitlines() == [
        "| a\\|b | value |", "| :--- | ---: |", "| x\\|y | +1.0 ± 0.2 |", "| z | not measured |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [((0.1234,), "+12.3"), ((-0.05, 0.004), "−5.0 ± 0.4"), ((np.nan,), "n/a")],
)
def test_points(value, text):
    assert figures.points(*value) == text


def test_what_lacks_a_caption_an_alternative_text_or_a_proper_name_is_refused():
    figure, _ = draw()
    with pytest.raises(ValueError, match="needs a caption and an alternative text"):
        figures.show(figure, "one", "A caption.", " ", "published")
    with pytest.raises(ValueError, match="must consist of letters"):
        figures.text("two words", "x")
    with pytest.raises(ValueError, match="is empty"):
        figures.table(pd.DataFrame(), "three", "A caption.")


def test_published_outputs_carry_their_note(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **about: shown.append((data, about))
    )
    figures.show(draw()[0], "one", "A caption.", "Five marks.", "published")
    data, about = shown[0]
    assert data["image/svg+xml"].startswith("<?xml")
    assert about["metadata"]["companion"] == {
        "kind": "figure", "label": "one", "caption": "A caption.", "alt": "Five marks.",
        "evidence": "published",
    }  # fmt: skip
    assert re.search(figures.INK, data["image/svg+xml"])
