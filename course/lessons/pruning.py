# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pruning a head, direction by direction
#
# This notebook needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500
# photographs of COCO and a caption of each, as OpenAI's CLIP ViT-B/16 represents them. Each
# photograph has to find its own caption among 500. Each cell asks one question: answer it for
# yourself, then run the cell.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

#: import check_blanks

with np.load("embeddings.npz") as file:
    images, captions = file["images"].astype(float), file["captions"].astype(float)
right = np.arange(len(images))  # caption i belongs to image i

# %% [markdown]
# **How good is the whole head?** The class of an image is the caption with the largest score.


# %%
def accuracy(h, head, classes):
    """How often the class with the largest score is right: (images, d), (classes, d) → a share."""
    #:[ scores are products of images and rows of the head
    return ((h @ head.T).argmax(axis=1) == classes).mean()
    #:]


#: check_blanks.check(accuracy)
whole = accuracy(images, captions, right)
print(f"{whole:.1%} of the images find their caption; by chance {1 / len(images):.1%}")

# %% [markdown]
# **How many directions does it need?** Keep the first k directions of an order, add one after the
# other, and count. Each direction adds the image's component along it, times the direction's
# contribution to each class. Exercise pruning-3 asks this of a miniature.


# %%
def pruning_curve(h, head, classes, order):
    """Accuracy with the first 1, 2, … directions of an order kept: → (len(order),)."""
    left, weights, directions = np.linalg.svd(head, full_matrices=False)
    #:[ from scores of zero on, add one direction's part after the other, and count each time
    scores, curve = np.zeros((len(h), len(head))), []
    for i in order:
        scores += np.outer(h @ directions[i], weights[i] * left[:, i])
        curve.append((scores.argmax(axis=1) == classes).mean())
    return np.array(curve)
    #:]


#: check_blanks.check(pruning_curve)
left, weights, directions = np.linalg.svd(captions, full_matrices=False)
unit = images / np.linalg.norm(images, axis=1, keepdims=True)
importance = weights / weights.sum() * np.abs(unit @ directions.T).mean(axis=0)
curve = pruning_curve(images, captions, right, np.argsort(-importance))

# %% [markdown]
# **Is importance a good order?** Compare it with a random order, and with the order of the singular
# values, which ignores the images. Exercise pruning-4 does the same.

# %%
by_weight = pruning_curve(images, captions, right, np.arange(len(weights)))
drawn = np.random.default_rng(0).permutation(len(weights))
at_random = pruning_curve(images, captions, right, drawn)
for values, name in ((curve, "importance"), (by_weight, "weight"), (at_random, "random")):
    plt.plot(np.arange(1, len(values) + 1), values, label=name)
plt.xlabel("directions kept")
plt.ylabel("accuracy")
plt.legend()

# %% [markdown]
# **What does it cost to prune four fifths?** Count images as well as percent: how many fewer images
# find their caption?

# %%
kept = len(weights) // 5
cost = whole - curve[kept - 1]  # the curve's first number is for one direction
print(f"{kept} of {len(weights)} directions: {cost * len(images):.0f} images fewer")

# %% [markdown]
# **Does the loss of the most important direction hurt most?** Leave out this direction alone.
# Exercise pruning-5 has a miniature in which it does not.


# %%
def without(head, number):
    """The head without one of its directions, counted from 0: (classes, d) → (classes, d)."""
    left, weights, directions = np.linalg.svd(head, full_matrices=False)
    #:[ subtract this direction's part of the head, weight × left × right
    return head - weights[number] * np.outer(left[:, number], directions[number])
    #:]


#: check_blanks.check(without)
top = np.argmax(importance)
accuracy_without = accuracy(images, without(captions, top), right)
print(f"without the most important direction: {accuracy_without:.1%}, with all: {whole:.1%}")

# %% [markdown]
# **In one sentence:** what is the difference between an important direction and a needed one?
#
# *Write here.*
