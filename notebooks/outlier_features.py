# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     reads:
#     - data/measurements/outlier_features/*.json
# ---

# %% [markdown]
# # Outlier features
#
# Do a few components of this backbone's representations tower above all others? The section
# {doc}`/outlier_features` explains the question. Shown here is what was measured from embeddings
# that others published; what is missing is listed at the end.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the family in front
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is named an outlier

# %%
import numpy as np
import pandas as pd

from analysis import charts, figures, measurements, reporting
from analysis.outliers import far_above_mean
from analysis.registry import load_family
from analysis.reporting import digits

backbone = load_family(family)
found = measurements.read_all("outlier_features", family)
order = {model.name: row for row, model in enumerate(backbone.models)}
found.sort(key=lambda m: (order[m.model], "captions" in m.data.name))
per_image = [m for m in found if m.basis == "per_image"]
of_means = [m for m in found if m.basis != "per_image"]


def title(measurement) -> str:
    """The model and the data of a measurement, in words."""
    return reporting.title(measurement, backbone)


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
        "level": figures.LEVEL_STYLES[model.level].title,
        "pretraining": "" if model.level == "random" else model.pretraining,
    }
    for m in own:
        percentiles = m.value("kurtosis_percentiles")
        error = 1.96 * m.value("kurtosis_standard_error")
        rows.append(
            shared
            | {
                "data": reporting.data_title(m),
                "κ": f"{digits(m.value('kurtosis_mean'))} ± {error:.2g}",
                "90 % of items": f"{digits(percentiles[5])} to {digits(percentiles[95])}",
                "outliers": outlier_names(m.value("profile")),
                "persistence (%)": f"{100 * m.value('persistence_fraction'):.1f}",
                "leader": m.value("persistence_coordinate"),
            }
        )
    if not own:
        absent = dict.fromkeys(("data", "90 % of items", "outliers", "leader"), "")
        rows.append(shared | absent | {"κ": "not measured", "persistence (%)": "not measured"})
columns = ["level", "pretraining", "data", "κ", "90 % of items", "outliers", "persistence (%)",
           "leader"]  # fmt: skip
figures.table(
    pd.DataFrame(rows)[columns],
    name="kurtosis",
    caption=f"""Activation kurtosis of the {backbone.title} models, the counterpart of the paper's
    Table 2 on other data. κ: mean over images or captions ± 95 % interval of that mean; a Gaussian
    gives 3. Outliers: coordinates whose mean |z| is at least {threshold:g} times that of the mean
    coordinate. Persistence: how often the leader, the commonest largest coordinate, leads.""",
    evidence="recorded" if per_image else None,
)

# %%
if per_image:
    figure, axes = figures.new_figure(height=3.8)
    charts.draw_kurtosis(axes, {title(m): m for m in per_image})
    axes.set(xlabel="activation kurtosis of one image or caption (log scale)")
    figure.legend(loc="outside lower center", ncols=2)
    medians = "; ".join(
        "{} {} (from {} to {})".format(
            title(m), *(digits(m.value("kurtosis_percentiles")[p]) for p in (50, 0, 100))
        )
        for m in per_image
    )
    figures.show(
        figure,
        name="distribution",
        caption=f"""How the activation kurtosis of single items is distributed, {backbone.title}:
        the share of items below each value, from {per_image[0].counts["images"]} items each. The
        vertical line is the Gaussian's 3.""",
        alt=f"Cumulative distributions on a log axis. Median kurtosis: {medians}.",
        evidence="recorded",
    )

# %% [markdown]
# ## Which coordinates

# %%
if per_image:
    figure, panels = figures.new_figure(
        rows=len(per_image), height=1.2 + 1.55 * len(per_image), sharex=True, squeeze=False
    )
    for axes, m in zip(panels[:, 0], per_image, strict=True):
        charts.draw_profile(axes, m.value("profile"), m.level, threshold)
        axes.set_title(title(m))
    panels[-1, 0].set(xlabel="coordinate")
    figure.supylabel("times the mean coordinate", fontsize=9)
    tops = "; ".join(
        f"{title(m)}: coordinate {np.argmax(m.value('profile'))} at "
        f"{m.value('profile').max():.3g}, the second at {np.sort(m.value('profile'))[-2]:.3g}"
        for m in per_image
    )
    figures.show(
        figure,
        name="profile",
        caption=f"""The activation profile: for each coordinate the mean over items of |z|, its
        distance from the item's mean in that item's standard deviations, relative to the mean
        coordinate (1, thin line). Dashed: {threshold:g} times the mean coordinate, from where a
        coordinate counts as an outlier. The scales differ.""",
        alt=f"Stem plots over all coordinates. {tops} times the mean coordinate.",
        evidence="recorded",
    )

# %%
if per_image:
    images = [m for m in per_image if "captions" not in m.data.name]
    figure, panels = figures.new_figure(columns=len(images), width=8.4, height=4.6, squeeze=False)
    limit = max(np.abs(m.value("sample")).max() for m in images)
    for axes, m in zip(panels[0], images, strict=True):
        sample, coordinates = m.value("sample"), m.value("sample_coordinates")
        drawn = axes.imshow(
            sample, aspect="auto", cmap="PuOr_r", norm="symlog", vmin=-limit, vmax=limit,
            interpolation="nearest",
        )  # fmt: skip
        axes.set_xticks(range(len(coordinates)), coordinates, rotation=90, fontsize=7)
        axes.set_title(reporting.model_title(backbone.model(m.model)))
        axes.set(xlabel="coordinate")
        axes.grid(False)
        axes.axvline(len(coordinates) / 2 - 0.5, color=figures.INK, linewidth=1)
    panels[0, 0].set(ylabel="image")
    bar = figure.colorbar(drawn, ax=panels[0], shrink=0.8, label="z (standard deviations)")
    bar.set_ticks([-10, -3, -1, 0, 1, 3, 10])
    bar.set_ticklabels(["−10", "−3", "−1", "0", "1", "3", "10"])
    leading = "; ".join(
        f"{reporting.model_title(backbone.model(m.model))}: coordinate "
        f"{m.value('sample_coordinates')[0]} between {m.value('sample')[:, 0].min():.1f} and "
        f"{m.value('sample')[:, 0].max():.1f}"
        for m in images
    ).replace(" -", " −")
    figures.show(
        figure,
        name="heat-map",
        caption=f"""Single images (rows) at the same coordinates (columns): left of the line the
        {len(coordinates) // 2} of the highest profile, right of it others spread over the rest. An
        outlier feature is a column that is far from zero in every image. The first {len(sample)}
        images; the colour scale is linear up to 1 and logarithmic beyond.""",
        alt="Heat map of standardised activations, images by coordinates. "
        + f"Leading column, {leading} standard deviations.",
        evidence="recorded",
    )

# %% [markdown]
# ## What mean embeddings show
#
# Where only a mean over images was published, its own kurtosis can be computed. Averaging removes
# what differs between images, so the mean looks more concentrated than any single image: these
# values must not be compared with those per image, nor with the paper's.

# %%
if of_means:
    figures.table(
        pd.DataFrame(
            {
                "model": [reporting.model_title(backbone.model(m.model)) for m in of_means],
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
        name="of-mean",
        caption=f"""Mean embeddings of COCO images, {backbone.title}. κ of the mean is **not** the
        mean κ. Outliers of the mean: coordinates at least {threshold:g} times as far from the
        embedding's mean as the mean coordinate. Share of the mean: |mean|² over the mean |h|²,
        which needs the covariance.""",
        evidence="recorded",
    )
    figure, panels = figures.new_figure(
        rows=len(of_means), height=1.2 + 1.55 * len(of_means), sharex=True, squeeze=False
    )
    for axes, m in zip(panels[:, 0], of_means, strict=True):
        charts.draw_profile(axes, m.value("profile_of_mean"), m.level, threshold)
        axes.set_title(f"{reporting.model_title(backbone.model(m.model))}: mean embedding")
    panels[-1, 0].set(xlabel="coordinate")
    figure.supylabel("times the mean coordinate", fontsize=9)
    tops = "; ".join(
        f"{reporting.model_title(backbone.model(m.model))}: coordinate "
        f"{np.argmax(m.value('profile_of_mean'))} at {m.value('profile_of_mean').max():.3g} times"
        for m in of_means
    )
    figures.show(
        figure,
        name="mean-profile",
        caption=f"""The profile of mean embeddings, {backbone.title}: each coordinate's distance
        from the embedding's mean, relative to the mean coordinate (1, thin line). Dashed:
        {threshold:g} times. An approximation from the mean alone, not comparable with profiles
        per image.""",
        alt=f"Stem plots over all coordinates. {tops} the mean coordinate.",
        evidence="recorded",
    )

# %%
with_covariance = [m for m in of_means if m.basis == "mean_and_covariance"]
for m in with_covariance:
    rms = m.value("rms_profile")
    figure, axes = figures.new_figure(height=3)
    charts.draw_profile(axes, rms, m.level, threshold)
    axes.set(xlabel="coordinate", ylabel="root mean square,\ntimes the mean coordinate")
    largest = np.argsort(-rms)[:3]
    figures.show(
        figure,
        name="rms-profile",
        caption=f"""{backbone.title}, {reporting.model_title(backbone.model(m.model))}: the root
        mean square of each coordinate over COCO images, from the published mean and covariance.
        Unlike the profile of the mean it also counts what differs between images.""",
        alt="Stem plot over all coordinates. Largest: "
        + ", ".join(f"coordinate {c} at {rms[c]:.3g}" for c in largest)
        + " times the mean coordinate.",
        evidence="recorded",
    )

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
missing = reporting.not_measured(
    backbone,
    reporting.without(backbone, per_image),
    "Here will stand the kurtosis per image",
    "outlier_features",
)
figures.text("not-measured", missing or "Every model of this family was measured.")
notes = reporting.code_notes(found)
if notes:
    figures.text("older-code", notes)
