# ---
# jupyter:
#   companion:
#     scope: family
# ---

# %% [markdown]
# # What is taken along

# %% tags=["parameters"]
family: str = "rn50"  # the family

# %%
import pandas as pd

from analysis.families.registry import load_family
from results import plots
from results.page import Page

shown = load_family(family)
names = [shown.title, *(model.title for model in shown.models)]
page = Page("taken_along", "live", who=", ".join(names))
drawing = plots.marks(pd.DataFrame({"of": names, "share": 0.5}), "share")
page.figure("seen", drawing)
page.table("listed", pd.DataFrame({"name": names, "share": 0.5}))
page.slide("seen", drawing)
