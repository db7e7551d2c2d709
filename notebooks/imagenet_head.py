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
# Privileged directions, pruning and concepts of encoders whose head and features others published:
# results for {doc}`/privileged_directions`, {doc}`/pruning` and {doc}`/concepts`.

# %% tags=["parameters"]
edition: str = "paper"  # which families
share: float = 0.8  # of the directions pruned, the least important first: that of the claim

# %%
from companion.measurements import records
from companion.publish import concept_tables, figures, measured, plots, tables, words
from companion.publish.page import Page
from companion.publish.style import digits, span

directions = measured.with_imagenets_head(measured.known("privileged_directions", edition))
pruning = measured.with_imagenets_head(measured.known("pruning", edition))
page = Page("imagenet_head")

# %% [markdown]
# ## Privileged directions

# %%
for m in directions:
    centred = max(m.value("importance_head_centred")[0], m.value("control_centred_features"))
    page.holds(centred < m.value("control_random_features"), at="controls")
controls = tables.controls(directions)
page.table("controls", controls.map(digits).reset_index(), words.kind(directions))
page.texts({f"controls-{name.replace(' ', '-')}": span(controls[name]) for name in controls})

# %% [markdown]
# ## Pruning

# %%
cost = tables.pruned_at(pruning, share)
lost = cost.drop_duplicates("model")["lost"]
page.holds(lost.eq("yes").all(), at="eighty")
apart = cost["accuracy (%)"].astype(float) - cost["by singular value (%)"].astype(float)
page.holds(apart.max() < 0.5, "weighting by the images adds next to nothing")
page.holds(cost["lost"].tolist()[1] == "undecided", "a loss is undecided")
page.figure(
    "pruning",
    figures.pruning({measured.set_title(m): figures.pruning_steps(m) for m in pruning}),
    words.kind(pruning),
    orders=pruning[0].value("random_orders"),
)
page.table("kept", tables.kept(pruning), words.kind(pruning))
page.table("eighty", cost, words.kind(pruning), share=100 * share)

# %% [markdown]
# ## The head, direction by direction

# %%
(b32,) = (m for m in pruning if "ViT-B/32" in measured.set_title(m))
(importance,) = (m.value("importance") for m in directions if m.model == b32.model)
accuracy = b32.value("accuracy_importance")
kept = round((1 - share) * len(accuracy))
page.figure(
    "strips",
    figures.strips(
        importance,
        {
            f"all {len(accuracy)} directions": (len(accuracy), accuracy[-1]),
            f"{100 * share:g} % pruned: {kept} directions kept": (kept, accuracy[kept - 1]),
        },
    ),
    words.kind([b32]),
    share=100 * share,
)

# %% [markdown]
# ## Textures, and a warning about counts of concepts

# %%
(concepts,) = (m for m in records.read_all("concepts", "vit_b_32") if m.data.name == "textures")
rows, axis = tables.encoded(concepts)
page.holds(rows["low"][0] <= rows["high"][2], at="concepts")
page.figure(
    "concepts",
    plots.marks(rows, axis, limits=(0, concepts.counts["concepts"])),
    words.kind([concepts]),
    probe=concept_tables.probe([concepts]),
)
for name, row in {"head": 0, "random": 2, "permuted": 3}.items():
    page.texts({f"concepts-{name}": f"{rows[axis][row]:.4g}"})
page.texts(concepts_all=concepts.counts["concepts"])

# %%
(textures,) = records.read_all("textures", "vit_b_32")
PAPER = ("meshed", "flecked", "perforated")  # what version 1 names of this model
page.table(
    "textures",
    tables.textures(textures, 8, PAPER),
    words.kind([textures]),
    textures=textures.counts["textures"],
    draws=textures.value("draws"),
)
page.texts(tables.texture_numbers(textures))
