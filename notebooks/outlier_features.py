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
# {doc}`/outlier_features` explains the question, {eq}`eq-kurtosis` defines κ.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the model family that is shown
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is named an outlier

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics.outliers import kurtosis
from companion.measurements.pending import STYLES, TRAINING
from companion.measurements.records import available
from companion.publish import arrays, figures, measured, pocket_models, style, words
from companion.publish.style import digits

backbone = load_family(family)
found = available("outlier_features", backbone)
# Of the pocket lab's styles this looks at the one that plays ImageNet; the others come below.
looked_at = [m for m in found if m.data.name == TRAINING] or found
shown = words.titled(looked_at)
drawn = measured.one_set_each(looked_at)
evidence = words.kind(looked_at)

# %% [markdown]
# ## Every model of the family

# %%
rows = pd.DataFrame(
    {
        "model": title,
        "κ": words.kurtosis(m),
        "90 % of items": "{} to {}".format(*map(digits, m.value("kurtosis_percentiles")[[5, 95]])),
        "outliers": words.outliers(m.value("profile"), threshold),
        "persistence (%)": f"{100 * m.value('persistence_fraction'):.1f}",
        "dominant coordinate": m.value("persistence_coordinate"),
        "spread": f"{m.value('sample').std(axis=0).mean():.2f}" if "sample" in m.values else "n/a",
    }
    for title, m in shown.items()
)
style.table(
    "kurtosis",
    rows,
    evidence,
    f"""Activation kurtosis of the {backbone.title} models (counterpart of the paper's Table 2, on
    other data). κ: mean over images or captions ± 95 % interval of that mean; a Gaussian
    gives 3.""",
    more=f"""Outliers: coordinates whose mean |z| is at least {threshold:g} times the mean
    coordinate's. Dominant coordinate: the one that is most often an item's largest; persistence:
    how often. Spread: how much a coordinate varies over items, in an item's standard
    deviations.""",
)
titled = words.titled(drawn)
style.figure(
    "distribution",
    figures.kurtosis(titled) if titled else None,
    evidence,
    f"""How the activation kurtosis of single items is distributed, {backbone.title}: the share of
    items below each value, on one set of images per model. The vertical line is the
    Gaussian's 3.""",
)

# %% [markdown]
# ## Which coordinates

# %%
images = [m for m in drawn if "captions" not in m.data.name]
style.figure(
    "profile",
    figures.profiles(titled, threshold) if titled else None,
    evidence,
    f"""The activation profile shows how far each coordinate lies from its item's mean, relative to
    the mean coordinate (thin line, 1). A coordinate counts as an outlier from the dashed line
    upwards ({threshold:g}).""",
    more="The distance is |z|, in that item's standard deviations, averaged over items.",
)
style.figure(
    "heat-map",
    figures.heat_maps(words.titled(images)) if images else None,
    evidence,
    """The first images (rows) at the same coordinates (columns): the highest of the profile left of
    the line, others right of it. An outlier feature is a column far from zero in every image.""",
)

# %% [markdown]
# ## The control, and other styles
#
# Random weights show what the architecture contributes. An untrained network maps all images to
# similar vectors (a small spread), so some coordinate must be the largest in most of them:
# persistence alone does not show that anything was learned; it counts only where κ is far above 3.
# Other styles, where there are some, show what the images contribute.

# %%
styles = pocket_models.by_style(found)
some = " (or as many as the last column says)" * ("unseen styles" in styles)
style.table(
    "styles",
    styles,
    words.kind(found),
    f"""κ and persistence P (%) of the {backbone.title} models in the training style, in the seen
    style, and on average over the {len(STYLES["unseen"])} unseen styles{some}.""",
    more="""Seen: a shift whose style is in the web sets. Unseen: a shift whose style no model
    trains on.""",
)

# %% [markdown]
# ## From features to κ
#
# The features of some images are an array h of images × components. Each image is standardised
# over its own components; its kurtosis is the mean fourth power, κ the mean over images. The
# package does the same in blocks of rows, so that an array need not fit into memory.

# %%
what, h, *_ = arrays.of(looked_at, backbone)
z = (h - h.mean(axis=1, keepdims=True)) / h.std(axis=1, keepdims=True)
of_each_image = (z**4).mean(axis=1)
assert np.allclose(of_each_image, kurtosis(h))
style.text("by-hand", f"{what}: κ = {of_each_image.mean():.3f} over {len(h):,} rows.")

# %% tags=["remove-input"]
words.missing("outlier_features", backbone, found)
