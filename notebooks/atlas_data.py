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
# Every zero-shot CLIP model with published accuracies on all five shifts: on which line it lies,
# and how far off. The page {doc}`/robustness_atlas` explains these results.

# %% tags=["parameters"]
edition: str = "paper"  # the atlas is one for all
resamples: int = 2000  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.metrics.indicators import rank_correlation
from analysis.metrics.peers import curvature, left_out_error, off_the_line, share_explained
from analysis.metrics.robustness import fit_baseline, logit
from companion.measurements import accuracies, atlas
from companion.publish import atlas as charts
from companion.publish import style
from companion.publish.style import minus, percent, points

table = accuracies.load()
clip = atlas.clip(table)
usable = clip[clip["imagenet"] > 0.1]  # the smallest pools give models near chance


def span(values, write):
    """Lowest to highest."""
    return f"{write(values.min())} to {write(values.max())}"


# %% [markdown]
# ## A line of one collection
#
# DataComp's and CommonPool's models on the three backbones of that project.

# %%
backbones = clip["model"].isin(["ViT-B-32", "ViT-B-16", "ViT-L-14"])
pools = clip[(clip["group"] == "DataComp") & backbones]
slope, intercept = np.polyfit(logit(pools["imagenet"]), logit(pools["shifted"]), 1)
line = fit_baseline(pools["imagenet"], pools["shifted"])
assert np.allclose([slope, intercept], [line.slope, line.intercept])
pools = pools.assign(off=pools["shifted"] - line.predict(pools["imagenet"]))
bent = curvature(pools["imagenet"], pools["shifted"])
others = clip[~clip.index.isin(pools.index)]
constants = minus(f"slope {line.slope:.3f}, intercept {line.intercept:.3f}, r {line.r:.3f}")
titles = "DataComp and CommonPool", "other zero-shot CLIP models"
style.figure(
    "line", charts.one_line(others, pools, line, resamples, seed, titles, bent.coefficients),
    "published",
    """Models of one collection, from four sizes of the pool and with several filters, lie near one
    line, and nearer to a bent curve (dashed). Grey: other zero-shot models.""",
    more=f"""Line through {len(pools)} models: {constants}. Band: 95 % of {resamples} refits to
    resampled models (seed {seed}).""",
)  # fmt: skip
assert bent.p_value < 0.001  # the page says that the relation is bent
figures, power = f"{bent.p_value:.1e}".split("e")
style.text("bent", rf"$p = {figures} \cdot 10^{{{int(power)}}}$")
style.text("misses", f"{bent.line_misses:.3f} to {bent.parabola_misses:.3f}")
scale = pools["data"].replace("DataComp-1B", "CommonPool extra large")
share = share_explained(off_the_line(pools["imagenet"], pools["shifted"]), scale)
style.text("explained-scale", f"{100 * share:.0f} %")
style.table(
    "scales",
    pd.DataFrame(
        {"data": name, "models": len(own), "ImageNet (%)": span(own["imagenet"], percent),
         "ER (points)": span(own["er"], points),
         "off the line (points)": span(own["off"], points),
         "slope": f"{fit_baseline(own['imagenet'], own['shifted']).slope:.2f}"}
        for name, own in pools.sort_values("imagenet").groupby("data", sort=False)
    ), "published",
    """Within most sizes of the pool the slope is lower than that of the line through them all.""",
    more="""Lowest to highest. ER: five shifts, printed line. Off the line: accuracy under shift
    minus what the line through all of these models expects. Slope: of the row's models alone.""",
)  # fmt: skip

# %% [markdown]
# ## Off the common line, by data

# %%
common = fit_baseline(usable["imagenet"], usable["shifted"])
usable = usable.assign(off=usable["shifted"] - common.predict(usable["imagenet"]))
ordered = usable.groupby("data")["off"].mean().sort_values(ascending=False).index
style.table(
    "families",
    pd.DataFrame(
        {"data": name, "family": own["group"].iloc[0], "models": len(own),
         "ImageNet (%)": span(own["imagenet"], percent), "off (points)": points(own["off"].mean()),
         "lowest to highest": span(own["off"], points)}
        for name in ordered for own in [usable[usable["data"] == name]]
    ), "published",
    """Most data sets leave their models within a few points of one line on average; models of one
    data set differ more. Off: mean distance of accuracy under shift from the line.""",
    more=f"""The {len(usable)} zero-shot CLIP models above 10 % on ImageNet, and the line through
    them (slope {common.slope:.3f}, r {common.r:.3f}). A family is left out or resampled as one.""",
)  # fmt: skip

# %% [markdown]
# ## What data, size and ImageNet accuracy explain

# %%
size = np.log(usable["model"].map(atlas.sizes()))
strong = usable.assign(size=size)[usable["imagenet"] > 0.5]
rest = strong[strong["group"] != "NLLB-CLIP"]
for name, own in {"data": ["group"], "size": ["size"], "both": ["group", "size"]}.items():
    shares = [
        100 * share_explained(off_the_line(m["imagenet"], m["shifted"]), *[m[c] for c in own])
        for m in (strong, rest)
    ]
    style.text(f"explained-{name}", "{:.0f} % ({:.0f} %)".format(*shares))
style.text("explained-models", f"{len(strong)} models above 50 % on ImageNet (in brackets: without "
           f"NLLB-CLIP, {len(strong) - len(rest)} of them)")  # fmt: skip
drawn = {"resamples": resamples, "seed": seed}
style.text("rank", charts.with_interval(rank_correlation, usable, "imagenet", "er", **drawn))
slope = charts.with_interval(
    lambda x, y: fit_baseline(x, y).slope, usable, "imagenet", "shifted", **drawn
)  # fmt: skip
style.text("slope", slope)
less = usable[usable["group"] != "NLLB-CLIP"]
for name, own in {"left-out": usable, "left-out-less": less}.items():
    error = left_out_error(own["imagenet"], own["shifted"], own["group"])
    style.text(
        name,
        f"{100 * error:.1f} points, where ER itself has a standard deviation of "
        f"{100 * own['er'].std():.1f} ({len(own)} models, {own['group'].nunique()} families)",
    )  # fmt: skip

# %% [markdown]
# ## Rows that are not counted

# %%
aside = atlas.set_aside(table)
named = (aside["model"] + " " + aside["weights"]).str.strip()
style.table(
    "aside",
    pd.DataFrame({"model": named, "source": aside["source"], "why": aside["reason"]}),
    None,
    "Published rows that the atlas does not count, each with its reason.",
)  # fmt: skip
