# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Outlier features: κ in six lines
#
# Needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500 photographs of COCO
# and a caption of each, as CLIP ViT-B/16 of OpenAI sees them, 512 numbers for each. One question
# per cell: answer it for yourself, then run the cell.

# %%
import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images = file["images"].astype(float)
rng = np.random.default_rng(0)
gaussian = rng.normal(size=images.shape)

# %% [markdown]
# **How concentrated is a vector?** Standardise the numbers of *one* image, and take the mean of
# their fourth powers; then the mean over images. A Gaussian has about 3. What has CLIP?


# %%
def kurtosis(h):
    """Mean over images of the kurtosis of each: (images, d) → a number."""
    centred = h - h.mean(axis=1, keepdims=True)
    z = centred / centred.std(axis=1, keepdims=True)
    return (z**4).mean(axis=1).mean()


kappa, kappa_gaussian = kurtosis(images), kurtosis(gaussian)
print(f"κ of CLIP {kappa:.1f}, of a Gaussian {kappa_gaussian:.2f}")

# %% [markdown]
# **Is it always the same coordinate?** A vector may be sparse, each image with a large number
# somewhere else. Count which coordinate lies farthest from its image's mean.


# %%
def persistence(h):
    """The coordinate that leads most often, and in which share of the images it does."""
    leaders = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)
    counts = np.bincount(leaders, minlength=h.shape[1])
    return counts.argmax(), counts.max() / len(h)


leader, share = persistence(images)
print(f"coordinate {leader} leads in {share:.1%} of the images")
print(f"Gaussian: {persistence(gaussian)[1]:.1%}")

# %% [markdown]
# **What does it look like?** The mean size of each coordinate, once for CLIP and once for the
# Gaussian of the same shape.

# %%
figure, axes = plt.subplots(2, 1, figsize=(8, 4), sharex=True)
for axis, h, name in zip(axes, (images, gaussian), ("CLIP", "Gaussian"), strict=True):
    axis.bar(np.arange(h.shape[1]), np.abs(h).mean(axis=0), width=1)
    axis.set_title(name)
axes[1].set_xlabel("coordinate")
figure.tight_layout()

# %% [markdown]
# **Does κ depend on the axes?** Turn all vectors by one random rotation: every distance, every
# angle and, with a head turned along, every prediction stays. Does κ?

# %%
rotation = np.linalg.qr(rng.normal(size=(images.shape[1],) * 2))[0]
kappa_turned = kurtosis(images @ rotation)
print(f"κ {kappa:.1f} before, {kappa_turned:.2f} after the rotation")

# %% [markdown]
# **Whose is the outlier, the images' or their mean's?** Subtract the mean of all images. What is
# left differs from image to image. How much of the vectors' length was in the mean?

# %%
mean = images.mean(axis=0)
kappa_centred = kurtosis(images - mean)
mean_share = (mean**2).sum() / (images**2).sum(axis=1).mean()
print(f"κ {kappa_centred:.1f} without the mean, which holds {mean_share:.0%} of the energy")
