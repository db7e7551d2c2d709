# ---
# jupyter:
#   companion:
#     scope: family
#     measurements: [accuracy]
# ---

# %% [markdown]
# # A chapter

# %% tags=["parameters"]
family: str = "mine"
