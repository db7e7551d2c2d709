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
pruned_share: float = 0.8  # share of directions pruned: from 0 to 1

# %%
import numpy as np
import pandas as pd

from companion.chapters import figures, pocket_models
from companion.chapters.measured import of_captions
from companion.engine import cells, plots
from companion.engine.page import Page
from companion.measurements import records

models = pocket_models.models(edition, pruned_share)
trained = models[models["level"] != "random"]
untrained = models[models["level"] == "random"]


page = Page("inside_pocket", "recorded, live")

# %% [markdown]
# ## Outlier features

# %%
rows = trained.sort_values("er", ascending=False).rename(columns={"kurtosis": figures.KAPPA})
interval = "{er:+.1f} ({er_low:+.1f} to {er_high:+.1f})"
rows["note"] = [cells.cell(interval, row) for row in rows.to_dict("records")]
recorded = [m for m in records.read_all("outlier_features") if m.level == "zero_shot"]
of_clip = [m.value("kurtosis_mean") for m in recorded if not of_captions(m)]
marked = figures.GAUSSIAN | ({"CLIP": np.median(of_clip)} if of_clip else {})
page.figure(
    "indicator",
    plots.marks(
        rows[["of", "level", figures.KAPPA, "note"]],
        figures.KAPPA,
        note="ER, unseen styles",
        verticals=marked,
    ),
    sets=len(of_clip),
)
page.numbers("of-untrained", untrained.to_dict("list"))
page.numbers("of-trained", trained.to_dict("list") | {"models": len(trained)})
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
falls = {f"{name}_falls": (trained[f"{name}_change_high"] < 0).sum() for name in ("accuracy", "er")}
most = falls["accuracy_falls"] > len(trained) / 2 > 2 * falls["er_falls"]
page.holds(most, "Accuracy falls in most of these small models", "live")
page.figure(
    "pruning",
    plots.marks(pd.concat(changes), "change (points)", verticals={"": 0}),
    share=100 * pruned_share,
    models=len(trained),
    **falls,
)
