# ---
# jupyter:
#   companion:
#     scope: family
#     features: true
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
from analysis.features import store
from analysis.metrics.robustness import logit

found = [
    store.read_features(p).features.sum()
    for m in load_family(family).models
    for p in sorted(store.default_folder().glob(f"{m.name}/*.safetensors"))
    if not p.stem.endswith("head")
]
print(found)
print(load_family(family).title, logit(share), (ROOT / "data/number.txt").read_text())
