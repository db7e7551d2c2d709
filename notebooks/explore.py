# ---
# jupyter:
#   companion:
#     scope: edition
#     features: false
#     measurements: [outlier_features]
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # The explorer's numbers
#
# This page computes every model and every line that {doc}`/guide/explore` can show.

# %% tags=["parameters"]
edition: str = "paper"  # whose recorded measurements are shown with the accuracies

# %%
import numpy as np

from analysis.families.registry import ZOO, load_families
from analysis.metrics.robustness import fit_baseline
from companion.chapters import explore
from companion.engine.page import Page
from companion.measurements import accuracies, atlas, records

table = accuracies.load()
families = load_families(edition)
measured = [
    m
    for m in records.read_all("outlier_features")
    if m.family in families or m.family.startswith(f"{ZOO}-")
]
data = explore.data(table, families, measured)
page = Page("explore")

# %% [markdown]
# ## One line by hand

# %%
clip = atlas.clip(table).query("imagenet > 0.1")
line = fit_baseline(clip["imagenet"], clip["shifted"])
(kept,) = [o for o in data["lines"] if (o["view"], o["pool"]) == ("five", "clip")]
assert np.isclose(line.slope, kept["slope"])

# %%
page.explorer("models", data)
page.explorer("lookup", explore.lookup(table, data), "lookup")
facts = atlas.facts()
aside = facts[facts["set_aside"] != ""]
page.number(count=f"{len(data['model']):,}", not_counted=len(aside))
page.number(groups=", ".join(data["group"]["names"]))
names = (aside["model"] + " " + aside["weights"]).str.strip()
rows = aside.assign(model=names, why=aside["set_aside"])[["model", "source", "why"]]
page.table("aside", rows, "")
