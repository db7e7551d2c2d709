# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [basis, interventions]
#     reads:
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
# ---

# %% [markdown]
# # What the head can undo
#
# Changes of features, and what they do to κ and to predictions. The page
# {doc}`/what_kurtosis_measures` shows these results and explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.publish import encoders, overview, style, words
from companion.publish.style import digits

changed = overview.known("interventions", edition)

# %% [markdown]
# ## By hand
#
# A head W sees W h + b. Rotate h and W alike, add a constant to one coordinate, take it off in b:
# the logits stay, and κ becomes what one likes.

# %%
rng = np.random.default_rng(0)
h, head, b = rng.normal(size=(500, 64)), rng.normal(size=(10, 64)), rng.normal(size=10)
turn, constant = random_rotation(64, seed=1), 12 * np.eye(64)[7]
there = h @ turn + constant
logits = there @ (head @ turn).T + (b - head @ turn @ constant)
assert np.allclose(logits, h @ head.T + b)
style.text("by-hand", f"{digits(kurtosis(h).mean())} to {digits(kurtosis(there).mean())}")

# %% [markdown]
# ## What predictions lose

# %%
tried = encoders.one_set_each([m for m in changed if m.level != "random"])
rows = pd.DataFrame(
    {
        "model": encoders.told(m),
        "accuracy (%)": style.percent(m.value("accuracy_whole")),
        "mean": digits(m.value("mean_importance")),
        "κ": digits(m.value("kurtosis_whole")),
        "κ rotated": digits(m.value("kurtosis_rotated")),
        "κ shifted": digits(m.value("kurtosis_shifted")[-1]),
        "changed": f"{m.value('changed_rotated') + m.value('changed_shifted').sum():.0f}",
        **{
            what: style.points(m.value(f"difference_{n}"), 1.96 * m.value(f"difference_{n}_error"))
            for what, n in (("less the mean", "less_mean"), ("without leader", "without_leader"))
        },
        "another": style.points(
            m.value("accuracy_without_other").mean() - m.value("accuracy_whole")
        ),
    }
    for m in tried
)
style.table(
    "interventions", rows, words.kind(tried) if tried else None,
    "Two changes that the head can undo, and two that it cannot.",
    more="""Of images that have a class. Mean: the importance of the mean image's direction, over
    the mean of the head's directions; no rotation changes it. Rotated: features and head, by one
    random rotation. Shifted: after it, five mean lengths of an image added to one coordinate, taken
    off in the head's bias. Changed: predictions that differ after either. Less the mean, without
    the leader: difference of accuracy in points ± 95 % interval, when the mean image is subtracted,
    or the coordinate that leads most often is set to zero; another: mean over 20 other
    coordinates.""",
)  # fmt: skip

# %% [markdown]
# ## The example in words

# %%
if any(m.level == "zero_shot" for m in changed):
    front = overview.front(changed)
    of_front = words.of_same_model(front, "basis")[front.data.name]
    style.text("front", f"{encoders.told(front)} on {front.data.title}")
    for name in ("kurtosis", "kurtosis_less_mean", "kurtosis_gaussian", "kurtosis_eigenframe"):
        style.text(name.replace("_", "-"), digits(of_front.value(name)))
    style.text("kurtosis-rotated", digits(front.value("kurtosis_rotated")))
    style.text("mean-importance", digits(front.value("mean_importance")))
    style.text("kurtosis-shifted", digits(front.value("kurtosis_shifted")[-1]))
    for name in ("mean_share", "mean_coordinate_share"):
        style.text(name.replace("_", "-"), f"{100 * of_front.value(name):.0f} %")
    for name in ("less_mean", "without_leader"):
        change, error = (front.value(f"difference_{name}{part}") for part in ("", "_error"))
        style.text(f"loss-{name.replace('_', '-')}", style.points(change, 1.96 * error))
style.text("changed", overview.predictions_changed(changed))
