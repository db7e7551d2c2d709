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
# Needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500 photographs of COCO
# and a caption of each, as CLIP ViT-B/16 of OpenAI sees them. The captions are the head: each is a
# class of one image. One question per cell: answer it for yourself, then run the cell.

# %%
import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images, captions = file["images"].astype(float), file["captions"].astype(float)
rng = np.random.default_rng(0)

# %% [markdown]
# **Which directions does the head read, and where do the images lie?** Importance is a product of
# two shares: of the head's weight, and of the cosine between direction and image.


# %%
def importance(h, head):
    """By right singular vector: (images, d), (classes, d) → (rank,)."""
    _, weights, directions = np.linalg.svd(head, full_matrices=False)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    return weights / weights.sum() * np.abs(unit @ directions.T).mean(axis=0)


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
# **Is the first direction just the mean caption?** Rows of a head that resemble each other have a
# common part, and the first direction follows it. How well?

# %%
first = np.linalg.svd(captions)[2][0]
mean_caption = captions.mean(axis=0)
with_mean = abs(first @ mean_caption) / np.linalg.norm(mean_caption)
print(f"|cos| with the mean caption: {with_mean:.3f}")

# %% [markdown]
# **Does a prediction need it?** Subtract the mean caption from every row of the head. For one image
# all scores fall by the same number, so the same class wins. And the importance?

# %%
centred = captions - mean_caption
same = (images @ centred.T).argmax(axis=1) == (images @ captions.T).argmax(axis=1)
less = importance(images, centred)
ratio_centred = less.max() / less.mean()
print(f"{same.mean():.0%} of the predictions stay; now {ratio_centred:.0f} times the mean")
