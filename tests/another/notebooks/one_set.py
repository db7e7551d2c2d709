# ---
# jupyter:
#   companion:
#     scope: dataset
#     reads: [data/quartet.csv]
# ---

# %% [markdown]
# # One data set
#
# What do its numbers say, and what does a picture?

# %% tags=["parameters"]
dataset: str = "I"  # which of the four

# %%
from anscombe import quartet

from results import plots
from results.page import Page

points = quartet.read().query("set == @dataset")
numbers = quartet.summary(points)
page = Page("one_set", "published", of=dataset)

# %% [markdown]
# ## The picture

# %%
drawn = points.assign(of=points.index.astype(str), level="points")
page.figure("points", plots.scatter(drawn, "x", "y"))

# %% [markdown]
# ## The numbers

# %%
page.table("numbers", [numbers])
