# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - data/modalities/quiet.csv
# ---

# %% [markdown]
# # Is each modality quiet where the other's mean lies?
#
# A prediction from small models ({doc}`/where_outlier_features_come_from`), on public images and
# texts of real models. `data/modalities/pairs.yaml` says what was fixed in advance, and
# `python data/modalities/make.py` measures it.

# %% tags=["parameters"]
edition: str = "paper"  # which families
draws: int = 100_000  # random choices of coordinates, for the p value

# %%
import numpy as np
import pandas as pd

from analysis.common import ROOT
from analysis.families.registry import load_families
from companion.publish import dots, style
from companion.publish.style import digits, minus, span

models = {m.name: (f, m) for f in load_families().values() for m in f.models}
found = pd.read_csv(ROOT / "data/modalities/quiet.csv")
primary, control = (found[found["role"] == role] for role in ("primary", "control"))


def named(row):
    family, model = models[row.model]
    return f"{family.title}, {model.title}" + " (inferred)" * bool(row.inferred)


def short(row):
    family, model = models[row.model]
    return family.title + ", random" * (model.level == "random") + "*" * bool(row.inferred)


# %% [markdown]
# ## By hand
#
# Texts that vary as much along every coordinate but one, and images whose mean lies on that one.

# %%
rng = np.random.default_rng(0)
images, texts = rng.normal(size=(2, 500, 64))
images[:, 9] += 10
texts[:, 9] /= 10
unit_images, unit_texts = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in (images, texts))
dominant = np.abs(unit_images.mean(axis=0)).argmax()
spread = unit_texts.std(axis=0)
assert dominant == 9 and (spread < spread[dominant]).sum() == 0  # none varies less

# %% [markdown]
# ## Real models

# %%
PANELS = {"spread of texts": "images", "spread of images": "texts"}
main = pd.concat([primary, control])
rows = {
    title: [
        dots.Row(short(row), models[row.model][1].level,
                 *(100 * np.array([row.quiet, row.low, row.high])))
        for row in main[main["mean_of"] == side].itertuples()
    ]
    for title, side in PANELS.items()
}  # fmt: skip
style.figure(
    "quiet", dots.rows(rows, "rank (%)", (50,), edition), "recorded",
    """In trained models each modality varies little where the other's mean lies. Dot: rank among
    all coordinates; bar: 95 % of resampled items; line: by chance. *: model inferred.""",
)  # fmt: skip

# %%
assert (primary["quiet"] < 0.1).all()  # what the page says
# If mean and spread were unrelated, each rank would be any of 0 … d − 1, over d − 1.
width = primary["width"].to_numpy()
by_chance = rng.integers(0, width, size=(draws, len(width))) / (width - 1)
p = (1 + (by_chance.mean(axis=1) <= primary["quiet"].mean()).sum()) / (1 + draws)
ranks = [span(100 * t["quiet"], digits) for t in (primary, control)]
style.text(
    "told",
    f"The ranks of {primary['model'].nunique()} trained models are {ranks[0]} % "
    f"({len(primary)} coordinates; one-sided p ≤ {p:.0e} against coordinates drawn at random). "
    f"With random weights they are {ranks[1]} %.",
)
style.text(
    "correlation", minus("{:+.2f} to {:+.2f}".format(*primary["correlation"].quantile([0, 1])))
)

# %%
style.table(
    "table",
    pd.DataFrame(
        {
            "model": named(row), "images / texts": f"{row.images_what} / {row.texts_what}",
            "mean of": row.mean_of, "coordinate": row.coordinate,
            "share (%)": digits(100 * row.share), "stays (%)": digits(100 * row.stays),
            "over the median": digits(row.over_median),
            "rank (%)": f"{100 * row.quiet:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})",
        }
        for row in found.itertuples()
    ), "recorded",
    "The dominant coordinate of each mean, and how much the other modality varies there.",
    more="""Share: of the mean's energy. Stays: resamples in which the same coordinate dominates.
    Over the median: the other modality's standard deviation there, over its median. Rank: among all
    coordinates, with its 95 % interval over images and texts.""",
)  # fmt: skip
