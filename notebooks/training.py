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
# The recipes of the comparison models, with the source of every number, and what each would cost.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from companion.publish import style
from training import recipes, tables

known = {name: recipes.load(name) for name in recipes.names()}

# %%
rows = tables.settings(known)
style.table(
    "recipes",
    pd.DataFrame(rows),
    None,
    "Every setting of every recipe has a source, which the last column names.",
    search="Find a setting",
)
ours = sum(row["source"].startswith("our choice") for row in rows)
style.text("count", f"Of their {len(rows)} settings, {ours} are our choice.")

# %%
assumed = recipes.assumptions()
low, high = assumed["utilisation"]
peaks = ", ".join(
    f"{gpu['peak'] / 1e12:.0f} for the [{gpu['name']}]({gpu['source']})" for gpu in assumed["gpus"]
)
style.table(
    "cost",
    pd.DataFrame(tables.costs(known, load_families(edition).values())),
    None,
    "Estimated cost of one training, in hours of one GPU. Not measured.",
    more=f"""Operations are counted (forward and backward). Assumed: a peak of {peaks} × 10¹²
    operations a second (bf16, by the maker), of which {100 * high:.0f} % down to {100 * low:.0f} %
    are reached. Images per second: what processors must then decode for one GPU.""",
)
