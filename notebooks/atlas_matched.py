# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # What equally accurate models reach
#
# This page compares finetuned CLIP models with supervised models of equal ImageNet accuracy, and
# shows how robust ordinary models look against the line, from published accuracies;
# {doc}`/robustness_atlas` explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # whose families are named in the tables
reach: float = 0.05  # of the local fit to supervised models, in ImageNet accuracy: from 0 to 1
resamples: int = 1000  # bootstrap resamples of kinds of supervised models
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.metrics.indicators import interval, rank_correlation
from analysis.metrics.robustness import effective_robustness, fit_baseline, logit, matched_excess
from companion.chapters import robustness_figures
from companion.engine import style
from companion.engine.cells import joined
from companion.engine.page import Page
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import CLIP_V2

table = accuracies.load()
four = atlas.on_four_shifts(table)
supervised = atlas.ordinary(four)
weights = supervised.groupby(["model", "weights"]).ngroups  # each at its image sizes
finetuned = four.query("source == 'timm' and level == 'finetuned'").sort_values("imagenet")
page = Page("atlas_matched", "published", resamples=resamples, seed=seed)

# %% [markdown]
# ## Equal accuracy by hand
#
# Take one finetuned model and the supervised models within reach of its ImageNet accuracy. Their ER
# rises with accuracy, so fit a parabola in logit accuracy and read it off at the model's own.

# %%
model = finetuned[finetuned["weights"] == "openai_ft_in1k"].iloc[0]
peers = supervised[(supervised["imagenet"] - model["imagenet"]).abs() <= reach]
x = logit(peers["imagenet"]) - logit(model["imagenet"])
by_hand = model["er"] - np.polyfit(x, peers["er"], deg=2)[-1]
ordinary = supervised["imagenet"], supervised["er"]
assert np.isclose(
    by_hand, matched_excess([model["imagenet"]], [model["er"]], *ordinary, reach).excess[0]
)

# %%
matched = matched_excess(finetuned["imagenet"], finetuned["er"], *ordinary, reach)
finetuned = finetuned.assign(**matched._asdict(), expected=finetuned["er"] - matched.excess)
modern = fit_baseline(supervised["imagenet"], supervised["shifted"])
finetuned["refitted"] = effective_robustness(finetuned["shifted"], finetuned["imagenet"], modern)
kinds = supervised["model"].str.extract(r"^([a-z]+)", expand=False)


def excess(model):
    """The excess of a model with the 95 % interval from resampled kinds of supervised models."""

    def drawn(x, er):
        return matched_excess([model.imagenet], [model.er], x, er, reach).excess[0]

    low, high = interval(drawn, kinds, *ordinary, resamples=resamples, seed=seed)
    return model.excess, low, high


page.table(
    "matched",
    finetuned.assign(
        ends=[*map(excess, finetuned.itertuples())],
        beyond=np.where(finetuned["imagenet"] > ordinary[0].max(), " †", ""),
    ),
    reach=100 * reach,
    kinds=kinds.nunique(),
    slope=modern.slope,
    intercept=modern.intercept,
    weights=weights,
)

# %%
zero_shot = four[four["source"] == "open_clip"]
drawing = robustness_figures.beside_equals(supervised, zero_shot, finetuned)
counts = {
    name: (models["imagenet"] > 0.6).sum()
    for name, models in {"supervised": supervised, "zero_shot": zero_shot}.items()
}
(shown,) = finetuned.query(
    "model == 'vit_large_patch14_clip_224' and weights == 'openai_ft_in1k'"
).to_dict("records")
# From the testbed's line, from a line through modern models, from equals.
above = {of: shown[of] for of in ("er", "refitted", "excess")}
bottoms = [100 * (shown["er"] - distance) for distance in above.values()]
robustness_figures.arrows_beside(drawing, 100 * shown["imagenet"], 100 * shown["er"], bottoms)
page.figure(
    "equals",
    drawing,
    **counts,
    finetuned=len(finetuned),
    **{f"above_{of}": style.points(distance) for of, distance in above.items()},
    holds=above["er"] > above["refitted"] > above["excess"] > 0,
)
page.slide("equals", drawing)

# %%
comparable = finetuned.dropna(subset=["excess", "limit"])
further = "lie further above the expectation than 97.5 % of the supervised models do"
page.holds((comparable["excess"] > comparable["limit"]).all(), further)
page.number(exceed=len(comparable))
openai = finetuned[finetuned["weights"] == "openai_ft_in1k"].set_index("model")
for name, tag in {"b32": "base_patch32", "b16": "base_patch16", "l14": "large_patch14"}.items():
    page.numbers("of-openai", {"of": name} | openai.loc[f"vit_{tag}_clip_224"].to_dict())

# %% [markdown]
# ## Mean effective robustness of ordinary models

# %%
pool = accuracies.baseline_pool(accuracies.wide(table, CLIP_V2))
pool = pool.assign(er=effective_robustness(pool["shifted"], pool["imagenet"]))
three = accuracies.baseline_pool(accuracies.wide(table, "mean"))  # the same models in this order
easier = effective_robustness(three["shifted"], three["imagenet"]) - pool["er"]
cuts = [0, 0.3, 0.6, 0.7, 0.76, 0.8, 0.84, 1]
both = pd.concat({"pool": pool, "timm": supervised}, names=["of"]).reset_index("of")
bins = pd.cut(both["imagenet"], cuts, right=False)
of_bins = both.groupby(["of", bins], observed=False)["er"].agg(["size", "mean", "max"])
page.table(
    "bias",
    joined(of_bins.unstack("of")).assign(low=cuts[:-1], high=cuts[1:]),
    pool=len(pool),
    weights=weights,
    lowest=style.points(easier.min()),
    highest=style.points(easier.max()),
)
accurate = supervised[supervised["imagenet"] > 0.84]
slope = np.polyfit(accurate["imagenet"], accurate["er"], 1)[0]
page.number(supervised_rank=f"{rank_correlation(*ordinary):.2f}", supervised_slope=f"{slope:.1f}")
