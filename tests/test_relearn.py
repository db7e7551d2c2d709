"""CLIP's axes, chosen again: the start, the gradient by hand, and what is measured at the end."""

import json
import re
import runpy
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT

from analysis.base.files import sha256_of
from analysis.metrics import basis, outliers
from companion.chapters import origin_figures, relearn_tables
from companion.pocket import origin, relearn
from companion.pocket.relearn import Pairs, RelearnSettings

WIDTH, CLASSES = 16, 40


@pytest.fixture(scope="module")
def pairs():
    """Two images of each class with a common vector, the second held out; and a text each."""
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(CLASSES, WIDTH))
    labels = np.repeat(np.arange(CLASSES), 2)
    images = texts[labels] + 0.5 * rng.normal(size=(2 * CLASSES, WIDTH)) + 2 * np.eye(WIDTH)[3]
    held_out = np.arange(2 * CLASSES) % 2 == 1
    both = map(basis.at_length_one, (images, texts))
    return Pairs(*both, labels, held_out, np.arange(CLASSES))


def settings(**own):
    return RelearnSettings(**{"width": WIDTH, "batch": 20, "steps": 12} | own)


def test_a_turned_start_is_the_model_itself_in_axes_common_to_both_sides(pairs):
    begun = relearn.begin(pairs, settings(), seed=0)
    images, head = relearn.features(begun.own, begun.locked)
    unit = basis.at_length_one(images)
    np.testing.assert_allclose(
        unit @ head.T, pairs.images[pairs.held_out] @ pairs.texts.T, atol=1e-5
    )
    leading = np.abs(pairs.images.mean(axis=0)).argmax()
    assert leading == 3 and np.abs(unit.mean(axis=0)).max() < 0.9 * pairs.images.mean(axis=0)[3]


def test_centred_inputs_have_no_common_vector_but_a_constant(pairs):
    begun = relearn.begin(pairs, settings(centred=True), seed=0)
    inputs = begun.locked.images
    assert inputs.shape[1] == WIDTH + 1 and (inputs[:, -1] == 1).all()
    assert basis.mean_share(inputs[:, :-1].numpy()) < 0.05 < basis.mean_share(pairs.images)
    assert not begun.own.image[-1].any()


@pytest.mark.parametrize("scale", [100.0, None])
def test_the_gradient_by_hand_is_the_differentiated_one(pairs, scale):
    begun = relearn.begin(pairs, settings(start="random"), seed=1)
    own, other = begun.own.double(), deepcopy(begun.own.double())
    own.log_scale.data -= 1
    other.log_scale.data -= 1
    groups = torch.arange(20) // 2  # two of each
    batch = begun.locked.images[:20].double(), begun.locked.texts[:20, 0].double(), scale, groups
    assert relearn.written_out(own, *batch) == pytest.approx(origin.differentiated(other, *batch))
    for name, weight in own.named_parameters():
        expected = dict(other.named_parameters())[name].grad
        if expected is None:
            assert weight.grad is None
        else:
            torch.testing.assert_close(weight.grad, expected)


def test_the_path_and_the_end_do_not_depend_on_common_axes(pairs):
    begun = relearn.begin(pairs, settings(), seed=0)
    grown = origin.grow(
        begun.locked, settings(second_moment="shared"), 0, deepcopy(begun.own), None,
        relearn.written_out,
    )  # fmt: skip
    ends = relearn.ended(begun, grown, pairs.answers, [0.1])
    assert 0.001 < relearn.path(grown, begun.own) < 1
    turn = torch.tensor(basis.random_rotation(WIDTH, 9).copy(), dtype=torch.float32)
    start, end = deepcopy(begun.own), deepcopy(grown)
    for own in (start, end):
        own.image.data @= turn
        own.text.data @= turn
    assert relearn.path(end, start) == pytest.approx(relearn.path(grown, begun.own), rel=1e-4)
    turned = relearn.ended(relearn.Begun(begun.locked, start), end, pairs.answers, [0.1])
    for name in ("mean_share", "accuracy", "mean_share_texts", "accuracy_less_vector_0.1"):
        assert turned[name] == pytest.approx(ends[name], abs=1e-4)
    assert turned["kurtosis"] != pytest.approx(ends["kurtosis"], abs=1e-3)


def test_the_one_vector_is_the_mean_where_texts_hardly_vary():
    rng = np.random.default_rng(0)
    texts, images = rng.normal(size=(50, 32)), rng.normal(size=(30, 32))
    texts[:, 5], images[:, 5] = 0, 20  # texts do not vary there, images share it
    answers = (basis.at_length_one(images) @ texts.T).argmax(axis=1)
    found = relearn.less_vector(images, images, texts, answers, 1e-6)
    assert found["dropped"] == 1 and found["mean_inside"] > 0.99
    assert found["kurtosis"] < 4 < relearn.described(images, texts, answers)["kurtosis"]
    assert found["accuracy"] == found["equal"] == 1


# What is recorded


@pytest.fixture(scope="module")
def recorded():
    return runpy.run_path(str(ROOT / "data/relearn/make.py"))


@pytest.fixture(scope="module")
def runs():
    return pd.read_csv(ROOT / "data/relearn/runs.csv").set_index("run")


def test_every_planned_run_is_in_the_tables_or_listed_as_missing(recorded, runs):
    about = json.loads((ROOT / "data/relearn/relearn.json").read_text(encoding="utf-8"))
    for name, digest in {"plan.yaml": about["plan"], **about["tables"]}.items():
        assert sha256_of(ROOT / "data/relearn" / name) == digest, name
    planned = {run.key: run for run in recorded["planned"]()}
    missing = [run.about() for key, run in planned.items() if key not in runs.index]
    assert missing == about["not trained"] and set(runs.index) <= set(planned)
    for key, row in runs.iterrows():
        run = planned[key]
        assert (row["pairs"], row["seed"], row["second_moment"], row["steps"]) == (
            run.pairs, run.seed, run.settings.second_moment, run.settings.steps
        )  # fmt: skip


def test_curves_begin_in_random_axes_and_end_where_the_rows_are(runs):
    curves = pd.read_csv(ROOT / "data/relearn/curves.csv")
    assert set(curves["run"]) == set(runs.index)
    first, last = (curves.groupby("run").nth(n).set_index("run") for n in (0, -1))
    assert (first["step"] == 0).all() and (first["path"] == 0).all()
    assert first["kurtosis"].between(2.5, 3.6).all()
    turned = runs.query("start == 'turned' and pairs == 'vit_b_32-imagenet' and not centred")
    assert (turned["accuracy_begun"] == 0.664).all()  # as the model itself
    for name in ("kurtosis", "path", "accuracy", "mean_share"):
        pd.testing.assert_series_equal(last[name].loc[runs.index], runs[name], rtol=1e-4)


def test_frames_are_the_mean_images_of_their_runs(recorded, runs):
    abouts, arrays = origin_figures.played("relearn/frames")
    assert len(abouts) == len(arrays["mean"]) > 5
    keys = {json.dumps(run.about()): run.key for run in recorded["planned"]()}
    for row, about in enumerate(abouts):
        final = runs.loc[keys[json.dumps(about)]]
        mean = arrays["mean"][row, -1] * arrays["unit"][row, -1]
        assert mean @ mean == pytest.approx(final["mean_share"], rel=0.02)
        assert abs(mean[int(final["leader"])]) > 0.98 * np.abs(mean).max()  # 8 bits
        assert arrays["kurtosis"][row, -1] == pytest.approx(final["kurtosis"], rel=1e-4)
        assert outliers.kurtosis(mean[None])[0] > 2


def test_pages_name_as_many_images_as_are_learned_from():
    about = yaml.safe_load((ROOT / "data/embeddings.yaml").read_text(encoding="utf-8"))
    plan = yaml.safe_load((ROOT / "data/relearn/plan.yaml").read_text(encoding="utf-8"))
    for name, words in relearn_tables.PAIRS.items():
        of = plan["pairs"][name]
        named = (of["model"], of["images"])
        entry = next(e for e in about["embeddings"] if (e["model"], e["data"]) == named)
        paired = re.search(r"(\d+) of them with a true caption", entry["what"])
        images = of.get("first", int(paired[1]) if paired else entry["images"])
        assert f", {images - images // of['held_out']} " in words
    assert set(relearn_tables.PAIRS) == set(plan["pairs"]) - {"vit_b_32-imagenet"}


@pytest.mark.parametrize(
    ("number", "about", "kurtosis"),
    [
        (1, "second_moment == 'column' and seed == 9", 3.9),
        (3, "second_moment == 'muon'", 3.6),
        (12, "steps == 20_000 and second_moment == 'element'", 29),
        (13, "batch == 1000 and second_moment == 'element'", 11),
        (13, "batch == 1000 and second_moment == 'shared'", 3.6),
        (17, "pairs == 'vit_b_16_marqo-products' and second_moment == 'shared'", 3.6),
    ],
)
def test_a_prediction_that_holds_fails_if_one_run_does(number, about, kurtosis):
    runs = relearn_tables.read()
    assert relearn_tables.judged(runs)[number]
    runs.loc[runs.query(about).index[0], "kurtosis"] = kurtosis
    assert not relearn_tables.judged(runs)[number]
