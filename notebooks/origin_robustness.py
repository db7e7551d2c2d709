# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [pocket]
#     reads:
#     - data/pocket/origin*.csv
# ---

# %% [markdown]
# # Outlier features and robustness, in the pocket lab
#
# Does κ go with effective robustness, over all runs of `data/pocket/origin.csv` and in models with
# all weights trained? {doc}`/where_outlier_features_come_from` explains the answer.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import numpy as np
from scipy.stats import spearmanr

from companion.chapters import origin_figures
from companion.engine import plots
from companion.engine.page import Page
from companion.engine.style import minus, spread
from companion.measurements.intervals import Interval

CAPTIONS = {True: "captions of six styles", False: "captions of one style"}
runs, models = map(origin_figures.read, ("origin", "origin_models"))
runs = runs.assign(of=runs["towers"].str.contains("web").map(CAPTIONS))
page = Page("origin_robustness")

# %% [markdown]
# ## Robustness

# %%
names = {"kurtosis": "activation kurtosis κ", "er": "ER, unseen styles (points)"}
marks = runs.assign(er=100 * runs["er"], series=runs["of"]).rename(columns=names)
marks["level"] = np.where(marks["of"] == CAPTIONS[True], "zero_shot", "captions")
marks["of"] = marks["towers"] + ", " + marks["optimiser"]
of_one, of_six = (runs["er"][runs["of"] == CAPTIONS[many]] for many in (False, True))
drawing = plots.scatter(marks[["of", "series", "level", *names.values()]], *names.values())
page.figure("robustness", drawing, holds=of_one.max() < of_six.min())
page.slide("robustness", drawing)
within = {of: spearmanr(some["kurtosis"], some["er"]).statistic for of, some in runs.groupby("of")}
page.number(rank_within=", ".join(minus(f"{rho:+.2f} ({of})") for of, rho in within.items()))

vit = origin_figures.varied(runs[runs["towers"] == "vit-web"], "second_moment", "caption_noise")
er = vit.groupby(["caption_noise", "second_moment"])["er"].mean()
risen = (er[0.3] - er[0])[["element", "shared"]]
page.holds(
    risen.min() > 0.01 and np.ptp(risen) < 0.005,
    "Wrong captions raise the ViT's ER, but as much where no outlier grows",
)

# %% [markdown]
# Adam and a shared second moment, seed by seed: twins have the same start, towers and batches, so
# their difference is known better than either's mean. How large is it, in points?

# %%
usual = origin_figures.varied(runs[runs["towers"] == "vit-web"], "second_moment")
for name in ("accuracy", "er"):
    of_seeds = usual.pivot(index="seed", columns="second_moment", values=name)
    for kind in ("element", "column"):
        apart = (of_seeds[kind] - of_seeds["shared"]).dropna()
        of = {
            "difference": Interval.of_mean(apart.mean(), apart.sem(), len(apart)),
            "higher": (apart > 0).sum(),
            "seeds": len(apart),
        }
        page.numbers("paired", of | {"of": f"{name}-{kind}"})
        if (name, kind) == ("er", "element"):
            page.holds((apart > 0).all() and apart.mean() < 0.005, "small, but of one sign")

SETTING = ["towers", "seed", "width", "caption_noise", "scale", "steps", "learning_rate"]
SETTING += ["weight_decay", "memory", "gain", "rotated"]
six = runs[runs["of"] == CAPTIONS[True]].fillna({"scale": 0})
twins = six.pivot(index=SETTING, columns="second_moment", values="er")[["element", "shared"]]
apart = (twins["element"] - twins["shared"]).dropna()
every = Interval.of_mean(apart.mean(), apart.sem(), len(apart))
page.numbers(
    "paired",
    {"difference": every, "higher": (apart > 0).sum()} | {"seeds": len(apart), "of": "er-all"},
)

# %% [markdown]
# ## All weights trained

# %%
TITLES = {
    "grown-vit-element": "Adam",
    "grown-vit-shared": "shared second moment in the projections",
    "grown-vit-right-captions": "Adam, right captions",
    "grown-vit-captions": "Adam, one style",
    "grown-vit-finetuned": "Adam, then finetuned on labels",
}
rows = origin_figures.rows(models, "model")
page.table("models", rows.assign(trained=rows.index.map(TITLES)))
page.number(rows["kurtosis"].map(spread).add_prefix("kappa-"))
page.number(rows["er"].map(lambda er: spread(er, 100)).add_prefix("er-"))
kappa, er = (models.pivot(index="seed", columns="model", values=of) for of in ("kurtosis", "er"))
before, after = "grown-vit-element", "grown-vit-finetuned"
page.holds((kappa[after] < kappa[before]).all(), "Finetuning the models trained with Adam lowers κ")
near = kappa["grown-vit-shared"].max() < kappa[before].min() / 3
page.holds(near, "The twins with a shared second moment stay near the Gaussian's value")
page.number(er_falls=f"{(er[after] < er[before]).sum()} of {len(er[after])}")
