"""What verdicts rest on: measurements, accuracies and what pruning changes, gathered from disk.

The rules judge an `Evidence` and read nothing themselves, so the paper's models and the pocket lab
differ in what is gathered here, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Edition, Family, Level, Model, load_families
from analysis.images.imagelist import is_whole
from analysis.metrics.average_precision import encoded
from analysis.metrics.concept_counts import Found, Quantity
from analysis.metrics.directions import PRIVILEGED_THRESHOLD
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from analysis.metrics.pruning import Sweep
from companion.claims.ledger import ClaimError
from companion.measurements import (
    accuracy,
    measures,
    pocket_robustness,
    published,
    published_robustness,
    records,
    views,
)
from companion.measurements.due import TRAINING
from companion.measurements.published import FOUR_SHIFTS
from companion.measurements.published_robustness import CLIP_V2
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement

#: Share of the directions that the claim on pruning leaves out.
PRUNED_SHARE = 0.8
#: A supervised network outside the paper's families: a high κ without outlier features.
STAND_IN = "efficientnet_lite0"
#: Of the pocket lab's test concepts and of its baseline's pool.
RESAMPLES, SEED = 2000, 0


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
class Pruned:
    """One head with only ``kept`` of ``rank`` directions, against the whole head, under shift.

    ``inside``: accuracy on the training distribution, with all directions and pruned.
    ``accuracy``, ``robustness``: what changes, with the ends of its interval. Fractions.
    """

    kept: int
    rank: int
    inside: tuple[float, float]
    accuracy: Interval
    robustness: Interval


@dataclass(frozen=True)
class Concepts:
    """Which of a probe's C concepts one model encodes.

    ``positives`` (C,): how many of the ``images`` show each. ``threshold``: the average precision
    from which one is encoded. ``named``: how many concepts are listed along the most important
    direction, ``textures``: how many of these are textures; None if that was not looked at.
    """

    found: Found
    positives: NDArray[np.intp]
    images: int
    threshold: float
    textures: int | None = None
    named: int = 0

    @property
    def encoded(self) -> NDArray[np.bool_]:
        """Which concepts some direction encodes, (C,)."""
        return np.asarray(encoded(self.found.ap, self.threshold).any(axis=0))


@dataclass(frozen=True)
class Evidence:
    """What is known of some families' models.

    ``measurements`` may be of other models, too, which then stand beside them. ``robustness``: view
    → one row per checkpoint with family, name, level, pretraining, er, low and high (ends of the
    95 % interval), in fractions; values of two views are never compared. ``fits``: constants of the
    baseline under every choice that the paper leaves open. ``pruned``, ``concepts``: by model.
    ``reference``: the data set that claims are about; ``counts``: which count of concepts.
    """

    families: Mapping[str, Family]
    measurements: Sequence[Measurement] = ()
    robustness: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    fits: pd.DataFrame = field(default_factory=pd.DataFrame)
    pruned: Mapping[str, Pruned] = field(default_factory=dict)
    concepts: Mapping[str, Concepts] = field(default_factory=dict)
    reference: str = "imagenet"
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
            if (m.experiment, m.level, m.basis) == (experiment, level, "per_image")
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


def gather(edition: Edition = "paper", folder: Path | None = None, cuts: Cuts = Cuts()) -> Evidence:
    """All that is known of an edition's models now, live from features in the store or recorded.

    ``folder``: judge the measurements recorded there instead of those of `data/measurements`, and
    nothing live. Raises ClaimError if there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise ClaimError(
            f"{folder} is no folder: give one that holds measurements as data/measurements does."
        )
    families = load_families(edition)
    of_edition = _pocket if edition == "pocket" else _published
    return replace(of_edition(families, folder), cuts=cuts)


def pruned(sweep: Sweep) -> Pruned:
    """What pruning the claim's share of the directions changes, from a sweep that has that step."""
    rank = int(sweep.steps[-1])
    kept = round((1 - PRUNED_SHARE) * rank)
    step = sweep.at(kept)
    if sweep.change is None or sweep.change_low is None or sweep.change_high is None:
        raise ValueError("random orders have no interval of their change; give another order.")
    parts = (sweep.change, sweep.change_low, sweep.change_high)
    accuracy = [float(part.inside[step]) for part in parts]
    robustness = [float(part.robustness[step]) for part in parts]
    inside = (float(sweep.curves.inside[-1]), float(sweep.curves.inside[step]))
    return Pruned(kept, rank, inside, Interval(*accuracy), Interval(*robustness))


def counted(measurement: Measurement) -> Concepts:
    """The concepts of a recorded measurement, at its threshold."""
    return Concepts(
        measures.counts_of(measurement),
        measurement.value("positives"),
        measurement.counts["images"],
        measurement.value("threshold"),
        int(measurement.value("top_textures")),
        len(measurement.value("top_concepts")),
    )


def pocket_view(families: Mapping[str, Family], resamples: int, seed: int) -> pd.DataFrame:
    """Effective robustness of the shipped pocket models on unseen styles, as `Evidence` keeps it.

    The interval: 95 % of resamples of the test concepts and of the baseline's pool.
    """
    parts = []
    for name, family in families.items():
        own = pocket_robustness.of_family(family, "unseen")
        own = own[own["seed"] == 0].reset_index(drop=True)
        drawn = pocket_robustness.resampled(family, "unseen", resamples, seed)
        ends = [np.percentile(drawn[model][:, 0], [2.5, 97.5]) for model in own["name"]]
        low, high = np.reshape(ends, (-1, 2)).T
        parts.append(own.assign(family=name, er_95=np.nan, low=low, high=high))
    return pd.concat(parts, ignore_index=True)


def _published(families: Mapping[str, Family], folder: Path | None) -> Evidence:
    """The paper's models: ImageNet, its five shifts and Broden."""
    table = published.load()
    four_line = published_robustness.refit(table, FOUR_SHIFTS, CLIP_V2)
    four = published_robustness.of_families(table, families, FOUR_SHIFTS, four_line)
    accuracies = _known("accuracy", families, list(accuracy.NAMES.values()), folder)
    own = views.of_measurements(families, [m for m in accuracies if is_whole(m.data.what)])
    frames = {
        "five": published_robustness.of_families(table, families),
        "four": four[four["source"] != "model_soups"],
        "own": own,
    }
    where = folder or records.FOLDER
    measurements = [
        *_known("outlier_features", families, None, folder),
        *_known("privileged_directions", families, None, folder),
        *_known("pruning", families, None, folder),
        *records.read_all("outlier_features", STAND_IN, where),
    ]
    probed = _known("concepts", families, ["broden"], folder)
    return Evidence(
        families,
        measurements,
        {
            view: rows.assign(low=rows["er"] - rows["er_95"], high=rows["er"] + rows["er_95"])
            for view, rows in frames.items()
        },
        published_robustness.fit_choices(table),
        _pruned(families, folder),
        {m.model: counted(m) for m in probed if is_whole(m.data.what)},
    )


def _pocket(families: Mapping[str, Family], folder: Path | None) -> Evidence:
    """The pocket lab: the test emoji of the training style, and the styles that no model saw.

    Its concepts are counted where they are shown, and are given with `dataclasses.replace`.
    """
    return Evidence(
        families,
        [
            *_known("outlier_features", families, [TRAINING], folder),
            *_known("privileged_directions", families, [TRAINING], folder),
        ],
        {"unseen": pocket_view(families, RESAMPLES, SEED)},
        pruned=_pruned(families, folder),
        reference=TRAINING,
        counts="lower",
    )


def _known(
    experiment: Experiment,
    families: Mapping[str, Family],
    data: Sequence[str] | None,
    folder: Path | None,
) -> list[Measurement]:
    """Live or recorded measurements of the families, or those recorded in a folder."""
    if folder is None:
        return [m for f in families.values() for m in records.available(experiment, f, data)]
    found = [m for name in families for m in records.read_all(experiment, name, folder)]
    return [m for m in found if data is None or m.data.name in data]


def _pruned(families: Mapping[str, Family], folder: Path | None) -> dict[str, Pruned]:
    """What pruning changes under shift, of models that know classes."""
    found = _known("pruning_under_shift", families, None, folder)
    return {
        m.model: pruned(measures.sweeps_of(m)["importance"])
        for m in found
        if m.level != "random" and is_whole(m.data.what)
    }
