# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [paper, reader, pocket]
#     features: true
#     reads:
#     - data/imagenet/sets.yaml
#     - data/measurements/outlier_features/*.json
# ---

# %% [markdown]
# # Outlier features
#
# Do a few components of this backbone's representations tower above all others? The section
# {doc}`/outlier_features` explains the question. Each result says on which kind of evidence it
# rests; what is missing is listed at the end.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the family in front
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is named an outlier

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics.outliers import far_above_mean
from companion.measurements.due import STYLES, TRAINING, unusable
from companion.measurements.records import available
from companion.publish import charts, style, words
from companion.publish.words import digits

backbone = load_family(family)
pocket = backbone.edition == "pocket"
found = available("outlier_features", backbone)
order = {model.name: row for row, model in enumerate(backbone.models)}
found.sort(key=lambda m: (order[m.model], "captions" in m.data.name))
everywhere = [m for m in found if m.basis == "per_image"]  # in the pocket lab: in every style
per_image = [m for m in everywhere if not pocket or m.data.name == TRAINING]
of_means = [m for m in found if m.basis != "per_image"]


def title(measurement) -> str:
    """The model and the data of a measurement, in words; in the pocket lab the data are one."""
    if pocket:
        return backbone.model(measurement.model).title
    return words.title(measurement, backbone)


def outlier_names(profile: np.ndarray, limit: int = 6) -> str:
    """The outlier coordinates of a profile, the largest first."""
    names = far_above_mean(profile, threshold)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more if len(names) else "none"


# %% [markdown]
# ## Activation kurtosis

# %%
rows = []
for model in backbone.models:
    own = [m for m in per_image if m.model == model.name]
    shared = {
        "level": style.LEVEL_STYLES[model.level].title,
        "pretraining": "" if model.level == "random" else model.pretraining,
    }
    if pocket:
        shared = {"model": model.title}
    for m in own:
        percentiles = m.value("kurtosis_percentiles")
        rows.append(
            shared
            | {
                "data": m.data.title,
                "κ": words.kurtosis(m),
                "90 % of items": f"{digits(percentiles[5])} to {digits(percentiles[95])}",
                "outliers": outlier_names(m.value("profile")),
                "persistence (%)": f"{100 * m.value('persistence_fraction'):.1f}",
                "leader": m.value("persistence_coordinate"),
            }
        )
    if not own:
        absent = dict.fromkeys(("data", "90 % of items", "outliers", "leader"), "")
        rows.append(shared | absent | {"κ": "not measured", "persistence (%)": "not measured"})
about = ["model"] if pocket else ["level", "pretraining", "data"]
where = ", the test emoji of the training style" if pocket else ""
results = ["κ", "90 % of items", "outliers", "persistence (%)", "leader"]
style.table(
    "kurtosis",
    pd.DataFrame(rows)[about + results],
    caption=f"""Activation kurtosis of the {backbone.title} models, the counterpart of the paper's
    Table 2 on other data{where}. κ: mean over images or captions ± 95 % interval of that mean; a
    Gaussian gives 3. Outliers: coordinates whose mean |z| is at least {threshold:g} times that of
    the mean coordinate. Persistence: how often the leader, the commonest largest coordinate,
    leads.""",
    evidence=words.kind(per_image) if per_image else None,
)

# %%
if per_image:
    style.figure(
        "distribution",
        charts.kurtosis({title(m): m for m in per_image}),
        words.kind(per_image),
        f"""How the activation kurtosis of single items is distributed, {backbone.title}:
        the share of items below each value, from {per_image[0].counts["images"]} items each. The
        vertical line is the Gaussian's 3.""",
    )

# %% [markdown]
# ## Which coordinates

# %%
if per_image:
    style.figure(
        "profile",
        charts.profiles({title(m): m for m in per_image}, threshold),
        words.kind(per_image),
        f"""The activation profile: for each coordinate the mean over items of |z|, its
        distance from the item's mean in that item's standard deviations, relative to the mean
        coordinate (1, thin line). Dashed: {threshold:g} times the mean coordinate, from where a
        coordinate counts as an outlier.{"" if pocket else " The scales differ."}""",
    )

# %%
if per_image:
    images = [m for m in per_image if "captions" not in m.data.name]
    style.figure(
        "heat-map",
        charts.heat_maps({backbone.model(m.model).title: m for m in images}),
        words.kind(images),
        f"""Single images (rows) at the same coordinates (columns): left of the line the
        {images[0].value("sample").shape[1] // 2} of the highest profile, right of it others spread
        over the rest. An outlier feature is a column that is far from zero in every image. The
        first {len(images[0].value("sample"))} images; the colour scale is linear up to 1 and
        logarithmic beyond.""",
    )

# %% [markdown]
# ## The control, and other styles
#
# In the pocket lab the same is measured in every drawing style. Models of the paper's families need
# features of ImageNet's shifts for this.


# %%
def variation(m) -> float:
    """How much a coordinate varies over images, in an image's standard deviations: of a sample."""
    return float(m.value("sample").std(axis=0).mean())


def control_sentence(random, trained: list) -> str:
    """What the random weights tell about reading κ and persistence."""
    shares = [m.value("persistence_fraction") for m in trained]
    share = random.value("persistence_fraction")
    compared = (
        f"With random weights coordinate {random.value('persistence_coordinate')} leads in "
        f"{100 * share:.1f} % of the images; in the trained models the commonest leader does so in "
        f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %."
    )
    if share <= max(shares):
        return compared
    return (
        f"{compared} But with random weights κ is {digits(random.value('kurtosis_mean'))}, and the "
        f"largest profile only {digits(random.value('profile').max())} times the mean. The "
        "untrained network maps all images to similar vectors: a coordinate varies over images by "
        f"{variation(random):.2f} standard deviations of an image, in the trained models by "
        f"{min(map(variation, trained)):.2f} to {max(map(variation, trained)):.2f}. Some "
        "coordinate must then be the largest in most of them. So persistence by itself is no sign "
        "of something learned; it says something only where κ is far above 3."
    )


controls = [m for m in per_image if m.level == "random"]
trained = [m for m in per_image if m.level != "random"]
if pocket and controls and trained:
    style.text("control", control_sentence(controls[0], trained))

# %%
if pocket and everywhere:
    rows = []
    for model in backbone.models:
        row = {"model": model.title}
        for group, names in STYLES.items():
            own = [m for m in everywhere if m.model == model.name and m.data.name in names]
            if not own:
                continue
            shares = [m.value("persistence_fraction") for m in own]
            row[f"κ, {group}"] = digits(np.mean([m.value("kurtosis_mean") for m in own]))
            row[f"P, {group}"] = f"{100 * np.mean(shares):.1f}"
        rows.append(row)
    style.table(
        "styles",
        pd.DataFrame(rows).fillna("not measured"),
        caption=f"""κ and persistence P (%) of the {backbone.title} models in the training style, in
        the style that is a shift but in the web sets (seen), and on average over the
        {len(STYLES["unseen"])} styles that no model trains on (unseen).""",
        evidence=words.kind(everywhere),
    )

# %% [markdown]
# ## What mean embeddings show
#
# Where only a mean over images was published, its own kurtosis can be computed. Averaging removes
# what differs between images, so the mean looks more concentrated than any single image: these
# values must not be compared with those per image, nor with the paper's.

# %%
if of_means:
    style.table(
        "of-mean",
        pd.DataFrame(
            {
                "model": [backbone.model(m.model).title for m in of_means],
                "κ of the mean": [digits(m.value("kurtosis_of_mean")) for m in of_means],
                "outliers of the mean": [
                    outlier_names(m.value("profile_of_mean")) for m in of_means
                ],
                "share of the mean (%)": [
                    f"{100 * m.value('mean_share'):.1f}" if "mean_share" in m.values else "n/a"
                    for m in of_means
                ],
            }
        ),
        caption=f"""Mean embeddings of COCO images, {backbone.title}. κ of the mean is **not** the
        mean κ. Outliers of the mean: coordinates at least {threshold:g} times as far from the
        embedding's mean as the mean coordinate. Share of the mean: |mean|² over the mean |h|²,
        which needs the covariance.""",
        evidence=words.kind(of_means),
    )
    named = {m.model: backbone.model(m.model).title for m in of_means}
    style.figure(
        "mean-profile",
        charts.profiles(
            {f"{named[m.model]}: mean embedding": m for m in of_means},
            threshold,
            "profile_of_mean",
        ),
        words.kind(of_means),
        f"""The profile of mean embeddings, {backbone.title}: each coordinate's distance
        from the embedding's mean, relative to the mean coordinate (1, thin line). Dashed:
        {threshold:g} times. An approximation from the mean alone, not comparable with profiles
        per image.""",
    )

# %%
with_covariance = [m for m in of_means if m.basis == "mean_and_covariance"]
if with_covariance:
    style.figure(
        "rms-profile",
        charts.profiles({named[m.model]: m for m in with_covariance}, threshold, "rms_profile"),
        words.kind(with_covariance),
        f"""{backbone.title}: the root mean square of each coordinate over COCO images, from the
        published mean and covariance. Unlike the profile of the mean it also counts what differs
        between images.""",
    )

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
words.show_what_is_missing(
    backbone,
    found,
    words.without(backbone, per_image),
    "Here will stand the kurtosis per image",
    "outlier_features",
    unusable(backbone),
)
