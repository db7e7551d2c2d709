# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [privileged_directions, pruning]
# ---

# %% [markdown]
# # Pruning over all families
#
# All pruning that was measured, live or recorded. The page {doc}`/pruning` shows these results and
# explains them; the families' pages show how a head is pruned.

# %% tags=["parameters"]
edition: str = "paper"  # which families
share: float = 0.8  # of the directions pruned, the least important first: that of the claim

# %%
import pandas as pd

from analysis.images.imagelist import is_whole
from companion.claims import rules
from companion.publish import figures, measured, style, tables, words
from companion.publish.style import holds, percent, points

found = measured.known("pruning", edition, "reader")
first = measured.example(found)[0]

# %% [markdown]
# ## The example

# %%
pruned = rules.pruned(first, share)  # as the claim is judged
change = pruned["accuracy_change"]
holds(change.high < 0, "pruning 80 % of the directions lowers accuracy")
style.figure(
    "pruning",
    figures.pruning({measured.full_title(first): figures.pruning_steps(first)}),
    words.kind([first]),
    f"""Pruning {100 * share:g} % of the directions lowers accuracy in retrieving captions. Right:
    the change, with its 95 % interval; grey: {first.value("random_orders")} random orders, lowest
    to highest.""",
    more=f"""The counterpart of the paper's Figure 3 in another task: find each image's own caption
    among {first.counts["classes"]}. The interval is of the paired difference from the whole
    head.""",
)

# %%
rank = len(first.value("accuracy_importance"))
style.table(
    "kept",
    tables.in_each_order(first, (1, 0.6, 0.4, 0.3, 0.2, 0.1)),
    words.kind([first]),
    """Accuracy falls as directions are pruned, in each of four orders.""",
    more=f"""{measured.full_title(first)}. Difference: between pruning the least important
    directions first and the whole head, on the same images, ± 95 % interval.""",
)

# %%
(outcome,) = tables.pruned_at([first], share).to_dict("records")
holds(outcome["lost"] == "yes", "a loss of more than one point is established")
style.texts(
    {
        "whole": f"{percent(pruned['accuracy_whole'])} %",
        "limit": f"{pruned['fewest']:.0f} of {rank} ({100 * pruned['without_loss']:.0f} % pruned)",
        "eighty-kept": f"{outcome['kept']} of {rank}",
        "eighty": f"{outcome['accuracy (%)']} %",
        "eighty-change": outcome["change (points)"],
        "eighty-random": f"{outcome['at random (%)']} %",
        "eighty-by-value": f"{outcome['by singular value (%)']} %",
    }
)
directions = words.of_same_model(first, "privileged_directions")[first.data.name]
without = first.value("accuracy_without_each")
worst = int(without.argmin())
holds(worst == directions.value("top_direction") == 0, "it is the top direction, the first one")
style.texts(
    {
        "without-first": f"{percent(without[worst])} %",
        "without-others": f"{percent(sorted(without)[1])} %",
        "first-with-head-mean": f"{directions.value('top_with_head_mean'):.3f}",
    }
)

# %% [markdown]
# ## On ImageNet


# %%
def row(m) -> dict[str, str]:
    """One model's ImageNet head with that share of the directions pruned."""
    pruned = rules.pruned(m, share)
    change = pruned["accuracy_change"]
    return {
        "model": measured.full_title(m, data=False),
        "whole (%)": percent(pruned["accuracy_whole"]),
        "kept": f"{pruned['kept']:.0f} of {pruned['rank']:.0f}",
        "difference (points)": points(change.value, change.high - change.value),
        "at random (%)": percent(pruned["accuracy_random"]),
        "interval below zero from": f"{pruned['fewest']:.0f}",
    }


on_imagenet = [m for m in found if m.data.name == "imagenet" and is_whole(m.data.what)]
style.table(
    "imagenet",
    pd.DataFrame(map(row, on_imagenet)),
    words.kind(on_imagenet),
    f"""Accuracy on ImageNet with {100 * share:.0f} % of the directions pruned, the least important
    first, compared with the whole head and with pruning at random.""",
    more="""Difference: from the whole head on the same images, ± 95 % interval. The last column is
    the number of directions below which this interval lies below zero.""",
    missing="""Accuracy on ImageNet against the share of pruned directions: `companion extract
    FAMILY --data imagenet`, then `companion measure pruning FAMILY --record`.""",
)
