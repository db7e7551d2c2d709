# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     measurements: [concepts, privileged_directions, pruning, textures]
#     reads:
#     - data/embeddings.yaml
# ---

# %% [markdown]
# # ImageNet's zero-shot head
#
# We measure privileged directions, pruning and concepts of encoders whose head and features others
# published, for {doc}`/privileged_directions`, {doc}`/pruning` and {doc}`/concepts`.

# %% tags=["parameters"]
edition: str = "paper"  # which families
share: float = 0.8  # of the directions pruned, the least important first: from 0 to 1

# %%
from companion.chapters import concept_tables, encoder_tables, measured, pruning_figures
from companion.engine import plots
from companion.engine.page import Page
from companion.measurements import records
from companion.measurements.pruned import in_each_order

directions = measured.with_imagenets_head(measured.of_editions("privileged_directions", edition))
pruning = measured.with_imagenets_head(measured.of_editions("pruning", edition))
page = Page("imagenet_head")

# %% [markdown]
# ## Privileged directions

# %%
controls = measured.frame(directions, lambda m: {"largest": m.value("importance").max()})
controls["head_centred"] = controls["importance_head_centred"].str[0]
highest = controls[["head_centred", "control_centred_features"]].max(axis=1)
lower = (highest < controls["control_random_features"]).all()
page.table("controls", controls, directions, holds=lower)
mostly = (controls["head_centred"] < controls["largest"] / 2).all()
page.holds(mostly, "most of its importance comes from a vector that all rows of a head share")
random_head = controls["control_random_head"] < controls["head_centred"] / 2
page.holds(random_head.all(), "because the head's first singular value is large")
page.numbers("of-controls", controls.to_dict("list"))

# %% [markdown]
# ## Pruning

# %%
cost = encoder_tables.pruned_at(pruning, share)
lost = cost.drop_duplicates("set")["lost"]
apart = cost["accuracy_kept"] - cost["singular_value"]
page.holds(apart.max() < 0.005, "weighting by the images adds next to nothing")
open_if_all_count = cost["lost"].tolist()[1] == "undecided"
page.holds(open_if_all_count, "a loss of more than one point is undecided")
page.figure(
    "pruning",
    pruning_figures.curves({measured.set_title(m): pruning_figures.all_steps(m) for m in pruning}),
    pruning,
    orders=pruning[0].value("random_orders"),
)
KEPT = (1, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of directions shown in the table
rows = measured.frame(pruning, lambda m: in_each_order(m, KEPT).to_dict("list"))
page.table("kept", rows, pruning)
page.table(
    "eighty", cost, pruning, share=100 * share, holds=open_if_all_count and lost.eq("yes").all()
)

# %% [markdown]
# ## Textures, and a warning about counts of concepts

# %%
(concepts,) = (m for m in records.read_all("concepts", "vit_b_32") if m.data.name == "textures")
rows, axis = encoder_tables.encoded_concepts(concepts)
limits = (-2, concepts.counts["concepts"])
page.slide("concepts", plots.marks(rows, axis, limits=limits), 3)
page.figure(
    "concepts",
    plots.marks(rows, axis, limits=limits),
    [concepts],
    probe=concept_tables.probe_images([concepts]),
    holds=rows["low"][0] <= rows["high"][2],
)
page.number(
    concepts_all=concepts.counts["concepts"],
    concepts_head=f"{rows[axis][0]:.4g}",
    concepts_random=f"{rows[axis][2]:.4g}",
    concepts_permuted=f"{rows[axis][3]:.4g}",
)

# %%
(textures,) = records.read_all("textures", "vit_b_32")
PAPER = ("meshed", "flecked", "perforated")  # what version 1 names of this model
page.table(
    "textures",
    encoder_tables.textures(textures, 8, PAPER),
    [textures],
    textures=textures.counts["textures"],
    draws=textures.value("draws"),
)
page.numbers("of-textures", encoder_tables.texture_numbers(textures))
