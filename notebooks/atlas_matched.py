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
# Finetuned CLIP models compared with supervised models of equal ImageNet accuracy, from published
# accuracies. The page {doc}`/robustness_atlas` shows these results and explains them.

# %% tags=["parameters"]
edition: str = "paper"  # whose families are named in the tables
reach: float = 0.05  # how far, in ImageNet accuracy, the local fit looks for supervised models
resamples: int = 1000  # bootstrap resamples of kinds of supervised models
seed: int = 0  # seed of the bootstrap

# %%
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis.metrics import robustness
from analysis.metrics.indicators import interval, rank_correlation
from analysis.metrics.robustness import effective_robustness, fit_baseline, matched_excess
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import CLIP_V2, FOUR_SHIFTS
from companion.publish import atlas as charts
from companion.publish import style
from companion.publish.style import with_interval

table = accuracies.load()
pool = accuracies.baseline_pool(accuracies.wide(table, CLIP_V2, FOUR_SHIFTS))
line = fit_baseline(pool["imagenet"], pool["shifted"])
four = atlas.models(table, FOUR_SHIFTS)
four = four.assign(er=effective_robustness(four["shifted"], four["imagenet"], line))
timm = four[four["source"] == "timm"]
supervised = timm[(timm["level"] == "supervised") & (timm["group"] == "ImageNet-1k")]
finetuned = timm[timm["level"] == "finetuned"].sort_values("imagenet")
weights = supervised.groupby(["model", "weights"]).ngroups  # each at its image sizes

# %% [markdown]
# ## Equal accuracy by hand
#
# Take one finetuned model and the supervised models within reach of its ImageNet accuracy. Their ER
# rises with accuracy, so fit a parabola in logit accuracy and read it off at the model's own.

# %%
one = finetuned[finetuned["weights"] == "openai_ft_in1k"].iloc[0]
peers = supervised[(supervised["imagenet"] - one["imagenet"]).abs() <= reach]
x = robustness.logit(peers["imagenet"]) - robustness.logit(one["imagenet"])
by_hand = one["er"] - np.polyfit(x, peers["er"], deg=2)[-1]
ordinary = supervised["imagenet"], supervised["er"]
found = matched_excess([one["imagenet"]], [one["er"]], *ordinary, reach)
assert np.isclose(by_hand, found.excess[0])

# %%
matched = matched_excess(finetuned["imagenet"], finetuned["er"], *ordinary, reach)
finetuned = finetuned.assign(**matched._asdict(), expected=finetuned["er"] - matched.excess)
modern = fit_baseline(supervised["imagenet"], supervised["shifted"])
finetuned["refitted"] = effective_robustness(finetuned["shifted"], finetuned["imagenet"], modern)
kinds = supervised["model"].str.extract(r"^([a-z]+)", expand=False)


def told(model):
    """The excess of a model with the 95 % interval from resampled kinds of supervised models."""

    def excess(x, er):
        return matched_excess([model.imagenet], [model.er], x, er, reach).excess[0]

    low, high = interval(excess, kinds, *ordinary, resamples=resamples, seed=seed)
    return with_interval(model.excess, low, high)


style.table(
    "matched",
    pd.DataFrame(
        {"finetuned model": f"{m.model}, {m.data}, {m.image_size} pixels"
                            + " †" * bool(m.imagenet > ordinary[0].max()),
         "ImageNet (%)": style.percent(m.imagenet),
         "ER": style.points(m.er),
         "expected": style.points(m.expected),
         "excess": told(m),
         "97.5 % of supervised": style.points(m.limit),
         "supervised models": m.models,
         "ER, refitted line": style.points(m.refitted)}
        for m in finetuned.itertuples()
    ), "published",
    """Finetuned CLIP models are more robust than supervised models of their accuracy are expected
    to be (points, four shifts). Expected: local fit to supervised models; excess: ER minus it.""",
    more=f"""The fit is quadratic in logit accuracy over models within {100 * reach:g} points;
    97.5 % of them exceed it by less than the number given. Brackets: {resamples} resamples of
    {kinds.nunique()} kinds of model, seed {seed}. †: more accurate than every supervised model.
    Refitted line: {style.minus(f"slope {modern.slope:.3f}, intercept {modern.intercept:.3f}")}.
    {weights} models, each at every image size.""",
)  # fmt: skip

# %%
zero_shot = four[four["source"] == "open_clip"]
drawn, others = (models[models["imagenet"] > 0.6] for models in (supervised, zero_shot))
style.figure(
    "equals", charts.matched(drawn, others, finetuned), "published",
    """Accurate supervised models have effective robustness, too. Vertical line: what a finetuned
    CLIP model has beyond the ER expected at its accuracy.""",
    more=f"""Four shifts, above 60 % on ImageNet: {len(drawn)} marks of supervised models, one for
    each image size, {len(others)} zero-shot and {len(finetuned)} finetuned CLIP models.""",
)  # fmt: skip

# %% [markdown]
# ## The line's own bias

# %%
pool = accuracies.baseline_pool(accuracies.wide(table, CLIP_V2))
pool = pool.assign(er=effective_robustness(pool["shifted"], pool["imagenet"]))
three = accuracies.baseline_pool(accuracies.wide(table, "mean"))  # the same models in this order
easier = effective_robustness(three["shifted"], three["imagenet"]) - pool["er"]
cuts = [0, 0.3, 0.6, 0.7, 0.76, 0.8, 0.84, 1]
rows = []
for low, high in pairwise(cuts):
    old, new = (m.loc[m["imagenet"].between(low, high, "left"), "er"] for m in (pool, supervised))
    cells = [(len(m), style.points(m.mean()), style.points(m.max())) for m in (old, new)]
    rows.append((f"{100 * low:.0f} to {100 * high:.0f}", *cells[0], *cells[1]))
columns = ["ImageNet (%)", "pool", "mean ER", "highest", "timm", "mean ER, timm", "highest, timm"]
style.table(
    "bias", pd.DataFrame(rows, columns=columns), "published",
    """Above 80 % the line expects too little of ordinary models: their mean effective robustness
    (points) exceeds the 0 of a line without bias.""",
    more=f"""Pool: the {len(pool)} models that the paper's line comes from, five shifts, printed
    line. timm: {weights} models trained on ImageNet-1k alone, once at each image size, four shifts,
    line refitted to the pool. ImageNet-V2: matched-frequency; with the mean of its three variants a
    pool model has {style.points(easier.min())} to {style.points(easier.max())} points more.""",
)  # fmt: skip

# %%
above = (finetuned["excess"] - finetuned["limit"]).dropna() > 0
style.text("exceed", f"{above.sum()} of {len(above)} comparable")
openai = finetuned[finetuned["weights"] == "openai_ft_in1k"].set_index("model")
for name, tag in {"b32": "base_patch32", "b16": "base_patch16", "l14": "large_patch14"}.items():
    m = openai.loc[f"vit_{tag}_clip_224"]
    above = f"{style.points(m['excess'])} exceed what supervised models of its accuracy should have"
    spread = f"97.5 % of these exceed it by less than {style.points(m['limit'])}"
    style.text(name, f"{style.points(m['er'])} points, of which {above} ({spread})")
style.text("supervised-rank", f"{rank_correlation(*ordinary):.2f}")
slope = np.polyfit(*np.array(ordinary)[:, supervised["imagenet"] > 0.84], 1)[0]
style.text("supervised-slope", f"above 84 % a point of accuracy goes with {slope:.1f} of ER")
