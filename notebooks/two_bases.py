# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - notebooks/teach/embeddings.npz
# ---

# %% [markdown]
# # One model's images in two bases
#
# Pictures for {doc}`/outlier_features` and {doc}`/what_kurtosis_measures`: what a rotation does to
# one image, and to a cloud of images. The embeddings are those of the teaching notebooks.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np

from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.publish import figures, style
from companion.publish.style import digits, holds

with np.load("notebooks/teach/embeddings.npz") as file:
    images = file["images"].astype(float)

# %% [markdown]
# ## One image in two bases
#
# A random rotation of the axes keeps the length of the vector and every cosine with another one.

# %%
image = images[:1]
turned = image @ random_rotation(image.shape[1], seed=0)
before, after = kurtosis(image)[0], kurtosis(turned)[0]
holds(before > 10 > after, "a rotation of one image's vector removes its outlier")
frames = {f"as CLIP gives it, κ = {digits(before)}": image}
frames |= {f"after a random rotation, κ = {digits(after)}": turned}
numbers = (
    {"of": title, "level": "zero_shot", "coordinate": np.arange(h.size), "number": h[0]}
    for title, h in frames.items()
)
style.figure(
    "one-image",
    figures.stems(style.stacked(numbers), "number"),
    "recorded",
    """One image's 512 numbers: one towers above the rest, and after a random rotation of the axes
    none does. All lengths and cosines stay the same.""",
)

# %% [markdown]
# ## The same cloud in two bases
#
# The images, and the same after a rotation by 45° in the plane of two coordinates.

# %%
images /= np.linalg.norm(images, axis=1, keepdims=True)
first, second = np.argsort(-np.abs(images.mean(axis=0)))[[0, -1]]
mean = images.mean(axis=0)
holds(mean[first] ** 2 > 0.5 * np.sum(mean**2), "the mean image lies mostly on one axis")
turned, (c, s) = images.copy(), (np.cos(np.pi / 4), np.sin(np.pi / 4))
turned[:, [first, second]] = images[:, [first, second]] @ np.array([[c, s], [-s, c]])
holds(kurtosis(turned).mean() < 0.7 * kurtosis(images).mean(), "κ is lower off the axis")
clouds = {
    f"{title}: κ = {digits(kurtosis(h).mean())}": ("zero_shot", h[:, [first, second]])
    for title, h in {"mean off the axes": turned, "mean on an axis": images}.items()
}
style.figure(
    "clouds",
    figures.clouds(clouds, ("one coordinate", "another coordinate"), apart=True),
    "recorded",
    """The same cloud of images in two bases: κ is larger where the mean (arrow) lies on an axis. No
    distance and no angle between images differs.""",
    more=f"""OpenAI's ViT-B/16, 500 COCO images at length 1: coordinates {first} and {second}, right
    as CLIP gives them, left after a rotation by 45° in their plane.""",
)
