# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [outlier_features, privileged_directions]
#     reads:
#     - data/embeddings.yaml
#     - notebooks/teach/embeddings.npz
# ---

# %% [markdown]
# # Privileged directions over all families
#
# This page collects every importance that was measured, live or recorded.
# {doc}`/privileged_directions` explains these results; the families' pages compute importance from
# a head and features.

# %% tags=["parameters"]
edition: str = "paper"  # which families
threshold: float = 10.0  # times the mean importance: from there a direction is privileged

# %%
import numpy as np

from companion.chapters import figures, measured
from results.page import Page

measurements = measured.of_editions("privileged_directions", edition, "reader")
example = measured.example(measurements)
clip, control = (measured.of_level(level, example) for level in ("zero_shot", "random"))
page = Page("directions_overview", measurements)
page.number(coverage=measured.coverage(measurements, edition, "reader"))

# %% [markdown]
# ## Importance of every direction

# %%
heads = {"ViT-B/16, 500 captions as the head": clip, "The same, random weights": control}
for m in measured.with_imagenets_head(measurements):
    heads[f"{measured.model_title(m)}, ImageNet's head"] = m
exceeds = min(m.value("importance").max() for m in heads.values()) > threshold
page.figure("importance", figures.importance(heads, threshold), heads.values(), holds=exceeds)
first = {title: heads[title] for title in [*heads][:1]}
page.slide("importance", figures.importance(first, threshold), 3)

# %%
rows = measured.frame(measurements, measured.top_direction)
rows["title"] = [measured.full_title(m, data=m not in example) for m in measurements]
page.table("directions", rows, chance=np.sqrt(2 / (np.pi * clip.counts["components"])))

# %% [markdown]
# ## What images and head share
#
# We project the embeddings of the teaching notebooks on the first two directions of the head that
# the captions make.

# %%
with np.load("notebooks/teach/embeddings.npz") as file:
    arrays = [file[name].astype(float) for name in ("images", "captions")]
images, captions = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in arrays)
v = np.linalg.svd(captions, full_matrices=False)[2][:2]
v *= np.sign(captions.mean(axis=0) @ v.T)[:, None]  # captions on the right
clouds = {
    "images": ("zero_shot", images @ v.T),
    "rows of the head (captions)": ("", captions @ v.T),
}
axes = ("component in the head's first direction", "component in its second direction")
drawing = figures.clouds(clouds, axes, "modality gap")
page.figure("cone", drawing, "recorded")
page.slide("cone", drawing, 3.7)

# %% [markdown]
# ## The example and its control

# %%
rows = measured.frame([clip, control], measured.top_direction)
rows["spread_share"] = rows["top_cosine_deviation"] / rows["cosine"]
page.holds(rows["spread_share"][0] < 0.5, "it is mostly common to all images")
page.holds(rows["largest"][1] > threshold, "a large importance alone does not show")
page.numbers("of-example", rows.iloc[0])
page.numbers("of-control", rows.iloc[1])

# %%
parts = clip.value("top_components") ** 2
of_data = measured.of_same_model(clip, "outlier_features")
dominant = {data: int(m.value("persistence_coordinate")) for data, m in of_data.items()}
images, most = dominant[clip.data.name], int(parts.argmax())
captions = next(c for data, c in dominant.items() if "captions" in data)
page.holds(most == captions != images, "which is dominant in captions")
page.number(
    images_part=f"{100 * parts[images]:.1f} %",
    captions_dominant=most,
    captions_part=f"{100 * parts[most]:.1f} %",
)
