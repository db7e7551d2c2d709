# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [accuracies, data/pocket/accuracies.csv, accuracy--imagenet, accuracy--imagenet-v2,
#       accuracy--imagenet-r, accuracy--imagenet-sketch, accuracy--objectnet, accuracy--imagenet-a]
#     measurements: [accuracy]
#     reads:
#     - data/published/accuracies.csv
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
#     - data/emoji/emoji.zip
# ---

# %% [markdown]
# # Effective robustness
#
# How much more accurate are this backbone's models under the shifts than their ImageNet accuracy
# predicts? {doc}`/measuring_robustness` explains the question.

# %% tags=["parameters"]
family: str = "rn50"  # the model family that is shown
pool_v2: str = "matched_frequency"  # variant: one of mean, matched_frequency, threshold, top_images
resamples: int = 2000  # bootstrap resamples
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics.robustness import effective_robustness
from companion.chapters import robustness_figures
from companion.measurements import accuracies
from companion.measurements import effective_robustness as er
from companion.measurements.records import available
from companion.sources import sets
from results.page import Page

backbone = load_family(family)
table = accuracies.known([backbone], available("accuracy", backbone, sets.GRID))
views = er.views(backbone.edition, pool_v2)
models = [view.models(table) for view in views]
evidence = robustness_figures.evidence(*models)
page = Page(
    "effective_robustness", evidence, backbone=backbone.title, resamples=resamples, seed=seed
)

# %%
for name, view, rows in zip(("figure-1", "figure-2"), views, models, strict=True):
    trained = rows.loc[rows["level"] != "random", "er"]
    drawing = robustness_figures.against_baseline(view, rows, backbone.edition, resamples, seed)
    page.figure(
        name,
        drawing,
        robustness_figures.evidence(rows),
        shifts=robustness_figures.WORDS[view.shifts].shifts,
        above=(trained > 0).sum(),
        models=len(trained),
    )
    if view is views[0]:
        page.slide(name, drawing)

# %% [markdown]
# ## Effective robustness of each model

# %%
listed = {*pd.concat(models)["name"]} | {m.name for m in backbone.at_level("random")}
absent = [m.title for m in backbone.models if m.name not in listed]
parts = []
for view, rows in zip(views, models, strict=True):
    drawn = er.resampled_lab(view, rows, resamples, seed) if backbone.edition == "pocket" else {}
    parts.append(robustness_figures.model_table(backbone, view, er.averaged(rows, drawn)))
page.table(
    "table-1",
    pd.concat(parts),
    absent="; ".join(absent) or "no model",
    inside=robustness_figures.WORDS[views[0].shifts].inside,
)

# %% [markdown] tags=["pocket"]
# In the {doc}`pocket lab </guide/pocket_lab>`, drawing styles play ImageNet and its shifts.
# Intervals come from resamples of the pool's models and of the test concepts. They are slightly too
# narrow, because near-duplicates are drawn one by one, and exclude the variation between seeds.

# %%
orders = (er.in_paper_order(backbone, rows) for rows in models)
page.table("views", robustness_figures.views_table(zip(views, orders, strict=True)))

# %% [markdown]
# ## Shift by shift
#
# The mean hides that the shifts differ. Here each shift has its own baseline, fitted to the pool's
# accuracies on that shift alone.

# %%
alone, lines = er.by_shift(views, table)
first = views[0]
never_right = int((first.pool[[*first.shifts]] == 0).to_numpy().sum())
page.figure(
    "by-shift",
    robustness_figures.each_shift(alone, lines, backbone.edition),
    never_right=never_right,
)

# %% [markdown]
# ## How much rests on the choice of fit
#
# Version 1 prints its constants. We do not know which variant of ImageNet-V2 is in its mean, or
# which models are in its pool. The same accuracies give other values under other choices.

# %% [markdown] tags=["paper", "reader"]
# For five shifts the table has the printed constants and eight refits: four choices of ImageNet-V2
# with two pools each. The models' own accuracies stay the same (V2 matched-frequency).

# %%
fits = [
    robustness_figures.under_each_line(backbone, *pair) for pair in zip(views, models, strict=True)
]
page.table("fits", pd.concat(fits).fillna(""))

# %% [markdown]
# ## From accuracies to effective robustness, by hand
#
# For one model: take the logit of its accuracy without shift, {eq}`eq-logit`; compute what the
# baseline expects under shift, {eq}`eq-baseline`; subtract it, {eq}`eq-effective-robustness`.

# %%
for model in models[0].to_dict("records")[:1]:
    shifted = np.mean([model[shift] for shift in first.shifts])
    logit = np.log(model["imagenet"] / (1 - model["imagenet"]))
    expected = 1 / (1 + np.exp(-(first.reference.slope * logit + first.reference.intercept)))
    by_hand = shifted - expected
    assert np.isclose(by_hand, effective_robustness(shifted, model["imagenet"], first.reference))
    says = f"${100 * shifted:.2f} - {100 * expected:.2f} = {100 * by_hand:+.2f}$"
    page.by_hand("by-hand", says)
