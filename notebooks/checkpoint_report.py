# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [reader, pocket]
#     features: true
#     reads:
#     - data/imagenet/sets.yaml
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

from analysis.families.registry import load_family
from analysis.features.store import StoreError
from companion import probe_store
from companion.measurements import records, take
from companion.probe import KURTOSIS_THRESHOLD, ProbeError, named, percent, recorded_of
from companion.publish import charts, style, words
from companion.publish.words import digits

backbone = load_family(family)
recorded = recorded_of(records.read_all("outlier_features"))
probes, missing, failed = {}, [], []
for model in backbone.models:
    sets = take.data_sets(model)
    wanted = data or (sets[0] if sets else "")
    if wanted not in sets:
        missing.append(model)
        continue
    try:
        probes[model.name] = probe_store.from_store(model, wanted, recorded)
    except (ProbeError, StoreError) as error:
        failed.append(str(error))
TITLES = {model.name: model.title for model in backbone.models}
sets = sorted({found.about["data"]["name"] for found in probes.values()})


def listed(sentences: dict) -> str:
    """A list of sentences, each with the models that it is about unless that is all of them."""
    return "\n".join(
        f"- {sentence}" + ("" if len(who) == len(probes) else f" *{'; '.join(who)}*")
        for sentence, who in sentences.items()
    )


# %% [markdown]
# ## Verdicts

# %%
if probes:
    style.table(
        "verdicts",
        pd.DataFrame(
            {
                "model": [TITLES[name] for name in probes],
                "outlier features": [found.verdict.answer for found in probes.values()],
                "κ": [
                    f"{digits(f.kurtosis.mean)} ({digits(f.kurtosis.interval.low)} to "
                    f"{digits(f.kurtosis.interval.high)})"
                    for f in probes.values()
                ],
                "outliers": [named(found) for found in probes.values()],
                "persistence": [percent(f.persistence.fraction) for f in probes.values()],
                "last layer": [found.layer.kind for found in probes.values()],
            }
        ),
        caption=f"""The verdicts on {backbone.title}, from features of `{"`, `".join(sets)}`. κ:
        mean activation kurtosis with its 95 % interval; a Gaussian gives 3. Outliers: coordinates
        at least {next(iter(probes.values())).outlier_threshold:g} times as large as the mean
        coordinate. Persistence: how often the commonest largest coordinate is the largest.""",
        evidence="live",
    )
    answers = {}
    for name, found in probes.items():
        said = found.verdict.sentence.replace(found.name, "each model")
        answers.setdefault(said[0].upper() + said[1:], []).append(TITLES[name])
    style.text("sentences", listed(answers))

# %%
if probes:
    cautions = {}
    for name, found in probes.items():
        for caution in found.verdict.cautions:
            cautions.setdefault(caution, []).append(TITLES[name])
    style.text("cautions", listed(cautions))

# %% [markdown]
# ## Kurtosis

# %%
if probes:
    shown = {TITLES[name]: found for name, found in probes.items()}
    style.figure(
        "kurtosis",
        charts.kurtosis(shown, KURTOSIS_THRESHOLD),
        "live",
        f"""The activation kurtosis of single images. Vertical lines: the Gaussian's 3, the
        {KURTOSIS_THRESHOLD:g} from which κ counts as far above it here (dashed).""",
    )

# %% [markdown]
# ## Profiles

# %%
if probes:
    threshold = next(iter(probes.values())).outlier_threshold
    style.figure(
        "profile",
        charts.profiles(shown, threshold),
        "live",
        f"""How large each coordinate is on average over images, relative to the mean
        coordinate (1, thin line). Dashed: {threshold:g}, from where it counts as an outlier.""",
    )

# %% [markdown]
# ## Last layer and number of images

# %%
if probes:
    style.table(
        "numbers",
        pd.DataFrame(
            {
                "model": [TITLES[name] for name in probes],
                "negative (%)": [f"{100 * f.layer.negatives:.1f}" for f in probes.values()],
                "images": [found.images for found in probes.values()],
                "needed": [found.images_needed for found in probes.values()],
                "privileged": [
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
        caption="""Negative: share of all components, about a half where a layer is signed and none
        behind a ReLU. Needed: images for a 95 % interval of κ of ± 5 %, from the variance over
        these. Privileged: directions at least 10 times as important as the mean one. Largest
        importance: times the mean; in brackets with the head centred.""",
        evidence="live",
    )

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
problems = words.unusable(failed)
if problems:
    style.text("unusable", problems)
text = "Every model of this family was probed."
if missing:
    names = "\n".join(f"- {TITLES[model.name]}" for model in missing)
    text = (
        "::::{admonition} Not measured yet\n:class: not-measured\n"
        f"The store has no features of {data or 'any images'} by these models:\n\n{names}\n\n"
        f"```console\n$ companion extract {family} --data FOLDER\n```\n::::"
    )
style.text("not-measured", text)
