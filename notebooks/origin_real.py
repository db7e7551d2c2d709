# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - data/modalities/quiet.csv
# ---

# %% [markdown]
# # Is each modality quiet where the other's mean lies?
#
# We test a prediction from small models ({doc}`/where_outlier_features_come_from`) on public
# features of images and texts from real models. `data/modalities/pairs.yaml` says what was fixed in
# advance, and `python data/modalities/make.py` measures it.

# %% tags=["parameters"]
edition: str = "paper"  # which families
draws: int = 100_000  # random choices of coordinates, for the p value

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.families.registry import load_families
from companion.engine import plots
from companion.engine.page import Page
from companion.engine.style import LEVEL_STYLES, minus, span

models = {m.name: (f, m) for f in load_families(hide=["reader"]).values() for m in f.models}
table = pd.read_csv(ROOT / "data/modalities/quiet.csv")
level = {name: model.level for name, (_, model) in models.items()}
backbone = table["model"].map(lambda name: models[name][0].title)
title = table["model"].map(lambda name: models[name][1].title)
untrained = table["model"].map(level) == "random"
table["level"] = table["model"].map(level)
table["of"] = backbone + np.where(untrained, ", random", "") + np.where(table["inferred"], "*", "")
table["named"] = backbone + ", " + title + np.where(table["inferred"], " (inferred)", "")
table[["quiet", "low", "high"]] *= 100  # percent
primary, control = (table[table["role"] == role] for role in ("primary", "control"))
page = Page("origin_real")

# %% [markdown]
# ## By hand
#
# We draw texts that vary equally along every coordinate but one, and images whose mean lies on that
# one.

# %%
rng = np.random.default_rng(0)
images, texts = rng.normal(size=(2, 500, 64))
images[:, 9] += 10
texts[:, 9] /= 10
unit_images, unit_texts = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in (images, texts))
dominant = np.abs(unit_images.mean(axis=0)).argmax()
spread = unit_texts.std(axis=0)
assert dominant == 9 and (spread < spread[dominant]).sum() == 0  # none varies less

# %% [markdown]
# ## Real models

# %%
RANK = "rank (%)"
main = pd.concat([primary, control]).rename(columns={"quiet": RANK})
main["panel"] = main["mean_of"].map({"images": "spread of texts", "texts": "spread of images"})
main = main[["panel", "of", "level", RANK, "low", "high"]]
levels = {name: LEVEL_STYLES[name].title for name in main["level"].unique()}
limits = {"verticals": {"by chance": 50}, "limits": (-2, 100)}
page.figure("quiet", plots.marks(main, RANK, levels=levels, **limits))

# %%
little = (primary["quiet"] < 10).all()
page.holds(little, "each modality varies little where the other's mean lies")
# If mean and spread were unrelated, each rank would be any of 0 … d − 1, over d − 1.
width = primary["width"].to_numpy()
by_chance = 100 * rng.integers(0, width, size=(draws, len(width))) / (width - 1)
p = (1 + (by_chance.mean(axis=1) <= primary["quiet"].mean()).sum()) / (1 + draws)
every = table[~table["role"].isin(["control", "base"])].groupby(["model", "mean_of"])["quiet"].max()
page.holds((every < 10).sum() >= len(every) - 1, "coordinates stay in the lowest tenth")
page.number(
    lowest_tenth=f"{(every < 10).sum()} of {len(every)}",
    highest=f"{every.max():.1f}",
    models=primary["model"].nunique(),
    coordinates=len(primary),
    ranks=span(primary["quiet"]),
    p=f"{p:.5f}",
    ranks_random=span(control["quiet"]),
    correlation=minus("{:+.2f} to {:+.2f}".format(*primary["correlation"].quantile([0, 1]))),
)

# %% [markdown]
# Texts of the model from which one of these was finetuned

# %%
(other, own), (back, _) = (
    [
        row
        for _, row in table[
            table["model"].str.contains("marqo") & (table["mean_of"] == of)
        ].iterrows()
    ][::-1]
    for of in ("images", "texts")
)
page.holds(other["quiet"] > 50 > 10 > own["quiet"], "do not lie in the lowest tenth, but at")
page.number(
    base_rank=f"{other['quiet']:.1f}",
    base_rank_back=f"{back['quiet']:.1f}",
)

# %%
page.table("table", table)
