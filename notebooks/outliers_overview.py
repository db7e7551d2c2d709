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
from companion.publish import charts, overview, style, words
from companion.publish.style import digits

found = overview.known("outlier_features", edition, "reader")
example = overview.example(found)
photographs = records.read_all("outlier_features", "efficientnet_lite0")
sparse = next(m for m in photographs if m.data.name == "scikit_image_photographs")
SPARSE = "EfficientNet-Lite0, supervised"
style.text("coverage", overview.coverage(found, edition, "reader"))

# %% [markdown]
# ## Every model

# %%
shown = overview.titled([*found, *overview.known("outlier_features", "contrast")])
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
    "kurtosis", rows, words.kind(shown.values()),
    """The counterpart of the paper's Table 2, on other images and captions. The last rows are
    supervised baselines, which are not in the paper.""",
    more=f"""κ: mean ± 95 % interval of that mean. Persistence: how often the dominant coordinate is
    the largest; in brackets, how many coordinates are so in some item. Outliers: mean |z| at least
    {threshold:g} times that of the mean coordinate; then the largest such ratio. Zeros: components
    that are exactly zero.""",
)  # fmt: skip

# %% [markdown]
# ## The example and its control

# %%
of_example = overview.titled(example) | {SPARSE: sparse}
assert min(m.value("kurtosis_mean") for m in example if m.level == "zero_shot") > 6  # as below
style.figure(
    "kurtosis-distribution", charts.kurtosis(of_example), words.kind(of_example.values()),
    """κ of CLIP's images and captions lies far above the Gaussian's 3 (vertical line), that of
    random weights near it. Curve: share of items below each value.""",
    more="""The supervised network has few photographs; its curve is interpolated between them.""",
)  # fmt: skip
clip, control = (overview.of_level(level, example) for level in ("zero_shot", "random"))
beside = {overview.title(m, data=False): m for m in (clip, control)}
style.figure(
    "heat-map", charts.heat_maps(beside), words.kind(beside.values()),
    """An outlier feature is a column many standard deviations from zero in every image (row). Left
    of the line: the largest coordinates, the dominant one named; right: others.""",
)  # fmt: skip
captions = next(m for m in example if m.model == clip.model and m is not clip)
for of, m in {"clip-images": clip, "control-images": control, "clip-captions": captions}.items():
    style.text(f"{of}-kurtosis", digits(m.value("kurtosis_mean")))
    style.text(f"{of}-leader", str(m.value("persistence_coordinate")))
    style.text(f"{of}-persistence", f"{100 * m.value('persistence_fraction'):.0f} %")
style.text("learned", overview.learned(clip, control))
style.text("captions-leader", overview.captions_leader(clip, captions))

# %% [markdown]
# ## Outlier or merely sparse?

# %%
high, none = (len(far_above_mean(m.value("profile"), threshold)) for m in (clip, control))
assert high and not none  # the caption says so
beside |= {SPARSE: sparse}
style.figure(
    "outlier-or-sparse",
    charts.profiles(
        {f"{name} ({m.counts['images']} images)": m for name, m in beside.items()}, threshold
    ),
    words.kind(beside.values()),
    f"""CLIP has coordinates above the dashed line ({threshold:g} times the mean coordinate), random
    weights have none. Stem: mean over images of a coordinate's |z|, relative to the mean (1).""",
)
style.text("sparse-leaders", overview.sparse_leaders(sparse, threshold))
style.text("sparse-images", str(sparse.counts["images"]))
