"""Probe: is there the sign of robustness that the paper found, in one checkpoint's features?

Needs features of unlabelled images, nothing else. `probe` is a pure function from arrays to a
`Probe`, which holds the numbers and a verdict that claims no more than they carry. How arrays come
from a checkpoint and a folder of images is in `probe_checkpoint`. The rules of the verdict, in
`judge`, are ours, since the paper gives no cut-offs; what is said is in ``data/probe.yaml``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter
from scipy import stats

from analysis.common import ROOT, CompanionError
from analysis.families.registry import Level
from analysis.metrics import directions, outliers
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.measurements import measures
from companion.publish.words import digits, share

Answer = Literal["shows", "none", "cannot tell"]
Kind = Literal["signed", "behind a ReLU", "behind a soft rectifier"]

FEWEST_IMAGES = 8
"""Fewer give no meaningful estimate."""
KURTOSIS_THRESHOLD = 6.0
"""Twice the Gaussian's 3, and what a Laplace distribution has: heavy tails without outliers."""
PERSISTENCE_THRESHOLD = 0.75
"""An outlier feature is the same coordinate in nearly every image: in more than this share."""
REACH_THRESHOLD = 0.5
"""Below this a layer is not signed. Signed layers measured here have 0.9 to 1.4, SiLU, GELU and
leaky ReLU of Gaussian numbers at most 0.3 where they bend them noticeably, a ReLU has 0."""
VARYING_THRESHOLD = 0.01
"""Share of the features' squared length that should vary between images. Random weights have had
0.0000 to 0.32, trained ones 0.47 and more."""
PRECISION = 0.05
"""Half the width of the interval of κ that `images_needed` is for, as a share of κ."""

_SAID = yaml.safe_load((ROOT / "data" / "probe.yaml").read_text(encoding="utf-8"))
_OFTEN = 100 * PERSISTENCE_THRESHOLD
_THRESHOLDS = {"high": KURTOSIS_THRESHOLD, "often": _OFTEN, "threshold": OUTLIER_THRESHOLD}
RULES: str = _SAID["rules"].format(**_THRESHOLDS)


class ProbeError(CompanionError, ValueError):
    """A probe cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Kurtosis:
    """κ: mean over images with the interval of that mean (Student's t), spread, percentiles.

    ``percentiles`` are those from 0 to 100, over images.
    """

    mean: float
    interval: Interval
    deviation: float
    percentiles: tuple[float, ...]


@dataclass(frozen=True)
class Outlier:
    """A coordinate, and how many times as large as the mean coordinate it is on average."""

    coordinate: int
    times_mean: float


@dataclass(frozen=True)
class Share:
    """A number of images as a fraction of all, with Wilson's interval."""

    count: int
    fraction: float
    interval: Interval


@dataclass(frozen=True)
class Layer:
    """The kind of last layer, judged from the values of its features.

    ``zeros``, ``negatives``: shares of all components. ``reach``: the 95th percentile of the
    magnitudes on the side, negative or positive, that reaches less far, over that of the other.
    ``varying``: 1 − |mean of h / |h||², the share of squared length that differs between images.
    """

    kind: Kind
    how: str
    zeros: float
    negatives: float
    reach: float
    varying: float
    fair: bool
    comparison: str


@dataclass(frozen=True)
class Directions:
    """Privileged directions of a head, as multiples of the mean importance.

    ``top``: the most important direction's; ``privileged``: how many reach ``threshold``. The same
    once the head's mean row is subtracted, which predicts the same classes. ``importance`` is
    sorted, the largest first.
    """

    classes: int
    directions: int
    threshold: float
    top: float
    privileged: int
    top_centred: float
    privileged_centred: int
    importance: tuple[float, ...]
    importance_centred: tuple[float, ...]


@dataclass(frozen=True)
class Recorded:
    """What is known of another model: mean κ, and how often its commonest leader leads."""

    model: str
    level: Level | None
    data: str
    kurtosis: float
    persistence: float
    images: int
    signed: bool


@dataclass(frozen=True)
class Place:
    """Rank by κ, 1 the highest, among the recorded models of the same kind of layer and itself."""

    rank: int
    among: int
    others: tuple[Recorded, ...]


@dataclass(frozen=True)
class Verdict:
    """The answer, the sentence that says it, what it rests on, and what must be kept in mind."""

    answer: Answer
    sentence: str
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """What is measured: (``images``, ``components``) is the shape of the features.

    ``persistence``: how often the commonest
    largest coordinate, ``leader``, leads; ``outliers_lead``: how often any outlier coordinate
    does; ``leaders``: how many different coordinates lead in some image. ``profile``: of each
    coordinate the mean |z| over that of the mean coordinate. ``sample``: z of the first images
    (rows) at ``sample_coordinates``. ``images_needed``: for an interval of κ of ± 5 %;
    ``enough``: whether there were so many.
    """

    name: str
    images: int
    components: int
    kurtosis: Kurtosis
    outlier_threshold: float
    outliers: tuple[Outlier, ...]
    leader: int
    persistence: Share
    outliers_lead: Share
    leaders: int
    layer: Layer
    head: Directions | None
    images_needed: int
    enough: bool
    profile: tuple[float, ...] = field(repr=False)
    sample_coordinates: tuple[int, ...] = field(repr=False)
    sample: tuple[tuple[float, ...], ...] = field(repr=False)


@dataclass(frozen=True)
class Probe(Numbers):
    """What a probe found; as JSON by `to_json`, the fields as they stand here, finite numbers only.

    ``about``: where model and images come from.
    """

    place: Place
    verdict: Verdict
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    format: int = 1

    @property
    def level(self) -> str:
        """The model's level, which gives a drawing its colour; zero-shot if it is not known."""
        return str(self.about.get("model", {}).get("level") or "zero_shot")

    def value(self, name: str) -> Any:
        """A quantity under the name that measurements give it, for drawings."""
        head = asdict(self.head) if self.head else {}
        renamed = {
            "kurtosis_percentiles": self.kurtosis.percentiles,
            "importance_head_centred": head.get("importance_centred"),
        }
        return np.asarray((vars(self) | head | renamed)[name])


def probe(
    features: ArrayLike,
    head: ArrayLike | None = None,
    *,
    name: str = "this checkpoint",
    recorded: Iterable[Recorded] = (),
    about: Mapping[str, Any] | None = None,
) -> Probe:
    """Look for outlier features in the features of unlabelled images: (N, d) → `Probe`.

    `features`: what the model's head sees, one row per image, of any length (nothing here changes
    when a row is scaled). `head`: its weights (classes, d), if it has one. `recorded`: other
    models to place this one among; those called `name` are left out. Raises ProbeError for fewer
    than `FEWEST_IMAGES` images, other shapes, numbers that are not finite, and images whose
    features are all equal.
    """
    try:
        array = outliers.checked_features(features)
        check_number(len(array))
        numbers = _measured(array, head, name)
    except ValueError as error:
        if isinstance(error, ProbeError):
            raise
        raise ProbeError(f"{name} cannot be probed: {error}") from None
    found = place(numbers, recorded)
    return Probe(**vars(numbers), place=found, verdict=judge(numbers), about=dict(about or {}))


def check_number(images: int) -> None:
    """Raise ProbeError for fewer images than `FEWEST_IMAGES`."""
    if images < FEWEST_IMAGES:
        raise ProbeError(
            f"{images} images are too few for a meaningful estimate: at least {FEWEST_IMAGES} are "
            "expected, better 100 and more; add images to the folder."
        )


def judge(found: Numbers) -> Verdict:
    """The verdict on what was measured. In order:

    1. The last layer is not signed (`Layer`): *cannot tell*. Sparse features have a raised κ
       without outlier features, and the paper's evidence is on signed layers.
    2. The interval of κ lies above `KURTOSIS_THRESHOLD`, there are outlier coordinates, and the
       interval of the share of images that they lead in lies above `PERSISTENCE_THRESHOLD`:
       *shows*; but *cannot tell* if the features hardly vary between images
       (`VARYING_THRESHOLD`), which random weights do too.
    3. The interval of κ lies below `KURTOSIS_THRESHOLD`, and there is no outlier coordinate:
       *none*.
    4. Anything else: *cannot tell*, because there are too few images, or because κ, outlier
       coordinates and persistence do not go together.
    """
    words = in_words(found)
    why = _doubt(found)
    low = found.kurtosis.interval.high < KURTOSIS_THRESHOLD
    answer: Answer = "cannot tell" if why else "none" if low else "shows"
    because = _SAID["because"][why].format(**words) if why else ""
    reasons = ("kurtosis", "outliers" if found.outliers else "no outliers", "leader")
    said = (_SAID["reasons"][reason].format(**words) for reason in reasons)
    cautions = _SAID["cautions"]
    untrained = not found.outliers and found.persistence.interval.low > PERSISTENCE_THRESHOLD
    own = {
        cautions["none"]: answer == "none",
        found.layer.comparison: not found.layer.fair,
        cautions["untrained"]: untrained,
        cautions["few"].format(**words): not found.enough,
    }
    return Verdict(
        answer,
        _SAID["sentences"][answer].format(name=found.name, because=because),
        (*said, found.layer.how),
        (*cautions["always"], *(caution for caution, fits in own.items() if fits)),
    )


def place(found: Numbers, recorded: Iterable[Recorded]) -> Place:
    """Where κ stands among recorded models, which are sorted by falling κ."""
    others = [other for other in recorded if other.model != found.name]
    others.sort(key=lambda other: -other.kurtosis)
    alike = [other for other in others if other.signed == (found.layer.kind == "signed")]
    above = sum(other.kurtosis > found.kurtosis.mean for other in alike)
    return Place(1 + above, 1 + len(alike), tuple(others))


def to_json(found: Probe) -> str:
    """A probe as JSON, its fields those of `Probe`."""
    return TypeAdapter(Probe).dump_json(found, indent=1).decode() + "\n"


def from_json(text: str | bytes) -> Probe:
    """Read what `to_json` wrote; pydantic's ValidationError, a ValueError, for anything else."""
    return TypeAdapter(Probe).validate_json(text)


def in_words(found: Numbers) -> dict[str, Any]:
    """What can be said of the numbers, by the names that ``data/probe.yaml`` uses."""
    head, lead, persistence, names = (
        found.head,
        found.outliers_lead,
        found.persistence,
        found.outliers,
    )
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return _THRESHOLDS | {
        "images": found.images,
        "needed": found.images_needed,
        "kurtosis": digits(found.kurtosis.mean),
        "interval": _ends(found.kurtosis.interval, digits),
        "named": ", ".join(str(outlier.coordinate) for outlier in names[:6]) + more or "none",
        "largest": digits(max(found.profile)),
        "they": "It leads" if len(names) == 1 else "They lead",
        "lead": lead.count,
        "outliers_lead": share(lead.fraction),
        "outliers_lead_interval": _ends(lead.interval),
        "leader": found.leader,
        "leads": share(persistence.fraction),
        "leads_interval": _ends(persistence.interval),
        "leaders": "no other one leads" if found.leaders == 1 else
        f"{found.leaders} different ones lead",
        "privileged": f"{head.privileged} of {head.directions}" if head else "no head",
        "importance": f"{digits(head.top)} ({digits(head.top_centred)})" if head else "no head",
        "behind": found.layer.kind.replace("behind a", "comes from behind a"),
    }  # fmt: skip


def _ends(interval: Interval, form: Callable[[float], str] = "{:.1%}".format) -> str:
    return f"{form(interval.low)} to {form(interval.high)}".replace("%", "")


def _doubt(found: Numbers) -> str:
    """Why there is no answer; "" if there is one."""
    interval, lead = found.kurtosis.interval, found.outliers_lead
    if found.layer.kind != "signed":
        return "not signed"
    if interval.high < KURTOSIS_THRESHOLD:
        return "low with outliers" if found.outliers else ""
    if interval.low <= KURTOSIS_THRESHOLD:
        return "few for kurtosis"
    if not found.outliers or lead.interval.high < PERSISTENCE_THRESHOLD:
        return "no persistence"
    if lead.interval.low <= PERSISTENCE_THRESHOLD:
        return "few for persistence"
    return "alike" if found.layer.varying < VARYING_THRESHOLD else ""


def _measured(array: NDArray[Any], head: ArrayLike | None, name: str) -> Numbers:
    found = outliers.outlier_features(array)
    numbers = measures.outlier_features(array)
    kurtosis, profile = _kurtosis(found.kurtosis), found.profile
    coordinates = numbers["outlier_coordinates"]
    wanted = (1.96 * kurtosis.deviation / (PRECISION * kurtosis.mean)) ** 2
    return Numbers(
        name=name,
        images=len(array),
        components=len(profile),
        kurtosis=kurtosis,
        outlier_threshold=float(numbers["outlier_threshold"]),
        outliers=tuple(Outlier(int(c), float(profile[c])) for c in coordinates),
        leader=int(found.persistence.coordinate),
        persistence=_share(int(found.leading.max()), len(array)),
        outliers_lead=_share(int(found.leading[coordinates].sum()), len(array)),
        leaders=int(numbers["leaders"]),
        layer=_layer(array, found.zero_share, found.negative_share),
        head=_directions(array, head),
        images_needed=max(FEWEST_IMAGES, math.ceil(wanted)),
        enough=len(array) >= wanted,
        profile=tuple(profile.tolist()),
        sample_coordinates=tuple(numbers["sample_coordinates"].tolist()),
        sample=tuple(map(tuple, numbers["sample"].tolist())),
    )


def _kurtosis(values: NDArray[np.float64]) -> Kurtosis:
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    percentiles = np.percentile(values, np.arange(101)).tolist()
    return Kurtosis(mean, Interval(float(low), float(high)), deviation, tuple(percentiles))


def _share(count: int, total: int) -> Share:
    ends = stats.binomtest(count, total).proportion_ci(method="wilson")
    return Share(count, count / total, Interval(float(ends.low), float(ends.high)))


def _layer(array: NDArray[Any], zeros: float, negatives: float) -> Layer:
    rows = np.unique(np.linspace(0, len(array) - 1, 1000).round().astype(int))
    values = np.asarray(array[rows], dtype=np.float64).ravel()
    sides = [values[values > 0], -values[values < 0]]
    far = [float(np.quantile(side, 0.95)) if side.size else 0.0 for side in sides]
    reach = min(far) / max(far)
    kind: Kind = "signed"
    if 1 - zeros - negatives < 1e-9 or negatives == 0:
        kind = "behind a ReLU"
    elif reach < REACH_THRESHOLD:
        kind = "behind a soft rectifier"
    shares = {"negatives": share(negatives), "zeros": share(zeros), "reach": share(reach)}
    shares["absent"] = "positive" if negatives else "negative"
    total = sum(h.sum(axis=0) for h in directions.unit_blocks(array, array.shape[1]))
    return Layer(
        kind=kind,
        how=_SAID["layers"][kind].format(**shares),
        zeros=zeros,
        negatives=negatives,
        reach=reach,
        varying=max(0.0, 1 - float(np.sum((total / len(array)) ** 2))),
        fair=kind == "signed",
        comparison=_SAID["comparison"]["fair" if kind == "signed" else "unfair"],
    )


def _directions(array: NDArray[Any], head: ArrayLike | None) -> Directions | None:
    if head is None or len(np.atleast_1d(head)) < 2:  # one class: nothing to choose between
        return None
    numbers = measures.privileged_directions(array, head)
    values = np.sort(numbers["importance"])[::-1]
    centred = numbers["importance_head_centred"]
    threshold = float(numbers["privileged_threshold"])
    return Directions(
        classes=len(np.asarray(head)),
        directions=len(values),
        threshold=threshold,
        top=float(values[0]),
        privileged=int((values >= threshold).sum()),
        top_centred=float(centred[0]),
        privileged_centred=int((centred >= threshold).sum()),
        importance=tuple(values.tolist()),
        importance_centred=tuple(centred.tolist()),
    )
