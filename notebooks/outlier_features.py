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
import numpy as np

from analysis.families.registry import UNTRAINED, load_family
from analysis.metrics.outliers import far_above_mean, kurtosis
from companion.chapters import arrays, figures, measured, notes
from companion.measurements.records import STYLES_BY_ROLE, TRAINING, available
from results import style
from results.page import Page

backbone = load_family(family)
measurements = available("outlier_features", backbone)
# Among the pocket lab's styles we begin with the one that plays ImageNet; the others come below.
looked_at = [m for m in measurements if m.data.name == TRAINING] or measurements
by_title = measured.by_title(looked_at)
drawn = measured.one_set_each(looked_at)
evidence = style.kind(looked_at)
page = Page("outlier_features", evidence, backbone=backbone.title, threshold=threshold)

# %% [markdown]
# ## Every model of the family

# %%


def spread(m):
    """How far the images are apart, and the coordinates that are far above the mean one."""
    far = {"far": style.listed(far_above_mean(m.value("profile"), threshold))}
    return far | {"spread": m.value("sample").std(axis=0).mean() if "sample" in m.values else None}


page.table("kurtosis", measured.frame(by_title.values(), spread).assign(title=[*by_title]))
titled = measured.by_title(drawn)
told = [m for m in drawn if m.level != "random"] or drawn
kappa = style.span(m.value("kurtosis_mean") for m in told) if told else None
trained = "trained " if all(m.level not in UNTRAINED for m in told) else ""
drawing = figures.kurtosis(titled) if titled else None
page.figure("distribution", drawing, kappa=kappa, trained=trained)

# %% [markdown]
# ## Which coordinates

# %%
images = [m for m in drawn if "captions" not in m.data.name]
page.figure("profile", figures.profiles(titled, threshold) if titled else None)
page.figure("heat-map", figures.heat_maps(measured.by_title(images)) if images else None)

# %% [markdown]
# ## The control, and other styles
#
# Random weights show what the architecture contributes. An untrained network maps all images to
# similar vectors (a small spread), so some coordinate must be the largest in most of them:
# persistence alone does not show that anything was learned; it counts only where κ is far above 3.
# Other styles, where there are some, show what the images contribute.

# %%
styles = measured.by_style(measurements)
few = "styles_unseen" in styles and styles["styles_unseen"].notna().any()
some = " (or as many as the last column says)" if few else ""
page.table("styles", styles, measurements, unseen=len(STYLES_BY_ROLE["unseen"]), some=some)

# %% [markdown]
# ## From features to κ
#
# The features of some images are an array h of images × components. Each image is standardised
# over its own components; its kurtosis is the mean fourth power, and κ is the mean over images.
# The package does the same in blocks of rows, so that an array need not fit into memory.
# Where no features are on disk, Gaussian numbers take their place.

# %%
what, h, *_, taken = arrays.of(looked_at, backbone)
z = (h - h.mean(axis=1, keepdims=True)) / h.std(axis=1, keepdims=True)
of_each_image = (z**4).mean(axis=1)
assert np.allclose(of_each_image, kurtosis(h))
assert taken is None or np.isclose(of_each_image.mean(), taken.value("kurtosis_mean"), rtol=0.001)
page.by_hand("by-hand", what=what, kappa=of_each_image.mean(), rows=len(h))

# %% tags=["remove-input"]
page.texts(notes.closing_notes("outlier_features", backbone, measurements))
