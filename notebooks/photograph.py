# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - course/lessons/embeddings.npz
#     - course/lessons/words.csv
#     - course/data/captions.csv
# ---

# %% [markdown]
# # One photograph through the book
#
# What do directions, pruning and concepts say of a single image? This page follows the photograph
# that {doc}`/outlier_features` and {doc}`/what_kurtosis_measures` show. The head consists of the
# captions of 500 photographs.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.metrics import average_precision, directions, pruning
from analysis.metrics.basis import at_length_one
from companion.chapters import pruning_figures
from companion.chapters.explorables import examples
from companion.engine import plots, style
from companion.engine.page import Page

with np.load(ROOT / "course/lessons/embeddings.npz") as file:
    images, head = (at_length_one(file[name].astype(float)) for name in ("images", "captions"))
words = pd.read_csv(ROOT / "course/data/captions.csv")["caption"].str.rstrip(".")
photograph = examples(images, head)[0]  # κ nearest to the mean, own caption first
page = Page("photograph")
page.number(words=words[photograph])

# %% [markdown]
# ## Its captions

# %%
cosines = head @ images[photograph]
five = np.argsort(-cosines)[:5]
found = pd.DataFrame({"of": words[five], "level": "zero_shot", "cosine": cosines[five]})
page.slide("captions", plots.marks(found, "cosine"), 2.4)

# %% [markdown]
# ## Its directions
#
# The components of the photograph along the most important directions, next to those of all
# photographs. Signs are such that the photograph's own components are positive.

# %%
v = directions.decompose(head).directions
v = v * np.sign(v @ images[photograph])[:, None]
order = np.argsort(-directions.importance(images, head))
along = images @ v[order].T
low, high = np.quantile(along, (0.05, 0.95), axis=0)
SHOWN, ALONG = 6, "component along the direction"
rows = pd.DataFrame(
    {"of": [f"direction {n + 1}" for n in range(SHOWN)], "level": "zero_shot"}
    | {ALONG: along[photograph, :SHOWN], "low": low[:SHOWN], "high": high[:SHOWN]}
)
own = along[photograph]
drawing = plots.marks(rows, ALONG, verticals={"": 0})
page.slide("directions", plots.marks(rows[:5], ALONG, verticals={"": 0}), 2.8)
page.figure(
    "directions",
    drawing,
    holds=all((low < own)[:5] & (own < high)[:5]) and own[5] > high[5],
)

# %% [markdown]
# ## Its pruned head
#
# The caption that the photograph finds with fewer and fewer directions.

# %%
cats = words.str.contains(r"\bcat\b", case=False)
pruned = []
for kept in (len(order), 100, 20, 10, 1):
    best = (pruning.prune(head, order, kept) @ images[photograph]).argmax()
    pruned.append({"kept": kept, "caption": words[best], "right": cats[best]})
whole, *_, last = (row["caption"] for row in pruned)
page.holds(all(row["right"] for row in pruned[:-1]), "keeps finding a cat")
page.figure(
    "pruned",
    pruning_figures.shrinking(pd.DataFrame(pruned)),
    kept=pruned[2]["kept"],
    all=len(order),
    holds=pruned[2]["caption"] == whole != last,
)

# %% [markdown]
# ## Its concept
#
# Of all directions the one along which average precision is best for *cat*, and where the
# photographs lie along it.

# %%
labels = pd.read_csv(ROOT / "course/lessons/words.csv")["cat"].to_numpy(bool)
rng = np.random.default_rng(0)
others = rng.choice(np.flatnonzero(~labels), labels.sum(), replace=False)
chosen = np.r_[np.flatnonzero(labels), others]
signed = np.concatenate([along, -along], axis=1)
ap = average_precision.average_precision(signed[chosen], labels[chosen][:, None])
best = int(np.asarray(ap).ravel().argmax())
BELOW = "photographs below (%)"
curves = {"caption says cat": labels, "caption does not": ~labels}
parts = [
    {"of": name, ALONG: np.sort(signed[rows, best]), BELOW: 100 * np.linspace(0, 1, rows.sum())}
    for name, rows in curves.items()
]
page.figure(
    "concept",
    plots.lines(
        style.stacked(parts),
        ALONG,
        BELOW,
        looks=dict(zip(curves, (plots.Stroke(style.STRONG), plots.Stroke(style.INK)), strict=True)),
        verticals={"": 0, "the photograph": signed[photograph, best]},
    ),
    ap=f"{np.max(ap):.2f}",
    direction=best % len(order) + 1,
    number=int(labels.sum()),
    holds=labels[photograph] and np.max(ap) >= average_precision.THRESHOLD and best == 5,
)
