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
from companion.publish import concept_tables, measured, pictures, style, words

families = load_families(edition)
on_broden = [m for m in measured.known("concepts", edition) if m.data.name == "broden"]
stated = ledger.printed_regions(ledger.load_claims()["C-overlap"])
printed = {name: stated[name] for name in families if name in stated}

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
    | {title: words.share_of(regions, *levels) for title, levels in SHARES.items()}
    for name, regions in printed.items()
)
style.table(
    "printed",
    rows,
    "published",
    """Unique concepts of OpenAI's models as version 1 of the paper prints them (Figure 4).
    **The paper's own numbers, not a measurement of this book.** The sums and shares are ours.""",
    more="FT: finetuned; ZS: zero-shot; SUP: supervised. Broden has 1,197 concepts.",
)
style.figure(
    "venn",
    pictures.venn({families[name].title: regions for name, regions in printed.items()}),
    "published",
    """How the concepts of OpenAI's zero-shot, finetuned and supervised models overlap, redrawn
    from version 1's Figure 4. **The paper's own numbers, not a measurement of this book.** Areas
    are approximate.""",
)
of_finetuned = rows.set_index("backbone")[[*SHARES][:2]].astype(int)
zero_shot, supervised = (of_finetuned[title] for title in of_finetuned)
style.holds(
    (zero_shot > supervised).all(), "zero-shot shares more than supervised in each", "published"
)
ends = (f"{zero_shot[name]} % ({name})" for name in (zero_shot.idxmin(), zero_shot.idxmax()))
style.text("shares", f"between {' and '.join(ends)} of what a finetuned model encodes")
style.text("shares-supervised", f"{supervised.min()} to {supervised.max()} %")

# %% [markdown]
# ## What is measured
#
# Along the right singular vectors, compared with chance, on Broden.

# %%
titled = {", ".join((words.whose(m)[0].title, words.whose(m)[1].title)): m for m in on_broden}
style.table(
    "measured",
    concept_tables.beside_chance(titled),
    words.kind(on_broden),
    """Concepts that some right singular vector encodes on Broden, compared with the same number of
    random directions and with permuted labels.""",
    more="Mean (lowest to highest) over draws of negatives, sets of directions, and permutations.",
)
