"""The benchmarks run, and pages show what they recorded."""

import csv
import re
import sys

import numpy as np
import pytest
from conftest import ROOT


def test_engines_find_neighbours_among_codes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "data/benchmarks"))
    import quantisation

    near = np.array([[0, 1, 2], [2, 0, 1], [0, 1, 2]])
    assert quantisation.recall(near, np.array([[1], [0], [1]])) == pytest.approx(1 / 3)
    rng = np.random.default_rng(0)
    h = rng.normal(size=(12, 32))[np.arange(240) % 12] + 0.5 * rng.normal(size=(240, 32))
    table = quantisation.compared(h).set_index("engine")
    expected = {"QT_8bit": 32, "QT_4bit": 16, "QT_8bit_uniform": 32, "QT_4bit_uniform": 16}
    expected |= {quantisation.USEARCH: 32, "PQ": 4, "OPQ": 4}
    assert table["bytes"].drop("RaBitQ").to_dict() == expected
    rotated = table.drop("OPQ")
    assert (rotated["lowest"] <= rotated["rotated"]).all() and table["written"].between(
        0, 100
    ).all()
    # few images are needed to see that eight bits lose less than four, and four less than one
    assert table["written"]["QT_8bit"] > 95 > table["written"]["QT_4bit"] > 80
    assert table["written"]["PQ"] < table["written"]["QT_4bit"]
    inner = table.drop(quantisation.USEARCH)
    assert (inner["inner_written"] <= inner["written"] + 2).all()  # by inner product lengths count
    assert inner["inner_written"]["QT_4bit_uniform"] < inner["written"]["QT_4bit_uniform"]


def test_the_page_on_speed_shows_a_recorded_run_with_its_day():
    rows = list(csv.reader((ROOT / "data/benchmarks/speed.csv").open(encoding="utf-8")))
    assert all(float(seconds) > 0 for _, seconds in rows[1:-1]) and len(rows) > 6
    assert re.match(r"\d{4}-\d\d-\d\d, \d+ cores, ", rows[-1][0])
    assert "data/benchmarks/speed.csv" in (ROOT / "book/appendix/speed.md").read_text()


def test_the_page_shows_three_ways_to_a_layer_with_the_lines_that_they_take(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "data/benchmarks"))
    import any_layer

    rows = list(csv.DictReader(any_layer.TABLE.open(encoding="utf-8")))
    lines = {row["way"]: int(row["lines of code"]) for row in rows}
    assert lines == {way: len(text.strip().splitlines()) for way, text in any_layer.WAYS.items()}
    assert min(lines, key=lines.get) == "this package"
    assert all(float(row["pictures per processor second"]) > 0 for row in rows)
    assert "data/benchmarks/any_layer.csv" in (ROOT / "book/guide/probe.md").read_text()


@pytest.mark.slow
def test_a_plain_loop_finds_the_same_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "data/benchmarks"))
    import any_layer

    pythons = dict.fromkeys(("this package", "a plain loop"), sys.executable)
    assert [row["way"] for row in any_layer.compared(pythons, 9, 1)] == [*pythons]
    monkeypatch.setitem(any_layer.WAYS, "a plain loop", "features = np.zeros((9, 192))")
    with pytest.raises(SystemExit, match="a plain loop finds other features than this package"):
        any_layer.compared(pythons, 9, 1)
