"""What tells robust models from others: against scikit-learn and SciPy, and by hand."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import copy_checkout, run_in
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from analysis.families.registry import load_families
from analysis.metrics import indicators
from companion.chapters import indicator_tables
from companion.claims.evidence import gather
from companion.engine import cells
from companion.engine.captions import read_captions
from companion.measurements import accuracies
from companion.measurements.effective_robustness import view


def test_rank_correlation_and_separation_are_the_known_ones():
    generator = np.random.default_rng(0)
    for _ in range(20):
        x, y = generator.integers(0, 6, (2, 15)).astype(float)
        robust = generator.random(15) < 0.4
        robust[:2] = True, False
        assert indicators.rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
        assert indicators.separation(x, robust) == pytest.approx(roc_auc_score(robust, x))


def test_what_is_not_defined_is_nan():
    assert np.isnan(indicators.rank_correlation([1, 2], [1, 2]))
    assert np.isnan(indicators.rank_correlation([1, 1, 1], [1, 2, 3]))
    assert np.isnan(indicators.separation([1, 2], [True, True]))
    given = [0, 1], [1, 2], [True, True]
    ends = indicators.interval(indicators.separation, *given, resamples=50, seed=0)
    assert np.isnan(ends).all()


def test_intervals_draw_groups_and_repeat():
    """Copies of the same models add nothing if they are drawn together."""
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 12))
    of = indicators.rank_correlation
    single = indicators.interval(of, range(12), x, y, resamples=400, seed=3)
    five = (np.tile(column, 5) for column in (range(12), x, y))
    copied = indicators.interval(of, *five, resamples=400, seed=3)
    assert single == pytest.approx(copied)
    assert single[0] < of(x, y) < single[1]


def test_a_gain_is_a_difference_of_rank_correlations_in_the_same_resamples():
    x, y, z = np.random.default_rng(4).normal(size=(3, 12))
    apart = stats.spearmanr(x, y).statistic - stats.spearmanr(z, y).statistic
    assert indicators.rank_gain(x, y, z) == pytest.approx(apart)
    drawn = np.random.default_rng(3).integers(0, 12, (400, 12))
    gains = [indicators.rank_gain(x[d], y[d], z[d]) for d in drawn]
    ends = indicators.interval(indicators.rank_gain, range(12), x, y, z, resamples=400, seed=3)
    assert ends == pytest.approx(np.percentile(gains, [2.5, 97.5]))
    same = indicators.interval(indicators.rank_gain, range(12), x, y, x, resamples=400, seed=3)
    assert same == pytest.approx((0, 0))


def test_the_p_of_a_separation_counts_assignments():
    """By hand, by all of them one by one, and as SciPy has it where there are no ties."""
    assert indicators.permutation_p([4, 5, 6, 1, 2, 3], [1, 1, 1, 0, 0, 0]) == pytest.approx(1 / 20)
    assert np.isnan(indicators.permutation_p([4, 5, 1, 2, 3], [1, 1, 0, 0, 0]))
    generator = np.random.default_rng(2)
    values, robust = generator.integers(0, 5, 9).astype(float), np.arange(9) < 4
    separations = [
        indicators.separation(values, np.isin(np.arange(9), some))
        for some in itertools.combinations(range(9), 4)
    ]
    reached = np.mean(np.array(separations) >= indicators.separation(values, robust) - 1e-9)
    assert indicators.permutation_p(values, robust) == pytest.approx(reached)
    distinct = generator.normal(size=11)
    exact = stats.mannwhitneyu(distinct[:5], distinct[5:], alternative="greater", method="exact")
    assert indicators.permutation_p(distinct, np.arange(11) < 5) == pytest.approx(exact.pvalue)


def test_several_p_values_are_adjusted_as_statsmodels_does():
    p = np.random.default_rng(3).random(12) ** 3
    np.testing.assert_allclose(indicators.holm(p), multipletests(p, method="holm")[1])
    some = indicators.holm([0.02, np.nan, 0.03])
    assert some[[0, 2]] == pytest.approx([0.04, 0.04]) and np.isnan(some[1])


def test_what_a_candidate_has_to_beat_stands_beside_it():
    """A candidate that is accuracy in disguise correlates with robustness, and given it with none;
    seeds of a model are one model.
    """
    generator = np.random.default_rng(4)
    accuracy = np.repeat(np.arange(12.0), 2)
    models = pd.DataFrame({"er": accuracy + generator.normal(0, 2, 24), "imagenet": accuracy})
    models["model"] = np.repeat([f"m{n}" for n in range(12)], 2)
    models["kurtosis"] = accuracy + generator.normal(0, 0.1, 24)
    models["best"], models["backbone"], models["level"] = generator.random(24), "one", "captions"
    models["robust"] = [None] * 4 + [False] * 10 + [True] * 10
    titles = indicator_tables.judgeable(models)
    assert [*titles] == ["kurtosis", "best", "imagenet"]
    judged = indicator_tables.judged(models, titles, "imagenet", 100, 0)
    kappa, _, accuracy = judged.to_dict("records")
    assert kappa["area"] == 1
    assert kappa["p"] == pytest.approx(2 / 252)  # of five and five models, two candidates
    assert kappa["rank"] > 0.8 and kappa["trained"] == kappa["rank"]
    assert abs(kappa["given"]) < 0.5 and kappa["given_low"] < 0 < kappa["given_high"]
    assert np.isnan(accuracy["p"]) and np.isnan(accuracy["given"])
    templates = read_captions("robustness_indicators")["candidates"].cells
    written = cells.written(judged, templates)
    assert written["given accuracy"].tolist()[2] == "n/a"
    assert "cut from other backbones (%)" not in written, "one backbone: no row has it"
    few = models[models["er"].rank() <= 20].assign(robust=[True, False] + [None] * 18)
    none = indicator_tables.judged(few, titles, "imagenet", 100, 0)
    assert none[["area", "p", "among_robust", "among_others", "cut"]].isna().all(axis=None)


def test_a_cut_is_chosen_between_values():
    values, robust = [1, 2, 3, 4, 5], [False, False, True, False, True]
    cut = indicators.best_cut(values, robust)
    assert cut == 2.5
    assert indicators.balanced_accuracy(values, robust, cut) == pytest.approx((1 + 2 / 3) / 2)


def test_what_stands_in_one_row_is_measured_on_the_same_images():
    evidence = gather("paper", experiments=indicator_tables.EXPERIMENTS)
    by_model = indicator_tables.measured(evidence, anywhere=True)
    of = {"vit_b_16-openai": "coco_500_images", "vit_b_32-openai": "imagenet_train_4000"}
    for model, images in of.items():
        both = by_model[model]["outlier_features"], by_model[model]["privileged_directions"]
        assert {m.data.name for m in both} == {images}


@pytest.mark.slow
def test_the_papers_models_are_compared_once_enough_of_them_are_measured(tmp_path):
    """With κ of ImageNet's images for every model of known robustness, the page computes."""
    project = copy_checkout(tmp_path / "project")
    folder = project / "data/measurements/outlier_features"
    content = json.loads((folder / "vit_b_16-openai--coco_500_images.json").read_text())
    er = view("five").models(accuracies.known(load_families("paper").values()))
    er = er.drop_duplicates("name", keep=False)
    kurtosis = 3 + np.random.default_rng(0).gamma(1, 20, len(er)).round(1)
    for value, row in zip(kurtosis, er.itertuples(), strict=True):
        content |= {"family": row.family, "model": row.name, "level": row.level}
        content["data"]["name"] = "imagenet"
        content["values"]["kurtosis_mean"]["value"] = value
        (folder / f"{row.name}--imagenet.json").write_text(json.dumps(content))
    done = run_in(project, "companion.cli.main", "run", "robustness_indicators", "paper")
    assert done.returncode == 0, done.stderr
    notebook = (project / "book/runs/robustness_indicators/paper.ipynb").read_text()
    rho = stats.spearmanr(kurtosis, er["er"]).statistic
    assert "rank correlation with ER" in notebook
    assert len(re.findall(r"\\nκ,[a-z]", notebook)) == len(er)  # rows of the figure's data
    assert f"{rho:.2f}".replace("-", "−") in notebook
