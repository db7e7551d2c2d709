# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - course/lessons/embeddings.npz
# ---

# %% [markdown]
# # One model's images in two bases
#
# What does a rotation do to one image, and to a cloud of images? These pictures for
# {doc}`/outlier_features` and {doc}`/what_kurtosis_measures` use the embeddings of the teaching
# notebooks.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np

from analysis.base.roots import ROOT
from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.chapters import figures
from companion.chapters.explorables import examples
from companion.engine import style
from companion.engine.page import Page
from companion.engine.style import digits

with np.load(ROOT / "course/lessons/embeddings.npz") as file:
    images, captions = (file[name].astype(float) for name in ("images", "captions"))
page = Page("two_bases")

# %% [markdown]
# ## One image in two bases
#
# A random rotation of the axes keeps the length of the vector and every cosine with another one.
# The image is the one whose κ is nearest to the mean, of those that find their own caption.

# %%
image = images[[examples(images, captions)[0]]]
turned = image @ random_rotation(image.shape[1], seed=0)
before, after = kurtosis(image)[0], kurtosis(turned)[0]
frames = {f"as CLIP gives it, κ = {digits(before)}": image}
frames |= {f"after a random rotation, κ = {digits(after)}": turned}
numbers = (
    {"of": title, "level": "zero_shot", "coordinate": np.arange(h.size), "number": h[0]}
    for title, h in frames.items()
)
drawing = figures.stems(style.stacked(numbers), "number")
page.figure("one-image", drawing, holds=before > 10 > after, photographs=len(images))
page.slide("one-image", drawing, 2.8)

# %% [markdown]
# ## The same cloud in two bases
#
# We draw the images before and after a rotation by 45° in the plane of two coordinates.

# %%
images /= np.linalg.norm(images, axis=1, keepdims=True)
first, second = np.argsort(-np.abs(images.mean(axis=0)))[[0, -1]]
mean = images.mean(axis=0)
page.holds(mean[first] ** 2 > 0.5 * np.sum(mean**2), "CLIP's mean image lies mostly")
less = kurtosis(images - mean).mean()
page.number(
    kappa=f"{kurtosis(images).mean():.0f}",
    less_mean=digits(less),
    mean_share=f"{100 * np.sum(mean**2):.0f} %",
    coordinate_share=f"{100 * mean[first] ** 2 / np.sum(mean**2):.0f} %",
)
page.holds(less < kurtosis(images).mean() / 4, "and most of κ is gone")
turned, (c, s) = images.copy(), (np.cos(np.pi / 4), np.sin(np.pi / 4))
turned[:, [first, second]] = images[:, [first, second]] @ np.array([[c, s], [-s, c]])
clouds = {
    f"{title}: κ = {digits(kurtosis(h).mean())}": ("zero_shot", h[:, [first, second]])
    for title, h in {"mean on one axis": images, "mean between two": turned}.items()
}
axes = ("one coordinate", "another coordinate")
page.figure(
    "clouds",
    figures.clouds(clouds, axes, apart=True),
    first=first,
    second=second,
    holds=0.45 < kurtosis(turned).mean() / kurtosis(images).mean() < 0.55,
)
parts = dict(zip(("as written", "after one turn"), clouds.values(), strict=True))
page.slide("clouds", figures.clouds(parts, axes, apart=True), 3)
