# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [accuracy, concepts, outlier_features, privileged_directions, unread]
#     reads:
#     - data/claims.yaml
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
#     - data/emoji/appearance.npy
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # Models, robustness and candidates
#
# What we know about each model that helps to judge an indicator of robustness, and the control that
# made version 2 withdraw a claim of version 1. The page {doc}`/indicators` explains both.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import pandas as pd

from analysis.metrics.concept_counts import totals
from companion.claims.evidence import gather
from companion.claims.ledger import load_claims, printed_regions
from companion.measurements import records
from companion.publish import candidates, compared, dots, robustness, style, words

evidence = gather(edition, experiments=("accuracy", *candidates.EXPERIMENTS))
known = candidates.measured(evidence, anywhere=True)
everywhere = candidates.of_models(evidence, known)  # one row per model, NaN where unknown
kind = words.kind(m for own in known.values() for m in own.values())

# %% [markdown]
# ## What is known

# %%
style.table(
    "coverage", compared.coverage(everywhere, edition), "recorded",
    f"""How many models each quantity is known for. A candidate is judged once at least
    {candidates.LEAST} models have it and effective robustness (ER), measured on the same images
    without shift (ImageNet; concepts: Broden).""",
    more="""ER comes from published accuracies on all shifts or from features of this book's own,
    the other quantities from single images.""",
)  # fmt: skip

# %%
sparse = {
    experiment: m
    for experiment in candidates.EXPERIMENTS
    for m in records.read_all(experiment, "efficientnet_lite0")
    if m.data.name == "scikit_image_photographs"
}
contrast = {"backbone": "EfficientNet-Lite0", "title": "supervised"} | candidates.quantities(
    sparse, evidence
)
shown = pd.concat([everywhere, pd.DataFrame([contrast] * (edition == "paper"))])
style.table(
    "models", compared.candidates(shown.dropna(subset=["kurtosis"])),
    words.kinds(robustness.evidence(*evidence.robustness.values()), kind),
    """The models whose κ is measured per image, on the images without shift unless others are
    named. Repeated trainings appear with seed 0.""",
    more=f"""ER: effective robustness with its 95 % interval; robust: it exceeds what ordinary
    models of equal accuracy have (see the ledger). Largest coordinate of the activation profile,
    and importance of the most important direction: multiples of the mean. Concepts: encoded along
    the head's right singular vectors, mean over draws of negatives; *random*: along the same number
    of random directions, mean of {candidates.CHANCE} sets.""",
)  # fmt: skip

# %% [markdown]
# ## Why version 2 withdrew a claim of version 1
#
# Version 1 compared zero-shot models, which are robust and have language, with models that have
# neither. The model that separates the two explanations has language and no robustness.

# %%
trained = everywhere[everywhere["level"] != "random"].dropna(subset=["n_unique"])
rows = {
    backbone: [
        dots.Row(f"{row.title}{' (robust)' * (row.robust is True)}", row.level, row.n_unique,
                 chance=((row.random_directions,) * 3,))
        for row in own.itertuples()
    ]
    for backbone, own in trained.groupby("backbone", sort=False)
}  # fmt: skip
named = " *Robust*: as in the table above." * bool(trained["robust"].eq(True).any())
style.figure(
    "captions-control", dots.rows(rows, "concepts") if rows else None, kind,
    """How many concepts each model's head encodes; the strokes above show what the same number of
    random directions reaches. Captions of one style is the control: language without many
    styles.""",
    more=f"""Random directions: in the same features, mean of {candidates.CHANCE} sets.{named}
    Intervals are on the pages of the families.""",
)  # fmt: skip

# %%
regions = printed_regions(load_claims()["C-overlap"])
printed = pd.DataFrame(
    {"backbone": family.title,
     "ER of zero-shot (points)": compared.robustness(*evidence.intervals[model.name])}
    | {f"concepts, {style.LEVEL_STYLES[level].title}": n for level, n in totals(own).items()}
    for family in evidence.families.values() if (own := regions.get(family.name))
    for model in family.at_level("zero_shot") if "OpenAI" in model.pretraining
)  # fmt: skip
style.table(
    "printed", printed, "published",
    """The numbers of concepts that version 1 prints for OpenAI's models (**the paper's own, not
    measured here**), with effective robustness from published accuracies. Four models are too few
    for a correlation.""",
    more="The numbers are read off its Figure 4.",
)  # fmt: skip
