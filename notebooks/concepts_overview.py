# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     reads:
#     - data/claims.yaml
#     - data/imagenet/sets.yaml
#     - data/measurements/concepts/*.json
#     - families/*.yaml
# ---

# %% [markdown]
# # What the paper prints on concepts
#
# Version 1's Venn diagrams give the numbers of concepts of four backbones. They are the paper's own
# numbers, not measured by this book. The page {doc}`/concepts` shows them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from analysis.metrics import concept_counts
from companion.claims import ledger
from companion.measurements import records
from companion.measurements.due import COCO
from companion.measurements.measures import counts_of
from companion.publish import charts, counts, style, words

families = load_families(edition)
regions = ledger.printed_regions(ledger.load_claims()["C-overlap"])
printed = {name: regions[name] for name in families if name in regions}

# %%
rows = []
for name, regions in printed.items():
    sizes = concept_counts.totals(regions)
    rows.append(
        {
            "backbone": families[name].title,
            "zero-shot": str(sizes["zero_shot"]),
            "finetuned": str(sizes["finetuned"]),
            "supervised": str(sizes["supervised"]),
            "of FT, in ZS (%)": words.share_of(regions, "finetuned", "zero_shot"),
            "of FT, in SUP (%)": words.share_of(regions, "finetuned", "supervised"),
            "of ZS, in SUP (%)": words.share_of(regions, "zero_shot", "supervised"),
        }
    )
style.table(
    "printed",
    pd.DataFrame(rows),
    caption="""Unique concepts of OpenAI's models as version 1 of the paper prints them, read off
    its Figure 4; sums over regions and shares are ours. **The paper's own numbers, not a
    measurement of this book.** FT finetuned, ZS zero-shot, SUP supervised; out of 1,197 concepts of
    Broden.""",
    evidence="published",
)

# %%
style.figure(
    "venn",
    charts.venn({families[name].title: regions for name, regions in printed.items()}),
    "published",
    """Version 1's Venn diagrams (Figure 4), drawn again from its printed numbers: concepts
    of OpenAI's zero-shot model, of the one finetuned from it, and of a supervised one. **The
    paper's own numbers, not a measurement of this book.** Areas are approximate.""",
)

# %%
recorded = [
    m for m in records.read_all("concepts") if m.family in families and m.data.name == "broden"
]


def stated_for(family: str, model) -> str:
    """What version 1 prints for a model: it names OpenAI's, those finetuned from it, supervised."""
    counted = model.level == "supervised" or "OpenAI" in model.pretraining
    sizes = concept_counts.totals(printed[family]) if family in printed and counted else {}
    return str(sizes.get(model.level, "–"))


rows = []
order = [model.name for family in families.values() for model in family.models]
for m in sorted(recorded, key=lambda m: order.index(m.model)):
    model = families[m.family].model(m.model)
    rows.append(
        {
            "backbone": families[m.family].title,
            "model": model.title,
            "encoded": counts.mean_and_ends(m.value("unique_draws")),
            "random directions": counts.mean_and_ends(m.value("unique_random")),
            "permuted labels": counts.mean_and_ends(m.value("unique_permuted")),
            "of": f"{m.counts['concepts']:,}",
            "printed, of 1,197": stated_for(m.family, model),
        }
    )
style.table(
    "measured",
    pd.DataFrame(rows),
    "recorded",
    """Concepts that some right singular vector encodes at the paper's threshold, as recorded: mean
    (lowest to highest) of draws of negatives; beside it as many random directions of the same
    features, and permuted labels. *Of*: concepts with enough positive images. *Printed*: what
    version 1 prints for the model; the least number of positives there is not known.""",
)

# %% [markdown]
# ## A small probe
#
# 500 images of COCO, with the words of a caption of each as concepts: not the paper's.

# %%
small = [m for m in records.read_all("concepts") if m.family in families and m.data.name == COCO]
KINDS = {"draws": "singular vectors", "random": "random directions", "permuted": "permuted labels"}
style.table(
    "small",
    pd.DataFrame(
        {"backbone": families[m.family].title, "model": families[m.family].model(m.model).title,
         "quantity": title}
        | {of: counts.mean_and_ends(counts_of(m).of(kind, name)) for kind, of in KINDS.items()}
        for m in small for name, title in counts.quantities([m]).items()
    ), "recorded",
    f"""{counts.probe(small)} Along the right singular vectors of a head made of the captions: mean
    (lowest to highest) of draws of negatives; beside it as many random directions of the same
    features, and permuted labels. Mean best AP in percent.""",
)  # fmt: skip
for m in small:
    own, drawn, mixed = (counts_of(m).of(kind, "unique").mean() for kind in KINDS)
    style.text(
        f"small-{m.model.replace('_', '-')}",
        f"{families[m.family].model(m.model).title}: {own:.3g} of {m.counts['concepts']} words "
        f"along singular vectors, {drawn:.3g} along random directions, {mixed:.3g} with permuted "
        "labels",
    )
about = (f"{m.counts['images']} images, {m.counts['concepts']} words" for m in small)
style.text("small-images", "; ".join(dict.fromkeys(about)))

# %%
low, high = (
    choose(
        (int(words.share_of(regions, "finetuned", "zero_shot")), families[name].title)
        for name, regions in printed.items()
    )
    for choose in (min, max)
)
style.text(
    "shares",
    f"between {low[0]} % ({low[1]}) and {high[0]} % ({high[1]}) of what a finetuned model encodes",
)
supervised = [
    int(words.share_of(regions, "finetuned", "supervised")) for regions in printed.values()
]
style.text("shares-supervised", f"{min(supervised)} to {max(supervised)} %")
