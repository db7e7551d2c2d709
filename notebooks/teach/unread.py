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
# Needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500 photographs of COCO
# and a caption of each, as CLIP ViT-B/16 of OpenAI sees them, 512 numbers for each. One question
# per cell: answer it for yourself, then run the cell.

# %%
import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images, captions = (file[name].astype(float) for name in ("images", "captions"))
rng = np.random.default_rng(0)

# %% [markdown]
# **Along which directions do captions vary least?** Subtract their mean; the last right singular
# vectors are these directions. There are only 500 captions for 512 numbers. What follows for the
# last dozen?

# %%
_, sigma, v = np.linalg.svd(captions - captions.mean(axis=0))
variance = np.zeros(512)
variance[:500] = sigma**2 / (sigma**2).sum()
least = v[np.cumsum(variance[::-1])[::-1] <= 1e-4][::-1]
print(f"{len(least)} directions hold at most 0.01 % of the captions' variance")

# %% [markdown]
# **How much of the images lies there?** And how much in as many average directions?

# %%
energy = ((images @ least.T) ** 2).sum() / (images**2).sum()
print(f"{energy:.0%} of the energy, against {len(least) / 512:.0%}")

# %% [markdown]
# **What is left without them?** κ, and how often an image finds its own caption. Guess both before
# you run the cell; then compare with as many random directions.


# %%
def kurtosis(h):
    """Mean over images of the kurtosis of each: (images, d) → a number."""
    centred = h - h.mean(axis=1, keepdims=True)
    z = centred / centred.std(axis=1, keepdims=True)
    return (z**4).mean(axis=1).mean()


def recall(h):
    """How often the own caption is the nearest."""
    return ((h @ captions.T).argmax(axis=1) == np.arange(500)).mean()


random = np.linalg.qr(rng.normal(size=(512, len(least))))[0].T
without, without_random = (images - images @ d.T @ d for d in (least, random))
kappa, kappa_random = kurtosis(without), kurtosis(without_random)
for name, h in (("all", images), ("least", without), ("random", without_random)):
    print(f"{name}: κ {kurtosis(h):.1f}, own caption found {recall(h):.1%}")

# %% [markdown]
# **Would other captions say the same?** Choose the directions with the first 250 captions, judge
# with the last 250 images and captions. Is the answer more convincing, or less?

# %%
half = np.linalg.svd(captions[:250] - captions[:250].mean(axis=0))[2][-250:]
held_out = images[250:] - images[250:] @ half.T @ half
for name, h in (("all", images[250:]), ("least", held_out)):
    found = (h @ captions[250:].T).argmax(axis=1) == np.arange(250)
    print(f"{name}: κ {kurtosis(h):.1f}, own caption found {found.mean():.1%}")

# %% [markdown]
# **What does it look like?** For each direction, how much captions vary along it, and how much
# energy images have there. Where is the outlier?

# %%
plt.loglog(variance[:500], ((images @ v[:500].T) ** 2).mean(axis=0), ".")
plt.xlabel("share of the captions' variance")
plt.ylabel("energy of the images")
