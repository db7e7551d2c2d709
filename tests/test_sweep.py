"""A sweep over checkpoints: the numbers of single probes, one network, one decoding, resuming."""

import numpy as np
import pandas as pd
import pytest
from conftest import refused
from tiny import save_clip, save_folder, use_architectures

pytest.importorskip("open_clip", reason="extraction is not installed")
from safetensors.torch import load_file, save_file

from analysis.images import imagelist
from analysis.metrics import outliers
from companion.any_encoder.features import features_of
from companion.checkpoints import loading, lookup
from companion.probe import probe, sweep

pytestmark = pytest.mark.usefixtures("own_store")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Three epochs of a tiny CLIP, and pictures; a coordinate grows."""
    use_architectures(tmp_path, monkeypatch)
    save_clip(tmp_path / "first.safetensors", "tiny-vit")
    state = load_file(tmp_path / "first.safetensors")
    for epoch in (1, 2, 10):
        grown = {name: value.clone() for name, value in state.items()}
        grown["visual.proj"][:, 3] *= epoch
        save_file(grown, tmp_path / f"epoch_{epoch}.safetensors")
    save_folder(tmp_path / "pictures", 12)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_has_the_numbers_of_single_probes_and_goes_on(run, answer, monkeypatch):
    built, pictures = [], []
    load, image = loading.load, imagelist.ImageList.image
    monkeypatch.setattr(loading, "load", lambda *g: built.append(g) or load(*g))
    monkeypatch.setattr(
        imagelist.ImageList, "image", lambda self, row: pictures.append(row) or image(self, row)
    )
    words = ["sweep", "epoch_*.safetensors", "--architecture", "tiny-vit", "--images", "pictures"]
    words += ["--device", "cpu", "--svg", "s.svg", "--html", "s.html"]
    said = answer(*words)
    assert len(built) == 1 and len(pictures) == 12
    table = pd.read_csv("sweep.csv")
    assert table["step"].tolist() == [1, 2, 10] and said.startswith("1: κ ")
    listed, kurtosis = imagelist.unlabelled(run / "pictures"), []
    for row in table.itertuples():
        loaded = load(lookup.find(row.checkpoint, architecture="tiny-vit"))
        features = features_of(loaded.encoder, listed, loaded.preprocess)
        found = probe(features, rows_are_images=True)
        kurtosis.append(outliers.kurtosis(features))
        assert row.kurtosis == pytest.approx(found.measurement.kurtosis.value, rel=1e-4)
        assert row.answer == found.answer and row.coordinate >= 0
    change = kurtosis[2] - kurtosis[1]
    last = table.iloc[2]
    assert last["kurtosis_from_previous"] == pytest.approx(change.mean(), rel=1e-3)
    half = 2.201 * change.std(ddof=1) / np.sqrt(12)  # Student's t with 11 degrees of freedom
    assert last["kurtosis_from_previous_high"] == pytest.approx(change.mean() + half, rel=1e-2)
    first = (kurtosis[2] - kurtosis[0]).mean()
    assert last["kurtosis_from_first"] == pytest.approx(first, rel=1e-3)
    for file in ("s.svg", "s.html"):
        text = (run / file).read_text(encoding="utf-8")
        assert "activation kurtosis" in text and "<svg" in text and "&lt;svg" not in text
    built.clear()
    (run / "epoch_11.safetensors").write_bytes((run / "first.safetensors").read_bytes())
    answer(*words)
    assert len(built) == 1 and len(pd.read_csv("sweep.csv")) == 4
    built.clear()
    answer(*words)
    assert not built


def test_a_network_of_another_shape_is_built_anew(run):
    loaded = loading.load(lookup.find("first.safetensors", architecture="tiny-vit"))
    save_clip(run / "other.safetensors", "tiny-cnn")
    assert loading.exchanged(loaded, run / "other.safetensors") is None
    assert loading.exchanged(loaded, run / "epoch_2.safetensors").encoder is loaded.encoder


def test_what_names_no_checkpoints_is_a_sentence():
    refused("nothing_\\*.pt is no file of weights", sweep.checkpoints, ["nothing_*.pt"])
