"""The kept rows on the pocket models' features: complete, and what the shipped weights give."""

import runpy

import numpy as np
import pandas as pd
import pytest

from analysis.families.registry import load_families
from analysis.images import emoji
from analysis.metrics import average_precision, concept_counts, directions, outliers
from companion.measurements import concept_probe
from training import pocket, pocket_lab

MAKE = runpy.run_path(str(pocket.POCKET / "make.py"))
COUNTING, representation = MAKE["COUNTING"], MAKE["representation"]
KEPT = pd.read_csv(pocket.POCKET / "representations.csv")


@pytest.fixture(scope="module")
def probe():
    return concept_probe.pocket().select(
        concept_counts.LEAST_POSITIVES, concept_counts.LEAST_CLUSTERS
    )


@pytest.fixture(scope="module")
def draws(probe):
    return concept_counts.draw(probe, COUNTING)


def test_every_model_and_seed_has_one_row():
    levels = {m.name: m.level for f in load_families("pocket").values() for m in f.models}
    assert set(KEPT["model"]) == set(levels)
    assert (KEPT["level"] == KEPT["model"].map(levels)).all()
    assert (KEPT.groupby("model")["seed"].nunique() == 3).all() and not KEPT.isna().any(axis=None)
    width = 128
    assert KEPT["kurtosis"].between(1, width).all() and KEPT["leader"].between(0, width - 1).all()
    for share in ("persistence", "best"):
        assert KEPT[share].between(0, 1).all()
    assert (KEPT["n_encoded"] <= KEPT["n_unique"]).all()


def test_a_representation_is_told_by_the_metrics(probe, draws):
    """On drawn features: each number against the function that defines it."""
    rng = np.random.default_rng(0)
    table = emoji.load().table.query("split == 'test'")
    features, head = rng.normal(size=(len(table), 12)), rng.normal(size=(5, 12))
    found = representation(features, head, draws)
    assert [*found] == [*KEPT.columns[4:]]
    inside = features[(table["style"] == emoji.IMAGENET).to_numpy()]
    assert found["kurtosis"] == pytest.approx(outliers.kurtosis(inside).mean())
    assert found["persistence"] == outliers.persistence(inside)[1]
    importance = directions.importance(inside, head)
    assert found["top_importance"] == pytest.approx(importance.max() / importance.mean())
    scores = average_precision.project(
        features, directions.decompose(head).directions, normalise=False
    )
    counts, best = [], []
    for draw in range(COUNTING.draws):
        sample = average_precision.balanced_sample(probe.labels, draw)
        ap = average_precision.average_precision_on(scores, sample)
        counts.append((ap >= COUNTING.lower).any(axis=0).sum())
        best.append(np.nanmax(ap, axis=0).mean())
    assert found["n_unique"] == np.mean(counts) and found["best"] == pytest.approx(np.mean(best))


def test_the_shipped_weights_give_the_kept_row(draws):
    name = "pocket-vit-finetuned"
    tested = (emoji.metadata()["split"] == "test").to_numpy()
    features, head = pocket_lab.represented(pocket.CHECKPOINTS / f"{name}.safetensors", tested)
    found = representation(features, head.weight, draws)
    kept = KEPT.set_index(["model", "seed"]).loc[(name, 0)]
    counts = {"n_encoded", "n_unique", "random_directions"}  # may flip by rounding elsewhere
    for quantity, value in found.items():
        near = pytest.approx(kept[quantity], rel=0.02, abs=2 if quantity in counts else 0.02)
        assert value == near or quantity == "leader", quantity
