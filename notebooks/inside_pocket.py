# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [pocket]
#     measurements: [outlier_features, privileged_directions, pruning_under_shift]
#     reads:
#     - data/emoji/emoji.zip
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
# ---

# %% [markdown]
# # Inside the pocket models
#
# Outlier features, privileged directions and pruning of the pocket lab's models, over both
# backbones. The pages {doc}`/outlier_features`, {doc}`/privileged_directions` and
# {doc}`/pruning` show these results and explain them.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
outlier_threshold: float = 6.0  # times the mean coordinate: from there a coordinate is an outlier
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged
pruned_share: float = 0.8  # share of directions pruned in the claim

# %%
import numpy as np
import pandas as pd

from companion.measurements import accuracies
from companion.publish import dots, inside, measured, style, words
from companion.publish.style import digits

found = inside.models(edition)
trained = [one for one in found if one.model.level != "random"]

# %% [markdown]
# ## Outlier features

# %%
kurtosis = pd.DataFrame(
    {
        "model": one.title,
        "κ": words.kurtosis(one.outliers),
        "largest": digits(one.outliers.value("profile").max()),
        "persistence (%)": f"{100 * one.outliers.value('persistence_fraction'):.1f}",
        "ER (points)": inside.signed(one.robustness) if one in trained else "n/a",
    }
    for one in found
)
style.table(
    "kurtosis", kurtosis, "recorded, live",
    "Activation kurtosis κ and effective robustness of the pocket models; a Gaussian has κ = 3.",
    more=f"""κ: mean over the test emoji of the training style ± 95 % interval of that mean.
    Largest: the highest coordinate of the activation profile, times the mean coordinate; an outlier
    from {outlier_threshold:g}. Persistence: how often the dominant coordinate is the largest. ER:
    on the unseen styles, with its 95 % interval; meaningless for random weights.""",
)  # fmt: skip

# %%
marks = inside.by_family(trained, inside.robust_at_kurtosis)
style.figure(
    "indicator",
    dots.scatter(marks, "ER, unseen styles (points)", "activation kurtosis κ", line=3)
    if found else None, "recorded, live",
    """Does κ show which pocket model is robust? Effective robustness on the unseen styles against
    κ, one mark per model. Bars: 95 % intervals; dashed: the Gaussian's 3.""",
    more="""The intervals are from resamples of the test concepts and of the baseline's pool. One
    seed of training.""",
)  # fmt: skip

# %%
style.text("control", inside.control(found))

# %% [markdown]
# ## Privileged directions

# %%
tops = inside.by_family(found, inside.top_importance)
style.figure(
    "importance",
    dots.rows(tops, "largest importance (times the mean)", (1, privileged_threshold))
    if found else None, "live",
    f"""The most important direction of each pocket model relative to the mean importance, before
    (filled) and after (hollow) mean-centring the head, which changes no prediction. Lines: 1 and
    {privileged_threshold:g} times the mean.""",
)  # fmt: skip

# %%
directions = pd.DataFrame(
    {"model": one.title}
    | measured.top_direction(one.directions)
    | {"by chance": f"{np.sqrt(2 / (np.pi * one.directions.counts['components'])):.3f}"}
    for one in found
)
style.table(
    "directions", directions, "live",
    """The most important direction of each pocket model: its importance over the mean, for the head
    as it is and for the mean-centred head.""",
    more="""Cos: its |cos| with images (mean over images), with the mean image, with the head's mean
    row and with the modality gap between them. In leader: the share of its squared length in the
    images' dominant coordinate. By chance: about the |cos| of a random direction with images.""",
)  # fmt: skip

# %% [markdown]
# ## Pruning

# %%
PANELS = {"accuracy, training style": "inside", "ER, unseen styles": "robustness"}
changes = {
    panel: [
        dots.Row(one.title, one.model.level, *(100 * v for v in one.change(quantity, pruned_share)))
        for one in trained
    ]
    for panel, quantity in PANELS.items()
}  # fmt: skip
style.figure(
    "pruning", dots.rows(changes, "change (points)") if found else None, "recorded, live",
    f"""How pruning the least important {100 * pruned_share:g} % of the directions changes accuracy
    in the training style and effective robustness on the unseen styles. Bars: 95 % intervals of the
    paired change from the whole head.""",
    more="The intervals are from resamples of the test concepts and of the baseline's pool.",
)  # fmt: skip

# %%
extrapolated = accuracies.pocket_pool("unseen")["imagenet"].min()
pruned = pd.DataFrame(
    {
        "model": one.title,
        "kept": f"{one.kept(pruned_share)} of {one.rank}",
        "accuracy (%)": f"{style.percent(one.accuracy(0))} → "
        + style.percent(one.accuracy(pruned_share))
        + " (*)" * bool(one.accuracy(pruned_share) < extrapolated),
        "change": inside.signed(one.change("inside", pruned_share)),
        "change of ER": inside.signed(one.change("robustness", pruned_share)),
    }
    for one in trained
)  # fmt: skip
style.table(
    "pruning-80", pruned, "recorded, live",
    """Accuracy in the training style with all directions and with the most important ones, and the
    changes of accuracy and of effective robustness on the unseen styles, in points with 95 %
    intervals.""",
    more=f"""(*): less accurate than every model of the baseline's pool
    ({style.percent(extrapolated)} %), so that the baseline is extrapolated and ER says little.""",
)  # fmt: skip
