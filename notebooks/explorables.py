# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - course/lessons/embeddings.npz
#     - course/lessons/controls.npz
#     - course/data/captions.csv
#     - data/relearn/frames.safetensors
#     - data/relearn/runs.csv
# ---

# %% [markdown]
# # Figures to touch
#
# What happens to one photograph's numbers, and to what it finds, while the axes turn or directions
# go? How does an outlier grow? A reader changes these figures of {doc}`/what_kurtosis_measures` and
# {doc}`/where_outlier_features_come_from`. They show features of the teaching notebooks, and
# trainings that were recorded.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.metrics import quantisation
from analysis.metrics.basis import quarter_turn
from analysis.metrics.outliers import kurtosis
from companion.chapters import explorables, origin_figures, relearn_tables
from companion.engine.page import Page
from companion.engine.style import percent, spread

with np.load(ROOT / "course/lessons/embeddings.npz") as file:
    images, captions = (file[name].astype(float) for name in ("images", "captions"))
with np.load(ROOT / "course/lessons/controls.npz") as file:
    controls = {name: file[name].astype(float) for name in file}
words = pd.read_csv(ROOT / "course/data/captions.csv")["caption"].tolist()
page = Page("explorables")

# %% [markdown]
# ## By hand
#
# A quarter turn of the axes, and every rotation on the way to it, keeps all products of vectors.

# %%
turn = quarter_turn(images.shape[1], seed=0)
halfway = explorables.rotation(turn, 45)
assert np.allclose(turn @ turn, -np.eye(len(turn)))
assert np.allclose(images @ halfway @ (captions @ halfway).T, images @ captions.T)

# %% [markdown]
# ## Turn the axes

# %%
photographs = [f"photograph {n + 1}" for n in range(14)]
shown = explorables.examples(images, captions)  # first the photograph of the story
tall = [int(kurtosis(images).argmax())]  # the one with the tallest tower
sources = [
    explorables.turning("CLIP", images, words, captions, places=shown),
    explorables.turning("random weights", controls["random"], words, places=shown),
    explorables.turning("a ReLU network", controls["supervised"], photographs),
]
first = sources[0]
sizes = np.sort(np.abs(images[shown[0]]))
page.figure(
    "tower",
    explorables.tower(images[shown[0]]),
    leader=int(np.abs(images[shown[0]]).argmax()),
    holds=sizes[-1] > 3 * sizes[-2],
)
page.figure(
    "turn-axes",
    explorables.in_two_bases(images, captions, shown[0], bits=32),
    touch={"turn_axes": {"sources": sources}},
    holds={*first["unchanged"]} == {len(images)} and first["kurtosis"][-1] < 3.2,
)
page.number(
    kappa_before=f"{first['kurtosis'][0]:.0f}",
    kappa_after=f"{first['kurtosis'][-1]:.0f}",
    found=f"{100 * first['found']:.1f} %",
)
page.holds(kurtosis(controls["random"] @ turn).mean() < 3.2, "nothing happens")

# %% [markdown]
# ## Store the numbers in few bits

# %%
few, each = (
    explorables.turning("CLIP", images, words, captions, places=tall, bits=bits)
    for bits in ([explorables.FEW], explorables.BITS)
)
(stored,) = few["stored"]
of = {
    "written": stored["unchanged"][0],
    "turned": stored["unchanged"][-1],
    "bits": explorables.FEW,
    "photographs": len(images),
    "largest": f"{kurtosis(images).max():.0f}",
    "median": f"{np.median(kurtosis(images)):.0f}",
}
holds = of["written"] < 0.1 * len(images) < 0.7 * len(images) < of["turned"]
for name, source in {"front": few, "bits-and-axes": each}.items():
    drawing = explorables.in_two_bases(images, captions, tall[0], explorables.FEW)
    page.figure(name, drawing, touch={"turn_axes": {"sources": [source]}}, holds=holds, **of)
kept = (quantisation.uniform(images[tall], explorables.FEW) != 0).sum()
page.number(few_kept=str(kept), width=str(images.shape[1]))

# %% [markdown]
# ## Drop what texts never say

# %%
data = explorables.dropping(images, captions, words)
page.figure(
    "drop-directions",
    explorables.dropped(data),
    touch={"drop_directions": data},
    holds=data["kurtosis"][-1] < 8 and min(data["found"]) > data["found"][0] - 0.02,
)

one = data["vector"]
page.number(one_vector_kappa=f"{one['kurtosis']:.0f}", one_vector_found=percent(one["found"]))
page.holds(abs(one["found"] - data["found"][0]) < 0.01, "As many photographs find their caption")

# %% [markdown]
# ## Grow an outlier

# %%
optimisers = ("element", "column", "adafactor", "shared", "none")
trainings = explorables.growing(
    *origin_figures.played("relearn/frames"),
    {kind: origin_figures.OPTIMISERS[kind][0] for kind in optimisers},
)
last = [[seed["kurtosis"][-1] for seed in of["seeds"]] for of in trainings["optimisers"]]
adam = relearn_tables.usual(relearn_tables.read()).set_index("of").loc["Adam"]
accuracies = [seed["accuracy"][-1] for of in trainings["optimisers"] for seed in of["seeds"]]
page.figure(
    "grow-an-outlier",
    explorables.grown(trainings),
    touch={"grow_outlier": trainings},
    holds=min(map(min, last[:3])) > 2 * max(map(max, last[3:])),
    seeds=len(adam),
    every=spread(adam["kurtosis"], middle=np.median),
)
page.holds(max(accuracies) - min(accuracies) < 0.1, "Held-out accuracy is about the same")
