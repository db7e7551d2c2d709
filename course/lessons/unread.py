# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What the head does not read
#
# This notebook needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500
# photographs of COCO and a caption of each, as OpenAI's CLIP ViT-B/16 represents them, 512 numbers
# for each. Each cell asks one question: answer it for yourself, then run the cell.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

#: import check_blanks

with np.load("embeddings.npz") as file:
    images, captions = (file[name].astype(float) for name in ("images", "captions"))
rng = np.random.default_rng(0)

# %% [markdown]
# **Along which directions do captions vary least?** Subtract their mean; the last right singular
# vectors are these directions. There are only 500 captions for 512 numbers. What follows for the
# last twelve directions? Exercise frame-6 does this with Gaussian numbers.


# %%
def shares(texts):
    """The directions of texts (n, d), and each one's share of their variance: (d, d), (d,)."""
    #:[ the right singular vectors of what is left without the mean; squares add up to the variance
    _, sigma, v = np.linalg.svd(texts - texts.mean(axis=0))
    variance = np.zeros(texts.shape[1])
    variance[: len(sigma)] = sigma**2 / (sigma**2).sum()
    return v, variance
    #:]


def least_varying(texts, share):
    """The directions that together hold at most a share of the variance, the least first."""
    v, variance = shares(texts)
    #:[ add shares up from the last direction, and keep those below the share
    return v[::-1][np.cumsum(variance[::-1]) <= share]
    #:]


#: check_blanks.check(shares)
#: check_blanks.check(least_varying)
v, variance = shares(captions)
least = least_varying(captions, 1e-4)
print(f"{len(least)} directions hold at most 0.01 % of the captions' variance")

# %% [markdown]
# **How much of the images' energy lies there?** Compare it with the share of an average direction,
# times their number.


# %%
def energy_along(h, directions):
    """The share of the images' energy along orthonormal directions: (N, d), (k, d) → a number."""
    #:[ energy is a sum of squares: that of the projections, divided by that of the images
    return ((h @ directions.T) ** 2).sum() / (h**2).sum()
    #:]


#: check_blanks.check(energy_along)
energy = energy_along(images, least)
print(f"{energy:.0%} of the energy, against {len(least) / 512:.0%}")

# %% [markdown]
# **What is left without them?** Guess κ, and how often an image finds its own caption, before you
# run the cell. Then compare with the same number of random directions, as exercise frame-7 does.


# %%
def kurtosis(h):
    """Mean over images of the kurtosis of each: (images, d) → a number."""
    centred = h - h.mean(axis=1, keepdims=True)
    z = centred / centred.std(axis=1, keepdims=True)
    return (z**4).mean(axis=1).mean()


def recall(h):
    """How often an image's own caption is the nearest."""
    return ((h @ captions.T).argmax(axis=1) == np.arange(500)).mean()


def dropped(h, directions):
    """The images without their part along orthonormal directions: (N, d), (k, d) → (N, d)."""
    #:[ subtract the projection
    return h - h @ directions.T @ directions
    #:]


#: check_blanks.check(dropped)
random = np.linalg.qr(rng.normal(size=(512, len(least))))[0].T
without, without_random = (dropped(images, directions) for directions in (least, random))
kappa, kappa_random = kurtosis(without), kurtosis(without_random)
for name, h in (("all", images), ("least", without), ("random", without_random)):
    print(f"{name}: κ {kurtosis(h):.1f}, own caption found {recall(h):.1%}")

# %% [markdown]
# **Is it one vector?** Take the part of the mean photograph that lies in these directions, and
# remove its direction alone. How much of the drop of κ is left?

# %%
part = images.mean(axis=0) @ least.T @ least
one = part / np.linalg.norm(part)
without_one = images - np.outer(images @ one, one)
print(f"one vector: κ {kurtosis(without_one):.1f}, own caption found {recall(without_one):.1%}")

# %% [markdown]
# **Would other captions give the same result?** Choose the directions with the first 250 captions,
# and evaluate on the last 250 images and captions. Less their mean, 250 captions span 249
# dimensions, so drop all the others. Is the answer more convincing, or less?

# %%
half = np.linalg.svd(captions[:250] - captions[:250].mean(axis=0))[2][249:]
held_out = images[250:] - images[250:] @ half.T @ half
for name, h in (("all", images[250:]), ("least", held_out)):
    found = (h @ captions[250:].T).argmax(axis=1) == np.arange(250)
    print(f"{name}: κ {kurtosis(h):.1f}, own caption found {found.mean():.1%}")

# %% [markdown]
# **What does it look like?** Plot, for each direction, how much captions vary along it, and how
# much energy images have there. Where is the outlier?

# %%
plt.loglog(variance[:500], ((images @ v[:500].T) ** 2).mean(axis=0), ".")
plt.xlabel("share of the captions' variance")
plt.ylabel("energy of the images")

# %% [markdown]
# **In one sentence:** why can a zero-shot head not see what these directions hold?
#
# *Write here.*
