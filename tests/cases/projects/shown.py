# ---
# jupyter:
#   companion:
#     scope: family
#     reads: [data/shown.csv]
#     evidence: [data/shown.csv]
# ---

# %% [markdown]
# # Numbers

# %% tags=["parameters"]
family: str = "rn50"

# %%
import pandas as pd

from analysis.base.roots import ROOT
from analysis.families.registry import load_family
from companion.engine.page import Page

known = pd.read_csv(ROOT / "data/shown.csv")
own = known[known["model"].isin([model.name for model in load_family(family).models])]
Page("shown", "published").table("numbers", own, family=load_family(family).title)
