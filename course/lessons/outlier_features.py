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
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

#: import check_blanks

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
    #:[ standardise the numbers of each image, average their fourth powers, then average over images
    centred = h - h.mean(axis=1, keepdims=True)
    z = centred / centred.std(axis=1, keepdims=True)
    return (z**4).mean(axis=1).mean()
    #:]


#: check_blanks.check(kurtosis)
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
    #:[ find each image's coordinate that is farthest from the image's mean, and count
    dominant = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)
    counts = np.bincount(dominant, minlength=h.shape[1])
    return counts.argmax(), counts.max() / len(h)
    #:]


#: check_blanks.check(persistence)
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
plt.xlabel("coordinate")
plt.ylabel("mean size")
plt.legend()

# %% [markdown]
# **Does κ depend on the axes?** Rotate all vectors by one random rotation. Distances and angles
# stay the same, and so does every prediction if the head is rotated as well. Does κ stay the same?
# Exercise outlier-6 asks this of Gaussian numbers.

# %%
rotation = np.linalg.qr(rng.normal(size=(images.shape[1],) * 2))[0]
kappa_turned = kurtosis(images @ rotation)
print(f"κ {kappa:.1f} before, {kappa_turned:.2f} after the rotation")

# %% [markdown]
# **Does the outlier belong to the images or to their mean?** Subtract the mean of all images; the
# rest differs from image to image. Which share of the vectors' energy, the sum of their squares,
# was in the mean?


# %%
def share_of_mean(h):
    """Energy of the mean image / mean energy of the images: (images, d) → a number."""
    #:[ the sum of squares of the mean image, divided by the mean over images of such sums
    return (h.mean(axis=0) ** 2).sum() / (h**2).sum(axis=1).mean()
    #:]


#: check_blanks.check(share_of_mean)
kappa_centred, mean_share = kurtosis(images - images.mean(axis=0)), share_of_mean(images)
print(f"κ {kappa_centred:.1f} without the mean, which holds {mean_share:.0%} of the energy")

# %% [markdown]
# **In one sentence:** what does a large κ tell about this model's images, and what does it not?
#
# *Write here.*
