# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [outlier_features, privileged_directions]
#     reads:
#     - data/embeddings.yaml
#     - course/lessons/embeddings.npz
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
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from companion import book
from companion.engine import plots, style
from companion.engine.page import Page

plt.style.use("companion.engine.book")
found = book.measured("privileged_directions", edition, "reader")  # a row for each head and images
page = Page("directions_overview", found)
coco = found[(found["family"] == "vit_b_16") & found["data_set"].str.startswith("coco_500_")]
coco = coco[~coco["captions"]].set_index("level", drop=False)
pair = [coco.loc[level] for level in ("zero_shot", "random") if level in coco.index]

# %% [markdown]
# ## Importance of every direction

# %%
names = "ViT-B/16, 500 captions as the head", "The same, random weights"
heads = dict(zip(names, pair, strict=False))
imagenets = book.with_imagenets_head(found)
heads |= {f"{m['of']}, ImageNet's head": m for _, m in imagenets.iterrows()}
heads = heads or {m["title"]: m for _, m in found.head(1).iterrows()}
lines = {"importance": "head as it is", "importance_head_centred": "mean-centred head"}
looks = {"importance": {"color": style.INK}, "importance_head_centred": {"color": style.MUTED}}
looks["importance_head_centred"] |= {"linestyle": (0, (4, 2)), "linewidth": 1.2}
rank, value = "direction, by importance", "importance, times the mean"


def sorted_importance(heads):
    """The importance of the directions of each head, the largest first, as a figure and a frame."""
    parts = []
    figure, panels = plots.panels(heads, 2, 2.4, sharex=True, sharey=True)
    for axes, (title, m) in zip(panels, heads.items(), strict=True):
        for name, label in lines.items():
            high = np.sort(m[name])[::-1]
            parts.append(pd.DataFrame({"panel": title, "of": label, value: high}))
            parts[-1].insert(2, rank, np.arange(1, len(high) + 1))
            axes.plot(parts[-1][rank], high, label=label, **looks[name])
        plots.lines_at(axes, {}, {"mean": 1, f"{threshold:g} ×": threshold})
        axes.annotate(f"{style.digits(m['importance'].max())} ×", (1.2, m["importance"].max()))
        axes.set(xscale="log", yscale="log", xlabel=rank, ylabel=value)
        axes.label_outer()
    axes.set_ylim(0.05, 2.4 * max(m["importance"].max() for m in heads.values()))
    return figure, pd.concat(parts)


largest = min(m["importance"].max() for m in heads.values())
figure, frame = sorted_importance(heads)
says = style.told(frame, rank, value, by=style.steps)
page.figure("importance", figure, frame, says=says, holds=largest > threshold)
figure, _ = sorted_importance(dict([*heads.items()][:1]))
page.slide("importance", figure, 3, says)

# %% [markdown]
# ## What the most important direction lies along
#
# The dominant coordinate of the same images comes from another experiment.

# %%
outliers = book.measured("outlier_features", edition, "reader")
dominant = outliers[["model", "data_set", "persistence_coordinate"]]
directions = found.merge(dominant, "left", on=["model", "data_set"], validate="one_to_one")
directions["largest"] = [importance.max() for importance in found["importance"]]
tops = zip(found["cosine_with_images"], found["top_direction"], strict=True)
directions["cosine"] = [cosines[top] for cosines, top in tops]
parts = zip(directions["top_components"], directions["persistence_coordinate"], strict=True)
directions["in_dominant"] = [v[int(c)] ** 2 if c == c else None for v, c in parts]
full = directions["backbone"] + ", " + directions["training"]
of_coco = directions["record"].map(id).isin(coco["record"].map(id))
directions["title"] = full.where(of_coco, full + ": " + directions["data"])
columns = {
    "model": "{title}",
    "level": "{how_trained} | ",
    "importance": "{largest:digits}",
    "head centred": "{importance_head_centred[0]:digits}",
    "cos with images": "{cosine:.3f}",
    "with mean image": "{top_with_mean:.3f}",
    "with mean head row": "{top_with_head_mean:.3f}",
    "with gap": "{top_with_gap:.3f}",
    "in dominant (%)": "{in_dominant:percent} ({persistence_coordinate:.0f}) | not measured",
    "sd": "{top_cosine_deviation:.3f}",
}
chance = np.sqrt(2 / (np.pi * found["components"].min()))
means = {"cos with images": f"Mean |cos| of v with images; about {chance:.3f} by chance."}
page.table("directions", directions, columns, also=book.declared(found), means=means)

# %% [markdown]
# ## What images and head share
#
# We project the embeddings of the teaching notebooks on the first two directions of the head that
# the captions make.

# %%
with np.load(ROOT / "course/lessons/embeddings.npz") as file:
    arrays = [file[name].astype(float) for name in ("images", "captions")]
images, captions = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in arrays)
v = np.linalg.svd(captions, full_matrices=False)[2][:2]
v *= np.sign(captions.mean(axis=0) @ v.T)[:, None]  # captions on the right
clouds = {
    "images": ("zero_shot", images @ v.T),
    "rows of the head (captions)": ("", captions @ v.T),
}
x, y = "component in the head's first direction", "component in its second direction"
cone = pd.concat(
    pd.DataFrame(points, columns=[x, y]).assign(series=name, level=level, look="small")
    for name, (level, points) in clouds.items()
)
figure, axes = plt.subplots(figsize=(4.7, 4.6))
plots.dots(axes, cone, x, y)
means = cone.groupby("series", sort=False)[[x, y]].mean()
arrow = {"arrowstyle": "-|>", "color": style.INK, "shrinkA": 0, "shrinkB": 0}
for mean in means.to_numpy():
    axes.annotate("", mean, (0, 0), arrowprops=arrow, zorder=7)
below = 1.15 * cone[y].min()
bracket = arrow | {"arrowstyle": "|-|, widthA=0.4, widthB=0.4"}
axes.annotate("", (means[x].iloc[0], below), (means[x].iloc[1], below), arrowprops=bracket)
axes.text(means[x].mean(), 1.05 * below, "modality gap", ha="center", va="top")
axes.set(aspect="equal", xlim=(-0.05, cone[x].max() + 0.02), ylim=(1.4 * cone[y].min(), None))
says = style.told(cone, x, y)
page.figure("cone", figure, cone, says=says, slide=3.7, evidence="recorded")

# %% [markdown]
# ## Numbers of the pages, and what they say

# %%
page.number(coverage=book.coverage(found, edition, "reader"))
if len(pair) == 2:
    clip, control = pair
    of_clip, of_control = (
        book.one(directions[directions["data_set"] == m["data_set"]], model=m["model"])
        for m in (clip, control)
    )
    numbers = {
        "importance-largest": "{largest:digits}",
        "importance-centred": "{importance_head_centred[0]:digits}",
        "with-head-mean": "{top_with_head_mean:.3f}",
        "with-gap": "{top_with_gap:.3f}",
    }
    page.numbers(of_clip, numbers)
    page.numbers(of_control, {"control-largest": "{largest:digits}"})
    page.holds(of_control["largest"] > threshold, "a large importance alone shows no learning")

    parts = clip["top_components"] ** 2
    of_clip = outliers[outliers["model"] == clip["model"]]
    on_images = int(book.one(of_clip, data_set=clip["data_set"])["persistence_coordinate"])
    on_captions = int(book.one(of_clip, captions=True)["persistence_coordinate"])
    most = int(parts.argmax())
    page.holds(most == on_captions != on_images, "and the captions' holds")
    page.number(
        images_part=f"{100 * parts[on_images]:.1f} %",
        captions_part=f"{100 * parts[most]:.1f} %",
    )
else:
    why = "CLIP and random weights were not both measured on the 500 COCO images"
    page.texts(
        left_out=f"The sentences on ViT-B/16 with 500 captions as its head are missing: {why}."
    )
