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
from companion.publish import concept_tables, figures, measured, plots, style, tables, words
from companion.publish.style import holds

directions = measured.with_imagenets_head(measured.known("privileged_directions", edition))
pruning = measured.with_imagenets_head(measured.known("pruning", edition))

# %% [markdown]
# ## Privileged directions

# %%
for m in directions:
    centred = max(m.value("importance_head_centred")[0], m.value("control_centred_features"))
    holds(centred < m.value("control_random_features"), "mean-centring lowers it below that")
style.table(
    "controls",
    tables.controls(directions),
    words.kind(directions),
    """Mean-centring the head or the features lowers the largest importance (times the mean) below
    what random features reach with the same head.""",
    more="""Head centred: its mean row subtracted. Features centred: mean subtracted, at length 1.
    Random: Gaussian features, a Gaussian head of the same shape, or both; means over draws.""",
)
style.texts(tables.control_ranges(directions))

# %% [markdown]
# ## Pruning

# %%
cost = tables.pruned_at(pruning, share)
lost = cost.drop_duplicates("model")["lost"]
holds(lost.eq("yes").all(), "pruning 80 % loses more than one point in both models")
apart = cost["accuracy (%)"].astype(float) - cost["by singular value (%)"].astype(float)
holds(apart.max() < 0.5, "weighting by the images adds next to nothing")
holds(cost["lost"].tolist()[1] == "undecided", "of all that RN50 could have, it is undecided")
style.figure(
    "pruning",
    figures.pruning({measured.set_title(m): figures.pruning_steps(m) for m in pruning}),
    words.kind(pruning),
    f"""Pruning 80 % of the directions costs accuracy; pruning at random (grey, lowest to highest of
    {pruning[0].value("random_orders")} orders) costs far more. Right: the change, with its 95 %
    interval.""",
    more="""The counterpart of the paper's Figure 3, on the images named above each row. Accuracy
    among ImageNet's 1,000 classes; the change is paired, image by image, with the whole head.""",
)
style.table(
    "kept",
    tables.kept(pruning),
    words.kind(pruning),
    """Accuracy (%) falls with the share of directions kept, the most important first. Change: from
    the whole head on the same images, ± 95 % interval.""",
    more="Top-1 accuracy, 1,000 classes. Shares are of the directions that are more than rounding.",
)
style.table(
    "eighty",
    cost,
    words.kind(pruning),
    f"""Pruning {100 * share:g} % of the directions loses more than one point of accuracy; ordering
    by importance is no better than by singular value.""",
    more="""Change: from the whole head on the same images, ± 95 % interval. Lost: whether that
    interval lies below −1 point. At random, by singular value: accuracy with the same number of
    directions kept. Of all: 80 % of the directions that a head of this shape could have.""",
)

# %% [markdown]
# ## The head, direction by direction

# %%
(b32,) = (m for m in pruning if "ViT-B/32" in measured.set_title(m))
(importance,) = (m.value("importance") for m in directions if m.model == b32.model)
accuracy = b32.value("accuracy_importance")
kept = round((1 - share) * len(accuracy))
style.figure(
    "strips",
    figures.strips(
        importance,
        {
            f"all {len(accuracy)} directions": (len(accuracy), accuracy[-1]),
            f"{100 * share:g} % pruned: {kept} directions kept": (kept, accuracy[kept - 1]),
        },
    ),
    words.kind([b32]),
    f"""The head as strips, one for each direction, as high as its importance (log scale). Pruning
    {100 * share:g} % of them (grey) lowers ViT-B/32's accuracy.""",
)

# %% [markdown]
# ## Textures, and a warning about counts of concepts

# %%
(concepts,) = (m for m in records.read_all("concepts", "vit_b_32") if m.data.name == "textures")
rows, axis = tables.encoded(concepts)
holds(rows["low"][0] <= rows["high"][2], "the head's directions encode no more than random ones")
style.figure(
    "concepts",
    plots.marks(rows, axis, limits=(0, concepts.counts["concepts"])),
    words.kind([concepts]),
    """The head's directions encode about the same number of concepts as random directions. OpenAI's
    ViT-B/32; dot: mean; bar: lowest to highest draw.""",
    concept_tables.probe([concepts]),
)
for name, row in {"head": 0, "random": 2, "permuted": 3}.items():
    style.text(f"concepts-{name}", f"{rows[axis][row]:.4g}")
style.text("concepts-all", str(concepts.counts["concepts"]))

# %%
(textures,) = records.read_all("textures", "vit_b_32")
PAPER = ("meshed", "flecked", "perforated")  # what version 1 names of this model
style.table(
    "textures",
    tables.textures(textures, 8, PAPER),
    words.kind([textures]),
    f"""The textures (of {textures.counts["textures"]}, DTD) that the most important direction of
    ImageNet's zero-shot head ranks highest, OpenAI's ViT-B/32; \\*: those that version 1 names.""",
    more=f"""Average precision against the same number of photographs of objects (Caltech101) and
    places (SUN397): mean (lowest to highest) of {textures.value("draws")} draws, in the sign in
    which textures score higher on average.""",
)
style.texts(tables.texture_numbers(textures))
