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
# What version 1 prints, the paper's own numbers, and what is measured, live or recorded. The page
# {doc}`/concepts` shows these results and explains them; the families' pages show how an average
# precision comes from projections.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from analysis.metrics.concept_counts import totals
from companion.claims import ledger
from companion.publish import concept_tables, measured, pictures, style
from companion.publish.page import Page

families = load_families(edition)
on_broden = [m for m in measured.known("concepts", edition) if m.data.name == "broden"]
stated = ledger.printed_regions(ledger.load_claims()["C-overlap"])
printed = {name: stated[name] for name in families if name in stated}
page = Page("concepts_overview", "published")

# %% [markdown]
# ## What the paper prints

# %%
SHARES = {
    "of FT, in ZS (%)": ("finetuned", "zero_shot"),
    "of FT, in SUP (%)": ("finetuned", "supervised"),
    "of ZS, in SUP (%)": ("zero_shot", "supervised"),
}
rows = pd.DataFrame(
    {"backbone": families[name].title}
    | {style.LEVEL_STYLES[level].title: str(n) for level, n in totals(regions).items()}
    | {title: concept_tables.share_of(regions, *levels) for title, levels in SHARES.items()}
    for name, regions in printed.items()
)
page.table("printed", rows)
page.figure(
    "venn", pictures.venn({families[name].title: regions for name, regions in printed.items()})
)
of_finetuned = rows.set_index("backbone")[[*SHARES][:2]].astype(int)
zero_shot, supervised = (of_finetuned[title] for title in of_finetuned)
page.holds((zero_shot > supervised).all(), "The first share is larger for every backbone")
ends = (f"{zero_shot[name]} % ({name})" for name in (zero_shot.idxmin(), zero_shot.idxmax()))
page.sentence("shares", ends=" and ".join(ends))
page.texts(shares_supervised=f"{supervised.min()} to {supervised.max()} %")

# %% [markdown]
# ## What is measured
#
# Along the right singular vectors, compared with chance, on Broden.

# %%
titled = {measured.full_title(m, data=False): m for m in on_broden}
page.table("measured", concept_tables.beside_chance(titled), on_broden)
