"""What a probe finds in one checkpoint's features: numbers, place and verdict, and them as JSON.

The fields of the JSON are those of `Probe`. How they come about is in `probe`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from analysis.common import CompanionError, as_markdown
from analysis.families.registry import Level

Answer = Literal["shows", "none", "cannot tell"]
Kind = Literal["signed", "behind a ReLU", "behind a soft rectifier"]

KURTOSIS_THRESHOLD = 6.0
"""Where no recorded models tell high from low: twice the Gaussian's 3, and what a Laplace
distribution has, heavy tails without outliers."""


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
    sorted, the largest first. ``least``: how many directions, those along which rows vary least,
    hold 0.01 % of their variance together; the images' energy in them, and κ without them.
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
    least: int = 0
    least_energy: float = 0.0
    least_kurtosis: float = 0.0


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
    """Rank by κ, 1 the highest, among the recorded models of the same kind of layer and itself.

    ``plain``, ``outlying``: the highest κ of recorded controls (random weights, supervised) and the
    lowest of zero-shot models, of signed layers, `KURTOSIS_THRESHOLD` both without both sorts;
    ``plain_of``, ``outlying_of``: the models that these two marks hang on.
    """

    rank: int
    among: int
    others: tuple[Recorded, ...]
    plain: float = KURTOSIS_THRESHOLD
    outlying: float = KURTOSIS_THRESHOLD
    plain_of: str = ""
    outlying_of: str = ""

    def mark(self, way: float) -> float:
        """The κ that lies so far from the controls (0) to the zero-shot models (1), in logs."""
        return float(self.plain * (self.outlying / self.plain) ** way)


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
    does; ``leaders``: how many different coordinates lead in some image. ``kurtosis_less_mean``:
    mean κ once the mean image is subtracted, all at length 1, with ``less_mean_interval``.
    ``profile``: of each coordinate the mean |z| over that of the mean coordinate. ``sample``: z of
    the first images (rows) at ``sample_coordinates``. ``images_needed``: for an interval of κ of
    ± 5 %; ``enough``: whether there were so many.
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
    kurtosis_less_mean: float
    less_mean_interval: Interval
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


def to_json(found: Probe) -> str:
    """A probe as JSON, its fields those of `Probe`."""
    return TypeAdapter(Probe).dump_json(found, indent=1).decode() + "\n"


def read_json(path: Path) -> Probe:
    """Read a probe from a file that anyone may have written, to be shown.

    What Markdown could read as markup in its texts gets a backslash before it. Raises
    CompanionError, in one sentence, for anything that `to_json` does not write.
    """
    try:
        found = from_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds something else"
        raise CompanionError(
            f"{path} cannot be read as the numbers of a probe ({reason}): companion probe --json "
            "writes such a file."
        ) from None
    return from_json(json.dumps(_escaped(json.loads(to_json(found)))))


def _escaped(part: Any) -> Any:
    if isinstance(part, str):
        return as_markdown(part)
    if isinstance(part, list):
        return [_escaped(one) for one in part]
    if isinstance(part, dict):
        return {_escaped(name): _escaped(one) for name, one in part.items()}
    return part


def from_json(text: str | bytes) -> Probe:
    """Read what `to_json` wrote; pydantic's ValidationError, a ValueError, for anything else."""
    return TypeAdapter(Probe).validate_json(text)
