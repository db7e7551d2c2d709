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
# Others published features of single images, none of them ImageNet's validation images, from the
# paper's zero-shot encoders and from supervised networks. The chapters show what we measured on
# them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
from analysis.families.registry import load_families
from companion.chapters import encoder_tables, figures, measured
from companion.chapters.robustness_figures import ER
from companion.claims.evidence import gather
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements import accuracies
from companion.measurements.effective_robustness import view

image_sets = measured.image_sets()
clip = {name: sets for name, sets in image_sets.items() if sets[0].level == "zero_shot"}
page = Page("encoders")

# %% [markdown]
# ## Outlier features

# %%
first = [sets[0] for sets in image_sets.values()]
lowest = min(sets[0].value("kurtosis_mean") for sets in clip.values())
seven = len(clip) == 7 and lowest > 6
page.figure("seven", encoder_tables.kappa(first), first, holds=seven)
page.holds(seven, "For seven of the paper's sixteen zero-shot encoders")
others = [m for m in first if m.level != "zero_shot"]
least = min(sets[0].value("persistence_fraction") for sets in clip.values())
most_often = max(m.value("persistence_fraction") for m in others)
drawing = encoder_tables.kappa_and_persistence(image_sets)
drawn = [m for sets in image_sets.values() for m in sets]
page.figure("kappa-persistence", drawing, drawn, holds=least > 2 * most_often)
page.slide("kappa-persistence", drawing, 3.7)
page.number(least_often=style.share(least), most_often=style.share(most_often))
least = min(m.value("persistence_fraction") for sets in clip.values() for m in sets)
page.number(least_on_any=style.share(least))

# %%
several = [m for sets in clip.values() if len(sets) > 1 for m in sets]
rows = encoder_tables.by_model(clip)
of_openai = rows[rows.index.str.contains("OpenAI")]
one_coordinate = not of_openai["dominant"].str.contains("and").any()
page.figure("varies", encoder_tables.kappa(several), several, holds=one_coordinate)
page.table("varies-by-model", rows, several)

# %% [markdown]
# ## Compared with effective robustness

# %%
evidence = gather(edition, experiments=("accuracy",))
both = encoder_tables.kappa_and_robustness(clip, evidence.intervals)
certain = both[~both["of"].str.contains("inferred")]
most = both.loc[both[ER].idxmax(), "κ"]
drawing = plots.scatter(both, ER, "κ", labels="name", horizontals=figures.GAUSSIAN)
page.figure(
    "beside-robustness",
    drawing,
    style.kinds("published", style.kind(several)),
    holds=most < both["κ"].max(),
)
page.slide("beside-robustness", drawing)
page.holds(most < both["κ"].max(), "Even then κ does not follow robustness")
page.number({f"pairs-{key}": n for key, n in encoder_tables.orders(certain).items()})
laion, openai = (certain.set_index("of").loc[f"ViT-B/32 {of}"] for of in ("LAION-2B", "OpenAI"))
for name, row in (("openai", openai), ("laion", laion)):
    page.numbers("range-of", row.to_dict() | {"name": name})
sets = {
    name: len(clip[f"vit_b_32-{of}"]) for name, of in (("openai", "openai"), ("laion", "laion2b"))
}
page.number({f"{name}-sets": count for name, count in sets.items()}, certain=len(certain))

# %% [markdown]
# ## Encoders of other kinds

# %%
others = measured.contrasts()
pictures = [m for m in others if not measured.of_captions(m) and m.data.name != "clothes_9"]
of = {m.model: m for m in reversed(pictures)}  # on the first of its sets
siglip, dino = of["siglip_b_16-webli"], of["dinov2_small-lvd142m"]
clear = siglip.kurtosis.low > 6 > dino.kurtosis.high and siglip.data == dino.data
page.figure("other-kinds", encoder_tables.kappa(pictures), pictures, holds=clear)
for name, m in (("siglip", siglip), ("dino", dino), ("bioclip", of["bioclip-treeoflife"])):
    page.numbers("of-kind", measured.frame([m]).iloc[0].to_dict() | {"kind": name})
page.number(panels=siglip.counts["images"])
page.numbers("of-inside", measured.frame([of["vit_b_32_inside-openai"]]).iloc[0])
behind = min(m.value("kurtosis_mean") for m in clip["vit_b_32-openai"])
before = of["vit_b_32_inside-openai"].kurtosis.high
page.holds(behind > 2 * before, "has a κ of only")
kept = int(of["bioclip-treeoflife"].value("persistence_coordinate"))
b_16 = {int(m.value("persistence_coordinate")) for m in clip["vit_b_16-openai"]}
page.holds({kept} == b_16, "is that of OpenAI's ViT-B/16")

# %%
TEXTS = "coco_classes_133_captions"
named = [*measured.of_editions("outlier_features", "paper"), *others]
texts = [m for m in named if m.data.name == TEXTS]
low = [m for m in texts if m.kurtosis.high < 6]
eva = all(m.model.startswith("eva") for m in low) and len(low) == 2 and len(texts) == 6
page.figure("same-texts", encoder_tables.kappa(texts), texts, holds=eva)
high = {of: [m for m in texts if of in m.model] for of in ("openai", "siglip")}
for name, some in {"eva": low, **high}.items():
    page.number({f"texts-{name}": style.span(m.value("kurtosis_mean") for m in some)})
known = accuracies.known(load_families("contrast").values())
er = view("five").models(known).set_index("name")["er"].filter(like="eva")
page.holds(len(er) == 2 and er.min() > 0.2, "whose effective robustness is")
page.number(eva_er=style.minus(style.span(100 * er, "{:+.1f}".format)))
