"""Probe: is there the sign of robustness that the paper found, in one checkpoint's features?

Needs features of unlabelled images, nothing else: no labels, no shifted data. `probe` is a pure
function from arrays to a `Probe`, which holds the numbers, how they were judged, and a verdict
that claims no more than they carry. How features come from a checkpoint and a folder of images is
in `probe_checkpoint`; the pages are in `probe_report`. No torch.

The rules of the verdict are ours, since the paper gives no cut-offs (`RULES`, in words). In order:

1. The last layer is not signed (`Layer`): *cannot tell*. Sparse features have a raised κ without
   outlier features, and the paper's evidence is on signed layers.
2. The interval of κ lies above `KURTOSIS_THRESHOLD`, there are outlier coordinates, and the
   interval of the share of images that they lead in lies above `PERSISTENCE_THRESHOLD`: *shows*;
   but *cannot tell* if the features hardly vary between images (`VARYING_THRESHOLD`), which
   random weights do too.
3. The interval of κ lies below `KURTOSIS_THRESHOLD`, and there is no outlier coordinate: *none*.
4. Anything else: *cannot tell*, because there are too few images, or because κ, outlier
   coordinates and persistence do not go together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter
from scipy.special import stdtrit

from analysis.families.registry import Level
from analysis.metrics import directions, outliers
from companion.measurements import measures
from companion.measurements.records import Measurement
from companion.publish.words import digits

Array = NDArray[np.float64]
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

CLAIM = "the outlier features that the paper found only in robust models"
RULES = (
    f"“Shows” needs all of these: a signed last layer; a κ whose 95 % interval lies above "
    f"{KURTOSIS_THRESHOLD:g}, twice the Gaussian's 3; at least one outlier coordinate, which "
    f"averaged over images is {outliers.OUTLIER_THRESHOLD:g} times as large as the mean "
    "coordinate; outlier coordinates that are the largest in more than "
    f"{100 * PERSISTENCE_THRESHOLD:g} % of the images, with the whole 95 % interval; and features "
    "that vary between images. “None” needs a signed last layer, a κ whose interval lies below "
    f"{KURTOSIS_THRESHOLD:g}, and no outlier coordinate. Anything else is “cannot tell”. The paper "
    "gives no cut-offs: these are the companion's."
)
ALWAYS = (
    "This is an indication, not a guarantee: robustness itself was not measured.",
    "The paper's evidence is on ImageNet's validation images; other images shift κ.",
)
NOT_ABSENCE = "Showing none does not mean that a model is not robust."


class ProbeError(ValueError):
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
class Probe:
    """What a probe found; as JSON by `to_json`, the fields as they stand here, finite numbers only.

    ``images``, ``components``: the shape of the features. ``persistence``: how often the commonest
    largest coordinate, ``leader``, leads; ``outliers_lead``: how often any outlier coordinate
    does; ``leaders``: how many different coordinates lead in some image. ``profile``: of each
    coordinate the mean |z| over that of the mean coordinate. ``sample``: z of the first images
    (rows) at ``sample_coordinates``. ``images_needed``: for an interval of κ of ± 5 %;
    ``enough``: whether there were so many. ``about``: where model and images come from.
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
    place: Place
    verdict: Verdict
    profile: tuple[float, ...] = field(repr=False)
    sample_coordinates: tuple[int, ...] = field(repr=False)
    sample: tuple[tuple[float, ...], ...] = field(repr=False)
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    format: int = 1

    @property
    def level(self) -> str:
        """The model's level, which gives a drawing its colour; zero-shot if it is not known."""
        return str(self.about.get("model", {}).get("level") or "zero_shot")

    def value(self, name: str) -> Any:
        """A quantity under the name that measurements give it, for drawings."""
        head = self.head
        values: dict[str, Any] = {
            "kurtosis_percentiles": self.kurtosis.percentiles,
            "profile": self.profile,
            "sample": self.sample,
            "sample_coordinates": self.sample_coordinates,
        }
        if head is not None:
            values |= {
                "importance": head.importance,
                "importance_head_centred": head.importance_centred,
            }
        return np.asarray(values[name])


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
        _check_number(len(array))
        numbers = measures.outlier_features(array)
        own = outliers.outlier_features(array)
        kurtosis = _kurtosis(own.kurtosis)
        read = _directions(array, head)
    except ProbeError:
        raise
    except ValueError as error:
        raise ProbeError(f"{name} cannot be probed: {error}") from None
    coordinates = numbers["outlier_coordinates"]
    profile = numbers["profile"]
    needed = _images_needed(kurtosis)
    found = Probe(
        name=name,
        images=array.shape[0],
        components=array.shape[1],
        kurtosis=kurtosis,
        outlier_threshold=float(numbers["outlier_threshold"]),
        outliers=tuple(Outlier(int(c), float(profile[c])) for c in coordinates),
        leader=int(numbers["persistence_coordinate"]),
        persistence=_share(int(own.leading.max()), len(array)),
        outliers_lead=_share(int(own.leading[coordinates].sum()), len(array)),
        leaders=int(numbers["leaders"]),
        layer=_layer(array, float(numbers["zero_share"]), float(numbers["negative_share"])),
        head=read,
        images_needed=needed,
        enough=len(array) >= needed,
        place=Place(1, 1, ()),
        verdict=Verdict("cannot tell", "", (), ()),
        profile=tuple(profile.tolist()),
        sample_coordinates=tuple(numbers["sample_coordinates"].tolist()),
        sample=tuple(map(tuple, numbers["sample"].tolist())),
        about=dict(about or {}),
    )
    return replace(found, verdict=judge(found), place=place(found, recorded))


def judge(found: Probe) -> Verdict:
    """The verdict on what was found, by the rules above; `found.verdict` is not looked at."""
    answer, because = _answer(found)
    sentence = {
        "shows": f"{found.name} shows {CLAIM}.",
        "none": f"{found.name} shows none of {CLAIM}.",
        "cannot tell": f"Cannot tell whether {found.name} shows {CLAIM}, because {because}.",
    }[answer]
    return Verdict(answer, sentence, _reasons(found), _cautions(found, answer))


def place(found: Probe, recorded: Iterable[Recorded]) -> Place:
    """Where κ stands among recorded models, which are sorted by falling κ."""
    others = sorted(
        (other for other in recorded if other.model != found.name), key=lambda r: -r.kurtosis
    )
    alike = [other for other in others if other.signed == (found.layer.kind == "signed")]
    above = sum(other.kurtosis > found.kurtosis.mean for other in alike)
    return Place(1 + above, 1 + len(alike), tuple(others))


def recorded_of(measurements: Iterable[Measurement]) -> list[Recorded]:
    """The models of measurements of outlier features, those per image; captions are no images."""
    return [
        Recorded(
            model=m.model,
            level=m.level,
            data=m.data.title,
            kurtosis=float(m.value("kurtosis_mean")),
            persistence=float(m.value("persistence_fraction")),
            images=m.counts["images"],
            signed=m.value("negative_share") > 0,
        )
        for m in measurements
        if m.basis == "per_image" and "captions" not in m.data.name
    ]


def wilson(count: int, total: int) -> Interval:
    """Wilson's 95 % interval of a proportion (Wilson 1927)."""
    z, p = 1.959964, count / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + (z / (2 * total)) ** 2)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def to_json(found: Probe) -> str:
    """A probe as JSON, its fields those of `Probe`."""
    text = TypeAdapter(Probe).dump_json(found, indent=1).decode()
    return text + "\n"


def from_json(text: str | bytes) -> Probe:
    """Read what `to_json` wrote; pydantic's ValidationError, a ValueError, for anything else."""
    return TypeAdapter(Probe).validate_json(text)


def percent(fraction: float) -> str:
    """A share in percent; one that is not quite all or nothing never reads so."""
    for end, words in ((0.0, "less than 0.1"), (1.0, "more than 99.9")):
        if fraction != end and f"{fraction:.3f}" == f"{end:.3f}":
            return f"{words}\N{NO-BREAK SPACE}%"
    return f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%".replace(".0", "")


def named(found: Probe, limit: int = 6) -> str:
    """The outlier coordinates, the largest first, as words."""
    names = [str(outlier.coordinate) for outlier in found.outliers]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def _answer(found: Probe) -> tuple[Answer, str]:
    """The answer, and after "because" why there is none."""
    if found.layer.kind != "signed":
        return "cannot tell", _behind(found.layer)
    interval, lead = found.kurtosis.interval, found.outliers_lead
    high, low = interval.low > KURTOSIS_THRESHOLD, interval.high < KURTOSIS_THRESHOLD
    if low and not found.outliers:
        return "none", ""
    if low:
        return "cannot tell", (
            f"coordinates stand out ({named(found)}), but κ ({digits(found.kurtosis.mean)}) is not "
            "far above 3"
        )
    if not high:
        return "cannot tell", (
            f"there are too few images: the interval of κ, {_interval(interval)}, lies on both "
            f"sides of {KURTOSIS_THRESHOLD:g}"
        )
    if not found.outliers or lead.interval.high < PERSISTENCE_THRESHOLD:
        return "cannot tell", (
            f"κ is raised ({digits(found.kurtosis.mean)}) without persistence: different "
            "coordinates are the largest in different images"
        )
    if lead.interval.low <= PERSISTENCE_THRESHOLD:
        return "cannot tell", (
            f"there are too few images: outlier coordinates lead in {lead.count} of "
            f"{found.images}, which does not settle that they do in more than "
            f"{percent(PERSISTENCE_THRESHOLD)}"
        )
    if found.layer.varying < VARYING_THRESHOLD:
        return "cannot tell", (
            "all images get nearly the same features, as from random weights or from images that "
            "are all alike"
        )
    return "shows", ""


def _behind(layer: Layer) -> str:
    where = layer.kind.replace("behind a", "comes from behind a")
    return (
        f"what its head sees {where}: such features are sparse, which raises κ without outlier "
        "features, and all of the paper's evidence is on signed ones"
    )


def _reasons(found: Probe) -> tuple[str, ...]:
    kurtosis = found.kurtosis
    interval = (
        f"κ is {digits(kurtosis.mean)}, 95 % interval {_interval(kurtosis.interval)}, over "
        f"{found.images} images; a Gaussian gives 3, and far above means more than "
        f"{KURTOSIS_THRESHOLD:g} here."
    )
    lead, persistence = found.outliers_lead, found.persistence
    if found.outliers:
        stands = (
            f"Outlier coordinates: {named(found)}; the largest is "
            f"{digits(found.outliers[0].times_mean)} times as large as the mean coordinate. "
            f"{'It leads' if len(found.outliers) == 1 else 'They lead'} in "
            f"{percent(lead.fraction)} of the images ({_shares(lead.interval)})."
        )
    else:
        stands = (
            f"No coordinate is on average {found.outlier_threshold:g} times as large as the mean "
            f"coordinate; the largest is {digits(max(found.profile))} times."
        )
    commonest = (
        f"Coordinate {found.leader} is the commonest largest one, in "
        f"{percent(persistence.fraction)} of the images ({_shares(persistence.interval)}); "
        f"{_leaders(found.leaders)} in some image."
    )
    return interval, stands, commonest, found.layer.how


def _cautions(found: Probe, answer: Answer) -> tuple[str, ...]:
    own = [NOT_ABSENCE] if answer == "none" else []
    if not found.layer.fair:
        own.append(found.layer.comparison)
    lowest = found.persistence.interval.low
    if not found.outliers and lowest > PERSISTENCE_THRESHOLD:
        own.append(
            "One coordinate leads in nearly every image without standing out: networks with "
            "random weights do so, whose features hardly depend on the image. Make sure that the "
            "weights are trained ones."
        )
    if not found.enough:
        own.append(
            f"The mean of κ is not known to ± 5 %: that takes about {found.images_needed} images "
            f"like these, there were {found.images}."
        )
    return (*ALWAYS, *own)


def _check_number(images: int) -> None:
    if images < FEWEST_IMAGES:
        raise ProbeError(
            f"{images} images are too few for a meaningful estimate: at least {FEWEST_IMAGES} are "
            "expected, better 100 and more; add images to the folder."
        )


def _kurtosis(values: Array) -> Kurtosis:
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    half = float(stdtrit(len(values) - 1, 0.975)) * deviation / math.sqrt(len(values))
    percentiles = np.percentile(values, np.arange(101)).tolist()
    return Kurtosis(mean, Interval(mean - half, mean + half), deviation, tuple(percentiles))


def _images_needed(kurtosis: Kurtosis) -> int:
    """Images for a 95 % interval of ± `PRECISION` of κ, from the variance over these images."""
    wanted = (1.96 * kurtosis.deviation / (PRECISION * kurtosis.mean)) ** 2
    return max(FEWEST_IMAGES, math.ceil(wanted))


def _share(count: int, total: int) -> Share:
    return Share(count, count / total, wilson(count, total))


def _layer(array: NDArray[Any], zeros: float, negatives: float) -> Layer:
    positives = 1 - zeros - negatives
    reach = _reach(array)
    one_sided = positives < 1e-9 or negatives == 0
    kind: Kind = "signed"
    if one_sided:
        kind = "behind a ReLU"
    elif reach < REACH_THRESHOLD:
        kind = "behind a soft rectifier"
    how = {
        "signed": f"The last layer is signed: {percent(negatives)} of the components are negative, "
        "and they reach about as far from zero as the positive ones.",
        "behind a ReLU": "The last layer is behind a ReLU, or an activation like it: no component "
        f"is {'positive' if negatives else 'negative'}, and {percent(zeros)} are exactly zero.",
        "behind a soft rectifier": "The last layer is behind a GELU, SiLU or leaky ReLU, or an "
        f"activation like these: {percent(negatives)} of the components are negative, but the two "
        f"signs reach unequally far from zero (one {percent(reach)} as far as the other).",
    }[kind]
    comparison = (
        "A comparison with the paper's models is fair in this respect: their features are signed "
        "too."
        if kind == "signed"
        else "A comparison with the paper's models is not fair: their features are signed, these "
        "are not."
    )
    return Layer(
        kind, how, zeros, negatives, reach, _varying(array), fair=kind == "signed",
        comparison=comparison,
    )  # fmt: skip


def _reach(array: NDArray[Any]) -> float:
    """How far the components of the shorter side reach, relative to the other side's."""
    rows = np.unique(np.linspace(0, len(array) - 1, 1000).round().astype(int))
    values = np.asarray(array[rows], dtype=np.float64).ravel()
    sides = [values[values > 0], -values[values < 0]]
    far = [float(np.quantile(side, 0.95)) if side.size else 0.0 for side in sides]
    return min(far) / max(far)


def _varying(array: NDArray[Any]) -> float:
    total = sum(h.sum(axis=0) for h in directions.unit_blocks(array, array.shape[1]))
    return max(0.0, 1 - float(np.sum((total / len(array)) ** 2)))


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


def _leaders(count: int) -> str:
    return "no other one leads" if count == 1 else f"{count} different ones lead"


def _interval(interval: Interval) -> str:
    return f"{digits(interval.low)} to {digits(interval.high)}"


def _shares(interval: Interval) -> str:
    return f"95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f}"
