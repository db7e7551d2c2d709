# ---
# jupyter:
#   companion:
#     scope: edition
#     measurements: all
#     reads:
#     - data/claims.yaml
#     - data/embeddings.yaml
#     - data/published/*.csv
# ---

# %% [markdown]
# # Encoders whose features others published
#
# Features of single images, none of them ImageNet's validation images, of the paper's zero-shot
# encoders and of contrasts. The chapters show these results where they belong.

# %% tags=["parameters"]
edition: str = "paper"  # which families
threshold: float = 10.0  # times the mean importance: from there a direction is privileged

# %%
from companion.claims.evidence import gather
from companion.measurements import records
from companion.publish import charts, counts, dots, encoders, overview, style, words

found = encoders.outliers()
clip = {name: own for name, own in found.items() if own[0].level == "zero_shot"}

# %% [markdown]
# ## Outlier features

# %%
first = [own[0] for own in found.values()]
style.figure(
    "seven", encoders.seven(first), words.kind(first),
    f"""Outlier features of {len(clip)} zero-shot encoders, of a control with random weights and of
    supervised contrasts, each on the image set below its name. κ: mean and the middle 90 % of
    single images; line: the Gaussian's 3. Right: the coordinate that is the largest in most images,
    and in how many it is.""",
    more="""No image is one of ImageNet's validation images. *Inferred*: no source names the model
    and no head of it was there to confirm it; it decides no claim alone. Contrasts are no
    models of the paper.""",
)  # fmt: skip

# %%
several = [m for own in clip.values() if len(own) > 1 for m in own]
style.figure(
    "varies", encoders.seven(several), words.kind(several),
    """What varies and what does not: the same model on several image sets. κ: mean and the middle
    90 % of single images; line: the Gaussian's 3. Right: the coordinate that is the largest in most
    images, and in how many it is.""",
    more="""Of ImageNet's images features are means of ten views, cropped and flipped at random, and
    not of one.""",
)  # fmt: skip
style.text("contrasts-told", encoders.contrasts_told(first))
style.text("varies-told", encoders.varies(clip))

# %% [markdown]
# ## Beside effective robustness

# %%
evidence = gather(edition, experiments=("accuracy",))
beside = encoders.beside_robustness(clip, evidence.intervals)
style.figure(
    "beside-robustness", dots.rows(beside), words.kinds("published", words.kind(several)),
    """The zero-shot encoders by falling effective robustness (left, from published accuracies, with
    its 95 % interval). Right: κ on one image set of each; the line goes from the lowest to the
    highest mean of its image sets, where there are several. The image sets differ between models
    and are named in the figures above; *inferred* as there.""",
)  # fmt: skip
robust = sum(known.robust is True for name, known in evidence.robust.items() if name in clip)
style.text("beside-told", encoders.order_told(beside, robust))

# %% [markdown]
# ## Privileged directions and pruning with ImageNet's head

# %%
directions = encoders.with_imagenets_head(overview.known("privileged_directions", edition))
pruning = encoders.with_imagenets_head(overview.known("pruning", edition))
style.figure(
    "importance",
    charts.importance({encoders.titled(m): m for m in directions}, threshold),
    words.kind(directions),
    f"""Importance of every direction of ImageNet's zero-shot head (1,000 classes, 80 templates),
    relative to the mean importance, the counterpart of the paper's Figure 2 on the images named
    above. Dashed: after subtracting the mean row from the head. Dotted: {threshold:g} times.""",
)  # fmt: skip
style.table(
    "controls", encoders.controls(directions), words.kind(directions),
    """The largest importance over the mean importance, as it is and with one thing changed: the
    head less its mean row; the features at length 1 less their mean; Gaussian features; a Gaussian
    head of the same shape; both (means over draws).""",
)  # fmt: skip
style.figure(
    "pruning",
    charts.pruning({encoders.titled(m): charts.pruning_curves(m) for m in pruning}),
    words.kind(pruning),
    f"""Accuracy among ImageNet's 1,000 classes against the share of directions pruned, the
    counterpart of the paper's Figure 3 on the images named above each row. Blue band: 95 % interval
    of the paired difference from the whole head, shown on the right; grey: lowest to highest of
    {pruning[0].value("random_orders")} random orders. Dashed: the 80 % of the claim.""",
)  # fmt: skip
style.table(
    "kept", encoders.kept(pruning), words.kind(pruning),
    """Top-1 accuracy in percent among ImageNet's 1,000 classes with the most important directions
    kept, of as many as the head has beyond rounding. Change: from the whole head on the same
    images, ± 95 % interval.""",
)  # fmt: skip
style.text("controls-told", encoders.controls_told(directions))
style.text("ranks", encoders.ranks(pruning))
style.text("components", encoders.of_components(pruning, 0.8))
told = [f"- {encoders.titled(m)}: {overview.pruned_at(m, 0.8)}" for m in pruning]
style.text("pruned-told", "\n".join(told))
# the page takes away that this model loses accuracy
assert any("ViT-B/32 OpenAI" in one and "is established" in one for one in told)

# %% [markdown]
# ## Textures, and a warning about counts of concepts

# %%
(concepts,) = (m for m in records.read_all("concepts", "vit_b_32") if m.data.name == "textures")
style.figure(
    "concepts", dots.rows(encoders.counted(concepts)), words.kind([concepts]),
    """Concepts that some direction encodes, OpenAI's ViT-B/32: mean, and lowest to highest of draws
    of negatives, of sets of as many random directions, of permutations of the labels.""",
    counts.probe([concepts]),
)  # fmt: skip
style.text("concepts-told", encoders.counted_told(concepts))

# %%
(textures,) = records.read_all("textures", "vit_b_32")
PAPER = ("meshed", "flecked", "perforated")  # what version 1 names of this model
style.table(
    "textures", encoders.textures(textures, 8, PAPER), words.kind([textures]),
    f"""Textures (DTD) along the most important direction of ImageNet's zero-shot head, OpenAI's
    ViT-B/32: the highest of {textures.counts["textures"]}; \\*: those that version 1 names.""",
    more=f"""Average precision against as many photographs of objects (Caltech101) and places
    (SUN397), mean (lowest to highest) of {textures.value("draws")} draws of these, in the sign in
    which textures score higher on average.""",
)  # fmt: skip
style.text("textures-told", encoders.texture_told(textures))
