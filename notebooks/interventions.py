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
# What changes of features do to κ and to predictions, for {doc}`/what_kurtosis_measures`.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.publish import measured, style, words
from companion.publish.style import digits, holds

changed = measured.known("interventions", edition)

# %% [markdown]
# ## By hand
#
# A head W sees W h + b. Rotate h and W alike, add a constant to one coordinate, subtract its effect
# in b: the logits stay, and κ becomes what one likes. The mean image is such a constant, too.

# %%
rng = np.random.default_rng(0)
h, head, b = (rng.normal(size=shape) for shape in ((500, 64), (10, 64), 10))
turn, constant = random_rotation(64, seed=1), 12 * np.eye(64)[7]
there = h @ turn + constant
logits = there @ (head @ turn).T + (b - head @ turn @ constant)
assert np.allclose(logits, h @ head.T + b)
style.text("by-hand", f"{digits(kurtosis(h).mean())} to {digits(kurtosis(there).mean())}")
assert np.allclose((h - h.mean(0)) @ head.T + (b + head @ h.mean(0)), logits)

# %% [markdown]
# ## What predictions lose

# %%
tried = measured.one_set_each([m for m in changed if m.level != "random"])
kind = words.kind(tried)
COSTS = {
    "mean subtracted, no bias": "less_mean",
    "dominant at its mean": "leader_at_mean",
    "dominant at zero": "without_leader",
}
CHANGES = {"rotated": "rotated", "shifted": "rotated, constant added"}
CHANGES |= {"less_mean": "mean subtracted"}


def cost(m, name):
    change, error = (m.value(f"difference_{name}{part}") for part in ("", "_error"))
    return style.points(change, 1.96 * error)


def cosine(m, name):
    return f"{round(m.value(f'cosine_{name}'), 2) + 0:.2f}"


def others(m, name):
    return style.points(m.value(f"accuracy_{name}").mean() - m.value("accuracy_whole"))


rows = pd.DataFrame(
    {
        "model": measured.model_title(m),
        "accuracy (%)": style.percent(m.value("accuracy_whole")),
        "κ": digits(m.value("kurtosis_whole")),
        "κ, mean subtracted": digits(m.value("kurtosis_less_mean")),
        "predictions changed, with bias": f"{m.value('changed_less_mean'):.0f}",
        **{title: cost(m, name) for title, name in COSTS.items()},
        "another at its mean": others(m, "other_at_mean"),
        "another at zero": others(m, "without_other"),
    }
    for m in tried
)
style.table(
    "interventions",
    rows,
    kind,
    "What a bias undoes (subtracting the mean), and what setting a coordinate costs without one.",
    more="""With the bias W m, subtracting the mean image m changes no prediction. Then: differences
    of accuracy in points, with 95 % intervals. Dominant: the dominant coordinate, set to its mean
    over images (mean ablation) or to zero. Another: the mean over 20 other coordinates.""",
)

# %% [markdown]
# ## What each change keeps

# %%
rows = pd.DataFrame(
    {
        "model": measured.model_title(m),
        "change": change,
        "κ": digits(np.ravel(m.value(f"kurtosis_{name}"))[-1]),
        "cosine": cosine(m, name),
        "κ in the eigenframe": digits(m.value(f"eigenframe_{name}")),
        "predictions changed": f"{np.ravel(m.value(f'changed_{name}'))[-1]:.0f}"
        if name in CHANGES
        else "",
    }
    for m in tried
    for name, change in ({"whole": "none"} | CHANGES).items()
)
style.table(
    "kept",
    rows,
    kind,
    """A rotation keeps every cosine and every prediction of a linear head; a constant keeps the
    predictions alone.""",
    more="""The head follows each change: it is rotated along, or its bias absorbs the constant.
    Constant: five mean feature norms, added to one coordinate. Cosine: mean over pairs of images.
    κ in the eigenframe: along the eigenvectors of the second moments.""",
)

# %% [markdown]
# ## The example in words

# %%
zero_shot = [m for m in changed if m.level == "zero_shot"]
for front in sorted(zero_shot, key=lambda m: m.counts["images"])[-1:]:
    of_front = words.of_same_model(front, "basis")[front.data.name]
    style.text("front", f"{measured.model_title(front)} on {front.data.title}")
    for name in ("kurtosis", "kurtosis_less_mean", "kurtosis_gaussian"):
        style.text(name.replace("_", "-"), digits(of_front.value(name)))
    kappas = (f"kurtosis_{name}" for name in ("rotated", "shifted", "leader_at_mean"))
    for name in (*kappas, "mean_importance", "mean_importance_shifted"):
        style.text(name.replace("_", "-"), digits(np.ravel(front.value(name))[-1]))
    for name in ("mean_share", "mean_coordinate_share"):
        style.text(name.replace("_", "-"), f"{100 * of_front.value(name):.0f} %")
    for name in CHANGES:
        style.text(f"cosine-{name.replace('_', '-')}", cosine(front, name))
    change, error = (front.value(f"difference_leader_at_mean{part}") for part in ("", "_error"))
    holds(abs(change) < 1.96 * error, "mean ablation changes no accuracy", words.kind([front]))
    for name in COSTS.values():
        style.text(f"loss-{name.replace('_', '-')}", cost(front, name))
every = sum(np.sum(m.value(f"changed_{name}")) for m in changed for name in CHANGES)
holds(not every, "no prediction changes", words.kind(changed))
style.text("changed", f"none of {sum(m.counts['images'] for m in changed):,} predictions")
