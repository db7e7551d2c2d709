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
least: float = 0.6  # ImageNet accuracy from which on models are compared
resamples: int = 500  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd
import scipy

from analysis.metrics.indicators import interval, partial_rank_correlation, rank_correlation
from companion.measurements import accuracies, atlas
from companion.publish import plots, robustness, style
from companion.publish.page import Page

high = atlas.clip(accuracies.load()).query("imagenet > @least").reset_index(drop=True)
elsewhere = atlas.elsewhere(high)
high["others"] = elsewhere.mean(axis=1)
families = high["group"].nunique()
drawn = {"resamples": resamples, "seed": seed}
page = Page("atlas_beyond", "published", **drawn)

# %% [markdown]
# ## Data set by data set

# %%
panels = {"alone": rank_correlation, "given ImageNet accuracy": partial_rank_correlation}
rows = []
for panel, statistic in panels.items():
    given = [] if statistic is rank_correlation else [high["imagenet"]]
    for name in elsewhere:
        columns = high["er"], elsewhere[name], *given
        ends = interval(statistic, high["group"], *columns, **drawn)
        rows.append((panel, name, "zero_shot", statistic(*columns), *ends))
of_set = pd.DataFrame(rows, columns=["panel", "of", "level", "rank correlation", "low", "high"])
given = of_set[of_set["panel"] == "given ImageNet accuracy"]
given = given.sort_values("rank correlation", ascending=False, kind="stable")
place = {name: number for number, name in enumerate(given["of"])}
of_set = of_set.sort_values("of", key=lambda names: names.map(place), kind="stable")
of_set = of_set.sort_values("panel", kind="stable")
page.figure(
    "by-set",
    plots.marks(of_set, "rank correlation", verticals={"": 0}, limits=(-1, 1), height=0.26),
    sets=len(place),
    models=len(high),
    least=100 * least,
    families=families,
)
cells = given.drop(columns=["panel", "level"]).apply(
    lambda row: style.minus("{} {:.2f} ({:.2f} to {:.2f})".format(*row)), axis=1
)
page.texts(
    above=", ".join(cells[given["low"] > 0]) or "none",
    below=", ".join(cells[given["high"] < 0]) or "none",
    expected=f"{0.05 * len(given):.1f}",
)

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
    page.texts({name: robustness.statistic(statistic, high, *columns, **drawn)})
columns = (high[name] for name in ("er", "others", "imagenet"))
low, top = interval(partial_rank_correlation, high["group"], *columns, **drawn)
page.holds(low < 0 < top, "effective robustness adds nothing measurable")
page.texts(models=len(high), families=families, sets=elsewhere.shape[1])

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
