# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # Two kinds of robustness, and beyond ImageNet
#
# This page measures the effective robustness of zero-shot CLIP models shift by shift, given
# ImageNet accuracy, and asks whether it goes with accuracy on other data sets, from published
# accuracies; {doc}`/robustness_atlas` explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # the atlas is one for all
resamples: int = 2000  # bootstrap resamples of data families
resamples_beyond: int = 500  # those for data sets other than ImageNet's
seed: int = 0  # seed of the bootstrap

# %%
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.metrics.indicators import interval, partial_rank_correlation, rank_correlation
from companion.chapters import robustness_figures
from companion.chapters.peers import off_the_line
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import FIVE_SHIFTS
from companion.measurements.atlas import SHIFT_TITLES

clip = atlas.clip(accuracies.load())
page = Page("atlas_shifts", "published", resamples=resamples, seed=seed)

# %% [markdown]
# ## Above the lines
#
# For each shift alone, we ask by how many logits a model lies above the line through all models
# above 60 %. That number is uncorrelated with ImageNet accuracy, so a correlation between two
# shifts is one given ImageNet accuracy.

# %%
high = clip[clip["imagenet"] > 0.6].reset_index(drop=True)
families = high["group"].nunique()
off = pd.DataFrame({s: off_the_line(high["imagenet"], high[s]) for s in FIVE_SHIFTS})
pair, rows = off.assign(group=high["group"]), []
for first, second in combinations(FIVE_SHIFTS, 2):
    r = robustness_figures.statistic(
        lambda x, y: np.corrcoef(x, y)[0, 1], pair, first, second, resamples=resamples, seed=seed
    )
    rho = partial_rank_correlation(high[first], high[second], high["imagenet"])
    names = f"{SHIFT_TITLES[first]} and {SHIFT_TITLES[second]}"
    rows.append({"shifts": names, "r": r, "rho": rho})
page.table("shifts", rows, models=len(high), families=families)
shares = np.linalg.eigvalsh(off.corr())[::-1] / len(FIVE_SHIFTS)
page.number(axes=f"{100 * shares[0]:.0f} % and {100 * shares[1]:.0f} %")

# %%
X, Y = robustness_figures.RENDITIONS, robustness_figures.PHOTOGRAPHS
marks = robustness_figures.off_the_lines(high, off)
openai = marks.set_index("label").loc["OpenAI"]
page.holds(openai[X] < 0 < openai[Y], "OpenAI's models lie at the top left")
axes = {"verticals": {"": 0}, "horizontals": {"": 0}}
drawing = plots.scatter(marks, X, Y, labels="label", height=3.8, **axes)
page.figure("kinds", drawing, models=len(high))
page.slide("kinds", drawing)

# %%
PAIRS = {
    "ViT-B/32": ("ViT-B-32-quickgelu", "ViT-B-32", "laion2b_s34b_b79k"),
    "ViT-B/16": ("ViT-B-16", "ViT-B-16", "laion2b_s34b_b88k"),
    "ViT-L/14": ("ViT-L-14", "ViT-L-14", "laion2b_s32b_b82k"),
}
at = pd.concat([high[["model", "weights"]], off], axis=1).set_index(["model", "weights"])
rows, ahead = [], []
for title, (of_openai, laion, tag) in PAIRS.items():
    difference = at.loc[(of_openai, "openai")] - at.loc[(laion, tag)]
    rows.append({"backbone": title} | difference.to_dict())
    ahead.append(difference["imagenet_a"] > 0 > difference["imagenet_sketch"])
page.table("openai-laion", rows, holds=all(ahead))

# %% [markdown]
# ## Beyond ImageNet, data set by data set

# %%
elsewhere = atlas.elsewhere(high)
high["others"] = elsewhere.mean(axis=1)
drawn = {"resamples": resamples_beyond, "seed": seed}
every = elsewhere.assign(**high[["er", "imagenet", "group"]])
given = {
    name: partial_rank_correlation(every["er"], every[name], every["imagenet"])
    for name in elsewhere
}
rows = []
for panel, more in {"alone": [], "given accuracy": ["imagenet"]}.items():
    statistic = partial_rank_correlation if more else rank_correlation
    for name in sorted(given, key=given.__getitem__, reverse=True):
        columns = [every[column] for column in ("er", name, *more)]
        ends = interval(statistic, every["group"], *columns, **drawn)
        rows.append((panel, name, "zero_shot", statistic(*columns), *ends))
of_set = pd.DataFrame(rows, columns=["panel", "of", "level", "rank correlation", "low", "high"])
page.figure(
    "by-set",
    plots.marks(of_set, "rank correlation", verticals={"": 0}, limits=(-1, 1), height=0.26),
    sets=len(given),
    models=len(high),
    families=families,
    **drawn,
)
for name, which in {"above": "low > 0", "below": "high < 0"}.items():
    some = of_set.query(f"panel != 'alone' and {which}").drop(columns=["panel", "level"])
    texts = map("{} {:.2f} ({:.2f} to {:.2f})".format, *some.to_numpy().T)
    page.number({name: style.minus(", ".join(texts)) or "none"})
page.number(expected=f"{0.05 * len(given):.1f}")

# %% [markdown]
# ## The mean of all other data sets

# %%
for name, (statistic, *columns) in {
    "er": (rank_correlation, "er", "others"),
    "imagenet": (rank_correlation, "imagenet", "others"),
    "both": (rank_correlation, "er", "imagenet"),
    "er-given": (partial_rank_correlation, "er", "others", "imagenet"),
    "imagenet-given": (partial_rank_correlation, "imagenet", "others", "er"),
}.items():
    page.number({name: robustness_figures.statistic(statistic, high, *columns, **drawn)})
columns = (high[name] for name in ("er", "others", "imagenet"))
low, top = interval(partial_rank_correlation, high["group"], *columns, **drawn)
page.holds(low < 0 < top, "ER says nothing measurable beyond what ImageNet accuracy predicts")
page.number(models=len(high), families=families, sets=elsewhere.shape[1])
