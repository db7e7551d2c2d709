# ---
# jupyter:
#   companion:
#     scope: family
#     editions: [pocket]
#     reads:
#     - data/pocket/origin*.csv
# ---

# %% [markdown]
# # Outlier features, grown and prevented
#
# The towers of this backbone's shipped models stay fixed, and the two projections behind them are
# trained again, one cause changed at a time. `data/pocket/origin.yaml` holds the plan, which was
# written before it was run; `python data/pocket/origin.py` carries it out. The page
# {doc}`/where_outlier_features_come_from` explains the results.

# %% tags=["parameters"]
family: str = "pocket_vit"  # the backbone

# %%
import numpy as np
import pandas as pd

from companion.publish import origin, style
from companion.publish.origin import interval, spread, varied

kind = family.removeprefix("pocket_")
runs, curves, coordinates = (
    table[table["towers"].str.startswith(kind)]
    for table in map(origin.read, ("origin", "origin_curves", "origin_coordinates"))
)
web, one_style = (runs[runs["towers"] == f"{kind}-{which}"] for which in ("web", "captions"))

# %% [markdown]
# ## Two causes
#
# A row for each setting; its runs differ in their seed alone.


# %%
def row(own):
    """What runs that differ in their seed have in common."""
    er = interval(own["er"])
    return {
        "κ": spread(own["kurtosis"]),
        "dominant in (%)": spread(own["persistence"], 100),
        "in the mean (%)": spread(own["mean_share"], 100),
        "κ after mean subtraction": spread(own["kurtosis_less_mean"]),
        "κ, eigenbasis": spread(own["kurtosis_eigenframe"]),
        "unread (%)": spread(own["energy_unread"], 100),
        "accuracy (%)": spread(own["accuracy"], 100),
        "ER (points)": style.with_interval(*er) if len(own) > 1 else style.points(er[0]),
        "seeds": len(own),
    }


def rows(frame, **by):
    """A row for each combination of the columns `by`, in their order."""
    groups = frame.groupby(list(by), sort=False)
    return pd.DataFrame(
        [dict(zip(by.values(), key, strict=True)) | row(own) for key, own in groups]
    )


MORE = """Test emoji in the training style, mean (lowest to highest seed). Dominant in: images in
which the dominant coordinate is the largest. Unread: energy in directions that together hold at
most 1 % of the captions' variance. ER: unseen styles, 95 % interval over seeds (Student's t)."""
SETTING = {"wrong": "wrong captions (%)", "temperature": "logit scale", "optimiser": "optimiser"}
corner = {"second_moment": ["element", "shared"], "caption_noise": [0, 0.3], "scale": [100, np.nan]}
corners = varied(web[web.isin(corner)[list(corner)].all(axis=1)], *corner)
soft, hard = corners["scale"].isna() & (corners["wrong"] == "0"), (
    corners["scale"].notna() & (corners["wrong"] == "30"))  # fmt: skip
LOSS = {"right captions, learned scale": soft, "30 % wrong captions, scale 100": hard}
style.table(
    "two-by-two",
    pd.DataFrame(
        {"loss": loss} | {f"κ, {name}": spread(own["kurtosis"])
                          for name, own in corners[which].groupby("optimiser")}
        for loss, which in LOSS.items()
    ), "recorded",
    """κ is large only where both causes meet: a loss that wants a common vector, and a second
    moment for each number.""",
)  # fmt: skip
style.table(
    "corners", rows(corners, **SETTING), "recorded",
    "κ is large only where a sharp temperature meets Adam's second moment for each coordinate.",
    more=MORE,
)  # fmt: skip

# %%
same = varied(web, "second_moment")  # wrong captions, scale 100, 4,000 steps
grown, prevented = (same[same["second_moment"] == step] for step in ("element", "shared"))
assert grown["kurtosis"].min() > 2 * prevented["kurtosis"].max()  # what the page says
assert abs(grown["accuracy"].mean() - prevented["accuracy"].mean()) < 0.02
LESS = ["κ, eigenbasis", "unread (%)"]  # which the table of all combinations has
style.table(
    "steps", rows(same, optimiser="optimiser").drop(columns=LESS), "recorded",
    "Only optimisers that look at single elements grow an outlier.", more=MORE,
)  # fmt: skip

# %%
del SETTING["temperature"]
style.table(
    "one-style",
    rows(varied(one_style, "second_moment", "caption_noise"), **SETTING).drop(columns=LESS),
    "recorded",
    "Captions of one style grow outlier features as well, without effective robustness.", more=MORE,
)  # fmt: skip

# %% [markdown]
# ## During training

# %%
watched = curves[curves["towers"] == f"{kind}-web"]
watched = watched[watched["second_moment"].isin(["element", "shared", "none"])]
style.figure(
    "curves",
    origin.lines(watched, ("step", "step"), origin.PANELS, log="y") if len(watched) else None,
    "recorded",
    """Adam grows an outlier while mean share and accuracy resemble those of the others. Bands:
    lowest to highest seed; line: the Gaussian's 3.""",
)  # fmt: skip

# %% [markdown]
# ## Coordinate by coordinate

# %%
first = coordinates[coordinates["towers"] == f"{kind}-web"].assign(of="coordinates")
x, y = ("inverse_root", "1/√v of the images' column"), ("growth", "growth of the mean")
style.figure(
    "coordinates", origin.points(first, x, y, "of", log="x") if len(first) else None, "recorded",
    """The mean image grows fastest on coordinates with a small second moment v. One mark for each
    coordinate, seed 0.""",
)  # fmt: skip
