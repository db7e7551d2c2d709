"""Every published model: what it was trained on, which rows are set aside, and what comes out."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import linregress, rankdata, spearmanr

from analysis.metrics.indicators import partial_rank_correlation
from analysis.metrics.peers import curvature
from analysis.metrics.robustness import (
    effective_robustness,
    fit_baseline,
    logit,
    matched_excess,
)
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import FIVE_SHIFTS, FOUR_SHIFTS, AccuracyError
from companion.measurements.effective_robustness import view
from companion.publish import robustness, sketches


@pytest.fixture(scope="module")
def clip(table):
    models = atlas.models(table)
    return models[models["source"] == "open_clip"]


def test_rows_are_set_aside_by_three_rules(table):
    found = atlas.set_aside(table).set_index(["model", "weights"])["reason"]
    rules = {
        ("RN50", "cc12m"): "Evaluated with GELU",
        ("ViT-B-32", "openai"): "The same accuracies on every data set as ViT-B-32-quickgelu",
        ("ViT-B-32", "datacomp_s_s13m_b4k"): "as ViT-B-32 commonpool_s_image_s13m_b4k, so",
        ("ViT-L-14", "laion400m_e31"): "Epoch 31 of a training run",
        ("model_5", ""): "as model_4, so",
    }
    for name, reason in rules.items():
        assert reason in found[name], name
    assert len(found) == 15  # 6 defects, 5 twins, 4 epochs
    assert ("ViT-B-32-quickgelu", "openai") not in found and ("model_4", "") not in found


def test_every_model_was_trained_on_something(table):
    """By name alone; these are known from elsewhere."""
    found = atlas.models(table, FOUR_SHIFTS).set_index(["source", "model", "weights"])
    assert (found["data"] != "").all() and (found["group"] != "").all()
    known = {
        ("open_clip", "ViT-B-16", "datacomp_xl_s13b_b90k"): ("DataComp-1B", "DataComp"),
        ("open_clip", "ViT-L-14", "commonpool_xl_clip_s13b_b90k"): (
            "CommonPool extra large",
            "DataComp",
        ),
        ("open_clip", "coca_ViT-L-14", "mscoco_finetuned_laion2b_s13b_b90k"): (
            "LAION-2B",
            "LAION-2B and 5B",
        ),
        ("timm", "vit_base_patch32_clip_224", "openai_ft_in1k"): ("OpenAI WIT-400M", "OpenAI"),
        ("timm", "resnet50", "fb_swsl_ig1b_ft_in1k"): ("Instagram", "tagged web images"),
        ("timm", "resnet50", "tv2_in1k"): ("ImageNet-1k", "ImageNet-1k"),
        ("imagenet_testbed", "dpn98", ""): ("ImageNet-1k", "ImageNet-1k"),
    }
    for name, pair in known.items():
        assert tuple(found.sort_index().loc[[name], ["data", "group"]].iloc[0]) == pair, name
    supervised = found[found["level"] == "supervised"]
    taught = supervised[supervised["group"] != "ImageNet-1k"]
    assert set(taught.index.get_level_values("model")) <= {"hrnet_w18_ssld", "hrnet_w48_ssld"}


def test_a_model_of_unknown_data_is_an_error(tmp_path, table):
    path = tmp_path / "pretraining.csv"
    path.write_text("source,model,weights,data,group\ntimm,*,*,ImageNet-1k,ImageNet-1k\n")
    models = accuracies.wide(table, "matched_frequency")
    with pytest.raises(AccuracyError, match=r"does not say what open_clip's .* was trained on"):
        atlas.with_pretraining(models[models["source"] == "open_clip"], path)


# What comes out, beside numbers that other code had found before this was written.


def test_finetuned_models_beside_equally_accurate_ones(table):
    line = fit_baseline(*pool_of(table))
    four = atlas.models(table, FOUR_SHIFTS)
    four = four.assign(er=effective_robustness(four["shifted"], four["imagenet"], line))
    timm = four[four["source"] == "timm"]
    supervised = timm[(timm["level"] == "supervised") & (timm["group"] == "ImageNet-1k")]
    finetuned = timm.set_index(["model", "weights"])
    pool = supervised["imagenet"], supervised["er"]
    for name, er, excess, limit in (
        ("base_patch32", 8.9, 6.0, 2.9),
        ("base_patch16", 15.9, 5.4, 3.0),
        ("large_patch14", 25.8, 6.2, 3.0),
    ):
        model = finetuned.loc[(f"vit_{name}_clip_224", "openai_ft_in1k")]
        found = matched_excess([model["imagenet"]], [model["er"]], *pool)
        told = 100 * np.array([model["er"], found.excess[0], found.limit[0]])
        assert told == pytest.approx([er, excess, limit], abs=0.1)


def pool_of(table):
    pool = accuracies.baseline_pool(accuracies.wide(table, "matched_frequency", FOUR_SHIFTS))
    return pool["imagenet"], pool["shifted"]


def test_one_line_of_one_collection(clip):
    own = clip[(clip["group"] == "DataComp")]
    own = own[own["model"].isin(["ViT-B-32", "ViT-B-16", "ViT-L-14"])]
    line = fit_baseline(own["imagenet"], own["shifted"])
    assert (len(own), round(line.slope, 3), round(line.r, 3)) == (26, 0.955, 0.998)
    bent = curvature(own["imagenet"], own["shifted"])
    x, y = logit(own["imagenet"]), logit(own["shifted"])
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
    one = (high["model"] == "ViT-L-14") & (high["weights"] == "openai")
    assert others.loc[one, ["Food-101", "MNIST"]].to_numpy().tolist() == [[0.9305, 0.7634]]
    mean, given = others.mean(axis=1), high["imagenet"]
    assert spearmanr(high["er"], mean).statistic == pytest.approx(0.83, abs=0.01)
    assert spearmanr(given, mean).statistic == pytest.approx(0.96, abs=0.01)
    ranks = [rankdata(x) for x in (high["er"], mean, given)]
    left = [linregress(ranks[2], y) for y in ranks[:2]]
    rest = [y - fit.slope * ranks[2] for y, fit in zip(ranks, left, strict=False)]
    partial = partial_rank_correlation(high["er"], mean, given)
    assert partial == pytest.approx(np.corrcoef(*rest)[0, 1]) == pytest.approx(0.02, abs=0.01)


def test_accuracies_are_drawn_on_axes_on_which_equal_logits_are_equal_steps(clip):
    high = clip[clip["imagenet"] > 0.6]
    line = fit_baseline(high["imagenet"], high["shifted"])
    shown = high.assign(of=high["model"], series="CLIP", look="filled", label="")
    shown.loc[high["model"] == "ViT-L-14", "label"] = "ViT-L/14"
    drawing = robustness.on_logit_axes(shown, FIVE_SHIFTS, {"line": line.predict}, [line] * 3)
    (axes,) = drawing.figure.axes
    x, y = axes.get_xlabel(), axes.get_ylabel()
    np.testing.assert_allclose(drawing.data[[x, y]], 100 * high[["imagenet", "shifted"]])
    places = axes.transData.transform([[20, 50], [50, 50], [80, 50]])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    curve = axes.get_lines()[-1].get_xydata() / 100
    np.testing.assert_allclose(curve[:, 1], line.predict(curve[:, 0]))
    assert [text.get_text() for text in axes.texts] == ["ViT-L/14"]


def test_an_arrow_is_as_long_as_effective_robustness(clip):
    model = clip.set_index(["model", "weights"]).loc[("ViT-L-14", "openai")]
    er = effective_robustness(model["shifted"], model["imagenet"])
    model = pd.Series({**model, "level": "zero_shot", "er": float(er)})
    drawing = sketches.arrow(view("five"), model, "ViT-L/14")
    low, high = drawing.data["mean top-1 of five shifts (%)"]
    assert high - low == pytest.approx(100 * model["er"]) == pytest.approx(36.7, abs=0.05)
    assert "+36.7 points" in [text.get_text() for text in drawing.figure.axes[0].texts]
