# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # The line's own bias
#
# This page shows how robust ordinary models look against the line, by their ImageNet accuracy;
# {doc}`/robustness_atlas` explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # the atlas is one for all

# %%
import numpy as np
import pandas as pd

from analysis.metrics.indicators import rank_correlation
from analysis.metrics.robustness import effective_robustness
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import CLIP_V2
from results.cells import joined
from results.page import Page
from results.style import points

table = accuracies.load()
supervised = atlas.ordinary(atlas.on_four_shifts(table))
page = Page("atlas_bias", "published")

# %% [markdown]
# ## Mean effective robustness of ordinary models

# %%
pool = accuracies.baseline_pool(accuracies.wide(table, CLIP_V2))
pool = pool.assign(er=effective_robustness(pool["shifted"], pool["imagenet"]))
three = accuracies.baseline_pool(accuracies.wide(table, "mean"))  # the same models in this order
easier = effective_robustness(three["shifted"], three["imagenet"]) - pool["er"]
cuts = [0, 0.3, 0.6, 0.7, 0.76, 0.8, 0.84, 1]
both = pd.concat({"pool": pool, "timm": supervised}, names=["of"]).reset_index("of")
bins = pd.cut(both["imagenet"], cuts, right=False)
of_bins = both.groupby(["of", bins], observed=False)["er"].agg(["size", "mean", "max"])
page.table(
    "bias",
    joined(of_bins.unstack("of")).assign(low=cuts[:-1], high=cuts[1:]),
    pool=len(pool),
    weights=supervised.groupby(["model", "weights"]).ngroups,  # each at its image sizes
    lowest=points(easier.min()),
    highest=points(easier.max()),
)

# %%
rank = rank_correlation(supervised["imagenet"], supervised["er"])
accurate = supervised[supervised["imagenet"] > 0.84]
slope = np.polyfit(accurate["imagenet"], accurate["er"], 1)[0]
page.number(supervised_rank=f"{rank:.2f}", supervised_slope=f"{slope:.1f}")
