"""What follows from one checkpoint's measurement, and the sentences that say it.

The sentences are in ``data/probe.yaml``; what they are filled with has names there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from analysis.metrics import paired
from analysis.metrics.outliers import OUTLIER_THRESHOLD, far_above_mean
from companion.engine.cells import cell
from companion.engine.style import listed
from companion.measurements.intervals import Interval
from companion.measurements.measurement import Measurement
from companion.probe import measure
from companion.probe.measure import FEWEST_IMAGES

#: An outlier feature is the same coordinate in nearly every image: in more than this share.
PERSISTENCE_THRESHOLD = 0.75
#: Below this a layer is not signed. Signed layers measured here have 0.76 and more, SiLU, GELU
#: and leaky ReLU of Gaussian numbers at most 0.3 where they bend them noticeably, a ReLU has 0.
REACH_THRESHOLD = 0.5
#: κ after mean subtraction above which more than the mean image makes the sign: the middle, on
#: a log scale, of recorded signed controls (3.27 at most) and zero-shot models with outlier
#: features (3.33 at least), which lie close.
LESS_MEAN_THRESHOLD = 3.3
#: Half the width of the interval of κ that `images_needed` is for, as a share of κ.
PRECISION = 0.05

SENTENCES = read_yaml(ROOT / "data" / "probe.yaml")
THRESHOLDS = {
    "often": 100 * PERSISTENCE_THRESHOLD,
    "threshold": OUTLIER_THRESHOLD,
    "alone": LESS_MEAN_THRESHOLD,
}
HOW_JUDGED: str = SENTENCES["rules"].format(**THRESHOLDS)


def said(part: str, name: str, row: Mapping[str, Any]) -> str:
    """A sentence of ``data/probe.yaml``, filled in; "" for no name."""
    return cell(SENTENCES[part][name], row) if name else ""


def title_of(m: Measurement) -> str:
    """The title of the checkpoint."""
    return m.provenance.made_from.get(measure.CHECKPOINT, m.model)


def layer(m: Measurement) -> str:
    """The kind of last layer, judged from its values: signed, behind a (soft) rectifier."""
    if not m.value("reach"):
        return "behind a ReLU"
    return "signed" if m.value("reach") >= REACH_THRESHOLD else "behind a soft rectifier"


def kurtosis_less_mean(m: Measurement) -> Interval:
    """κ after mean subtraction with its 95 % interval."""
    return m.of_images("kurtosis_less_mean", "kurtosis_less_mean_error")


def images_needed(m: Measurement) -> int:
    """How many images like these give an interval of κ of ± 5 %."""
    deviation = m.value("kurtosis_standard_error") * math.sqrt(m.counts["images"])
    wanted = float(1.96 * deviation / (PRECISION * m.kurtosis.value)) ** 2
    return max(FEWEST_IMAGES, math.ceil(wanted))


def share_interval(m: Measurement, name: str) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of images, which rests on distinct ones."""
    images = m.distinct_images
    share = round(m.value(name) * images) / images
    z = paired.Z
    centre, half = (
        share + z**2 / (2 * images),
        z * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)),
    )
    low, high = (float((centre + side * half) / (1 + z**2 / images)) for side in (-1, 1))
    return 0.0 if share == 0 else low, 1.0 if share == 1 else high


@dataclass(frozen=True)
class Facts:
    """What follows from a measurement's quantities, by the names that templates use.

    The fields from ``privileged`` on are of the head, and None where there is none.
    """

    needed: int
    interval: tuple[float, float]
    named: str
    largest: float
    they: str
    lead: int
    outliers_lead_interval: tuple[float, float]
    less_mean_interval: tuple[float, float]
    in_mean: float
    leads_interval: tuple[float, float]
    absent: str
    layer: str
    privileged: int | None = None
    directions: int | None = None
    largest_importance: float | None = None
    centred: float | None = None
    few: str | None = None
    least_chance: float | None = None


def facts_of(m: Measurement) -> Facts:
    """What follows from the quantities of a measurement."""
    leads, of_head = m.value("outliers_lead"), dict[str, Any]()
    if "importance" in m.values:
        importance, width = m.value("importance"), m.counts["components"]
        of_head = {
            "privileged": (importance >= m.value("privileged_threshold")).sum(),
            "directions": len(importance),
            "largest_importance": importance[0],
            "centred": m.value("importance_head_centred")[0],
            "few": " (too few to vary in every direction)" if m.counts["classes"] <= width else "",
            "least_chance": m.value("least_directions") / width,
        }
    return Facts(
        needed=images_needed(m),
        interval=m.kurtosis[1:],
        named=listed(far_above_mean(m.value("profile"), m.value("outlier_threshold"))),
        largest=m.value("profile").max(),
        they="It is" if len(m.value("outlier_coordinates")) == 1 else "They are",
        lead=round(leads * m.counts["images"]),
        outliers_lead_interval=share_interval(m, "outliers_lead"),
        less_mean_interval=kurtosis_less_mean(m)[1:],
        in_mean=1 - m.value("varying"),
        leads_interval=share_interval(m, "persistence_fraction"),
        absent="positive" if m.value("negative_share") else "negative",
        layer=layer(m),
        **of_head,
    )


def values_of(m: Measurement) -> dict[str, Any]:
    """All that templates say of a measurement, by name: its quantities, its counts, the facts.

    Quantities that it lacks are None. What a `Measurement` makes of a quantity of the same name
    stands for it: nearly equal images, too, count once.
    """
    quantities = {name: m.value(name) for name in m.values}
    quantities |= {name: getattr(m, name) for name in m.values if hasattr(type(m), name)}
    return {**THRESHOLDS, **dict.fromkeys(m.lacks), **m.counts, **quantities, **vars(facts_of(m))}
