# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How many bits do features need?
#
# This notebook needs NumPy, matplotlib, and the file `embeddings.npz` in the same folder: 500
# photographs of COCO and a caption of each, as OpenAI's CLIP ViT-B/16 represents them, 512 numbers
# for each. Each cell asks one question: answer it for yourself, then run the cell.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: on a shared server threads wait
import matplotlib.pyplot as plt
import numpy as np

with np.load("embeddings.npz") as file:
    images, captions = (file[name].astype(float) for name in ("images", "captions"))
rng = np.random.default_rng(0)

# %% [markdown]
# **How tall is the tallest number?** The crest factor of an image is its largest magnitude over the
# root of its mean square. What would Gaussian numbers have?


# %%
def crest(h):
    """Largest magnitude over root mean square, by image: (images, d) → (images,)."""
    #:[ magnitudes and squares of each image, over axis 1
    return np.abs(h).max(axis=1) / np.sqrt((h**2).mean(axis=1))
    #:]


#: value = crest(np.array([[3.0, -4, 0, 0], [0, 0, 0, 7], [1, 3, 3, 1]]))
#: assert np.shape(value) == (3,), "One number for each image: axis 1."
#: for wrong, why in (
#:     ([1.2, 2, 1.342], "Take np.abs before max: the tallest number may be negative."),
#:     ([0.8, 1, 0.671], "The root of the mean square, not of the sum."),
#:     ([0.64, 0.571, 0.6], "The root of the mean square."),
#:     ([2.286, 4, 1.5], "The root mean square, not the mean size."),
#:     ([1.6, 2.309, 3], "The root mean square, not the standard deviation: subtract nothing."),
#:     ([1.569, 2.309, 3], "The root mean square, not the standard deviation: subtract nothing."),
#: ):
#:     assert not np.allclose(value, wrong, atol=2e-3), why
#: exact = [1.6, 2, 3 / np.sqrt(5)]
#: assert np.allclose(value, exact), "np.abs, then max; divide by the root of the mean square."
gaussian = np.abs(rng.normal(size=(500, 512))).max(axis=1).mean()
print(f"{crest(images).mean():.1f}; of Gaussian numbers {gaussian:.1f}")

# %% [markdown]
# **Round to few levels.** With b bits, one image has 2^(b − 1) − 1 steps on each side of zero, and
# the largest magnitude is the last. Exercise bits-2 does this with Gaussian numbers.


# %%
def quantised(h, bits):
    """Each image rounded to multiples of its own step."""
    #:[ the length of a step, image by image; then the nearest multiple of it
    step = np.abs(h).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return step * np.round(h / step)
    #:]


#: some = np.array([[-7, 1.4, 5, -0.8], [0.7, 0.26, 0, -0.14]])
#: four, three, eight = (quantised(some, width) for width in (4, 3, 8))
#: assert np.shape(four) == (2, 4), "As many numbers come back as went in."
#: for wrong, why in (
#:     ([-7, 1, 5, -1], "Multiply the whole numbers by the step again."),
#:     ([-1, 0.1, 0.7, -0.1], "Return multiples of the step in the size of the image."),
#: ):
#:     assert not np.allclose(four[1], np.array(wrong)), why
#: assert np.allclose(four[0], [-7, 1, 5, -1]), "4 bits: 7 steps each way, up to the largest |h|."
#: assert np.allclose(four[1], [0.7, 0.3, 0, -0.1]), "Each image has its own step: to the nearest."
#: assert np.allclose(three[0], [-7, 7 / 3, 14 / 3, 0]), "3 bits: 3 steps, 2**(bits - 1) - 1."
#: step = 0.7 / 127
#: assert np.allclose(eight[1] / step, [127, 47, 0, -25]), "8 bits: 127 steps each way."
zeros = (quantised(images, 4) == 0).mean()
print(f"with 4 bits {zeros:.0%} of the numbers become 0")

# %% [markdown]
# **Which neighbours stay?** For each image, take the ten others with the largest cosine, before and
# after rounding. Guess the share at 8, 6 and 4 bits.


# %%
def nearest(h):
    """The ten nearest other images of each, as a table of yes and no: (images, images)."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    cosines = unit @ unit.T - 9 * np.eye(len(h))  # an image is no neighbour of itself
    return cosines >= np.sort(cosines, axis=1)[:, [-10]]


def kept(h, bits):
    """The share of the ten nearest neighbours that rounding keeps."""
    return (nearest(images) & nearest(quantised(h, bits))).sum() / (10 * len(h))


written = [kept(images, bits) for bits in (8, 6, 4, 3)]
print("as written, 8, 6, 4, 3 bits:", ", ".join(f"{share:.0%}" for share in written))

# %% [markdown]
# **Rotate first.** A random orthogonal matrix changes no cosine between images. What does it change
# here, and why? Exercise bits-4 asks for the error.

# %%
turn = np.linalg.qr(rng.normal(size=(512, 512)))[0]
turned = images @ turn
rotated = [kept(turned, bits) for bits in (8, 6, 4, 3)]
print("rotated, 8, 6, 4, 3 bits:", ", ".join(f"{share:.0%}" for share in rotated))

# %% [markdown]
# **And the task?** How often does an image, rounded to 4 bits, still find its own caption? Rotate
# captions and images alike. Which loses more, neighbours or captions?

# %%
for name, h, texts in (("written", images, captions), ("rotated", turned, captions @ turn)):
    found = [(quantised(h, b) @ texts.T).argmax(axis=1) == np.arange(500) for b in (16, 4, 3)]
    print(f"{name}: " + ", ".join(f"{hit.mean():.1%}" for hit in found) + " with 16, 4 and 3 bits")

# %% [markdown]
# **What does it look like?** Plot both shares against bits. Between which numbers of bits does a
# rotation pay? What would you plot for an encoder with κ near 3?

# %%
plt.plot([8, 6, 4, 3], written, "o-", label="as written")
plt.plot([8, 6, 4, 3], rotated, "o--", label="rotated")
plt.xlabel("bits per number")
plt.ylabel("neighbours kept")
plt.legend()

# %% [markdown]
# **In one sentence:** for whom is a large κ a reason to rotate, and for whom does it not matter?
#
# *Write here.*
