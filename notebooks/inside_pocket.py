# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [pocket]
#     measurements: [outlier_features, privileged_directions, pruning_under_shift]
#     reads:
#     - data/emoji/emoji.zip
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
# ---

# %% [markdown]
# # Inside the pocket models
#
# Outlier features, privileged directions and pruning of the pocket lab's models, over both
# backbones. The pages {doc}`/outlier_features`, {doc}`/privileged_directions` and
# {doc}`/pruning` explain what is measured.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged
pruned_share: float = 0.8  # share of directions pruned in the claim

# %%
import numpy as np
import pandas as pd

from companion.measurements import accuracies
from companion.measurements.pending import TRAINING
from companion.publish import measured, plots, pocket_models, style, words
from companion.publish.style import percent, span, with_interval

found = pocket_models.models(edition, pruned_share)
trained = found[found["level"] != "random"]
untrained = found[found["level"] == "random"]


def with_ends(rows, name):
    """A change in points with its interval."""
    ends = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy() / 100
    return [with_interval(*each) for each in ends]


# %% [markdown]
# ## Outlier features

# %%
ER = "ER, unseen styles (points)"
columns = {"backbone": "panel", "kurtosis": "activation kurtosis κ", "er": ER}
ends = {"er_low": "low", "er_high": "high"}
marks = trained[["of", "level", "look", *columns, *ends]].rename(columns=columns | ends)
style.figure(
    "indicator",
    plots.scatter(
        marks, "activation kurtosis κ", ER, log="x", verticals={"Gaussian": 3, "CLIP": 87}
    ),
    "recorded, live",
    """No pocket model has a κ far above the Gaussian's 3, robust or not. One mark for each model;
    bars: 95 % intervals.""",
    more="""The intervals are from resamples of the test concepts and of the baseline's pool. One
    seed of training.""",
)
style.text("random-persistence", span(untrained["persistence"]))
style.text("random-kurtosis", span(untrained["kurtosis"]))
style.text("trained-persistence", span(trained["persistence"]))
low, high = trained["persistence"].max(), untrained["persistence"].min()
style.holds(high > low and found["kurtosis"].max() < 4, "persistence without a high κ", "live")

# %% [markdown]
# ## Privileged directions

# %%
shown = {"importance": "largest importance (times the mean)", "centred": "head mean-centred"}
style.figure(
    "importance",
    plots.marks(
        found[["backbone", "title", "level", *shown]].rename(
            columns=shown | {"backbone": "panel", "title": "of"}
        ),
        shown["importance"],
        other=shown["centred"],
        verticals={"privileged": privileged_threshold},
        limits=(0, 1.1 * found["importance"].max()),
    ),
    "live",
    """Mean-centring the head, which changes no prediction, lowers the top direction's importance
    in zero-shot models. Filled: the head as it is; hollow: mean-centred.""",
)
directions = [
    m for m in measured.known("privileged_directions", edition) if m.data.name == TRAINING
]
style.table(
    "directions",
    pd.DataFrame(
        {"model": f"{words.whose(m)[0].title.removeprefix('Pocket ')}, {words.whose(m)[1].title}"}
        | measured.top_direction(m)
        | {"by chance": f"{np.sqrt(2 / (np.pi * m.counts['components'])):.3f}"}
        for m in directions
    ),
    "live",
    """The most important direction of each pocket model: its importance over the mean, for the head
    as it is and for the mean-centred head.""",
    more="""Cos, with: its |cos| with images, the mean image, the head's mean row and the modality
    gap. In leader: the share of its squared length in the images' dominant coordinate. By chance:
    about the |cos| of a random direction with images.""",
)

# %% [markdown]
# ## Pruning

# %%
ENDS = {"change (points)": "", "low": "_low", "high": "_high"}
PANELS = {"accuracy, training style": "accuracy_change", "ER, unseen styles": "er_change"}
changes = [
    trained[["of", "level"]].assign(
        panel=panel, **{end: trained[f"{name}{tail}"] for end, tail in ENDS.items()}
    )
    for panel, name in PANELS.items()
]
style.figure(
    "pruning",
    plots.marks(pd.concat(changes), "change (points)", verticals={"": 0}),
    "recorded, live",
    f"""Pruning the least important {100 * pruned_share:g} % of the directions costs accuracy in the
    training style, and hardly changes effective robustness. Bars: 95 % intervals of the paired
    change from the whole head.""",
    more="The intervals are from resamples of the test concepts and of the baseline's pool.",
)
lowest = accuracies.pocket_pool("unseen")["imagenet"].min()
sparse = (trained["pruned"] < 100 * lowest).map({True: " (*)", False: ""})
style.table(
    "pruning-80",
    pd.DataFrame(
        {
            "model": trained["of"],
            "kept": trained["kept"].astype(str) + " of " + trained["rank"].astype(str),
            "accuracy (%)": trained["accuracy"].map("{:.1f}".format),
            "pruned (%)": trained["pruned"].map("{:.1f}".format) + sparse,
            "change": with_ends(trained, "accuracy_change"),
            "change of ER": with_ends(trained, "er_change"),
        }
    ),
    "recorded, live",
    """Accuracy in the training style with all directions and with the most important ones, and the
    changes of accuracy and of effective robustness on the unseen styles, in points with 95 %
    intervals.""",
    more=f"""(*): less accurate than every model of the baseline's pool ({percent(lowest)} %), so
    the baseline is extrapolated and ER says little.""",
)
