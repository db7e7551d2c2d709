# ---
# jupyter:
#   companion:
#     scope: paper
#     reads: [data/quartet.csv]
# ---

# %% [markdown]
# # The claim
#
# Have all four sets the same line?

# %% tags=["parameters"]
paper: str = "paper"  # the only one

# %%
import pandas as pd
from anscombe import quartet

from results.page import Page

points = quartet.read()
summaries = pd.DataFrame({name: quartet.summary(of) for name, of in points.groupby("set")}).T
page = Page("the_claim", "published")
page.table("sets", summaries.rename_axis("set").reset_index())
page.number(verdict=quartet.claim(summaries))
