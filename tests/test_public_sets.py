"""Public features of single images: what they are held against, and numbers computed literally."""

import json
import sqlite3
import struct
from contextlib import closing

import numpy as np
import pytest
import yaml
from conftest import ROOT, cases

from analysis.families.registry import load_family
from companion.measurements.records import FOLDER, read
from companion.sources import sets
from companion.sources.public import fetch

torch = pytest.importorskip("torch", reason="extraction is not installed")
pytestmark = pytest.mark.usefixtures("artefacts")
TABLE = yaml.safe_load((ROOT / "data/embeddings.yaml").read_text())
CASES = cases("public_sets")


def entry(model, data, kind="embeddings"):
    return next(e for e in TABLE[kind] if (e["model"], e["data"]) == (model, data))


def raw(model, data):
    """The rows of a file, read past all of our code but the table."""
    about = entry(model, data)
    path = fetch(about["artifact"])
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        content = content.get("embeddings", content) if isinstance(content, dict) else content
        rows = content.values() if isinstance(content, dict) else content
        return np.array([row["e"] if isinstance(row, dict) else row for row in rows])
    if path.suffix == ".sqlite3":
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT vector FROM embeddings_queue").fetchall()
        return np.array([struct.unpack("<512f", row[0]) for row in rows])
    if path.suffix == ".index":  # of faiss, flat
        return np.fromfile(path, "<f4", offset=45).reshape(500, 768).astype(np.float64)
    if path.suffix == ".bin":  # of hnswlib: links, the vector, a label of eight bytes
        rows = np.fromfile(path, np.dtype([("links", "V132"), ("h", "<f4", 512), ("label", "u8")]))
        return rows["h"].astype(np.float64)
    tensors = path.suffix != ".npy"
    array = torch.load(path, "cpu", weights_only=True).numpy() if tensors else np.load(path)
    array = array[about["part"]] if "part" in about else array
    array = array.T if about.get("transposed") else array
    return array.reshape(about["images"], -1).astype(np.float64)


@pytest.mark.parametrize("model, data, kappa", CASES["kurtoses"])
def test_kurtoses_from_the_files_and_as_recorded(model, data, kappa):
    h = raw(model, data)
    z = (h - h.mean(axis=1)[:, None]) / h.std(axis=1)[:, None]
    assert (z**4).mean() == pytest.approx(kappa, abs=1e-4)
    recorded = read(FOLDER / "outlier_features" / f"{model}--{data}.json")
    assert recorded.value("kurtosis_mean") == pytest.approx(kappa, rel=1e-3)
    leading = np.bincount(np.abs(z).argmax(axis=1))
    persistence = [recorded.value(f"persistence_{part}") for part in ("coordinate", "fraction")]
    assert persistence == [leading.argmax(), pytest.approx(leading.max() / len(h), abs=1e-4)]


def test_importance_and_pruning_on_imagenet_images():
    h = raw("vit_b_32-openai", "imagenet_train_4000")
    head = np.load(fetch("heroku-clip/zeroshot_weights.npy")).astype(np.float64).T
    u, s, vt = np.linalg.svd(head, full_matrices=False)
    cosines = np.abs(h @ vt.T) / np.linalg.norm(h, axis=1)[:, None]
    importance = s / s.sum() * cosines.mean(axis=0)
    order = np.argsort(-importance)
    name = "vit_b_32-openai--imagenet_train_4000.json"
    recorded = read(FOLDER / "privileged_directions" / name).value("importance")
    assert importance.max() / importance.mean() == pytest.approx(194.6, abs=0.05)
    assert len(recorded) == 503  # the others lie within what rounding to float16 makes
    above = importance[: len(recorded)]
    np.testing.assert_allclose(recorded, above / above.mean(), rtol=1e-3)
    curve = read(FOLDER / "pruning" / name).value("accuracy_importance")
    for kept, accuracy in CASES["kept"].items():
        use = order[:kept]
        logits = ((h @ vt[use].T) * s[use]) @ u[:, use].T
        top1 = (logits.argmax(axis=1) == np.arange(4000) // 4).mean()
        assert top1 == pytest.approx(accuracy, abs=1e-9)
        assert curve[min(kept, len(curve)) - 1] == pytest.approx(accuracy, abs=6e-4)
    top1 = read(FOLDER / "accuracy" / name).value("top1")
    assert top1 == CASES["kept"][512]


def test_images_of_several_views_have_length_one_and_none_claims_to_be_validation():
    for about in TABLE["embeddings"]:
        assert sets.title(about["data"]) != about["data"].replace("_", " ")
        assert about["data"] not in sets.descriptions()
        if "mean of ten views" in about["what"]:
            assert about["views"] == 10
            lengths = np.linalg.norm(raw(about["model"], about["data"]), axis=1)
            np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_what_is_inferred_says_so():
    inferred = {about["model"] for about in TABLE["embeddings"] if about.get("inferred")}
    hints = {"vit_b_32_fashionclip-laion2b", "vit_b_16_marqo-laion2b"}
    assert inferred == {"rn101-openai"} | hints
    for path in (FOLDER / "outlier_features").glob("*.json"):
        m = read(path)
        assert bool(m.provenance.inferred) == (m.model in inferred)
        assert ("inferred" in m.data.title) == (m.model in inferred)
    rn101, rn50 = (
        raw(f"{name}-openai", f"imagenet_100_classes_{n}").reshape(100, n // 100, -1).mean(axis=1)
        for name, n in (("rn101", 1600), ("rn50", 500))
    )
    pairs = np.triu_indices(100, 1)
    alike = [np.corrcoef(h - h.mean(axis=0))[pairs] for h in (rn101, rn50)]
    assert np.corrcoef(alike)[0, 1] > 0.9


@pytest.mark.parametrize("kind, model, data, wrong, sentence", CASES["refused"])
def test_what_is_not_as_the_table_says_is_refused(
    artefacts, own_store, monkeypatch, kind, model, data, wrong, sentence
):
    few = [entry("vit_b_32-openai", "imagenet_train_1000")]
    monkeypatch.setitem(artefacts["TABLE"], "embeddings", few)
    monkeypatch.setitem(artefacts["TABLE"], kind, [entry(model, data, kind) | wrong])
    with pytest.raises(SystemExit, match=sentence):
        artefacts["into_store"](load_family("vit_b_32"))


def test_counts_of_concepts_are_those_of_other_hands():
    """Along singular vectors in either sign 116 of 132, and 109 in one; permuted 0."""
    recorded = read(FOLDER / "concepts" / "vit_b_32-openai--textures.json")
    assert recorded.counts["concepts"] == 132
    assert recorded.value("other_choices")[:2, 0].tolist() == [109, 116]
    assert recorded.value("unique_permuted").max() == 0
    assert recorded.value("unique_random").min() > 100
