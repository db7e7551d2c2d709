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
import matplotlib.pyplot as plt
import numpy as np

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
    _, weights, directions = np.linalg.svd(head, full_matrices=False)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    return weights / weights.sum() * np.abs(unit @ directions.T).mean(axis=0)  #: share × |cosine|


#: assert np.allclose(importance(np.eye(2), np.diag([3, 1])), [3 / 8, 1 / 8]), "Multiply."
found = importance(images, captions)
ratio = found.max() / found.mean()  #: the largest importance over the mean
#: assert 100 < ratio < 200, "Divide the largest importance by the mean importance."
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
# have a common part. How close is the first direction to it? Exercise directions-3 adds one.

# %%
first = np.linalg.svd(captions)[2][0]
mean_caption = captions.mean(axis=0)
with_mean = abs(first @ mean_caption) / np.linalg.norm(mean_caption)  #: |cosine| of the two
#: assert 0.9 < with_mean <= 1, "Divide by the length of the mean caption."
print(f"|cos| with the mean caption: {with_mean:.3f}")

# %% [markdown]
# **Does a prediction need it?** Subtract the mean caption from every row of the head. For one image
# all scores fall by the same number, so the same class wins. What is the largest importance now?
# Exercise directions-4 asks why.

# %%
centred = captions - mean_caption
same = (images @ centred.T).argmax(axis=1) == (images @ captions.T).argmax(axis=1)
less = importance(images, centred)
ratio_centred = less.max() / less.mean()  #: the same ratio with the centred head
#: assert 30 < ratio_centred < 45, "Use the importances of the centred head."
print(f"{same.mean():.0%} of the predictions stay; now {ratio_centred:.0f} times the mean")
