# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     features: true
#     reads:
#     - data/imagenet/sets.yaml
#     - data/measurements/outlier_features/*.json
#     - data/measurements/privileged_directions/*.json
#     - data/measurements/pruning/*.json
#     - families/*.yaml
# ---

# %% [markdown]
# # Inside CLIP
#
# What is measured of outlier features, privileged directions and pruning, live or recorded, over
# all families. The pages {doc}`/outlier_features`, {doc}`/privileged_directions` and
# {doc}`/pruning` show these results and explain them.

# %% tags=["parameters"]
edition: str = "paper"  # which families
outlier_threshold: float = 6.0  # times the mean coordinate: from there a coordinate is an outlier
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_families
from analysis.images.imagelist import is_whole
from analysis.metrics.outliers import far_above_mean
from companion.claims import rules
from companion.measurements import records
from companion.publish import charts, style, words
from companion.publish.words import digits

families = load_families(edition) | load_families("reader")
zero_shot = [m for f in families.values() for m in f.at_level("zero_shot")]


#: The pages discuss one example, COCO's images and captions, beside all that is measured.
EXAMPLE, COCO = "vit_b_16", "coco_500_"


def known(experiment: str) -> list:
    """Measurements of the families' models, in the order of families and levels."""
    found = []
    for family in families.values():
        own = records.available(experiment, family)
        order = [model.name for model in family.models]
        found += sorted(own, key=lambda m: (order.index(m.model), "captions" in m.data.name))
    return found


def example(found: list) -> list:
    """Those of the example that the pages discuss."""
    return [m for m in found if m.family == EXAMPLE and m.data.name.startswith(COCO)]


def named(measurement) -> str:
    """Backbone, level and pretraining set."""
    family = families[measurement.family]
    return f"{family.title}, {family.model(measurement.model).title}"


def titled(measurement) -> str:
    """Backbone, level and data."""
    return f"{named(measurement)}: {measurement.data.title}"


every = known("outlier_features")
per_image = example(every)
(sparse,) = records.read_all("outlier_features", "efficientnet_lite0")
directions = known("privileged_directions")
pruning = known("pruning")
pruned = example(pruning)
measured = {m.model for m in every} & {model.name for model in zero_shot}
style.text(
    "coverage", f"{len(measured)} of the {len(zero_shot)} zero-shot models"
)  # fmt: skip

# %% [markdown]
# ## Outlier features

# %%
SPARSE = "EfficientNet-Lite0, supervised"


def outlier_row(name: str, m) -> dict[str, str]:
    """One measurement as a row."""
    profile = m.value("profile")
    names = far_above_mean(profile, outlier_threshold)
    return {
        "model": f"{name}: {m.data.title}",
        "κ": words.kurtosis(m),
        "persistence (%)": f"{100 * m.value('persistence_fraction'):.1f} ({m.value('leaders')})",
        "outliers": ", ".join(map(str, names)) or "none",
        "largest": digits(profile.max()),
        "zeros (%)": f"{100 * m.value('zero_share'):.1f}",
    }


rows = [outlier_row(named(m), m) for m in every]
rows.append(outlier_row(SPARSE, sparse))
style.table(
    "kurtosis",
    pd.DataFrame(rows),
    caption=f"""Activation kurtosis of what was measured from single images or captions, the
    counterpart of the paper's Table 2 on other data. κ: mean ± 95 % interval of that mean, over the
    items at hand. Persistence: how often the commonest largest coordinate leads; in brackets, how
    many coordinates lead in some item. Outliers: coordinates whose mean |z| is at least
    {outlier_threshold:g} times that of the mean coordinate; beside it the largest, times the mean.
    Zeros: share of components that are exactly zero. {SPARSE} is no
    model of the paper.""",
    evidence=words.kind([*every, sparse]),
)

# %%
images = [m for m in per_image if "captions" not in m.data.name]
shown = {named(m): m for m in images} | {SPARSE: sparse}
style.figure(
    "outlier-or-sparse",
    charts.profiles(
        {f"{name} ({m.counts['images']} images)": m for name, m in shown.items()},
        outlier_threshold,
    ),
    words.kind(shown.values()),
    f"""Outlier or merely sparse? The activation profile: for each coordinate the mean over
    images of |z|, relative to the mean coordinate (1, thin line). Dashed: {outlier_threshold:g}
    times. CLIP's profile is one spike; that of the supervised network, whose κ is far above 3 too,
    has none.""",
)

# %%
style.figure(
    "kurtosis-distribution",
    charts.kurtosis({titled(m): m for m in per_image} | {SPARSE: sparse}),
    words.kind([*per_image, sparse]),
    """Activation kurtosis of single images and captions: the share below each value. Steps
    of the supervised network are interpolated between its few photographs. Vertical line: the
    Gaussian's 3.""",
)

# %%
for m in per_image:
    kind = "control" if m.level == "random" else "clip"
    what = "captions" if "captions" in m.data.name else "images"
    style.text(f"{kind}-{what}-kurtosis", digits(m.value("kurtosis_mean")))
    style.text(f"{kind}-{what}-leader", str(m.value("persistence_coordinate")))
    style.text(
        f"{kind}-{what}-persistence", f"{100 * m.value('persistence_fraction'):.0f} %"
    )  # fmt: skip
style.text("sparse-kurtosis", digits(sparse.value("kurtosis_mean")))
clip, control = (next(m for m in images if m.level == level) for level in ("zero_shot", "random"))
caption = next(m for m in per_image if "captions" in m.data.name and m.model == clip.model)
low, high = clip.value("kurtosis_percentiles")[0], control.value("kurtosis_percentiles")[-1]
style.text(
    "learned",
    f"Every image of CLIP lies above every image of the control ({digits(low)} at least against "
    f"{digits(high)} at most): here the outliers are learned."
    if low > high
    else f"CLIP's lowest image has {digits(low)}, the control's highest {digits(high)}: the two "
    "overlap, so the architecture brings along a part.",
)
leaders = [m.value("persistence_coordinate") for m in (clip, caption)]
style.text(
    "captions-leader",
    f"again one coordinate leads in {100 * caption.value('persistence_fraction'):.0f} % of them, "
    + ("the same one" if leaders[0] == leaders[1] else f"another one, coordinate {leaders[1]}"),
)
names = far_above_mean(sparse.value("profile"), outlier_threshold)
count, own = sparse.counts["images"], sparse.value("leaders")
style.text(
    "sparse-leaders",
    f"κ is {digits(sparse.value('kurtosis_mean'))} over {count} photographs, where a Gaussian has "
    f"3. {len(names) or 'No'} coordinate{'' if len(names) < 2 else 's'} reach"
    f"{'es' if len(names) < 2 else ''} {outlier_threshold:g} times the mean, and {own} different "
    f"coordinates lead in these {count} photographs"
    + (": every one has a largest coordinate of its own." if own == count else "."),
)
style.text(
    "sparse-bound",
    f"{count} photographs show whether the leader changes, not how often it does over thousands.",
)

# %% [markdown]
# ## Privileged directions

# %%
all_important = directions
important = example(all_important)
style.figure(
    "importance",
    charts.importance({titled(m): m for m in important}, privileged_threshold),
    words.kind(important),
    f"""Importance of every direction relative to the mean importance, the counterpart of
    the paper's Figure 2, with {important[0].counts["classes"]} captions as head in place of
    ImageNet's classes. Dashed: after subtracting the mean row from the head, which changes no
    prediction. Dotted: {privileged_threshold:g} times the mean.""",
)


# %%
def direction_row(m) -> dict[str, str]:
    """The most important direction of one model."""
    top = m.value("top_direction")
    importance = m.value("importance").max()
    same = [o for o in every if (o.model, o.data.name) == (m.model, m.data.name)]
    leader = same[0].value("persistence_coordinate") if same else None
    return {
        "model": named(m) if m in important else titled(m),
        "importance": digits(importance),
        "centred": digits(m.value("importance_head_centred")[0]),
        "cos": f"{m.value('cosine_with_images')[top]:.3f}",
        "sd": f"{m.value('top_cosine_deviation'):.3f}",
        "mean head row": f"{m.value('top_with_head_mean'):.3f}",
        "gap": f"{m.value('top_with_gap'):.3f}",
        "leader (%)": "not measured"
        if leader is None
        else f"{100 * m.value('top_components')[leader] ** 2:.1f}",
    }


random = np.sqrt(2 / (np.pi * important[0].counts["components"]))
style.table(
    "directions",
    pd.DataFrame([direction_row(m) for m in all_important]),
    caption=f"""The most important direction v: its importance over the mean, as the head is and
    with the head centred. Cos: mean over images of |cos|, for which a random direction has about
    {random:.3f} in {important[0].counts["components"]} components; sd: how much the cosine varies
    over images. |cos| of v with the head's mean row, and with the gap between the mean image and
    the mean head row. Leader: how much of v's squared length lies in the images' commonest largest
    coordinate.""",
    evidence=words.kind(all_important),
)

# %%
for m in important:
    kind = "control" if m.level == "random" else "clip"
    style.text(f"{kind}-importance", digits(m.value("importance").max()))
    style.text(f"{kind}-importance-centred", digits(m.value("importance_head_centred")[0]))
clip, control = (
    next(m for m in important if m.level == level) for level in ("zero_shot", "random")
)
cosine = clip.value("cosine_with_images")[clip.value("top_direction")]
deviation = clip.value("top_cosine_deviation")
style.text(
    "top-mean-row",
    f"Its |cos| with the head's mean row is {clip.value('top_with_head_mean'):.3f}. Subtract that "
    "row from the head, which changes no prediction, and the largest importance is "
    f"{digits(clip.value('importance_head_centred')[0])} times the mean instead of "
    f"{digits(clip.value('importance').max())}.",
)
style.text(
    "top-varies",
    f"Its |cos| with images is {cosine:.3f} on average, and varies over images with a standard "
    f"deviation of {deviation:.3f}, {100 * deviation / cosine:.0f} % of that: "
    + ("it is mostly common to all images. " if deviation < cosine / 2 else "it tells them apart. ")
    + "With the gap between the mean image and the mean caption its |cos| is "
    f"{clip.value('top_with_gap'):.3f}.",
)
top = control.value("importance").max()
style.text(
    "control-privileged",
    f"With random weights the first direction reaches {digits(top)} times the mean "
    f"({digits(control.value('importance_head_centred')[0])} with the head centred), "
    + (
        f"above {privileged_threshold:g} as well. So a large importance by itself does not show "
        "that something was learned; how much larger CLIP's is may."
        if top >= privileged_threshold
        else f"below {privileged_threshold:g}."
    ),
)

# %% [markdown]
# ## Pruning


# %%
style.figure(
    "pruning",
    charts.pruning({titled(m): charts.pruning_curves(m) for m in pruned}),
    words.kind(pruned),
    f"""Accuracy against the share of directions pruned, the counterpart of the paper's
    Figure 3 in another task: to find each image's own caption among
    {pruned[0].counts["classes"]}. Blue band: 95 % interval of the paired difference from the whole
    head; grey: lowest to highest of {pruned[0].value("random_orders")} random orders. Right:
    difference from the whole head. Dashed: the 80 % of the claim.""",
)

# %%
first = pruned[0]
rank = len(first.value("accuracy_importance"))
kept = [round(share * rank) for share in (1, 0.6, 0.4, 0.3, 0.2, 0.1)]
error = 1.96 * first.value("difference_importance_error")
style.table(
    "kept",
    pd.DataFrame(
        {
            "pruned (%)": [f"{100 * (1 - k / rank):.0f}" for k in kept],
            "kept": [str(k) for k in kept],
        }
        | {
            f"{title} (%)": [style.percent(first.value(f"accuracy_{o}")[k - 1]) for k in kept]
            for o, (title, _, _) in charts.ORDERS.items()
        }
        | {
            "difference (points)": [
                style.points(first.value("difference_importance")[k - 1], error[k - 1])
                if k < rank
                else ""
                for k in kept
            ]
        }
    ),
    caption=f"""Accuracy of {titled(first)} with some of its directions pruned, in four orders.
    Difference: between the order of importance (least important pruned first) and the whole head
    on the same images, ± 95 % interval.""",
    evidence=words.kind(pruned),
)
at_80 = rules.pruned(first, 0.8)  # as the claim is judged
kept, change = int(at_80["kept"].value), at_80["accuracy_change"]
without = first.value("accuracy_without_each")
style.text(
    "pruning-limit",
    f"{at_80['fewest'].value:.0f} of {rank} ({100 * at_80['without_loss'].value:.0f} % pruned)",
)
style.text("pruning-whole", f"{style.percent(at_80['accuracy_whole'].value)} %")
values = {o: first.value(f"accuracy_{o}")[kept - 1] for o in charts.ORDERS}
style.text(
    "pruning-outcome",
    f"With 80 % pruned ({kept} of {rank} kept) accuracy is "
    f"{style.percent(values['importance'])} %, a difference of "
    f"{style.points(change.value, change.high - change.value)} points: "
    + ("a loss is established" if change.high < 0 else "no loss is established")
    + f". As many directions in random order give {style.percent(values['random'])} %, in the "
    f"order of the singular values {style.percent(values['singular_value'])} %, so the second "
    "factor of importance adds "
    f"{style.points(values['importance'] - values['singular_value'])} points there.",
)
worst, others = int(without.argmin()), np.delete(without, without.argmin())
row = next(m for m in important if (m.model, m.data.name) == (first.model, first.data.name))
style.text(
    "without-first",
    f"Leaving out direction {worst + 1} by singular value alone takes accuracy to "
    f"{style.percent(without[worst])} %; without any single one of the others it stays at "
    f"{style.percent(others.min())} % or above."
    + (
        f" The model needs that direction, although its |cos| with the head's mean row is "
        f"{row.value('top_with_head_mean'):.3f}."
        if worst == row.value("top_direction")
        else ""
    ),
)

# %%
# The page embeds this whether anything was measured or not, so the table is part of the text.
on_imagenet = [m for m in pruning if m.data.name == "imagenet" and is_whole(m.data.what)]


def imagenet_row(m) -> dict[str, str]:
    """One model's ImageNet head with 80 % pruned."""
    at_80 = {name: n.value for name, n in rules.pruned(m, 0.8).items()}
    change = rules.pruned(m, 0.8)["accuracy_change"]
    return {
        "model": named(m),
        "whole (%)": style.percent(at_80["accuracy_whole"]),
        "kept": f"{at_80['kept']:.0f} of {at_80['rank']:.0f}",
        "difference (points)": style.points(change.value, change.high - change.value),
        "at random (%)": style.percent(at_80["accuracy_random"]),
        "loss established below": f"{at_80['fewest']:.0f}",
    }


if on_imagenet:
    badges = " ".join(f"{{evidence}}`{kind}`" for kind in words.kind(on_imagenet).split(", "))
    style.text(
        "pruning-imagenet",
        "Accuracy on ImageNet with 80 % of the directions pruned, the least important first: the "
        "difference from the whole head on the same images ± 95 % interval, accuracy with as many "
        "directions in random order, and the number of directions below which a loss is "
        f"established. {badges}\n\n"
        + style.to_markdown(pd.DataFrame([imagenet_row(m) for m in on_imagenet])),
    )
else:
    style.text(
        "pruning-imagenet",
        ":::{admonition} Not measured yet\n:class: not-measured\n"
        "Accuracy on ImageNet against the share of pruned directions: `companion extract FAMILY "
        "--data imagenet`, then `companion measure pruning FAMILY --record`.\n:::",
    )
