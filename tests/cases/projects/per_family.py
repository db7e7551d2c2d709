# ---
# jupyter:
#   companion:
#     scope: family
#     reads: [data/number.txt]
# ---

# %% [markdown]
# # Logit

# %% tags=["parameters"]
family: str = "rn50"  # the family
share: float = 0.5  # a share
count: int = 1  # a count
long: bool = False  # a switch

# %%
from analysis.base.roots import ROOT
from analysis.families.registry import load_family
from analysis.metrics.robustness import logit

print(load_family(family).title, logit(share), (ROOT / "data/number.txt").read_text())
