# ---
# jupyter:
#   companion:
#     scope: edition
#     reads: [families/*.yaml]
# ---

# %% [markdown]
# # All

# %% tags=["parameters"]
edition: str = "paper"

# %%
from analysis.families.registry import load_families as f

print(list(f(edition)))
