# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/published/*.csv
#     - data/pocket/accuracies.csv
#     - data/emoji/emoji.zip
#     refused:
#       concept: companion.chapters.sketches:check_concept
#       family: companion.chapters.sketches:check_family
# ---

# %% [markdown]
# # Pictures of robustness
#
# Three small pictures with measured numbers show what a shift costs, how effective robustness is
# read off, and how it depends on the baseline.

# %% tags=["parameters"]
edition: str = "paper"  # whose models are shown
concept: str = "1F427"  # the emoji that is shown, by its code point
family: str = "pocket_cnn"  # the pocket family whose accuracies are shown below it

# %%
import pandas as pd

from analysis.families.registry import load_families, load_family
from analysis.metrics.robustness import effective_robustness, fit_baseline, matched_excess
from companion.chapters import sketches
from companion.chapters.robustness_figures import ER, in_points
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements import accuracies, atlas
from companion.measurements.effective_robustness import view
from companion.sources import emoji

page = Page("robustness_pictures", "published")

# %% [markdown]
# ## A shift, and what it costs

# %%
kept = pd.read_csv(accuracies.POCKET / "accuracies.csv")
kept = kept[(kept["family"] == family) & (kept["split"] == "test")]
styles = [emoji.IMAGENET, *accuracies.styles("unseen")]
of_style = kept.groupby(["model", "style"])["accuracy"].mean()  # over seeds
named = load_family(family)
accuracy = {
    level.replace("_", "-"): of_style[named.at_level(level)[0].name].reindex(styles)
    for level in ("supervised", "zero_shot")
}
inside = {name: values.iloc[0] for name, values in accuracy.items()}
outside = {name: values.iloc[1:].mean() for name, values in accuracy.items()}
lost = [inside[name] - outside[name] for name in accuracy]
drawing = sketches.one_in_styles(emoji.load(), concept, accuracy)
held = lost[0] > inside["supervised"] / 2 and lost[0] > lost[1] > 0
page.figure("styles", drawing, "recorded", holds=held)
page.slide("styles", drawing, 3.4)
for where, shares in {"inside": inside, "outside": outside}.items():
    page.number({f"{name}-{where}": f"{style.percent(share)} %" for name, share in shares.items()})

# %% [markdown]
# ## Effective robustness as an arrow

# %%
five = view("five")
er = five.models(accuracies.known(load_families(edition).values()))
best = er[er["level"] == "zero_shot"].sort_values("er").iloc[-1]
drawing = sketches.arrow(five, best, f"{best['title']}, {best['pretraining']}")
page.figure("arrow", drawing, er=style.points(best["er"]))
page.slide("arrow", drawing, 2.8)

# %% [markdown]
# ## One model, three baselines

# %%
four = atlas.on_four_shifts(accuracies.load())
ordinary = atlas.ordinary(four)
modern = fit_baseline(ordinary["imagenet"], ordinary["shifted"])
(model,) = four.query(
    "model == 'vit_large_patch14_clip_224' and weights == 'openai_ft_in1k'"
).itertuples()
matched = matched_excess([model.imagenet], [model.er], ordinary["imagenet"], ordinary["er"])
baselines = {
    "line of the testbed": model.er,
    "line of modern models": effective_robustness(model.shifted, model.imagenet, modern),
    "equally accurate models": matched.excess[0],
}
rows = pd.DataFrame({"of": baselines.keys(), "level": "finetuned", "er": baselines.values()})
rows["note"] = rows["er"].map(style.points)
drawing = plots.marks(in_points(rows, "note"), ER, note="points", verticals={"": 0})
page.slide("three", drawing, 2.6)
