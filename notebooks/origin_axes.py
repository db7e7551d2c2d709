# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [pocket]
#     reads:
#     - data/pocket/origin*.csv
#     - data/pocket/origin_frames.safetensors
# ---

# %% [markdown]
# # Which property of an optimiser makes outlier features
#
# All optimisers of `data/pocket/origin.csv`, and Adam in rotated axes;
# {doc}`/where_outlier_features_come_from` explains the results.

# %% tags=["parameters"]
edition: str = "pocket"  # which families

# %%
import numpy as np
import pandas as pd

from companion.chapters import origin_figures
from companion.chapters.origin_figures import varied
from companion.engine import plots, style
from companion.engine.page import Page
from companion.engine.plots import Stroke
from companion.engine.style import digits

runs, rotations = map(origin_figures.read, ("origin", "origin_rotations"))
page = Page("origin_axes")

# %% [markdown]
# ## Rows against columns

# %%
KAPPA = "activation kurtosis κ"
KINDS = {"first": "step size differs between outputs", "second": "all outputs alike"}
usual = varied(runs[runs["towers"] == "vit-web"], "second_moment")
usual = usual.assign(
    level=np.where(usual["second_moment"].isin(origin_figures.DIFFERING), *KINDS),
    of=usual["optimiser"],
)
each = usual.groupby(["level", "of"])["kurtosis"].agg(["median", "min", "max"]).reset_index()
names = [title for title, _ in origin_figures.OPTIMISERS.values()]
shown = each.sort_values("of", key=lambda of: of.map(names.index)).rename(
    columns={"median": KAPPA, "min": "low", "max": "high"}
)
page.figure(
    "optimisers",
    plots.marks(shown, KAPPA, levels=KINDS, verticals={"Gaussian": 3}),
    holds=usual.query("level == 'second'")["kurtosis"].max()
    < usual.query("second_moment in ('element', 'column', 'adafactor')")["kurtosis"].min() / 1.5,
)
columns, rows = (usual.query("second_moment == @kind")["kurtosis"] for kind in ("column", "shared"))
page.holds(columns.min() > 2 * rows.max(), "each column (output coordinate) suffices")

# %% [markdown]
# ## Adam in other axes

# %%
AXES = {
    "none": "as it is",
    "half": "first half of the outputs rotated",
    "outputs": "all outputs rotated",
    "inputs": "inputs rotated",
}
abouts, arrays = origin_figures.played()
last = {
    about["rotated"]: arrays["mean"][run, -1] * arrays["unit"][run, -1]
    for run, about in enumerate(abouts)
    if about["seed"] == 0 and about["second_moment"] == "element"
}
LOOKS = {
    "in Adam's axes": Stroke(style.STRONG, width=0.9),
    "rotated": Stroke(style.INK, width=0.9),
}
ROTATED = {"half": 256, "outputs": 512}  # so many coordinates, the first ones
lines = [
    pd.DataFrame({"panel": title, "coordinate": np.arange(512), "value": np.abs(last[kind])})
    for kind, title in AXES.items()
]
frame = pd.concat(lines).assign(quantity="|mean image|")
rotated = frame["coordinate"] < frame["panel"].map({AXES[kind]: n for kind, n in ROTATED.items()})
frame["of"] = np.where(rotated, "rotated", "in Adam's axes")
drawing = plots.lines(frame, "coordinate", "value", looks=LOOKS, columns=2, height=2.1)
for axes in drawing.figure.axes:
    axes.set_ylim(0, 1.05 * frame["value"].max())
page.figure("rotations", drawing)

# %%
by_axes = rotations.groupby("rotated", sort=False).agg(list).loc[[*AXES]]
page.table("axes", by_axes.assign(axes=by_axes.index.map(AXES)))
half, whole = (rotations.query("rotated == @kind") for kind in ("half", "outputs"))
kept = half["kurtosis_first_half"].max() < 4 < half["kurtosis_second_half"].min()
page.holds(kept, "only the half that is not rotated has outliers")
page.holds(
    whole["kurtosis"].max() < 4 < whole["kurtosis_working_axes"].min(),
    "in the axes in which Adam works",
)
by_axes.columns = by_axes.columns.str.replace("_", "-")
for kind, row in by_axes.iterrows():
    page.number({f"{of}-{kind}": digits(np.median(row[of])) for of in row.index if "kurt" in of})
