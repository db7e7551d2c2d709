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
# Whether κ goes with effective robustness over all runs of `data/pocket/origin.csv`, and in models
# of which all weights were trained; see {doc}`/where_outlier_features_come_from`.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from companion.publish import diagrams, origin, plots, style
from companion.publish.origin import spread
from companion.publish.style import digits, minus

CAPTIONS = {True: "captions of six styles", False: "captions of one style"}
runs, models = map(origin.read, ("origin", "origin_models"))
runs = runs.assign(of=runs["towers"].str.contains("web").map(CAPTIONS))

# %% [markdown]
# ## Robustness

# %%
names = {"kurtosis": "activation kurtosis κ", "er": "ER, unseen styles (points)"}
marks = runs.assign(er=100 * runs["er"], series=runs["of"]).rename(columns=names)
marks["level"] = np.where(marks["of"] == CAPTIONS[True], "zero_shot", "captions")
marks["of"] = marks["towers"] + ", " + marks["optimiser"]
style.figure(
    "robustness",
    plots.scatter(marks[["of", "series", "level", *names.values()]], *names.values(), log="x"),
    "recorded",
    "Captions decide effective robustness, whatever κ is. One mark for each run, both backbones.",
)
of_one, of_six = (runs["er"][runs["of"] == CAPTIONS[many]] for many in (False, True))
style.holds(of_one.max() < of_six.min(), "captions decide effective robustness")
within = {of: spearmanr(own["kurtosis"], own["er"]).statistic for of, own in runs.groupby("of")}
style.text("rank-within", ", ".join(minus(f"{rho:+.2f} ({of})") for of, rho in within.items()))
style.text("runs", f"{len(runs)}")

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
of = models.groupby("model", sort=False)
style.table(
    "models",
    pd.DataFrame(
        {
            "trained": TITLES[name],
            "κ": spread(m["kurtosis"]),
            "dominant in (%)": spread(m["persistence"], 100),
            "in the mean (%)": spread(m["mean_share"], 100),
            "κ after mean subtraction": spread(m["kurtosis_less_mean"]),
            "accuracy (%)": spread(m["accuracy"], 100),
            "ER (points)": spread(m["er"], 100),
        }
        for name, m in of
    ),
    "recorded",
    """All weights trained on, from a shipped ViT: Adam grows an outlier, a shared second moment in
    the two projections prevents it. Means of three seeds, in brackets lowest to highest.""",
    missing="`python data/pocket/origin.py --models` trains these models, in half an hour.",
)
kappa, er = ({name: m.set_index("seed")[column] for name, m in of} for column in ("kurtosis", "er"))
for name in kappa:
    style.text(f"kappa-{name}", spread(kappa[name]))
    style.text(f"er-{name}", spread(er[name], 100))
before, after = "grown-vit-element", "grown-vit-finetuned"
style.holds((kappa[after] < kappa[before]).all(), "finetuning lowers κ with every seed")
style.holds(kappa["grown-vit-shared"].max() < kappa[before].min() / 3, "sharing prevents it")
style.text("er-falls", f"{(er[after] < er[before]).sum()} of {len(er[after])}")

# %% [markdown]
# ## From data to predictions

# %%
six = origin.varied(runs[runs["towers"] == "vit-web"], "second_moment")
means = six.groupby("second_moment")["kurtosis"].mean().map(digits)
style.figure(
    "chain",
    diagrams.chain(
        {
            "training data": "tested in the pocket lab:\nwrong captions and a sharp\ntemperature "
            "add a vector\ncommon to all images",
            "mean image": f"tested in the pocket lab:\nκ is {means['element']} with Adam and\n"
            f"{means['shared']} with a shared\nsecond moment",
            "large κ": "tested in CLIP: a rotation\nchanges κ and no prediction",
            "robustness?": "",
        }
    ),
    "recorded",
    """The data and the optimiser explain a large κ in small models; nothing here leads from κ to
    robustness. Next to each arrow is what was tested.""",
)
