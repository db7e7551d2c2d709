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

#: import check_blanks

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


#: check_blanks.check(crest)
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


#: check_blanks.check(quantised)
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
