"""The benchmark of engines runs."""

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
