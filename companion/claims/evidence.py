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
from analysis.images.imagelist import is_whole
from analysis.metrics.concept_counts import Quantity
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
from companion.claims.ledger import Aside, ClaimError, Interval, Number, numbers
from companion.measurements import accuracies, records
from companion.measurements.due import TRAINING
from companion.measurements.effective_robustness import (
    View,
    fit_choices,
    of_measured,
    resampled,
    view,
    with_interval,
)
from companion.measurements.measurement import IMAGENET, Measurement
from companion.measurements.measures import RESAMPLES, SEED
from companion.measurements.quantities import Experiment, Measured

#: Images from which on a mean over images has an interval that a verdict may rest on.
LEAST_IMAGES = 8


class Robustness(NamedTuple):
    """Effective robustness of one model, and how far it lies above ordinary models of its accuracy.

    ``view``: on which shifts; ``excess``: above what ordinary models of equal accuracy are expected
    to have, NaN where too few are known; ``limit``: the largest excess that counts as ordinary;
    ``ordinary_models``: how many were compared; ``robust``: the answer, None if it is not known.
    """

    er: Interval
    view: str
    excess: Interval
    limit: float
    ordinary_models: int
    robust: bool | None


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
    """What is known of some families' models.

    ``measurements`` may be of models of ``others``, too, which then stand beside them and decide
    nothing. ``robustness``: view → one row per checkpoint with family, name, level, pretraining,
    er, low and high (ends of the 95 % interval), in fractions, and the columns that
    `beside_ordinary` adds; values of two views are never compared. ``fits``: constants of the
    baseline under every choice that the paper leaves open. ``misread``: effective robustness of
    models (as in a view) under an activation that they were not trained with. ``reference``: the
    data set that claims are about; ``probe``: that of concepts; ``counts``: which of their counts.
    """

    families: Mapping[str, Family]
    measurements: Sequence[Measurement] = ()
    robustness: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    fits: pd.DataFrame = field(default_factory=pd.DataFrame)
    misread: pd.DataFrame = field(default_factory=pd.DataFrame)
    reference: str = "imagenet"
    probe: str = "broden"
    counts: Quantity = "unique"
    cuts: Cuts = Cuts()
    others: Mapping[str, Family] = field(default_factory=dict)

    def at(self, *levels: Level) -> list[Model]:
        """The families' models at some levels, in the order of the levels; one checkpoint each."""
        every = self.families.values()
        found = [m for level in levels for family in every for m in family.at_level(level)]
        return [model for model in found if model.is_one]

    @cached_property
    def models(self) -> dict[str, Model]:
        """All models of the families by name."""
        return {m.name: m for family in self.families.values() for m in family.models}

    def aside(self, *of: Measurement | Model) -> Aside | None:
        """Why a case that rests on these measurements or models decides nothing, if it does not."""
        inferred = (isinstance(one, Measurement) and one.provenance.inferred for one in of)
        if any(inferred):
            return "inferred"
        names = [one.model if isinstance(one, Measurement) else one.name for one in of]
        return "stand-in" if any(self.models[name].stand_in for name in names) else None

    def in_task(self, measurement: Measurement) -> bool:
        """Whether a head is for the task that claims are about, whatever the images.

        That is so if its list of classes is ImageNet's; having 1,000 rows is not enough.
        """
        on_reference = measurement.data.name == self.reference
        return on_reference or measurement.provenance.head_classes == IMAGENET

    def measured(self, experiment: Measured, *levels: Level) -> list[Measurement]:
        """Measurements of some levels' models that saw every single image of a whole data set.

        Fewer than `LEAST_IMAGES` images measure nothing. If a model was measured on the data set
        that claims are about, only that measurement counts.
        Features before the projection are left out: see `zero_shot_at_layer`.
        """
        found = [
            m
            for level in levels
            for m in self.measurements
            if (m.experiment, m.level) == (experiment, level)
            and m.family in self.families
            and not self.models[m.model].own_layer
            and "captions" not in m.data.name
            and is_whole(m.data.what)
            and m.counts["images"] >= LEAST_IMAGES
        ]
        known = {m.model for m in found if m.data.name == self.reference}
        return [m for m in found if m.data.name == self.reference or m.model not in known]

    def control(self, measurement: Measurement) -> list[Measurement]:
        """The same measurement of the same backbone with random weights: one, or none."""
        same = (measurement.family, measurement.data.name)
        found = self.measured(measurement.experiment, "random")
        return [m for m in found if (m.family, m.data.name) == same]

    def zero_shot_at_layer(self, measurement: Measurement) -> list[Measurement]:
        """The same of zero-shot models of the backbone, before the projection, on the same images.

        Empty for a model that does not end at that layer. With a finetuned model those of the same
        pretraining.
        """
        own = self.models[measurement.model]
        same = (measurement.experiment, measurement.family, measurement.data)
        return [
            m
            for m in self.measurements
            if (m.experiment, m.family, m.data, m.level) == (*same, "zero_shot")
            and (model := self.models[m.model]).own_layer
            and model.layer == own.layer
            and (own.level != "finetuned" or model.pretraining == own.pretraining)
        ]

    def on_reference(self, measured: Sequence[Measurement]) -> int:
        """How many of some measurements are of the data set that claims are about."""
        return sum(m.data.name == self.reference for m in measured)

    def partners(self, level: Level) -> list[tuple[Model, Model]]:
        """Each zero-shot model with the models of a level that it is compared with."""
        every = self.families.values()
        return [pair for family in every for pair in compared(family, "zero_shot", level)]

    @cached_property
    def concepts(self) -> dict[str, Measurement]:
        """Model → its measurement of the probe's concepts."""
        found = self.measured("concepts", *get_args(Level))
        return {m.model: m for m in found if m.data.name == self.probe}

    @cached_property
    def by_view(self) -> dict[str, dict[str, Robustness]]:
        """View → model → its effective robustness there, of those that are one checkpoint."""
        return {
            view: {
                row["name"]: Robustness(
                    Interval(row["er"], row["low"], row["high"]), view,
                    Interval(*(row[f"excess{end}"] for end in ("", "_low", "_high"))),
                    row["limit"], row["ordinary_models"], row["robust"],
                )
                for row in rows.drop_duplicates("name", keep=False).to_dict("records")
            }
            for view, rows in self.robustness.items()
        }  # fmt: skip

    @cached_property
    def robust(self) -> dict[str, Robustness]:
        """Model → its effective robustness on all shifts, on four where nothing else is known.

        Own accuracies go before published ones, and before all of these the views in which it is
        known what ordinary models reach.
        """
        order = sorted(self.by_view, key=lambda view: view != "four")
        every = [each for view in order for each in self.by_view[view].items()]
        return dict(every) | {name: own for name, own in every if not np.isnan(own.limit)}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Model → effective robustness on all shifts, of those that are one checkpoint."""
        views = (known for view, known in self.by_view.items() if view != "four")
        return {name: own.er for known in views for name, own in known.items()}


def compared(family: Family, higher: Level, lower: Level) -> list[tuple[Model, Model]]:
    """Models of two levels that are compared, of one checkpoint each.

    A finetuned model is compared with those of its own pretraining set, any other with all.
    """
    return [
        (one, other)
        for one in family.at_level(higher)
        for other in family.at_level(lower)
        if one.is_one and other.is_one
        if lower != "finetuned" or one.pretraining == other.pretraining
    ]


def numbers_of(measurement: Measurement, **values: Any) -> tuple[Number, ...]:
    """Numbers by their names, of one measurement: see `ledger.numbers`."""
    return numbers(measurement.model, measurement.data.name, **values)


#: What claims are about in the pocket lab: the test emoji of the training style, and all styles'.
#: Few concepts reach the paper's threshold there.
POCKET: dict[str, Any] = {"reference": TRAINING, "probe": "pocket", "counts": "lower"}


def gather(
    edition: Edition = "paper",
    folder: Path | None = None,
    cuts: Cuts = Cuts(),
    experiments: Collection[Experiment] = get_args(Experiment),
) -> Evidence:
    """All that is known of an edition's models now, live beside features in the store or recorded.

    ``folder``: judge the measurements recorded there instead of those of `data/measurements`, and
    nothing live. ``experiments``: look at these only. Raises ClaimError if the
    folder holds no measurements.
    """
    if folder is not None and not any((folder / one).is_dir() for one in get_args(Experiment)):
        raise ClaimError(
            f"{folder} is no folder of measurements: give one that holds them as data/measurements "
            "does, in a folder for each experiment."
        )
    families, others = load_families(edition), load_families("contrast")
    pocket = edition == "pocket"
    known = [
        m
        for family in (families | others).values()
        for experiment in experiments
        for m in (
            records.read_all(experiment, family.name, folder)
            if folder
            else records.available(experiment, family)
        )
        if not pocket or m.data.name in (TRAINING, POCKET["probe"])
    ]
    if pocket:
        unseen = view("unseen")
        models = unseen.models(accuracies.pocket(families.values()))
        every = with_interval(models, resampled(unseen, models, RESAMPLES, SEED))
        shipped = every[every["seed"] == 0].reset_index(drop=True)
        found = {"unseen": beside_ordinary(shipped, unseen)}
        return Evidence(families, known, found, cuts=cuts, others=others, **POCKET)
    return Evidence(
        families, known, _views(families, known), fit_choices(), _misread(families),
        cuts=cuts, others=others,
    )  # fmt: skip


def of_family(family: Family, measurements: Iterable[Measurement]) -> Evidence:
    """What is known of one family alone, of the images that its edition's claims are about."""
    scope = POCKET if family.edition == "pocket" else {}
    return Evidence({family.name: family}, list(measurements), **scope)


def beside_ordinary(models: pd.DataFrame, view: View) -> pd.DataFrame:
    """Models of a view (with `imagenet`), compared with ordinary models of equal accuracy.

    Ordinary are, on the paper's four shifts, timm's models that were trained on ImageNet alone;
    elsewhere, or where these are too few, the models that the baseline is fitted to. Adds what
    `Robustness` has, with the excess and its interval in columns `excess`, `excess_low` and
    `excess_high`, and for each of `REACHES` (0.05, say) the excess and the answer in columns
    `excess_0.05` and `robust_0.05`.
    """
    pools = [view.pool]
    if view.shifts == accuracies.FOUR_SHIFTS:
        modern = accuracies.wide(accuracies.load(), accuracies.CLIP_V2, view.shifts)
        kept = (modern["source"] == "timm") & (modern["level"] == "supervised")
        pools.insert(0, modern[kept])
    matched = {reach: _matched(models, pools, view, reach) for reach in REACHES}
    columns = {
        f"{name}_{reach:g}": table[name]
        for reach, table in matched.items()
        for name in ("excess", "robust")
    }
    answers = [table["robust"].tolist() for table in matched.values()]
    main = REACHES.index(REACH)
    robust = [robust_at_every_reach(each, main) for each in zip(*answers, strict=True)]
    found = models.assign(**columns)
    found[list(matched[REACH].columns)] = matched[REACH]
    return found.assign(robust=pd.Series(robust, found.index, dtype=object))


def _matched(
    models: pd.DataFrame, pools: Sequence[pd.DataFrame], view: View, reach: float
) -> pd.DataFrame:
    """The excess of models at one reach, from the first pool that has ordinary models enough.

    The interval adds the model's own and the fit's error, taken as independent.
    """
    columns = ["excess", "excess_low", "excess_high", "limit", "ordinary_models"]
    found = pd.DataFrame(np.nan, models.index, columns).astype({"ordinary_models": float})
    for pool in pools:
        er = effective_robustness(pool["shifted"], pool["imagenet"], view.reference)
        own = matched_excess(models["imagenet"], models["er"], pool["imagenet"], er, reach)
        below, above = (
            np.hypot(apart, NORMAL_95 * own.error)
            for apart in (models["er"] - models["low"], models["high"] - models["er"])
        )
        new = found["limit"].isna().to_numpy() & ~np.isnan(own.limit)
        rows = [own.excess, own.excess - below, own.excess + above, own.limit, own.models]
        found.loc[new] = np.array(rows).T[new]
    ends = found[["excess_low", "excess_high", "limit"]].to_numpy().tolist()
    robust = pd.Series([is_robust(*each) for each in ends], found.index, dtype=object)
    return found.assign(ordinary_models=found["ordinary_models"].fillna(0), robust=robust)


def _views(families: Mapping[str, Family], known: Sequence[Measurement]) -> dict[str, pd.DataFrame]:
    """Published effective robustness on five and on four shifts, and that of own accuracies."""
    table = accuracies.known(families.values())
    five, four = view("five"), view("four")
    return {
        "five": beside_ordinary(five.models(table), five),
        "four": beside_ordinary(four.models(table), four),
        "own": beside_ordinary(of_measured(families, known), five),
    }


def _misread(families: Mapping[str, Family]) -> pd.DataFrame:
    """Effective robustness of weights trained with QuickGELU that were evaluated with GELU."""
    table = accuracies.load()
    wrong = table[table["defect"].str.contains("QuickGELU")].assign(defect="")
    rows = accuracies.wide(wrong, accuracies.CLIP_V2)
    names = {
        (key.model.removesuffix(accuracies.GELU), key.weights): model.name
        for family in families.values()
        for model in family.models
        for key in model.published
        if key.model.endswith(accuracies.GELU)
    }
    keys = zip(rows["model"], rows["weights"], strict=True)
    er = effective_robustness(rows["shifted"], rows["imagenet"])
    found = pd.DataFrame({"name": [names.get(key, "") for key in keys], "er": er})
    return found[found["name"] != ""]
