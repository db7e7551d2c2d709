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
from companion.publish import style as figures

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
figure, axes = figures.new_figure(len(chosen), len(emoji.STYLES), width=7.4, height=7.2)
for row, style in enumerate(emoji.STYLES):
    for column, concept in enumerate(chosen):
        place = table.index[(table["style"] == style) & (table["concept"] == concept)][0]
        axis = axes[row, column]
        axis.imshow(data.images[place], interpolation="none")
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
        if column == 0:
            title = f"{STYLE_TITLES[style]}\n({emoji.STYLES[style]})"
            axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
names = [table[table["concept"] == c]["name"].iloc[0] for c in chosen]
figures.show(
    figure,
    name="styles",
    caption="""Some test concepts, one column each, in the ten styles, one row each. *imagenet*: the
    training style; *seen*: a shift whose style is in both web sets; *unseen*: a shift whose style
    no model trains on; *web*: only in a web set. Who drew them is in `data/emoji/LICENSES.md`.""",
    alt=f"A grid of small drawings: {', '.join(names)}, each in ten drawing styles.",
    evidence="live",
)

# %%
counts = emoji.sizes(data)
columns = {f"{STYLE_TITLES[style]} ({split})": counts[(style, split)] for style, split in counts}
shown = [emoji.IMAGENET, *emoji.SHIFTS]
sizes = pd.DataFrame({"class": counts.index})
for style in shown:
    for split in ("train", "test") if style == emoji.IMAGENET else ("test",):
        sizes[f"{STYLE_TITLES[style]}, {split}"] = counts[(style, split)].to_numpy()
figures.table(
    sizes,
    name="sizes",
    caption=f"""Images per class in the training style and in the five shifts; {len(data):,} images
    of {table["concept"].nunique():,} concepts in all, {len(emoji.CLASSES)} classes. The web sets
    train on the training concepts of their styles.""",
)

# %% [markdown]
# ## Training

# %%
figure, (left, right) = figures.new_figure(columns=2, height=3.6)
for name, title in MODELS.items():
    level = backbone.model(name).level
    curve = curves[(curves["model"] == name) & (curves["seed"] == 0)]
    if len(curve):
        look = {"color": figures.LEVEL_STYLES[level].colour, "label": title}
        look["linestyle"] = ":" if name.endswith("web-small") else "-"
        left.plot(curve["step"], curve["loss"], **look)
        right.plot(curve["step"], 100 * curve["accuracy"], **look)
left.set(xlabel="step", ylabel="training loss")
right.set(xlabel="step", ylabel="accuracy while training (%)")
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
last = curves[curves["model"].isin(MODELS) & (curves["seed"] == 0)].groupby("model").last()
figures.show(
    figure,
    name="curves",
    caption="""Training of seed 0. The losses of different objectives are not comparable. How the
    recipes were chosen, and what the accuracy during training was watched on, is in
    `data/pocket/README.md`.""",
    alt="Line plots of loss and accuracy by step. Last accuracies: "
    + "; ".join(f"{MODELS[n]} {figures.percent(r['accuracy'])} %" for n, r in last.iterrows())
    + ".",
    evidence="recorded",
)


# %% [markdown]
# ## What the models recognise
#
# The shipped checkpoints are loaded here and classify every test image again.


# %%
def predict(name: str, checkpoint: Path | None) -> dict[str, np.ndarray]:
    """Style → whether each test image with a class is recognised."""
    from analysis.features import encoders
    from analysis.images import find

    model = backbone.model(name)
    return {
        style: encoders.recognised(model, find.pocket(style, "test", classified=True), checkpoint)
        for style in shown
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
    for style in shown:
        values = of_model[of_model["style"] == style]["accuracy"]
        low, high = figures.percent(values.min()), figures.percent(values.max())
        row[STYLE_TITLES[style]] = f"{figures.percent(values.mean())} ({low} to {high})"
    rows.append(row)
seeds = test["seed"].nunique()
figures.table(
    pd.DataFrame(rows),
    name="accuracies",
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
            (name, style): correct[name][style].mean() - zero.get((name, style), np.nan)
            for name in MODELS
            for style in shown
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
figures.text("live", sentence)

# %%
figure, axes = figures.new_figure(height=4)
offsets = np.linspace(-0.3, 0.3, len(MODELS))
for offset, (name, title) in zip(offsets, MODELS.items(), strict=True):
    for place, style in enumerate(shown):
        values = 100 * test[(test["model"] == name) & (test["style"] == style)]["accuracy"]
        look = {"s": 26, "label": title if place == 0 else None}
        if name.endswith("web-small"):
            look |= {"facecolors": "none", "edgecolor": figures.LEVEL_STYLES["zero_shot"].colour}
            axes.scatter(
                np.full(len(values), place + offset), values, linewidth=1.2, zorder=4, **look
            )
        else:
            level = backbone.model(name).level
            figures.level_points(axes, level, np.full(len(values), place + offset), values, **look)
axes.axhline(100 / len(emoji.CLASSES), color=figures.MUTED, linewidth=1, linestyle="--")
axes.set_xticks(range(len(shown)), [f"{STYLE_TITLES[s]}\n({emoji.STYLES[s]})" for s in shown])
axes.tick_params(axis="x", labelsize=8)
axes.set(ylabel="accuracy on test concepts (%)", ylim=(0, None))
figure.legend(loc="outside lower center", ncols=3)
means = test.groupby(["model", "role"])["accuracy"].mean().unstack()
figures.show(
    figure,
    name="by-style",
    caption="""Accuracy on the test concepts by style; one mark per seed. Dashed: chance, if all
    classes were equally frequent.""",
    alt="Dot plot. Mean accuracy in the training style and over the unseen styles: "
    + "; ".join(
        f"{title} {figures.percent(means.loc[n, 'imagenet'])} and "
        f"{figures.percent(means.loc[n, 'unseen'])} %"
        for n, title in MODELS.items()
        if n in means.index
    )
    + ".",
    evidence="recorded",
)
