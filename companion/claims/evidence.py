"""What verdicts rest on: measurements and accuracies, gathered from disk.

The rules judge an `Evidence` and read nothing themselves. The paper's models and the pocket lab
differ in what is gathered here, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Edition, Family, Level, Model, load_families
from analysis.metrics.concept_counts import CountName
from analysis.metrics.directions import PRIVILEGED_THRESHOLD
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from analysis.metrics.robustness import (
    NORMAL_95,
    REACH,
    REACHES,
    effective_robustness,
    is_robust,
    matched_excess,
    robust_at_every_reach,
)
from companion.claims.ledger import Aside, ClaimError, Number, Scope, numbers
from companion.measurements import accuracies, records
from companion.measurements.effective_robustness import (
    View,
    effective,
    fit_choices,
    of_measured,
    resampled_lab,
    view,
)
from companion.measurements.intervals import Interval
from companion.measurements.measurement import IMAGENETS_CLASSES, Measurement
from companion.measurements.measures import RESAMPLES, SEED
from companion.measurements.quantities import Measurable, Measured
from companion.measurements.records import TRAINING

#: Distinct images from which on a mean over images has an interval that a verdict may rest on: κ is
#: skewed, and of fewer the interval of its mean misses the truth too often.
LEAST_IMAGES = 100


class Robustness(NamedTuple):
    """Effective robustness of one model, and how far it lies above ordinary models of its accuracy.

    ``view``: on which shifts; ``excess``: above what ordinary models of equal accuracy are expected
    to have, NaN where too few are known; ``limit``: the largest excess that counts as ordinary;
    ``ordinary_models``: how many were compared; ``robust``: the answer, None if it is not known;
    ``answers``: the same with ordinary models within each of `REACHES`.
    """

    er: Interval
    view: str
    excess: Interval
    limit: float
    ordinary_models: int
    robust: bool | None
    answers: tuple[bool | None, ...] = ()


@dataclass(frozen=True)
class Cuts:
    """Where this book draws lines that the paper leaves open.

    ``near_gaussian``: the mean kurtosis below which one counts as close to the Gaussian's 3, and
    from which on as far above it; ``far_above``: the ratio of two mean kurtoses from which on one
    is far above the other; ``outlier``: times the mean coordinate, from there a coordinate is an
    outlier; ``privileged``: times the mean importance, from there a direction is privileged;
    ``margin``: the largest loss of accuracy that pruning may cost and still count as none.
    """

    near_gaussian: float = 6.0
    far_above: float = 2.0
    outlier: float = OUTLIER_THRESHOLD
    privileged: float = PRIVILEGED_THRESHOLD
    margin: float = 0.01


@dataclass(frozen=True)
class Evidence:
    """What is known about some families' models.

    ``measurements`` may be of models of ``others``, too, which are shown and excluded from
    verdicts. ``robustness``: view → one row per checkpoint with family, name, level, pretraining,
    er, low and high (ends of the 95 % interval), in fractions, and the columns that
    `beside_ordinary` adds; values of two views are never compared. ``fits``: constants of the
    baseline under every choice that the paper leaves open. ``misread``: effective robustness of
    models (as in a view) under an activation that they were not trained with. ``elsewhere``: that
    of models that other papers trained on the backbones, on five shifts. ``reference``: the
    data set that claims are about; ``probe``: that of concepts; ``counts``: which of their counts.
    """

    families: Mapping[str, Family]
    measurements: Sequence[Measurement] = ()
    robustness: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    fits: pd.DataFrame = field(default_factory=pd.DataFrame)
    misread: pd.DataFrame = field(default_factory=pd.DataFrame)
    elsewhere: pd.DataFrame = field(default_factory=pd.DataFrame)
    reference: str = "imagenet"
    probe: str = "broden"
    counts: CountName = "unique"
    cuts: Cuts = Cuts()
    others: Mapping[str, Family] = field(default_factory=dict)

    def at(self, *levels: Level) -> list[Model]:
        """The families' models at some levels, in the order of the levels; one checkpoint each."""
        every = self.families.values()
        models = [m for level in levels for family in every for m in family.at_level(level)]
        return [model for model in models if model.is_one]

    def scope(self, *levels: Level) -> Scope:
        """What a claim about all models of some levels speaks of."""
        return Scope(len(self.at(*levels)), whole=all(map(self.at, levels)))

    @cached_property
    def models(self) -> dict[str, Model]:
        """All models of the families by name."""
        return {m.name: m for family in self.families.values() for m in family.models}

    def aside(self, *measurements: Measurement) -> Aside | None:
        """Why a case that rests on these measurements is excluded from the verdict, if it is."""
        if any(m.provenance.inferred for m in measurements):
            return "inferred"
        return "stand-in" if any(self.models[m.model].stand_in for m in measurements) else None

    def other_task(self, measurement: Measurement) -> Aside | None:
        """Whether a head is for another task than the one that claims are about.

        It is for that one, whatever the images, if its list of classes is ImageNet's; having 1,000
        rows is not enough.
        """
        classes = measurement.provenance.head_classes
        in_task = measurement.data.name == self.reference or classes == IMAGENETS_CLASSES
        return None if in_task else "another task"

    def measured(self, experiment: Measured, *levels: Level) -> list[Measurement]:
        """Measurements of some levels' models that saw every single image of a whole data set.

        Fewer than `LEAST_IMAGES` distinct images measure nothing. If a model was measured on the
        data set that claims are about, only that measurement counts.
        Features before the projection are left out: see `zero_shot_at_layer`.
        """
        sound = [
            m
            for level in levels
            for m in self.measurements
            if (m.experiment, m.level) == (experiment, level)
            and m.family in self.families
            and not self.models[m.model].own_layer
            and "captions" not in m.data.name
            and m.data.is_whole
            and m.distinct_images >= LEAST_IMAGES
        ]
        on_reference = {m.model for m in sound if m.data.name == self.reference}
        return [m for m in sound if m.data.name == self.reference or m.model not in on_reference]

    def control(self, measurement: Measurement) -> list[Measurement]:
        """The same measurement of the same backbone with random weights: one, or none."""
        same = (measurement.family, measurement.data.name)
        drawn = self.measured(measurement.experiment, "random")
        return [m for m in drawn if (m.family, m.data.name) == same]

    def zero_shot_at_layer(self, measurement: Measurement) -> list[Measurement]:
        """The same of zero-shot models of the backbone, before the projection, on the same images.

        Empty for a model that does not end at that layer. With a finetuned model those of the same
        pretraining.
        """
        model = self.models[measurement.model]
        same = (measurement.experiment, measurement.family, measurement.data, "zero_shot")
        return [
            m
            for m in self.measurements
            if (m.experiment, m.family, m.data, m.level) == same
            and (other := self.models[m.model]).own_layer
            and other.layer == model.layer
            and (model.level != "finetuned" or other.pretraining == model.pretraining)
        ]

    def on_reference(self, measured: Sequence[Measurement]) -> int:
        """How many measurements are of the data set that claims are about."""
        return sum(m.data.name == self.reference for m in measured)

    def pairs(self, higher: Level, lower: Level) -> list[tuple[Model, Model]]:
        """Models of two levels of one backbone that are compared, of one checkpoint each.

        A finetuned model is compared with those of its own pretraining set, any other with all.
        """
        return [
            (first, other)
            for family in self.families.values()
            for first in family.at_level(higher)
            for other in family.at_level(lower)
            if first.is_one and other.is_one
            if lower != "finetuned" or first.pretraining == other.pretraining
        ]

    @cached_property
    def concepts(self) -> dict[str, Measurement]:
        """Model → its measurement of the probe's concepts."""
        every = self.measured("concepts", *get_args(Level))
        return {m.model: m for m in every if m.data.name == self.probe}

    @cached_property
    def by_view(self) -> dict[str, dict[str, Robustness]]:
        """View → model → its effective robustness there, of those that are one checkpoint."""
        return {
            view: {
                row["name"]: Robustness(
                    Interval(*(row[end] for end in ("er", "low", "high"))),
                    view,
                    Interval(*(row[f"excess{end}"] for end in ("", "_low", "_high"))),
                    *(row[rest] for rest in ("limit", "ordinary_models", "robust", "answers")),
                )
                for row in rows.drop_duplicates("name", keep=False).to_dict("records")
            }
            for view, rows in self.robustness.items()
        }

    @cached_property
    def robust(self) -> dict[str, Robustness]:
        """Model → its effective robustness on all shifts, on four where nothing else is known.

        Own accuracies go before published ones, and before all of these the views in which it is
        known what ordinary models reach.
        """
        order = sorted(self.by_view, key=lambda view: view != "four")
        every = [each for view in order for each in self.by_view[view].items()]
        return dict(every) | {name: model for name, model in every if not np.isnan(model.limit)}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Model → effective robustness on all shifts, of those that are one checkpoint."""
        views = (models for view, models in self.by_view.items() if view != "four")
        return {name: model.er for models in views for name, model in models.items()}


def numbers_of(measurement: Measurement, **values: Any) -> tuple[Number, ...]:
    """Numbers by their names, of one measurement, whose quantities have its units there."""
    units = {name: quantity.unit for name, quantity in measurement.values.items()}
    return numbers(measurement.model, measurement.data.name, units, **values)


#: What claims are about in the pocket lab: the test emoji of the training style, and all styles'.
#: Few concepts reach the paper's threshold there.
POCKET: dict[str, Any] = {"reference": TRAINING, "probe": "pocket", "counts": "lower"}


def gather(
    edition: Edition = "paper",
    folder: Path | None = None,
    experiments: Collection[Measurable] = get_args(Measurable),
) -> Evidence:
    """All that is known about an edition's models now, live (next to stored features) or recorded.

    ``folder``: judge the measurements recorded there instead of those of `data/measurements`, and
    nothing live. ``experiments``: look at these only. Raises ClaimError if the
    folder holds no measurements.
    """
    if folder is not None and not any((folder / name).is_dir() for name in get_args(Measurable)):
        raise ClaimError(
            f"{folder} is not a folder of measurements: give one that is laid out like "
            "data/measurements, with a folder for each experiment."
        )
    families, others = load_families(edition), load_families("contrast")
    taken = [
        m
        for family in (families | others).values()
        for experiment in experiments
        for m in (
            records.read_all(experiment, family.name, folder)
            if folder
            else records.available(experiment, family)
        )
    ]
    if edition == "pocket":
        taken = [m for m in taken if m.data.name in (TRAINING, POCKET["probe"])]
        every = on_unseen_styles(families, RESAMPLES, SEED)
        shipped = every[every["seed"] == 0].reset_index(drop=True)
        return Evidence(families, taken, {"unseen": shipped}, others=others, **POCKET)
    five, four = view("five"), view("four")
    table = accuracies.known(families.values())
    robustness = {
        "five": beside_ordinary(five.models(table), five),
        "four": beside_ordinary(four.models(table), four),
        "own": beside_ordinary(of_measured(families, taken), five),
    }
    elsewhere = effective(accuracies.elsewhere(families.values()), accuracies.FIVE_SHIFTS)
    known = (fit_choices(), _misread(families), elsewhere)
    return Evidence(families, taken, robustness, *known, others=others)


def on_unseen_styles(families: Mapping[str, Family], resamples: int, seed: int) -> pd.DataFrame:
    """Effective robustness of every seed of the pocket lab's models on unseen styles."""
    unseen = view("unseen")
    models = unseen.models(accuracies.pocket(families.values()))
    drawn = resampled_lab(unseen, models, resamples, seed).values()
    low, high = np.percentile(np.hstack([np.empty((resamples, 0)), *drawn]), [2.5, 97.5], axis=0)
    return beside_ordinary(models.assign(low=low, high=high), unseen)


def evidence_of_family(family: Family, measurements: Iterable[Measurement]) -> Evidence:
    """What is known about one family alone, on the images that its edition's claims are about."""
    scope = POCKET if family.edition == "pocket" else {}
    return Evidence({family.name: family}, list(measurements), **scope)


def beside_ordinary(models: pd.DataFrame, view: View) -> pd.DataFrame:
    """Compare models of a view (with `imagenet`) with ordinary models of equal accuracy.

    On the paper's four shifts, ordinary models are timm's models trained on ImageNet alone;
    elsewhere, or where these are too few, the models that the baseline is fitted to. Adds what
    `Robustness` has, with the excess and its interval in columns `excess`, `excess_low` and
    `excess_high`.
    """
    pools = [view.pool]
    if view.shifts == accuracies.FOUR_SHIFTS:
        modern = accuracies.wide(accuracies.load(), accuracies.CLIP_V2, view.shifts)
        kept = (modern["source"] == "timm") & (modern["level"] == "supervised")
        pools.insert(0, modern[kept])
    answers = []
    for reach in REACHES:
        tables = pd.concat([_matched(models, pool, view, reach) for pool in pools])
        with_limit = tables[tables["limit"].notna()]
        matched = with_limit[~with_limit.index.duplicated()].reindex(models.index)
        ends = matched[["excess_low", "excess_high", "limit"]].to_numpy().tolist()
        answers.append([is_robust(*each) for each in ends])
        if reach == REACH:
            models = models.join(matched.fillna({"ordinary_models": 0}))
    models["answers"] = list(zip(*answers, strict=True))
    robust = [robust_at_every_reach(each, REACHES.index(REACH)) for each in models["answers"]]
    return models.assign(robust=pd.Series(robust, models.index, dtype=object))


def _matched(models: pd.DataFrame, pool: pd.DataFrame, view: View, reach: float) -> pd.DataFrame:
    """The excess of models over ordinary models of a pool, at one reach.

    The interval adds the model's own and the fit's error, taken as independent.
    """
    er = effective_robustness(pool["shifted"], pool["imagenet"], view.reference)
    matched = matched_excess(models["imagenet"], models["er"], pool["imagenet"], er, reach)
    below, above = (
        np.hypot(apart, NORMAL_95 * matched.error)
        for apart in (models["er"] - models["low"], models["high"] - models["er"])
    )
    columns = {
        "excess": matched.excess,
        "excess_low": matched.excess - below,
        "excess_high": matched.excess + above,
        "limit": matched.limit,
        "ordinary_models": matched.models.astype(float),
    }
    return pd.DataFrame(columns, models.index)


def _misread(families: Mapping[str, Family]) -> pd.DataFrame:
    """Effective robustness of weights trained with QuickGELU that were evaluated with GELU."""
    table = accuracies.load()
    wrong = table[table["defect"].str.contains("QuickGELU")]
    meant = wrong.assign(model=wrong["model"] + accuracies.GELU, defect="")
    models = effective(accuracies.published(families.values(), meant), accuracies.FIVE_SHIFTS)
    return models.sort_values("name")[["name", "er"]]
