# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [pocket]
#     reads:
#     - data/pocket/origin*.csv
#     - data/pocket/recipes.yaml
# ---

# %% [markdown]
# # Outlier features, dose by dose
#
# This page shows how κ depends on wrong captions, temperature and length of training, over the runs
# of `data/pocket/origin.csv`; {doc}`/where_outlier_features_come_from` explains it.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import numpy as np
import pandas as pd

from companion.chapters import origin_figures
from companion.chapters.origin_figures import varied
from companion.engine.page import Page
from companion.engine.style import spread
from companion.pocket.pocket import load_recipes, warmed_cosine

runs = origin_figures.read("origin")
two = runs[runs["second_moment"].isin(["element", "shared"])]
web = {name: two[two["towers"] == f"{name.lower()}-web"] for name in ("ViT", "CNN")}
vit = web["ViT"]
page = Page("origin_doses")

# %% [markdown]
# ## Doses


# %%
def publish_doses(name, column, label, log=""):
    """κ and mean share of both backbones against one setting."""
    drawn = {name: varied(some, "second_moment", column) for name, some in web.items()}
    drawn = {name: some.dropna(subset=column) for name, some in drawn.items()}
    frames = [
        origin_figures.over_seeds(some, (column, label), {quantity: title}, name)
        for quantity, title in origin_figures.PANELS.items()
        for name, some in drawn.items()
    ]
    every = pd.concat(drawn.values()).groupby(["towers", "second_moment", column])
    page.holds((every["seed"].nunique() >= 3).all(), "each dose has at least three seeds")
    mean = every[["kurtosis", "mean_share"]].mean().groupby(["towers", "second_moment"])
    risen, most = mean.last() / mean.first(), mean["kurtosis"].max().xs("shared", level=1)
    either = (risen["mean_share"] > 1.4).all() and most.max() < 3.2
    adam = (risen["kurtosis"].xs("element", level=1) > 1.7).all()
    accuracy = 100 * every["accuracy"].mean().groupby("towers").agg(["min", "max"])
    spans = (f"{low:.1f} to {high:.1f} %" for low, high in accuracy.to_numpy()[::-1])
    page.number({f"accuracy-{column}": " (ViT) and ".join(spans) + " (CNN)"})
    frame = pd.concat(frames, ignore_index=True)
    drawing = origin_figures.curves(frame, label, log=log, columns=2, height=2.2)
    page.figure(name, drawing, holds=either and adam)


publish_doses("wrong-captions", "caption_noise", "wrong captions (%)")
publish_doses("scale", "scale", "logit scale", "x")

# %% [markdown]
# ## Length

# %%
lab = load_recipes().recipe("pocket-vit-web-large")
rising = round(lab.warmup * lab.steps)
of_lab = sum(warmed_cosine(lab.learning_rate, step, rising, lab.steps) for step in range(lab.steps))
of_clip = 32 * 400e6 / 32768 * 5e-4 / 2  # epochs × pairs / batch × the cosine's mean
long = varied(vit, "second_moment", "steps")
SUMMED = ("summed_rate", "sum of all learning rates")
page.figure(
    "length",
    origin_figures.curves(
        origin_figures.over_seeds(long, SUMMED, origin_figures.KAPPA_PANEL),
        SUMMED[1],
        log="x",
        verticals={"pocket ViT": of_lab, "OpenAI's ViT-B/32": of_clip},
        height=3.2,
    ),
)
lengths = varied(vit, "steps").query("seed in (0, 1, 2)")
slopes = [
    np.polyfit(*np.log(some[["summed_rate", "kurtosis"]].to_numpy().T), 1)[0]
    for _, some in lengths.groupby("seed")
]
longest = lengths.query("steps == 16000")
risen = (longest["kurtosis_less_mean"] > longest["kurtosis"]).tolist()
page.holds(sum(risen) == 2 and len(risen) == 3, "it does so in two of the ViT's three longest runs")
page.number(
    slope=spread(slopes, write="{:.2f}".format, middle=np.median),
    kappa_long=origin_figures.middle(longest["kurtosis"]),
    kappa_long_less_mean=origin_figures.middle(longest["kurtosis_less_mean"]),
    clip_rate=f"{of_clip:.0f}",
)

# %% [markdown]
# ## Numbers for the page

# %%
usual = origin_figures.rows(varied(runs, "second_moment"), "towers", "second_moment")
for row in usual.reset_index().to_dict("records"):
    page.numbers("of-runs", row)
right = vit[(vit["caption_noise"] == 0) & vit["scale"].isna()]
least = varied(vit, "second_moment")["mean_share"].min()
page.holds(right["mean_share"].max() < least / 2, "With right captions and a learned scale")
cnn = varied(web["CNN"])
page.holds((cnn["kurtosis_less_mean"] > cnn["kurtosis"]).all(), "in the CNN it even rises")
