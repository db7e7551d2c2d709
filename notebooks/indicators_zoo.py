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
# This page compares what the edition zoo has measured with effective robustness, and with what
# ImageNet accuracy and the training data say without any measurement; {doc}`/indicators` explains
# it.

# %% tags=["parameters"]
edition: str = "paper"  # the zoo is one for all
resamples: int = 2000  # bootstrap resamples of data families
seed: int = 0  # seed of the bootstrap
least: float = 0.1  # ImageNet accuracy above which a model counts: from 0 to 1

# %%
import numpy as np
import pandas as pd

from companion.chapters import indicator_tables
from companion.chapters.indicator_tables import LEAST_OF_THE_ZOO, ZOO_QUANTITIES
from companion.chapters.peers import expected_by_others, left_out_error
from companion.engine import plots
from companion.engine.page import Page
from companion.measurements import accuracies, atlas

every, on = atlas.measured_zoo(accuracies.load())
usable = every[every["imagenet"] > least].reset_index(drop=True)
measured = usable["kurtosis"].notna().sum()
judged = indicator_tables.zoo(usable, resamples, seed)
page = Page("indicators_zoo", "published, recorded", resamples=resamples, seed=seed)

# %% [markdown]
# ## The baseline by hand
#
# How far ImageNet accuracy alone misses a data family that was left out is a root mean square.

# %%
columns = [usable[name] for name in ("imagenet", "shifted", "group")]
missed = usable["shifted"] - expected_by_others(*columns)
assert np.isclose(np.sqrt((missed**2).mean()), left_out_error(*columns))

# %% [markdown]
# ## What each quantity adds

# %%
ER = "ER, five shifts (points)"
panels = [
    pd.DataFrame(
        {"panel": title, "of": some["model"], "level": "zero_shot", "look": "small"}
        | {"value": some[name], ER: 100 * some["er"]}
    )
    for name, (title, _) in ZOO_QUANTITIES.items()
    for some in [usable.dropna(subset=[name])]
]
page.figure(
    "scatter",
    plots.scatter(pd.concat(panels), "value", ER) if len(judged) else None,
    least=100 * least,
    on=on,
)
page.table(
    "candidates",
    judged,
    models=len(usable),
    known=measured,
    needed=LEAST_OF_THE_ZOO,
)
