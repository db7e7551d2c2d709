# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [outlier_features]
#     measurements: [outlier_features]
#     reads:
#     - data/embeddings.yaml
# ---

# %% [markdown]
# # Outlier features
#
# Are a few components of this backbone's representations far larger than all others? The section
# {doc}`/outlier_features` explains the question, and {eq}`eq-kurtosis` defines κ.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the model family that is shown
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is named an outlier

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from analysis.families.registry import UNTRAINED, load_family
from analysis.metrics.outliers import far_above_mean, kurtosis
from companion import book
from companion.engine import plots, style
from companion.engine.page import Page

plt.style.use("companion.engine.book")
every = book.measured("outlier_features", family)  # a row for each model and set of images or texts
found = book.titled(every[every["main"]])  # of the pocket lab's styles the one that plays ImageNet
page = Page("outlier_features", found, backbone=load_family(family).title, threshold=threshold)

# %% [markdown]
# ## From features to κ
#
# The features of some images are an array h of images × components. Each image is standardised
# over its own components; its kurtosis is the mean fourth power, and κ is the mean over images.
# The package does the same in blocks of rows, so that an array need not fit into memory.
# Where no features are on disk, Gaussian numbers take their place.

# %%
features = book.features(found)  # None if this disk has none of them
width = load_family(family).models[0].width
h = features.h if features else np.random.default_rng(0).normal(size=(500, width))
z = (h - h.mean(axis=1, keepdims=True)) / h.std(axis=1, keepdims=True)
of_each_image = (z**4).mean(axis=1)
assert np.allclose(of_each_image, kurtosis(h))
if features:
    of_all = features.measured.value("kurtosis_mean")
    assert np.isclose(of_each_image.mean(), of_all, rtol=0.001)
what = features.title if features else "Gaussian numbers"
page.by_hand("by-hand", what=what, kappa=of_each_image.mean(), rows=len(h))

# %% [markdown]
# ## Every model of the family

# %%
table = found.assign(
    far=[style.listed(far_above_mean(profile, threshold)) for profile in found["profile"]],
    spread=[np.std(sample, axis=0).mean() for sample in found["sample"]],
)
columns = {
    "model": "{title}",
    "level": "{how_trained}",
    "κ": "{kurtosis_mean:digits} ± {kurtosis_standard_error:half}",
    "90 % of items": "{kurtosis_percentiles[5]:digits} to {kurtosis_percentiles[95]:digits}",
    "outliers": "{far}",
    "persistence (%)": "{persistence_fraction:percent}",
    "dominant coordinate": "{persistence_coordinate}",
    "spread": "{spread:.2f}",
}
page.table("kurtosis", table, columns, also=book.declared(found))

# %%
shown = book.front(found)  # one set of images for each model, and one of captions
below = f"share of {'items' if shown['captions'].any() else 'images'} below (%)"
kappa = "activation kurtosis κ"
curves = shown[["title", "level", "kurtosis_percentiles"]].set_axis(["of", "level", kappa], axis=1)
curves = curves.explode(kappa).astype({kappa: float})
curves[below] = curves.groupby("of", sort=False).cumcount()
figure, axes = plt.subplots()
sns.lineplot(curves, x=kappa, y=below, hue="of", style="of", **plots.looks(shown), ax=axes)
axes.set_xscale("log")
plots.lines_at(axes, {"Gaussian": 3}, {})
trained = shown[shown["level"] != "random"] if (shown["level"] != "random").any() else shown
page.figure(
    "distribution",
    figure,
    curves,
    says=style.told(curves, kappa, below, by=style.steps),
    kappa=style.span(trained["kurtosis_mean"]),
    trained="" if trained["level"].isin(UNTRAINED).any() else "trained ",
)

# %% [markdown]
# ## Which coordinates

# %%
high = "times the mean"
stems = shown[["title", "level", "profile"]].set_axis(["of", "level", high], axis=1)
stems = stems.explode(high).astype({high: float})
stems["coordinate"] = stems.groupby("of", sort=False).cumcount()
figure, panels = plots.panels(shown["title"], 1, 1.5, sharey=True)
for axes, m in zip(panels, shown.itertuples(), strict=True):
    plots.stems(axes, m.profile, m.level)
    plots.lines_at(axes, {}, {"mean": 1, f"{threshold:g} ×": threshold})
    axes.set(xlabel="coordinate" if axes is panels[-1] else "", ylabel=high)
page.figure("profile", figure, stems, says=style.told(stems, high, by=style.peaks))

# %%
images = book.titled(shown[~shown["captions"]])
limit = max((np.abs(sample).max() for sample in images["sample"]), default=1)
figure, panels = plots.panels(images["title"], 2, 3)
for axes, m in zip(panels, images.itertuples(), strict=True):
    colours = plots.heat_map(axes, m.sample, m.sample_coordinates, limit)
    axes.set_ylabel("image" if axes is panels[0] else "")
if len(images):
    figure.colorbar(colours, ax=panels, shrink=0.8, label="z (standard deviations)")
z = images[["title", "sample", "sample_coordinates"]].set_axis(["of", "z", "coordinate"], axis=1)
z = z.explode("z", ignore_index=True)  # an image in each row
z["image"] = z.groupby("of", sort=False).cumcount()
z = z.explode(["z", "coordinate"]).astype({"z": float})
page.figure("heat-map", figure, z, says=style.told(z, "z", by=style.peaks))

# %% [markdown]
# ## The control, and other styles
#
# Random weights show what the architecture contributes. An untrained network maps all images to
# similar vectors (a small spread), so some coordinate must be the largest in most of them:
# persistence alone does not show that anything was learned; it counts only where κ is far above 3.
# Other styles, where there are some, show what the images contribute.

# %%
styles = every.dropna(subset="role")
roles = styles.groupby(["training", "role"], sort=False)
MEANS = ["kurtosis_mean", "persistence_fraction"]
means = pd.DataFrame(roles[MEANS].mean().unstack())
means.columns = ["_".join(names) for names in means]
every_role = [f"{name}_{role}" for name in MEANS for role in ("training", "seen", "unseen")]
means = means.reindex(columns=every_role)  # a reader's checkpoint may have seen one style alone
unseen = styles.loc[styles["role"] == "unseen"].groupby("training").size()
means["styles"] = unseen if unseen.nunique() > 1 else None
columns = {
    "model": "{training}",
    "κ, training": "{kurtosis_mean_training:digits}",
    "P, training": "{persistence_fraction_training:percent}",
    "κ, seen": "{kurtosis_mean_seen:digits}",
    "P, seen": "{persistence_fraction_seen:percent}",
    "κ, unseen": "{kurtosis_mean_unseen:digits}",
    "P, unseen": "{persistence_fraction_unseen:percent}",
    "unseen styles": "{styles:.0f}",
}
page.table("styles", means, columns, evidence=every, unseen=unseen.max())

# %% tags=["remove-input"]
page.texts(book.closing_notes(found, "outlier_features", family))
