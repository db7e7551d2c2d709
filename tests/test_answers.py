"""Each side trained by a rule of its own: what is turned, what is changed, and the penalty."""

import math
import runpy
from collections import deque
from copy import deepcopy

import pandas as pd
import pytest
import torch
from conftest import ROOT
from torch.nn.functional import normalize

from analysis.metrics import basis
from companion.chapters import answer_tables
from companion.pocket import answers, origin
from companion.pocket.answers import AnswerSettings, Cloud, Side
from companion.pocket.objectives import contrastive_loss
from companion.pocket.origin import Locked, Projections

WIDTH, CLASSES = 8, 30  # as many numbers as a text: SOAP's axes are all known from the start


@pytest.fixture(scope="module")
def locked():
    """Four images of each class with a common vector, and a text each."""
    drawn = torch.Generator().manual_seed(0)
    texts = torch.randn(CLASSES, 1, 8, generator=drawn)
    labels = torch.arange(CLASSES).repeat_interleave(4)
    images = torch.randn(CLASSES, 10, generator=drawn)[labels]
    images = images + 0.3 * torch.randn(len(labels), 10, generator=drawn) + torch.eye(10)[3]
    return Locked(images, labels, texts, images, texts)


def settings(**own):
    return AnswerSettings(**{"width": WIDTH, "batch": 16, "steps": 30, "scale": 20.0} | own)


def turned(own):
    turn = torch.tensor(basis.random_rotation(WIDTH, 9).copy(), dtype=own.image.dtype)
    return Projections(own.image.data @ turn, own.text.data @ turn), turn


@pytest.mark.parametrize(
    ("rule", "turns"),
    [("shared", True), ("soap", True), ("muon", True), ("element", False), ("root", False),
     ("power", False), ("cautious", False), ("clipped", False), ("between", False)],
)  # fmt: skip
def test_which_rules_turn_with_the_axes(locked, rule, turns):
    s = settings(texts=rule, caption_noise=0.2)
    x, y = locked.images.double(), locked.texts.double()  # SOAP divides by little
    locked = Locked(x, locked.concepts, y, x, y)
    own = origin.drawn(locked, s, 0).double()
    begun, turn = turned(own)
    plain, _ = answers.train(locked, s, 0, own)
    other, _ = answers.train(locked, s, 0, begun)
    moved = (plain.text.data - own.text.data).norm()
    apart = float((plain.text.data @ turn - other.text.data).norm() / moved)
    assert apart < 1e-6 if turns else apart > 0.05


@pytest.mark.parametrize("me", [0, 1])
def test_the_penalty_is_the_gradient_of_step_times_squared_gradient(locked, me):
    drawn = torch.Generator().manual_seed(1)
    own = origin.drawn(locked, settings(), 0)
    sides = Side(own.image.data, "shared"), Side(own.text.data, "shared")
    batch = answers.batch_of(locked, settings(), 0, 0, None)
    weights = [own.image, own.text]
    x, y, groups = batch
    loss = contrastive_loss(
        normalize(x @ own.image, dim=-1),
        normalize(y @ own.text, dim=-1),
        torch.tensor(20.0),
        groups,
    )
    (slope,) = torch.autograd.grad(loss, weights[1 - me], create_graph=True)
    other = sides[1 - me]
    other.step(slope.detach())
    other.ratio = torch.rand(WIDTH, generator=drawn)
    pace = 1 / (slope.detach().square().mean(1, keepdim=True).sqrt() + 1e-8)
    penalty = 0.3 * ((1 - other.ratio) * pace * slope.square()).sum()
    (expected,) = torch.autograd.grad(penalty, weights[me])
    found = answers.felt(sides, me, slope.detach(), batch, torch.tensor(20.0), 0.3)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"factor": 0.5}, 4.0),
        ({"late": 2}, 2.0),
        ({"late": 4}, 0.0),
        ({"gathered": 2}, 12.0),
        ({"gathered": 3}, 0.0),
        ({"keeps": "drift"}, 3.75),
        ({"keeps": "answer", "factor": 2}, 8.5),
    ],
)
def test_what_a_changed_column_does_with_its_steps(own, expected):
    past = deque(torch.tensor([[1.0, -1.0], [2.0, -2.0], [4.0, -4.0], [8.0, -8.0]]))
    step = answers.altered(settings(**own), past, step=3)
    assert step.tolist() == [expected, -expected]


@pytest.mark.parametrize("altered", ["images", "texts"])
def test_one_column_learns_from_another_batch(locked, altered):
    s = settings(other_batch=True, column="longest", altered=altered, warmup=0.0, steps=1)
    begun = origin.drawn(locked, s, 0)
    side, column = altered == "texts", answers.chosen(begun, locked, s)
    assert answers.means(begun, locked)[not side].abs().argmax() == column
    slopes = []
    for seed in (0, 5000):
        x, y, groups = answers.batch_of(locked, s, seed, 0, None)
        own = deepcopy(begun)
        origin.differentiated(own, x, y, s.scale, groups)
        slopes.append([own.image.grad, own.text.grad])
    slopes[0][side][:, column] = slopes[1][side][:, column]
    grown, _ = answers.train(locked, s, 0, begun)
    for name, slope in zip(("image", "text"), slopes[0], strict=True):
        step = slope / slope.square().mean(1, keepdim=True).sqrt()
        expected = getattr(begun, name) * (1 - 1e-3 * 0.1) - 1e-3 * step
        torch.testing.assert_close(getattr(grown, name).data, expected.data, rtol=1e-4, atol=1e-6)


def test_columns_take_the_length_of_another_rule_and_the_rest_of_the_whole():
    gradient = torch.randn(10, WIDTH, generator=torch.Generator().manual_seed(2))
    step, row = Side(torch.zeros(10, WIDTH), "element", "shared").step(gradient)
    torch.testing.assert_close(step.norm(dim=0), row.norm(dim=0))
    torch.testing.assert_close(step.sign(), gradient.sign())
    for rule in ("sign", "root", "soap", "clipped"):
        step, row = Side(torch.zeros(10, WIDTH), rule).step(gradient)
        torch.testing.assert_close(step.norm(), row.norm())


def test_new_images_vary_as_those_of_a_class_do(locked):
    cloud = Cloud.of(locked)
    torch.manual_seed(0)
    rows = torch.zeros(20_000, dtype=torch.long)
    drawn = cloud.means[rows] + torch.randn(len(rows), 10) @ cloud.root
    within = torch.stack([locked.images[locked.concepts == c].T.cov() for c in range(CLASSES)])
    torch.testing.assert_close(drawn.T.cov(), within.mean(0), atol=0.01, rtol=0.1)
    torch.testing.assert_close(cloud.means[0], locked.images[:4].mean(0))
    assert torch.allclose(cloud.images(rows[:9]).norm(dim=1), torch.tensor(math.sqrt(10)))


def test_one_matrix_serves_both_sides():
    drawn = torch.Generator().manual_seed(3)
    x, labels = torch.randn(40, 10, generator=drawn), torch.arange(40)
    both = Locked(x, labels, x[:, None], x, x[:, None])
    begun = origin.drawn(both, settings(), 0)
    grown, _ = answers.train(both, settings(one_matrix=True), 0, begun)
    assert grown.image is grown.text and not torch.equal(grown.image, begun.image)


# What is recorded


@pytest.fixture(scope="module")
def recorded():
    return runpy.run_path(str(ROOT / "data/relearn/answers.py"))


def test_every_row_is_planned_and_says_what_it_was(recorded):
    table = pd.read_csv(ROOT / "data/relearn/answers.csv").set_index("key")
    planned = {recorded["key"](*run): run for run in recorded["planned"]()}
    assert table.index.is_unique and set(table.index) <= set(planned) and len(table)
    for key, row in table.iterrows():
        pairs, seed, own = planned[key]
        assert (row["pairs"], row["seed"], row["texts"], row["factor"], row["fresh"]) == (
            pairs, seed, own.texts, own.factor, own.fresh
        )  # fmt: skip
    texts = (table["altered"] == "texts") & ~table["one_matrix"]  # one matrix is the images'
    stopped = table[(table["factor"] == 0) & texts]
    assert (stopped["least_texts"] == 0).all()
    assert (stopped["least_at_texts"] == stopped["column"]).all()
    assert table["place"].between(1, 768).all() and (table["kurtosis"] > 1).all()


@pytest.mark.parametrize(
    ("name", "own", "column", "value"),
    [
        ("A1", {"column": "longest", "factor": 0}, "kurtosis", 40.0),
        ("A3", {"column": "longest", "other_batch": True}, "kurtosis", 9.0),
        ("A6", {"column": "longest", "factor": 0, "penalty": 0.25}, "kurtosis", 3.4),
        ("A7", {"texts": "element", "text_lengths": "shared"}, "kurtosis", 3.6),
        ("A8", {"texts": "element", "penalty": 0.25}, "accuracy", 0.5),
        ("B3", {"texts": "soap"}, "kurtosis", 3.6),
        ("B4", {"texts": "power"}, "kurtosis", 3.4),
        ("B8", {"images": "lamb", "image_rate": 10, "text_rate": 3}, "kurtosis_texts", 7.0),
        ("B12", {"column": "longest", "start": "random", "factor": 0}, "kurtosis", 9.0),
    ],
)
def test_a_prediction_that_holds_fails_if_one_training_does(name, own, column, value):
    tables = [answer_tables.read(each) for each in ("answers", "answer_shadows", "whole")]
    assert answer_tables.judged(*tables)[name]
    key = answer_tables.cell(tables[0], **own)["key"].iloc[0]
    tables[0].loc[tables[0]["key"] == key, column] = value
    assert not answer_tables.judged(*tables)[name]


def test_a_median_has_the_interval_of_two_order_statistics():
    found = answer_tables.interval(pd.Series([*range(1, 11)], dtype=float))
    assert found[:4] == (5.5, 2, 9, 10)
    assert found.coverage == pytest.approx(1 - 2 * 11 / 1024)  # neither nor one of ten is below
