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


#: frame = np.array([[0.6, 0.8, 0], [-0.48, 0.36, 0.8], [0.64, -0.48, 0.6]])  # the directions
#: along = np.array([[0, 2.0, 0], [0, 3, -4], [-2, 1, 2], [2, 3, -6]])  # images in this frame
#: classes = np.vstack([np.diag([5.0, 4, 1]), [0, 0, 0], [0, 0, 0]])
#: value = importance(along @ frame, classes @ frame)
#: assert np.shape(value) == (3,), "One number for each direction: average over images, axis 0."
#: cosines = along / np.array([[2], [5], [3], [7]])  # of the images and the directions
#: weight, mean = np.array([5, 4, 1]) / 10, np.abs(cosines).mean(axis=0)
#: for wrong, why in (
#:     (weight * cosines.mean(axis=0), "Take np.abs of each cosine before you average."),
#:     (weight * abs(cosines.mean(axis=0)), "Take np.abs of each cosine before you average."),
#:     (weight * np.abs(along).mean(axis=0), "Scale each image to length 1, over axis 1."),
#:     (np.array([25, 16, 1]) / 42 * mean, "A share of the singular values, not of their squares."),
#:     (np.array([5, 4, 1]) * mean, "A share: divide the singular values by their sum."),
#:     (np.array([1, 0.8, 0.2]) * mean, "Divide by the sum of the singular values."),
#:     (weight * (cosines**2).mean(axis=0), "The absolute cosine, not its square."),
#:     (weight + mean, "A product of the two shares, not a sum."),
#:     (np.sort(weight * mean)[::-1], "In the order of the directions: do not sort."),
#:     (mean, "Multiply by each singular value's share."),
#:     (weight, "Multiply by the mean absolute cosine."),
#: ):
#:     assert not np.allclose(value, wrong), why
#: rows = "The directions are the rows of what svd returns last: one share for each of them."
#: assert np.allclose(value, weight * mean), rows
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


#: one, other = np.array([3.0, 4]), np.array([5.0, -12])  # lengths 5 and 13, product -33
#: value = alike(one, other)
#: for wrong, why in (
#:     (-33 / 65, "Take the absolute value: a direction has no sign."),
#:     (63 / 65, "The absolute value of the sum of products, not of each."),
#:     (33, "Divide by both lengths."),
#:     (33 / 5, "Divide by both lengths, not only by the first."),
#:     (33 / 13, "Divide by both lengths, not only by the second."),
#:     (33 / 18, "Divide by the product of the lengths, not by their sum."),
#:     ((33 / 65) ** 2, "The cosine, not its square."),
#:     (33 / 4225, "Lengths are roots of sums of squares."),
#:     (33 / 119, "Lengths are roots of sums of squares, not sums of sizes."),
#:     (33 / 5 * 13, "Brackets: divide by the product of the lengths."),
#:     (33 / np.sqrt(65), "The product of the lengths, without another root."),
#:     (32 / 65, "The likeness itself, not 1 minus it."),
#:     (np.sqrt(260), "The cosine of the angle, not the distance."),
#:     (np.arccos(-33 / 65), "The cosine, not the angle."),
#:     (1, "The cosine, not the correlation: subtract no mean."),
#: ):
#:     assert not np.isclose(value, wrong), why
#: assert np.isclose(value, 33 / 65), "The product over both lengths, without its sign."
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


#: head = np.array([[1.0, 5, 0], [3, 5, 4], [8, 2, 5]])  # the mean row is 4 4 3
#: value = less_common(head)
#: assert np.shape(value) == (3, 3), "As many rows and columns as before."
#: for wrong, why in (
#:     (head - head.mean(axis=1, keepdims=True), "The mean over the rows: axis 0, not axis 1."),
#:     (head - head.mean(), "A mean for each column, not of all numbers."),
#:     (head - head[0], "The mean row, not the first."),
#:     (head - head.sum(axis=0), "The mean row, not the sum of the rows."),
#:     (head + head.mean(axis=0), "Subtract it, do not add it."),
#:     (head / head.mean(axis=0), "Subtract it, do not divide by it."),
#:     (head.mean(axis=0) - head, "Each row minus the mean, not the mean minus each row."),
#:     (head - np.median(head, axis=0), "The mean row, not the median."),
#:     (head - head.max(axis=0), "The mean row, not the largest numbers."),
#:     (head - head.mean(axis=0) / np.sqrt(41), "The mean row as it is, not scaled to length 1."),
#:     ((head - head.mean(axis=0)) / head.std(axis=0), "Subtract, and divide by nothing."),
#:     ((head - head.mean(axis=0)) / head.std(), "Subtract, and divide by nothing."),
#:     (head, "Nothing was subtracted."),
#: ):
#:     assert not np.allclose(value, wrong), why
#: rest = [[-3, 1, -3], [-1, 1, 1], [4, -2, 2]]
#: assert np.allclose(value, rest), "Subtract the mean row from each row, and do no more."
centred = less_common(captions)
same = (images @ centred.T).argmax(axis=1) == (images @ captions.T).argmax(axis=1)
less = importance(images, centred)
ratio_centred = less.max() / less.mean()
print(f"{same.mean():.0%} of the predictions stay; now {ratio_centred:.0f} times the mean")

# %% [markdown]
# **In one sentence:** what has to be compared before a large importance means something?
#
# *Write here.*
