# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [pocket]
#     features: true
#     reads:
#     - data/emoji/emoji.zip
#     - data/measurements/outlier_features/*.json
#     - data/measurements/privileged_directions/*.json
#     - data/measurements/pruning_under_shift/*.json
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
# ---

# %% [markdown]
# # Pruning the pocket models
#
# What it costs to prune the least important directions, over both backbones. The page
# {doc}`/pruning` shows these results and explains them.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
pruned_share: float = 0.8  # share of directions pruned in the claim

# %%
import pandas as pd

from analysis.families.registry import load_families
from companion.measurements import accuracies
from companion.publish import dots, inside, style

found = inside.models(load_families(edition))
trained = [one for one in found if one.model.level != "random"]

# %%
PANELS = {"accuracy, training style": "inside", "ER, unseen styles": "robustness"}
changes = {
    panel: [
        dots.Row(one.title, one.model.level, *(100 * v for v in one.change(quantity, pruned_share)))
        for one in trained
    ]
    for panel, quantity in PANELS.items()
}  # fmt: skip
style.figure(
    "pruning", dots.rows(changes, "change (points)") if found else None, "recorded, live",
    f"""What pruning the least important {100 * pruned_share:g} % of the directions costs: change
    from the whole head of accuracy in the training style, and of effective robustness on the
    unseen styles. Bars: 95 % of resamples of the test concepts and of the baseline's pool,
    paired.""",
)  # fmt: skip

# %%
extrapolated = accuracies.pocket_pool("unseen")["imagenet"].min()
pruned = pd.DataFrame(
    {
        "model": one.title,
        "kept": f"{one.kept(pruned_share)} of {one.rank}",
        "accuracy (%)": f"{style.percent(one.accuracy(0))} → "
        + style.percent(one.accuracy(pruned_share))
        + " (*)" * bool(one.accuracy(pruned_share) < extrapolated),
        "change": inside.signed(one.change("inside", pruned_share)),
        "change of ER": inside.signed(one.change("robustness", pruned_share)),
    }
    for one in trained
)  # fmt: skip
style.table(
    "pruning-80", pruned, "recorded, live",
    f"""Accuracy in the training style with all directions and pruned to the most important ones;
    what pruning changes of it and of effective robustness on the unseen styles, in points, with
    the 95 % interval. (*): less accurate than every model of the baseline's pool
    ({style.percent(extrapolated)} %), so that the baseline is extrapolated and ER says little.""",
)  # fmt: skip
