# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # Beyond ImageNet
#
# Does effective robustness on ImageNet's shifts go with accuracy on other data sets? This page asks
# it of all zero-shot CLIP models with published accuracies; {doc}`/robustness_atlas` explains the
# results.

# %% tags=["parameters"]
edition: str = "paper"  # the atlas is one for all
least: float = 0.6  # ImageNet accuracy from which on models are compared: from 0 to 1
resamples: int = 500  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd
import scipy

from analysis.metrics.indicators import interval, partial_rank_correlation, rank_correlation
from companion.chapters import robustness_figures
from companion.measurements import accuracies, atlas
from results import plots, style
from results.page import Page

high = atlas.clip(accuracies.load()).query("imagenet > @least").reset_index(drop=True)
elsewhere = atlas.elsewhere(high)
high["others"] = elsewhere.mean(axis=1)
families = high["group"].nunique()
drawn = {"resamples": resamples, "seed": seed}
page = Page("atlas_beyond", "published", **drawn)

# %% [markdown]
# ## Data set by data set

# %%
every = elsewhere.assign(**high[["er", "imagenet", "group"]])
given = {
    name: partial_rank_correlation(every["er"], every[name], every["imagenet"])
    for name in elsewhere
}
rows = []
for panel, more in {"alone": [], "given ImageNet accuracy": ["imagenet"]}.items():
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
    least=100 * least,
    families=families,
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

# %% [markdown]
# ## A partial correlation by hand
#
# It is the correlation of what is left once the third quantity is taken out of both: here of ranks,
# on the ranks of ImageNet accuracy.

# %%
er, others, imagenet = (scipy.stats.rankdata(high[name]) for name in ("er", "others", "imagenet"))
left = [y - np.polyval(np.polyfit(imagenet, y, 1), imagenet) for y in (er, others)]
partial = partial_rank_correlation(high["er"], high["others"], high["imagenet"])
assert np.isclose(np.corrcoef(*left)[0, 1], partial)
