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
#     refused:
#       data: companion.probe.report:check_data
#       numbers: companion.probe.report:check_numbers
# ---

# %% [markdown] tags=["book"]
# # Probe report
#
# This page shows what `companion probe` says about each model of this family, from the features in
# the store: whether they show the sign of robustness that the paper found. {doc}`/guide/probe` says
# how to read the report, and what it cannot show.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown
data: str = ""  # the data set whose features are looked at; empty: the first one in the store
numbers: str = ""  # what `companion probe --json` wrote of one checkpoint, to report that alone

# %%

from analysis.base.roots import ROOT
from analysis.families.registry import load_family
from analysis.metrics.directions import PRIVILEGED_THRESHOLD
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.chapters import figures
from companion.chapters.notes import absent_models
from companion.engine.page import Page
from companion.engine.style import items, unusable
from companion.probe import report
from companion.probe.facts import HOW_JUDGED, title_of, values_of
from companion.probe.judge import said_next

if numbers:
    judged = report.of_file(ROOT / numbers)
    probes, missing, failed = {title_of(judged.measurement): judged}, [], []
else:
    probes, missing, failed = report.of_family(load_family(family), data)
measured = {name: probe.measurement for name, probe in probes.items()}
sets = dict.fromkeys(f"`{m.data.name}`" for m in measured.values())
said = {name: values_of(m) for name, m in measured.items()}
page = Page("checkpoint_report", "live")

# %% [markdown]
# ## Verdict

# %%
page.texts(sentences=items(probe.sentence for probe in probes.values()))
shown = measured | report.references()
page.figure(
    "profile",
    figures.profiles(shown, OUTLIER_THRESHOLD) if probes else None,
    threshold=OUTLIER_THRESHOLD,
)
five = report.five_numbers(probes) if probes else []
page.table("verdicts", five, sets=", ".join(sets), threshold=OUTLIER_THRESHOLD)
page.texts(next=items(dict.fromkeys(map(said_next, probes.values()))))

# %% [markdown]
# ## To paste

# %%
for probe in list(probes.values()) if numbers else []:
    page.texts(latex=f"```latex\n{report.latex(probe)}\n```")
page.table("provenance", report.said_of(probes, report.facts))

# %% [markdown]
# ## Comparable models

# %%
page.table("recorded", report.among_recorded(probes), "recorded, live")

# %% [markdown] tags=["folded"]
# ## What to keep in mind

# %%
notes = report.said_of(probes, report.notes)
why = notes["about"] == report.REASON
if probes:
    page.sentence("notes", points=report.as_lists(notes[~why]))

# %% [markdown] tags=["folded"]
# ## Reasons

# %%
if probes:
    page.sentence("reasons", points=report.as_lists(notes[why]))

# %% [markdown] tags=["folded"]
# ## More numbers and pictures

# %%
levels = {name: report.level_in_words(m) for name, m in measured.items()}
rows = ({"model": name, "how_trained": levels[name]} | row for name, row in said.items())
page.table("numbers", rows)
page.figure("kurtosis", figures.kurtosis(measured) if probes else None)
page.figure("heat-map", figures.heat_maps(measured) if probes else None)
heads = {name: m for name, m in measured.items() if "importance" in m.values}
page.figure(
    "importance",
    figures.importance(heads, PRIVILEGED_THRESHOLD) if heads else None,
    threshold=PRIVILEGED_THRESHOLD,
)

# %% [markdown] tags=["folded"]
# ## Models with another last layer

# %%
page.table("recorded-others", report.among_recorded(probes, alike=False), "recorded")

# %% [markdown] tags=["folded"]
# ## How it was judged

# %%
page.texts(rules=HOW_JUDGED)

# %% [markdown] tags=["book"]
# ## What is missing

# %% tags=["remove-input", "book"]
if failed:
    page.texts(unusable=unusable(failed))
page.texts(not_measured=absent_models(missing) or "Every model was probed.")
