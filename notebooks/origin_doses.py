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
# How κ follows wrong captions, temperature and length of training, and how it goes with robustness,
# over all runs of `data/pocket/origin.csv`; see {doc}`/where_outlier_features_come_from`.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from companion.publish import origin, style
from companion.publish.origin import interval, spread, varied
from companion.publish.style import digits, minus
from training.pocket import load_recipes
from training.recipes import warmed_cosine

runs, mechanism, models = map(origin.read, ("origin", "origin_mechanism", "origin_models"))
runs = runs.assign(of=runs["towers"].str.contains("web").map(
    {True: "captions of six styles", False: "captions of one style"}))  # fmt: skip
vit = runs[(runs["towers"] == "vit-web") & runs["second_moment"].isin(["element", "shared"])]

# %% [markdown]
# ## Doses

# %%
MESSAGE = "raises the mean share with either optimiser, and κ with Adam alone. ViT, seed 0."
dose = varied(vit[vit["seed"] == 0], "second_moment", "caption_noise")
x = ("caption_noise", "share of wrong captions")
style.figure("wrong-captions", origin.lines(dose, x, origin.PANELS, "y"),
             "recorded", f"A larger share of wrong captions {MESSAGE}")  # fmt: skip

# %%
sharp = varied(vit[vit["seed"] == 0], "second_moment", "scale").dropna(subset="scale")
x = ("scale", "logit scale")
style.figure("scale", origin.lines(sharp, x, origin.PANELS, "xy"),
             "recorded", f"A sharper temperature {MESSAGE}")  # fmt: skip

# %% [markdown]
# ## Length

# %%
lab = load_recipes().recipe("pocket-vit-web-large")
rising = round(lab.warmup * lab.steps)
of_lab = sum(warmed_cosine(lab.learning_rate, step, rising, lab.steps) for step in range(lab.steps))
of_clip = 32 * 400e6 / 32768 * 5e-4 / 2  # epochs × pairs / batch × the cosine's mean
long = varied(vit, "second_moment", "steps", "learning_rate")
adam = long[long["second_moment"] == "element"]
style.figure(
    "length",
    origin.lines(long, ("summed_rate", "sum of all learning rates"), origin.KAPPA, "xy",
                 marks={"shipped pocket ViT": of_lab, "OpenAI's ViT-B/32": of_clip}),
    "recorded",
    """κ grows with the length of training with Adam alone. Dashed: the length of training of the
    shipped pocket ViT and of OpenAI's CLIP. Band: lowest to highest seed.""",
)  # fmt: skip
slope = np.polyfit(np.log(adam["summed_rate"]), np.log(adam["kurtosis"]), 1)[0]
style.text("slope", f"{slope:.2f}")
style.text("lab-rate", digits(of_lab))
style.text("clip-rate", f"{of_clip:.0f}")

# %%
SINGLE = {"memory": "Adam's β₂", "width": "coordinates", "weight_decay": "weight decay",
          "learning_rate": "learning rate"}  # fmt: skip
single = [
    {"setting": title, "value": f"{one[name]:g}", "κ": digits(one["kurtosis"]),
     "in the mean (%)": digits(100 * one["mean_share"]),
     "accuracy (%)": style.percent(one["accuracy"])}
    for name, title in SINGLE.items()
    for one in varied(vit[vit["seed"] == 0], name).sort_values(name).to_dict("records")
]  # fmt: skip
style.table("single", pd.DataFrame(single), "recorded",
            "Other settings change κ with Adam as well. ViT, seed 0.")  # fmt: skip

# %% [markdown]
# ## Robustness

# %%
style.figure(
    "robustness",
    origin.points(runs.assign(er=100 * runs["er"]), ("kurtosis", "activation kurtosis κ"),
                  ("er", "ER, unseen styles (points)"), "of", "x"), "recorded",
    """Captions decide effective robustness, whatever κ is. One mark for each run, both
    backbones.""",
)  # fmt: skip
ers = [runs["er"][runs["of"] == f"captions of {styles}"] for styles in ("one style", "six styles")]
assert ers[0].max() < ers[1].min()  # what the page says
within = {of: spearmanr(own["kurtosis"], own["er"]).statistic for of, own in runs.groupby("of")}
style.text("rank-within", ", ".join(minus(f"{rho:+.2f} ({of})") for of, rho in within.items()))

# %% [markdown]
# ## All weights trained

# %%
TITLES = {
    "grown-vit-element": "Adam", "grown-vit-shared": "shared second moment in the projections",
    "grown-vit-right-captions": "Adam, right captions", "grown-vit-captions": "Adam, one style",
    "grown-vit-finetuned": "Adam, then finetuned on labels",
}  # fmt: skip
style.table(
    "models",
    pd.DataFrame(
        {
            "trained": TITLES[m.model], "κ": digits(m.kurtosis),
            "dominant in (%)": digits(100 * m.persistence),
            "in the mean (%)": digits(100 * m.mean_share),
            "κ after mean subtraction": digits(m.kurtosis_less_mean),
            "accuracy (%)": style.percent(m.accuracy), "ER (points)": style.points(m.er),
        }
        for m in models.itertuples()
    ), "recorded",
    """All weights trained on, from a shipped ViT: Adam grows an outlier, a shared second moment in
    the two projections prevents it. One seed.""",
    missing="`python data/pocket/origin.py` trains these models, in ten minutes of one core.",
)  # fmt: skip

for m in models.itertuples():
    style.text(f"kappa-{m.model}", digits(m.kurtosis))
    style.text(f"er-{m.model}", style.points(m.er))

# %% [markdown]
# ## Numbers for the page

# %%
for towers, own in runs.groupby("towers"):
    for step, some in varied(own, "second_moment").groupby("second_moment"):
        style.text(f"kappa-{towers}-{step}", spread(some["kurtosis"]))
        style.text(f"accuracy-{towers}-{step}", spread(some["accuracy"], 100))
        style.text(f"share-{towers}-{step}", spread(some["mean_share"], 100))
        style.text(f"quiet-{towers}-{step}", spread(some["quiet_texts"], 100))
        style.text(f"er-{towers}-{step}", style.with_interval(*interval(some["er"])))
growth = mechanism.query("towers == 'vit-web'")
style.text("mechanism-steps", ", ".join(f"{step:,}" for step in growth["step"].unique()))
for name in mechanism.columns[3:-1]:
    means = growth.groupby("step")[name].mean()
    label = name.replace(", ", "-").replace(" ", "-").replace("1/", "inverse-")
    style.text(f"rho-{label}", " → ".join(minus(f"{value:+.2f}") for value in means))
