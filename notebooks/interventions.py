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

from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.publish import measured, style, words
from companion.publish.page import Page
from companion.publish.style import digits

changed = measured.known("interventions", edition)
tried = measured.one_set_each([m for m in changed if m.level != "random"])
page = Page("interventions", tried)

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
page.texts(by_hand=f"{digits(kurtosis(h).mean())} to {digits(kurtosis(there).mean())}")
assert np.allclose((h - h.mean(0)) @ head.T + (b + head @ h.mean(0)), logits)

# %% [markdown]
# ## What predictions lose

# %%
COSTS = {
    "mean subtracted, no bias": "less_mean",
    "dominant at its mean": "leader_at_mean",
    "dominant at zero": "without_leader",
}
CHANGES = {
    "rotated": "rotated",
    "shifted": "rotated, constant added",
    "less_mean": "mean subtracted",
}


def cost(m, name):
    change, error = (m.value(f"difference_{name}{part}") for part in ("", "_error"))
    return style.points(change, 1.96 * error)


def cosine(m, name):
    return f"{round(m.value(f'cosine_{name}'), 2) + 0:.2f}"


def others(m, name):
    return style.points(m.value(f"accuracy_{name}").mean() - m.value("accuracy_whole"))


rows = (
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
page.table("interventions", rows)

# %% [markdown]
# ## What each change keeps

# %%
rows = (
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
page.table("kept", rows)

# %% [markdown]
# ## The example in words

# %%
zero_shot = [m for m in changed if m.level == "zero_shot"]
for front in sorted(zero_shot, key=lambda m: m.counts["images"])[-1:]:
    of_front = words.of_same_model(front, "basis")[front.data.name]
    page.texts(front=f"{measured.model_title(front)} on {front.data.title}")
    kappas = (f"kurtosis_{name}" for name in ("rotated", "shifted", "leader_at_mean"))
    of_head = (*kappas, "mean_importance", "mean_importance_shifted")
    page.texts({name: digits(np.ravel(front.value(name))[-1]) for name in of_head})
    of_images = ("kurtosis", "kurtosis_less_mean", "kurtosis_gaussian")
    page.texts({name: digits(of_front.value(name)) for name in of_images})
    shares = ("mean_share", "mean_coordinate_share")
    page.texts({name: f"{100 * of_front.value(name):.0f} %" for name in shares})
    page.texts({f"cosine-{name}": cosine(front, name) for name in CHANGES})
    page.texts({f"loss-{name}": cost(front, name) for name in COSTS.values()})
    change, error = (front.value(f"difference_leader_at_mean{part}") for part in ("", "_error"))
    hardly = "this head hardly uses what the coordinate says about a single image"
    page.holds(abs(change) < 1.96 * error, hardly, [front])
every = sum(np.sum(m.value(f"changed_{name}")) for m in changed for name in CHANGES)
page.holds(not every, "no prediction changes", changed)
page.texts(changed=f"none of {sum(m.counts['images'] for m in changed):,} predictions")
