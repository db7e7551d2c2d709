"""The kept rows on the pocket models' features: complete, and what the shipped weights give."""

import numpy as np
import pandas as pd
import pytest

from analysis import concepts, directions, emoji, outliers, probe_data, representations
from analysis.registry import load_families, load_family


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
    probe = probe_data.pocket().select(probe_data.LEAST_POSITIVES, probe_data.LEAST_CLUSTERS)
    scores = concepts.project(features, directions.decompose(head).directions, normalise=False)
    counts, best = [], []
    for draw in range(representations.SETTINGS.draws):
        ap = concepts.balanced_average_precision(scores, probe.labels, seed=draw)
        counts.append((ap >= representations.SETTINGS.lower).any(axis=0).sum())
        best.append(np.nanmax(ap, axis=0).mean())
    assert found["n_unique"] == np.mean(counts) and found["best"] == pytest.approx(np.mean(best))


@pytest.mark.parametrize("name", ["pocket-cnn-web-small", "pocket-vit-random"])
def test_the_shipped_weights_give_the_kept_row(tmp_path, monkeypatch, name):
    pytest.importorskip("torch")
    from analysis import datasets
    from analysis.extract import Settings, extract

    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    family = load_family("_".join(name.split("-")[:2]))
    model = family.model(name)
    for images in datasets.find("pocket"):
        extract([model], images, Settings(progress=False))
    probe = probe_data.pocket()
    head = probe_data.head(model, probe.data)
    found = representations.quantities(probe_data.features(model, probe), head.weight)
    kept: pd.Series = representations.recorded().set_index(["model", "seed"]).loc[(name, 0)]
    counts = {"n_encoded", "n_unique", "random_directions"}  # may flip by rounding elsewhere
    for quantity, value in found.items():
        near = pytest.approx(kept[quantity], rel=0.02, abs=2 if quantity in counts else 0.02)
        assert value == near or quantity == "leader", quantity
