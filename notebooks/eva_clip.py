# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     measurements: [outlier_features, basis, unread]
#     reads:
#     - data/embeddings.yaml
#     - data/published/*.csv
# ---

# %% [markdown]
# # A robust CLIP without outlier features
#
# Others published what three CLIP models make of nine photographs of clothes. EVA-CLIP is the most
# robust of them, and has no outlier features. {doc}`/indicators` explains what this shows.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np

from analysis.families.registry import load_families
from analysis.metrics.robustness import effective_robustness
from companion.chapters import encoder_tables, measured
from companion.engine import style
from companion.engine.page import Page
from companion.measurements import accuracies
from companion.measurements.effective_robustness import CLIP_V2, view

PHOTOGRAPHS, EVA, OPENAI = "clothes_9", "eva_clip_l_14_336-merged2b", "vit_l_14-openai"
#: The published accuracies of both models' ViT-L/14 at two image sizes, by slug.
SIZES = {
    "eva-336": ("EVA02-L-14-336", "merged2b_s6b_b61k"),
    "eva-224": ("EVA02-L-14", "merged2b_s4b_b131k"),
    "openai-336": ("ViT-L-14-336", "openai"),
    "openai-224": ("ViT-L-14", "openai"),
}


def of_photographs(experiment):
    """What was measured on the nine photographs, by model."""
    every = measured.of_editions(experiment, edition, "contrast")
    return {m.model: m for m in every if m.data.name == PHOTOGRAPHS}


outliers, bases, unread = map(of_photographs, ("outlier_features", "basis", "unread"))
families = [f for name in (edition, "contrast") for f in load_families(name).values()]
er = view("five").models(accuracies.known(families)).set_index("name")["er"]
page = Page("eva_clip", [*outliers.values()])

# %% [markdown]
# ## The three models

# %%
rows = measured.frame(
    outliers.values(),
    lambda m: {
        "model": m.model,
        "er": er[m.model],
        "low": m.kurtosis.low,
        "high": m.kurtosis.high,
        "lowest": m.value("kurtosis_percentiles")[0],
        "highest": m.value("kurtosis_percentiles")[-1],
        **{name: bases[m.model].value(name) for name in ("mean_share", "kurtosis_less_mean")},
        "of_mean": bases[m.model].value("kurtosis_of_mean"),
    },
).sort_values("er", ascending=False)
of = rows.set_index("model")
first = of.index[0] == EVA and of.loc[EVA, "highest"] < of.drop(EVA)["lowest"].min() / 5
page.table("models", rows, holds=first)
for name, model in (("eva", EVA), ("openai", OPENAI), ("dfn", "vit_h_14-dfn5b")):
    page.numbers("of-model", of.loc[model].to_dict() | {"name": name})
page.holds(
    of.loc[EVA, "highest"] < of.drop(EVA)["lowest"].min(),
    "Each of EVA-CLIP's nine κ lies below each of the others'",
)
paper = er[[m.name for f in load_families(edition).values() for m in f.models if m.name in er]]
page.holds(er[EVA] > paper.max(), "more robust than any model of the paper's")

# %% [markdown]
# ## Both models at both image sizes

# %%
five = view("five")
every = accuracies.wide(accuracies.load(), CLIP_V2, five.shifts).set_index(["model", "weights"])
sizes = every.loc[list(SIZES.values()), ["imagenet", "shifted"]].set_axis(list(SIZES))
sizes["er"] = effective_robustness(sizes["shifted"], sizes["imagenet"], five.reference)
for name, of_size in sizes.to_dict("index").items():
    page.numbers("of-size", {"name": name, **of_size})
ahead = {size: sizes["er"][f"eva-{size}"] - sizes["er"][f"openai-{size}"] for size in (224, 336)}
page.number(ahead=style.span(100 * np.array([*ahead.values()]), "{:.1f}".format))
page.holds(np.isclose(sizes["er"]["eva-336"], er[EVA]), "sees them at 336 pixels")
page.holds(0 < min(ahead.values()) < 0.02, "as robust as OpenAI's at equal image size")

# %% [markdown]
# ## Two models, equally robust
#
# A stem for each of the 768 numbers: how far it lies from the mean of its image, in standard
# deviations, on average over the nine photographs.

# %%
names = {"OpenAI's ViT-L/14 (224 pixels)": OPENAI, "EVA-CLIP's ViT-L/14 (336)": EVA}
drawing = encoder_tables.profiles_beside_robustness(
    {name: outliers[model] for name, model in names.items()},
    {name: er[model] for name, model in names.items()},
)
both = of.loc[[OPENAI, EVA], "er"].min() > 0.3
tower = [np.max(outliers[model].value("profile")) for model in (OPENAI, EVA)]
page.figure("both-robust", drawing, holds=both and tower[0] > 5 * tower[1])
page.slide("both-robust", drawing, 3.2)

# %% [markdown]
# ## Public models by optimiser
#
# What each group's authors say that they trained with, and κ over all image sets that are measured.

# %%
OPTIMISERS = {
    "OpenAI": ("Adam {cite:p}`radford2021learning`", "-openai", "vit_b_32_inside"),
    "OpenCLIP, LAION-2B": (
        "AdamW {cite:p}`ilharco2021openclip`",
        "-laion2b",
        "marqo fashionclip",
    ),
    "SigLIP": ("Adafactor, a variant {cite:p}`zhai2023sigmoid`", "siglip_b_16-webli", ""),
    "EVA-CLIP": ("LAMB {cite:p}`sun2023eva`", "eva_clip", ""),
}
every = measured.of_editions("outlier_features", edition, "contrast")
groups = []
for group, (optimiser, of_model, other) in OPTIMISERS.items():
    some = [
        m
        for m in every
        if of_model in m.model
        and not measured.of_captions(m)
        and not any(name in m.model for name in other.split())
        and m.level == "zero_shot"
    ]
    groups.append(
        {
            "group": group,
            "optimiser": optimiser,
            "models": len({m.model for m in some}),
            "sets": len(some),
            "kurtosis": [m.value("kurtosis_mean") for m in some],
            "fewest": min(m.counts["images"] for m in some),
        }
    )
least = {row["group"]: min(row["kurtosis"]) for row in groups}
apart = min(k for group, k in least.items() if group != "EVA-CLIP") > 6 > least["EVA-CLIP"]
page.table("optimisers", groups, holds=apart)

# %% [markdown]
# ## The common vector without preferred axes
#
# In which directions do EVA-CLIP's texts vary least, and how much of its mean image lies there?

# %%
m = unread[EVA]
at = int(np.abs(m.value("shares") - 1e-4).argmin())
dropped, inside, energy = (m.value(name)[0][at] for name in ("dropped", "mean_inside", "energy"))
chance = dropped / m.counts["components"]
page.holds(inside > 3 * chance, "hold far more of its mean image's energy than chance gives")
page.numbers(
    "of-unread",
    {"dropped": dropped, "components": m.counts["components"], "inside": inside}
    | {"chance": chance, "energy": energy, "of_mean": of.loc[EVA, "of_mean"]},
)
