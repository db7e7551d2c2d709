# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [privileged_directions]
#     measurements: [outlier_features, privileged_directions]
# ---

# %% [markdown]
# # Privileged directions
#
# Which directions does the head read, and do representations lie along some of them much more than
# along others? The section {doc}`/privileged_directions` explains the question,
# and {eq}`eq-importance` defines importance.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the model family that is shown
threshold: float = 10.0  # times the mean importance: from there a direction is called privileged

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics.directions import importance
from analysis.metrics.outliers import far_above_mean
from companion.chapters import arrays, figures, measured, notes
from companion.engine import plots
from companion.engine.page import Page
from companion.engine.style import digits, span
from companion.measurements.records import available

backbone = load_family(family)
taken = available("privileged_directions", backbone)
by_title = measured.by_title(taken)
page = Page("privileged_directions", taken, backbone=backbone.title)

# %% [markdown]
# ## Importance of every direction

# %%
if taken:
    rows = measured.frame(by_title.values(), measured.top_direction).assign(title=[*by_title])
    largest = rows.loc[rows["level"] != "random", "largest"]
    told = {"heads": notes.heads(taken), "largest": span(largest) if len(largest) else None}
    page.figure("importance", figures.importance(by_title, threshold), **told)

    chance = np.sqrt(2 / (np.pi * taken[0].counts["components"]))
    sizes = [m.value("importance") for m in by_title.values()]
    rows["second"] = [np.sort(size)[-2] for size in sizes]
    rows["above"] = [len(far_above_mean(size, threshold)) for size in sizes]
    page.table("directions", rows, chance=chance, threshold=threshold)

# %% [markdown]
# ## The top direction and the outlier coordinates

# %%
X, Y = "image profile, times the mean", "component in the top direction"
parts = []
for title, m in by_title.items():
    outliers = measured.of_same_model(m, "outlier_features").get(m.data.name)
    if outliers:
        profile, size = outliers.value("profile"), np.abs(m.value("top_components"))
        part = pd.DataFrame({"panel": title, "level": m.level, X: profile, Y: size})
        part["of"] = part.index.map("coordinate {}".format)
        named = part.index.isin([profile.argmax(), size.argmax()])
        parts.append(part.assign(look="small", name=np.where(named, part.index.astype(str), "")))
if parts:
    page.figure(
        "top-direction", plots.scatter(pd.concat(parts), X, Y, log="x", ticks=4, labels="name")
    )

# %% [markdown]
# ## From a head and features to importance
#
# The head is a matrix W of classes × components. Its right singular vectors are the directions that
# it reads; importance is a direction's share of the singular values times the mean |cos| between
# it and the images. Where no features are on disk, Gaussian numbers take their place.

# %%
what, h, _, W, *_, one = arrays.on_disk(taken) or arrays.gaussian(backbone.models[0].width)
of_package = importance(h, W)
_, sigma, V = np.linalg.svd(W.astype(float), full_matrices=False)
sigma, V = sigma[: len(of_package)], V[: len(of_package)]  # what follows is rounding of W
cosines = np.abs(h @ V.T) / np.linalg.norm(h, axis=1, keepdims=True)
by_hand = sigma / sigma.sum() * cosines.mean(axis=0)
assert np.allclose(by_hand, of_package, atol=1e-6)
if one is not None:  # which was measured of these arrays
    assert np.allclose(by_hand / by_hand.mean(), one.value("importance"), rtol=0.01, atol=0.001)
largest = digits(by_hand.max() / by_hand.mean())
page.by_hand("by-hand", what=what, directions=len(by_hand), largest=largest)

# %% tags=["remove-input"]
page.texts(notes.closing_notes("privileged_directions", backbone, taken))
