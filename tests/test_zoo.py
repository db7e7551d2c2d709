"""The edition zoo: its family files, what its grid comes to, and what its measurements show."""

import re

import numpy as np
import pytest
from conftest import refused

from analysis.families import registry
from companion.chapters import indicator_tables
from companion.checks import plausible
from companion.cli import readers, zoo
from companion.measurements import atlas, records
from companion.runs import grid


@pytest.fixture(scope="module")
def listed(table):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    names = ["RN50x4", "RN50", "RN50-quickgelu", "ViT-B-16", "ViT-B-32", "ViT-B-32-quickgelu"]
    names += ["coca_ViT-B-32", "ViT-B-16-SigLIP"]
    return zoo.describe(table[table["model"].isin(names)])


@pytest.fixture
def folder(listed, own_store, tmp_path, monkeypatch):
    """Those families' files in place of this machine's."""
    monkeypatch.setattr(registry.load_families, "__defaults__", (None, tmp_path))
    monkeypatch.setattr(registry.load_family, "__defaults__", (tmp_path,))
    zoo.write(listed[0], tmp_path / "zoo")
    return tmp_path


def test_every_published_checkpoint_that_can_be_loaded_is_in_the_family_of_its_architecture(listed):
    described, left_out = listed
    families = {family.title: family for family in described}
    architectures = {"RN50-quickgelu", "RN50x4-quickgelu", "ViT-B-16-quickgelu"}
    others = {"ViT-B-16", "ViT-B-16-SigLIP", "ViT-B-32", "ViT-B-32-quickgelu"}
    assert {*families} == architectures | others
    openai = families["ViT-B-16-quickgelu"].model("zoo-vit-b-16-openai")
    assert openai.published[0].model == "ViT-B-16" and openai.weights == "openai"
    assert (openai.width, openai.pretraining) == (512, "OpenAI WIT-400M")
    siglip = families["ViT-B-16-SigLIP"].models[0].preprocessing
    assert siglip.squash and siglip.mean == (0.5, 0.5, 0.5)
    tags = {m.weights for m in families["RN50-quickgelu"].models}
    assert tags == {"openai", "cc12m", "yfcc15m"}  # each once, under the activation that it needs
    (said,) = left_out  # of coca_ViT-B-32
    assert "not a single vector per image" in said


def test_names_are_the_zoos_alone(table):
    names = [*atlas.clip(table)["zoo"]]
    assert len({*names}) == len(names) > 100
    assert all(re.fullmatch(r"zoo-[a-z0-9_.-]+", name) for name in names)
    refused("'zoo-mine' is the name of an edition of the book", readers.check_name, "zoo-mine")


def test_the_files_lie_apart_and_are_written_anew(listed, folder):
    assert registry.load_families() == {}
    assert len(registry.load_families("zoo")) == len(listed[0])
    assert registry.load_family("zoo-vit-b-32").edition == "zoo"
    zoo.write(listed[0][:1], folder / "zoo")
    assert [*registry.load_families("zoo")] == [listed[0][0].name]
    assert "edit nothing here" in next((folder / "zoo").glob("*.yaml")).read_text()


def test_weights_of_a_folder_are_named_by_architecture_and_tag(table, tmp_path):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    ((family,), _) = zoo.describe(table[table["model"] == "RN50x4"], tmp_path)
    (model,) = family.models
    assert model.weights == f"{tmp_path.as_posix()}/RN50x4-quickgelu--openai.safetensors"
    assert model.published[0].weights == "openai"


def test_without_files_the_grid_says_how_to_write_them(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.load_families, "__defaults__", (None, tmp_path))
    refused("no family: run `python -m companion.cli.zoo` first", grid.plan, grid.Grid("zoo"))
    refused("nowhere is not a folder: create it", zoo.make, tmp_path / "nowhere")


def measured(table, folder, value, models=40):
    """Files of κ and importance of so many models, κ as `value` makes it of a row."""
    kurtosis, importance = (
        records.read(records.recorded_path("vit_b_16-openai", "coco_500_images", experiment))
        for experiment in ("outlier_features", "privileged_directions")
    )
    rows = [row for row in atlas.clip(table).itertuples() if row.imagenet > 0.1][:models]
    for row in rows:
        named = {"model": row.zoo, "family": "zoo-x"}
        mean = kurtosis.values["kurtosis_mean"].model_copy(update={"value": value(row)})
        values = kurtosis.values | {"kurtosis_mean": mean}
        records.write(kurtosis.model_copy(update={**named, "values": values}), folder)
        records.write(importance.model_copy(update=named), folder)
    return rows


def test_what_is_measured_stands_beside_the_baseline(table, tmp_path):
    empty, on = atlas.measured_zoo(table, tmp_path)
    assert on == "" and empty["kurtosis"].isna().all()
    assert indicator_tables.zoo(empty, 50, 0).empty
    rows = measured(table, tmp_path, lambda row: round(3 + np.exp(10 * row.er), 3))
    models, on = atlas.measured_zoo(table, tmp_path)
    assert on == "500 COCO images" and models["kurtosis"].notna().sum() == len(rows) == 40
    judged = indicator_tables.zoo(models[models["imagenet"] > 0.1], 50, 0).set_index("quantity")
    assert list(judged.index) == ["ImageNet accuracy", "κ", "persistence", "top importance"]
    assert np.isnan(judged.loc["persistence", "rank"]), "all the same"
    kappa = judged.loc["κ"]
    assert kappa["rank"] == pytest.approx(1, abs=0.005) and kappa["given"] > 0.995
    assert kappa["missed_with"] < 0.5 * kappa["missed"]


def test_a_contributed_measurement_is_checked_without_the_machines_files(table, tmp_path):
    measured(table, tmp_path, lambda row: 50.0, models=1)
    path = next((tmp_path / "privileged_directions").iterdir())
    assert plausible.problems(path, {}) == []
    measurement = records.read(path).model_copy(update={"model": "zoo-none"})
    (problem,) = plausible.problems(records.write(measurement, tmp_path), {})
    assert "no published model of open_clip is called 'zoo-none'" in problem
