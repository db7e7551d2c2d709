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
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.images import sets
from analysis.metrics.outliers import far_above_mean
from companion.measurements.due import unusable
from companion.measurements.records import available
from companion.publish import charts, style, words
from companion.publish.words import digits

backbone = load_family(family)
pocket = backbone.edition == "pocket"
found = available("privileged_directions", backbone)
per_image = [m for m in found if m.basis == "per_image"]
of_heads = [m for m in found if m.basis != "per_image"]
outliers = {
    (m.model, m.data.name): m
    for m in available("outlier_features", backbone)
    if m.basis == "per_image"
}


def title(measurement) -> str:
    """The model and the data of a measurement, in words; in the pocket lab the data are one."""
    if pocket:
        return backbone.model(measurement.model).title
    return words.title(measurement, backbone)


def singular_value(measurement, number: int) -> str:
    """A head's singular value, relative to the mean one."""
    share = measurement.value("singular_value_share")
    return digits(share[number] * len(share))


# %% [markdown]
# ## Importance of every direction

# %%
if per_image:
    style.figure(
        "importance",
        charts.importance({title(m): m for m in per_image}, threshold),
        words.kind(per_image),
        f"""Importance of every direction of the head relative to the mean importance,
        {backbone.title}, the counterpart of the paper's Figure 2. Head:
        {words.heads(per_image)}. Dashed: after subtracting the mean row from the head, which
        changes no prediction. Lines at the mean and at {threshold:g} times the mean.""",
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
        "directions",
        table,
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
        evidence=words.kind(per_image),
    )

# %% [markdown]
# ## The top direction and the outlier coordinates

# %%
shown = [m for m in per_image if (m.model, m.data.name) in outliers]


def profile(m) -> np.ndarray:
    """The activation profile of the images that the importance is of."""
    return outliers[m.model, m.data.name].value("profile")


if shown:
    style.figure(
        "top-direction",
        charts.top_directions({title(m): (m, profile(m)) for m in shown}),
        words.kind(shown),
        f"""Each coordinate of the {backbone.title} embedding: how far it stands out over
        images, against the size of its component in the most important direction of the head. Where
        outlier features carry that direction, a coordinate lies far to the right and high up.""",
    )

# %% [markdown]
# ## What heads and mean embeddings show
#
# The two factors of importance, as far as they can be had without single images: the singular
# values of the head, and the |cos| of its directions with the mean image. The mean |cos| over
# images is another quantity, so no importance is given.

# %%
if of_heads:
    share = {title(m): m.value("singular_value_share") for m in of_heads}
    cosines = {
        title(m): (m.level, np.arange(1, len(m.value("cosine_with_mean")) + 1),
                   m.value("cosine_with_mean"))
        for m in of_heads
        if "cosine_with_mean" in m.values
    }  # fmt: skip
    spectra = {
        title(m): (m.level, np.arange(1, len(share[title(m)]) + 1),
                   len(share[title(m)]) * share[title(m)])
        for m in of_heads
    }  # fmt: skip
    style.figure(
        "spectrum",
        charts.curves(
            {"times the mean singular value": spectra}
            | ({"|cos| with the mean embedding": cosines} if cosines else {}),
            "direction, by singular value",
            log=True,
        ),
        words.kind(of_heads),
        f"""Genuine ImageNet zero-shot heads of {backbone.title}: singular values (left)
        and, where a mean COCO embedding of the same model was published, the |cos| of each
        direction with it (right; a random direction has about
        {np.sqrt(2 / (np.pi * of_heads[0].counts["components"])):.3f}). All axes are logarithmic.
        Not an importance.""",
    )
    style.table(
        "heads", pd.DataFrame(
            {
                "model": [backbone.model(m.model).title for m in of_heads],
                "head": [sets.title(m.data.name) for m in of_heads],
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
        caption=f"""First direction of genuine {backbone.title} ImageNet heads. It is the head's
        mean row, up to the third digit. Largest coordinate: where the direction has its largest
        component, and that component's size. The cosine is with the mean embedding of COCO images,
        not the mean over images.""",
        evidence=words.kind(of_heads),
    )  # fmt: skip

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
words.show_what_is_missing(
    backbone,
    found,
    words.without(backbone, per_image),
    "Here will stand the importance of every direction",
    "privileged_directions",
    unusable(backbone),
)
