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
# This page collects every κ that was measured, live or recorded. {doc}`/outlier_features` explains
# these results; the families' pages show how κ comes from an array.

# %% tags=["parameters"]
edition: str = "paper"  # which families
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is an outlier

# %%
from analysis.metrics.outliers import far_above_mean
from companion.chapters import figures, measured
from companion.engine.page import Page
from companion.engine.style import digits
from companion.measurements import records

measurements = measured.of_editions("outlier_features", edition, "reader")
example = measured.example(measurements)
photographs = records.read_all("outlier_features", "efficientnet_lite0")
sparse = next(m for m in photographs if m.data.name == "scikit_image_photographs")
page = Page("outliers_overview", threshold=threshold)
page.number(coverage=measured.coverage(measurements, edition, "reader"))

# %% [markdown]
# ## Every model

# %%
contrasts = measured.of_editions("outlier_features", "contrast")
every = [*measurements, *(m for m in contrasts if not measured.of_captions(m))]
by_title = {measured.full_title(m): m for m in every}


def profile(m):
    """The coordinates that are far above the mean one, and the largest."""
    far = ", ".join(map(str, far_above_mean(m.value("profile"), threshold))) or "none"
    return {"far": far, "largest": m.value("profile").max()}


of_every = measured.frame(by_title.values(), profile).assign(title=[*by_title])
with_outliers, zero_shot = of_every["far"] != "none", of_every["level"] == "zero_shot"
eva = of_every["title"].str.contains("EVA-CLIP")
page.table("kurtosis", of_every, every, holds=(with_outliers == (zero_shot & ~eva)).all())

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
drawing = figures.kurtosis(four)
page.figure(
    "kurtosis-distribution",
    drawing,
    four.values(),
    holds=min(clip.value("kurtosis_mean"), captions.value("kurtosis_mean")) > 6,
)
page.slide("kurtosis", drawing)

# %%
pair = {"CLIP": clip, "random weights": control}
page.figure("heat-map", figures.heat_maps(pair), pair.values())
page.slide("heat-map", figures.heat_maps(pair), 2.8)

# %%
lowest, highest = clip.value("kurtosis_percentiles")[0], control.value("kurtosis_percentiles")[-1]
page.holds(lowest > highest, "the two distributions do not overlap")
leaders = [m.value("persistence_coordinate") for m in (clip, captions)]
page.holds(leaders[0] != leaders[1], "as well, but at another coordinate")
page.number(clip_images_lowest=digits(lowest), control_images_highest=digits(highest))
middle = [digits(m.value("kurtosis_percentiles")[50]) for m in (clip, control)]
page.number(clip_images_median=middle[0], control_images_median=middle[1])
for of, m in {"clip-images": clip, "control-images": control, "clip-captions": captions}.items():
    page.numbers("of-each", measured.frame([m]).iloc[0].to_dict() | {"of": of})

# %% [markdown]
# ## Outlier or merely sparse?

# %%
far = {name: len(far_above_mean(m.value("profile"), threshold)) for name, m in four.items()}
three = pair | {"EfficientNet-Lite0, supervised": sparse}
titled = {f"{of} ({m.counts['images']} images)": m for of, m in three.items()}
page.figure(
    "outlier-or-sparse",
    figures.profiles(titled, threshold),
    three.values(),
    tallest=clip.value("profile").max(),  # in times its mean
    holds=far["CLIP, images"] and not far["random weights"] and not far["EfficientNet"],
)
one, *_, other = titled
page.slide("profile", figures.profiles({one: titled[one]}, threshold))
page.slide("sparse", figures.profiles({of: titled[of] for of in (one, other)}, threshold), 3)
images = sparse.counts["images"]
page.holds(sparse.value("leaders") == images, "photographs has its own")
page.number(sparse_kurtosis=digits(sparse.value("kurtosis_mean")), sparse_images=images)
