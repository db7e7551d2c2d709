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
from companion.publish import dots, encoders, overview, style, words
from companion.publish.style import digits, minus, percent

found = overview.known("image_by_image", edition)
kind = words.kind(found) if found else None
trained = [m for m in found if m.level != "random"]

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
    name = encoders.told(m).replace(" OpenAI", "").replace(f" {encoders.INFERRED}", "*")
    return f"{name}: {m.data.title.replace(' images', '').removesuffix(' (model inferred)')}"


rows: dict[str, list[dots.Row]] = {}
for name, panel in PANELS.items():
    rhos = [float(m.value(f"correlation_{name}")) for m in trained]
    counts = [m.counts["images"] for m in trained]
    rows[panel] = [
        dots.Row(short(m), m.level, *rank_interval(float(m.value(f"correlation_{name}")), n))
        for m in found for n in [m.counts["images"]]
    ]  # fmt: skip
    above = [encoders.titled(m) for m, rho in zip(trained, rhos, strict=True) if rho > 0]
    clear = sum(row.high < 0 for row in rows[panel])
    within = [m.value(f"correlation_{name}_within") for m in trained]
    style.text(f"{name}-below", f"{len(trained) - len(above)} of {len(trained)}")
    style.text(f"{name}-clear", str(clear))
    style.text(f"{name}-above", "; ".join(above) or "none")
    known = [float(one[0]) for one in within if len(one)]
    style.text(f"{name}-within", f"{sum(rho < 0 for rho in known)} of {len(known)}")
    if len(trained) > 1:
        every = pooled(rhos, counts)
        assert every.high < 0  # the page says that such images are recognised less often
        rows[panel].insert(0, dots.Row("all together", "zero_shot", *every))
        style.text(f"{name}-pooled", minus("{:.2f} ({:.2f} to {:.2f})".format(*every)))
style.figure(
    "correlations", dots.rows(rows) if found else None,
    kind,
    """Images with a high κ, and images close to the mean image, are recognised less often on most
    labelled sets. Bars: 95 % intervals.""",
    more="""Spearman's rank correlation, image by image, between κ (left) or the cosine with the
    mean image (right) and whether the image is recognised. All together: random effects over the
    sets, random weights excluded. Models are OpenAI's; \\*: which one is inferred.""",
)  # fmt: skip

# %%
style.table(
    "fifths",
    pd.DataFrame(
        {"images": encoders.titled(m),
         "judge": "the model's head" if m.provenance.head else "class means",
         "all (%)": percent(m.value("accuracy")),
         **{f"{part} (%)": percent(value)
            for part, value in zip(["lowest fifth of κ", "2nd", "3rd", "4th", "highest"],
                                   m.value("accuracy_by_kurtosis"), strict=True)},
         "κ": f"{digits(m.value('kurtosis_of_fifths')[0])} to "
              f"{digits(m.value('kurtosis_of_fifths')[-1])}",
         "lowest and highest fifth of the cosine (%)":
             " and ".join(percent(m.value("accuracy_by_cosine")[end]) for end in (0, -1))}
        for m in found
    ), kind,
    "Share of images recognised, by fifths of κ.",
    more="""Class means: an image counts as recognised if the nearest mean of the other images of a
    class is that of its own class, which needs no text. κ: means of the lowest and of the highest
    fifth.""",
)  # fmt: skip
