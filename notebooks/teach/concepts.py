# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Concepts: average precision, and what chance gives
#
# This notebook needs NumPy, matplotlib, and the files `embeddings.npz` and `words.csv` in the same
# folder: 500 photographs of COCO as OpenAI's CLIP ViT-B/16 represents them, and the words of a
# caption of each. Each cell asks one question: answer it for yourself, then run the cell.

# %%
import os
from itertools import combinations

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images, captions = file["images"].astype(float), file["captions"].astype(float)
table = np.loadtxt("words.csv", delimiter=",", dtype=str)
words, shown = table[0], table[1:] == "1"
rng = np.random.default_rng(0)

# %% [markdown]
# **How well does an order find a word?** Go through the images, the highest score first. At each
# image with the word, note the share of images with the word so far. The mean of these shares is
# average precision.


# %%
def average_precision(scores, positive):
    """Average precision by column: (images, d), (images,) → (d,)."""
    #:[ sort images by falling score; at each positive, the share of positives so far; their mean
    hits = positive[np.argsort(-scores, axis=0)]
    precision = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, None]
    return (precision * hits).sum(axis=0) / positive.sum()
    #:]


#: scores = np.array([[-4.0, 1, 2], [-5, 2, 7], [-6, 3, 1], [-7, 4, 9], [-8, 0, 3], [-9, 5, 8]])
#: positive = np.array([True, False, True, False, False, True])  # places 1 3 6; 1 3 5; 2 5 6
#: value = average_precision(scores, positive)
#: assert np.shape(value) == (3,), "One number for each column: sort and count along axis 0."
#: for wrong, why in (
#:     ([2 / 3, 1 / 2, 13 / 15], "The highest score first: sort by -scores."),
#:     ([0.5, 0.5, 0.5], "At each positive the share so far; this is the share in all."),
#:     ([2 / 3, 2 / 3, 1 / 3], "This is the share among the first three alone."),
#:     ([1, 1, 0.5], "The mean of the precisions at the positives, not the largest."),
#:     ([13 / 36, 34 / 90, 7 / 30], "Divide by the number of positives, not of images."),
#:     ([13 / 6, 34 / 15, 7 / 5], "The mean over the positives: divide by their number."),
#:     ([1 / 2, 23 / 45, 26 / 90], "The share of positives so far, not 1 over the place."),
#:     ([2 / 3, 2 / 3, 2 / 3], "Divide by the place, not by the number of positives."),
#:     ([2 / 9, 11 / 45, 8 / 45], "The share counts the positive itself: subtract no 1."),
#:     ([2 / 3, 34 / 45, 7 / 15], "The scores as they are: no absolute values."),
#:     ([107 / 180, 113 / 180, 119 / 360], "Average over the positives, not over all places."),
#:     ([65 / 90, 37 / 90, 57.5 / 90], "Sort once: argsort gives the images in order."),
#:     ([65 / 90, 65 / 90, 65 / 90], "Each column has its own order."),
#:     ([10 / 21, 0.5, 23 / 63], "Places count from 1."),
#:     ([107 / 90, 113 / 90, 59.5 / 90], "Add up at the positives alone."),
#:     ([42 / 90, 45 / 90, 17.5 / 90], "Add up at the positives, not at the negatives."),
#:     ([5 / 9, 2 / 3, 2 / 9], "This is an area under a ROC curve. Average precisions."),
#: ):
#:     assert not np.allclose(value, wrong), why
#: exact = [(1 + 2 / 3 + 3 / 6) / 3, (1 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 5 + 3 / 6) / 3]
#: at = "Places 1, 3 and 6: (1/1 + 2/3 + 3/6) / 3. Places count from 1; each column has its own."
#: assert np.allclose(value, exact), at

# %% [markdown]
# **How often does chance reach 0.9?** With n positives and n negatives, every set of n places is
# equally likely, so count them all. How many positives would you require? Exercises concepts-4 and
# concepts-5 ask for such probabilities.


# %%
def by_chance(n):
    """The probability that a random order of n positives and n negatives reaches 0.9."""
    places = np.array(list(combinations(range(2 * n), n)))  # a row each: places, counted from 0
    #:[ the average precision of each row, and the share of rows with 0.9 or more (less 1e-12)
    precision = np.arange(1, n + 1) / (places + 1)
    return (precision.mean(axis=1) >= 0.9 - 1e-12).mean()
    #:]


def at_least_one(probability, count):
    """The probability that at least one of some independent directions reaches it."""
    #:[ one minus the probability that none does
    return 1 - (1 - probability) ** count
    #:]


#: value = by_chance(2)
#: assert np.isclose(value, 1 / 6), "With n = 2 one order of six passes; places count from 0."
#: assert np.isclose(by_chance(5), 8 / 252), "0.9 itself passes: compare with >= 0.9 - 1e-12."
#: assert np.isclose(at_least_one(0.2, 3), 0.488), "That none passes has probability 0.8 cubed."
for n in (2, 3, 5, 8):
    some = at_least_one(by_chance(n), 500)
    print(f"n = {n}: {by_chance(n):.5f}, for at least one of 500 directions {some:.3f}")

# %% [markdown]
# **Which words lie along a direction of the head?** For each word take all photographs that show
# it and the same number that do not. Which of the directions that the captions span is the best?


# %%
def best(directions, draw):
    """The best average precision of any direction, either way round, for each word.

    Negatives are drawn by a seed.
    """
    found, ends = [], np.concatenate([directions, -directions])
    for positive in shown.T:
        others = np.random.default_rng(draw).permutation(np.flatnonzero(~positive))
        rows = np.concatenate([np.flatnonzero(positive), others[: positive.sum()]])
        found.append(average_precision(images[rows] @ ends.T, positive[rows]).max())
    return np.array(found)


along_head = best(np.linalg.svd(captions, full_matrices=False)[2], draw=0)
for i in np.argsort(-along_head, kind="stable")[:5]:
    print(f"{words[i]}: {along_head[i]:.2f} with {shown[:, i].sum()} photographs")

# %% [markdown]
# **Would any directions do?** Take the same number of random directions. Only the excess over their
# count says something about the head's directions.

# %%
along_random = best(rng.normal(size=captions.shape), draw=0)
plt.scatter(along_random, along_head, s=10 + shown.sum(axis=0))
plt.plot([0.5, 1], [0.5, 1], color="grey")
plt.xlabel("best of 500 random directions, either way")
plt.ylabel("best of the head's directions, either way")
encoded, drawn = ((ap >= 0.9).sum() for ap in (along_head, along_random))
print(f"words at 0.9: {encoded} along the head's directions, {drawn} along random ones")

# %% [markdown]
# **In one sentence:** what has to be reported with every count of concepts?
#
# *Write here.*
