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
from companion.publish import origin, plots, style
from companion.publish.origin import interval, spread, varied
from companion.publish.page import Page

kind = family.removeprefix("pocket_")
runs, curves, coordinates = (
    table[table["towers"].str.startswith(kind)]
    for table in map(origin.read, ("origin", "origin_curves", "origin_coordinates"))
)
web, one_style = (runs[runs["towers"] == f"{kind}-{which}"] for which in ("web", "captions"))
same = varied(web, "second_moment")  # wrong captions, scale 100, 4,000 steps
page = Page("origin")

# %% [markdown]
# ## During training

# %%
watched = curves[(curves["towers"] == f"{kind}-web")].query(
    "second_moment in ('element', 'shared', 'none')"
)
panels = origin.PANELS | {"accuracy": "accuracy, training style (share)"}
page.figure(
    "curves",
    plots.lines(
        origin.over_seeds(watched, ("step", "step"), panels), "step", "value", looks=origin.LOOKS
    ),
)

# %% [markdown]
# ## Two causes
#
# A row for each setting; its runs differ in their seed alone.


# %%
def rows(frame, **by):
    """A row for each combination of the columns `by`: what runs of several seeds have."""
    er = frame.groupby(list(by), sort=False)["er"].agg(er_of_seeds)
    found = origin.spreads(frame, list(by)).assign(**{"ER (points)": er})
    found["seeds"] = frame.groupby(list(by), sort=False).size()
    return found.rename_axis(list(by.values())).reset_index()


def er_of_seeds(values):
    """Effective robustness, with its interval if there are several seeds."""
    er = interval(values)
    return style.with_interval(*er) if len(values) > 1 else style.points(er[0])


MORE = ["κ, eigenbasis", "unread (%)"]  # in the first table alone
SETTING = {"wrong": "wrong captions (%)", "temperature": "logit scale", "optimiser": "optimiser"}
corners = varied(web, "second_moment", "caption_noise", "scale").query(
    "second_moment in ('element', 'shared') and caption_noise in (0, 0.3)"
    " and temperature in ('100', 'learned')"
)
LOSS = {
    "right captions, learned scale": ("0", "learned"),
    "30 % wrong captions, scale 100": ("30", "100"),
}
both = corners.groupby(["wrong", "temperature", "optimiser"])["kurtosis"].agg(spread)
page.table(
    "two-by-two",
    (
        {"loss": loss} | {f"κ, {name}": value for name, value in both[key].items()}
        for loss, key in LOSS.items()
    ),
)
page.table("corners", rows(corners, **SETTING))

# %%
grown, prevented = (same[same["second_moment"] == step] for step in ("element", "shared"))
apart = abs(grown["accuracy"].mean() - prevented["accuracy"].mean())
page.holds(apart < 0.02, "Accuracy hardly differs")
page.table(
    "steps",
    rows(same, optimiser="optimiser").drop(columns=MORE),
    holds=grown["kurtosis"].min() > 2 * prevented["kurtosis"].max(),
)

# %%
del SETTING["temperature"]
of_one_style = varied(one_style, "second_moment", "caption_noise")
page.table("one-style", rows(of_one_style, **SETTING).drop(columns=MORE))

# %% [markdown]
# ## Coordinate by coordinate

# %%
names = {"inverse_root": "1/√v of the images' column", "growth": "growth of the mean"}
marks = coordinates[coordinates["towers"] == f"{kind}-web"].rename(columns=names)
marks = marks.assign(level="zero_shot", look="small", of=marks["coordinate"].astype(str))
page.figure(
    "coordinates",
    plots.scatter(
        marks[["of", "level", "look", *names.values()]], *names.values(), log="x", columns=1
    ),
)
