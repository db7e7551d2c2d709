"""The kept rows on the pocket models' features: complete, and what the shipped weights give."""

import numpy as np
import pandas as pd
import pytest

from analysis.families.registry import load_families, load_family
from analysis.images import emoji
from analysis.metrics import average_precision, directions, outliers
from companion.measurements import concept_probe, representations


def test_every_model_and_seed_has_one_row():
    rows = representations.recorded()
    assert tuple(rows.columns) == representations.COLUMNS
    levels = {m.name: m.level for f in load_families("pocket").values() for m in f.models}
    assert set(rows["model"]) == set(levels)
    assert (rows["level"] == rows["model"].map(levels)).all()
    assert (rows.groupby("model")["seed"].nunique() == 3).all() and not rows.isna().any(axis=None)
    width = 128
    assert rows["kurtosis"].between(1, width).all() and rows["leader"].between(0, width - 1).all()
    for share in ("persistence", "best"):
        assert rows[share].between(0, 1).all()
    assert (rows["n_encoded"] <= rows["n_unique"]).all()


def test_quantities_are_those_of_the_metrics():
    """On drawn features: each number against the function that defines it."""
    rng = np.random.default_rng(0)
    count = len(representations.training_style())
    features, head = rng.normal(size=(count, 12)), rng.normal(size=(5, 12))
    found = representations.quantities(features, head)
    table = emoji.load().table.query("split == 'test'")
    inside = features[(table["style"] == emoji.IMAGENET).to_numpy()]
    assert found["kurtosis"] == pytest.approx(outliers.kurtosis(inside).mean())
    assert found["persistence"] == outliers.persistence(inside)[1]
    importance = directions.importance(inside, head)
    assert found["top_importance"] == pytest.approx(importance.max() / importance.mean())
    probe = concept_probe.pocket().select(
        concept_probe.LEAST_POSITIVES, concept_probe.LEAST_CLUSTERS
    )
    scores = average_precision.project(
        features, directions.decompose(head).directions, normalise=False
    )
    counts, best = [], []
    for draw in range(representations.SETTINGS.draws):
        ap = average_precision.balanced_average_precision(scores, probe.labels, seed=draw)
        counts.append((ap >= representations.SETTINGS.lower).any(axis=0).sum())
        best.append(np.nanmax(ap, axis=0).mean())
    assert found["n_unique"] == np.mean(counts) and found["best"] == pytest.approx(np.mean(best))


@pytest.mark.parametrize("name", ["pocket-cnn-web-small", "pocket-vit-random"])
def test_the_shipped_weights_give_the_kept_row(tmp_path, monkeypatch, name):
    pytest.importorskip("torch")
    from analysis.features.extract import Settings, extract
    from analysis.images import find

    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    family = load_family("_".join(name.split("-")[:2]))
    model = family.model(name)
    for images in find.find("pocket"):
        extract([model], images, Settings(progress=False))
    probe = concept_probe.pocket()
    head = concept_probe.head(model, probe.data)
    found = representations.quantities(concept_probe.features(model, probe), head.weight)
    kept: pd.Series = representations.recorded().set_index(["model", "seed"]).loc[(name, 0)]
    counts = {"n_encoded", "n_unique", "random_directions"}  # may flip by rounding elsewhere
    for quantity, value in found.items():
        near = pytest.approx(kept[quantity], rel=0.02, abs=2 if quantity in counts else 0.02)
        assert value == near or quantity == "leader", quantity
