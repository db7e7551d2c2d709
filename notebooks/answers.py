# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper]
#     reads:
#     - data/relearn/*.csv
# ---

# %% [markdown]
# # Where a tower stands
#
# Images and texts are trained on the same batches. How does κ of the images depend on how strongly
# the texts answer on one coordinate? {doc}`/choose_the_axes` tells the story, and
# `data/relearn/plan.yaml` says what was predicted before these trainings were run.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
from functools import partial

import pandas as pd

from companion.chapters import answer_tables
from companion.chapters.answer_tables import FACTORS, HAND, NEAREST
from companion.engine import style
from companion.engine.page import Page
from companion.engine.style import Drawing, digits

runs = answer_tables.read()  # a row for each training
page = Page("answers")
cell = partial(answer_tables.cell, runs)  # the trainings with these settings, a row for each seed
ADAM = {"texts": "element"}


def spread(values, write=digits):
    """The median, then the least and the largest; a dash where nothing was trained."""
    if values.empty:
        return "–"
    return f"{write(values.median())} ({write(values.min())}–{write(values.max())})"


# %% [markdown]
# ## By hand, and by a rule
#
# The texts' steps in one column are multiplied by a factor. All other steps are those of a rule
# that turns with the axes: one second moment for each row. An optimiser has a factor too: the
# length of its column, relative to the row rule's, each over its whole matrix.

# %%
curve = pd.concat([cell(**HAND, factor=f).assign(strength=f) for f in FACTORS])
RULES = {
    "element": "Adam", "adafactor": "Adafactor", "sign": "sign", "clipped": "clipped momentum",
    "between": "between Adam and row", "column": "one per column", "root": "root",
    "power": "power 1.5", "cautious": "cautious", "muon": "Muon",
}  # fmt: skip
LEFT = {
    "Adam",
    "sign",
    "one per column",
    "between Adam and row",
    "Muon",
}  # written left of their marks
marks = pd.DataFrame(
    {
        "rule": name,
        "strength": (own := cell(texts=rule))["ratio_texts"].median(),
        "κ": own["kurtosis"].median(),
        "least": own["kurtosis"].min(),
        "largest": own["kurtosis"].max(),
        "seeds": len(own),
    }
    for rule, name in RULES.items()
)
middle = curve.groupby("strength")["kurtosis"].median()

figure, axes = style.new_figure(height=4.6)
axes.fill_between(
    middle.index,
    curve.groupby("strength")["kurtosis"].min(),
    curve.groupby("strength")["kurtosis"].max(),
    color="0.85",
    linewidth=0,
)
axes.plot(middle, color="black", label="by hand, one column")
axes.scatter(marks["strength"], marks["κ"], color=style.STRONG, zorder=3, label="optimisers")
for row in marks.itertuples():
    left = row.rule in LEFT
    place = {"xytext": (-6 if left else 6, 2), "ha": "right" if left else "left"}
    axes.annotate(
        row.rule, (row.strength, row.κ), **place, textcoords="offset points", va="center", size=8
    )
axes.axhline(3, color="grey", linestyle="--", linewidth=0.8)
axes.set(xlabel="strength of the texts' answer there (row rule = 1)", ylabel="κ of images")
style.log_scale(axes.yaxis, 2.3, 200)
data = pd.concat(
    [
        curve[["strength", "kurtosis", "seed"]]
        .rename(columns={"kurtosis": "κ"})
        .assign(rule="by hand"),
        marks,
    ]
)
alt = "κ of images against the strength of the texts' answer. By hand: " + ", ".join(
    f"{digits(κ)} at {strength:g}" for strength, κ in middle.items()
)
alt += ". Optimisers: " + ", ".join(
    f"{row.rule} {digits(row.κ)} at {row.strength:.2f}" for row in marks.itertuples()
)
falls = middle.loc[:1].is_monotonic_decreasing and middle[0] > 50 and middle[1] < 3.5
page.figure("curve", Drawing(figure, alt, data), "recorded", holds=falls)

# %% [markdown]
# ## It is the answer to the batch
#
# The same column, changed in other ways. The column leads if it is the largest of the mean image.

# %%
CHANGED = {
    "all as usual": HAND,
    "stopped": HAND | {"factor": 0},
    "a middling column, stopped": {"column": "middling", "factor": 0},
    "answers another batch": HAND | {"other_batch": True},
    "answers 1 step late": HAND | {"late": 1},
    "answers 20 steps late": HAND | {"late": 20},
    "answers 100 steps late": HAND | {"late": 100},
    "keeps the drift, not the answer": HAND | {"keeps": "drift"},
    "keeps the answer, not the drift": HAND | {"keeps": "answer"},
}
page.table(
    "answer",
    pd.DataFrame(
        {
            "texts' longest column": name,
            "κ of images": spread((own := cell(**words))["kurtosis"]),
            "leads": f"{(own['leader'] == own['column']).sum()} of {len(own)}",
            "fresh images, 10 % wrong captions": spread(cell(**words, **NEAREST)["kurtosis"]),
        }
        for name, words in CHANGED.items()
    ),
    "recorded",
)

# %% [markdown]
# ## The penalty in its place

# %%
STOPPED = HAND | {"factor": 0}
PENALTY = {
    "column stopped": STOPPED,
    "column stopped, penalty ⅛": STOPPED | {"penalty": 0.125},
    "column stopped, penalty ¼ (the theory's)": STOPPED | {"penalty": 0.25},
    "column stopped, penalty 1": STOPPED | {"penalty": 1},
    "texts by Adam": ADAM,
    "texts by Adam, penalty ¼ for what Adam leaves out": ADAM | {"penalty": 0.25},
    "texts by Adam, columns as long as the row rule's": ADAM | {"text_lengths": "shared"},
    "texts by row, columns as long as Adam's": {"text_lengths": "element"},
}
page.table(
    "penalty",
    pd.DataFrame(
        {
            "training": name,
            "ViT-B/32": spread((own := cell(**words))["kurtosis"]),
            "seeds": len(own),
            "ViT-B/16": spread(cell(**words, pairs="vit_b_16-coco")["kurtosis"]),
        }
        for name, words in PENALTY.items()
    ),
    "recorded",
)

# %% [markdown]
# ## Errors must live on: wrong captions

# %%
BOTH = ADAM | {"images": "element", "fresh": True}
NOISE = {
    "right captions": BOTH,
    "1 % wrong": BOTH | {"caption_noise": 0.01},
    "3 % wrong": BOTH | {"caption_noise": 0.03},
    "10 % wrong": BOTH | {"caption_noise": 0.1},
    "30 % wrong": BOTH | {"caption_noise": 0.3},
    "10 % wrong, with the penalty": BOTH | {"caption_noise": 0.1, "penalty": 0.25},
}
page.table(
    "noise",
    pd.DataFrame(
        {
            "fresh images in every batch, Adam on both sides": name,
            "κ of images": spread((own := cell(**words))["kurtosis"]),
            "κ of texts": spread(own["kurtosis_texts"]),
            "held-out (%)": spread(100 * own["accuracy"], "{:.1f}".format),
            "seeds": len(own),
        }
        for name, words in NOISE.items()
    ),
    "recorded",
)

# %% [markdown]
# ## Where it fails

# %%
FAILS = {
    "scale 30, not 100": cell(**STOPPED, **NEAREST, scale=30),
    "scale 300": cell(**STOPPED, **NEAREST, scale=300),
    "ViT-L/14, 338 news pairs, 30 % wrong": cell(
        **STOPPED, pairs="vit_l_14-news", caption_noise=0.3
    ),
    "one matrix for both sides": cell(**STOPPED, start="random", one_matrix=True),
}
page.table(
    "fails",
    pd.DataFrame(
        {"longest column stopped": name, "κ of images": spread(own["kurtosis"]), "seeds": len(own)}
        for name, own in FAILS.items()
    ),
    "recorded",
)

# %% [markdown]
# ## Numbers of sentences, and what guards them

# %%
adam, felt, near = cell(**ADAM), cell(**ADAM, penalty=0.25), cell(**NOISE["10 % wrong"])
stopped, other = cell(**STOPPED), cell(**HAND, other_batch=True)
ranks = adam["rank_texts"].dropna()
tables = map(answer_tables.read, ("answers", "answer_shadows", "whole"))
judged = pd.Series(answer_tables.judged(*tables)).dropna()
page.number(
    trainings=len(runs),
    predicted=len(judged),
    failed=int((~judged.astype(bool)).sum()),
    stopped=spread(stopped["kurtosis"]),
    led=f"{(stopped['leader'] == stopped['column']).sum()} of {len(stopped)}",
    stopped_median=digits(stopped["kurtosis"].median()),
    half=digits(middle[0.5]),
    usual=digits(middle[1]),
    other=spread(other["kurtosis"]),
    late=digits(cell(**HAND, late=20)["kurtosis"].median()),
    answer_alone=digits(cell(**HAND, keeps="answer")["kurtosis"].median()),
    adam=spread(adam["kurtosis"]),
    adam_ratio=f"{adam['ratio_texts'].median():.2f}",
    adam_penalty=spread(felt["kurtosis"]),
    theory=spread(cell(**STOPPED, penalty=0.25)["kurtosis"]),
    images_adam=spread(cell(images="element", **NEAREST)["kurtosis"]),
    near=spread(near["kurtosis"]),
    near_texts=spread(near["kurtosis_texts"]),
    near_penalty=digits(cell(**NOISE["10 % wrong, with the penalty"])["kurtosis"].median()),
    right=digits(cell(**BOTH)["kurtosis"].median()),
    one_percent=digits(cell(**NOISE["1 % wrong"])["kurtosis"].median()),
    large_scale=digits(FAILS["scale 300"]["kurtosis"].median()),
    news=digits(FAILS["ViT-L/14, 338 news pairs, 30 % wrong"]["kurtosis"].median()),
    best_with_tower=f"{100 * runs[runs['kurtosis'] > 10]['accuracy'].max():.1f}",
)
led = [(own["leader"] == own["column"]).all() for own in (stopped, other)]
page.holds(all(led), "the tower rises on that very coordinate")
page.holds(felt["kurtosis"].max() < 3.3, "Adam's tower is gone")
page.holds(
    cell(images="element", **NEAREST)["kurtosis"].max() < 3.5,
    "A side's own Adam builds it no tower",
)
page.holds((ranks <= 10).all() and len(ranks) >= 9, "among the ten shortest of 512")
page.holds(
    cell(**BOTH)["kurtosis"].max() < 3.5, "With fresh images and right captions nothing grows"
)
