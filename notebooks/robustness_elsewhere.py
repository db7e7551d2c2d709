# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - data/published/*.csv
# ---

# %% [markdown]
# # Models that others trained, and another evaluator
#
# Are models that other papers finetuned from OpenAI's weights less robust than their start, and do
# ordinary models lie near the line if another project evaluates them? {doc}`/measuring_robustness`
# explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from analysis.metrics.robustness import effective_robustness
from companion.chapters.robustness_figures import ER, in_points, intervals, level_names
from companion.claims.order import REGIMES
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements import accuracies
from companion.measurements.effective_robustness import effective, view

families = load_families(edition)
page = Page("robustness_elsewhere", "published")

# %% [markdown]
# ## Models of other papers
#
# Plain training and finetuning are filled marks. Methods that are meant to keep robustness are
# hollow ones.

# %%
table = accuracies.elsewhere(families.values())
theirs = effective(table, accuracies.FIVE_SHIFTS)
theirs = theirs.merge(table[["name", "place"]].drop_duplicates(), on="name")
plain = theirs["model"].isin(REGIMES)
marks = theirs.assign(of=theirs["title"], look=plain.map({True: "filled", False: "hollow"}))
ends = theirs.groupby(["family", "level"])["er"].agg(["min", "max"]).unstack("level")
falls = ends["max", "finetuned"] < ends["min", "zero_shot"]
drawing = plots.marks(
    in_points(marks), ER, levels=level_names(marks["level"]), dodge=0.2, height=0.6
)
page.figure("elsewhere", drawing, holds=falls.all())
page.table("models", theirs.assign(er=intervals(theirs)))

# %%
finetuned = theirs[plain & (theirs["level"] == "finetuned")].groupby("family")["er"]
first = theirs[theirs["level"] == "zero_shot"].groupby("family")["er"].first()
scratch = theirs.loc[theirs["level"] == "supervised", "er"].item()
page.number(
    scratch=style.points(scratch),
    papers=theirs.loc[plain & (theirs["level"] == "finetuned"), "source"].nunique(),
    **{f"finetuned-{name}": style.span(er, style.points) for name, er in finetuned},
    **{f"zero-shot-{name}": style.points(er) for name, er in first.items()},
)

# %% [markdown]
# ## Finetuning as a dose
#
# On four shifts, since ObjectNet was not measured, and from the line on four.

# %%
BLOCKS = "last blocks that are trained"
dose = pd.read_csv(accuracies.PUBLISHED.with_name("finetuning_dose.csv"))
inside, shifted = dose["imagenet"] / 100, dose[[*accuracies.FOUR_SHIFTS]].mean(axis=1) / 100
dose["er"] = effective_robustness(shifted, inside, view("four").line)
whole = dose["blocks"] == dose["blocks"].max()
marks = dose.assign(of=dose["run"], look=whole.map({True: "hollow", False: "filled"}))
marks["level"] = (dose["blocks"] == 0).map({True: "zero_shot", False: "finetuned"})
marks["series"] = marks["level"].map(level_names(["zero_shot", "finetuned"]))
marks.loc[whole, "series"] = "all weights, another teacher"
start, one, *_, most = dose.loc[~whole, "er"]
drawing = plots.scatter(in_points(marks.assign(**{BLOCKS: dose["blocks"]}), BLOCKS), BLOCKS, ER)
page.figure("dose", drawing, holds=start - one > one - most > 0)
page.number(
    dose_start=style.points(start),
    dose_one=style.points(one),
    dose_most=style.points(most),
    dose_blocks=dose.loc[~whole, "blocks"].max(),
    dose_whole=style.span(dose.loc[whole, "er"], style.points),
)

# %% [markdown]
# ## One evaluator for ordinary and vision-language models

# %%
one = pd.read_csv(accuracies.ONE_EVALUATOR, keep_default_na=False)
by_text = one.groupby("supervision")["er"]
ours = view("five").models(accuracies.known(families.values())).drop_duplicates("name")
both = one.merge(ours, on="name", suffixes=("", "_ours"))
apart = (both["er"] - both["er_ours"]).abs()
levels = one["supervision"].map({"labels": "supervised", "texts": "zero_shot"})
size = by_text.size()
rows = [f"{size[which]} trained with {which}" for which in one["supervision"]]
marks = one.assign(of=rows, level=levels, look="hollow", series="")
drawing = plots.marks(in_points(marks), ER, verticals={"": 0}, height=0.5)
page.figure("one-evaluator", drawing, holds=by_text.max()["labels"] < by_text.min()["texts"])
page.number(
    count_labels=size["labels"],
    count_texts=size["texts"],
    labels=style.span(by_text.get_group("labels"), style.points),
    texts=style.span(by_text.get_group("texts"), style.points),
    both=len(both),
    apart=f"{100 * apart.max():.1f}",
)
