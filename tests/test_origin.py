"""Where outlier features come from: the steps that notice a rotation, and what was recorded."""

import json
import math
import re
import runpy

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, cases
from scipy.stats import percentileofscore
from test_train import recipe
from tiny import unit

from analysis.common import sha256_of
from analysis.images import emoji, public
from analysis.metrics import modalities
from companion.probe import judge, measure
from companion.publish import origin as figures
from companion.publish.style import spread
from training import objectives, origin, pocket, pocket_lab
from training.optimizers import ProjectionAdamW

torch.set_num_threads(1)
BLIND, SEEING = ("shared", "matrix", "none"), ("element", "sign")


def towers(seed=0):
    """What towers might give of 300 images with as many concepts, in float64."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.randn(300, 12, generator=draw, dtype=torch.float64)
    sides = [torch.randn(12, width, generator=draw, dtype=torch.float64) for width in (20, 16)]
    images, texts = (common @ side + 0.3 for side in sides)
    return origin.Locked(images, torch.arange(300), texts[:, None], images, texts[:8, None])


def rotation(width, dtype=torch.float64):
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))[0].to(dtype)


def apart(a, b):
    return float(((a - b).norm() / b.norm()).detach())


# The optimiser


def test_with_a_second_moment_for_each_element_it_is_adamw():
    torch.manual_seed(0)
    first = torch.nn.Parameter(torch.randn(5, 7))
    second = torch.nn.Parameter(first.detach().clone())
    ours = ProjectionAdamW([(first, 1)], "element", learning_rate=0.01, weight_decay=0.3)
    theirs = torch.optim.AdamW([second], lr=0.01, weight_decay=0.3, betas=(0.9, 0.98))
    for _ in range(30):
        for weight, optimizer in ((first, ours), (second, theirs)):
            optimizer.zero_grad()
            (weight.sin() * weight).sum().backward()
            optimizer.step()
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(("kind", "expected"), cases("recipes")["first_steps"].items())
@pytest.mark.parametrize("output", [0, 1])
def test_a_first_step_by_hand(kind, expected, output):
    """The gradient's first row is 3, −4, of which the mean square is 12.5; the second 1, 1."""
    gradient, step = torch.tensor([[3.0, -4.0], [1.0, 1.0]]), torch.tensor(expected)
    if output == 0:
        gradient, step = gradient.T, step.T
    weight = torch.nn.Parameter(torch.full((2, 2), 2.0))
    weight.grad = gradient.clone()
    options = {"learning_rate": 0.1, "weight_decay": 0.5, "gain": 2.0}
    ProjectionAdamW([(weight, output)], kind, **options).step()
    torch.testing.assert_close(weight.detach(), 2 * (1 - 0.1 * 0.5) - 0.1 * 2 * step)


@pytest.mark.parametrize("kind", [*BLIND, *SEEING])
def test_only_steps_of_single_elements_notice_a_rotation(kind):
    """From (WR, VR) training goes to (W'R, V'R), unless a step looks at single elements."""
    locked = towers()
    torch.manual_seed(1)
    turn = rotation(24)
    begun = [torch.randn(n, 24, dtype=torch.float64) / n**0.5 for n in (20, 16)]
    settings = origin.Settings(second_moment=kind, width=24, steps=150, gain=0.5)
    first, other = (
        origin.grow(locked, settings, 0, begun=origin.Projections(*start))
        for start in (begun, [matrix @ turn for matrix in begun])
    )
    for side in ("image", "text"):
        difference = apart(getattr(other, side), getattr(first, side) @ turn)
        assert difference < 1e-12 if kind in BLIND else difference > 0.05
        moved = apart(getattr(first, side), dict(zip(("image", "text"), begun, strict=True))[side])
        assert moved > 0.05, "otherwise nothing was tried"


# Recipes


def test_an_imposed_scale_goes_in_a_line_and_stays():
    spec = recipe(final_scale=100, scale_steps=50)
    logs = [objectives.log_scale(spec, math.log(10), step) for step in (0, 25, 50, 59)]
    assert logs == pytest.approx([math.log(10), math.log(1000) / 2, math.log(100), math.log(100)])
    assert objectives.log_scale(recipe(final_scale=7), 0.0, 0) == pytest.approx(math.log(7))


def test_wrong_captions_are_as_many_as_asked_for():
    torch.manual_seed(0)
    every = torch.arange(1000)
    right = torch.full((20_000,), 3)
    wrong = objectives.wrong_captions(right, every, 0.3)
    assert float((wrong != right).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert len(wrong.unique()) > 950 and (objectives.wrong_captions(right, every, 0) == 3).all()


# What was recorded

MAKE = runpy.run_path(str(pocket.POCKET / "origin.py"))


def test_two_modalities_by_hand():
    images = np.array([[4.0, 0, 3], [4, 0, -3]])
    texts = np.array([[0.0, 0.6, 0.8], [0, -0.6, 0.8], [0.6, 0, 0.8]])
    assert modalities.dominant_coordinate(images) == (0, 1.0)
    assert modalities.dominant_coordinate(texts) == (2, pytest.approx(0.64 / (0.04 + 0.64)))
    np.testing.assert_array_equal(modalities.spread_ranks(texts), [0.5, 1, 0])
    assert modalities.quietness(images, texts) == 0.5 and modalities.quietness(texts, images) == 1
    drawn = np.random.default_rng(0).normal(size=(50, 40))
    spread_of = unit(drawn).std(0)
    expected = [percentileofscore(spread_of, s, "strict") / 39 * 0.4 for s in spread_of]
    np.testing.assert_allclose(modalities.spread_ranks(drawn), expected)


@pytest.fixture(scope="module")
def kept():
    return pd.read_csv(pocket.POCKET / "origin.csv")


def test_the_tables_are_of_the_plan_and_say_what_is_missing(kept):
    about = json.loads((pocket.POCKET / "origin.json").read_text())
    assert about["plan"] == sha256_of(pocket.POCKET / "origin.yaml")
    tables, towers = about["tables"], MAKE["PLAN"]["towers"]
    assert tables == {name: sha256_of(pocket.POCKET / name) for name in tables} and len(tables) == 5
    assert about["checkpoints"] == {t: sha256_of(MAKE["checkpoint"](t)) for t in towers}
    planned = pd.DataFrame(run.about() for run in MAKE["planned"]())
    settings = [*planned]
    missing = pd.DataFrame(about["not trained"], columns=settings)
    there, expected = (
        sorted(map(str, frame.astype(object).fillna("learned").to_numpy().tolist()))
        for frame in (pd.concat([kept[settings], missing]), planned)
    )
    assert there == expected
    assert len(kept) > 0.5 * len(planned) and not kept.drop(columns="scale").isna().any(axis=None)


@pytest.mark.slow
def test_a_recorded_run_comes_out_again(kept):
    settings = origin.Settings(steps=800)
    run = MAKE["Run"]("vit-web", 0, settings)
    projections, losses = MAKE["train"](run)
    now = MAKE["measured"](run, projections)
    (row,) = kept.query("towers == 'vit-web' and seed == 0 and steps == 800").to_dict("records")
    assert np.mean(losses[-80:]) == pytest.approx(row["loss"], rel=0.01)
    for name in ("kurtosis", "mean_share", "accuracy"):
        assert now[name] == pytest.approx(row[name], rel=0.1), name
    turned = now["kurtosis_rotated"]
    assert turned == pytest.approx(3, abs=0.5), "in random axes nothing stands out"


@pytest.mark.slow
def test_the_pages_program_grows_an_outlier(capsys, monkeypatch):
    """In fewer steps, from the towers of the recorded run."""
    towers = MAKE["locked"]("vit-web")
    monkeypatch.setattr(origin, "locked", lambda *_: towers)
    page = (ROOT / "book/where_outlier_features_come_from.md").read_text()
    (program,) = re.findall(r"Grow one with PyTorch.*?```python\n(.*?)```", page, re.DOTALL)
    exec(program.replace("=second_moment)", "=second_moment, steps=300)"), {})
    element, shared = (float(line.split()[1]) for line in capsys.readouterr().out.splitlines())
    assert element > shared


def test_shipped_whole_models_are_those_of_the_table():
    table = pd.read_csv(pocket.POCKET / "origin_models.csv").query("seed == 0").set_index("model")
    about = json.loads((pocket.POCKET / "origin.json").read_text())["grown"]
    files = {path.name: path for path in sorted(MAKE["GROWN"].iterdir())}
    assert about == {name: sha256_of(path) for name, path in files.items()}
    assert [*files] == sorted(f"{name}.safetensors" for name in table.index)
    assert max(path.stat().st_size for path in files.values()) < 2e6
    tested = (emoji.metadata()["split"] == "test").to_numpy()
    features, head = pocket_lab.represented(files["grown-vit-element.safetensors"], tested)
    measured = MAKE["representation"](features.astype(np.float64), head)
    for name, value in measured.items():
        assert value == pytest.approx(table.loc["grown-vit-element", name], rel=1e-3), name
    # Few tall coordinates, most of one sign, in signed features of one style: no rectifier's.
    one_style = (emoji.metadata()["style"][tested] == emoji.IMAGENET).to_numpy()
    measured = measure.quantities(features[one_style][:120], head.weight)
    assert measured["kurtosis_mean"] > 8 and measured["reach"] > judge.REACH_THRESHOLD


def test_lines_of_runs_are_means_with_the_lowest_and_the_highest_seed():
    rows = [["Adam", 0, 8], ["Adam", 1, 12], ["sign", 0, 2.9]]
    runs = pd.DataFrame(rows, columns=["optimiser", "seed", "kurtosis"]).assign(step=1)
    lines = figures.over_seeds(runs, ("step", "steps"), figures.KAPPA, "ViT")
    adam, _ = lines.to_dict("records")
    assert (adam["of"], adam["steps"], adam["panel"]) == ("Adam", 1, "ViT")
    assert (adam["value"], adam["low"], adam["high"]) == (10, 8, 12)
    assert adam["quantity"] == "activation kurtosis κ"
    assert figures.over_seeds(runs[:0], ("step", "steps"), figures.KAPPA).empty
    assert spread(runs["kurtosis"][:2]) == "10.0 (8.00 to 12.0)"
    seeds = pd.DataFrame({"towers": "vit", "er": [1.0, 2.0, 3.0]})
    mean, low, high = figures.rows(seeds, "towers").loc["vit", "ends"]
    assert (mean, high - mean) == (2, pytest.approx(4.303 / 3**0.5, rel=1e-3)) and low < 0


def test_real_models_were_measured_as_planned():
    """The recorded rows are of the plan; one of them by hand, from the public file."""
    plan = yaml.safe_load((ROOT / "data/modalities/pairs.yaml").read_text())["pairs"]
    rows = pd.read_csv(ROOT / "data/modalities/quiet.csv")
    keys = ["role", "model", "images", "texts"]
    assert rows[keys].to_dict("records") == [pair for pair in plan for _ in range(2)]
    assert [*rows["mean_of"]] == ["images", "texts"] * len(plan)
    try:
        path = public.fetch("Modality-Gap/features_clip.npy")
    except public.ArtifactError:
        pytest.skip("the public file cannot be had")
    images, texts = np.load(path).astype(float)
    coordinate = np.abs(images.mean(axis=0)).argmax()
    rank = (texts.std(axis=0) < texts.std(axis=0)[coordinate]).sum() / 511
    row = rows.query("model == 'vit_b_16-openai' and texts == 'own' and mean_of == 'images'")
    assert row["coordinate"].item() == coordinate
    assert row["quiet"].item() == pytest.approx(rank, abs=1e-5)
