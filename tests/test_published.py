"""Published accuracies: the table, its views, and the paper's numbers that come out of it.

The fits here are written out with NumPy, apart from ``analysis.metrics.robustness``, as a
second opinion.
"""

import importlib.util
import itertools

import numpy as np
import pytest

from analysis.families.registry import load_families, load_family
from analysis.images.public import ArtifactError
from companion.measurements import accuracies, views
from companion.measurements.accuracies import (
    FIVE_SHIFTS,
    FOUR_SHIFTS,
    PUBLISHED,
    AccuracyError,
    baseline_pool,
    load,
    published,
    wide,
)


@pytest.fixture(scope="module")
def table():
    return load()


@pytest.fixture(scope="module")
def make():
    """The script that builds the table, as a module."""
    path = PUBLISHED.parent / "make.py"
    spec = importlib.util.spec_from_file_location("make_published", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def logit(accuracy):
    return np.log(accuracy / (1 - accuracy))


def fit(pool):
    """Slope, intercept and Pearson's r of logit(shifted) on logit(imagenet)."""
    x, y = logit(pool["imagenet"]), logit(pool["shifted"])
    design = np.stack([x, np.ones(len(x))], axis=1)
    slope, intercept = np.linalg.lstsq(design, y, rcond=None)[0]
    return slope, intercept, np.corrcoef(x, y)[0, 1]


# The paper's constants and the effective robustness that they give.


@pytest.mark.parametrize(
    "v2, slope, intercept, r",
    [
        ("mean", 0.75594, -1.49170, 0.99460),
        ("threshold", 0.75979, -1.48739, 0.99449),
        ("matched_frequency", 0.75701, -1.57017, 0.99340),
        ("top_images", 0.75214, -1.42132, 0.99550),
    ],
)
def test_the_baseline_pool_gives_the_known_fit(table, v2, slope, intercept, r):
    pool = baseline_pool(wide(table, v2))
    assert len(pool) == 287
    assert fit(pool) == pytest.approx((slope, intercept, r), abs=6e-6)


@pytest.mark.parametrize(
    "v2, expected",
    [("mean", (1.0039, -1.7776, 0.9717)), ("matched_frequency", (1.0417, -1.8905, 0.9730))],
)
def test_standard_models_alone_give_another_fit(table, v2, expected):
    pool = baseline_pool(wide(table, v2), "standard")
    assert len(pool) == 82
    assert set(pool["kind"]) == {"Standard training"}
    assert fit(pool) == pytest.approx(expected, abs=6e-5)


ROBUSTNESS = {
    "rn50-openai": 19.4,
    "rn50-yfcc15m": 6.2,
    "rn50-cc12m": 13.2,
    "rn101-openai": 23.2,
    "rn101-yfcc15m": 7.9,
    "vit_b_32-openai": 23.2,
    "vit_b_32-laion400m": 23.5,
    "vit_b_32-laion2b": 25.1,
    "vit_b_16-openai": 29.8,
    "vit_b_16-laion400m": 27.1,
    "vit_b_16-laion2b": 28.4,
    "vit_b_16-datacomp": 31.5,
    "vit_l_14-openai": 36.7,
    "vit_l_14-laion400m": 30.9,
    "vit_l_14-laion2b": 33.1,
    "vit_l_14-datacomp": 36.6,
}


def test_effective_robustness_of_the_sixteen_zero_shot_models(table):
    rows = wide(published(load_families("paper").values(), table), "matched_frequency")
    rows = rows[rows["level"] == "zero_shot"]
    expected = 1 / (1 + np.exp(-(0.76 * logit(rows["imagenet"]) - 1.49)))
    robustness = 100 * (rows["shifted"] - expected)
    assert dict(zip(rows["name"], robustness.round(1), strict=True)) == ROBUSTNESS


# Views.


def test_one_model_worked_by_hand(table):
    models = wide(table, "matched_frequency").set_index(["model", "weights"])
    row = models.loc[("ViT-B-32", "laion2b_s34b_b79k")]
    shifts = [0.5814, 0.7643, 0.5366, 0.4883, 0.2627]
    assert row[list(FIVE_SHIFTS)].to_list() == shifts
    assert row["imagenet"] == 0.6656
    assert row["shifted"] == pytest.approx(sum(shifts) / 5)


def test_the_mean_over_v2_variants_is_the_mean_of_three(table):
    views = {v2: wide(table, v2).set_index(accuracies.MODEL_KEY) for v2 in ("mean", "threshold")}
    for v2 in ("matched_frequency", "top_images"):
        views[v2] = wide(table, v2).set_index(accuracies.MODEL_KEY)
    index = views["mean"].index
    variants = [views[v2].loc[index, "imagenet_v2"] for v2 in accuracies.V2_VARIANTS]
    assert np.allclose(views["mean"]["imagenet_v2"], sum(variants) / 3)


def test_no_v2_variant_is_substituted_for_another(table):
    assert set(wide(table, "mean")["source"]) == {"imagenet_testbed"}
    assert set(wide(table, "threshold")["source"]) == {"imagenet_testbed"}
    five = set(wide(table, "matched_frequency")["source"])
    assert five == {"open_clip", "imagenet_testbed", "model_soups"}


def test_timm_is_only_there_on_four_shifts(table):
    four = wide(table, "matched_frequency", FOUR_SHIFTS)
    assert "timm" in set(four["source"])
    assert "objectnet" not in four
    row = four[
        (four["model"] == "vit_base_patch32_clip_224") & (four["weights"] == "openai_ft_in1k")
    ]
    assert row["shifted"].to_list() == pytest.approx([(0.7073 + 0.55847 + 0.45033 + 0.22747) / 4])


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


def test_views_have_one_row_per_model(table):
    for v2, shifts in itertools.product(("mean", "matched_frequency"), (FIVE_SHIFTS, FOUR_SHIFTS)):
        models = wide(table, v2, shifts)
        assert not models.duplicated(accuracies.MODEL_KEY).any()
        assert not models[["imagenet", *shifts, "shifted"]].isna().any(axis=None)


def test_families_find_their_published_models(table):
    def four(family):
        known = published([load_family(family)], table)
        return wide(known, "matched_frequency", FOUR_SHIFTS)

    soups = four("vit_b_32")
    assert (soups["name"] == "vit_b_32-openai-soup-members").sum() == 72
    assert (soups["kind"] == "Linear probe, from which the other models start").sum() == 1
    large = four("vit_l_14")
    assert large["name"].to_list()[-3:] == [
        "vit_l_14-openai-finetuned",
        "vit_l_14-laion2b-finetuned",
        "vit_l_14-supervised",
    ]
    assert large["pretraining"].iloc[0] == "OpenAI WIT-400M"


@pytest.mark.parametrize("family", load_families("paper").values(), ids=lambda family: family.name)
def test_every_published_key_names_rows_of_its_level(table, family):
    rows = published([family], table)
    levels = {model.name: model.level for model in family.models if model.published}
    for name, level in levels.items():
        assert set(rows.loc[rows["name"] == name, "level"]) == {level}
    assert (rows["family"] == family.name).all()
    assert len(rows) == (table["family"] == family.name).sum()


def test_a_family_without_published_models_gives_an_empty_table(table):
    pocket = published([load_family("pocket_cnn")], table)
    assert pocket.empty and views.effective(pocket, FIVE_SHIFTS).empty
    assert wide(published([load_family("vit_l_14")], table), "mean").empty


def test_soups_are_not_counted_as_finetuned_models(table):
    soups = table[table["model"].isin(["greedy_soup", "uniform_soup"])]
    assert set(soups["level"]) == {""}
    members = table[(table["source"] == "model_soups") & (table["level"] == "finetuned")]
    assert members["model"].nunique() == 72


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: wide(t, "matched-frequency"), "unknown ImageNet-V2 .* mean 'matched_frequency'"),
        (
            lambda t: wide(t, shifts=["imagenet_c"]),
            "unknown shift 'imagenet_c': known are imagenet",
        ),
        (lambda t: baseline_pool(wide(t), "some"), "unknown kinds 'some': expected 'all' or"),
    ],
)
def test_a_wrong_question_is_an_error(table, call, message):
    with pytest.raises(AccuracyError, match=message):
        call(table)


# The file.

HEAD = ",".join(accuracies.COLUMNS) + "\n"
ROW = "timm,c,resnet50,tv_in1k,224,supervised,rn50,,imagenet,1000,0.761560,\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (HEAD.replace("kind,", "") + ROW, "has the columns source, .* where source, .*rebuild"),
        (HEAD + ROW.replace("0.76", "76"), "line 2 .timm resnet50.: accuracy 761.* a fraction"),
        (HEAD + ROW.replace("0.761560", "high"), "line 2 .*: accuracy is 'high', which is not a n"),
        (HEAD + ROW.replace("0.761560", ""), "line 2 .*: accuracy is '', which is not a number"),
        (HEAD + ROW.replace(",224,", ",big,"), "line 2 .*: image_size is 'big'"),
        (HEAD + ROW.replace(",1000,", ",200,"), "classes 200 is not that data set's number of c"),
        (HEAD + ROW.replace("imagenet,", "imagenet_c,"), "dataset imagenet_c must be one of imag"),
        (HEAD + ROW.replace("timm,", "tim,"), "source tim must be one of open_clip"),
        (HEAD + ROW.replace("supervised", "standard"), "level standard must be empty or zero_shot"),
        (HEAD + ROW + ROW, r"line 3 \(timm resnet50\): dataset imagenet is there twice"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_reason(tmp_path, text, message):
    path = tmp_path / "accuracies.csv"
    path.write_text(text)
    with pytest.raises(AccuracyError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(AccuracyError, match=r"does not exist: run .*make.py"):
        load(tmp_path / "accuracies.csv")


def test_a_smallest_file_is_read(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text(HEAD + ROW + ROW.replace(",224,", ",,"))
    rows = load(path)
    assert rows["image_size"].isna().to_list() == [False, True]
    assert rows["accuracy"].to_list() == [0.76156, 0.76156]


def test_the_committed_file_is_small_and_has_unix_lines():
    content = PUBLISHED.read_bytes()
    assert len(content) < 2_500_000
    assert b"\r" not in content


def test_the_committed_file_is_what_the_script_makes(make):
    try:
        content = make.to_csv(make.build())
    except ArtifactError as error:
        pytest.skip(f"needs the published tables of other projects: {error}")
    assert PUBLISHED.read_bytes() == content


@pytest.mark.parametrize(
    "model, weights, level",
    [
        ("vit_base_patch16_clip_224", "openai_ft_in1k", "finetuned"),
        ("convnext_large_mlp", "clip_laion2b_augreg_ft_in1k_384", "finetuned"),
        ("vit_base_patch16_clip_224", "openai_ft_in12k_in1k", ""),
        ("resnet50", "tv_in1k", "supervised"),
        ("vit_base_patch16_224", "augreg_in21k_ft_in1k", ""),
        ("swin_tiny_patch4_window7_224", "ms_in1k", "supervised"),
        ("deit_base_distilled_patch16_224", "fb_in1k", ""),
        ("hrnet_w48_ssld", "paddle_in1k", ""),
        ("efficientnet_b0", "ns_jft_in1k", ""),
        ("cspresnext50", "msft_in1k", "supervised"),
    ],
)
def test_levels_read_from_timm_tags(make, model, weights, level):
    assert make.timm_level(model, weights) == level
