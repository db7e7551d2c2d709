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
# Needs NumPy, matplotlib, and the files `embeddings.npz` and `words.csv` in the same folder: 500
# photographs of COCO as CLIP ViT-B/16 of OpenAI sees them, and which words a caption of each has.
# One question per cell: answer it for yourself, then run the cell.

# %%
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images, captions = file["images"].astype(float), file["captions"].astype(float)
table = np.loadtxt("words.csv", delimiter=",", dtype=str)
words, shown = table[0], table[1:] == "1"
rng = np.random.default_rng(0)

# %% [markdown]
# **How well does an order find a word?** Walk down the images, the highest score first. At each one
# that shows the word, note which share of those seen so far does. The mean is average precision.


# %%
def average_precision(scores, positive):
    """Average precision by column: (images, d), (images,) → (d,)."""
    hits = positive[np.argsort(-scores, axis=0)]
    precision = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, None]
    return (precision * hits).sum(axis=0) / positive.sum()


by_hand = average_precision(np.array([[4.0], [3], [2], [1]]), np.array([1, 0, 1, 0]))[0]
print(f"positives in places 1 and 3: {by_hand:.3f} (by hand: (1/1 + 2/3) / 2)")

# %% [markdown]
# **How often does chance reach 0.9?** With n positives and n negatives every set of n places is
# equally likely, so count them all. How many positives would you ask for?

# %%
passes = {}
for n in (2, 3, 5, 8):
    places = np.array(list(combinations(range(2 * n), n)))  # each row: where the positives stand
    precision = np.arange(1, n + 1) / (places + 1)
    passes[n] = (precision.mean(axis=1) >= 0.9 - 1e-12).mean()
    some = 1 - (1 - passes[n]) ** 500
    print(f"n = {n}: {passes[n]:.5f}, for at least one of 500 directions {some:.3f}")

# %% [markdown]
# **Which words lie along a direction of the head?** For each word take all photographs that show
# it and as many that do not, and look for the best of the directions that the captions span.


# %%
def best(directions, draw):
    """The best average precision of any direction for each word, negatives drawn by a seed."""
    found = []
    for positive in shown.T:
        others = np.random.default_rng(draw).permutation(np.flatnonzero(~positive))
        rows = np.concatenate([np.flatnonzero(positive), others[: positive.sum()]])
        found.append(average_precision(images[rows] @ directions.T, positive[rows]).max())
    return np.array(found)


along_head = best(np.linalg.svd(captions, full_matrices=False)[2], draw=0)
for i in np.argsort(-along_head)[:5]:
    print(f"{words[i]}: {along_head[i]:.2f} with {shown[:, i].sum()} photographs")

# %% [markdown]
# **Would any directions do?** Take as many random ones. A count of words is worth what it has
# beyond theirs.

# %%
along_random = best(rng.normal(size=captions.shape), draw=0)
plt.scatter(along_random, along_head, s=10 + shown.sum(axis=0))
plt.plot([0.5, 1], [0.5, 1], color="grey")
plt.xlabel("best of 500 random directions")
plt.ylabel("best of the head's directions")
encoded, by_chance = (along_head >= 0.9).sum(), (along_random >= 0.9).sum()
print(f"words at 0.9: {encoded} along the head's directions, {by_chance} along random ones")
