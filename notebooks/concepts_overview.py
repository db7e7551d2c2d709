# ---
# jupyter:
#   companion:
#     scope: edition
#     measurements: [concepts]
#     reads:
#     - data/claims.yaml
# ---

# %% [markdown]
# # Concepts over all families
#
# This page lists the numbers that version 1 prints, and what this book has measured, live or
# recorded. {doc}`/concepts` explains these results; the families' pages show how an average
# precision comes from projections.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from analysis.metrics.concept_counts import totals
from companion.chapters import concept_tables, measured, picture_rows
from companion.claims import ledger
from companion.engine.page import Page

families = load_families(edition)
on_broden = [m for m in measured.of_editions("concepts", edition) if m.data.name == "broden"]
stated = ledger.load_claims()["C-overlap"].regions
printed = {name: stated[name] for name in families if name in stated}
page = Page("concepts_overview", "published")

# %% [markdown]
# ## What the paper prints

# %%
SHARES = {
    "by_zero_shot": ("finetuned", "zero_shot"),
    "by_supervised": ("finetuned", "supervised"),
    "zero_shot_by_supervised": ("zero_shot", "supervised"),
}
rows = pd.DataFrame(
    totals(regions)
    | {name: concept_tables.share_of(regions, *levels) for name, levels in SHARES.items()}
    for regions in printed.values()
).set_index(pd.Index([families[name].title for name in printed], name="backbone"))
page.table("printed", rows)
page.figure(
    "venn", picture_rows.venn({families[name].title: regions for name, regions in printed.items()})
)
first = [*printed][-1]
page.slide("venn", picture_rows.venn({families[first].title: printed[first]}))
zero_shot, supervised = rows["by_zero_shot"], rows["by_supervised"]
page.holds((zero_shot > supervised).all(), "The first share is larger for every backbone")
ends = (
    f"{100 * zero_shot[name]:.0f} % ({name})" for name in (zero_shot.idxmin(), zero_shot.idxmax())
)
page.sentence("shares", ends=" and ".join(ends))
page.number(shares_supervised=f"{100 * supervised.min():.0f} to {100 * supervised.max():.0f} %")

# %% [markdown]
# ## What is measured
#
# We count concepts of Broden along the right singular vectors, and compare the counts with chance.

# %%
titled = {measured.full_title(m, data=False): m for m in on_broden}
page.table("measured", concept_tables.counted(titled), on_broden)
