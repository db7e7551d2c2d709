# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [pocket]
#     reads:
#     - data/emoji/emoji.zip
#     - data/imagenet/sets.yaml
#     - data/pocket/accuracies.csv
#     - data/pocket/curves.csv
#     - data/pocket/recipes.yaml
#     - data/pocket/tokenizer.json
#     - data/pocket/architectures/*.json
#     - data/pocket/checkpoints/*.safetensors
# ---

# %% [markdown]
# # The pocket lab
#
# The paper's experiment in miniature: emoji instead of photographs, drawing styles instead of
# ImageNet's shifts, networks that a laptop trains in a minute. This page shows the data, how this
# backbone's models were trained, and what they recognise. What it can and cannot tell about the
# paper is on the page {doc}`/guide/pocket_lab`.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the family in front
retrain: bool = False  # train this family's models again (seed 0, some minutes) and use those

# %%
import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.images import emoji, sets
from companion.publish import charts, dots, style

backbone = load_family(family)
data = emoji.load()
kept = pd.read_csv("data/pocket/accuracies.csv")
curves = pd.read_csv("data/pocket/curves.csv")
own = kept[kept["family"] == family]
has_torch = importlib.util.find_spec("torch") is not None
STYLE_TITLES = {name: style.title for name, style in sets.styles().items()}
MODELS = {m.name: m.title for m in backbone.models}

# %% [markdown]
# ## The data
#
# Ten sets of emoji, each by other artists. One style stands for ImageNet; five stand for its
# shifts, and no model ever trains on four of these five. The concepts are split: no model has seen
# a test concept in any style.

# %%
table = data.table
drawn = table.groupby("concept")["style"].nunique()
everywhere = table[(table["split"] == "test") & (table["class_index"] >= 0)]
everywhere = everywhere[everywhere["concept"].map(drawn) == len(emoji.STYLES)]
chosen = everywhere.drop_duplicates("class_index")["concept"].iloc[
    :: max(1, len(emoji.CLASSES) // 9)
]
names = [table[table["concept"] == c]["name"].iloc[0] for c in chosen]
places = table.reset_index().set_index(["style", "concept"])["index"]
style.figure(
    "styles",
    charts.pictures(
        {
            f"{STYLE_TITLES[art]}\n({role})": [data.images[places[art, c]] for c in chosen]
            for art, role in emoji.STYLES.items()
        },
        f"A grid of small drawings: {', '.join(names)}, each in ten drawing styles.",
    ),
    "live",
    """Some test concepts, one column each, in the ten styles, one row each. *imagenet*: the
    training style; *seen*: a shift whose style is in both web sets; *unseen*: a shift whose style
    no model trains on; *web*: only in a web set. Who drew them is in `data/emoji/LICENSES.md`.""",
)

# %%
counts = emoji.sizes(data)
columns = {f"{STYLE_TITLES[art]} ({split})": counts[(art, split)] for art, split in counts}
shown = [emoji.IMAGENET, *emoji.SHIFTS]
sizes = pd.DataFrame({"class": counts.index})
for art in shown:
    for split in ("train", "test") if art == emoji.IMAGENET else ("test",):
        sizes[f"{STYLE_TITLES[art]}, {split}"] = counts[(art, split)].to_numpy()
style.table(
    "sizes",
    sizes,
    caption=f"""Images per class in the training style and in the five shifts; {len(data):,} images
    of {table["concept"].nunique():,} concepts in all, {len(emoji.CLASSES)} classes. The web sets
    train on the training concepts of their styles.""",
    evidence=None,
)

# %% [markdown]
# ## Training

# %%
trained = {
    title: (backbone.model(name).level, curves[(curves["model"] == name) & (curves["seed"] == 0)])
    for name, title in MODELS.items()
}
style.figure(
    "curves",
    charts.curves(
        {
            label: {
                title: (level, curve["step"], scale * curve[column])
                for title, (level, curve) in trained.items()
                if len(curve)
            }
            for label, column, scale in (
                ("training loss", "loss", 1),
                ("accuracy while training (%)", "accuracy", 100),
            )
        },
        "step",
    ),
    "recorded",
    """Training of seed 0. The losses of different objectives are not comparable. How the
    recipes were chosen, and what the accuracy during training was watched on, is in
    `data/pocket/README.md`.""",
)


# %% [markdown]
# ## What the models recognise
#
# The shipped checkpoints are loaded here and classify every test image again.


# %%
def predict(name: str, checkpoint: Path | None) -> dict[str, np.ndarray]:
    """Style → whether each test image with a class is recognised."""
    from analysis.features import heads
    from analysis.images import find

    model = backbone.model(name)
    return {
        art: heads.recognised(model, find.pocket(art, "test", classified=True), checkpoint)
        for art in shown
    }


def trained_again(folder: Path) -> dict[str, Path]:
    """Train this family's models with seed 0 and say where their weights lie."""
    from training import pocket
    from training import pocket_lab as training

    recipes = pocket.load_recipes()
    tasks = [(r, 0) for r in recipes.models if r.name in MODELS and r.steps]
    training.run_all(tasks, recipes, folder)
    return {r.name: folder / f"{r.name}-0" / "weights.safetensors" for r, _ in tasks}


correct: dict[str, dict[str, np.ndarray]] = {}
if has_torch:
    with tempfile.TemporaryDirectory() as folder:
        again = trained_again(Path(folder)) if retrain else {}
        correct = {name: predict(name, again.get(name)) for name in MODELS}

# %%
test = own[own["split"] == "test"].copy()
rows = []
for name, title in MODELS.items():
    of_model = test[test["model"] == name]
    row = {"model": title}
    for art in shown:
        values = of_model[of_model["style"] == art]["accuracy"]
        low, high = style.percent(values.min()), style.percent(values.max())
        row[STYLE_TITLES[art]] = f"{style.percent(values.mean())} ({low} to {high})"
    rows.append(row)
seeds = test["seed"].nunique()
style.table(
    "accuracies",
    pd.DataFrame(rows),
    caption=f"""Accuracy in percent on the test concepts: mean (lowest to highest) of {seeds} seeds.
    {STYLE_TITLES[emoji.IMAGENET]} is the training style; chance is about
    {100 / len(emoji.CLASSES):.0f} %.""",
    evidence="recorded",
)

# %%
if correct:
    zero = test[test["seed"] == 0].set_index(["model", "style"])["accuracy"]
    gaps = pd.Series(
        {
            (name, art): correct[name][art].mean() - zero.get((name, art), np.nan)
            for name in MODELS
            for art in shown
        }
    ).dropna()
    largest = 100 * gaps.abs().max()
    which = "the checkpoints trained again" if retrain else "the shipped checkpoints"
    sentence = (
        f"Classified again in this build with {which} (seed 0): "
        f"{int((gaps.abs() < 5.1e-6).sum())} of {len(gaps)} accuracies are exactly those kept, the "
        f"largest difference is {largest:.2f} points."
    )
else:
    sentence = (
        "PyTorch is not installed, so the checkpoints were not classified with again in this "
        "build; the table shows the recorded accuracies."
    )
style.text("live", sentence)

# %%
marks = []
for name, title in MODELS.items():
    own = test[(test["model"] == name) & test["style"].isin(shown)]
    look = "hollow" if name.endswith("web-small") else "filled"
    x = own["style"].map(shown.index)
    marks.append(dots.Marks(title, backbone.model(name).level, x, own["accuracy"], look=look))
style.figure(
    "by-style",
    dots.strips(
        [f"{STYLE_TITLES[art]}\n({emoji.STYLES[art]})" for art in shown],
        marks,
        "accuracy on test concepts (%)",
        100 / len(emoji.CLASSES),
    ),
    "recorded",
    """Accuracy on the test concepts by style; one mark per seed. Dashed: chance, if all
    classes were equally frequent.""",
)
