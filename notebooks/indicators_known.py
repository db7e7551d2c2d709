# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     features: true
#     reads:
#     - data/claims.yaml
#     - data/emoji/emoji.zip
#     - data/emoji/appearance.npy
#     - data/imagenet/objectnet.csv
#     - data/imagenet/sets.yaml
#     - data/measurements/accuracy/*.json
#     - data/measurements/concepts/*.json
#     - data/measurements/outlier_features/*.json
#     - data/measurements/privileged_directions/*.json
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
#     - data/published/accuracies.csv
#     - families/*.yaml
# ---

# %% [markdown]
# # Models, robustness and candidates
#
# What is known of each model that an indicator of robustness can be judged by, and the control that
# made version 2 withdraw a claim of version 1. The page {doc}`/indicators` explains both.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import pandas as pd

from analysis.families.registry import level_title
from analysis.metrics.concept_counts import totals
from companion.claims.evidence import gather
from companion.claims.ledger import load_claims, printed_regions
from companion.measurements import records
from companion.publish import candidates, compared, dots, style, words
from companion.publish.words import digits

evidence = gather(edition, experiments=("accuracy", *candidates.EXPERIMENTS))
known = candidates.measured(evidence, anywhere=True)
everywhere = candidates.of_models(evidence, known)  # one row per model, NaN where unknown
kind = words.kind(m for own in known.values() for m in own.values())

# %% [markdown]
# ## What is known

# %%
coverage = pd.DataFrame(
    {"level": level_title(level, edition), "models": len(own), "with ER": own["er"].notna().sum(),
     "with κ per image": own["kurtosis"].notna().sum(),
     "with importance": own["top_importance"].notna().sum(),
     "with concepts": own["n_unique"].notna().sum(),
     "with ER and κ": own[["er", "kurtosis"]].notna().all(axis="columns").sum()}
    for level in style.LEVEL_STYLES for own in [everywhere[everywhere["level"] == level]]
)  # fmt: skip
style.table(
    "coverage", coverage, "recorded",
    f"""For how many models each quantity is known: effective robustness (ER) from published
    accuracies on all shifts or from own features, the others from single images. A candidate is
    judged from {candidates.LEAST} models on that have it and ER, measured on the same images
    without shift (ImageNet; concepts: Broden), robust models and others among them.""",
)  # fmt: skip

# %%
photographs = records.read_all("outlier_features", "efficientnet_lite0")
sparse = next(m for m in photographs if m.data.name == "scikit_image_photographs")
contrast = {"backbone": "EfficientNet-Lite0", "title": "supervised"} | candidates.quantities(
    {"outlier_features": sparse}, evidence
)
shown = pd.concat([everywhere, pd.DataFrame([contrast] * (edition == "paper"))])
models = pd.DataFrame(
    {"model": f"{row.backbone.removeprefix('Pocket ')}, {row.title}{row.on}",
     "ER (points)": compared.robustness(row.er, row.low, row.high),
     "robust": "yes" if row.low > 0 else "no" if row.low <= 0 else "not measured",
     "κ": digits(row.kurtosis), "largest": digits(row.largest),
     "persistence (%)": f"{row.persistence:.1f}",
     "importance": compared.number(row.top_importance, digits),
     "concepts": compared.number(row.n_unique, f"{{:.1f}} of {row.probed:.0f}{row.probe}".format),
     "(random)": compared.number(row.random_directions),
     "mean best AP (%)": compared.number(row.best)}
    for row in shown.dropna(subset=["kurtosis"]).itertuples()
)  # fmt: skip
style.table(
    "models", models, kind,
    """The models whose κ is measured per image. ER: effective robustness with its 95 % interval;
    robust: the interval lies above zero. κ, persistence, and as multiples of the mean the largest
    coordinate of the activation profile and the importance of the most important direction: on
    the images without shift, unless others are named. Concepts: encoded along the head's right
    singular vectors, mean over draws of negatives, of those probed; *random*: along as many random
    directions of the same features.""",
)  # fmt: skip

# %% [markdown]
# ## Why version 2 withdrew a claim of version 1
#
# Version 1 compared zero-shot models, robust and with language, with models that have neither. The
# model that tells the two apart has language and no robustness.

# %%
trained = everywhere[everywhere["level"] != "random"].dropna(subset=["n_unique"])
rows = {
    backbone: [
        dots.Row(f"{row.title}{' (robust)' * row.robust}", row.level, row.n_unique,
                 chance=((row.random_directions,) * 3,))
        for row in own.itertuples()
    ]
    for backbone, own in trained.groupby("backbone", sort=False)
}  # fmt: skip
style.figure(
    "captions-control", dots.rows(rows, "concepts") if rows else None, kind,
    f"""Concepts that each model's head encodes; strokes above: what equally many random
    directions of the same features reach, mean of {candidates.CHANCE}. *Robust*: as in the table
    above. Captions of one style is the control: language, not robust. Intervals are on the pages of
    the families.""",
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
    """The numbers of concepts that version 1 prints (OpenAI's models, read off its Figure 4: **the
    paper's own, not measured here**) beside effective robustness from published accuracies. Four
    models are too few for a correlation.""",
)  # fmt: skip
