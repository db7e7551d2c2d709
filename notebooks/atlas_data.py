# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # Data, filter, scale
#
# This page places every zero-shot CLIP model with published accuracies on all five shifts on or off
# a line; {doc}`/robustness_atlas` explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # the atlas is one for all
resamples: int = 2000  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.metrics.indicators import rank_correlation
from analysis.metrics.robustness import bootstrap_baselines, fit_baseline, inverse_logit, logit
from companion.chapters import robustness_figures
from companion.chapters.peers import curvature, left_out_error, off_the_line, share_explained
from companion.engine import plots
from companion.engine.cells import joined
from companion.engine.page import Page
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import FIVE_SHIFTS

table = accuracies.load()
clip = atlas.clip(table)
usable = clip[clip["imagenet"] > 0.1]  # the smallest pools give models near chance
drawn = {"resamples": resamples, "seed": seed}
RANGE = ["size", "min", "mean", "max"]
page = Page("atlas_data", "published", **drawn)


def slope_of(imagenet, shifted):
    """How steep the line through some models is."""
    return fit_baseline(imagenet, shifted).slope


# %% [markdown]
# ## A line of one collection: DataComp's and CommonPool's models on that project's three backbones

# %%
backbones = clip["model"].isin(["ViT-B-32", "ViT-B-16", "ViT-L-14"])
pools = clip[(clip["group"] == "DataComp") & backbones]
line = fit_baseline(pools["imagenet"], pools["shifted"])
pools = pools.assign(off=pools["shifted"] - line.predict(pools["imagenet"]))
bent = curvature(pools["imagenet"], pools["shifted"])
others = clip.drop(pools.index)
others = others.assign(level="", look="small", series=f"other zero-shot models ({len(others)})")
large = pools.assign(look="filled", series=f"DataComp and CommonPool ({len(pools)})")
marks = pd.concat([others, large])
marks = marks.assign(label="", of=marks["model"] + " " + marks["weights"])
lines = {
    "their line": line.predict,
    "their parabola": lambda x: inverse_logit(np.polyval(bent.coefficients, logit(x))),
}
refits = bootstrap_baselines(pools["imagenet"], pools["shifted"], resamples, seed)
page.figure(
    "line",
    robustness_figures.on_logit_axes(marks, FIVE_SHIFTS, lines, refits),
    models=len(pools),
    **vars(line),
)
page.holds(bent.p_value < 0.001, "the relation is bent", "published")
figures, power = f"{bent.p_value:.1e}".split("e")
page.number(
    bent=rf"$p = {figures} \cdot 10^{{{int(power)}}}$",
    misses=f"{bent.line_misses:.3f} to {bent.parabola_misses:.3f}",
)
scale = pools["data"].replace("DataComp-1B", "CommonPool extra large")
share = share_explained(off_the_line(pools["imagenet"], pools["shifted"]), scale)
page.number(explained_scale=f"{100 * share:.0f} %")
by_data = pools.sort_values("imagenet").groupby("data", sort=False)
slopes = by_data[["imagenet", "shifted"]].apply(lambda models: slope_of(**models))
page.table("scales", joined(by_data[["imagenet", "er", "off"]].agg(RANGE)).assign(slope=slopes))

# %% [markdown]
# ## Off the common line, by data

# %%
common = fit_baseline(usable["imagenet"], usable["shifted"])
usable = usable.assign(off=usable["shifted"] - common.predict(usable["imagenet"]))
by_data = usable.groupby("data")
rows = joined(by_data[["imagenet", "off"]].agg(RANGE)).assign(family=by_data["group"].first())
page.table(
    "families",
    rows.sort_values("off_mean", ascending=False),
    models=len(usable),
    slope=common.slope,
    r=common.r,
)

# %%
size = np.log(usable["parameters"])
strong = usable.assign(size=size)[usable["imagenet"] > 0.5]
rest = strong[strong["group"] != "NLLB-CLIP"]
for name, causes in {"data": ["group"], "size": ["size"], "both": ["group", "size"]}.items():
    shares = [
        100 * share_explained(off_the_line(m["imagenet"], m["shifted"]), *[m[c] for c in causes])
        for m in (strong, rest)
    ]
    page.number({f"explained-{name}": "{:.0f} % ({:.0f} %)".format(*shares)})
page.number(
    explained_models=len(strong),
    rank=robustness_figures.statistic(rank_correlation, usable, "imagenet", "er", **drawn),
    slope=robustness_figures.statistic(slope_of, usable, "imagenet", "shifted", **drawn),
)
X = robustness_figures.TOP_1
marks = usable.assign(of=usable["model"] + " " + usable["weights"], level="zero_shot", look="small")
drawing = plots.scatter(
    robustness_figures.in_points(marks.assign(**{X: 100 * marks["imagenet"]}), X),
    X,
    robustness_figures.ER,
    horizontals={"": 0},
)
page.figure(
    "er",
    drawing,
    models=len(usable),
    holds=rank_correlation(usable["imagenet"], usable["er"]) > 0.7,
)
page.slide("er", drawing, 2.8)

# %%
less = usable[usable["group"] != "NLLB-CLIP"]
for name, rows in {"left-out": usable, "left-out-less": less}.items():
    error = left_out_error(rows["imagenet"], rows["shifted"], rows["group"])
    row = {"of": name, "error": error, "spread": rows["er"].std(), "models": len(rows)}
    page.numbers("left-out-of", row | {"families": rows["group"].nunique()})
