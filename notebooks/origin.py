# ---
# jupyter:
#   companion:
#     scope: family
#     editions: [pocket]
#     reads:
#     - data/pocket/origin*.csv
#     - data/pocket/origin.yaml
# ---

# %% [markdown]
# # Outlier features, grown and prevented
#
# The towers of this backbone's shipped models stay fixed, and the two projections behind them are
# trained again, with one cause changed at a time. `data/pocket/origin.yaml` holds the plan, which
# we wrote before we ran it; `python data/pocket/origin.py` carries it out. The page
# {doc}`/where_outlier_features_come_from` explains the results.

# %% tags=["parameters"]
family: str = "pocket_vit"  # the backbone

# %%
from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from companion.chapters import origin_figures
from companion.chapters.origin_figures import varied
from companion.engine import plots
from companion.engine.page import Page

kind = family.removeprefix("pocket_")
runs, curves, coordinates = (
    table[table["towers"].str.startswith(kind)]
    for table in map(origin_figures.read, ("origin", "origin_curves", "origin_coordinates"))
)
web, one_style = (runs[runs["towers"] == f"{kind}-{which}"] for which in ("web", "captions"))
same = varied(web, "second_moment")  # wrong captions, scale 100, 4,000 steps
page = Page("origin")

# %% [markdown]
# ## During training

# %%
watched = curves[(curves["towers"] == f"{kind}-web")].query(
    "second_moment in ('element', 'column', 'shared', 'none')"
)
panels = origin_figures.PANELS | {"accuracy": "accuracy, training style (%)"}
over = origin_figures.over_seeds(watched, ("step", "step"), panels)
page.figure("curves", origin_figures.curves(over, "step"))
page.slide(
    "curves", origin_figures.curves(over[over["quantity"].str.contains("κ|accuracy")], "step"), 3
)

# %% [markdown]
# ## Two causes
#
# Each row is a setting; its runs differ in their seed alone.


# %%
corners = varied(web, "second_moment", "caption_noise", "scale").query(
    "second_moment in ('element', 'shared') and caption_noise in (0, 0.3)"
    " and temperature in ('100', 'learned')"
)
LOSS = {
    "right captions, learned scale": ("0", "learned"),
    "30 % wrong captions, scale 100": ("30", "100"),
}
both = origin_figures.rows(corners, "wrong", "temperature", "optimiser")
kappa = both["kurtosis"].sort_index()
page.table(
    "two-by-two",
    ({"loss": loss} | kappa[key].to_dict() for loss, key in LOSS.items()),
)
page.table("corners", both, kind={"vit": "ViT", "cnn": "CNN"}[kind])

# %%
grown, prevented = (same[same["second_moment"] == step] for step in ("element", "shared"))
apart = abs(grown["accuracy"].mean() - prevented["accuracy"].mean())
page.holds(apart < 0.02, "Accuracy is the same")
page.holds(
    grown["kurtosis"].min() > 2 * prevented["kurtosis"].max(), "Adam concentrates that vector"
)
ranked = same.groupby("optimiser")["kurtosis"].median().sort_values(ascending=False).index
page.table(
    "steps",
    origin_figures.rows(same, "optimiser").loc[ranked],
    holds=same[~same["second_moment"].isin(origin_figures.DIFFERING)]["kurtosis"].max() < 4,
)

# %%
of_one_style = varied(one_style, "second_moment", "caption_noise")
page.table("one-style", origin_figures.rows(of_one_style, "wrong", "optimiser"))

# %% [markdown]
# ## Coordinate by coordinate

# %%
names = {"inverse_root": "1/√v of the images' column", "growth": "growth of the mean"}
marks = coordinates[coordinates["towers"] == f"{kind}-web"].rename(columns=names)
marks = marks.assign(level="zero_shot", look="small", of=marks["coordinate"].astype(str))
plan = read_yaml(ROOT / "data/pocket/origin.yaml")["mechanism"]
page.figure(
    "coordinates",
    plots.scatter(
        marks[["of", "level", "look", *names.values()]], *names.values(), log="x", columns=1
    ),
    first=plan["shown"],
    last=plan["shown"] * plan["factor"],
)
