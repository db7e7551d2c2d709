# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/recipes/*.yaml
#     - data/recipes/cost/assumptions.yaml
#     - data/recipes/cost/flops.csv
# ---

# %% [markdown]
# # Training at full size
#
# This page lists the recipes of the comparison models, with the source of every number, and what
# each would cost.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
from analysis.families.registry import load_families
from results.page import Page
from training import recipe_tables, recipes

by_name = {name: recipes.load(name) for name in recipes.names()}
page = Page("training", "")

# %%
rows = recipe_tables.settings(by_name)
page.table("recipes", rows)
ours = sum(row["source"].startswith("our choice") for row in rows)
page.sentence("count", settings=len(rows), ours=ours)

# %%
low, high = recipe_tables.ASSUMED["utilisation"]
peaks = ", ".join(
    f"{gpu['peak'] / 1e12:.0f} for the [{gpu['name']}]({gpu['source']})"
    for gpu in recipe_tables.ASSUMED["gpus"]
)
page.table(
    "cost",
    recipe_tables.costs(by_name, load_families(edition).values()),
    peaks=peaks,
    high=100 * high,
    low=100 * low,
)
