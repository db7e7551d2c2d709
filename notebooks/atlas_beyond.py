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
# Does effective robustness on ImageNet's shifts go with accuracy on other data sets? Zero-shot CLIP
# models with published accuracies. The page {doc}`/robustness_atlas` explains these results.

# %% tags=["parameters"]
edition: str = "paper"  # the atlas is one for all
least: float = 0.6  # ImageNet accuracy from which on models are compared
resamples: int = 500  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import scipy

from analysis.metrics.indicators import interval, partial_rank_correlation, rank_correlation
from companion.measurements import accuracies, atlas
from companion.publish import atlas as charts
from companion.publish import dots, style
from companion.publish.style import minus

table = accuracies.load()
every = atlas.clip(table)
high = every[every["imagenet"] > least].reset_index(drop=True)
elsewhere = atlas.elsewhere(high)
high["others"] = elsewhere.mean(axis=1)

# %% [markdown]
# ## The mean of all other data sets
#
# A partial correlation is a correlation of what is left once the third quantity is taken out of
# both: here of ranks, on the ranks of ImageNet accuracy.

# %%
er, others, imagenet = (scipy.stats.rankdata(high[name]) for name in ("er", "others", "imagenet"))
left = [y - np.polyval(np.polyfit(imagenet, y, 1), imagenet) for y in (er, others)]
partial = partial_rank_correlation(high["er"], high["others"], high["imagenet"])
assert np.isclose(np.corrcoef(*left)[0, 1], partial)

# %%
drawn = {"resamples": resamples, "seed": seed}
for name, (statistic, *columns) in {
    "er": (rank_correlation, "er", "others"),
    "imagenet": (rank_correlation, "imagenet", "others"),
    "both": (rank_correlation, "er", "imagenet"),
    "er-given": (partial_rank_correlation, "er", "others", "imagenet"),
    "imagenet-given": (partial_rank_correlation, "imagenet", "others", "er"),
}.items():
    style.text(name, charts.with_interval(statistic, high, *columns, **drawn))
columns = (high[name] for name in ("er", "others", "imagenet"))
low, top = interval(partial_rank_correlation, high["group"], *columns, **drawn)
assert low < 0 < top  # the page says that effective robustness adds nothing
families = high["group"].nunique()
style.text("models", f"{len(high)} models of {families} data families")
style.text("sets", str(elsewhere.shape[1]))

# %% [markdown]
# ## Data set by data set

# %%
panels = {"alone": (rank_correlation, []),
          "given ImageNet accuracy": (partial_rank_correlation, [high["imagenet"]])}  # fmt: skip
rows = {}
for panel, (statistic, given) in panels.items():
    rows[panel] = []
    for name in elsewhere:
        columns = high["er"], elsewhere[name], *given
        ends = interval(statistic, high["group"], *columns, **drawn)
        rows[panel].append(dots.Row(name, "zero_shot", statistic(*columns), *ends))
order = np.argsort([-row.value for row in rows["given ImageNet accuracy"]])
rows = {panel: [own[place] for place in order] for panel, own in rows.items()}
style.figure(
    "by-set", dots.rows(rows, "rank correlation with ER"), "published",
    f"""Effective robustness goes with accuracy on most of {len(order)} other data sets; given
    ImageNet accuracy (right) it goes with few. Bars: 95 % intervals.""",
    more=f"""{len(high)} zero-shot CLIP models above {100 * least:.0f} % on ImageNet. Effective
    robustness (ER): five shifts, printed line. Spearman's rank correlations; intervals from
    {resamples} bootstrap resamples of {families} data families (seed {seed}), each data set looked
    at alone. Flickr and MSCOCO: recall of retrieval.""",
)  # fmt: skip
given = rows["given ImageNet accuracy"]
apart = [row for row in given if row.low > 0], [row for row in given if row.high < 0]
for name, found in zip(("above", "below"), apart, strict=True):
    listed = (f"{row.title} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})" for row in found)
    style.text(name, minus(", ".join(listed)) or "none")
style.text("expected", f"{0.05 * len(given):.1f}")
