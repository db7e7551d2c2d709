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

#: import check_blanks

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


#: check_blanks.check(average_precision)

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


#: check_blanks.check(by_chance)
#: check_blanks.check(at_least_one)
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
