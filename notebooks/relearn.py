# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - data/relearn/*.csv
# ---

# %% [markdown]
# # CLIP's axes, chosen again
#
# Two projections trained behind public features of real CLIP models, in random axes. The tables of
# `data/relearn` hold the trainings; {doc}`/where_outlier_features_come_from` explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from base.roots import ROOT
from companion.chapters.origin_figures import DIFFERING, OPTIMISERS
from companion.measurements.intervals import student_95
from results import plots, style
from results.page import Page
from results.plots import Stroke
from results.style import digits

runs, curves, profiles = (
    pd.read_csv(ROOT / f"data/relearn/{name}.csv") for name in ("runs", "curves", "profiles")
)
THREE = {"element": "Adam", "column": "one a column", "shared": "one a row (shared)"}
KINDS = {"first": "step size differs between outputs", "second": "all outputs alike"}
SETTING = ["pairs", "start", "centred", "caption_noise", "scale", "steps", "batch", "learning_rate"]
runs["scale"] = runs["scale"].fillna(0)  # learned
step = runs["second_moment"].map({kind: title for kind, (title, _) in OPTIMISERS.items()})
gain = "× " + runs["gain"].map("{:g}".format)
runs["of"] = step.where(~runs["second_moment"].isin(["lamb", "none"]), step + " " + gain)
runs["of"] = runs["of"].where(runs["rotated"] == "none", "Adam, half of the outputs rotated")
runs["level"] = np.where(runs["second_moment"].isin(DIFFERING), *KINDS)
usual = runs.iloc[0][SETTING]
same = runs[SETTING] == usual
main = runs[same.all(axis=1) | (same.drop(columns="steps").all(axis=1) & (step == "Muon"))]
page = Page("relearn")

# %% [markdown]
# ## Every optimiser

# %%
order = [title for title, _ in OPTIMISERS.values()]
page.table(
    "optimisers",
    main.groupby("of", sort=False).agg(list).reset_index().assign(
        seeds=lambda of: of["seed"].map(len), level=lambda of: of["level"].str[0].map(KINDS)
    ),
)  # fmt: skip
by = {kind: some for kind, some in main[main["rotated"] == "none"].groupby("second_moment")}
for kind in THREE:
    log = np.log(by[kind]["kurtosis"])
    half = student_95(len(log) - 1) * log.std() / np.sqrt(len(log))
    ends = [digits(np.exp(log.mean() + side * half)) for side in (-1, 1)]
    page.numbers("of-main", {"kind": kind, "mean": np.exp(log.mean()), "ends": " to ".join(ends),
                             **by[kind].agg(list), "seeds": len(log)})  # fmt: skip
blind = main[main["level"] == "second"]
seeing = pd.concat([by["element"], by["column"]])
page.holds(
    seeing["kurtosis"].min() > 2 * blind["kurtosis"].max(), "every seed, rows against others"
)
page.holds(main["kurtosis_less_mean"].max() < 3.5, "without their mean every one is near 3")
accuracy = [100 * by[kind]["accuracy"].mean() for kind in THREE]
page.holds(max(accuracy) - min(accuracy) < 3, "the same accuracy")

# %% [markdown]
# ## Along the path

# %%
KAPPA, PATH = "activation kurtosis κ", "path of the projections"
alike = runs[(runs[["pairs", "centred", "caption_noise", "scale"]] ==
              usual[["pairs", "centred", "caption_noise", "scale"]]).all(axis=1)]  # fmt: skip
alike = alike[alike["rotated"] == "none"]
ends = alike.assign(look="filled")
way = curves.merge(alike[["run", "of", "level"]], on="run").query("path > 0").assign(look="small")
frame = pd.concat([way, ends]).rename(columns={"kurtosis": KAPPA, "path": PATH})
frame["series"] = frame["level"].map(KINDS)
shown = frame[[PATH, KAPPA, "of", "level", "series", "look"]]
drawing = plots.scatter(shown, PATH, KAPPA, log="xy", horizontals={"Gaussian": 3})
flat = pd.concat([way, ends]).query("level == 'second'")["kurtosis"].max()
rho = {
    kind: some["path"].corr(some["kurtosis"], "spearman") for kind, some in ends.groupby("level")
}
page.figure("path", drawing, holds=flat < 4 and rho["first"] > 0.8)
page.number(flat=digits(flat), rank=f"{rho['first']:.2f}", runs=len(ends))

# %% [markdown]
# ## The mean image

# %%
profiles["panel"] = profiles["second_moment"].map(THREE)
drawn = profiles[profiles["second_moment"] != "column"].assign(quantity="|mean image|", of="")
drawn["value"] = drawn["mean"].abs()
looks = {"": Stroke(style.STRONG, width=0.9)}
drawing = plots.lines(drawn, "coordinate", "value", looks=looks, columns=2, height=2.1)
for axes in drawing.figure.axes:
    axes.set_ylim(0, 1.05 * drawn["value"].max())
tops = drawn.groupby("second_moment")["value"].max()
page.figure("profiles", drawing, holds=tops["element"] > 3 * tops["shared"])

# %% [markdown]
# ## Other conditions

# %%
PAIRS = {"vit_b_16-coco": "ViT-B/16, 400 COCO pairs", "rn50-imagenet": "RN50, 400 images"}


def setting(run):
    """What of a run is not as usual, in words."""
    words = {
        "pairs": PAIRS.get(run["pairs"]),
        "start": "random start",
        "centred": "common vector taken out",
        "caption_noise": f"{100 * run['caption_noise']:.0f} % wrong captions",
        "scale": "learned temperature",
        "steps": f"{run['steps']:,} steps, rate {run['learning_rate']:g}",
        "batch": f"batches of {run['batch']}",
    }
    differ = [words[name] for name in words if run[name] != usual[name]]
    if run["steps"] == usual["steps"] and run["learning_rate"] != usual["learning_rate"]:
        differ.append(words["steps"])
    return ", ".join(differ) or "as above"


three = runs[runs["second_moment"].isin(THREE) & (runs["rotated"] == "none")]
three = three.assign(setting=three.apply(setting, axis=1))
rows = []
for words, some in three.groupby("setting", sort=False):
    each = {kind: own.agg(list) for kind, own in some.groupby("second_moment")}
    row = {f"{name}_{kind}": own[name] for kind, own in each.items() for name in runs}
    rows.append({"setting": words, "seeds": some["seed"].nunique(), **row})
page.table("conditions", rows)

# %% [markdown]
# ## Without the one vector

# %%
SHARES = [name.rpartition("_")[2] for name in runs if name.startswith("dropped_")]
parts = []
for (kind, some), share in ((by_kind, share) for by_kind in by.items() for share in SHARES):
    if kind in THREE:
        own = {name.removesuffix(f"_less_vector_{share}"): some[name].tolist() for name in some
               if name.endswith(f"_{share}")}  # fmt: skip
        own |= {"before": some["kurtosis"].tolist(), "accuracy_before": some["accuracy"].tolist()}
        parts.append({"kind": THREE[kind], "share": f"{100 * float(share):g}", **own})
page.table("vector", parts)
