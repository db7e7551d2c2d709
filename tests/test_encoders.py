"""Other encoders: what the script makes of vectors, and what its tables say they came from."""

import runpy

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from companion.sources.public import load_catalogue


@pytest.fixture(scope="module")
def make():
    return runpy.run_path(str(ROOT / "data/encoders/make.py"))


def test_the_spread_is_the_other_sides_where_there_is_one(make):
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 200, 8))
    images[:, 3] += 5
    texts[:, 3] *= 0.01
    texts[:, 5] += 5
    images[:, 5] *= 0.01
    two = [({"encoder": "a", "sides": "two", "of": of}, each) for of, each in
           (("images", images), ("texts", texts))]  # fmt: skip
    rows = [row for row in make["quiet"](two) if row["place"] == 1]
    assert [(row["coordinate"], row["quiet"], row["own"]) for row in rows] == [
        (3, 0.0, False), (5, 0.0, False)
    ]  # fmt: skip
    one = [(entry | {"sides": "one"}, each) for entry, each in two]
    assert all(row["own"] for row in make["quiet"](one))


def test_the_layers_are_linear_with_a_relu_between(make):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    state = {f"head.{name}": of for name, of in net.state_dict().items()}
    rows = torch.randn(5, 4)
    torch.testing.assert_close(make["_layers"](rows, state, "head."), net(rows))


def test_a_place_on_the_equal_earth(make):
    # Šavrič, Patterson and Jenny 2019: a map of radius 1 reaches x = 2.70663, y = 1.31737
    both = make["equal_earth"](np.array([[0.0, 180.0], [90.0, 0.0]])) * 180 / 66.50336
    np.testing.assert_allclose(both.numpy(), [[2.70663, 0], [0, 1.31737]], atol=1e-4)


def test_every_row_names_a_listed_file_or_a_package(make):
    table = pd.read_csv(ROOT / "data/encoders/encoders.csv")
    plan = make["PLAN"]
    assert len(table) == len(plan["files"]) + len(plan["packages"])
    known = {file.url: file.licence for file in load_catalogue().values()}
    for _, row in table.iterrows():
        if row["source"].startswith("https:"):
            assert known[row["source"]] == row["licence"]
        else:
            assert row["source"].startswith("pip install ")
