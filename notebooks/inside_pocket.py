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
# This page measures outlier features, privileged directions and pruning of the pocket lab's models,
# over both backbones; {doc}`/outlier_features`, {doc}`/privileged_directions` and {doc}`/pruning`
# explain the quantities.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged
pruned_share: float = 0.8  # share of directions pruned in the claim

# %%
import pandas as pd

from companion.publish import plots, pocket_models
from companion.publish.page import Page

models = pocket_models.models(edition, pruned_share)
trained = models[models["level"] != "random"]
untrained = models[models["level"] == "random"]


page = Page("inside_pocket", "recorded, live")

# %% [markdown]
# ## Outlier features

# %%
ER = "ER, unseen styles (points)"
KAPPA, MARKED = "activation kurtosis κ", {"Gaussian": 3, "CLIP": 87}
columns = {"backbone": "panel", "kurtosis": KAPPA, "er": ER, "er_low": "low", "er_high": "high"}
marks = trained[["of", "level", "look", *columns]].rename(columns=columns)
page.figure("indicator", plots.scatter(marks, KAPPA, ER, verticals=MARKED))
page.numbers("of-untrained", untrained.to_dict("list"))
page.numbers("of-trained", trained.to_dict("list"))
low, high = trained["persistence"].max(), untrained["persistence"].min()
page.holds(high > low and models["kurtosis"].max() < 4, "persistence without a high κ", "live")

# %% [markdown]
# ## Privileged directions

# %%
GIVEN, CENTRED = "head as it is", "head mean-centred"
columns = {"importance": GIVEN, "centred": CENTRED}
marks = models.assign(panel=models["backbone"], of=models["title"]).rename(columns=columns)
page.figure(
    "importance",
    plots.marks(
        marks[["panel", "of", "level", GIVEN, CENTRED]],
        GIVEN,
        other=CENTRED,
        label="largest importance (times the mean)",
        verticals={"privileged": privileged_threshold},
        limits=(0, 1.1 * models["importance"].max()),
    ),
    "live",
)
# %% [markdown]
# ## Pruning

# %%
ENDS = {"change (points)": "", "low": "_low", "high": "_high"}
PANELS = {"accuracy, training style": "accuracy_change", "ER, unseen styles": "er_change"}
changes = [
    trained[["of", "level"]].assign(
        panel=panel, **{end: trained[f"{name}{tail}"] for end, tail in ENDS.items()}
    )
    for panel, name in PANELS.items()
]
page.figure(
    "pruning",
    plots.marks(pd.concat(changes), "change (points)", verticals={"": 0}),
    share=100 * pruned_share,
)
