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
# This notebook needs NumPy, matplotlib, and two files in the same folder. `embeddings.npz` has 500
# photographs of COCO as OpenAI's CLIP ViT-B/16 represents them, 512 numbers for each.
# `controls.npz` has the same photographs in the same architecture with random weights, and 14 other
# photographs in a supervised EfficientNet-Lite0, which ends in a ReLU. Each cell asks one question:
# answer it for yourself, then run the cell.

# %%
import matplotlib.pyplot as plt
import numpy as np

images = np.load("embeddings.npz")["images"].astype(float)
with np.load("controls.npz") as file:
    untrained, supervised = file["random"].astype(float), file["supervised"].astype(float)
rng = np.random.default_rng(0)
gaussian = rng.normal(size=images.shape)

# %% [markdown]
# **How concentrated is a vector?** Standardise the numbers of *one* image, and average their fourth
# powers; then average over images. A Gaussian has about 3. What value does CLIP have, and what do
# the two controls have? Exercise outlier-2 does this with Gaussian numbers.


# %%
def kurtosis(h):
    """Mean over images of the kurtosis of each: (images, d) → a number."""
    centred = h - h.mean(axis=1, keepdims=True)
    z = centred / centred.std(axis=1, keepdims=True)
    return (z**4).mean(axis=1).mean()  #: the mean of the fourth powers of z


#: assert abs(kurtosis(gaussian) - 3) < 0.05, "Gaussian numbers should have a κ near 3."
kappa = kurtosis(images)
print(f"κ: CLIP {kappa:.1f}, Gaussian {kurtosis(gaussian):.2f}")
print(f"random weights {kurtosis(untrained):.2f}, supervised {kurtosis(supervised):.1f}")

# %% [markdown]
# **Is it always the same coordinate?** A vector may be sparse, with its large numbers elsewhere in
# each image. Find the dominant coordinate of each image, the one farthest from the image's mean,
# and count. Which of the two controls has a raised κ without a dominant coordinate? Exercise
# outlier-5 asks the same of Gaussian numbers.


# %%
def persistence(h):
    """The most frequent dominant coordinate, and the share of images in which it is dominant."""
    dominant = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)
    counts = np.bincount(dominant, minlength=h.shape[1])
    share = counts.max() / len(h)  #: the largest count as a share of the images
    return counts.argmax(), share


#: assert persistence(np.eye(4)[[1, 1, 1, 2]])[1] == 0.75, "Coordinate 1 dominates 3 of these 4."
leader, share = persistence(images)
print(f"coordinate {leader} is dominant in {share:.1%} of the images")
for name, h in (("Gaussian", gaussian), ("random", untrained), ("supervised", supervised)):
    print(f"{name}: {persistence(h)[1]:.1%}")

# %% [markdown]
# **What does it look like?** Plot the mean size of each coordinate, for CLIP and for random
# weights.

# %%
for name, h in (("CLIP", images), ("random weights", untrained)):
    plt.plot(np.abs(h).mean(axis=0), label=name)
plt.legend()

# %% [markdown]
# **Does κ depend on the axes?** Rotate all vectors by one random rotation. Distances and angles
# stay the same, and so does every prediction if the head is rotated as well. Does κ stay the same?
# Exercise outlier-6 asks this of Gaussian numbers.

# %%
rotation = np.linalg.qr(rng.normal(size=(images.shape[1],) * 2))[0]
kappa_turned = kurtosis(images @ rotation)  #: κ of the rotated vectors
#: assert 2.5 < kappa_turned < 3.5, "A random rotation spreads the outlier over all coordinates."
print(f"κ {kappa:.1f} before, {kappa_turned:.2f} after the rotation")

# %% [markdown]
# **Does the outlier belong to the images or to their mean?** Subtract the mean of all images; the
# rest differs from image to image. Which share of the vectors' energy was in the mean?

# %%
mean = images.mean(axis=0)
kappa_centred = kurtosis(images - mean)  #: κ after subtracting the mean
#: assert 3 < kappa_centred < kappa / 5, "Subtract the mean over images, one number a coordinate."
mean_share = (mean**2).sum() / (images**2).sum(axis=1).mean()  #: energy of the mean / mean energy
#: assert 0.5 < mean_share < 0.55, "Square and sum first, then average over images."
print(f"κ {kappa_centred:.1f} without the mean, which holds {mean_share:.0%} of the energy")
