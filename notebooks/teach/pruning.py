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
import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images, captions = file["images"].astype(float), file["captions"].astype(float)
left, weights, directions = np.linalg.svd(captions, full_matrices=False)
right = np.arange(len(images))  # caption i belongs to image i

# %% [markdown]
# **How good is the whole head?** The class of an image is the caption with the largest score.

# %%
whole = ((images @ captions.T).argmax(axis=1) == right).mean()  #: share of right classes
#: assert whole == 0.552, "Compare the caption with the largest score with `right`."
print(f"{whole:.1%} of the images find their caption; by chance {1 / len(images):.1%}")

# %% [markdown]
# **How many directions does it need?** Keep the first k directions of an order, add one after the
# other, and count. Each direction adds the image's component along it, times the direction's
# contribution to each class. Exercise pruning-3 asks this of a miniature.


# %%
def pruning_curve(order):
    """Accuracy with the first 1, 2, … directions of an order kept."""
    scores, accuracy = np.zeros((len(images), len(captions))), []
    for i in order:
        scores += np.outer(images @ directions[i], weights[i] * left[:, i])  #: add direction i
        accuracy.append((scores.argmax(axis=1) == right).mean())
    return np.array(accuracy)


#: assert pruning_curve(range(500))[-1] == whole, "With all directions nothing is lost."
unit = images / np.linalg.norm(images, axis=1, keepdims=True)
importance = weights / weights.sum() * np.abs(unit @ directions.T).mean(axis=0)
curve = pruning_curve(np.argsort(-importance))

# %% [markdown]
# **Is importance a good order?** Compare it with a random order, and with the order of the singular
# values, which ignores the images. Exercise pruning-4 does the same.

# %%
by_weight = pruning_curve(np.arange(len(weights)))
at_random = pruning_curve(np.random.default_rng(0).permutation(len(weights)))
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
cost = whole - curve[kept - 1]  #: accuracy lost with that many directions kept
#: assert abs(cost * 500 - 37) < 0.5, "The curve's first number is for one direction."
print(f"{kept} of {len(weights)} directions: {cost * len(images):.0f} images fewer")

# %% [markdown]
# **Does the loss of the most important direction hurt most?** Leave out this direction alone.
# Exercise pruning-5 has a miniature in which it does not.

# %%
top = np.argmax(importance)
without = captions - weights[top] * np.outer(left[:, top], directions[top])
accuracy_without = ((images @ without.T).argmax(axis=1) == right).mean()  #: accuracy without it
#: assert 0.1 < whole - accuracy_without < 0.11, "Use the head without this direction."
print(f"without the most important direction: {accuracy_without:.1%}, with all: {whole:.1%}")
