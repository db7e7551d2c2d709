"""Which measurements can be taken here, whatever they rest on: the command `companion measure`."""

from __future__ import annotations

from typing import cast, get_args

from analysis.common import suggestion
from analysis.families.registry import load_family
from companion.measurements import photographs, public_features
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement, MeasurementError


def take(experiment: str, family: str) -> list[Measurement]:
    """Take every measurement of an experiment that can be taken for a family.

    From public files, which are fetched if need be, and from features in the store. The family
    `efficientnet_lite0` stands for one supervised network that is no part of the paper. Raises
    MeasurementError for an unknown experiment, RegistryError for an unknown family, and what
    fetching and reading raise.
    """
    if experiment not in get_args(Experiment):
        raise MeasurementError(
            f"there is no experiment {experiment!r} to measure: "
            f"{suggestion(experiment, get_args(Experiment))}."
        )
    wanted = cast(Experiment, experiment)
    if family == photographs.FAMILY:
        return photographs.measure_photographs(wanted)
    return public_features.measure_family(wanted, load_family(family))
