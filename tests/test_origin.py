"""Where outlier features come from: the steps that notice a rotation, and what was recorded."""

import json
import math
import re
import runpy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, cases
from scipy.linalg import fractional_matrix_power
from scipy.stats import percentileofscore
from test_train import recipe
from tiny import unit

from analysis.base.files import sha256_of
from analysis.metrics import modalities
from companion.chapters import origin_figures as figures
from companion.engine.style import spread
from companion.pocket import objectives, origin, pocket, pocket_lab
from companion.pocket.optimizers import ProjectionAdamW
from companion.probe import facts, measure
from companion.sources import emoji, public

torch.set_num_threads(1)
BLIND = ("shared", "matrix", "none", "muon", "shampoo")
SEEING = ("element", "sign", "column", "adafactor", "lamb")


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
    """The gradient's first row is 3, −4, the second 1, 1.

    The squares' mean is 12.5 and 1 in the rows, 5 and 8.5 in the columns, and 6.75 in all.
    """
    gradient, step = torch.tensor([[3.0, -4.0], [1.0, 1.0]]), torch.tensor(expected)
    if output == 0:
        gradient, step = gradient.T, step.T
    weight = torch.nn.Parameter(torch.full((2, 2), 2.0))
    weight.grad = gradient.clone()
    options = {"learning_rate": 0.1, "weight_decay": 0.5, "gain": 2.0}
    ProjectionAdamW([(weight, output)], kind, **options).step()
    torch.testing.assert_close(weight.detach(), 2 * (1 - 0.1 * 0.5) - 0.1 * 2 * step)


def steps_of(kind, begin, gradients, **options):
    """A matrix (p, d) after a step along each of these gradients."""
    weight = torch.nn.Parameter(torch.tensor(begin))
    options = {"learning_rate": 0.1, "weight_decay": 0.5} | options
    ours = ProjectionAdamW([(weight, 1)], kind, **options)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        ours.step()
    return weight.detach().numpy()


@pytest.mark.parametrize("kind", ["lamb", "muon", "shampoo"])
def test_the_controls_do_what_their_papers_say(kind):
    """Three steps of each in NumPy, by singular values and by fractional powers of matrices."""
    draw = np.random.default_rng(0)
    begin, *gradients = draw.normal(size=(4, 3, 3)) + 2 * np.eye(3)
    w, mean, square, left, right = begin.copy(), 0, 0, 0, 0
    for step, g in enumerate(gradients, 1):
        mean, square = 0.9 * mean + 0.1 * g, 0.98 * square + 0.02 * g**2
        left, right = (0.98 * a + 0.02 * b for a, b in ((left, g @ g.T), (right, g.T @ g)))
        m, grown = mean / (1 - 0.9**step), 1 - 0.98**step
        if kind == "lamb":
            change = m / np.sqrt(square / grown) + 0.5 * w
            w = w - 0.1 * change * np.linalg.norm(w) / np.linalg.norm(change)
            continue
        if kind == "muon":
            u, s, v = np.linalg.svd(m)
            s = s / np.linalg.norm(s)
            for _ in range(5):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            change = u * s @ v
        else:
            damped = (a + 1e-6 * np.linalg.norm(a, 2) * np.eye(3) for a in (left, right))
            roots = (fractional_matrix_power(a / grown, -0.25) for a in damped)
            change = next(roots) @ m @ next(roots)
        w = w * (1 - 0.1 * 0.5) - 0.1 * change
    np.testing.assert_allclose(steps_of(kind, begin, gradients), w, rtol=1e-7)


def test_an_output_is_normalised_and_has_gains():
    """As in NumPy, for both sides; without gains the output is the product itself."""
    draw = np.random.default_rng(0)
    x, w, gains = draw.normal(size=(5, 4)), draw.normal(size=(4, 6)), np.arange(6.0)
    inputs, weight = torch.tensor(x), torch.tensor(w)
    plain, normed = (origin.Projections(weight, weight, gained) for gained in (False, True))
    for gain in normed.gains:
        gain.data = torch.tensor(gains)
    h = x @ w
    expected = gains * (h - h.mean(1, keepdims=True)) / h.std(1, keepdims=True)
    np.testing.assert_allclose(plain.features(inputs), h)
    np.testing.assert_allclose(normed.features(inputs), expected, rtol=1e-4)
    np.testing.assert_allclose(normed.of_texts(inputs).detach(), expected, rtol=1e-4)


@pytest.mark.parametrize("rotated", ["outputs", "half", "inputs"])
def test_rotated_axes_are_adam_on_a_rotated_matrix(rotated):
    """h = xW is trained as h = x(ZQᵀ) from Z = WQ, or as h = (xP)Z from Z = PᵀW."""
    data, settings = towers(), origin.OriginSettings(width=24, steps=60, rotated=rotated)
    usual = settings.model_copy(update={"rotated": "none"})
    begun = [torch.randn(n, 24, dtype=torch.float64) / n**0.5 for n in (20, 16)]
    (p, q), (other_p, _) = origin.turns(settings, (20, 16), 3)
    p, other_p, q = (
        torch.eye(n, dtype=torch.float64) if turn is None else turn
        for turn, n in ((p, 20), (other_p, 16), (q, 24))
    )
    there = replace(data, images=data.images @ p, texts=data.texts @ other_p)
    found = origin.grow(data, settings, 3, begun=origin.Projections(*begun))
    turned = origin.Projections(p.T @ begun[0] @ q, other_p.T @ begun[1] @ q)
    expected = origin.grow(there, usual, 3, begun=turned)
    assert apart(found.image, p @ expected.image @ q.T) < 1e-9
    assert apart(found.text, other_p @ expected.text @ q.T) < 1e-9
    plain = origin.grow(data, usual, 3, begun=origin.Projections(*begun))
    assert apart(found.image, plain.image) > 0.05, "otherwise nothing was rotated"


@pytest.mark.parametrize("kind", [*BLIND, *SEEING])
def test_only_steps_that_differ_between_outputs_notice_a_rotation(kind):
    """From (WR, VR) training goes to (W'R, V'R), if all output coordinates share a step size."""
    locked = towers()
    torch.manual_seed(1)
    turn = rotation(24)
    begun = [torch.randn(n, 24, dtype=torch.float64) / n**0.5 for n in (20, 16)]
    settings = origin.OriginSettings(second_moment=kind, width=24, steps=100, gain=2)
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
    assert tables == {name: sha256_of(pocket.POCKET / name) for name in tables} and len(tables) == 7
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


def test_trainings_to_play_end_where_the_table_says(kept):
    """Their mean images, rounded to 127 levels, hold the mean share; at the start κ is small."""
    runs, arrays = figures.played()
    planned = [run.about() for run in MAKE["planned"]() if run.framed and MAKE["is_in"](kept, run)]
    assert runs == planned and (pocket.POCKET / "origin_frames.safetensors").stat().st_size < 3e5
    settings = [*runs[0]]
    table = kept.set_index(settings).loc[[tuple(run.values()) for run in runs]]
    for name in ("kurtosis", "mean_share", "accuracy", "er"):
        np.testing.assert_allclose(arrays[name][:, -1], table[name], rtol=1e-4, err_msg=name)
    means = arrays["mean"] * arrays["unit"][..., None].astype(float)
    np.testing.assert_allclose((means**2).sum(axis=2), arrays["mean_share"], rtol=0.01)
    assert arrays["step"][0] == 0 and arrays["kurtosis"][:, 0].max() < 3.2


def test_rotated_runs_are_those_of_the_table(kept):
    """A rotation of the inputs leaves Adam the outputs' axes; energy has two halves."""
    rotations = pd.read_csv(pocket.POCKET / "origin_rotations.csv")
    keys = ["towers", "seed", "rotated"]
    usual = kept[kept["second_moment"] == "element"]
    for name in set(figures.DEFAULTS) - {"rotated"}:
        usual = usual[usual[name] == figures.DEFAULTS[name]]
    both = rotations.merge(usual, on=keys, suffixes=("", "_kept"))
    assert len(both) == len(rotations) >= 12 and both["seed"].nunique() >= 3
    np.testing.assert_allclose(both["kurtosis"], both["kurtosis_kept"], rtol=1e-5)
    same = rotations["rotated"].isin(["none", "inputs"])
    working = rotations["kurtosis_working_axes"]
    assert (working == rotations["kurtosis"]).eq(same).all() and working.min() > 5
    assert rotations["energy_first_half"].between(0, 1).all()


@pytest.mark.slow
def test_a_recorded_run_comes_out_again(kept):
    settings = origin.OriginSettings(steps=800)
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
    element, column, shared = (
        float(line.split()[1]) for line in capsys.readouterr().out.splitlines()
    )
    assert min(element, column) > shared


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
    measured = measure.quantities(features[one_style][:120])
    assert measured["kurtosis_mean"] > 8 and measured["reach"] > facts.REACH_THRESHOLD


def test_lines_of_runs_are_means_with_the_lowest_and_the_highest_seed():
    rows = [["Adam", 0, 8], ["Adam", 1, 12], ["sign", 0, 2.9]]
    runs = pd.DataFrame(rows, columns=["optimiser", "seed", "kurtosis"]).assign(step=1)
    lines = figures.over_seeds(runs, ("step", "steps"), figures.KAPPA_PANEL, "ViT")
    adam, _ = lines.to_dict("records")
    assert (adam["of"], adam["steps"], adam["panel"]) == ("Adam", 1, "ViT")
    assert (adam["value"], adam["low"], adam["high"]) == (10, 8, 12)
    assert adam["quantity"] == "activation kurtosis κ"
    assert figures.over_seeds(runs[:0], ("step", "steps"), figures.KAPPA_PANEL).empty
    assert spread(runs["kurtosis"][:2]) == "10.0 (8.00 to 12.0)"
    seeds = pd.DataFrame({"towers": "vit", "er": [1.0, 2.0, 3.0]})
    mean, low, high = figures.rows(seeds, "towers").loc["vit", "ends"]
    assert (mean, high - mean) == (2, pytest.approx(4.303 / 3**0.5, rel=1e-3)) and low < 0


def test_real_models_were_measured_as_planned():
    """The recorded rows are of the plan; one of them by hand, from the public file."""
    plan = yaml.safe_load((ROOT / "data/modalities/pairs.yaml").read_text())["pairs"]
    rows = pd.read_csv(ROOT / "data/modalities/quiet.csv")
    keys = ["role", "model", "images", "texts"]
    planned = [{key: pair[key] for key in keys} for pair in plan for _ in range(2)]
    assert rows[keys].to_dict("records") == planned
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
