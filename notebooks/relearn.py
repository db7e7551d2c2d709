# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - data/relearn/*.csv
#     - data/relearn/relearn.json
# ---

# %% [markdown]
# # CLIP's axes, chosen again
#
# Two projections trained behind public features of real CLIP models, in random axes. The tables of
# `data/relearn` hold the trainings; {doc}`/where_outlier_features_come_from` explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from companion.chapters import relearn_tables
from companion.chapters.relearn_tables import KINDS, SLUGS, THREE
from companion.engine import plots, style
from companion.engine.page import Page
from companion.engine.plots import Stroke
from companion.engine.style import digits

runs, curves, profiles = map(relearn_tables.read, ("runs", "curves", "profiles"))
main, clip = relearn_tables.usual(runs), relearn_tables.published()
by = dict(tuple(main[main["rotated"] == "none"].groupby("second_moment")))
three = pd.concat([by[kind] for kind in THREE])
page = Page("relearn")

# %% [markdown]
# ## Every optimiser

# %%
page.table("optimisers", relearn_tables.by_optimiser(main))
for kind in THREE:
    page.numbers("of-main", {"kind": kind, **relearn_tables.of_main(by[kind])})
blind = main[main["level"] == "second"]
page.number(own=digits(clip["kurtosis"]), own_accuracy=f"{100 * clip['accuracy']:.1f}")
page.holds(
    three.query("second_moment != 'shared'")["kurtosis"].min() > 2 * blind["kurtosis"].max(),
    "Behind this model Adam makes outliers again",
)
page.holds(three["kurtosis_less_mean"].max() < 3.5, "with the mean subtracted, κ is")
accuracies = 100 * three.groupby("second_moment")["accuracy"].mean()
page.holds(accuracies.max() - accuracies.min() < 1, "Held-out accuracies are within a point")

# %% [markdown]
# ## Along the path

# %%
KAPPA, PATH = "activation kurtosis κ", "path of the projections"
ends = relearn_tables.alike(runs, "start", "learning_rate", "steps")
ends = ends[ends["rotated"] == "none"].assign(look="filled")
way = curves.merge(ends[["run", "of", "level"]], on="run").query("path > 0").assign(look="small")
frame = pd.concat([way, ends]).assign(series=lambda each: each["level"].map(KINDS))
frame = frame.rename(columns={"kurtosis": KAPPA, "path": PATH})
drawing = plots.scatter(
    frame[[PATH, KAPPA, "of", "level", "series", "look"]],
    PATH,
    KAPPA,
    log="xy",
    horizontals={"Gaussian": 3, "ViT-B/32's own axes": clip["kurtosis"]},
)
seeing, blind = (ends[ends["level"] == level] for level in KINDS)
flat, far = blind["kurtosis"], seeing[seeing["path"] > 0.5]["kurtosis"]
within = curves[curves["run"].isin(seeing["run"])].groupby("run")[["path", "kurtosis"]]
rising = pd.Series({run: each.corr("spearman").iloc[0, 1] for run, each in within})
page.figure("path", drawing, holds=flat.max() < 4 and far.min() > 5)
page.slide("path", drawing, 3.7)
page.holds(rising.median() > 0.8, "Within a run, κ rises with the path")
page.number(flat=digits(flat.max()), farthest=digits(blind["path"].max()), far=digits(far.min()))
page.number(
    rising=f"{rising.median():.2f}", trainings=len(runs), runs=len(ends), runs_alike=len(blind)
)

# %% [markdown]
# ## Doses

# %%
panels = relearn_tables.doses(runs)
frame = pd.concat([rows.assign(panel=name) for name, rows in panels.items()])
frame["look"] = frame["second_moment"].map({"column": "hollow"}).fillna("filled")
frame = frame.assign(series=frame["second_moment"].map(THREE)).rename(columns={"kurtosis": KAPPA})
drawing = plots.scatter(
    frame[["panel", "value", KAPPA, "of", "level", "series", "look"]],
    "value",
    KAPPA,
    log="y",
    horizontals={"Gaussian": 3},
)
steps, batches, *_ = (rows["value"] for rows in panels.values())
for axes, values in zip(drawing.figure.axes, (steps, batches), strict=False):
    style.log_scale(axes.xaxis, values.min(), values.max())
    ticks = [*sorted(set(values))[:2], max(values)]
    axes.set_xticks(ticks, labels=map("{:,}".format, ticks))
adam, shared = (
    {name: rows[rows["second_moment"] == kind] for name, rows in panels.items()}
    for kind in ("element", "shared")
)
longest = runs[(runs["steps"] == runs["steps"].max()) & (runs["second_moment"] == "element")]
on_the_way = curves[curves["run"].isin(longest["run"])].groupby("run")["kurtosis"]
page.number(peak=style.spread(on_the_way.max(), middle=np.median))
page.holds((on_the_way.max() > 1.2 * on_the_way.last()).all(), "Within these longest runs it peaks")
longer, larger, wrong = (rows.groupby("value")["kurtosis"].median() for rows in adam.values())
page.figure(
    "doses",
    drawing,
    holds=longer.is_monotonic_increasing
    and larger.iloc[1:].is_monotonic_decreasing
    and 3 * larger.iloc[-1] < larger.iloc[0]
    and wrong.is_monotonic_decreasing
    and max(rows["kurtosis"].max() for rows in shared.values()) < 3.5,
)

# %% [markdown]
# ## The mean image

# %%
drawn = profiles[profiles["second_moment"] != "column"].assign(quantity="|mean image|", of="")
drawn = drawn.assign(panel=drawn["second_moment"].map(THREE), value=drawn["mean"].abs())
looks = {"": Stroke(style.STRONG, width=0.9)}
drawing = plots.lines(drawn, "coordinate", "value", looks=looks, columns=2, height=2.1)
for axes in drawing.figure.axes:
    axes.set_ylim(0, 1.05 * drawn["value"].max())
tops = drawn.groupby("second_moment")["value"].max()
page.figure("profiles", drawing, holds=tops["element"] > 3 * tops["shared"])

# %% [markdown]
# ## Other conditions, and the one vector

# %%
conditions = {row["setting"]: row for row in relearn_tables.conditions(runs)}
page.table("conditions", list(conditions.values()))
for name, slug in SLUGS.items():
    page.numbers("of-conditions", {"slug": slug, **conditions[name]})
little = [conditions[name] for name in SLUGS if SLUGS[name] in ("centred", "wrong", "coco")]
most = max(max(row[f"kurtosis_{kind}"]) for row in little for kind in THREE)
page.holds(3 * most < min(by["element"]["kurtosis"]), "Where little grows")
other = {slug: conditions[name] for name, slug in SLUGS.items()}
page.holds(
    min(other["slow"]["kurtosis_element"]) > 5,
    "At a quarter of the rate and three times as many steps it grows",
)
grown = other["random"]["kurtosis_element"] + other["random"]["kurtosis_column"]
page.holds(
    min(grown) > 1.2 * max(other["random"]["kurtosis_shared"]),
    "From a random start the same happens",
)
page.holds(
    min(other["centred-wrong"]["kurtosis_less_mean_element"]) > 10
    and max(other["centred-wrong"]["kurtosis_shared"]) < 3.5,
    "outliers that are not the mean's",
)
kinds = [f"kurtosis_{kind}" for kind in THREE]
page.holds(
    max(max(other[slug][kind]) for slug in ("news", "few") for kind in kinds) < 3.5,
    "Behind ViT-L/14's features nothing grows",
)
page.holds(
    3 * max(other["single"]["kurtosis_element"]) < min(by["element"]["kurtosis"]),
    "where we had expected more",
)
marqo, fewer = other["marqo"], runs[runs["pairs"] != runs["pairs"].iloc[0]]
page.number(others_most=digits(fewer["kurtosis"].max()))
page.holds(
    min(marqo["kurtosis_element"]) > 1.1 * max(marqo["kurtosis_shared"])
    and 2 * fewer["kurtosis"].max() < min(by["element"]["kurtosis"]),
    "In other models far less grows, or nothing",
)
parts = pd.DataFrame(relearn_tables.less_vector(three))
page.table("vector", parts.assign(kind=parts["kind"].map(THREE)))
element = parts[parts["kind"] == "element"].sort_values("share")
planned, most = element.iloc[0], element.iloc[-1]
cost = 100 * np.subtract(most["accuracy_before"], most["accuracy"])
without = [style.spread(part["kurtosis"], middle=np.median) for part in (planned, most)]
page.number(without_planned=without[0], without=without[1])
page.number(cost=style.spread(cost, middle=np.median))
page.holds(max(most["kurtosis"]) < 6 and cost.mean() < 1, "One vector carries them, as in CLIP")

# %% [markdown]
# ## The plan

# %%
page.number(
    missing=len(relearn_tables.missing()), planned=len(runs) + len(relearn_tables.missing())
)
judged = relearn_tables.judged(runs).items()
page.number(predicted=len(judged), failures=sum(not holds for _, holds in judged))
page.number({f"predicted-{n}": "held" if holds else "failed" for n, holds in judged})
page.number(
    kept=", ".join(str(number) for number, holds in judged if holds),
    failed=", ".join(str(number) for number, holds in judged if not holds),
    failed_of=f"{sum(not holds for _, holds in judged)} of {len(judged)}",
)
lamb = by["lamb"].groupby("gain")["kurtosis"]
page.number(
    lamb_once=style.span(lamb.get_group(1)),
    lamb_ten=style.span(lamb.get_group(10)),
    taken=digits(runs.query("centred and caption_noise == 0")["kurtosis"].max()),
    rank_path=f"{relearn_tables.along_path(runs):.2f}",
    least_without=digits(min(planned["kurtosis"])),
)
own = relearn_tables.with_own_captions(runs)
page.holds(max(marqo["kurtosis_element"]) < 10, "With Adam no seed passes 10")
rose = own["mean_share"] >= own["mean_share_begun"]
page.holds(rose[own["pairs"] == "vit_b_16_marqo-products"].all(), "among them all behind Marqo")
coco = runs[runs["pairs"] == "vit_b_16-coco"]
slower = coco["learning_rate"] < runs["learning_rate"].iloc[0]
page.number(
    coco_most=digits(coco[slower]["kurtosis"].max()),
    coco_others=digits(coco[~slower]["kurtosis"].max()),
    products_most=digits(own[own["pairs"].str.contains("products")]["kurtosis"].max()),
    rose=int(rose.sum()),
    own_captions=len(own),
)
