# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Effective robustness from a table of accuracies
#
# This notebook needs NumPy, matplotlib, and the file `accuracies.csv` in the same folder: published
# accuracies (fractions) of ordinary models (`pool`), of zero-shot CLIP models, and of CLIP models
# that were finetuned on ImageNet. Each cell asks one question: answer it for yourself, then run the
# cell.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

#: import check_blanks

table = np.genfromtxt("accuracies.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
shifts = ["imagenet_v2", "imagenet_r", "imagenet_sketch", "objectnet", "imagenet_a"]
imagenet = table["imagenet"]
shifted = np.mean([table[name] for name in shifts], axis=0)
pool, zero_shot, finetuned = (table["group"] == g for g in ("pool", "zero_shot", "finetuned"))

# %% [markdown]
# **How does accuracy under shift depend on accuracy on ImageNet?** Plot one against the other. Is
# it a line? Then plot both as logits, ln(a / (1 - a)), and look again.


# %%
def logit(a):
    """Log-odds of an accuracy between 0 and 1."""
    #:[ the natural logarithm of the odds
    return np.log(a / (1 - a))
    #:]


#: check_blanks.check(logit)
figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for axis, scale in zip(axes, (lambda a: a, logit), strict=True):
    for group, name in ((pool, "pool"), (finetuned, "finetuned"), (zero_shot, "zero-shot")):
        axis.scatter(scale(imagenet[group]), scale(shifted[group]), s=8, label=name)
axes[0].set(xlabel="ImageNet", ylabel="mean of five shifts", title="accuracy")
axes[1].set(xlabel="ImageNet", title="logit of accuracy")
axes[0].legend()

# %% [markdown]
# **What does ImageNet accuracy alone predict?** Fit a straight line to the logits of the ordinary
# models. The paper prints a slope of 0.76 and an intercept of -1.49. How close do you get? (Numbers
# for ImageNet-V2 are for its matched-frequency variant, the only one published for CLIP.)
# Exercise robustness-2 uses the printed line.

# %%
slope, intercept = np.polyfit(logit(imagenet[pool]), logit(shifted[pool]), 1)
print(f"{pool.sum()} models: slope {slope:.3f}, intercept {intercept:.3f}")

# %% [markdown]
# **Which models are above the line?** Effective robustness is the accuracy under shift minus what
# the line predicts at the model's ImageNet accuracy. Exercise robustness-4 asks for one model.


# %%
def effective_robustness(shifted, imagenet, slope, intercept):
    """Accuracy under shift minus what the line predicts, as a fraction."""
    #:[ predict the logit under shift, turn it into an accuracy, and compare
    predicted = slope * logit(imagenet) + intercept
    return shifted - 1 / (1 + np.exp(-predicted))
    #:]


#: check_blanks.check(effective_robustness)
er = effective_robustness(shifted, imagenet, slope, intercept)
for name, group in (("pool", pool), ("zero-shot", zero_shot), ("finetuned", finetuned)):
    low, middle, high = 100 * np.percentile(er[group], [5, 50, 95])
    print(f"{name}: median {middle:+.1f} points, 90 % of the models from {low:+.1f} to {high:+.1f}")

# %% [markdown]
# **Does the line matter?** Compute everything again with the constants that the paper prints. Does
# the *level* of effective robustness change? And the *order* of the models?


# %%
def rank_correlation(a, b):
    """The correlation of the ranks of two lists of numbers, in which none is equal to another."""
    #:[ replace numbers by their ranks, then correlate the ranks
    return np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1]
    #:]


#: check_blanks.check(rank_correlation)
printed = effective_robustness(shifted, imagenet, 0.76, -1.49)
moved = 100 * (printed - er)
print(f"ER changes by {moved.min():+.1f} to {moved.max():+.1f} points")
order = rank_correlation(er[zero_shot], printed[zero_shot])
print(f"rank correlation of the zero-shot models: {order:.3f}")

# %% [markdown]
# **In one sentence:** which part of a statement on robustness depends on the pool, and which does
# not?
#
# *Write here.*
