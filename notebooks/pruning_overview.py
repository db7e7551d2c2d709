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
from companion.publish import charts, overview, style, words
from companion.publish.style import percent, points

found = overview.known("pruning", edition, "reader")
example = overview.example(found)

# %% [markdown]
# ## The example

# %%
first = example[0]
pruned = rules.pruned(first, share)  # as the claim is judged
change = pruned["accuracy_change"]
style.figure(
    "pruning",
    charts.pruning(
        {title: charts.pruning_curves(m) for title, m in overview.titled(example).items()}
    ),
    words.kind(example),
    f"""Pruning {100 * share:g} % of the directions (dashed) changes the accuracy of
    {overview.title(first, data=False)} by {points(change.value, change.high - change.value)}
    points. Blue: 95 % interval; grey: {first.value("random_orders")} random orders.""",
    more=f"""The counterpart of the paper's Figure 3 in another task: find each image's own caption
    among {first.counts["classes"]}. The interval is of the paired difference from the whole head,
    which the right panel shows; grey runs from the lowest to the highest.""",
)

# %%
rank = len(first.value("accuracy_importance"))
style.table(
    "kept", overview.kept(first, (1, 0.6, 0.4, 0.3, 0.2, 0.1)), words.kind(example),
    f"""Accuracy of {overview.title(first)} with some of its directions pruned, in four orders.""",
    more="""Difference: between pruning the least important directions first and the whole head, on
    the same images, ± 95 % interval.""",
)  # fmt: skip

# %%
at = {name: n.value for name, n in pruned.items()}
limit = f"{at['fewest']:.0f} of {rank} ({100 * at['without_loss']:.0f} % pruned)"
style.text("whole", f"{percent(at['accuracy_whole'])} %")
style.text("limit", limit)
style.text("outcome", overview.pruned_at(first, share))
directions = words.of_same_model(first, "privileged_directions")[first.data.name]
style.text("without-first", overview.without_first(first, directions))

# %% [markdown]
# ## On ImageNet


# %%
def row(m) -> dict[str, str]:
    """One model's ImageNet head with that share of the directions pruned."""
    pruned = rules.pruned(m, share)
    at, change = {name: n.value for name, n in pruned.items()}, pruned["accuracy_change"]
    return {
        "model": overview.title(m, data=False),
        "whole (%)": percent(at["accuracy_whole"]),
        "kept": f"{at['kept']:.0f} of {at['rank']:.0f}",
        "difference (points)": points(change.value, change.high - change.value),
        "at random (%)": percent(at["accuracy_random"]),
        "interval below zero from": f"{at['fewest']:.0f}",
    }


on_imagenet = [m for m in found if m.data.name == "imagenet" and is_whole(m.data.what)]
style.table(
    "imagenet", pd.DataFrame(map(row, on_imagenet)), words.kind(on_imagenet),
    f"""Accuracy on ImageNet with {100 * share:.0f} % of the directions pruned, the least important
    first, compared with the whole head and with pruning at random.""",
    more="""Difference: from the whole head on the same images, ± 95 % interval. The last column is
    the number of directions below which this interval lies below zero.""",
    missing="""Accuracy on ImageNet against the share of pruned directions: `companion extract
    FAMILY --data imagenet`, then `companion measure pruning FAMILY --record`.""",
)  # fmt: skip
