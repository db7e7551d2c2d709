# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [pruning]
#     measurements: [pruning]
# ---

# %% [markdown]
# # Pruning
#
# How many directions of the head can we remove before predictions get worse? The section
# {doc}`/pruning` explains the question, and {eq}`eq-pruning` defines the pruned head.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the model family that is shown

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics import directions, pruning
from companion.chapters import arrays, measured, notes, pruning_figures
from companion.engine.page import Page
from companion.engine.style import percent, points, span
from companion.measurements.pruned import in_each_order
from companion.measurements.records import available

KEPT = (1, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of directions shown in the table

backbone = load_family(family)
measurements = available("pruning", backbone)
by_title = measured.by_title(measurements)
page = Page("pruning", measurements, backbone=backbone.title)

# %% [markdown]
# ## Accuracy against the share pruned

# %%
if measurements:
    rows = pd.concat(
        in_each_order(m, KEPT).assign(
            model=title, how_trained=measured.how_trained(backbone, m.level)
        )
        for title, m in by_title.items()
    )
    changes = [change.value for change in rows["change"].iloc[KEPT.index(0.2) :: len(KEPT)]]
    page.figure(
        "curve",
        pruning_figures.curves(
            {title: pruning_figures.all_steps(m) for title, m in by_title.items()}
        ),
        orders=measurements[0].value("random_orders"),
        change=span(changes, points),
        task=notes.task(measurements[0]),
        heads=notes.heads(measurements),
    )
    one = f"Model: {titles[0]}. " if len(titles := [*by_title]) == 1 else ""
    page.table("kept", rows.assign(model=None) if one else rows, of=one)

# %%
rows = []
for title, m in by_title.items():
    without = m.value("accuracy_without_each")
    worst = int(without.argmin())
    others = np.delete(without, worst) if len(without) > 1 else without
    row = {"model": title, "all": m.value("accuracy_importance")[-1], "direction": worst + 1}
    row |= {"without": without[worst], "low": others.min(), "high": others.max()}
    row |= {"how_trained": measured.how_trained(backbone, m.level)}
    rows.append(row)
page.table("leave-one-out", rows)

# %% [markdown]
# ## From importance to a pruned head
#
# Write the head as a sum over its directions, keep the terms of the most important ones, and
# classify again, among the classes that the images have: `rows` of the head compete. The package
# adds the terms one by one and never builds the pruned heads. Where no features are on disk,
# Gaussian numbers take their place, with the classes that the head gives.

# %%
what, h, labels, W, b, rows, taken = arrays.on_disk(measurements) or arrays.gaussian(
    backbone.models[0].width
)
h, labels = h[labels >= 0], labels[labels >= 0]  # images that have a class
U, sigma, V = np.linalg.svd(W.astype(float), full_matrices=False)
order = np.argsort(-directions.importance(h, W))
kept = order[: max(1, round(0.2 * len(order)))]
pruned = (U[:, kept] * sigma[kept]) @ V[kept]  # a head of classes × components again
by_hand = (rows[(h @ pruned.T + b)[:, rows].argmax(axis=1)] == labels).mean()
of_package = pruning.right_at_every_step(h, labels, directions.decompose(W), order, rows, b)
curve = of_package.mean(axis=1) if taken is None else taken.value("accuracy_importance")
assert np.isclose(by_hand, curve[len(kept) - 1], atol=0.01)
assert np.isclose(of_package[-1].mean(), curve[-1], atol=0.01)
page.by_hand(
    "by-hand",
    what=what,
    whole=percent(of_package[-1].mean()),
    all=len(order),
    pruned=percent(by_hand),
    kept=len(kept),
)

# %% tags=["remove-input"]
page.texts(notes.closing_notes("pruning", backbone, measurements, random=False))
