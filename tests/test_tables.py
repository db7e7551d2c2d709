"""Rows and numbers of the chapters on encoders, on recorded measurements and on cases by hand."""

import html
import json
import re
import runpy

import numpy as np
import pandas as pd
import pytest
from conftest import cases, refused
from scipy import sparse

from analysis.base.roots import ROOT
from analysis.families.registry import load_families
from companion.chapters import encoder_tables, measured
from companion.chapters.robustness_figures import ER
from companion.claims.evidence import gather
from companion.engine import style
from companion.engine.captions import read_captions
from companion.engine.cells import written
from companion.measurements.intervals import Interval
from companion.measurements.measurement import MeasurementError
from companion.measurements.pruned import in_each_order
from companion.measurements.records import available, read_all
from companion.measurements.textures import textures

FAMILIES = load_families("paper") | load_families("contrast")
IMAGES, CAPTIONS, RANDOM, _ = measured.example(measured.of_editions("outlier_features", "paper"))
CLIP, CONTROL = measured.example(measured.of_editions("privileged_directions", "paper"))
(PRUNED,) = measured.example(measured.of_editions("pruning", "paper"))


def models(*rows):
    """Models by falling robustness as (title, lowest κ, highest κ)."""
    return pd.DataFrame(rows, columns=["of", "low", "high"])


@pytest.mark.parametrize(("rows", "higher", "lower", "undecided"), cases("tables")["orders"])
def test_whether_kurtosis_orders_robustness(rows, higher, lower, undecided):
    pairs = encoder_tables.orders(models(*rows))
    assert pairs == {"all": 3, "higher": higher, "lower": lower, "open": undecided}


def test_the_seven_encoders_and_their_dominant_coordinates():
    image_sets = measured.image_sets()
    clip = {name: sets for name, sets in image_sets.items() if sets[0].level == "zero_shot"}
    assert len(clip) == 7
    assert image_sets["vit_b_32-openai"][0].data.name == "imagenet_train_4000"
    titles = [measured.model_title(sets[0]) for sets in image_sets.values()]
    assert len({*titles}) == len(titles) and "RN101 OpenAI (inferred)" in titles
    rows = encoder_tables.kappa([sets[0] for sets in image_sets.values()]).data.set_index("of")
    b32 = rows.loc["ViT-B/32 OpenAI: 4,000 ImageNet training images"]
    assert f"{b32['κ']:.3g}" == "87.3" and b32["note"].startswith("92, in 100")
    by_model = encoder_tables.by_model(clip)
    assert by_model.loc["ViT-B/32 LAION-2B", "dominant"] == "307 and 152"
    assert style.span(by_model.loc["ViT-B/32 OpenAI", "kurtosis_mean"]) == "15.4 to 128"
    both = encoder_tables.kappa_and_robustness(
        clip, gather("paper", experiments=("accuracy",)).intervals
    )
    assert both[ER].is_monotonic_decreasing and len(both) == 7


LISTS = [("pruning", "kept"), ("pruning", "leave-one-out"), ("own_accuracies", "own-accuracies")]
LISTS += [("own_accuracies", "own-robustness")]
LISTS += [("outliers_overview", "kurtosis"), ("checkpoint_report", "verdicts")]


@pytest.mark.parametrize(("page", "table"), LISTS)
def test_how_a_readers_model_was_trained_is_a_column_where_models_are_listed(page, table):
    family = FAMILIES["rn50"].model_copy(update={"edition": "reader"})
    levels = {
        of.edition: measured.how_trained(of, "zero_shot") for of in (family, FAMILIES["rn50"])
    }
    assert levels == {"reader": "zero-shot", "paper": None}
    cells = {name: read_captions(page)[table].cells[name] for name in ("model", "level")}
    named = {"model": "mine", "title": "mine"}
    for level, expected in (("zero-shot", ["model", "level"]), (None, ["model"])):
        assert [*written(pd.DataFrame([named | {"how_trained": level}]), cells)] == expected


def test_what_pruning_costs_and_whether_that_is_a_loss():
    cases = ((-0.1, 0.05), (-0.02, 0.015), (0.0, 0.005))
    outcomes = [encoder_tables.lost(Interval.around(*case)) for case in cases]
    assert outcomes == ["yes", "undecided", "no"]
    (row,) = encoder_tables.pruned_at([PRUNED], 0.8).to_dict("records")
    assert (row["kept"], row["of_all"], row["lost"]) == (100, 500, "yes")
    prunings = measured.with_imagenets_head(measured.of_editions("pruning", "paper"))
    (rn50,) = [m for m in prunings if m.family == "rn50"]
    rows = encoder_tables.pruned_at([rn50], 0.8)
    assert rows["of_all"].tolist() == [512, 1000] and rows["kept"].tolist() == [102, 200]
    assert in_each_order(PRUNED, (1, 0.2))["kept"].tolist() == [500, 100]


def test_features_before_the_projection_are_no_other_encoder(monkeypatch):
    before = measured.image_sets()
    openai = before["vit_b_32-openai"][0]
    early = openai.model_copy(update={"model": "vit_b_32-openai-before-projection"})
    listed = measured.of_editions("outlier_features", "paper", "contrast")
    monkeypatch.setattr(measured, "of_editions", lambda *_: [*listed, early])
    assert measured.image_sets() == before


def test_one_set_of_images_each_and_a_models_captions():
    sets = available("outlier_features", FAMILIES["vit_b_16"])
    kept = [m.file_name for m in measured.one_set_each(sets)]
    others = ("coco_classes_133_captions", "histology_1000")
    assert {m.file_name for m in sets} - {*kept} == {f"vit_b_16-openai--{o}.json" for o in others}
    mine = sets[0].model_copy(update={"data": sets[0].data.model_copy(update={"name": "mine"})})
    assert mine in measured.one_set_each([*sets, mine])


def test_textures_along_directions():
    """Three textures of which two lie far along the head's first direction, on its lower side."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2, 3, 3, 3, 3], 20)
    labels = sparse.csr_array(kind[:, None] == np.arange(3))
    h = rng.normal(0, 0.1, (140, 6)) + 5 * np.eye(6)[4]
    h[:, 0] += np.where(kind < 2, -3, -1)
    head = np.vstack([10 * np.eye(6)[0], np.eye(6)[1:4]])
    along = textures(h, labels, head)
    assert along["top_direction"] == 0
    np.testing.assert_allclose(along["along_top"][:2], 1)
    assert along["along_top"][2] < 0.8 and (along["against_top"][:2] < 0.5).all()
    assert along["textures_lie_at"] > along["others_lie_at"]
    assert along["per_direction"].argmax() == 0 and len(along["per_direction"]) == 4
    assert along["along_top"].mean() == pytest.approx(along["per_direction"][0])


def recorded(experiment, model, quantity):
    """One number of every recorded file of a model, by data set, read as plain JSON."""
    numbers = {}
    for path in (ROOT / "data/measurements" / experiment).glob(f"{model}--*.json"):
        content = json.loads(path.read_text())
        numbers[content["data"]["name"]] = content["values"][quantity]["value"]
    return numbers


def test_readme_has_the_measured_numbers(own_store):  # what is recorded, alone
    said = " ".join((ROOT / "README.md").read_text().split())
    few = (
        recorded("outlier_features", name, "kurtosis_mean")["clothes_9"]
        for name in ("eva_clip_l_14_336-merged2b", "vit_l_14-openai")
    )
    assert "κ = {:.2f} on nine photographs, where OpenAI's ViT-L/14 has {:.1f}".format(*few) in said


def test_readmes_figure_is_the_books(own_store):
    kept = (ROOT / "book/_static/two_clips.svg").read_text()
    alt = runpy.run_path(str(ROOT / "data/readme/make.py"))["two_clips"]().alt
    assert f"<title>{html.escape(alt)}</title>" in kept  # all its numbers
    openai, eva = map(float, re.findall(r"robustness \+([\d.]+) points", alt))
    assert eva > openai  # as README says


def test_a_familys_recorded_numbers_name_the_images_and_a_model_that_is_inferred():
    measurements = read_all("outlier_features", "rn101")
    (title,) = measured.by_title(measurements)
    assert title.endswith(": 1,600 images of 100 ImageNet classes (model inferred)")
    live = [m.model_copy(update={"live": True}) for m in measurements]
    assert title.startswith(*measured.by_title(live))


def test_an_example_that_is_not_there_is_named():
    """Its file may be broken: the page says which evidence it lacks, not that a list is empty."""
    refused("discusses vit_b_16 on coco_500_images, of which", measured.example, [])
    with pytest.raises(MeasurementError, match="a model of the level random, of which no sound"):
        measured.of_level("random", measured.example(measured.of_editions("pruning", "paper")))
