"""The family files, and the errors that a wrong one gives."""

from pathlib import Path

import pytest
from conftest import ROOT, cases, refused

from analysis.base.files import sha256_of
from analysis.families import registry
from analysis.families.registry import (
    LEVELS,
    Family,
    Model,
    load_families,
    load_family,
)
from analysis.features import store

PAPER = ["rn50", "rn101", "vit_b_32", "vit_b_16", "vit_l_14"]
ZERO_SHOT = cases("models")["zero_shot"]

MODELS = [model for family in load_families("paper").values() for model in family.models]


def test_paper_families_come_in_the_papers_order():
    assert list(load_families("paper")) == PAPER


@pytest.mark.parametrize("name", PAPER)
def test_each_family_has_the_papers_zero_shot_models_and_every_level(name):
    family = load_family(name)
    zero_shot = family.at_level("zero_shot")
    assert [model.weights for model in zero_shot] == ZERO_SHOT[name]
    assert {model.level for model in family.models} == {*LEVELS} - {"self_supervised", "unknown"}
    # As in the paper, every zero-shot model has a finetuned counterpart, public or not.
    finetuned = {model.pretraining for model in family.at_level("finetuned")}
    assert finetuned == {model.pretraining for model in zero_shot}


def test_models_without_public_weights_are_known_and_not_loadable():
    absent = [model for model in MODELS if not model.loadable]
    assert all(model.weights is None and model.note for model in absent)
    assert {model.level for model in absent} == {"captions", "finetuned"}
    finetuned = [m for f in ("rn50", "rn101") for m in load_family(f).at_level("finetuned")]
    assert not any(model.loadable for model in finetuned)


GOOD = (ROOT / "tests/cases/family.yaml").read_text()
#: Lists of nine lists each, which YAML keeps once.
NESTED = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 20))
LONG = [
    ("Tiny", "x" * 121, "title: .* at most 120 characters"),
    ("ImageNet-1k labels", "x" * 9999, r"pretraining: 9,999 characters are given, at most 5,000"),
    ("order: 9", f"order: {'9' * 5000}", "the file is not readable as YAML"),
    ("order: 9", f"order: {'[' * 3000}", "the file is not readable"),
    ("order: 9", f"order: 0x{'f' * 5000}", "order: .* got a number that is too long"),
    ("order: 9", f"order: 9\n{'k' * 900}: 1", r"k{80}…: extra inputs"),
    ("order: 9", f"x0: &x0 [1]\n{NESTED}order: *x19", r"order: .* got \[\[.*…"),
    ("tiny-one", "n" * 101, r"models\[0\].name: .* at most 100 characters"),
    (GOOD[GOOD.index("models:") :], "models: []", r"models: .* at least 1 item .*, got \[\]\.$"),
]


def family_file(folder, text, name="tiny"):
    (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_readers_family_is_read(tmp_path):
    family = load_family("tiny", family_file(tmp_path, GOOD))
    assert [model.loadable for model in family.models] == [True, False]
    assert family.models[0].preprocessing.resize is None
    assert load_families("paper", tmp_path) == {}


@pytest.mark.parametrize("old, new, message", cases("family_faults") + LONG)
def test_a_wrong_file_is_refused_with_file_field_and_reason(tmp_path, old, new, message):
    assert GOOD.count(old) == 1
    folder = family_file(tmp_path, GOOD.replace(old, new))
    refused(rf"tiny\.yaml: .*{message}", load_family, "tiny", folder)


@pytest.mark.parametrize("content", [b"", b"- a\n- b\n", b"\xff\xfe\x00name"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content):
    (tmp_path / "tiny.yaml").write_bytes(content)
    refused(r"tiny\.yaml: .*(a valid dictionary|not readable as Y)", load_family, "tiny", tmp_path)


@pytest.mark.parametrize(
    ("name", "listed"),
    [("vit_b16", "the nearest of the .* known are .*vit_b_16"), ("../secrets", "known")],
)
def test_an_unknown_family_lists_the_known_ones(name, listed):
    refused(rf"unknown family '{name}': .*{listed}", load_family, name)


def test_a_model_name_belongs_to_one_family_only(tmp_path, monkeypatch, answer):
    family_file(tmp_path, GOOD)
    family_file(tmp_path, GOOD.replace("name: tiny\n", "name: other\n"), "other")
    refused("'tiny-one' is used by the families other and tiny", load_families, folder=tmp_path)
    monkeypatch.setattr(registry, "load_families", lambda: load_families(folder=tmp_path))
    for words in ("extract rn50 --data none", "measure pruning rn50", "run pruning rn50"):
        said = answer(*words.split(), fails=True)
        assert "used by the families other and tiny: give each" in said


def test_titles_of_models():
    rn50, pocket = load_family("rn50"), load_family("pocket_vit")
    assert rn50.model("rn50-openai").title == "zero-shot, OpenAI WIT-400M"
    assert rn50.model("rn50-captions").title == "CLIP on ImageNet-Captions"
    titles = "large web; zero-shot, small web; captions of one style; finetuned; supervised; random"
    assert "; ".join(model.title for model in pocket.models) == f"zero-shot, {titles} weights"
    model = pocket.models[0]
    early = load_family("vit_b_32").model("vit_b_32-openai-before-projection")
    assert early.title == "zero-shot, OpenAI WIT-400M, before the projection"
    assert early.layer == load_family("vit_b_32").model("vit_b_32-openai-finetuned").layer
    assert Model.model_validate(early.model_dump()) == early
    alike = [model.model_dump() | {"name": name} for name in ("one", "two")]
    reader = Family.model_validate(pocket.model_dump() | {"edition": "reader", "models": alike})
    assert reader.model("two").title == "zero-shot, large web (two)"


def test_what_is_shipped_has_its_checksum_noted():
    files = {store.local_weights(m): m for f in load_families("pocket").values() for m in f.models}
    for path, model in files.items():
        assert path is None or sha256_of(path) == model.weights_sha256


def test_one_family_is_read_without_listing_the_others(monkeypatch):
    """A run of a family depends on its file alone, and reading what is not declared stops it."""
    monkeypatch.setattr(Path, "glob", None)
    assert load_family("rn50").title == "RN50"
