# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [accuracy, concepts, outlier_features, privileged_directions, unread]
#     reads:
#     - data/emoji/emoji.zip
#     - data/emoji/appearance.npy
#     - data/pocket/*.csv
#     - data/published/*.csv
# ---

# %% [markdown]
# # What indicates robustness?
#
# This page compares candidates that need no shifted data with effective robustness, one model at a
# time; {doc}`/indicators` asks what an indicator has to do.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
resamples: int = 2000  # bootstrap resamples
seed: int = 0  # of everything that is drawn

# %%
import numpy as np
import pandas as pd

from analysis.metrics import indicators
from companion.chapters import figures, indicator_tables, robustness_figures
from companion.chapters.indicator_tables import TO_BEAT
from companion.claims.evidence import gather
from companion.engine import plots, style
from companion.engine.page import Page

evidence = gather(edition, experiments=("accuracy", *indicator_tables.EXPERIMENTS))
measurements = indicator_tables.measured(evidence)
models = indicator_tables.of_models(evidence, measurements).dropna(subset=["er"])
recorded = indicator_tables.of_seeds(evidence.families, resamples, seed)  # of the pocket lab
kinds = (style.kind([m]) for group in measurements.values() for m in group.values())
kind = style.kinds(robustness_figures.evidence(*evidence.robustness.values()), *kinds)
SHOWN = {"": (models, kind), "-recorded": (recorded, "recorded")}
page = Page("robustness_indicators", edition=edition, resamples=resamples, seed=seed)

# %% [markdown]
# ## Two statistics by hand
#
# Rank correlation: the correlation of ranks. Separation, the area under the ROC curve: the share of
# pairs of a robust model and another one in which the robust one has the higher value.

# %%
for candidate in [*indicator_tables.judgeable(models)][:1]:
    rows = models.dropna(subset=[candidate])
    ranks, ranks_er = (rows[v].rank() - (len(rows) + 1) / 2 for v in (candidate, "er"))
    rho = (ranks * ranks_er).sum() / np.sqrt((ranks**2).sum() * (ranks_er**2).sum())
    assert np.isclose(rho, indicators.rank_correlation(rows[candidate], rows["er"]))
    sure = indicator_tables.of_known_robustness(rows)  # robust or not
    if sure["robust"].nunique() == 2:
        x, robust = sure[candidate].to_numpy(), sure["robust"].to_numpy()
        pairs = np.sign(x[robust][:, None] - x[~robust])  # 1: the robust one is higher; a tie: 0
        assert np.isclose(((pairs + 1) / 2).mean(), indicators.separation(x, robust))

# %% [markdown]
# ## Candidates against effective robustness

# %%
ER = f"ER, {'unseen styles' if edition == 'pocket' else 'five shifts'} (points)"
LARGE = ("kurtosis", TO_BEAT)  # shown first, each in a panel of its own
for name, (frame, of_kind) in SHOWN.items():
    titles = indicator_tables.judgeable(frame)
    for part, chosen in (("", [*LARGE]), ("-rest", [c for c in titles if c not in LARGE])):
        some = {c: titles[c] for c in chosen if c in titles}
        rows = indicator_tables.against_robustness(frame, some, ER, edition)
        if rows.empty:
            page.figure(f"scatter{name}{part}", None, of_kind)
            continue
        drawing = plots.scatter(rows, "value", ER, verticals=figures.GAUSSIAN)
        for axes in drawing.figure.axes:
            if axes.get_xlabel() == figures.KAPPA:  # on the scale of models with outlier features
                style.log_scale(axes.xaxis, 1, 100, 5)
                axes.set_xlim(1, 100)
        page.figure(f"scatter{name}{part}", drawing, of_kind)
        if name and not part:
            for axes in drawing.figure.axes:
                axes.set_ylabel("ER (points)")  # two low panels
            page.slide("scatter", drawing, 3)

# %%
for name, (frame, of_kind) in SHOWN.items():
    titles = indicator_tables.judgeable(frame)
    judged = indicator_tables.judged(frame, titles, TO_BEAT, resamples, seed)
    if len(judged):
        robust = indicator_tables.of_known_robustness(frame)["robust"]
        counts = {"models": len(frame), "robust": robust.sum(), "not": (~robust).sum()}
        page.number({f"{label}{name}": count for label, count in counts.items()})
        few = min(robust.sum(), (~robust).sum()) < indicators.LEAST_OF_A_SORT
        page.holds(few or edition == "paper", "separation cannot be judged", of_kind)
    known = len(judged) > 1
    none_beats = not (judged["gain_low"] > 0).any() if edition == "pocket" else not known
    page.table(f"candidates{name}", judged, of_kind, holds=none_beats)

# %% [markdown]
# ## What to expect of a model, over seeds

# %%
page.table(
    "seeds",
    indicator_tables.over_seeds(recorded, evidence.families),
    seeds=recorded["seed"].nunique() if len(recorded) else 0,
    sets=indicator_tables.CHANCE,
)

# %%
PREDICTED = {"web-large": "zero-shot", "finetuned": "finetuned", "supervised": "supervised"}
place, names = "predicted, the most robust first", [*PREDICTED.values()]
orders = [
    rows.assign(of=f"seed {run}", panel=backbone, **{place: range(3), ER: 100 * rows["er"]})
    for (backbone, run), seeds in (recorded.groupby(["backbone", "seed"]) if len(recorded) else ())
    for rows in [pd.concat(seeds[seeds["model"].str.endswith(name)] for name in PREDICTED)]
]
if orders:
    frame = pd.concat(orders)[["panel", "of", place, ER]]
    looks = {f"seed {run}": plots.Stroke(style.INK, plots.DASHES[run]) for run in range(3)}
    drawing = plots.lines(frame, place, ER, looks=looks, columns=1, height=1.6)
    for axes in drawing.figure.axes:
        axes.set_xticks(range(3), names)
        axes.set(xlim=(-0.3, 2.3), ylim=(frame[ER].min() - 0.5, frame[ER].max() + 0.5))
    falls = [rows["er"].is_monotonic_decreasing for rows in orders]
    page.number(orders=f"{sum(falls)} of {len(falls)}")
    last = [rows["er"].idxmin() == rows.index[-1] for rows in orders]
    page.holds(all(last), "Supervised models are the least robust in each of them")
    first = [
        rows["er"].idxmax() == rows.index[1] for rows in orders if "ViT" in rows["panel"].iloc[0]
    ]
    page.holds(all(first), "In the ViT the finetuned model is ahead with every seed")
    page.figure("order", drawing, falling=sum(falls), trainings=len(falls))
