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
# predicts? The section {doc}`/measuring_robustness` explains the question.

# %% [markdown] tags=["pocket"]
# In the {doc}`pocket lab </guide/pocket_lab>`, drawing styles play ImageNet and its shifts.

# %% tags=["parameters"]
family: str = "rn50"  # the model family that is shown
pool_v2: str = "matched_frequency"  # ImageNet-V2 variant of the published pool that is refitted
resamples: int = 2000  # bootstrap resamples
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.images import sets
from analysis.metrics.robustness import effective_robustness
from companion.measurements import views
from companion.measurements.records import available
from companion.publish import accuracies, style

backbone = load_family(family)
measured = available("accuracy", backbone, sets.GRID)
shown = first, second = views.of_family(backbone, pool_v2, measured)
evidence = accuracies.evidence(first.models, second.models)

# %% [markdown]
# ## From accuracies to effective robustness
#
# For one model: take the logit of its accuracy without shift, {eq}`eq-logit`; compute what the
# baseline expects under shift, {eq}`eq-baseline`; subtract it, {eq}`eq-effective-robustness`.

# %%
for model in first.models.to_dict("records")[:1]:
    shifted = np.mean([model[shift] for shift in first.shifts])
    logit = np.log(model["imagenet"] / (1 - model["imagenet"]))
    expected = 1 / (1 + np.exp(-(first.reference.slope * logit + first.reference.intercept)))
    by_hand = shifted - expected
    assert np.isclose(by_hand, effective_robustness(shifted, model["imagenet"], first.reference))
    style.text(
        "by-hand",
        f"{backbone.model(model['name']).title}: {style.percent(shifted)} % on {first.where}, "
        f"{style.percent(expected)} % expected, so {style.points(by_hand)} points.",
    )

# %% [markdown]
# ## Accuracy under shift against accuracy without

# %%
for name, view in zip(("figure-1", "figure-2"), shown, strict=True):
    style.figure(
        name, accuracies.against_baseline(view, backbone.edition, resamples, seed),
        accuracies.evidence(view.models),
        f"""The {backbone.title} models on {view.where}, and the baseline pool. Effective robustness
        is the vertical distance to the dashed line or, where none is printed, to the line fitted to
        the pool.""",
        more=f"""Band: 95 % of {resamples} refits to resampled pools (seed {seed}). Do not compare
        values between the two figures. Random weights, near chance, lie outside.""",
    )  # fmt: skip

# %% [markdown]
# ## Effective robustness of each model

# %%
averages = [views.averaged(backbone, view, resamples, seed) for view in shown]
rows = [accuracies.rows(backbone, *pair) for pair in zip(shown, averages, strict=True)]
style.table(
    "table-1", pd.concat(rows).fillna(""), evidence,
    f"Effective robustness of the {backbone.title} models. Compare only rows on the same shifts.",
    more=f"""±: 95 % interval from the finite test sets, with the baseline held fixed. Several
    checkpoints: median (lowest to highest). Seeds: mean (95 % interval), then each seed; the
    interval is from {resamples} resamples (seed {seed}) of the pool's models and of the test
    concepts, the same in all styles and for all seeds. It is slightly too narrow, because
    near-duplicates are drawn one by one, and excludes variation between seeds. For random weights
    the baseline is extrapolated.""",
)  # fmt: skip

# %%
style.text("order", accuracies.order(backbone, shown))
fits = []
for v in shown:
    off = effective_robustness(v.pool["shifted"], v.pool["imagenet"], v.line)
    fits.append(
        f"on {v.where} r = {v.line.r:.2f} over the pool's {len(v.pool)} models, which "
        f"scatter about the line by {100 * off.std():.1f} points (standard deviation)"
    )
style.text("line", f"O{'; '.join(fits)[1:]}.")
style.text("not-measured", accuracies.absent(backbone, shown))

# %% [markdown]
# ## Shift by shift
#
# The mean hides that the shifts differ. Here each shift has its own baseline, fitted to the pool's
# accuracies on that shift alone. The correlation `r` shows how well a line fits them.

# %% [markdown] tags=["paper"]
# A line fits poorly on ImageNet-A, whose images were chosen because one ResNet-50 fails on them. V2
# is the matched-frequency variant; models without ObjectNet have no point there.

# %%
alone, lines = views.by_shift(shown)
titles = {**first.shifts, **second.shifts}
never_right = int((first.pool[[*first.shifts]] == 0).to_numpy().sum())
style.figure(
    "by-shift", accuracies.each_shift(alone, lines, titles, backbone.edition), evidence,
    f"""Effective robustness of the {backbone.title} models on each shift alone, against a line
    fitted to the pool's {len(first.pool)} models on that shift. One mark per model and seed; r: the
    fit's correlation.""",
    more=f"Accuracies of exactly 0 % have no logit and are left out ({never_right}).",
)  # fmt: skip

# %% [markdown]
# ## How much rests on the choice of fit
#
# Version 1 prints its constants. We do not know which variant of ImageNet-V2 is in its mean, or
# which models are in its pool. The same accuracies give other values under other choices.

# %% [markdown] tags=["paper"]
# For five shifts the table has the printed constants and eight refits: four choices of ImageNet-V2
# with two pools each. The models' own accuracies stay the same (V2 matched-frequency).

# %% [markdown] tags=["pocket"]
# In the pocket lab the pool is our own; r shows how well one line fits all its models.

# %%
fits = pd.concat([accuracies.under_each_line(backbone, view) for view in shown])
style.table(
    "fits", fits.fillna(""), evidence,
    f"""Lines that could be the baseline, in logits, and the effective robustness (points) of the
    {backbone.title} models under each. Seeds are averaged; the last row is for other shifts.""",
)  # fmt: skip
