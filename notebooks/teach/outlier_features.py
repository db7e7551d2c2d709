# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Outlier features: κ in six lines
#
# This notebook needs NumPy, matplotlib, and two files in the same folder. `embeddings.npz` has 500
# photographs of COCO as OpenAI's CLIP ViT-B/16 represents them, 512 numbers for each.
# `controls.npz` has the same photographs in the same architecture with random weights, and 14 other
# photographs in a supervised EfficientNet-Lite0, which ends in a ReLU. Each cell asks one question:
# answer it for yourself, then run the cell.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

images = np.load("embeddings.npz")["images"].astype(float)
with np.load("controls.npz") as file:
    untrained, supervised = file["random"].astype(float), file["supervised"].astype(float)
rng = np.random.default_rng(0)
gaussian = rng.normal(size=images.shape)

# %% [markdown]
# **How concentrated is a vector?** Standardise the numbers of *one* image, and average their fourth
# powers; then average over images. A Gaussian has about 3. What value does CLIP have, and what do
# the two controls have? Exercise outlier-2 does this with Gaussian numbers.


# %%
def kurtosis(h):
    """Mean over images of the kurtosis of each: (images, d) → a number."""
    #:[ standardise the numbers of each image, average their fourth powers, then average over images
    centred = h - h.mean(axis=1, keepdims=True)
    z = centred / centred.std(axis=1, keepdims=True)
    return (z**4).mean(axis=1).mean()
    #:]


#: spike = np.zeros((2, 10))
#: spike[:, 3] = -7, 7
#: exact = 8 + 1 / 9  # of ten numbers of which one is not 0
#: value, scaled, moved = kurtosis(spike), kurtosis(3 * spike), kurtosis(spike + 5)
#: three = np.array([[1.0, -1, 1, -1], [0, 0, 0, 5], [2, 6, 2, 6]])
#: some = kurtosis(three)  # its κ are 1, 7/3 and 1
#: assert np.isfinite(value) and np.ndim(value) == 0, "kurtosis has to return one number."
#: assert not np.isclose(value, exact - 3), "Do not subtract 3: that is the excess kurtosis."
#: assert np.isclose(moved, value), "Subtract each image's own mean, over axis 1."
#: assert np.isclose(scaled, value), "Divide by the standard deviation: the scale must not matter."
#: assert not np.isclose(value, 1), "The fourth power, not the square: squares average to 1."
#: assert not np.isclose(value, exact * 0.81), "np.std as it is, which divides by the number, 10."
#: assert np.isclose(value, exact), "Standardise over axis 1, then take the mean of fourth powers."
#: assert not np.isclose(some, 1), "The mean over images, not the median."
#: assert np.isclose(some, 13 / 9), "First κ of each image, by its own mean and standard deviation."
kappa = kurtosis(images)
print(f"κ: CLIP {kappa:.1f}, Gaussian {kurtosis(gaussian):.2f}")
print(f"random weights {kurtosis(untrained):.2f}, supervised {kurtosis(supervised):.1f}")

# %% [markdown]
# **Is it always the same coordinate?** A vector may be sparse, with its large numbers elsewhere in
# each image. Find the dominant coordinate of each image, the one farthest from the image's mean,
# and count. Which of the two controls has a raised κ without a dominant coordinate? Exercise
# outlier-5 asks the same of Gaussian numbers.


# %%
def persistence(h):
    """The most frequent dominant coordinate, and the share of images in which it is dominant."""
    #:[ find each image's coordinate that is farthest from the image's mean, and count
    dominant = np.abs(h - h.mean(axis=1, keepdims=True)).argmax(axis=1)
    counts = np.bincount(dominant, minlength=h.shape[1])
    return counts.argmax(), counts.max() / len(h)
    #:]


#: seven = [[2, -4, 5, 3, 5], [2, -4, -4, 6, 1], [9, -4, 0, 6, 5], [7, 6, 4, -5, 4]]
#: seven = np.array([*seven, [-7, -5, 4, -9, -8], [-6, 2, -3, 3, -6], [-4, 6, 8, -7, 1]]) * 1.0
#: most, often = persistence(seven)  # farthest from their means: coordinates 1 3 1 3 2 3 3
#: assert most in (1, 2, 3), "The number of the coordinate that wins most often, counted from 0."
#: assert most == 3, "Subtract each image's own mean, axis 1, take np.abs, then argmax over axis 1."
#: others = [[3, -1, -1, -1], [-3, 1, 1, 1], [0, 3, -1, -2], [0, -1, 3, -2], [-10, -20, 0, 30]]
#: again = persistence(np.array(others) * 1.0)  # coordinates 0 0 1 2 3
#: assert again[0] == 0, "Count how often each coordinate wins; the size of a win does not matter."
#: assert np.isclose(often, 4 / 7), "It dominates 4 of 7 images: divide by the number of images."
leader, share = persistence(images)
print(f"coordinate {leader} is dominant in {share:.1%} of the images")
for name, h in (("Gaussian", gaussian), ("random", untrained), ("supervised", supervised)):
    print(f"{name}: {persistence(h)[1]:.1%}")

# %% [markdown]
# **What does it look like?** Plot the mean size of each coordinate, for CLIP and for random
# weights.

# %%
for name, h in (("CLIP", images), ("random weights", untrained)):
    plt.plot(np.abs(h).mean(axis=0), label=name)
plt.xlabel("coordinate")
plt.ylabel("mean size")
plt.legend()

# %% [markdown]
# **Does κ depend on the axes?** Rotate all vectors by one random rotation. Distances and angles
# stay the same, and so does every prediction if the head is rotated as well. Does κ stay the same?
# Exercise outlier-6 asks this of Gaussian numbers.

# %%
rotation = np.linalg.qr(rng.normal(size=(images.shape[1],) * 2))[0]
kappa_turned = kurtosis(images @ rotation)
print(f"κ {kappa:.1f} before, {kappa_turned:.2f} after the rotation")

# %% [markdown]
# **Does the outlier belong to the images or to their mean?** Subtract the mean of all images; the
# rest differs from image to image. Which share of the vectors' energy, the sum of their squares,
# was in the mean?


# %%
def share_of_mean(h):
    """Energy of the mean image / mean energy of the images: (images, d) → a number."""
    #:[ the sum of squares of the mean image, divided by the mean over images of such sums
    return (h.mean(axis=0) ** 2).sum() / (h**2).sum(axis=1).mean()
    #:]


#: three = np.array([[-6.0, 8], [6, 0], [3, 4]])  # their mean is (1, 4); their energies 100, 36, 25
#: value = share_of_mean(three)
#: for wrong, why in (
#:     (17 / 161, "The mean energy of the images, not its sum: divide by their number."),
#:     (25.5 / 161, "Sum the mean image's squares, do not average them."),
#:     (17, "Divide by the mean energy of the images."),
#:     (110 / 161, "A share, not what is left of it."),
#:     (np.sqrt(51 / 161), "Energy is a sum of squares, without a root."),
#:     (75 / 161, "Square the mean image before you sum."),
#:     (5 / 9, "Squares, not absolute values."),
#:     (17 * 9 / 441, "The mean of the energies, not the square of the mean length."),
#:     (17 / 7, "The mean of the energies, which are squares of the lengths."),
#:     (np.sqrt(17) / 7, "Energy is a sum of squares, without a root."),
#:     (17 / 80.5, "The energy of one image is a sum over axis 1."),
#:     (0.17, "The mean energy of the images, not the largest."),
#:     (48 / 161, "Sum the mean image's squares, do not take the largest."),
#:     (66.75 / 161, "The mean over images is over axis 0."),
#:     (51 / 110, "Divide by the images' energy: subtract no mean there."),
#:     (89 / 225, "Average the images as they are, not scaled to length 1."),
#: ):
#:     assert not np.isclose(value, wrong), why
#: whole = np.isclose(value, 51 / 161)
#: assert whole, "The mean image is over axis 0; sum its squares; then the mean of such sums."
kappa_centred, mean_share = kurtosis(images - images.mean(axis=0)), share_of_mean(images)
print(f"κ {kappa_centred:.1f} without the mean, which holds {mean_share:.0%} of the energy")

# %% [markdown]
# **In one sentence:** what does a large κ tell about this model's images, and what does it not?
#
# *Write here.*
