"""The kept rows on the pocket models' features: complete, and what the shipped weights give."""

import runpy

import pandas as pd
import pytest

from analysis.families.registry import load_families
from analysis.metrics import concept_counts
from companion.measurements import concept_probe
from companion.pocket import pocket, pocket_lab
from companion.sources import emoji

MAKE = runpy.run_path(str(pocket.POCKET / "make.py"))
COUNTING, representation = MAKE["COUNTING"], MAKE["representation"]
KEPT = pd.read_csv(pocket.POCKET / "representations.csv")


def test_every_model_and_seed_has_one_row():
    levels = {m.name: m.level for f in load_families("pocket").values() for m in f.models}
    assert set(KEPT["model"]) == set(levels)
    assert (KEPT["level"] == KEPT["model"].map(levels)).all()
    assert (KEPT.groupby("model")["seed"].nunique() == 3).all() and not KEPT.isna().any(axis=None)


def test_the_shipped_weights_give_the_kept_row():
    least = concept_counts.LEAST_POSITIVES, concept_counts.LEAST_CLUSTERS
    draws = concept_counts.draw(concept_probe.pocket().select(*least), COUNTING)
    name = "pocket-vit-finetuned"
    tested = (emoji.metadata()["split"] == "test").to_numpy()
    features, head = pocket_lab.represented(pocket.CHECKPOINTS / f"{name}.safetensors", tested)
    measured = representation(features, head.weight, draws)
    kept = KEPT.set_index(["model", "seed"]).loc[(name, 0)]
    counts = {"n_encoded", "n_unique", "random_directions"}  # may flip by rounding elsewhere
    for quantity, value in measured.items():
        near = pytest.approx(kept[quantity], rel=0.02, abs=2 if quantity in counts else 0.02)
        assert value == near or quantity == "leader", quantity
