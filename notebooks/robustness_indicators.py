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
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # What indicates robustness?
#
# Candidates that need no shifted data, compared with effective robustness, one model at a time. The
# page {doc}`/indicators` asks what an indicator has to do.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
resamples: int = 2000  # bootstrap resamples
seed: int = 0  # of everything that is drawn

# %%
import numpy as np
import pandas as pd

from analysis.metrics import indicators
from companion.claims.evidence import gather
from companion.publish import candidates, compared, dots, robustness, style, words

evidence = gather(edition, experiments=("accuracy", *candidates.EXPERIMENTS))
known = candidates.measured(evidence)
models = candidates.of_models(evidence, known).dropna(subset=["er"])  # NaN where unknown
recorded = candidates.of_seeds(evidence.families, resamples, seed)  # of the pocket lab's seeds
kinds = (words.kind([m]) for own in known.values() for m in own.values())
kind = words.kinds(robustness.evidence(*evidence.robustness.values()), *kinds)
SHOWN = {"": (models, kind), "-recorded": (recorded, "recorded")}

# %% [markdown]
# ## Two statistics by hand
#
# Rank correlation: the correlation of ranks. Separation, the area under the ROC curve: the share of
# pairs of a robust model and another one in which the robust one has the higher value.

# %%
for candidate in [*candidates.judgeable(models)][:1]:
    rows = models.dropna(subset=[candidate])
    ranks, ranks_er = (rows[v].rank() - (len(rows) + 1) / 2 for v in (candidate, "er"))
    rho = (ranks * ranks_er).sum() / np.sqrt((ranks**2).sum() * (ranks_er**2).sum())
    assert np.isclose(rho, indicators.rank_correlation(rows[candidate], rows["er"]))
    sure = compared.known(rows)  # robust or not
    if sure["robust"].nunique() == 2:
        x, robust = sure[candidate].to_numpy(), sure["robust"].to_numpy()
        pairs = np.sign(x[robust][:, None] - x[~robust])  # 1: the robust one is higher; a tie: 0
        assert np.isclose(((pairs + 1) / 2).mean(), indicators.separation(x, robust))

# %% [markdown]
# ## Candidates against effective robustness

# %%
for name, (frame, of_kind) in SHOWN.items():
    panels = {
        title: compared.marks(frame.dropna(subset=[candidate]), candidate, edition)
        for candidate, title in candidates.judgeable(frame).items() if candidate != "best"
    }  # fmt: skip
    shifts = "unseen styles" if edition == "pocket" else "five shifts"
    label = f"effective robustness, {shifts} (points)"
    two = any(mark.look == "hollow" for marks in panels.values() for mark in marks)
    concepts = any("oncepts" in title for title in panels)
    style.figure(
        f"scatter{name}", dots.scatter(panels, label) if panels else None, of_kind,
        f"""Candidates against effective robustness, one mark for each model
        {"and seed of training " * bool(name)}for which both are known. Vertical lines are 95 %
        intervals{"; marks of the second backbone are hollow" * two}.""",
        more="Concepts are counted along the right singular vectors." * concepts,
    )  # fmt: skip

# %%
for name, (frame, of_kind) in SHOWN.items():
    judged = compared.judged(
        frame, candidates.judgeable(frame), candidates.TO_BEAT, resamples, seed
    )
    robust = compared.known(frame)["robust"] if len(judged) else pd.Series(dtype=bool)
    style.table(
        f"candidates{name}", judged.drop(columns="p"), of_kind,
        f"""Does a candidate separate robust models from others? Known to be robust for their
        accuracy: {robust.sum()} of {len(frame)} models; known not to be: {(~robust).sum()}. A
        candidate has to beat the last row.""",
        more=f"""In brackets: 95 % of {resamples} bootstrap resamples of models (seed {seed}). p is
        adjusted for the number of candidates. Among robust, among others: from
        {compared.LEAST_WITHIN} models on. Area under ROC: from {indicators.LEAST_OF_A_SORT} models
        of each sort on; 0.5 is no separation. Cut: 50 is chance. The chapter on indicators says how
        each column is computed, and why the intervals are too narrow.""",
    )  # fmt: skip
    style.text(f"separating{name}", compared.separating(judged))

# %% [markdown]
# ## What to expect of a model, over seeds

# %%
seeds = compared.over_seeds(recorded, evidence.families)
style.table(
    "seeds", seeds, "recorded",
    f"""How much results vary when training is repeated: lowest to highest of
    {recorded["seed"].nunique() if len(recorded) else 0} seeds.""",
    more=f"""Accuracy: on the test emoji of the training style. ER: on unseen styles. Importance:
    the largest, times the mean. Concepts: along the head's right singular vectors; *random*:
    along the same number of random directions, mean of {candidates.CHANCE} sets.""",
)  # fmt: skip
