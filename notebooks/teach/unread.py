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


#: turn = np.array([[0.6, 0.8, 0, 0], [-0.8, 0.6, 0, 0], [0, 0, 0.6, 0.8], [0, 0, -0.8, 0.6]])
#: four = np.array([[3.0, 0, 0, 0], [-3, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]])
#: four = np.vstack([four, [[0, 0, 2, 0], [0, 0, -2, 0]]]) @ turn + [10, 20, 30, 40]
#: axes, parts = shares(four)  # the squares add up to 18, 8, 2 and 0
#: few_texts = [np.shape(their) for their in shares(four[[0, 2, 4]])]  # fewer than numbers
#: whole = np.shape(axes) == (4, 4) and np.shape(parts) == (4,) and few_texts == [(4, 4), (4,)]
#: assert whole, "All d directions, also those with no variance."
#: assert not np.allclose(parts[:3], [0.5, 1 / 3, 1 / 6]), "Squares of the singular values."
#: assert np.isclose(np.sum(parts), 1), "Shares add up to 1: divide by the sum of the squares."
#: mean = "Subtract the mean text, axis 0, before you decompose."
#: assert np.allclose(parts, np.array([18, 8, 2, 0]) / 28), mean
#: assert np.isclose(abs(axes[0] @ turn[0]), 1), "Directions are the rows of what svd returns last."
#: few, two, three = (least_varying(four, share) for share in (0.05, 0.3, 0.4))
#: assert np.shape(two) != (3, 4), "Add the shares up: together they hold at most the share."
#: counts = [np.shape(some) for some in (few, two, three)]
#: assert counts == [(1, 4), (2, 4), (3, 4)], "Those that together hold at most the share."
#: assert np.isclose(abs(three[0] @ turn[3]), 1), "The direction of least variance comes first."
#: assert np.isclose(abs(three[2] @ turn[2]), 1), "Rows of the directions, from the last upwards."
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


#: pair = np.array([[3.0, -4, 1], [0, 5, 2]])  # energies 26 and 29
#: two = np.array([[0.6, 0.8, 0], [0, 0, 1]])  # along them: -1.4 and 1, 4 and 2
#: value = energy_along(pair, two)
#: for wrong, why in (
#:     (22.96, "A share: divide by the energy of the images."),
#:     (1 - 22.96 / 55, "The share along the directions, not what is left."),
#:     (np.sqrt(22.96 / 55), "Energy is a sum of squares, without a root."),
#:     (22.96 / 4 / (55 / 6), "Sums of squares, not their means: there are fewer directions."),
#:     ((2.96 / 26 + 20 / 29) / 2, "Add the images' energies up, then divide."),
#:     (11.48 / 55, "Sum both over the images, or average both."),
#:     (8.4 / 15, "Squares, not absolute values."),
#:     (8.4 / 55, "Square each projection before you sum."),
#:     (17.96 / 55, "All directions, not only the first."),
#:     (36.16 / 55, "Square each projection, then sum: not the other way round."),
#:     (31.36 / 55, "Square each projection, then sum: not the other way round."),
#:     (22.96 / 27.5, "The sum of the images' energies, not their mean."),
#:     (22.96 / 7, "Square each number, then sum: not the other way round."),
#:     (22.96 / 49, "Square each number, then sum: not the other way round."),
#:     (22.96 / 110, "Sum over the directions: do not divide by their number."),
#:     (3.94 / 55, "The energy of each image, not of the mean image."),
#:     (22.96 / 2, "Divide by the energy of the images, not of the directions."),
#:     (22.96 / 45.5, "The images as they are: subtract no mean."),
#:     (15.08 / 45.5, "The images as they are: subtract no mean."),
#: ):
#:     assert not np.isclose(value, wrong), why
#: assert np.isclose(value, 22.96 / 55), "Project onto each direction, square, add all up."
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


#: three, two = np.array([[3.0, -4, 1], [0, 5, 2]]), np.array([[0.6, 0.8, 0], [0, 0, 1]])
#: value, along = dropped(three, two), three @ two.T @ two
#: assert np.shape(value) == (2, 3), "As many numbers come back as went in."
#: for wrong, why in (
#:     (along, "What is left, not the part that is removed."),
#:     (three + along, "Subtract the part, do not add it."),
#:     (three - two.sum(axis=0), "Subtract each image's own part along a direction."),
#:     (three - np.abs(three @ two.T) @ two, "The part has a sign: take no absolute value."),
#:     (three - three @ two[:1].T @ two[:1], "All directions, not only the first."),
#:     (three - three @ two[1:].T @ two[1:], "All directions, not only the last."),
#:     (three - (three @ two.T).sum(), "A part points along its direction: multiply by it."),
#:     (three - 2 * along, "Subtract the part once."),
#:     (three - along / 2, "Subtract all of the part: do not average over directions."),
#:     (three - along.mean(axis=0), "Each image's own part, not the mean image's."),
#:     (three * (1 - np.abs(two).sum(axis=0)), "Directions are no choice of coordinates: project."),
#:     (three * (1 - (two**2).sum(axis=0)), "Directions are no choice of coordinates: project."),
#:     (three * (two.sum(axis=0) == 0), "Directions are no choice of coordinates: project."),
#:     (three, "Nothing was subtracted."),
#: ):
#:     assert not np.allclose(value, wrong), why
#: left = [[3.84, -2.88, 0], [-2.4, 1.8, 0]]
#: assert np.allclose(value, left), "Subtract h @ directions.T @ directions and no more."
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
