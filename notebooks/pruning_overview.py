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
# This page collects all pruning that was measured, live or recorded. {doc}`/pruning` explains these
# results; the families' pages show how a head is pruned.

# %% tags=["parameters"]
edition: str = "paper"  # which families
share: float = 0.8  # of the directions pruned, the least important first: from 0 to 1

# %%
from companion.chapters import encoder_tables, measured, pruning_figures
from companion.engine.page import Page
from companion.measurements.pruned import in_each_order, pruned

measurements = measured.of_editions("pruning", edition, "reader")
first = measured.example(measurements)[0]
page = Page("pruning_overview", [first], share=100 * share)

# %% [markdown]
# ## The example

# %%
of_first = pruned(first, share)  # as the claim is judged
change = of_first["accuracy_change"]
page.figure(
    "pruning",
    pruning_figures.curves({measured.full_title(first): pruning_figures.all_steps(first)}),
    orders=first.value("random_orders"),
    classes=first.counts["classes"],
    holds=change.high < 0,
)
page.slide("pruning", pruning_figures.curves({"": pruning_figures.all_steps(first)}), 3.2)

# %%
KEPT = (1, 0.6, 0.4, 0.3, 0.2, 0.1)
page.table("kept", in_each_order(first, KEPT), model=measured.full_title(first))

# %%
page.holds(encoder_tables.lost(change) == "yes", "In retrieval, where ViT-B/16 finds")
page.numbers("of-example", of_first)
directions = measured.of_same_model(first, "privileged_directions")[first.data.name]
without = first.value("accuracy_without_each")
worst = int(without.argmin())
is_top = worst == directions.value("top_direction") == 0
page.holds(is_top, "Leaving out the top direction alone lowers accuracy")
row = {"worst": without[worst], "second": sorted(without)[1]}
page.numbers("without", row | {"with_mean": directions.value("top_with_head_mean")})

# %% [markdown]
# ## On ImageNet

# %%
on_imagenet = [m for m in measurements if m.data.name == "imagenet" and m.data.is_whole]
page.table("imagenet", measured.frame(on_imagenet, lambda m: pruned(m, share)), on_imagenet)
