# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     measurements: [image_by_image]
#     reads:
#     - data/embeddings.yaml
# ---

# %% [markdown]
# # Image by image
#
# Are images with a high κ recognised more or less often? The page {doc}`/outlier_features` shows
# these results and explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.metrics.image_by_image import by_fifths, pooled, rank_interval
from companion.chapters import measured
from companion.engine import plots
from companion.engine.page import Page

taken = measured.of_editions("image_by_image", edition)
trained = [m for m in taken if m.level != "random"]
page = Page("image_by_image", taken)

# %% [markdown]
# ## By hand
#
# Sort images by κ, cut them into fifths, and count in each how many are recognised.

# %%
rng = np.random.default_rng(0)
kurtosis = rng.uniform(30, 160, 1000)
recognised = rng.random(1000) < 0.8 - kurtosis / 500
order = np.argsort(kurtosis)
assert np.allclose(by_fifths(kurtosis, recognised)[1], recognised[order].reshape(5, 200).mean(1))

# %% [markdown]
# ## Every labelled set

# %%
PANELS = {"kurtosis": "ρ with κ", "cosine": "ρ with the cosine"}


def short(m):
    """A model and its images, short enough for a figure."""
    name = measured.model_title(m).replace(" OpenAI", "").replace(f" {measured.INFERRED}", "*")
    return f"{name}: {m.data.title.replace(' images', '').removesuffix(' (model inferred)')}"


ENDS = ["value", "low", "high"]
parts = []
for name, panel in PANELS.items():
    each = (rank_interval(m.value(f"correlation_{name}"), m.counts["images"]) for m in taken)
    rho = pd.DataFrame(each, columns=ENDS).assign(of=[*map(short, taken)])
    rho["level"], rho["images"] = zip(*((m.level, m.counts["images"]) for m in taken), strict=True)
    of_trained = rho[rho["level"] != "random"]
    within = np.concatenate([m.value(f"correlation_{name}_within")[:1] for m in trained])
    every = pooled(of_trained["value"], of_trained["images"])
    row = {"of": name, "every": every, "models": len(of_trained), "sets": len(within)}
    row |= {"below": (of_trained["value"] <= 0).sum()}
    page.numbers("of-panel", row | {"within": (within < 0).sum()})
    whole = pd.DataFrame([every], columns=ENDS).assign(of="all together", level="zero_shot")
    parts.append(pd.concat([whole, rho]).assign(panel=panel))
bars = pd.concat(parts)[["panel", "of", "level", *ENDS]]
page.figure(
    "correlations",
    plots.marks(bars, "value", verticals={"": 0}, limits=(-0.3, 0.15)),
    holds=bars.query("of == 'all together'")["high"].max() < 0,
)


# %%
def judge(m):
    """What says whether an image is recognised."""
    return {"judge": "the model's head" if m.provenance.head else "class means"}


page.table("fifths", measured.frame(taken, judge))
