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
from companion.publish import measured, plots
from companion.publish.page import Page
from companion.publish.style import digits, minus, percent

found = measured.known("image_by_image", edition)
trained = [m for m in found if m.level != "random"]
page = Page("image_by_image", found)

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


rows, fewer = [], []
for name, panel in PANELS.items():
    value = f"correlation_{name}"
    each = [(m, rank_interval(m.value(value), m.counts["images"])) for m in found]
    below = [m for m in trained if m.value(value) <= 0]
    within = [m.value(f"{value}_within") for m in trained]
    within = [float(rho[0]) for rho in within if len(rho)]
    page.texts(
        {
            f"{name}-below": f"{len(below)} of {len(trained)}",
            f"{name}-clear": str(sum(rho.high < 0 for m, rho in each if m in trained)),
            f"{name}-within": f"{sum(rho < 0 for rho in within)} of {len(within)}",
        }
    )
    every = pooled([m.value(value) for m in trained], [m.counts["images"] for m in trained])
    fewer.append(every.high < 0)
    page.texts({f"{name}-pooled": minus("{:.2f} ({:.2f} to {:.2f})".format(*every))})
    bars = [("all together", "zero_shot", every)] + [(short(m), m.level, rho) for m, rho in each]
    for title, level, (rho, low, high) in bars:
        rows.append(
            {"panel": panel, "of": title, "level": level, "value": rho} | {"low": low, "high": high}
        )
page.figure(
    "correlations",
    plots.marks(pd.DataFrame(rows), "value", verticals={"": 0}, limits=(-0.3, 0.15)),
    holds=all(fewer),
)

# %%
page.table(
    "fifths",
    (
        {
            "images": measured.set_title(m),
            "judge": "the model's head" if m.provenance.head else "class means",
            "all (%)": percent(m.value("accuracy")),
            **{
                f"{part} (%)": percent(value)
                for part, value in zip(
                    ["lowest fifth of κ", "2nd", "3rd", "4th", "highest"],
                    m.value("accuracy_by_kurtosis"),
                    strict=True,
                )
            },
            "κ": f"{digits(m.value('kurtosis_of_fifths')[0])} to "
            f"{digits(m.value('kurtosis_of_fifths')[-1])}",
            "lowest and highest fifth of the cosine (%)": " and ".join(
                percent(m.value("accuracy_by_cosine")[end]) for end in (0, -1)
            ),
        }
        for m in found
    ),
)
