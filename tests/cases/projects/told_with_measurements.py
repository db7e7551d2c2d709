# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [pruning]
#     reads: [data/claim.txt, families/*.yaml]
# ---

# %% [markdown]
# # All

# %% tags=["parameters"]
edition: str = "paper"

# %%
import pandas as pd

from analysis.base.roots import ROOT
from analysis.families.registry import load_families
from companion.engine.page import Page

page = Page("told", "")
page.table("empty", pd.DataFrame({"backbone": []}))

# %%
page.holds(2 > 3, "two is more", "live")
from companion.measurements.records import FOLDER

found = next((FOLDER / "pruning").glob("*.json")).read_text().index("}")
titles = [family.title for family in load_families().values()]
page.texts(claim=(ROOT / "data/claim.txt").read_text())
page.table("models", pd.DataFrame({"backbone": titles}))

page.texts(after=f"It ends at {found}.")
page.table(f"of-{'models'}", pd.DataFrame({"end": [found]}))
