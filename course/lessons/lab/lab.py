# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The lab without a clone
#
# This notebook is the measuring part of both sessions of the lab sheet, with NumPy alone. It needs
# four files in the same folder: `pocket_accuracies.csv` has the accuracies of all small models and
# seeds, `lab.npz` features and head of the six models of the CNN (seed 0) on the test emoji in the
# training style, `embeddings.npz` 500 photographs as CLIP represents them, and `controls.npz` two
# controls. Write down your predictions first.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import numpy as np

#: import check_blanks

rows = np.loadtxt("pocket_accuracies.csv", str, delimiter=",", skiprows=1)
model, seed, split, role = rows[:, [0, 3, 5, 6]].T
every = {(m, s): f for m, f, s in rows[:, [0, 1, 3]].tolist()}  # model and seed → family
accuracy = rows[:, 8].astype(float)


def mean_of(whose, number, which):
    """Mean test accuracy of a model and seed over the styles of a role: imagenet, seen, unseen."""
    chosen = (model == whose) & (seed == number) & (split == "test") & (role == which)
    return accuracy[chosen].mean()


# %% [markdown]
# **Session 1: who keeps accuracy?** Fit a line to the models of the pool, logit against logit, and
# subtract what it predicts. For how many seeds does your order of the levels hold? Then take `seen`
# in place of `unseen`.


# %%
def fitted(x, y):
    """Slope and intercept of the line through the logits of accuracies x and y."""
    #:[ turn both into logits, and fit a straight line
    slope, intercept = np.polyfit(np.log(x / (1 - x)), np.log(y / (1 - y)), 1)
    return slope, intercept
    #:]


def effective_robustness(x, y, slope, intercept):
    """What an accuracy y under shift is above the line at x without shift: in points."""
    #:[ predict an accuracy, not a logit; the difference in points
    logits = slope * np.log(x / (1 - x)) + intercept
    return 100 * (y - 1 / (1 + np.exp(-logits)))
    #:]


#: check_blanks.check(fitted)
#: check_blanks.check(effective_robustness, "effective_robustness_in_points")
for unseen in ("unseen", "seen"):
    pool = [one for one in every if every[one] == "pool"]
    x, y = (np.array([mean_of(m, s, part) for m, s in pool]) for part in ("imagenet", unseen))
    line = fitted(x, y)
    print(f"{unseen}: slope {line[0]:.2f}, intercept {line[1]:.2f}")
    for m, s in (one for one in every if every[one] == "pocket_cnn"):
        er = effective_robustness(mean_of(m, s, "imagenet"), mean_of(m, s, unseen), *line)
        print(f"{m}, seed {s}: {er:.1f} points")

# %% [markdown]
# **Session 2: what differs inside?** Begin with the photographs: κ, and the share of images in
# which the same coordinate is dominant, before and after a rotation. Which control has a raised κ,
# and why is that no outlier feature?


# %%
def kurtosis_and_share(h):
    """Mean κ of the vectors, and how often the most frequent dominant coordinate is dominant."""
    #:[ standardise each vector; the mean of fourth powers; the largest count over the images
    z = (h - h.mean(axis=1, keepdims=True)) / h.std(axis=1, keepdims=True)
    return (z**4).mean(), np.bincount(np.abs(z).argmax(axis=1)).max() / len(h)
    #:]


#: check_blanks.check(kurtosis_and_share)
images = np.load("embeddings.npz")["images"].astype(float)
turn = np.linalg.qr(np.random.default_rng(0).normal(size=(512, 512)))[0]
for name, h in {"CLIP": images, "rotated": images @ turn, **np.load("controls.npz")}.items():
    print("{}: κ {:.2f}, the same coordinate in {:.1%}".format(
        name, *kurtosis_and_share(h.astype(float))))  # fmt: skip

# %% [markdown]
# **And in the six small models?** Add the importance of the most important direction as a multiple
# of the mean, also with a mean-centred head. Rotate features and head together: which of the
# numbers change?


# %%
def importance(h, head):
    """Largest importance of a direction of the head, over the mean of all: a number."""
    #:[ singular values and directions; mean absolute cosine with the images; their product
    s, v = np.linalg.svd(head, full_matrices=False)[1:]
    cosines = h @ v.T / np.linalg.norm(h, axis=1, keepdims=True)
    found = s / s.sum() * np.abs(cosines).mean(axis=0)
    return found.max() / found.mean()
    #:]


#: check_blanks.check(importance, "importance_over_mean")
with np.load("lab.npz") as file:
    lab = {name: file[name].astype(float) for name in file.files}
turn = np.linalg.qr(np.random.default_rng(0).normal(size=(128, 128)))[0]
for name in sorted({name.split()[0] for name in lab}):
    h, head = lab[f"{name} features"], lab[f"{name} head"]
    kappa, share = kurtosis_and_share(h)
    print(f"{name}: κ {kappa:.2f}, the same coordinate in {share:.0%}")
    largest, centred = importance(h, head), importance(h, head - head.mean(axis=0))
    print(f"  importance {largest:.1f} times the mean, {centred:.1f} with a mean-centred head")
    turned = kurtosis_and_share(h @ turn)[0], importance(h @ turn, head @ turn)
    print("  rotated: κ {:.2f}, importance {:.1f}".format(*turned))

# %% [markdown]
# **In one sentence:** which of your predictions was farthest off, and why?
#
# *Write here.*
