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

import pandas as pd

from analysis.families.registry import Edition, Family, Level, Model, load_families
from analysis.images.imagelist import is_whole
from analysis.metrics.concept_counts import Quantity
from analysis.metrics.directions import PRIVILEGED_THRESHOLD
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.claims.ledger import ClaimError
from companion.measurements import records, views
from companion.measurements.due import TRAINING
from companion.measurements.measures import RESAMPLES, SEED
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cuts:
    """Where this book draws lines that the paper leaves open.

    ``near_gaussian``: the mean kurtosis below which one counts as close to the Gaussian's 3;
    ``outlier``: times the mean coordinate, from there a coordinate is an outlier; ``privileged``:
    times the mean importance, from there a direction is privileged.
    """

    near_gaussian: float = 6.0
    outlier: float = OUTLIER_THRESHOLD
    privileged: float = PRIVILEGED_THRESHOLD


@dataclass(frozen=True)
class Evidence:
    """What is known of some families' models.

    ``measurements`` may be of other models, too, which then stand beside them. ``robustness``: view
    → one row per checkpoint with family, name, level, pretraining, er, low and high (ends of the
    95 % interval), in fractions; values of two views are never compared. ``fits``: constants of the
    baseline under every choice that the paper leaves open. ``reference``: the data set that claims
    are about; ``probe``: that of concepts; ``counts``: which of their counts.
    """

    families: Mapping[str, Family]
    measurements: Sequence[Measurement] = ()
    robustness: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    fits: pd.DataFrame = field(default_factory=pd.DataFrame)
    reference: str = "imagenet"
    probe: str = "broden"
    counts: Quantity = "unique"
    cuts: Cuts = Cuts()

    def at(self, *levels: Level) -> list[Model]:
        """The families' models at some levels, in the order of the levels."""
        every = self.families.values()
        return [m for level in levels for family in every for m in family.at_level(level)]

    def measured(self, experiment: Experiment, *levels: Level) -> list[Measurement]:
        """Measurements of some levels' models that saw every single image of a whole data set.

        Of a model that was measured on the data set that claims are about only that counts.
        """
        found = [
            m
            for level in levels
            for m in self.measurements
            if (m.experiment, m.level) == (experiment, level)
            and m.family in self.families
            and "captions" not in m.data.name
            and is_whole(m.data.what)
        ]
        known = {m.model for m in found if m.data.name == self.reference}
        return [m for m in found if m.data.name == self.reference or m.model not in known]

    def control(self, measurement: Measurement) -> Measurement | None:
        """The same measurement of the same backbone with random weights."""
        same = (measurement.family, measurement.data.name)
        found = self.measured(measurement.experiment, "random")
        return next((m for m in found if (m.family, m.data.name) == same), None)

    def on_reference(self, measured: Sequence[Measurement]) -> int:
        """How many of some measurements are of the data set that claims are about."""
        return sum(m.data.name == self.reference for m in measured)

    def partners(self, level: Level) -> list[tuple[Model, Model]]:
        """Each zero-shot model with the models of a level that it is compared with."""
        return [
            (zero_shot, other)
            for family in self.families.values()
            for zero_shot in family.at_level("zero_shot")
            for other in family.at_level(level)
            if level != "finetuned" or other.pretraining == zero_shot.pretraining
        ]

    @cached_property
    def concepts(self) -> dict[str, Measurement]:
        """Model → its measurement of the probe's concepts."""
        found = self.measured("concepts", *get_args(Level))
        return {m.model: m for m in found if m.data.name == self.probe}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Model → effective robustness on all shifts, of those that are one checkpoint.

        Own accuracies go before published ones.
        """
        alone = [
            rows.drop_duplicates("name", keep=False)
            for view, rows in self.robustness.items()
            if view != "four"
        ]
        return {
            name: Interval(er, low, high)
            for rows in alone
            for name, er, low, high in rows[["name", "er", "low", "high"]].to_numpy().tolist()
        }


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
    nothing live. ``experiments``: look at these only. Raises ClaimError if there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise ClaimError(
            f"{folder} is no folder: give one that holds measurements as data/measurements does."
        )
    families = load_families(edition)
    pocket = edition == "pocket"
    known = [
        m
        for family in (families | load_families("contrast")).values()
        for experiment in experiments
        for m in _known(experiment, family, folder)
        if not pocket or m.data.name in (TRAINING, POCKET["probe"])
    ]
    if pocket:
        unseen = views.view("unseen", families.values())
        every = views.with_interval(unseen.models, views.resampled(unseen, RESAMPLES, SEED))
        shipped = every[every["seed"] == 0].reset_index(drop=True)
        return Evidence(families, known, {"unseen": shipped}, cuts=cuts, **POCKET)
    return Evidence(families, known, _views(families, known), views.fit_choices(), cuts=cuts)


def of_family(family: Family, measurements: Iterable[Measurement]) -> Evidence:
    """What is known of one family alone, of the images that its edition's claims are about."""
    scope = POCKET if family.edition == "pocket" else {}
    return Evidence({family.name: family}, list(measurements), **scope)


def _views(families: Mapping[str, Family], known: Sequence[Measurement]) -> dict[str, pd.DataFrame]:
    """Published effective robustness on five and on four shifts, and that of own accuracies."""
    five, four = (views.view(name, families.values()) for name in ("five", "four"))
    found = {
        "five": five.models,
        "four": four.models,
        "own": views.of_own_features(families, known),
    }
    return {view: views.with_interval(rows) for view, rows in found.items()}


def _known(experiment: Experiment, family: Family, folder: Path | None) -> list[Measurement]:
    """Live or recorded measurements of a family, or those recorded in a folder."""
    if folder is None:
        return records.available(experiment, family)
    return records.read_all(experiment, family.name, folder)
