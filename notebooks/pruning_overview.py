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
from analysis.images.imagelist import is_whole
from companion.claims import rules
from companion.publish import figures, measured, tables, words
from companion.publish.page import Page
from companion.publish.style import percent, points

found = measured.known("pruning", edition, "reader")
first = measured.example(found)[0]
page = Page("pruning_overview", [first], share=100 * share)

# %% [markdown]
# ## The example

# %%
pruned = rules.pruned(first, share)  # as the claim is judged
change = pruned["accuracy_change"]
page.figure(
    "pruning",
    figures.pruning({measured.full_title(first): figures.pruning_steps(first)}),
    orders=first.value("random_orders"),
    classes=first.counts["classes"],
    holds=change.high < 0,
)

# %%
KEPT = (1, 0.6, 0.4, 0.3, 0.2, 0.1)
page.table("kept", tables.in_each_order(first, KEPT), model=measured.full_title(first))

# %%
(outcome,) = tables.pruned_at([first], share).to_dict("records")
page.holds(outcome["lost"] == "yes", "a loss of more than one point is established")
rank = len(first.value("accuracy_importance"))
page.texts(
    whole=f"{percent(pruned['accuracy_whole'])} %",
    limit=f"{pruned['fewest']:.0f} of {rank} ({100 * pruned['without_loss']:.0f} % pruned)",
    eighty_kept=f"{outcome['kept']} of {rank}",
    eighty=f"{outcome['accuracy (%)']} %",
    eighty_change=outcome["change (points)"],
    eighty_random=f"{outcome['at random (%)']} %",
    eighty_by_value=f"{outcome['by singular value (%)']} %",
)
directions = words.of_same_model(first, "privileged_directions")[first.data.name]
without = first.value("accuracy_without_each")
worst = int(without.argmin())
is_top = worst == directions.value("top_direction") == 0
page.holds(is_top, "Leaving out the top direction alone lowers accuracy")
page.texts(
    without_first=f"{percent(without[worst])} %",
    without_others=f"{percent(sorted(without)[1])} %",
    first_with_head_mean=f"{directions.value('top_with_head_mean'):.3f}",
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
page.table("imagenet", map(row, on_imagenet), on_imagenet)
