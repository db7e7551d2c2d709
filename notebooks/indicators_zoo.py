# ---
# jupyter:
#   companion:
#     scope: edition
#     features: false
#     measurements: [basis, outlier_features, privileged_directions]
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # Indicators over all published CLIP models
#
# What the edition zoo has measured, against effective robustness, beside what ImageNet accuracy and
# the training data tell without any measurement. The page {doc}`/indicators` explains it.

# %% tags=["parameters"]
edition: str = "paper"  # the zoo is one for all
resamples: int = 2000  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap
least: float = 0.1  # ImageNet accuracy above which a model counts

# %%
import numpy as np

from analysis.metrics.peers import expected_by_others, left_out_error
from companion.measurements import accuracies, atlas
from companion.publish import compared, dots, style

every, on = atlas.measured_zoo(accuracies.load())
usable = every[every["imagenet"] > least].reset_index(drop=True)
known = usable.dropna(subset=["kurtosis"])
judged = compared.zoo(usable, resamples, seed)

# %% [markdown]
# ## The baseline by hand
#
# What ImageNet accuracy alone misses of a data family that was left out: the root mean square.

# %%
columns = [usable[name] for name in ("imagenet", "shifted", "group")]
missed = usable["shifted"] - expected_by_others(*columns)
assert np.isclose(np.sqrt((missed**2).mean()), left_out_error(*columns))

# %% [markdown]
# ## What each quantity adds

# %%
titles = {"kurtosis": "κ", "persistence": "persistence", "mean_share": "share in the mean image",
          "top_importance": "top importance (× mean)"}  # fmt: skip
panels = {
    title: [dots.Marks("zero-shot CLIP", "zero_shot", own[name], own["er"], look="small")]
    for name, title in titles.items() for own in [usable.dropna(subset=[name])] if len(own)
}  # fmt: skip
shown = panels if len(judged) else {}
label = "effective robustness, five shifts (points)"
style.figure(
    "scatter", dots.scatter(shown, label) if shown else None, "published, recorded",
    f"""Each quantity of the published zero-shot CLIP models above {100 * least:.0f} % on ImageNet,
    measured on {on}, against effective robustness from published accuracies.""",
)  # fmt: skip
style.table(
    "candidates", judged, "published, recorded",
    """A quantity worth measuring lowers the error on a family left out and raises the share
    explained. Brackets: 95 % intervals.""",
    more=f"""{resamples} resamples of data families (seed {seed}). Given accuracy: partial rank
    correlation. Family left out: root mean square error of a line through all other families, from
    ImageNet accuracy alone and with the quantity (κ, importance: logarithms). Explained by data:
    share of the distance from the common line (logits) that family explains, adjusted.""",
    missing=f"""κ, persistence, the share of the mean image and importance of the {len(usable)}
    published CLIP models that the bar rests on; so far {len(known)} of them have a measurement
    of the edition `zoo`, and {compared.LEAST_OF_THE_ZOO} are needed. On a machine with a GPU and
    ImageNet's validation images: `companion families zoo`, then `companion grid --edition zoo`.""",
)  # fmt: skip
