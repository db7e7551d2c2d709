"""Probe: is there the sign of robustness that the paper found, in one checkpoint's features?

Needs features of unlabelled images, nothing else. `probe` is a pure function from arrays to a
`Probe`, which holds the numbers and a verdict that claims no more than they carry. How arrays come
from a checkpoint and a folder of images is in `probe_checkpoint`. The rules of the verdict, in
`judge`, are ours, since the paper gives no cut-offs; what is said is in ``data/probe.yaml``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from analysis.common import ROOT, CompanionError, read_yaml
from analysis.metrics import basis, directions, outliers
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.measurements import measures
from companion.probe_found import (
    Answer,
    Directions,
    Interval,
    Kind,
    Kurtosis,
    Layer,
    Numbers,
    Outlier,
    Place,
    Probe,
    Recorded,
    Share,
    Verdict,
)
from companion.publish.style import digits
from companion.publish.words import outliers as outliers_named
from companion.publish.words import share

FEWEST_IMAGES = 8
"""Fewer give no meaningful estimate."""
PERSISTENCE_THRESHOLD = 0.75
"""An outlier feature is the same coordinate in nearly every image: in more than this share."""
REACH_THRESHOLD = 0.5
"""Below this a layer is not signed. Signed layers measured here have 0.76 and more, SiLU, GELU and
leaky ReLU of Gaussian numbers at most 0.3 where they bend them noticeably, a ReLU has 0."""
VARYING_THRESHOLD = 0.01
"""Share of the features' squared length that should vary between images. Random weights have had
0.0000 to 0.34, trained ones 0.08 and more: only extreme ones are told."""
LESS_MEAN_THRESHOLD = 3.45
"""κ after mean subtraction above which more than the mean image makes the sign: the middle, on a
log scale, of recorded signed controls (3.01 at most) and zero-shot models (3.95 at least)."""
UNEVEN_ROWS = 0.2
"""Spread of the rows' lengths over their mean from which on an array may be transposed. Images have
had 0.00 to 0.13, coordinates 0.24 and more, at least twice as much as the images."""
LEAST_VARIANCE = 1e-4
"""The directions along which a head's rows hardly vary: the share of the variance they hold."""
PRECISION = 0.05
"""Half the width of the interval of κ that `images_needed` is for, as a share of κ."""

_SAID = read_yaml(ROOT / "data" / "probe.yaml")
_OFTEN = 100 * PERSISTENCE_THRESHOLD
_THRESHOLDS = {"often": _OFTEN, "threshold": OUTLIER_THRESHOLD, "alone": LESS_MEAN_THRESHOLD}
RULES: str = _SAID["rules"].format(**_THRESHOLDS)


class ProbeError(CompanionError, ValueError):
    """A probe cannot be made; the message says why and what to do."""


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
    when a row is scaled). `head`: its weights (classes, d), if it has one. `recorded`: other models
    to place this one among; those called `name` are left out. `about`: where the features were
    extracted from, if that is known; then their rows are images and no guess about a transposed
    array is made. Raises ProbeError for fewer than `FEWEST_IMAGES` images, other shapes, transposed
    arrays, numbers that are not finite, and images whose features are all equal.
    """
    try:
        array = outliers.checked_features(_as_array("the features", features))
        head = None if head is None else _as_array("the head", head)
        if about is None:
            _check_orientation(array, head)
        check_number(len(array))
        numbers = _measured(array, head, name)
    except ValueError as error:
        if isinstance(error, ProbeError):
            raise
        raise ProbeError(f"{name} cannot be probed: {error}") from None
    found = place(numbers, recorded)
    verdict = judge(numbers, found)
    return Probe(**vars(numbers), place=found, verdict=verdict, about=dict(about or {}))


def _as_array(what: str, given: Any) -> NDArray[Any]:
    """An array of what may be a tensor, on any device and of any precision, of parameters even.

    Raises ValueError for anything that has no such numbers, and for masked ones.
    """
    if np.ma.isMaskedArray(given):
        raise ValueError(f"{what} are a masked array, whose mask would be lost: leave rows out.")
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.float() if "bfloat16" in str(given.dtype) else given
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{what} are no array of numbers ({str(error).splitlines()[0]})."
        ) from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} are {array.dtype}, where real numbers are expected.")
    return array


def check_number(images: int) -> None:
    """Raise ProbeError for fewer images than `FEWEST_IMAGES`."""
    if images < FEWEST_IMAGES:
        raise ProbeError(
            f"{images} {'image is' if images == 1 else 'images are'} too few for a meaningful "
            f"estimate: at least {FEWEST_IMAGES} are expected, better 100 and more; add images to "
            "the folder."
        )


def _check_orientation(array: NDArray[Any], head: ArrayLike | None) -> None:
    """Raise ValueError for what seems to be (components, images).

    A head says so by its width. Without one the lengths do: images are about equally long, if not
    at length 1, and coordinates are not.
    """
    width = np.shape(head)[-1] if head is not None and np.ndim(head) == 2 else array.shape[1]
    if width != array.shape[1] and width == len(array):
        raise ValueError(
            f"the features have the shape {array.shape} and the head reads {width} components, as "
            "many as there are rows; one row per image is expected: give features.T."
        )
    rows, columns = np.empty(len(array)), np.zeros(array.shape[1])
    for place, h in outliers.finite_blocks(array):
        rows[place] = np.einsum("ij,ij->i", h, h)
        columns += np.einsum("ij,ij->j", h, h)
    of_rows, of_columns = (_spread(np.sqrt(squares)) for squares in (rows, columns))
    if of_rows > max(UNEVEN_ROWS, 2 * of_columns):
        raise ValueError(
            f"the features have the shape {array.shape} and seem to be transposed, since their "
            "rows differ in length more than twice as much as their columns; one row per image is "
            "expected: give features.T or, if rows are images, divide each by its length."
        )


def _spread(lengths: NDArray[np.float64]) -> float:
    """Standard deviation of lengths over their mean; 0 where all are 0."""
    return float(lengths.std() / lengths.mean()) if lengths.any() else 0.0


def judge(found: Numbers, among: Place) -> Verdict:
    """The verdict on what was measured, `among` recorded models. In order:

    1. The last layer is not signed (`Layer`): *cannot tell*. Sparse features have a raised κ
       without outlier features, and those of CLIP's encoders are signed.
    2. The interval of κ lies above two thirds of the way from controls to zero-shot models
       (`Place.mark`), there are outlier coordinates, and the interval of the share of images that
       they lead in lies above `PERSISTENCE_THRESHOLD`: *shows*; but *cannot tell* if the features
       hardly vary between images (`VARYING_THRESHOLD`), which random weights do too, or if the
       mean image alone makes the sign: the interval of κ after mean subtraction is not above
       `LESS_MEAN_THRESHOLD`. A constant that a bias adds to one coordinate does that.
    3. The interval of κ lies below one third of that way, and there is no outlier coordinate:
       *none*, in this basis.
    4. Anything else: *cannot tell*, because there are too few images, or because κ, outlier
       coordinates and persistence do not go together.
    """
    words = in_words(found) | _ends_of(among)
    answer, why = _answer(found, among)
    because = _SAID["because"][why].format(**words) if why else ""
    told = "kurtosis" if among.plain < among.outlying else "kurtosis alone"
    reasons = [told, "outliers" if found.outliers else "no outliers", "leader", "mean"]
    reasons += ["unread"] * bool(found.head and found.head.least)
    said = (_SAID["reasons"][reason].format(**words) for reason in reasons)
    cautions = _SAID["cautions"]
    untrained = not found.outliers and found.persistence.interval.low > PERSISTENCE_THRESHOLD
    own = {
        cautions["none"]: answer == "none",
        found.layer.comparison: not found.layer.fair,
        cautions["untrained"]: untrained,
        cautions["few"].format(**words): not found.enough,
        **{sentence: True for sentence in _depends_on(found, among)},
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
    signed = [other for other in others if other.signed]
    high = [other for other in signed if other.level == "zero_shot"][-1:]
    low = [other for other in signed if other.level in ("random", "supervised")][:1]
    ends = [*low, *high]
    if not (low and high and low[0].kurtosis < high[0].kurtosis):
        return Place(1 + above, 1 + len(alike), tuple(others))
    kurtosis, models = ([getattr(end, part) for end in ends] for part in ("kurtosis", "model"))
    return Place(1 + above, 1 + len(alike), tuple(others), *kurtosis, *models)


def in_words(found: Numbers) -> dict[str, Any]:
    """What can be said of the numbers, by the names that ``data/probe.yaml`` uses."""
    head, lead, persistence, names = (
        found.head,
        found.outliers_lead,
        found.persistence,
        found.outliers,
    )
    return _THRESHOLDS | {
        "images": found.images,
        "needed": found.images_needed,
        "kurtosis": digits(found.kurtosis.mean),
        "interval": _ends(found.kurtosis.interval, digits),
        "named": outliers_named(found.profile, found.outlier_threshold),
        "largest": digits(max(found.profile)),
        "they": "It leads" if len(names) == 1 else "They lead",
        "lead": lead.count,
        "outliers_lead": share(lead.fraction),
        "outliers_lead_interval": _ends(lead.interval),
        "leader": found.leader,
        "less_mean": digits(found.kurtosis_less_mean),
        "less_mean_interval": _ends(found.less_mean_interval, digits),
        "in_mean": share(1 - found.layer.varying),
        "leads": share(persistence.fraction),
        "leads_interval": _ends(persistence.interval),
        "leaders": "no other one leads" if found.leaders == 1 else
        f"{found.leaders} different ones lead",
        "privileged": f"{head.privileged} of {head.directions}" if head else "no head",
        "importance": f"{digits(head.top)} ({digits(head.top_centred)})" if head else "no head",
        **({
            "least": f"{head.least} of {found.components}",
            "least_energy": share(head.least_energy),
            "least_chance": share(head.least / found.components),
            "least_kurtosis": digits(head.least_kurtosis),
            "rows": f"{head.classes} rows" + " (too few to vary in every direction)"
            * (head.classes <= found.components),
        } if head else {}),
        "behind": found.layer.kind.replace("behind a", "comes from behind a"),
    }  # fmt: skip


def _ends(interval: Interval, form: Callable[[float], str] = "{:.1%}".format) -> str:
    return f"{form(interval.low)} to {form(interval.high)}".replace("%", "")


def _ends_of(among: Place) -> dict[str, str]:
    return {
        name: digits(value)
        for name, value in {
            "plain": among.plain, "outlying": among.outlying,
            "below": among.mark(1 / 3), "above": among.mark(2 / 3),
        }.items()
    } | {"plain_of": among.plain_of, "outlying_of": among.outlying_of}  # fmt: skip


def _answer(found: Numbers, among: Place) -> tuple[Answer, str]:
    """The answer, and why there is none."""
    why = _doubt(found, among)
    low = found.kurtosis.interval.high < among.mark(1 / 3)
    return ("cannot tell" if why else "none" if low else "shows"), why


def _depends_on(found: Numbers, among: Place) -> list[str]:
    """The models without which the verdict would be another, a sentence each."""
    answer, sentences = _answer(found, among)[0], []
    for model in filter(None, (among.plain_of, among.outlying_of)):
        others = [other for other in among.others if other.model != model]
        without = _answer(found, place(found, others))[0]
        if without != answer:
            sentences.append(_SAID["cautions"]["marks"].format(model=model, without=without))
    return sentences


def _doubt(found: Numbers, among: Place) -> str:
    """Why there is no answer; "" if there is one."""
    interval, lead = found.kurtosis.interval, found.outliers_lead
    if found.layer.kind != "signed":
        return "not signed"
    if interval.high < among.mark(1 / 3):
        return "low with outliers" if found.outliers else ""
    if among.mark(1 / 3) <= interval.low and interval.high <= among.mark(2 / 3):
        return "between"
    if interval.low <= among.mark(2 / 3):
        return "few for kurtosis"
    if not found.outliers or lead.interval.high < PERSISTENCE_THRESHOLD:
        return "no persistence"
    if lead.interval.low <= PERSISTENCE_THRESHOLD:
        return "few for persistence"
    if found.layer.varying < VARYING_THRESHOLD:
        return "alike"
    return "mean alone" if found.less_mean_interval.low <= LESS_MEAN_THRESHOLD else ""


def _measured(array: NDArray[Any], head: ArrayLike | None, name: str) -> Numbers:
    found = outliers.outlier_features(array)
    kurtosis, profile = _kurtosis(found.kurtosis), found.profile
    coordinates, less_mean = found.coordinates(), _less_mean(array)
    shown, sample = measures.sample(array, profile)
    wanted = (1.96 * kurtosis.deviation / (PRECISION * kurtosis.mean)) ** 2
    return Numbers(
        name=name,
        images=len(array),
        components=len(profile),
        kurtosis=kurtosis,
        outlier_threshold=OUTLIER_THRESHOLD,
        outliers=tuple(Outlier(int(c), float(profile[c])) for c in coordinates),
        leader=int(found.persistence.coordinate),
        persistence=_share(int(found.leading.max()), len(array)),
        outliers_lead=_share(int(found.leading[coordinates].sum()), len(array)),
        leaders=found.leaders,
        kurtosis_less_mean=less_mean.mean,
        less_mean_interval=less_mean.interval,
        layer=_layer(array, found.zero_share, found.negative_share),
        head=_directions(array, head),
        images_needed=max(FEWEST_IMAGES, math.ceil(wanted)),
        enough=len(array) >= wanted,
        profile=tuple(profile.tolist()),
        sample_coordinates=tuple(shown.tolist()),
        sample=tuple(map(tuple, sample.tolist())),
    )


def _kurtosis(values: NDArray[np.float64]) -> Kurtosis:
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, mean, scipy.stats.sem(values))
    percentiles = np.percentile(values, np.arange(101)).tolist()
    return Kurtosis(mean, Interval(float(low), float(high)), deviation, tuple(percentiles))


def _less_mean(array: NDArray[Any]) -> Kurtosis:
    """κ of the images at length 1 less their mean; as they are if one of them is the mean."""
    try:
        return _kurtosis(outliers.kurtosis(basis.less_mean(array)))
    except ValueError:
        return _kurtosis(outliers.kurtosis(array))


def _share(count: int, total: int) -> Share:
    ends = scipy.stats.binomtest(count, total).proportion_ci(method="wilson")
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
    rows = basis.text_directions(head, at_length=False)
    least = rows.directions[: int((np.cumsum(rows.variance) <= LEAST_VARIANCE).sum())]
    h = basis.at_length_one(array)
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
        least=len(least),
        least_energy=float(((h @ least.T) ** 2).sum(axis=1).mean()),
        least_kurtosis=float(outliers.kurtosis(basis.without(h, least)).mean()),
    )
