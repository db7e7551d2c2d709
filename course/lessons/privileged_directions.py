# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Privileged directions: importance in five lines
#
# This notebook needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500
# photographs of COCO and a caption of each, as OpenAI's CLIP ViT-B/16 represents them. The captions
# are the head: each is a class of one image. Each cell asks one question: answer it for yourself,
# then run the cell.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

#: import check_blanks

with np.load("embeddings.npz") as file:
    images, captions = file["images"].astype(float), file["captions"].astype(float)
rng = np.random.default_rng(0)

# %% [markdown]
# **Which directions does the head read, and where do the images lie?** Importance is a product of
# two shares: a singular value as a share of their sum, and the mean absolute cosine between the
# direction and the images. Exercise directions-2 computes it for Gaussian numbers.


# %%
def importance(h, head):
    """By right singular vector: (images, d), (classes, d) → (rank,)."""
    #:[ each singular value's share of their sum, times the images' mean |cosine| with the direction
    _, weights, directions = np.linalg.svd(head, full_matrices=False)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    return weights / weights.sum() * np.abs(unit @ directions.T).mean(axis=0)
    #:]


#: check_blanks.check(importance)
found = importance(images, captions)
ratio = found.max() / found.mean()
print(f"the largest importance is {ratio:.0f} times the mean")

# %% [markdown]
# **How much of this would any head and any images give?** Compare with Gaussian numbers.

# %%
nothing = importance(rng.normal(size=images.shape), rng.normal(size=captions.shape))
plt.semilogy(np.sort(found)[::-1], label="CLIP")
plt.semilogy(np.sort(nothing)[::-1], label="Gaussian")
plt.xlabel("direction, by importance")
plt.ylabel("importance")
plt.legend()

# %% [markdown]
# **Is the first direction just the mean caption?** The rows of a head resemble each other if they
# have a common part. How close is the first direction to it? The sign of a singular vector means
# nothing. Exercise directions-3 adds a common part.


# %%
def alike(a, b):
    """How much two vectors have the same direction or the opposite one: 0 to 1."""
    #:[ the absolute cosine
    return abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    #:]


#: check_blanks.check(alike)
mean_caption = captions.mean(axis=0)
with_mean = alike(np.linalg.svd(captions)[2][0], mean_caption)
print(f"|cos| with the mean caption: {with_mean:.3f}")

# %% [markdown]
# **Does a prediction need it?** Subtract the mean caption from every row of the head. For one image
# all scores fall by the same number, so the same class wins. What is the largest importance now?
# Exercise directions-4 asks why.


# %%
def less_common(head):
    """The head without what all its rows have in common: (classes, d) → (classes, d)."""
    #:[ subtract the mean row from every row
    return head - head.mean(axis=0)
    #:]


#: check_blanks.check(less_common)
centred = less_common(captions)
same = (images @ centred.T).argmax(axis=1) == (images @ captions.T).argmax(axis=1)
less = importance(images, centred)
ratio_centred = less.max() / less.mean()
print(f"{same.mean():.0%} of the predictions stay; now {ratio_centred:.0f} times the mean")

# %% [markdown]
# **In one sentence:** what has to be compared before a large importance means something?
#
# *Write here.*
