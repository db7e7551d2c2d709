"""The pocket lab's features: extracted anew when what decides them changed, and only then."""

import subprocess

import numpy as np
import pytest

from analysis.common import ROOT
from analysis.families.registry import load_families
from analysis.features import store
from companion.runs import engine, experiments, lab
from companion.runs.experiments import RunError

FAMILIES = tuple(load_families("pocket"))


class Extraction:
    """Stands for `companion extract`: notes the calls, leaves small features."""

    def __init__(self):
        self.calls = []
        self.error = ""

    def __call__(self, command, **options):
        name = command[command.index("extract") + 1]
        self.calls.append(name)
        if self.error:
            return subprocess.CompletedProcess(command, 1, "", f"Traceback\n{self.error}\n")
        for model in load_families("pocket")[name].models:
            path = store.features_path(model.name, "pocket-twemoji-test")
            store.write(path, {"features": np.ones((2, 3), np.float32)}, {})
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def extraction(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    monkeypatch.setattr(lab, "can_extract", lambda: True)
    double = Extraction()
    monkeypatch.setattr(lab.subprocess, "run", double)
    return double


@pytest.fixture
def change(monkeypatch):
    """Let a file of the repository look as if its content were another."""
    changed = set()
    original = experiments.file_hash
    monkeypatch.setattr(
        experiments, "file_hash", lambda p: "changed" if p in changed else original(p)
    )
    return lambda name: changed.add(ROOT / name)


def test_features_are_extracted_once(extraction):
    assert lab.refresh() == len(FAMILIES)
    assert tuple(extraction.calls) == FAMILIES
    assert lab.refresh() == 0
    assert tuple(extraction.calls) == FAMILIES


@pytest.mark.parametrize(
    ("name", "outdated"),
    [
        ("data/pocket/checkpoints/pocket-cnn-captions.safetensors", FAMILIES),
        ("data/emoji/emoji.zip", FAMILIES),
        ("analysis/features/extract.py", FAMILIES),
        ("analysis/features/preprocess.py", FAMILIES),
        ("families/pocket_vit.yaml", ("pocket_vit",)),
        ("companion/publish/charts.py", ()),
        ("notebooks/pruning.py", ()),
        ("data/pocket/accuracies.csv", ()),
    ],
)
def test_they_are_extracted_again_when_what_decides_them_changes(
    extraction, change, name, outdated
):
    assert (ROOT / name).is_file()
    lab.refresh()
    extraction.calls.clear()
    change(name)
    assert lab.refresh() == len(outdated)
    assert tuple(extraction.calls) == outdated
    assert lab.refresh() == 0


def damage(path):
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def test_a_damaged_or_missing_file_is_noticed(extraction):
    lab.refresh()
    for spoil in (damage, lambda path: path.unlink(), lambda p: store.sidecar_of(p).unlink()):
        extraction.calls.clear()
        spoil(store.features_path("pocket-cnn-random", "pocket-twemoji-test"))
        assert lab.refresh() == 1
        assert extraction.calls == ["pocket_cnn"]


def test_a_damaged_note_counts_as_none(extraction, tmp_path):
    lab.refresh()
    for content in ("", "{", "[]"):
        (tmp_path / ".pocket_cnn.made-from.json").write_text(content)
        assert lab.refresh() == 1


def test_without_torch_nothing_happens(extraction, monkeypatch, tmp_path):
    monkeypatch.setattr(lab, "can_extract", lambda: False)
    assert lab.refresh() == 0
    assert extraction.calls == [] and list(tmp_path.iterdir()) == []
    assert engine.bring_up_to_date(wanted=[]) == 0


def test_a_failed_extraction_is_one_sentence_and_is_tried_again(extraction):
    extraction.error = "StoreError: the disk is full."
    with pytest.raises(RunError, match=r"^the features of pocket_cnn could not .*: StoreError: the "
                                       r"disk is full\.$"):  # fmt: skip
        lab.refresh()
    extraction.error = ""
    assert lab.refresh() == len(FAMILIES)


def test_a_run_depends_on_the_features_of_its_models_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))

    def put(model, content):
        path = tmp_path / model / "pocket-twemoji-test.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    pairs = [("pruning", "pocket_cnn"), ("pruning", "pocket_vit"), ("inside_pocket", "pocket"),
             ("pocket_lab", "pocket_cnn")]  # fmt: skip
    cnn, vit, both, without = (experiments.find_run(*pair) for pair in pairs)

    def keys():
        return [experiments.key_parts(run) for run in (cnn, vit, both, without)]

    before = keys()
    put("pocket-cnn-captions", "1")
    after = keys()
    name = "features pocket-cnn-captions/pocket-twemoji-test"
    assert [name in key for key in after] == [True, False, True, False]
    assert [a != b for a, b in zip(after, before, strict=True)] == [True, False, True, False]
    put("pocket-cnn-captions", "2")
    assert keys()[0][name] != after[0][name]
    assert "weights pocket-cnn-captions.safetensors" in before[0]
    assert "weights pocket-cnn-captions.safetensors" not in before[1]
