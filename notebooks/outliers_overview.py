# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     measurements: [outlier_features]
# ---

# %% [markdown]
# # Outlier features over all families
#
# What is measured, live or recorded. The page {doc}`/outlier_features` shows these results and
# explains them; the families' pages show how κ comes from an array.

# %% tags=["parameters"]
edition: str = "paper"  # which families
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is an outlier

# %%
import pandas as pd

from analysis.metrics.outliers import far_above_mean
from companion.measurements import records
from companion.publish import figures, measured, style, words
from companion.publish.style import digits, holds

found = measured.known("outlier_features", edition, "reader")
example = measured.example(found)
photographs = records.read_all("outlier_features", "efficientnet_lite0")
sparse = next(m for m in photographs if m.data.name == "scikit_image_photographs")
style.text("coverage", measured.coverage(found, edition, "reader"))

# %% [markdown]
# ## Every model

# %%
shown = measured.titled([*found, *measured.known("outlier_features", "contrast")])
rows = pd.DataFrame(
    {
        "model": title,
        "κ": words.kurtosis(m),
        "persistence (%)": f"{100 * m.value('persistence_fraction'):.1f} ({m.value('leaders')})",
        "outliers": ", ".join(map(str, far_above_mean(m.value("profile"), threshold))) or "none",
        "largest": digits(m.value("profile").max()),
        "zeros (%)": f"{100 * m.value('zero_share'):.1f}",
    }
    for title, m in shown.items()
)
style.table(
    "kurtosis",
    rows,
    words.kind(shown.values()),
    """The counterpart of the paper's Table 2, on other images and captions. The last rows are
    supervised baselines, which are not in the paper.""",
    more=f"""κ: mean ± 95 % interval. Persistence: share of the dominant coordinate (in brackets:
    how many coordinates are the largest in some item). Outliers: mean |z| at least {threshold:g}
    times the mean coordinate's. Zeros: components that are exactly zero.""",
)

# %% [markdown]
# ## The example and its control

# %%
clip, control = (measured.of_level(level, example) for level in ("zero_shot", "random"))
captions = next(m for m in example if m.model == clip.model and m is not clip)
untrained = next(m for m in example if m.model == control.model and m is not control)
four = {
    "CLIP, images": clip,
    "CLIP, captions": captions,
    "random weights": control,
    "random, captions": untrained,
    "EfficientNet": sparse,
}
holds(
    min(clip.value("kurtosis_mean"), captions.value("kurtosis_mean")) > 6,
    "κ of CLIP's images and captions lies far above the Gaussian's 3",
)
places = dict(zip(four, (10, 100, 80, 25, 42), strict=True))  # where no curve is in the way
style.figure(
    "kurtosis-distribution",
    figures.kurtosis(four, places),
    words.kind(four.values()),
    """κ of CLIP's images and captions lies far above the Gaussian's 3, κ of random weights near it.
    Curve: share of items below each value.""",
    more="""ViT-B/16 on COCO; the supervised network has few photographs, and its curve is
    interpolated between them.""",
)

# %%
pair = {"CLIP": clip, "random weights": control}
style.figure(
    "heat-map",
    figures.heat_maps(pair),
    words.kind(pair.values()),
    """An outlier feature is a column many standard deviations from zero in every image (row). Left
    of the line: the largest coordinates, the dominant one named; right: others.""",
)

# %%
lowest, highest = clip.value("kurtosis_percentiles")[0], control.value("kurtosis_percentiles")[-1]
holds(lowest > highest, "every image of CLIP lies above every image of the control")
leaders = [m.value("persistence_coordinate") for m in (clip, captions)]
holds(leaders[0] != leaders[1], "the captions' dominant coordinate is another one")
style.texts({"clip-images-lowest": digits(lowest), "control-images-highest": digits(highest)})
for of, m in {"clip-images": clip, "control-images": control, "clip-captions": captions}.items():
    style.text(f"{of}-kurtosis", digits(m.value("kurtosis_mean")))
    style.text(f"{of}-leader", str(m.value("persistence_coordinate")))
    style.text(f"{of}-persistence", f"{100 * m.value('persistence_fraction'):.0f} %")

# %% [markdown]
# ## Outlier or merely sparse?

# %%
far = {name: len(far_above_mean(m.value("profile"), threshold)) for name, m in four.items()}
holds(far["CLIP, images"] and not far["random weights"], "only CLIP reaches the dashed line")
three = pair | {"EfficientNet-Lite0, supervised": sparse}
style.figure(
    "outlier-or-sparse",
    figures.profiles(
        {f"{of} ({m.counts['images']} images)": m for of, m in three.items()}, threshold
    ),
    words.kind(three.values()),
    f"""CLIP has coordinates above {threshold:g} times the mean coordinate, random weights have
    none. Stem: a coordinate's |z|, averaged over images, relative to the mean coordinate.""",
)
images = sparse.counts["images"]
holds(not far["EfficientNet"], "no coordinate of EfficientNet-Lite0 is an outlier")
holds(sparse.value("leaders") == images, "each photograph has its own largest coordinate")
style.texts(
    {"sparse-kurtosis": digits(sparse.value("kurtosis_mean")), "sparse-images": str(images)}
)
