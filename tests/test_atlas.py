"""Every published model: what it was trained on, which rows are set aside, and what comes out."""

import numpy as np
import pytest
import statsmodels.api as sm
from conftest import cases
from scipy.stats import linregress, rankdata, spearmanr

from analysis.metrics.indicators import partial_rank_correlation
from analysis.metrics.robustness import (
    effective_robustness,
    fit_baseline,
    logit,
    matched_excess,
)
from companion.chapters.peers import curvature
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import FOUR_SHIFTS

CASES = cases("atlas")


@pytest.fixture(scope="module")
def clip(table):
    models = atlas.models(table)
    return models[models["source"] == "open_clip"]


def test_rows_are_set_aside_by_three_rules():
    reasons = atlas.facts().query("set_aside != ''").set_index(["model", "weights"])["set_aside"]
    for model, weights, reason in CASES["set_aside"]:
        assert reason in reasons[model, weights], model
    assert len(reasons) == 15  # 6 defects, 5 twins, 4 epochs
    assert ("ViT-B-32-quickgelu", "openai") not in reasons and ("model_4", "") not in reasons


def test_every_model_was_trained_on_something(table):
    """By name alone; these are known from elsewhere."""
    models = atlas.models(table, FOUR_SHIFTS).set_index(["source", "model", "weights"])
    assert (models["data"] != "").all() and (models["group"] != "").all()
    models = models.sort_index()
    for *name, data, group in CASES["trained_on"]:
        assert models.loc[[tuple(name)], ["data", "group"]].iloc[0].tolist() == [data, group], name
    supervised = models[models["level"] == "supervised"]
    taught = supervised[supervised["group"] != "ImageNet-1k"]
    assert set(taught.index.get_level_values("model")) <= {"hrnet_w18_ssld", "hrnet_w48_ssld"}


# What comes out, beside numbers that other code had found before this was written.


def test_finetuned_models_beside_equally_accurate_ones(table):
    pool = accuracies.baseline_pool(accuracies.wide(table, "matched_frequency", FOUR_SHIFTS))
    line = fit_baseline(pool["imagenet"], pool["shifted"])
    four = atlas.models(table, FOUR_SHIFTS)
    four = four.assign(er=effective_robustness(four["shifted"], four["imagenet"], line))
    timm = four[four["source"] == "timm"]
    supervised = timm[(timm["level"] == "supervised") & (timm["group"] == "ImageNet-1k")]
    finetuned = timm.set_index(["model", "weights"])
    pool = supervised["imagenet"], supervised["er"]
    for name, er, excess, limit in CASES["finetuned"]:
        model = finetuned.loc[[(f"vit_{name}_clip_224", "openai_ft_in1k")]].iloc[0]
        beside = matched_excess([model["imagenet"]], [model["er"]], *pool)
        points = 100 * np.array([model["er"], beside.excess[0], beside.limit[0]])
        assert points == pytest.approx([er, excess, limit], abs=0.1)


def test_one_line_of_one_collection(clip):
    datacomp = clip[(clip["group"] == "DataComp")]
    datacomp = datacomp[datacomp["model"].isin(["ViT-B-32", "ViT-B-16", "ViT-L-14"])]
    line = fit_baseline(datacomp["imagenet"], datacomp["shifted"])
    assert (len(datacomp), round(line.slope, 3), round(line.r, 3)) == (26, 0.955, 0.998)
    bent = curvature(datacomp["imagenet"], datacomp["shifted"])
    x, y = logit(datacomp["imagenet"]), logit(datacomp["shifted"])
    fit = sm.OLS(y, np.stack([x**2, x, np.ones(len(x))], axis=1)).fit()
    np.testing.assert_allclose(bent.coefficients, fit.params)
    assert bent.p_value == pytest.approx(fit.pvalues[0]) == pytest.approx(1.2e-6, rel=0.05)
    assert bent.parabola_misses == pytest.approx(np.sqrt(fit.scale))
    assert bent.parabola_misses < bent.line_misses / 1.5


def test_beyond_imagenet_robustness_adds_nothing_to_accuracy(table):
    """ρ by SciPy, and the partial one as the correlation of what lines through ranks leave."""
    clip = atlas.clip(table)
    high = clip[clip["imagenet"] > 0.6]
    others = atlas.elsewhere(high)
    assert others.shape == (80, 31) and not others.isna().any(axis=None)
    vit_l = (high["model"] == "ViT-L-14") & (high["weights"] == "openai")
    assert others.loc[vit_l, ["Food-101", "MNIST"]].to_numpy().tolist() == [[0.9305, 0.7634]]
    mean, given = others.mean(axis=1), high["imagenet"]
    assert spearmanr(high["er"], mean).statistic == pytest.approx(0.83, abs=0.01)
    assert spearmanr(given, mean).statistic == pytest.approx(0.96, abs=0.01)
    ranks = [rankdata(x) for x in (high["er"], mean, given)]
    left = [linregress(ranks[2], y) for y in ranks[:2]]
    rest = [y - fit.slope * ranks[2] for y, fit in zip(ranks, left, strict=False)]
    partial = partial_rank_correlation(high["er"], mean, given)
    assert partial == pytest.approx(np.corrcoef(*rest)[0, 1]) == pytest.approx(0.02, abs=0.01)
