# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [accuracy]
#     reads:
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # Measuring robustness
#
# This page recomputes Figure 1 and Table 1 of the paper over all its families, from published
# accuracies and, where there are features, from this book's own; {doc}`/measuring_robustness`
# explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # which families
resamples: int = 2000  # bootstrap resamples of the baseline pool
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_families
from companion.chapters import robustness_figures
from companion.engine import style
from companion.engine.page import Page
from companion.measurements import accuracies, records
from companion.measurements.accuracies import CLIP_V2
from companion.measurements.effective_robustness import (
    by_pretraining,
    fit_choices,
    of_measured,
    view,
)
from companion.sources import sets

families = load_families(edition) | load_families("reader")
table = accuracies.known(families.values())
view_five, view_four = view("five"), view("four")
five, four = view_five.models(table), view_four.models(table)
page = Page("measuring_robustness", "published", resamples=resamples, seed=seed)

# %% [markdown]
# ## A baseline by hand
#
# The baseline is the straight line {eq}`eq-baseline` through the logits {eq}`eq-logit` of the
# pool's accuracies.

# %%
pool, line = view_five.pool, view_five.line
x, y = (np.log(pool[name] / (1 - pool[name])) for name in ("imagenet", "shifted"))
slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
intercept = y.mean() - slope * x.mean()
assert np.isclose([slope, intercept], [line.slope, line.intercept]).all()

# %%
soups = five[five["source"] == "model_soups"]
zero_shot = five[five["level"] == "zero_shot"].sort_values("er")
half = (five["high"] - five["er"]).max() < 0.0055
page.holds(half, "an ER over five shifts are at most about half a point")
NAMED = {
    "vit_l_14-openai": "ViT-L/14 OpenAI",
    "vit_l_14-datacomp": "ViT-L/14 DataComp-1B",
    "rn50-yfcc15m": "RN50 YFCC",
    "vit_b_32-openai-soup-members": "ViT-B/32, finetuned",
}
drawing = robustness_figures.against_baseline(view_five, five, edition, resamples, seed, **NAMED)
page.figure("figure-1", drawing, holds=(zero_shot["er"] > 0).all())
few = {name: NAMED[name] for name in ("vit_l_14-datacomp", "rn50-yfcc15m")}
drawing = robustness_figures.against_baseline(view_five, five, edition, resamples, seed, **few)
page.slide("figure-1", drawing, 3.7)

# %%
of_five, of_four = by_pretraining(five, families), by_pretraining(four, families)
by_level = {"five shifts, printed line": of_five, "four shifts, refitted line": of_four}
rows = pd.concat(by_level, names=["view"]).reset_index("view")
er = rows.pivot(index=["view", "name"], columns="level", values="er")
rises = er[["zero_shot", "finetuned", "supervised"]].diff(axis=1) >= 0
page.figure("levels", robustness_figures.by_level(of_four), holds=not rises.any(axis=None))
of_openai = of_four[of_four["pretraining"].str.contains("OpenAI")]
page.slide("levels", robustness_figures.by_level(of_openai))
spread = f" ({style.points(soups['er'].min())} to {style.points(soups['er'].max())})"
page.table("table-1", robustness_figures.level_table(of_five, spread), soups=len(soups))

page.table(
    "four-shifts",
    robustness_figures.level_table(of_four),
    **vars(view_four.line),
)

# %%
measured = [m for f in families.values() for m in records.available("accuracy", f, sets.GRID)]
of_book = of_measured(families, measured)
of_own = by_pretraining(of_book, families)
of_own = of_own[of_own.groupby("name")["er"].transform("count") > 0]
page.table("own", robustness_figures.level_table(of_own), robustness_figures.evidence(of_book))

# %%
choices = fit_choices()
page.table("fits", robustness_figures.fits(choices))
openai = zero_shot[zero_shot["pretraining"].str.contains("OpenAI")]
page.figure("fit-choice", robustness_figures.spans_of_lines(openai, view_five))
page.slide("fit-choice", robustness_figures.spans_of_lines(openai, view_five))
others = five[five["level"].isin(["finetuned", "supervised"])]
apart = {
    (one, other): abs(zero_shot.at[one, "imagenet"] - others.at[other, "imagenet"])
    for one in zero_shot.index
    for other in others.index
}
pair = five.loc[[*min(apart, key=apart.get)]]
page.slide("equal", robustness_figures.spans_of_lines(pair, view_five), 2.4)

# %%
page.numbers("lowest", zero_shot.iloc[0])
page.numbers("highest", zero_shot.iloc[-1])
page.numbers("fit", choices.query("v2 == 'mean' and kinds == 'all'").iloc[0])
page.numbers("matched", choices[choices["v2"].eq(CLIP_V2) & choices["kinds"].eq("all")].iloc[0])
page.number(pool_size=len(pool))
