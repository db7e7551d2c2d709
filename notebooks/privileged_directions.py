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
#     - data/measurements/privileged_directions/*.json
# ---

# %% [markdown]
# # Privileged directions
#
# Which directions does the head read, and do representations lie along some of them more than
# along others? The section {doc}`/privileged_directions` explains the question. Importance needs
# features of single images; where only a head, or a head and a mean embedding, was published, this
# page shows what these allow and calls it by another name.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the family in front
threshold: float = 10.0  # times the mean importance: from there a direction is called privileged

# %%
import re

import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.images import sets
from analysis.metrics.outliers import far_above_mean
from companion.measurements import take
from companion.measurements.pruned_shifts import TRAINING
from companion.publish import charts, style
from companion.publish import words as reporting
from companion.publish.words import digits

backbone = load_family(family)
pocket = backbone.edition == "pocket"
SHIFTS = {*sets.GRID} - {"imagenet"}  # they are for accuracies and concepts, not for this
data = [TRAINING] if pocket else take.known_data("privileged_directions", backbone) - SHIFTS
found = take.gather("privileged_directions", backbone, data)
per_image = [m for m in found if m.basis == "per_image"]
of_heads = [m for m in found if m.basis != "per_image"]
outliers = {
    (m.model, m.data.name): m
    for m in take.gather("outlier_features", backbone, data)
    if m.basis == "per_image"
}


def title(measurement) -> str:
    """The model and the data of a measurement, in words; in the pocket lab the data are one."""
    if pocket:
        return backbone.model(measurement.model).title
    return reporting.title(measurement, backbone)


def singular_value(measurement, number: int) -> str:
    """A head's singular value, relative to the mean one."""
    share = measurement.value("singular_value_share")
    return digits(share[number] * len(share))


# %% [markdown]
# ## Importance of every direction

# %%
if pocket and per_image:
    figure, panels = charts.grid_figure(
        {title(m): m for m in per_image},
        lambda axes, m: charts.draw_importance(axes, {"head as it is": m}, threshold),
        columns=3, height=2.5, sharex=True, sharey=True,
    )  # fmt: skip
    for axes in panels.flat:
        axes.set(xlabel="", ylabel="")
    figure.supxlabel("direction, the most important first (log scale)", fontsize=10)
    figure.supylabel("importance, times the mean", fontsize=10)
elif per_image:
    figure, axes = style.new_figure(height=4)
    charts.draw_importance(axes, {title(m): m for m in per_image}, threshold)
    figure.legend(loc="outside lower center", ncols=1)
if per_image:
    tops = "; ".join(
        f"{title(m)}: first {digits(np.sort(m.value('importance'))[-1])}, second "
        f"{digits(np.sort(m.value('importance'))[-2])}, first with the head centred "
        f"{digits(m.value('importance_head_centred')[0])}"
        for m in per_image
    )
    style.show(
        figure,
        name="importance",
        caption=f"""Importance of every direction of the head relative to the mean importance,
        {backbone.title}, the counterpart of the paper's Figure 2. Head:
        {reporting.heads(per_image)}. Dashed: after subtracting the mean row from the head, which
        changes no prediction. Lines at the mean and at {threshold:g} times the mean.""",
        alt=f"Falling curves on log axes. Times the mean, {tops}.",
        evidence=reporting.kind(per_image),
    )


# %%
def with_outliers(measurement) -> str:
    """How much of the top direction lies in the model's outlier coordinates: Σ v_c².

    In the pocket lab, where there are none: in the commonest largest coordinate.
    """
    own = outliers.get((measurement.model, measurement.data.name))
    if pocket and own is not None:
        leader = own.value("persistence_coordinate")
        return f"{100 * measurement.value('top_components')[leader] ** 2:.1f} ({leader})"
    if own is None or not len(own.value("outlier_coordinates")):
        return "no outlier"
    coordinates = own.value("outlier_coordinates")
    share = (measurement.value("top_components")[coordinates] ** 2).sum()
    return f"{100 * share:.1f} ({', '.join(map(str, coordinates))})"


rows = []
for model in backbone.models:
    own = [m for m in per_image if m.model == model.name]
    name = {"model": model.title}
    for m in own:
        top = m.value("top_direction")
        values = np.sort(m.value("importance"))[::-1]
        row = {
            "top importance (× mean)": digits(values[0]),
            "second": digits(values[1]),
            "head centred": digits(m.value("importance_head_centred")[0]),
            f"≥ {threshold:g} ×": str(len(far_above_mean(values, threshold))),
            "|cos| with images": f"{m.value('cosine_with_images')[top]:.3f}",
            "with mean image": f"{m.value('top_with_mean'):.3f}",
            "with gap": f"{m.value('top_with_gap'):.3f}",
            "with mean head row": f"{m.value('top_with_head_mean'):.3f}",
            f"in {'leader' if pocket else 'outliers'} (%)": with_outliers(m),
        }
        rows.append(name | row)
    if not own:
        rows.append(name | {"top importance (× mean)": "not measured"})
if per_image:
    table = pd.DataFrame(rows).fillna("")
    if pocket:  # what fits on the page; the figure tells of the others
        table = table.drop(columns=["second", "with gap", f"≥ {threshold:g} ×"], errors="ignore")
        table = table.rename(columns={"top importance (× mean)": "importance"})
    random = np.sqrt(2 / (np.pi * per_image[0].counts["components"]))
    style.table(
        table,
        name="directions",
        caption=f"""The most important direction v of each {backbone.title} model that was measured
        from single images, importance relative to the mean; the head is that of the figure. Head
        centred: the largest importance
        once the mean row is subtracted from the head. |cos| of v with images: mean over images
        (a random direction has about {random:.3f}); with the mean image,
        {"" if pocket else "with the gap between the mean image and the mean head row, "}and with
        the mean head row. {
            "In leader: share of v's squared length in the coordinate that is most often the "
            "largest; a coordinate drawn at random has "
            f"{100 / per_image[0].counts['components']:.1f} %."
            if pocket
            else "In outliers: share of v's squared length in the images' outlier coordinates."
        }""",
        evidence=reporting.kind(per_image),
    )

# %% [markdown]
# ## The top direction and the outlier coordinates

# %%
shown = [m for m in per_image if (m.model, m.data.name) in outliers]


def profile(m) -> np.ndarray:
    """The activation profile of the images that the importance is of."""
    return outliers[m.model, m.data.name].value("profile")


def in_words(m) -> str:
    """The coordinate that stands out most over images, and that of the largest component."""
    size, own = np.abs(m.value("top_components")), profile(m)
    largest, leader = int(size.argmax()), int(own.argmax())
    return (
        f"Coordinate {leader}, the images' {'largest' if pocket else 'outlier'} at "
        f"{own[leader]:.3g} times the mean, has a component of {size[leader]:.3f}; the largest "
        f"component, {size[largest]:.3f}, is that of coordinate {largest}, at {own[largest]:.3g} "
        "times the mean over images."
    )


if pocket and shown:
    figure, panels = charts.grid_figure(
        {title(m): m for m in shown},
        lambda axes, m: charts.draw_top_direction(
            axes, profile(m), m.value("top_components"), m.level, (1, 1)
        ),
        columns=3, height=2.6, sharex=True, sharey=True,
    )  # fmt: skip
    figure.supxlabel("activation profile of the images (times the mean coordinate, log scale)",
                     fontsize=10)  # fmt: skip
    figure.supylabel("size of the component in the top direction", fontsize=10)
    style.show(
        figure,
        name="top-direction",
        caption=f"""Each coordinate of the {backbone.title} embedding: how far it stands out over
        images, against the size of its component in the most important direction of the head. Where
        outlier features carry that direction, a coordinate lies far to the right and high up.""",
        alt="Scatter plots of coordinates. "
        + " ".join(f"{title(m)}: {in_words(m)}" for m in shown),
        evidence=reporting.kind(shown),
    )

for m in () if pocket else (m for m in shown if m.level != "random"):
    captions = outliers.get((m.model, m.data.name.replace("images", "captions")))
    figure, axes = style.new_figure(height=4.2)
    charts.draw_top_direction(axes, profile(m), m.value("top_components"), m.level)
    axes.set(xlabel="activation profile of the images (times the mean coordinate, log scale)")
    axes.set(ylabel="size of the component in the top direction")
    largest = int(np.abs(m.value("top_components")).argmax())
    also = (
        f" Coordinate {captions.value('persistence_coordinate')} is the captions' outlier."
        if captions and captions.value("persistence_coordinate") == largest
        else ""
    )
    same_level = [o.model for o in shown if o.level == m.level]
    called = m.level if len(same_level) == 1 else m.model
    called += f"-{m.data.name}" * (same_level.count(m.model) > 1)
    style.show(
        figure,
        name="top-direction-" + re.sub(r"[^A-Za-z0-9-]", "-", called),
        caption=f"""Each coordinate of the {backbone.title} embedding ({title(m)}): how far it
        stands out over images, against the size of its component in the most important direction
        of the head.{also}""",
        alt=f"Scatter plot of {m.counts['components']} coordinates. {in_words(m)}",
        evidence=reporting.kind([m]),
    )

# %% [markdown]
# ## What heads and mean embeddings show
#
# The two factors of importance, as far as they can be had without single images: the singular
# values of the head, and the |cos| of its directions with the mean image. The mean |cos| over
# images is another quantity, so no importance is given.

# %%
if of_heads:
    figure, (left, right) = style.new_figure(columns=2, width=8.4, height=3.9)
    lines = ["-", (0, (4, 2)), (0, (1, 1.5))]
    for m, line in zip(of_heads, lines, strict=False):
        share = m.value("singular_value_share")
        ranks = np.arange(1, len(share) + 1)
        colour = style.LEVEL_STYLES[m.level].colour
        left.plot(
            ranks, share * len(share), color=colour, linewidth=1.8, linestyle=line, label=title(m)
        )
        if "cosine_with_mean" in m.values:
            right.plot(ranks, m.value("cosine_with_mean"), ".", color=colour, markersize=3.5)
            random = np.sqrt(2 / (np.pi * m.counts["components"]))
            right.axhline(random, color=style.INK, linewidth=1, linestyle=(0, (4, 3)))
    left.set_yscale("log")
    left.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    left.minorticks_off()
    left.set(ylabel="times the mean singular value", ylim=(0.05, None))
    left.set_title("singular values")
    right.set(ylabel="|cos|", ylim=(0, None))
    right.set_title("|cos| with the mean embedding")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks([1, 10, 100, 1000][: 3 + (len(ranks) > 900)],
                        ["1", "10", "100", "1000"][: 3 + (len(ranks) > 900)])  # fmt: skip
        axes.minorticks_off()
        axes.set(xlabel="direction, by singular value")
    figure.legend(loc="outside lower center", ncols=1)
    words = "; ".join(
        f"{title(m)}: the first singular value is "
        f"{singular_value(m, 0)} times"
        " the mean"
        + (
            f", its direction's |cos| with the mean embedding {m.value('cosine_with_mean')[0]:.3f}"
            if "cosine_with_mean" in m.values
            else ""
        )
        for m in of_heads
    )
    style.show(
        figure,
        name="spectrum",
        caption=f"""Genuine ImageNet zero-shot heads of {backbone.title}: singular values (left)
        and, where a mean COCO embedding of the same model was published, the |cos| of each
        direction with it (right; dashed: a random direction). Both axes of ranks are
        logarithmic. Not an importance.""",
        alt=f"Two panels. {words}.",
        evidence=reporting.kind(of_heads),
    )
    style.table(
        pd.DataFrame(
            {
                "model": [backbone.model(m.model).title for m in of_heads],
                "head": [m.data.title for m in of_heads],
                "first singular value (× mean)": [
                    singular_value(m, 0)
                    for m in of_heads
                ],
                "second (× mean)": [
                    singular_value(m, 1)
                    for m in of_heads
                ],
                "|cos| with mean head row": [
                    f"{m.value('top_with_head_mean'):.3f}" for m in of_heads
                ],
                "|cos| with mean embedding": [
                    f"{m.value('cosine_with_mean')[0]:.3f}"
                    if "cosine_with_mean" in m.values
                    else "not measured"
                    for m in of_heads
                ],
                "largest coordinate": [
                    "{} ({:.2f})".format(
                        np.abs(m.value("top_components")).argmax(),
                        np.abs(m.value("top_components")).max(),
                    )
                    for m in of_heads
                ],
            }
        ),
        name="heads",
        caption=f"""First direction of genuine {backbone.title} ImageNet heads. It is the head's
        mean row, up to the third digit. Largest coordinate: where the direction has its largest
        component, and that component's size. The cosine is with the mean embedding of COCO images,
        not the mean over images.""",
        evidence=reporting.kind(of_heads),
    )  # fmt: skip

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
reporting.show_what_is_missing(
    backbone,
    found,
    reporting.without(backbone, per_image),
    "Here will stand the importance of every direction",
    "privileged_directions",
    take.unusable(backbone),
)
