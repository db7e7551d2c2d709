# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [reader, pocket]
#     features: true
#     reads:
#     - data/measurements/outlier_features/*.json
# ---

# %% [markdown]
# # Probe report
#
# What `companion probe` says about each model of this family, from the features in the store:
# whether there is the sign of robustness that the paper found. How to read it, and what it cannot
# tell, is on the page {doc}`/guide/probe`.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the family in front
data: str = ""  # the data set whose features are looked at; empty: the first one in the store

# %%
import pandas as pd

from analysis import evidence, figures, measurements, probe_figures, probe_store, reporting
from analysis.probe import ProbeError, percent, recorded_of
from analysis.registry import load_family
from analysis.reporting import digits
from analysis.store import StoreError

backbone = load_family(family)
recorded = recorded_of(measurements.read_all("outlier_features"))
probes, missing, failed = {}, [], []
for model in backbone.models:
    sets = evidence.data_sets(model)
    wanted = data or (sets[0] if sets else "")
    if wanted not in sets:
        missing.append(model)
        continue
    try:
        probes[model.name] = probe_store.from_store(model, wanted, recorded)
    except (ProbeError, StoreError) as error:
        failed.append(str(error))
TITLES = {model.name: reporting.model_title(model) for model in backbone.models}
sets = sorted({found.about["data"]["name"] for found in probes.values()})


def each(what) -> str:
    """A list with an item for each probed model."""
    return "\n".join(f"- *{TITLES[name]}*: {what(found)}" for name, found in probes.items())


# %% [markdown]
# ## Verdicts

# %%
if probes:
    figures.table(
        pd.DataFrame(
            {
                "model": [TITLES[name] for name in probes],
                "outlier features": [found.verdict.answer for found in probes.values()],
                "κ": [
                    f"{digits(f.kurtosis.mean)} ({digits(f.kurtosis.interval.low)} to "
                    f"{digits(f.kurtosis.interval.high)})"
                    for f in probes.values()
                ],
                "outliers": [probe_figures.named(found) for found in probes.values()],
                "persistence": [percent(f.persistence.fraction) for f in probes.values()],
                "last layer": [found.layer.kind for found in probes.values()],
                "images": [found.images for found in probes.values()],
            }
        ),
        name="verdicts",
        caption=f"""The verdicts on {backbone.title}, from features of {", ".join(sets)}. κ: mean
        activation kurtosis with its 95 % interval; a Gaussian gives 3. Outliers: coordinates at
        least {next(iter(probes.values())).outlier_threshold:g} times as large as the mean
        coordinate. Persistence: how often the commonest largest coordinate is the largest.""",
        evidence="live",
    )
    # fmt: off
    figures.text("sentences", each(lambda found: found.verdict.sentence.replace(
        found.name, "this model"
    )))
    # fmt: on

# %%
if probes:
    cautions = dict.fromkeys(c for found in probes.values() for c in found.verdict.cautions)
    who = {
        c: [TITLES[name] for name, found in probes.items() if c in found.verdict.cautions]
        for c in cautions
    }
    figures.text(
        "cautions",
        "\n".join(
            f"- {caution}" + ("" if len(own) == len(probes) else f" ({'; '.join(own)})")
            for caution, own in who.items()
        ),
    )

# %% [markdown]
# ## Kurtosis

# %%
if probes:
    drawing = probe_figures.draw_kurtosis({TITLES[n]: found for n, found in probes.items()})
    figures.show(drawing.figure, "kurtosis", drawing.caption, drawing.alt, "recorded, live")

# %% [markdown]
# ## Profiles

# %%
if probes:
    drawing = probe_figures.draw_profile({TITLES[n]: found for n, found in probes.items()})
    figures.show(drawing.figure, "profile", drawing.caption, drawing.alt, "live")

# %% [markdown]
# ## Last layer and number of images

# %%
if probes:
    figures.text("layers", each(lambda found: found.layer.how))
    figures.table(
        pd.DataFrame(
            {
                "model": [TITLES[name] for name in probes],
                "images": [found.images for found in probes.values()],
                "needed": [found.images_needed for found in probes.values()],
                "directions privileged": [
                    "no head" if f.head is None else f"{f.head.privileged} of {f.head.directions}"
                    for f in probes.values()
                ],
                "largest importance": [
                    "no head"
                    if f.head is None
                    else f"{digits(f.head.top)} ({digits(f.head.top_centred)})"
                    for f in probes.values()
                ],
            }
        ),
        name="numbers",
        caption="""Needed: images for a 95 % interval of κ of ± 5 %, from the variance over these.
        Privileged: directions at least 10 times as important as the mean one. Largest importance:
        times the mean; in brackets with the head centred.""",
        evidence="live",
    )

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
problems = reporting.unusable(failed)
if problems:
    figures.text("unusable", problems)
figures.text(
    "not-measured",
    reporting.not_measured(
        backbone, missing, f"Features of {data or 'any images'}", "outlier_features"
    )
    or "Every model of this family was probed.",
)
