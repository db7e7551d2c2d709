# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [outlier_features, privileged_directions]
#     reads:
#     - notebooks/teach/embeddings.npz
# ---

# %% [markdown]
# # Privileged directions over all families
#
# All that was measured, live or recorded. The page {doc}`/privileged_directions` shows these
# results and explains them; the families' pages compute importance from a head and features.

# %% tags=["parameters"]
edition: str = "paper"  # which families
threshold: float = 10.0  # times the mean importance: from there a direction is privileged

# %%
import numpy as np
import pandas as pd

from companion.publish import charts, dots, overview, style, words
from companion.publish.style import digits

found = overview.known("privileged_directions", edition, "reader")
example = overview.example(found)
style.text("coverage", overview.coverage(found, edition, "reader"))

# %% [markdown]
# ## Importance of every direction

# %%
counts = example[0].counts
clip, control = (overview.of_level(level, example) for level in ("zero_shot", "random"))
largest = digits(clip.value("importance").max())
style.figure(
    "importance",
    charts.importance(overview.titled(example), threshold),
    words.kind(example),
    f"""CLIP's most important direction has {largest} times the mean importance (the paper's
    Figure 2, with captions as the head). Dashed: the mean-centred head, which predicts the same;
    dotted: {threshold:g} times the mean.""",
    more=f"The head has {counts['classes']} captions in place of ImageNet's classes.",
)

# %%
rows = pd.DataFrame(
    {"model": overview.title(m, data=m not in example)}
    | words.top_direction(m)
    | {"sd": f"{m.value('top_cosine_deviation'):.3f}"}
    for m in found
)
style.table(
    "directions", rows, words.kind(found),
    """The most important direction v: its importance over the mean, for the head as it is and for
    the mean-centred head, and what else v lies along.""",
    more=f"""Cos: |cos| of v with images, mean over images (a random direction has about
    {np.sqrt(2 / (np.pi * counts["components"])):.3f} in {counts["components"]} components); with
    the mean image, the head's mean row, and the modality gap between them. In leader: share of v's
    squared length in the dominant coordinate (in brackets). Sd: standard deviation of the cosine
    over images.""",
)  # fmt: skip

# %% [markdown]
# ## What images and head share
#
# The figure shows where the example's embeddings, those of the teaching notebooks, lie along the
# first two directions of the head that the captions make.

# %%
with np.load("notebooks/teach/embeddings.npz") as file:
    at_length_one = {
        name: h / np.linalg.norm(h, axis=1, keepdims=True)
        for name, h in {n: file[n].astype(float) for n in ("images", "captions")}.items()
    }
v = np.linalg.svd(at_length_one["captions"], full_matrices=False)[2][:2]
v *= np.sign(at_length_one["captions"].mean(axis=0) @ v.T)[:, None]  # captions on the right
looks = {"images": "zero_shot", "captions": "captions"}
style.figure(
    "cone",
    dots.clouds(
        {name: (looks[name], h @ v.T) for name, h in at_length_one.items()},
        ("component in the first direction", "in the second"),
    ),
    "recorded",
    """Images and captions, scaled to length 1, in the plane of the head's first two directions.
    Arrows point from the origin to the two means; the modality gap lies between their ends.""",
)

# %% [markdown]
# ## The example and its control

# %%
style.text("importance-largest", largest)
style.text("importance-centred", digits(clip.value("importance_head_centred")[0]))
style.text("with-head-mean", f"{clip.value('top_with_head_mean'):.3f}")
style.text("with-gap", f"{clip.value('top_with_gap'):.3f}")
style.text("varies", overview.varying(clip))
style.text("leader-in-top", overview.leader_in_top(clip))
style.text("control", overview.privileged_control(control, threshold))
