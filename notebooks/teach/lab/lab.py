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


#: back = lambda logits: 1 / (1 + np.exp(-np.array(logits)))
#: slope, intercept = fitted(back([-1.0, 0, 2, 3]), back([-1.5, -1, 0, 0.5]))
#: for wrong, why in (
#:     ((2, 2), "x before y: the line predicts y from x."),
#:     ((-1, 0.5), "Slope first, then intercept."),
#:     ((0.5, -1 / np.log(10)), "np.log, the natural logarithm, not np.log10."),
#:     ((0.5, 1), "The odds are accuracy over error: a / (1 - a)."),
#:     ((0.5, 0), "The intercept is where the line crosses x = 0: here −1."),
#:     ((1, -1.5), "Fit the slope as well: here one half."),
#:     ((3 / 14, 0), "The line need not go through 0: fit an intercept."),
#: ):
#:     assert not np.allclose((slope, intercept), wrong), why
#: assert np.allclose((slope, intercept), (0.5, -1)), "A line through logits, with an intercept."
#: off = fitted(back([-1.0, 0, 2]), back([0.0, 1, 0]))  # these three are on no line
#: assert np.allclose(off, (-1 / 14, 5 / 14)), "The line of least squares through all points."
#: u, w = np.array([0.8, 0.6, 0.5]), np.array([0.5, 0.2, 0.4])
#: value, logit = effective_robustness(u, w, 0.5, -1), np.log(u / (1 - u))
#: for wrong, why in (
#:     (w - back(0.5 * logit - 1), "Points: 100 times the difference of accuracies."),
#:     (100 * (w - u), "Subtract what the line predicts at x, not x."),
#:     (100 * (np.log(w / (1 - w)) - 0.5 * logit + 1), "Turn the prediction into an accuracy."),
#:     (100 * (back(0.5 * logit - 1) - w), "Which minus which? Above the line is +."),
#:     (100 * (w - back(0.5 * u - 1)), "The line needs the logit of x."),
#:     (100 * (w - back(0.5 * logit + 1)), "Add the intercept, do not subtract it."),
#:     (100 * (w - back(0.5 * logit)), "Add the intercept: here −1."),
#:     (100 * (w - back(logit - 1)), "Multiply by the slope: here one half."),
#:     (100 * abs(w - back(0.5 * logit - 1)), "Below the line is −: take no absolute value."),
#: ):
#:     assert not np.allclose(value, wrong), why
#: points = 100 * (w - back(0.5 * logit - 1))
#: assert np.allclose(value, points), "100 (y − the inverse logit of slope × logit + intercept)."
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


#: seven = [[2, -4, 5, 3, 5], [2, -4, -4, 6, 1], [9, -4, 0, 6, 5], [7, 6, 4, -5, 4]]
#: seven = np.array([*seven, [-7, -5, 4, -9, -8], [-6, 2, -3, 3, -6], [-4, 6, 8, -7, 1]]) * 1.0
#: measured, often = kurtosis_and_share(seven)
#: c = [row - row.mean() for row in seven]
#: each = [np.mean(row**4) / np.mean(row**2) ** 2 for row in c]
#: assert not np.isclose(measured, np.mean(each) - 3), "Do not subtract 3: that is excess kurtosis."
#: assert not np.isclose(measured, np.median(each)), "The mean over images, not the median."
#: own = "Standardise each vector, axis 1, by its own mean and std; then average fourth powers."
#: assert np.isclose(measured, np.mean(each)), own
#: assert not np.isclose(often, 4), "A share: divide by the number of images."
#: far = "Farthest from the image's mean, up or down; the largest count over the number of images."
#: assert np.isclose(often, 4 / 7), far
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


#: frame = np.array([[0.6, 0.8, 0], [-0.48, 0.36, 0.8], [0.64, -0.48, 0.6]])  # the directions
#: along = np.array([[0, 2.0, 0], [0, 3, -4], [-2, 1, 2], [2, 3, -6]])  # images in this frame
#: value = importance(along @ frame, np.vstack([np.diag([5.0, 4, 1]), [0, 0, 0]]) @ frame)
#: mean = np.abs(along / np.array([[2], [5], [3], [7]])).mean(axis=0)  # of |cos|
#: some, squared = np.array([5, 4, 1]) * mean, np.array([25, 16, 1]) * mean
#: assert np.ndim(value) == 0, "One number: the largest importance over the mean."
#: for wrong, why in (
#:     (mean.max() / mean.mean(), "Multiply the singular value's share by the mean |cos|."),
#:     (some.max() / 10, "Divide by the mean importance."),
#:     (some.max() / some.sum(), "Divide by the mean importance, not by the sum."),
#:     (squared.max() / squared.mean(), "Singular values, not their squares."),
#: ):
#:     assert not np.isclose(value, wrong), why
#: exact = some.max() / some.mean()
#: assert np.isclose(value, exact), "σ times the mean |cos| of images of length 1."
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
