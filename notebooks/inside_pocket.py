# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     editions: [pocket]
#     features: true
#     reads:
#     - data/claims.yaml
#     - data/emoji/emoji.zip
#     - data/imagenet/sets.yaml
#     - data/measurements/outlier_features/*.json
#     - data/measurements/privileged_directions/*.json
#     - data/measurements/pruning_under_shift/*.json
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
#     - families/*.yaml
# ---

# %% [markdown]
# # Inside the pocket models
#
# What the pocket lab's models say about outlier features, privileged directions and pruning, over
# both backbones. The pages {doc}`/outlier_features`, {doc}`/privileged_directions` and
# {doc}`/pruning` show these results and explain them. No sentence here decides a claim of the
# paper: the scale is another one.

# %% tags=["parameters"]
edition: str = "pocket"  # which families
outlier_threshold: float = 6.0  # times the mean coordinate: from there a coordinate is an outlier
near_gaussian: float = 6.0  # mean kurtosis below which one counts as close to the Gaussian's 3
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged
pruned_share: float = 0.8  # share of directions pruned in the claim

# %%
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.families.registry import Family, Model, load_families
from analysis.metrics.pruning import Sweep
from companion.claims.cards import beside
from companion.claims.evidence import Cuts, gather
from companion.claims.ledger import load_claims
from companion.claims.rules import RULES
from companion.measurements import pocket_robustness
from companion.measurements.due import TRAINING, unusable
from companion.measurements.measures import RESAMPLES, SEED, sweeps_of
from companion.measurements.records import Measurement, available
from companion.publish import dots, style, words
from companion.publish.words import digits

MEASURED = ("outlier_features", "privileged_directions", "pruning_under_shift")
LABELS = (
    "kurtosis", "indicator", "control", "importance", "directions", "pruning", "pruning-80",
    "coverage", "K-zero-shot", "K-others", "K-captions", "K-indicator", "D-privileged", "P-80",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """All that is measured of one model; `sweep` prunes by importance, unseen styles as shifts."""

    family: Family
    model: Model
    outliers: Measurement
    directions: Measurement
    sweep: Sweep

    @property
    def level(self) -> str:
        return self.model.level

    @property
    def title(self) -> str:
        return self.model.title

    @property
    def kurtosis(self) -> float:
        return self.outliers.value("kurtosis_mean")

    @property
    def persistence(self) -> float:
        return self.outliers.value("persistence_fraction")

    @property
    def importance(self) -> float:
        return self.directions.value("importance").max()

    @property
    def robustness(self) -> tuple[float, float, float]:
        """Effective robustness with all directions, and its 95 % interval."""
        ends = (self.sweep.curves, self.sweep.low, self.sweep.high)
        return tuple(float(end.robustness[-1]) for end in ends)

    @property
    def rank(self) -> int:
        return len(self.sweep.curves.inside)

    @property
    def kept(self) -> int:
        """How many directions are left with the claim's share pruned."""
        return round((1 - pruned_share) * self.rank)

    def change(self, quantity: str) -> tuple[float, float, float]:
        """What pruning the claim's share changes, and its 95 % interval."""
        ends = (self.sweep.change, self.sweep.change_low, self.sweep.change_high)
        return tuple(float(getattr(end, quantity)[self.kept - 1]) for end in ends)


def measure(family: Family) -> list[Found]:
    """Those models of a family of which everything can be measured."""
    by_model = {}
    for experiment in MEASURED:
        for m in available(experiment, family, [TRAINING, "pocket"]):
            by_model[experiment, m.model] = m
    models = [m for m in family.models if ("pruning_under_shift", m.name) in by_model]
    return [
        Found(
            family,
            model,
            by_model["outlier_features", model.name],
            by_model["privileged_directions", model.name],
            sweeps_of(by_model["pruning_under_shift", model.name])["importance"],
        )
        for model in models
    ]


families = load_families(edition)
found = [one for family in families.values() for one in measure(family)]
everything = sum(len(family.models) for family in families.values())
ready = len(found) == everything
if not ready:
    commands = " and ".join(f"`companion extract {name} --data pocket`" for name in families)
    absent = (
        f"Not measured in this build: features of {everything - len(found)} of the {everything} "
        f"pocket models are missing (`pip install -e '.[extract]'`, then {commands})."
    )
    for label in LABELS:
        style.text(label, absent)
problems = [p for family in families.values() for p in unusable(family)]
if problems:
    style.text("unusable", words.unusable(problems))


def at(*levels: str) -> list[Found]:
    """The models at some levels."""
    return [one for one in found if one.level in levels]


def span(values: list[float], unit: str = "") -> str:
    """Lowest to highest with three digits, or the one value."""
    low, high = (digits(end) for end in (min(values), max(values)))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def signed(value: tuple[float, float, float], joint: str = " to ") -> str:
    """A difference with its interval, in points."""
    return words.with_interval(*value, joint)


def full(one: Found) -> str:
    """Backbone and model."""
    return f"{one.family.title}, {one.title}"


def short(one: Found) -> str:
    """Backbone and model, for tables and axes of pocket models alone."""
    return full(one).removeprefix("Pocket ")


trained = [one for one in found if one.level != "random"]
random = at("random")

if ready:
    style.text("coverage", f"all {everything} models of both backbones")

# %% [markdown]
# ## Outlier features

# %%
if ready:
    style.table(
        "kurtosis",
        pd.DataFrame(
            {
                "model": [short(one) for one in found],
                "κ": [words.kurtosis(one.outliers) for one in found],
                "largest": [digits(one.outliers.value("profile").max()) for one in found],
                "persistence (%)": [f"{100 * one.persistence:.1f}" for one in found],
                "ER (points)": [
                    signed(one.robustness, ", ") if one.level != "random" else "n/a"
                    for one in found
                ],
            }
        ),
        caption=f"""Activation kurtosis and robustness of the pocket models. κ: mean over the
        {found[0].outliers.counts["images"]} test emoji of the training style ± 95 % interval of
        that mean (other styles: on the page of each backbone). Largest: the highest
        coordinate of the activation profile, times the mean coordinate; an outlier from
        {outlier_threshold:g} on. Persistence:
        how often the commonest largest coordinate leads. ER: effective robustness on the unseen
        styles, with its 95 % interval; of random weights it says nothing.""",
        evidence="recorded, live",
    )

# %%
if ready:
    style.figure(
        "indicator",
        dots.scatter(
            {
                family.title: [
                    dots.Marks(
                        one.title,
                        one.level,
                        one.kurtosis,
                        *one.robustness,
                        look="hollow" if one.model.name.endswith("web-small") else "filled",
                    )
                    for one in trained
                    if one.family is family
                ]
                for family in families.values()
            },
            "effective robustness, unseen styles (points)",
            "activation kurtosis κ",
            line=3,
        ),
        "recorded, live",
        f"""Would κ tell which pocket model is robust? Effective robustness on the unseen
        styles against κ. Bars: 95 % of {RESAMPLES} resamples (seed {SEED}) of the test concepts and
        of the baseline's pool. Dashed: the Gaussian's 3. One seed of training.""",
    )

# %%
if ready:
    leading, led = (
        " to ".join(f"{100 * end([one.persistence for one in some]):.1f} %" for end in (min, max))
        for some in (random, trained)
    )
    style.text(
        "control",
        f"With random weights one coordinate leads in {leading} of the images, in "
        f"trained models in {led}. κ of the random weights is "
        f"{span([one.kurtosis for one in random])} all the same: persistence without a high κ is "
        "no outlier feature.",
    )

# %% [markdown]
# ## Privileged directions

# %%
if ready:
    style.figure(
        "importance",
        dots.rows(
            {
                family.title: [
                    dots.Row(
                        one.title,
                        one.level,
                        one.importance,
                        other=one.directions.value("importance_head_centred")[0],
                    )
                    for one in found
                    if one.family is family
                ]
                for family in families.values()
            },
            "largest importance (times the mean)",
            (1, privileged_threshold),
        ),
        "live",
        f"""The most important direction of each pocket model relative to the mean
        importance (filled), and once the mean row is subtracted from the head, which changes no
        prediction (hollow). Lines: the mean, and {privileged_threshold:g} times the mean.""",
    )

# %%
if ready:
    tops = [one.directions.value("top_direction") for one in found]
    by_chance = np.sqrt(2 / (np.pi * found[0].directions.counts["components"]))
    style.table(
        "directions",
        pd.DataFrame(
            {
                "model": [short(one) for one in found],
                "importance": [digits(one.importance) for one in found],
                "centred": [
                    digits(one.directions.value("importance_head_centred")[0]) for one in found
                ],
                "cos with images": [
                    f"{one.directions.value('cosine_with_images')[top]:.3f}"
                    for one, top in zip(found, tops, strict=True)
                ],
                "with mean image": [
                    f"{one.directions.value('top_with_mean'):.3f}" for one in found
                ],
                "with mean head row": [
                    f"{one.directions.value('top_with_head_mean'):.3f}" for one in found
                ],
            }
        ),
        caption=f"""The most important direction of each pocket model: its importance over the mean,
        as the head is and with the head centred; its |cos| with images (mean over images; a random
        direction has about {by_chance:.3f}), with the mean image and with the head's mean row.
        Heads have {found[0].directions.counts["classes"]} classes, so there are at most as many
        directions.""",
        evidence="live",
    )

# %% [markdown]
# ## Pruning

# %%
if ready:
    style.figure(
        "pruning",
        dots.rows(
            {
                panel: [
                    dots.Row(short(one), one.level, *(100 * v for v in one.change(quantity)))
                    for one in trained
                ]
                for panel, quantity in (
                    ("accuracy, training style", "inside"),
                    ("ER, unseen styles", "robustness"),
                )
            },
            "change (points)",
        ),
        "recorded, live",
        f"""What pruning the least important {100 * pruned_share:g} % of the directions
        costs ({found[0].kept} of {found[0].rank} kept): change from the whole head of accuracy in
        the training style, and of effective robustness on the unseen styles. Bars: 95 % of
        {RESAMPLES} resamples (seed {SEED}) of the test concepts and of the baseline's pool, paired
        within each resample.""",
    )

# %%
if ready:
    extrapolated = pocket_robustness.pool("unseen")["imagenet"].min()
    style.table(
        "pruning-80",
        pd.DataFrame(
            {
                "model": [short(one) for one in trained],
                "accuracy (%)": [
                    f"{style.percent(one.sweep.curves.inside[-1])} → "
                    + style.percent(one.sweep.curves.inside[one.kept - 1])
                    + (" (*)" if one.sweep.curves.inside[one.kept - 1] < extrapolated else "")
                    for one in trained
                ],
                "change": [signed(one.change("inside"), ", ") for one in trained],
                "change of ER": [signed(one.change("robustness"), ", ") for one in trained],
            }
        ),
        caption=f"""Accuracy in the training style with all directions and pruned to the
        {found[0].kept} most important ones of {found[0].rank}; what pruning changes of it and of
        effective robustness on the unseen styles, in points, with the 95 % interval in brackets.
        (*): less accurate than every model
        of the baseline's pool ({style.percent(extrapolated)} %), so that the baseline is
        extrapolated and ER says little.""",
        evidence="recorded, live",
    )

# %% [markdown]
# ## The claims at this scale
#
# Judged by the same rules as the paper's models.

# %%
if ready:
    claims = load_claims()
    cuts = Cuts(near_gaussian, outlier_threshold, privileged_threshold)
    evidence = gather(edition, cuts=cuts, experiments=MEASURED)
    for name in LABELS[LABELS.index("K-zero-shot") :]:
        style.text(name, beside(claims[name], RULES[name](claims[name], evidence), evidence))
