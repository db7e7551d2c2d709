# ---
# jupyter:
#   companion:
#     scope: family
#     editions: [reader, pocket]
#     evidence: [features]
#     measurements: [outlier_features]
#     reads:
#     - data/probe.yaml
#     - families/*.yaml
# ---

# %% [markdown] tags=["book"]
# # Probe report
#
# What `companion probe` says about each model of this family, from the features in the store:
# whether there is the sign of robustness that the paper found. How to read it, and what it cannot
# tell, is on the page {doc}`/guide/probe`.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown
data: str = ""  # the data set whose features are looked at; empty: the first one in the store
numbers: str = ""  # what `companion probe --json` wrote of one checkpoint, to report that alone

# %%
from pathlib import Path

import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics.directions import PRIVILEGED_THRESHOLD
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion import probe_checkpoint as reports
from companion.probe import RULES, in_words
from companion.probe_found import read_json
from companion.publish import charts, style, words
from companion.publish.words import share

if numbers:
    one = read_json(Path(numbers))
    probes, missing, failed = {one.name: one}, [], []
else:
    probes, missing, failed = reports.of_family(load_family(family), data)
sets = dict.fromkeys(f"`{found.about['data']['name']}`" for found in probes.values())


def table(name: str, caption: str, more: str, **columns) -> None:
    """Publish a row for each probe; each column is a function of it."""
    cells = {name.replace("_", " "): list(map(of, probes.values())) for name, of in columns.items()}
    style.table(name, pd.DataFrame({"model": list(probes)} | cells), "live", caption, more=more)


# %% [markdown]
# ## Verdict

# %%
style.text("sentences", reports.listed(probes, lambda found: [found.verdict.sentence]))
style.text("cautions", reports.listed(probes, reports.to_keep_in_mind))

# %% [markdown]
# ## What was measured

# %%
table(
    "verdicts",
    f"""The verdict and what it rests on, from features of {", ".join(sets)}.""",
    f"""κ: mean activation kurtosis with its 95 % interval; a Gaussian gives 3. Outliers:
    coordinates at least {OUTLIER_THRESHOLD:g} times as large as the mean coordinate. Persistence:
    how often the dominant coordinate is the largest.""",
    outlier_features=lambda f: f.verdict.answer,
    κ=lambda f: "{kurtosis} ({interval})".format(**in_words(f)),
    outliers=lambda f: in_words(f)["named"],
    persistence=lambda f: share(f.persistence.fraction),
    last_layer=lambda f: f.layer.kind,
)
table(
    "numbers",
    "More numbers; privileged directions take no part in the verdict.",
    """Negative: share of components; none behind a ReLU. Needed: images for a 95 % interval of κ of
    ± 5 %. Privileged: directions at least 10 times as important as the mean one. Largest
    importance: times the mean; in brackets with the head centred. In the mean: share of energy.""",
    negative=lambda f: share(f.layer.negatives),
    images=lambda f: f.images,
    needed=lambda f: f.images_needed,
    privileged=lambda f: in_words(f)["privileged"],
    largest_importance=lambda f: in_words(f)["importance"],
    κ_after_mean_subtraction=lambda f: in_words(f)["less_mean"],
    in_the_mean=lambda f: in_words(f)["in_mean"],
)
style.text("reasons", reports.listed(probes, lambda found: found.verdict.reasons))

# %% [markdown]
# ## Pictures

# %%
style.figure(
    "kurtosis", charts.kurtosis(probes) if probes else None, "live",
    "κ of single images: the share below each value. Vertical line: the Gaussian's 3.",
)  # fmt: skip
style.figure(
    "profile", charts.profiles(probes, OUTLIER_THRESHOLD) if probes else None, "live",
    f"""Coordinates above the dashed line ({OUTLIER_THRESHOLD:g}) count as outliers. Stem: how large
    a coordinate is on average over images, relative to the mean coordinate (1, thin line).""",
)  # fmt: skip
style.figure(
    "heat-map", charts.heat_maps(probes) if probes else None, "live",
    """An outlier feature is a column far from zero in every image (row). Left of the line: the
    largest coordinates on average; right of it: others, spread over the rest.""",
)  # fmt: skip
heads = {title: found for title, found in probes.items() if found.head}
style.figure(
    "importance", charts.importance(heads, PRIVILEGED_THRESHOLD) if heads else None, "live",
    f"""Directions above the dotted line ({PRIVILEGED_THRESHOLD:g} times the mean importance) count
    as privileged. Dashed curve: the head without its mean row, which predicts the same classes.""",
)  # fmt: skip

# %% [markdown]
# ## Among the recorded models

# %%
style.text("place", reports.listed(probes, lambda found: [reports.in_place(found)]))
style.table("recorded", reports.among_recorded(probes), "recorded, live",
            "The checkpoint (bold) among all recorded models, by falling κ.")  # fmt: skip

# %% [markdown]
# ## How it was judged and computed

# %%
style.text("rules", RULES)
style.table("provenance", reports.provenance(probes), "live",
            "Where the weights and the images come from.")  # fmt: skip

# %% [markdown] tags=["book"]
# ## What is missing

# %% tags=["remove-input", "book"]
if failed:
    style.text("unusable", words.unusable(failed))
absent = words.not_measured(missing)
end = [absent or "Every model was probed.", reports.other_sets(load_family(family), probes)]
style.text("not-measured", "\n\n".join(filter(None, end)))
