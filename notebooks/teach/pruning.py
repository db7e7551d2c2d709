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
# Needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500 photographs of COCO
# and a caption of each, as CLIP ViT-B/16 of OpenAI sees them. Each photograph is to find its own
# caption among 500. One question per cell: answer it for yourself, then run the cell.

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
whole = ((images @ captions.T).argmax(axis=1) == right).mean()
print(f"{whole:.1%} of the images find their caption; by chance {1 / len(images):.1%}")

# %% [markdown]
# **How many directions does it need?** Keep the first k of some order, add one after the other, and
# count. Each direction adds what an image has along it, times what it gives to each class.


# %%
def pruning_curve(order):
    """Accuracy with the first 1, 2, … directions of an order kept."""
    scores, accuracy = np.zeros((len(images), len(captions))), []
    for i in order:
        scores += np.outer(images @ directions[i], weights[i] * left[:, i])
        accuracy.append((scores.argmax(axis=1) == right).mean())
    return np.array(accuracy)


unit = images / np.linalg.norm(images, axis=1, keepdims=True)
importance = weights / weights.sum() * np.abs(unit @ directions.T).mean(axis=0)
curve = pruning_curve(np.argsort(-importance))

# %% [markdown]
# **Is importance a good order?** Compare it with chance, and with the order of the weights, which
# knows nothing of the images.

# %%
by_weight = pruning_curve(np.arange(len(weights)))
at_random = pruning_curve(np.random.default_rng(0).permutation(len(weights)))
for values, name in ((curve, "importance"), (by_weight, "weight"), (at_random, "random")):
    plt.plot(np.arange(1, len(values) + 1), values, label=name)
plt.xlabel("directions kept")
plt.ylabel("accuracy")
plt.legend()

# %% [markdown]
# **What does it cost to prune four fifths?** Count images, not only percent: how many fewer find
# their caption?

# %%
kept = len(weights) // 5
cost = whole - curve[kept - 1]
print(
    f"{kept} of {len(weights)} directions: {cost * len(images):.0f} of {len(images)} images fewer"
)

# %% [markdown]
# **Is the most important direction the one that hurts most?** Leave out one alone.

# %%
top = np.argmax(importance)
without = captions - weights[top] * np.outer(left[:, top], directions[top])
accuracy_without = ((images @ without.T).argmax(axis=1) == right).mean()
print(f"without the most important direction: {accuracy_without:.1%}, with all: {whole:.1%}")
