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
from companion.measurements.measures import counts_of
from companion.publish import charts, counts, measured, style, words

families = load_families(edition)
found = measured.known("concepts", edition)
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
    "printed", rows, "published",
    """Unique concepts of OpenAI's models as version 1 of the paper prints them (Figure 4).
    **The paper's own numbers, not a measurement of this book.** The sums and shares are ours.""",
    more="FT: finetuned; ZS: zero-shot; SUP: supervised. Broden has 1,197 concepts.",
)  # fmt: skip
style.figure(
    "venn", charts.venn({families[name].title: regions for name, regions in printed.items()}),
    "published",
    """How the concepts of OpenAI's zero-shot, finetuned and supervised models overlap, redrawn
    from version 1's Figure 4. **The paper's own numbers, not a measurement of this book.** Areas
    are approximate.""",
)  # fmt: skip
shares = rows.set_index("backbone")["of FT, in ZS (%)"].astype(int)
ends = " and ".join(f"{shares[name]} % ({name})" for name in (shares.idxmin(), shares.idxmax()))
style.text("shares", f"between {ends} of what a finetuned model encodes")
supervised = rows["of FT, in SUP (%)"].astype(int)
style.text("shares-supervised", f"{supervised.min()} to {supervised.max()} %")

# %% [markdown]
# ## What is measured
#
# Along the right singular vectors, compared with chance, on Broden.


# %%
def named(m) -> dict[str, str]:
    """A measurement's backbone and model."""
    family, model = words.whose(m)
    return {"backbone": family.title, "model": model.title}


def stated_for(m) -> str:
    """What version 1 prints for a model: it names OpenAI's, those finetuned from it, supervised."""
    pretraining = words.whose(m)[1].pretraining
    counted = m.family in printed and (m.level == "supervised" or "OpenAI" in pretraining)
    return str(totals(printed[m.family]).get(m.level, "–") if counted else "–")


on_broden = [m for m in found if m.data.name == "broden"]
of_broden = pd.DataFrame(
    named(m)
    | counts.beside_chance(counts_of(m), "unique")
    | {"of": f"{m.counts['concepts']:,}", "printed, of 1,197": stated_for(m)}
    for m in on_broden
)
style.table(
    "measured", of_broden, words.kind(on_broden),
    """Concepts that some right singular vector encodes on Broden at the paper's threshold,
    compared with the same number of random directions and with permuted labels.""",
    more="""Mean (lowest to highest) over draws of negatives. *Of*: concepts with enough positive
    images. *Printed*: version 1's number for the model; the minimum number of positives there is
    not known.""",
)  # fmt: skip
