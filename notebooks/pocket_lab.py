# ---
# jupyter:
#   companion:
#     scope: family
#     editions: [pocket]
#     features: true
#     reads:
#     - data/emoji/emoji.zip
#     - data/pocket/accuracies.csv
#     - data/pocket/curves.csv
# ---

# %% [markdown]
# # The pocket lab
#
# The paper's experiment in miniature: emoji instead of photographs, drawing styles instead of
# ImageNet's shifts. This page shows the data, the training of this backbone's models, and what they
# recognise; {doc}`/guide/pocket_lab` says what this can and cannot show about the paper.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.families.registry import level_title, load_family
from analysis.features import store
from analysis.metrics.robustness import recognised
from companion.chapters import emoji_sheet
from companion.chapters.pocket_models import look
from companion.engine import plots
from companion.engine.cells import joined
from companion.engine.page import Page
from companion.sources import emoji, sets

backbone = load_family(family)
data = emoji.load()
kept = pd.read_csv(ROOT / "data/pocket/accuracies.csv")
test = kept[(kept["family"] == family) & (kept["split"] == "test")]
styles = {name: sets.styles()[name].title for name in (emoji.IMAGENET, *emoji.SHIFTED_STYLES)}
models = {model.name: model for model in backbone.models}
CHANCE = 100 / len(emoji.CLASSES)
page = Page("pocket_lab")

# %% [markdown]
# ## The data
#
# Ten sets of emoji, each by different artists. One style plays ImageNet and five play its shifts;
# no model trains on four of these five, and no model has seen a test concept in any style.

# %%
page.figure("styles", emoji_sheet.some_emoji(data), "live")
page.slide("styles", emoji_sheet.some_emoji(data, [*styles][:5]))

# %%
columns = [(emoji.IMAGENET, "train"), *((art, "test") for art in styles)]
sizes = emoji.sizes(data)[columns].set_axis([f"{styles[art]}, {of}" for art, of in columns], axis=1)
page.table(
    "sizes",
    sizes.reset_index(names="class"),
    "",
    images=len(data),
    concepts=data.table["concept"].nunique(),
    classes=len(emoji.CLASSES),
)

# %% [markdown]
# ## Training

# %%
curves = pd.read_csv(ROOT / "data/pocket/curves.csv").query("seed == 0 and model in @models")
curves["of"] = curves["model"].map(lambda name: models[name].title)
curves["level"] = curves["model"].map(lambda name: models[name].level)
PANELS = {"training loss": curves["loss"], "accuracy while training (%)": 100 * curves["accuracy"]}
parts = [curves.assign(panel=title, value=values, quantity="") for title, values in PANELS.items()]
lines = pd.concat(parts)[["panel", "quantity", "of", "level", "step", "value"]]
page.figure("curves", plots.lines(lines, "step", "value", columns=2))

# %% [markdown]
# ## What the models recognise
#
# An image is recognised if the head gives its own class the highest logit: for every shipped
# checkpoint (seed 0) and every style, compared with what was recorded.

# %%
zero = test[test["seed"] == 0].set_index(["model", "style"])["accuracy"]
again = {}
for name, art in ((name, art) for name in models for art in styles):
    place = store.features_path(name, f"pocket-{art}-test")
    if place.exists():
        images = store.read_features(place, models[name])
        head = store.read_head(store.head_path(name, f"pocket-{art}-test"), models[name])
        h, labels = images.features[images.labels >= 0], images.labels[images.labels >= 0]
        again[name, art] = (head.logits(h).argmax(axis=1) == labels).mean()
        if not head.normalize:
            by_metric = recognised(h, labels, head.weight, head.bias).mean()
            assert np.isclose(again[name, art], by_metric)
gaps = 100 * np.abs([again[key] - zero[key] for key in again if key in zero.index])
if len(gaps):
    page.sentence("live", exact=(gaps < 5.1e-4).sum(), accuracies=len(gaps), largest=max(gaps))
else:
    page.texts(live="")

# %%
ends = test.groupby(["model", "style"])["accuracy"].agg(["mean", "min", "max"])
rows = (
    joined(ends.unstack("style"))
    .reindex([*models])
    .assign(title=[model.title for model in models.values()])
)
classes = data.table.query("split == 'test' and class_index >= 0")["class_index"]
page.table(
    "accuracies",
    rows,
    seeds=test["seed"].nunique(),
    training=styles[emoji.IMAGENET],
    chance=CHANCE,
    most=100 * classes.value_counts(normalize=True).max(),
)

# %%
ACCURACY = "accuracy on test concepts (%)"
marks = pd.concat(test[test["style"] == art].assign(of=emoji_sheet.titled(art)) for art in styles)
marks = marks.assign(**{ACCURACY: 100 * marks["accuracy"]}, look=marks["model"].map(look))
options = {"verticals": {"chance": CHANCE}, "dodge": 0.14, "height": 0.7}
options["levels"] = {level: level_title(level, "pocket") for level in marks["level"].unique()}
by_style = marks[["of", "level", "look", ACCURACY]]
page.figure("by-style", plots.marks(by_style, ACCURACY, **options))
five = by_style[by_style["of"].isin(by_style["of"].unique()[:5])]
page.slide("by-style", plots.marks(five, ACCURACY, **options))
