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
assert min(own[0].value("kurtosis_mean") for own in clip.values()) > 6  # the caption says so
style.figure(
    "seven", encoders.seven(first), words.kind(first),
    f"""All {len(clip)} zero-shot encoders have κ far above 3 (line: Gaussian). Dot: mean over
    images; bar: middle 90 %. Right: the dominant coordinate, and in how many images it
    dominates.""",
    more="""None of the images are from ImageNet's validation set. *Inferred*: no source names the
    model and no head could confirm it, so no verdict rests on it alone. The supervised networks
    are not in the paper.""",
)  # fmt: skip

# %%
several = [m for own in clip.values() if len(own) > 1 for m in own]
for own in clip.values():  # the caption says so
    leaders = {str(m.value("persistence_coordinate")) for m in own}
    assert len(leaders) == 1 or "OpenAI" not in encoders.told(own[0])
style.figure(
    "varies", encoders.seven(several), words.kind(several),
    """κ of one model changes with the image set; OpenAI's models keep their dominant coordinate
    (right, with its share of images). Dot: mean over images; bar: middle 90 %; line: Gaussian.""",
    more="""For ImageNet images, features are averaged over ten random crops and flips.""",
)  # fmt: skip
style.text("contrasts-told", encoders.contrasts_told(first))
style.text("varies-told", encoders.varies(clip))

# %% [markdown]
# ## Beside effective robustness

# %%
evidence = gather(edition, experiments=("accuracy",))
beside = encoders.beside_robustness(clip, evidence.intervals)
k = [row.value for row in beside["activation kurtosis κ"]]
assert k != sorted(k, reverse=True)  # the caption says so
style.figure(
    "beside-robustness", dots.rows(beside), words.kinds("published", words.kind(several)),
    """κ (right) does not follow effective robustness (left, with its 95 % interval). Dot: κ on one
    image set; line: lowest to highest mean over the model's image sets.""",
    more="""Encoders by falling effective robustness, from published accuracies. The image sets
    differ between models; the figures above name them.""",
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
    f"""One direction of ImageNet's zero-shot head far exceeds the mean importance (1), much less so
    once the head's mean row is subtracted (dashed). Dotted: {threshold:g} times.""",
    more="The counterpart of the paper's Figure 2; 1,000 classes, each the mean of 80 templates.",
)  # fmt: skip
for m in directions:  # the caption says so
    centred = max(m.value("importance_head_centred")[0], m.value("control_centred_features"))
    assert centred < m.value("control_random_features")
style.table(
    "controls", encoders.controls(directions), words.kind(directions),
    """Mean-centring the head or the features lowers the largest importance (times the mean) below
    what random features reach with the same head.""",
    more="""Head centred: its mean row subtracted. Features centred: mean subtracted, at length 1.
    Random: Gaussian features, a Gaussian head of the same shape, or both; means over draws.""",
)  # fmt: skip
style.figure(
    "pruning",
    charts.pruning({encoders.titled(m): charts.pruning_curves(m) for m in pruning}),
    words.kind(pruning),
    f"""Pruning 80 % of the directions (dashed) costs accuracy; pruning at random (grey, lowest to
    highest of {pruning[0].value("random_orders")} orders) costs far more. Right: the change, with
    its 95 % interval.""",
    more="""The counterpart of the paper's Figure 3, on the images named above each row. Accuracy
    among ImageNet's 1,000 classes; the change is paired, image by image, with the whole head.""",
)  # fmt: skip
style.table(
    "kept", encoders.kept(pruning), words.kind(pruning),
    """Accuracy (%) falls with the share of directions kept, the most important first. Change: from
    the whole head on the same images, ± 95 % interval.""",
    more="Top-1 accuracy, 1,000 classes. Shares are of the directions that are more than rounding.",
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
    """The head's directions encode about the same number of concepts as random directions. OpenAI's
    ViT-B/32; dot: mean; bar: lowest to highest draw.""",
    counts.probe([concepts]),
)  # fmt: skip
style.text("concepts-told", encoders.counted_told(concepts))

# %%
(textures,) = records.read_all("textures", "vit_b_32")
PAPER = ("meshed", "flecked", "perforated")  # what version 1 names of this model
style.table(
    "textures", encoders.textures(textures, 8, PAPER), words.kind([textures]),
    f"""The textures (of {textures.counts["textures"]}, DTD) that the most important direction of
    ImageNet's zero-shot head ranks highest, OpenAI's ViT-B/32; \\*: those that version 1 names.""",
    more=f"""Average precision against the same number of photographs of objects (Caltech101) and
    places (SUN397): mean (lowest to highest) of {textures.value("draws")} draws, in the sign in
    which textures score higher on average.""",
)  # fmt: skip
style.text("textures-told", encoders.texture_told(textures))
