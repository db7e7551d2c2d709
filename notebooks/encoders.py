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
# encoders and of supervised networks. The chapters show these results where they belong.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
from companion.claims.evidence import gather
from companion.publish import figures, measured, plots, style, tables, words
from companion.publish.style import digits, holds

found = measured.image_sets()
clip = {name: sets for name, sets in found.items() if sets[0].level == "zero_shot"}

# %% [markdown]
# ## Outlier features

# %%
first = [sets[0] for sets in found.values()]
lowest = min(sets[0].value("kurtosis_mean") for sets in clip.values())
holds(len(clip) == 7 and lowest > 6, "all seven zero-shot encoders have κ far above 3")
style.figure(
    "seven",
    measured.kappa(first),
    words.kind(first),
    """All seven zero-shot encoders have κ far above 3. Dot: mean over images; bar: middle 90 %.
    Right: the coordinate that is the largest in most images, and in how many.""",
    more="""None of the images are from ImageNet's validation set. *Inferred*: no source names the
    model and no head could confirm it, so no verdict rests on it alone. The supervised networks
    are not in the paper.""",
)
supervised = [m for m in first if m.level == "supervised"]
high = [m for m in supervised if m.value("kurtosis_mean") > 6]
often = [m for m in high if m.value("persistence_fraction") > 0.5]
holds(len(high) == 2 and not often, "two have a κ above 6, without a dominant coordinate")
style.text("supervised", str(len(supervised)))

# %%
several = [m for sets in clip.values() if len(sets) > 1 for m in sets]
rows = tables.by_model(clip)
of_openai = rows[rows["model"].str.contains("OpenAI")]
holds(~of_openai["dominant"].str.contains("and").any(), "OpenAI's models keep the coordinate")
style.figure(
    "varies",
    measured.kappa(several),
    words.kind(several),
    """κ of one model changes with the image set; OpenAI's models keep their dominant coordinate
    (right, with its share of images). Dot: mean over images; bar: middle 90 %.""",
)
style.table(
    "varies-by-model",
    rows,
    words.kind(several),
    """κ depends on the image set, and the dominant coordinate of OpenAI's models does not.""",
    more="κ: lowest and highest mean over image sets. Share: the least of any set.",
)

# %% [markdown]
# ## Compared with effective robustness

# %%
evidence = gather(edition, experiments=("accuracy",))
both = tables.kappa_and_robustness(clip, evidence.intervals)
certain = both[~both["of"].str.contains("inferred")]
wider = tables.with_known_range(certain)
robust = sum(known.robust is True for name, known in evidence.robust.items() if name in clip)
holds(robust == len(both), "all seven encoders are more robust than their accuracy predicts")
most = both.loc[both[tables.ER].idxmax(), "κ"]
holds(most < both["κ"].max(), "the most robust encoder does not have the highest κ")
style.figure(
    "beside-robustness",
    plots.scatter(both, tables.ER, "κ", log="y", labels="of", horizontals=figures.GAUSSIAN),
    words.kinds("published", words.kind(several)),
    """κ does not rise with effective robustness: the most robust of these encoders does not have
    the highest κ. Line: lowest to highest mean over a model's image sets.""",
    more="""Effective robustness is from published accuracies; the data have its 95 % intervals. The
    image sets differ between models; the figures above name them.""",
)
for name, frame in (("pairs", certain), ("wider", wider)):
    style.texts({f"{name}-{key}": str(n) for key, n in tables.orders(frame).items()})
two = certain.set_index("of").loc[["ViT-B/32 LAION-2B", "ViT-B/32 OpenAI"]]
holds(two["high"].iloc[0] < two["low"].iloc[1], "LAION-2B's ViT-B/32 has the lower κ on every set")
holds(two["ER low"].iloc[0] > two["ER high"].iloc[1], "LAION-2B's is the more robust of the two")
style.text("wider-range", style.span(tables.KNOWN_RANGE["ViT-B/32 OpenAI"], "{:g}".format))
style.texts(
    {"certain": str(len(certain)), "laion-highest": digits(two["high"].iloc[0])}
    | {"openai-lowest": digits(two["low"].iloc[1])}
    | dict(zip(("laion-er", "openai-er"), two[tables.ER].map("+{:.1f}".format), strict=True))
)
