"""Effective robustness in the pocket lab: from what is kept, against literal computations."""

import numpy as np
import pandas as pd
import pytest

from analysis.families.registry import load_family
from analysis.metrics.robustness import fit_baseline
from companion.measurements import accuracies
from companion.measurements.effective_robustness import resampled_lab, view
from companion.sources import emoji

KEPT = pd.read_csv(accuracies.POCKET / "accuracies.csv").query("split == 'test'")


@pytest.mark.parametrize("family", ["pocket_cnn", "pocket_vit"])
def test_rows_are_the_kept_accuracies_in_the_familys_order(family):
    backbone = load_family(family)
    rows = view("unseen").models(accuracies.pocket([backbone]))
    assert list(dict.fromkeys(rows["name"])) == [model.name for model in backbone.models]
    for row in rows.to_dict("records"):
        kept = KEPT[(KEPT["model"] == row["name"]) & (KEPT["seed"] == row["seed"])]
        unseen = kept[kept["role"] == "unseen"]["accuracy"]
        assert len(unseen) == 4 and row["shifted"] == pytest.approx(unseen.mean())
        assert row["imagenet"] == kept[kept["role"] == "imagenet"]["accuracy"].item()


def test_effective_robustness_is_the_distance_to_the_pools_line():
    family = load_family("pocket_cnn")
    pool = KEPT[KEPT["family"] == "pool"].pivot_table(
        index="model", columns="role", values="accuracy", aggfunc="mean"
    )
    inside, shifted = (np.log(pool[r] / (1 - pool[r])) for r in ("imagenet", "seen"))
    slope, intercept = np.polyfit(inside, shifted, 1)
    for row in view("seen").models(accuracies.pocket([family])).to_dict("records"):
        logit = np.log(row["imagenet"] / (1 - row["imagenet"]))
        expected = 1 / (1 + np.exp(-(slope * logit + intercept)))
        assert row["er"] == pytest.approx(row["shifted"] - expected)


def test_recognised_images_are_the_tables_and_give_the_kept_accuracies():
    """To the five digits kept, for each model, seed and style."""
    recognised = accuracies.recognised()
    tested = emoji.load().table.query("split == 'test' and class_index >= 0")
    counts = tested["style"].value_counts()
    kept = KEPT[KEPT["family"] != "pool"].set_index(["model", "seed", "style"])["accuracy"]
    assert set(recognised) == set(kept.index)
    for key, right in recognised.items():
        assert right.mean() == pytest.approx(kept[key], abs=5.1e-6), key
        assert len(right) == counts[key[2]]


def test_a_resample_is_what_a_literal_one_gives(monkeypatch):
    """One model, one style: draw concepts, count again, refit the pool, subtract."""
    family, seed, resamples = load_family("pocket_cnn"), 3, 5
    name = family.models[0].name
    seen = view("seen")
    models = seen.models(accuracies.pocket([family]))
    robustness = resampled_lab(seen, models, resamples, seed)[name]
    assert robustness.shape == (resamples, KEPT[KEPT["model"] == name]["seed"].nunique())
    table = emoji.load().table.query("split == 'test' and class_index >= 0")
    concepts = sorted(table["concept"].unique())
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(concepts), [1 / len(concepts)] * len(concepts), size=resamples)
    pool = accuracies.pocket_pool("seen")
    picks = np.random.default_rng(seed + 1).integers(0, len(pool), size=(resamples, len(pool)))
    for number in range(resamples):
        times = dict(zip(concepts, counts[number], strict=True))
        tops = {}
        for style in (emoji.IMAGENET, *accuracies.styles("seen")):
            right = accuracies.recognised()[name, 0, style]
            weights = [times[c] for c in table[table["style"] == style]["concept"]]
            tops[style] = np.average(right, weights=weights)
        drawn = pool.iloc[picks[number]]
        line = fit_baseline(drawn["imagenet"], drawn["shifted"])
        inside = tops.pop(emoji.IMAGENET)
        literal = np.mean(list(tops.values())) - line.predict(inside)
        assert robustness[number, 0] == pytest.approx(literal)
