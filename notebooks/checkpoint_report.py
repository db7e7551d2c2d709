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
from companion.probe import checkpoint as reports
from companion.probe.judge import RULES, in_words, layer, title
from companion.publish import figures, style, words

if numbers:
    judged = reports.of_file(Path(numbers))
    probes, missing, failed = {title(judged.measurement): judged}, [], []
else:
    probes, missing, failed = reports.of_family(load_family(family), data)
measured = {name: found.measurement for name, found in probes.items()}
sets = dict.fromkeys(f"`{m.data.name}`" for m in measured.values())
said = {name: in_words(m) for name, m in measured.items()}

# %% [markdown]
# ## Verdict

# %%
style.text("sentences", reports.listed(probes, lambda found: [found.sentence]))
style.text("cautions", reports.listed(probes, reports.to_keep_in_mind))

# %% [markdown]
# ## What was measured

# %%
style.table(
    "verdicts",
    pd.DataFrame(
        {
            "model": name,
            "outlier features": found.answer,
            "κ": "{kurtosis} ({interval})".format(**said[name]),
            "outliers": said[name]["named"],
            "persistence": said[name]["leads"],
            "last layer": layer(measured[name]),
        }
        for name, found in probes.items()
    ),
    "live",
    f"""The verdict and what it rests on, from features of {", ".join(sets)}.""",
    more=f"""κ: mean activation kurtosis with its 95 % interval; a Gaussian gives 3. Outliers:
    coordinates at least {OUTLIER_THRESHOLD:g} times as large as the mean coordinate. Persistence:
    how often the dominant coordinate is the largest.""",
)
columns = {
    "negative": "negatives", "images": "images", "needed": "needed", "privileged": "privileged",
    "largest importance": "importance", "κ after mean subtraction": "less_mean",
    "in the mean": "in_mean",
}  # fmt: skip
style.table(
    "numbers",
    pd.DataFrame(
        {"model": name} | {column: told[key] for column, key in columns.items()}
        for name, told in said.items()
    ),
    "live",
    "More numbers; privileged directions take no part in the verdict.",
    more="""Negative: share of components; none behind a ReLU. Needed: images for a 95 % interval
    of κ of ± 5 %. Privileged: directions at least 10 times as important as the mean one. Largest
    importance: times the mean; in brackets with the head centred. In the mean: share of energy.""",
)
style.text("reasons", reports.listed(probes, lambda found: found.reasons))

# %% [markdown]
# ## Pictures

# %%
style.figure(
    "kurtosis", figures.kurtosis(measured) if probes else None, "live",
    "κ of single images: the share below each value. Vertical line: the Gaussian's 3.",
)  # fmt: skip
style.figure(
    "profile", figures.profiles(measured, OUTLIER_THRESHOLD) if probes else None, "live",
    f"""Coordinates above the dashed line ({OUTLIER_THRESHOLD:g}) count as outliers. Stem: how large
    a coordinate is on average over images, relative to the mean coordinate (1, thin line).""",
)  # fmt: skip
style.figure(
    "heat-map", figures.heat_maps(measured) if probes else None, "live",
    """An outlier feature is a column far from zero in every image (row). Left of the line: the
    largest coordinates on average; right of it: others, spread over the rest.""",
)  # fmt: skip
heads = {name: m for name, m in measured.items() if "importance" in m.values}
style.figure(
    "importance", figures.importance(heads, PRIVILEGED_THRESHOLD) if heads else None, "live",
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
style.table("provenance", reports.origins(probes), "live",
            "Where the weights and the images come from.")  # fmt: skip

# %% [markdown] tags=["book"]
# ## What is missing

# %% tags=["remove-input", "book"]
if failed:
    style.text("unusable", words.unusable(failed))
absent = words.not_measured(missing)
end = [absent or "Every model was probed.", reports.other_sets(load_family(family), probes)]
style.text("not-measured", "\n\n".join(filter(None, end)))
