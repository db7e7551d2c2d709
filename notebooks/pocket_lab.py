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
# ImageNet's shifts, networks that a laptop trains in a minute. This page shows the data, how this
# backbone's models were trained, and what they recognise. The page {doc}`/guide/pocket_lab` says
# what this can and cannot show about the paper.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown

# %%
import numpy as np
import pandas as pd

from analysis.common import ROOT
from analysis.families.registry import load_family
from analysis.features import store
from analysis.images import emoji, sets
from analysis.metrics.robustness import recognised
from companion.publish import charts, pocket, style

backbone = load_family(family)
data = emoji.load()
table = data.table
kept = pd.read_csv(ROOT / "data/pocket/accuracies.csv")
STYLE_TITLES = {name: style.title for name, style in sets.styles().items()}
shown = [emoji.IMAGENET, *emoji.SHIFTS]

# %% [markdown]
# ## The data
#
# There are ten sets of emoji, each by different artists. One style plays ImageNet and five play its
# shifts; no model ever trains on four of these five. The concepts are split: no model has seen a
# test concept in any style.

# %%
style.figure(
    "styles", pocket.some_emoji(data), "live",
    """The same emoji in ten drawing styles: each column is a test concept, each row a style.
    Artists and licences: {doc}`/appendix/licences`.""",
    more="""*imagenet*: the training style; *seen*: a shift whose style is in both web sets;
    *unseen*: a shift whose style no model trains on; *web*: only in a web set.""",
)  # fmt: skip

# %%
counts = emoji.sizes(data)
columns = [(emoji.IMAGENET, "train"), *((art, "test") for art in shown)]
sizes = counts[columns].set_axis([f"{STYLE_TITLES[art]}, {of}" for art, of in columns], axis=1)
style.table(
    "sizes", sizes.reset_index(names="class"), None,
    f"""Images per class in the training style and in the five shifts. In all, there are
    {len(data):,} images of {table["concept"].nunique():,} concepts, and {len(emoji.CLASSES)}
    classes. The web sets train on the training concepts of their styles.""",
)  # fmt: skip

# %% [markdown]
# ## Training

# %%
first = pd.read_csv(ROOT / "data/pocket/curves.csv").query("seed == 0")
trained = [(m.title, m.level, first[first["model"] == m.name]) for m in backbone.models]
trained = [(title, level, curve) for title, level, curve in trained if len(curve)]
lines = {
    "training loss": {t: (level, c["step"], c["loss"]) for t, level, c in trained},
    "accuracy while training (%)": {t: (level, c["step"], 100 * c["accuracy"])
                                    for t, level, c in trained},
}  # fmt: skip
style.figure(
    "curves", charts.curves(lines, "step"), "recorded",
    """Loss and accuracy during the training of seed 0. The losses of different objectives are not
    comparable.""",
    more="""`data/pocket/README.md` says how the recipes were chosen, and on which images accuracy
    was watched during training.""",
)  # fmt: skip

# %% [markdown]
# ## What the models recognise
#
# For one checkpoint (seed 0) and one style: an image is recognised if the head gives its own class
# the highest logit. Then the same for every shipped checkpoint and every style, compared with what
# was recorded.

# %%
test = kept[(kept["family"] == family) & (kept["split"] == "test")]
zero = test[test["seed"] == 0].set_index(["model", "style"])["accuracy"]
again = {}
for model in backbone.models:
    names = {art: f"pocket-{art}-test" for art in shown}
    for art in (art for art in shown if store.features_path(model.name, names[art]).exists()):
        images = store.read_features(store.features_path(model.name, names[art]), model)
        head = store.read_head(store.head_path(model.name, names[art]), model)
        h, labels = images.features[images.labels >= 0], images.labels[images.labels >= 0]
        hits = head.logits(h).argmax(axis=1) == labels  # (N,)
        if not again and not head.normalize:
            assert np.isclose(hits.mean(), recognised(h, labels, head.weight, head.bias).mean())
        again[model.name, art] = hits.mean()
gaps = 100 * np.abs([again[key] - zero[key] for key in again if key in zero.index])
told = f"""Classified again in this build with the shipped checkpoints (seed 0):
{(gaps < 5.1e-4).sum()} of {len(gaps)} accuracies are exactly those kept, the largest difference is
{max(gaps, default=0):.2f} points."""
style.text("live", told.replace("\n", " ") if len(gaps) else "")

# %%
of_seeds = test.groupby(["model", "style"])["accuracy"]
ends = of_seeds.agg(["mean", "min", "max"]).map(style.percent)
with_class = table[(table["split"] == "test") & (table["class_index"] >= 0)]
most = 100 * with_class["class_index"].value_counts(normalize=True).max()
cells = ends["mean"] + " (" + ends["min"] + " to " + ends["max"] + ")"
accuracies = pd.DataFrame({"model": m.title} | {STYLE_TITLES[a]: cells[m.name, a] for a in shown}
                          for m in backbone.models)  # fmt: skip
style.table(
    "accuracies", accuracies, "recorded",
    f"""Accuracy in percent on the test concepts: mean (lowest to highest) of
    {test["seed"].nunique()} seeds. {STYLE_TITLES[emoji.IMAGENET]} is the training style; chance is
    {100 / len(emoji.CLASSES):.0f} %.""",
    more=f"""Classes are of unequal size: always naming the most frequent one is right in
    {most:.0f} %.""",
)  # fmt: skip

# %%
style.figure(
    "by-style", pocket.by_style(backbone, test, shown), "recorded",
    """Accuracy on the test concepts by style, one mark per seed. The dashed line is chance, if all
    classes were equally frequent.""",
)  # fmt: skip
