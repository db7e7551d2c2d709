"""Published accuracies: the table, and the paper's numbers that come out of it.

The fits here are written out with NumPy, apart from ``analysis.metrics.robustness``, as a
second opinion.
"""

import numpy as np
import pandas as pd
import pytest
from conftest import cases

from analysis.base.roots import ArtifactError
from analysis.families.registry import LEVELS, Family, load_families, load_family
from companion.chapters import robustness_figures
from companion.measurements import accuracies
from companion.measurements.accuracies import (
    FIVE_SHIFTS,
    baseline_pool,
    published,
    wide,
)
from companion.measurements.effective_robustness import (
    by_pretraining,
    effective,
    fit_choices,
    in_paper_order,
    view,
)
from companion.measurements.effective_robustness import drawn as er_drawn
from companion.sources.public import fetch

CASES = cases("accuracies")


@pytest.fixture(scope="module")
def families():
    return load_families("paper")


@pytest.fixture(scope="module")
def five(families):
    return view("five").models(accuracies.known(families.values()))


def logit(accuracy):
    return np.log(accuracy / (1 - accuracy))


# The paper's constants and the effective robustness that they give.


@pytest.mark.parametrize("kinds, v2, models, expected", CASES["fits"])
def test_the_baseline_pool_gives_the_known_fit(table, kinds, v2, models, expected):
    pool = baseline_pool(wide(table, v2), kinds)
    assert len(pool) == models
    assert kinds == "all" or set(pool["kind"]) == {"Standard training"}
    x, y = logit(pool["imagenet"]), logit(pool["shifted"])
    line = np.linalg.lstsq(np.stack([x, np.ones(len(x))], axis=1), y, rcond=None)[0]
    fit = [*line, np.corrcoef(x, y)[0, 1]]
    assert fit == pytest.approx(expected, abs=6e-6 if kinds == "all" else 6e-5)
    row = fit_choices(table).set_index(["kinds", "v2"]).loc[(kinds, v2)]
    assert row.to_list() == pytest.approx([models, *fit], abs=1e-9)


def test_effective_robustness_is_its_definition_and_as_known(five):
    shifted = five[list(FIVE_SHIFTS)].astype(float).mean(axis=1)
    literal = shifted - 1 / (1 + np.exp(-(0.76 * logit(five["imagenet"]) - 1.49)))
    np.testing.assert_allclose(five["er"], literal, atol=1e-12)
    zero_shot = five[five["level"] == "zero_shot"].set_index("name")["er"]
    assert dict((100 * zero_shot).round(1)) == CASES["robustness"]


def test_of_a_model_that_several_sources_measured_the_first_counts(families):
    four = view("four").models(accuracies.known(families.values()))
    supervised = four[four["name"] == "rn101-supervised"]
    assert list(supervised["source"]) == ["imagenet_testbed"]  # timm has measured it, too


def test_groups_leave_out_what_is_not_published(five, families):
    grouped = (
        by_pretraining(five, families).set_index(["family", "pretraining", "level"]).sort_index()
    )
    assert len(grouped) == 3 * 16
    soups = five[five["source"] == "model_soups"]["er"]
    assert len(soups) == 72 and soups.max() < 0.15  # well below zero-shot
    rows = grouped.loc[("vit_b_32", "OpenAI WIT-400M")]
    assert rows.loc["finetuned", "er"] == pytest.approx(soups.median())
    assert rows.loc["finetuned", ["low", "high"]].isna().all()
    assert np.isnan(rows.loc["supervised", "er"])
    assert grouped.xs("finetuned", level="level")["er"].notna().sum() == 1


def test_models_of_one_pretraining_set_are_two(families):
    """As a reader puts two published checkpoints of one backbone side by side."""
    known = families["vit_b_32"].model_dump(by_alias=True)
    models = {model["name"]: model for model in known["models"]}
    laion, tuned = (models[f"vit_b_32-{of}"] for of in ("laion2b", "openai-soup-members"))
    early = {"source": "open_clip", "model": "ViT-B-32", "weights": "laion2b_e16"}
    mine = [
        laion | {"name": "late"},
        laion | {"name": "early", "published": (early,)},
        tuned | {"name": "tuned", "pretraining": "LAION-2B"},
    ]
    family = Family.model_validate(known | {"name": "mine", "edition": "reader", "models": mine})
    rows = view("five").models(accuracies.known([family]))
    er = rows.set_index("name")["er"]
    grouped = by_pretraining(rows, {"mine": family}).set_index(["name", "level"])["er"]
    assert er["late"] != er["early"]
    for name in ("late", "early"):
        assert grouped[name, "zero_shot"] == er[name]
        assert grouped[name, "finetuned"] == pytest.approx(er["tuned"].median())
    assert len(in_paper_order(family, rows)) == 0  # no supervised model is known
    table = robustness_figures.level_table(by_pretraining(rows, {"mine": family}))
    assert table["pretraining"].tolist() == ["LAION-2B (late)", "LAION-2B (early)"]
    drawn = er_drawn(rows[rows["level"] == "zero_shot"], "reader")
    assert drawn["of"].nunique() == 2


# Rows that count.


def test_models_with_a_defect_are_in_no_view(table):
    models = wide(table, "matched_frequency")
    pairs = set(zip(models["model"], models["weights"], strict=True))
    assert ("RN50-quickgelu", "yfcc15m") in pairs
    assert ("RN50", "yfcc15m") not in pairs
    assert ("coca_ViT-B-32", "mscoco_finetuned_laion2b_s13b_b90k") not in pairs
    defects = table[table["defect"] != ""]
    assert len(defects) == 6 * 6
    assert set(defects["source"]) == {"open_clip"}
    assert (defects["family"] == "").all()


def test_openai_rows_are_equal_under_both_names(table):
    """So QuickGELU was used under either: the notes in the family files rest on this."""
    openai = table[(table["source"] == "open_clip") & (table["weights"] == "openai")]
    rows = openai.set_index(["model", "dataset"])["accuracy"]
    for name in ("RN50", "RN101", "ViT-B-32"):
        assert rows.loc[name].equals(rows.loc[f"{name}-quickgelu"])


@pytest.mark.parametrize("family", load_families("paper").values(), ids=lambda family: family.name)
def test_every_published_key_names_rows_of_its_level(table, family):
    rows = published([family], table)
    levels = {model.name: model.level for model in family.models if model.published}
    assert list(rows["name"].unique()) == list(levels)  # in the order of the family's file
    for name, level in levels.items():
        assert set(rows.loc[rows["name"] == name, "level"]) == {level}
    assert (rows["family"] == family.name).all()
    assert len(rows) == (table["family"] == family.name).sum()


def test_a_family_without_published_models_gives_an_empty_table(table):
    pocket = published([load_family("pocket_cnn")], table)
    assert pocket.empty and effective(pocket, FIVE_SHIFTS).empty
    for v2 in ("mean", "threshold"):  # not the variant that CLIP models have
        assert wide(published([load_family("vit_l_14")], table), v2).empty


def test_imagenet_v2_is_the_mean_of_its_three_variants(table):
    parts = [wide(table, v2) for v2 in ("matched_frequency", "threshold", "top_images")]
    every = [part.set_index(["source", "model", "weights"])["imagenet_v2"] for part in parts]
    mean = wide(table, "mean").set_index(["source", "model", "weights"])["imagenet_v2"]
    assert len(mean) > 100
    assert np.allclose(mean, sum(part.loc[mean.index] for part in every) / 3, rtol=0, atol=1e-12)


# The file.


def test_every_row_of_the_table_is_sound(table):
    assert not table.duplicated([*accuracies.MODEL_KEY, "dataset"]).any()
    assert table["accuracy"].between(0, 1).all() and table["level"].isin(("", *LEVELS)).all()
    assert (table["classes"] == table["dataset"].map(accuracies.CLASSES_PUBLISHED)).all()


@pytest.mark.parametrize("model, weights, level", CASES["levels"])
def test_levels_read_from_timm_tags(table, model, weights, level):
    rows = table[(table["source"] == "timm") & (table["model"] == model)]
    assert set(rows.loc[rows["weights"] == weights, "level"]) == {level}


# Models of other papers, and another evaluator.


def test_models_that_other_papers_trained_have_the_robustness_of_their_accuracies(families):
    theirs = effective(accuracies.elsewhere(families.values()), FIVE_SHIFTS).set_index("name")
    # by hand: RN50 finetuned has a mean of 41.972 % under shift, and 76.21 % on ImageNet
    expected = 0.41972 - 1 / (1 + np.exp(1.49 - 0.76 * logit(0.7621)))
    assert theirs.loc["RN50, FT, TRACER", "er"] == pytest.approx(expected)
    ends = theirs.groupby(["family", "level"])["er"].agg(["min", "max"]).unstack()
    assert (ends["max", "finetuned"] < ends["min", "zero_shot"]).all()
    assert list(theirs["family"].unique()) == ["rn50", "vit_b_16", "vit_l_14"]


def test_the_dose_of_finetuning_continues_from_the_same_start():
    dose = pd.read_csv(accuracies.PUBLISHED.with_name("finetuning_dose.csv"))
    typed = pd.read_csv(accuracies.ELSEWHERE)
    start = typed.query("family == 'vit_b_16' and method == 'zero-shot' and source == 'TRACER'")
    columns = ["imagenet", *accuracies.FOUR_SHIFTS]
    assert dose.loc[dose["blocks"] == 0, columns].squeeze().to_numpy() == pytest.approx(
        start[columns].squeeze().to_numpy(dtype=float)
    )
    assert dose["blocks"].tolist() == [*range(8), 12, 12] and not dose["run"].duplicated().any()
    # by hand, the run with the last block: a mean of 63.888 %, as the source's own table has it
    assert dose.loc[1, [*accuracies.FOUR_SHIFTS]].mean() == pytest.approx(63.8875)
    assert dose[columns].gt(dose.loc[0, columns] - 1).all().all()  # no digit slipped


def test_what_is_typed_from_a_public_file_is_what_it_says():
    typed = pd.read_csv(accuracies.ELSEWHERE).query("source == 'mnpham0417/wise-ft'").iloc[0]
    try:
        rows = pd.read_json(fetch("wise-ft/results.jsonl"), lines=True)
    except ArtifactError as error:
        pytest.skip(f"the file is not here: {error}")
    scratch = rows[rows["model"].eq("RN50") & rows["pretrained"].isna()].dropna(axis="columns")
    named = {"V2": "imagenet_v2", "R": "imagenet_r", "A": "imagenet_a", "Sketch": "imagenet_sketch"}
    ends = {"ImageNet": "imagenet", "ObjectNet": "objectnet"}
    columns = {f"ImageNet{end}": name for end, name in named.items()} | ends
    for theirs, ours in columns.items():
        assert typed[ours] == pytest.approx(100 * scratch[f"{theirs}:top1"].iloc[0], abs=6e-4)


def test_every_model_trained_with_labels_lies_near_the_line_by_one_evaluator():
    one = pd.read_csv(accuracies.ONE_EVALUATOR)
    of = one.groupby("supervision")["er"].agg(["size", "min", "max"])
    assert of["size"].to_dict() == {"labels": 36, "texts": 39}
    assert of.loc["labels", "max"] < of.loc["texts", "min"]
    assert of.loc["labels", ["min", "max"]].to_list() == pytest.approx([-0.048, 0.031], abs=5e-4)
    assert one["name"].notna().sum() == one["name"].nunique() == 14  # all but DataComp's
