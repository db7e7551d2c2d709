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
#     - data/published/*.csv
# ---

# %% [markdown]
# # Models, robustness and candidates
#
# This page shows what we know about each model that helps to judge an indicator of robustness, and
# the control that made version 2 withdraw a claim of version 1; {doc}`/indicators` explains both.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import pandas as pd

from analysis.families.registry import level_title
from analysis.metrics.concept_counts import totals
from companion.chapters import indicator_tables, robustness_figures, sketches
from companion.chapters.indicator_tables import CHANCE, EXPERIMENTS, LEAST
from companion.claims.evidence import gather
from companion.claims.ledger import load_claims
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements import records

evidence = gather(edition, experiments=("accuracy", *EXPERIMENTS))
measurements = indicator_tables.measured(evidence, anywhere=True)
everywhere = indicator_tables.of_models(evidence, measurements)  # a row for each model
kind = style.kind(m for group in measurements.values() for m in group.values())
of_robustness = robustness_figures.evidence(*evidence.robustness.values())
page = Page("indicators_known", kind, edition=edition, sets=CHANCE)

# %% [markdown]
# ## What is known

# %%
counted, unknown = indicator_tables.coverage(everywhere, edition)
page.table("coverage", counted, "recorded", least=LEAST, unknown=unknown)

# %%
sparse = {
    experiment: m
    for experiment in EXPERIMENTS
    for m in records.read_all(experiment, "efficientnet_lite0")
    if m.data.name == "scikit_image_photographs"
}
contrast = {"backbone": "EfficientNet-Lite0", "title": "supervised", "robust": None}
contrast |= indicator_tables.quantities(sparse, evidence)
listed = pd.concat([everywhere, pd.DataFrame([contrast] if edition == "paper" else [])])
page.table(
    "models",
    listed.assign(named=indicator_tables.named(listed)).dropna(subset=["kurtosis"]),
    style.kinds(of_robustness, kind),
)

# %% [markdown]
# ## Language and robustness

# %%
LANGUAGE = {"zero_shot": "yes", "captions": "yes", "finetuned": "yes", "supervised": "no"}
WORDS = {("no", "yes"): "no model", ("yes", "no"): "ImageNet-Captions:\nnot measured"}
trained = everywhere[everywhere["level"].isin(LANGUAGE) & everywhere["er"].notna()]
answer = trained["robust"].map({True: "yes", False: "no"}).fillna("not known")
cells = pd.DataFrame(
    {
        "of": trained["backbone"] + ", " + trained["title"],
        "level": trained["level"],
        "series": trained["level"].map(lambda level: level_title(level, edition)),
        "language": trained["level"].map(LANGUAGE),
        "robust": answer,
    }
)
robust_without = cells.query("language == 'no' and robust == 'yes'")
drawing = sketches.in_cells(cells, "language", "robust", WORDS) if edition == "paper" else None
page.figure("quadrants", drawing, of_robustness, holds=robust_without.empty)
page.slide("quadrants", drawing, 3.2)

# %% [markdown]
# ## Why version 2 withdrew a claim of version 1
#
# Version 1 compared zero-shot models, which are robust and have language, with models that have
# neither. The model that separates the two explanations has language and no robustness.

# %%
counted = everywhere[everywhere["level"] != "random"].dropna(subset=["n_unique"])
titles = {"backbone": "panel", "title": "of", "level": "level", "n_unique": "concepts"}
titles |= {"random_directions": "random directions"}
rows = counted[[*titles]].rename(columns=titles)
few = rows[rows["panel"].isin(rows["panel"].head(1))]
both, one = (
    plots.marks(some, "concepts", other="random directions") if len(some) else None
    for some in (rows, few)
)
page.figure("captions-control", both)
page.slide("captions-control", one, 2.8)

# %%
regions = load_claims()["C-overlap"].regions
printed = (
    {"backbone": family.title, "ends": evidence.intervals[model.name]} | totals(group)
    for family in evidence.families.values()
    if (group := regions.get(family.name))
    for model in family.at_level("zero_shot")
    if "OpenAI" in model.pretraining
)
page.table("printed", printed, "published")
