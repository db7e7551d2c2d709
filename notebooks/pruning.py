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
# {doc}`/pruning` explains the question, {eq}`eq-pruning` defines the pruned head.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the model family that is shown

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics import directions, pruning
from companion.measurements.records import available
from companion.publish import arrays, charts, style, words
from companion.publish.style import percent, points

KEPT = (1, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of directions shown in the table

backbone = load_family(family)
found = available("pruning", backbone)
shown = words.titled(found)

# %% [markdown]
# ## From importance to a pruned head
#
# Write the head as a sum over its directions, keep the terms of the most important ones, classify
# again. The package adds the terms one by one and never builds the pruned heads. Gaussian numbers,
# where there are no features, have the classes that the whole head gives them.

# %%
what, h, labels, W, b = arrays.of(found, backbone)
h, labels = h[labels >= 0], labels[labels >= 0]  # images that have a class
U, sigma, V = np.linalg.svd(W.astype(float), full_matrices=False)
order = np.argsort(-directions.importance(h, W))
kept = order[: max(1, round(0.2 * len(order)))]
pruned = (U[:, kept] * sigma[kept]) @ V[kept]  # a head of classes × components again
by_hand = ((h @ pruned.T + b).argmax(axis=1) == labels).mean()
of_package = pruning.right_at_every_step(h, labels, directions.decompose(W), order, bias=b)
assert np.isclose(by_hand, of_package[len(kept) - 1].mean(), atol=0.01)
style.text(
    "by-hand",
    f"{what}: {percent(of_package[-1].mean())} % are classified right with all {len(order)} "
    f"directions, {percent(by_hand)} % with the {len(kept)} most important ones.",
)

# %% [markdown]
# ## Accuracy against the share pruned

# %%
if found:
    style.figure(
        "curve", charts.pruning({t: charts.pruning_curves(m) for t, m in shown.items()}),
        words.kind(found),
        f"""Accuracy of {backbone.title} as directions are pruned, in four orders (counterpart of
        the paper's Figure 3). Blue band: 95 % interval; grey: {found[0].value("random_orders")}
        random orders; dashed: the claim's 80 %.""",
        more=f"""{words.task(found[0])} (head: {words.heads(found)}). The interval is of the paired
        difference from the whole head; grey runs from the lowest to the highest. Right: accuracy
        minus that of the whole head on the same images; losses above 20 points are cut off.""",
    )  # fmt: skip
    others = {"singular_value": "by singular value", "random": "at random", "reversed": "reversed"}
    rows = pd.DataFrame(
        {
            "model": title,
            "kept": str(k),
            "by importance (%)": percent(best[k - 1]),
            "difference (points)": points(lost[k - 1], half[k - 1]) if k < len(best) else "",
        }
        | {f"{how} (%)": percent(m.value(f"accuracy_{o}")[k - 1]) for o, how in others.items()}
        for title, m in shown.items()
        for best, lost, half in [charts.pruned(m)]
        for k in dict.fromkeys(max(1, round(share * len(best))) for share in KEPT)
    )
    style.table(
        "kept", rows, words.kind(found),
        f"""Accuracy of {backbone.title} with some of the directions kept, in the figure's task.
        Difference: from the whole head on the same images, by importance, ± 95 % interval. At
        random: mean of several orders.""",
    )  # fmt: skip
    style.text("leave-one-out", "\n\n".join(words.left_out(t, m) for t, m in shown.items()))

# %% tags=["remove-input"]
words.missing("pruning", backbone, found, random=False)
