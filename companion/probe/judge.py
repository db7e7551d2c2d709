"""What the features of one checkpoint say about the paper's sign of robustness.

`probe` is a pure function from arrays to a `Probe`: a measurement, and a verdict that claims no
more than its numbers carry. How arrays come from a checkpoint and a folder of images is in
`checkpoint`; what follows from a measurement alone, in `facts`. The rules of the verdict, in
`place`, are ours, since the paper gives no cut-offs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import ArrayLike

from analysis.base.quoting import Html, tag
from analysis.families.registry import Level, load_families
from companion.engine.cells import cell
from companion.measurements import records
from companion.measurements.measurement import Measurement
from companion.probe import measure, rotation
from companion.probe.facts import (
    LESS_MEAN_THRESHOLD,
    PERSISTENCE_THRESHOLD,
    SENTENCES,
    images_needed,
    kurtosis_less_mean,
    layer,
    said,
    share_interval,
    title_of,
    values_of,
)
from companion.probe.measure import ProbeError

#: Share of the features' squared length that should vary between images. Random weights have
#: had 0.0000 to 0.34, trained ones 0.08 and more: only extreme ones are reported.
VARYING_THRESHOLD = 0.01
#: Where no recorded models separate high from low: twice the Gaussian's 3, and what a Laplace
#: distribution has, heavy tails without outliers.
KURTOSIS_THRESHOLD = 6.0

#: Levels of the models that controls are.
CONTROLS = ("supervised", "self_supervised", "random")


@dataclass(frozen=True, repr=False)
class Probe:
    """A measurement of a checkpoint, the verdict on it, and its place among recorded models.

    ``answer``: shows, none or cannot tell; ``reasons``: what it rests on; ``cautions``: what must
    be kept in mind; ``place``: its rank by κ among models with the same kind of last layer;
    ``storage``: what few bits cost and what to do, of which the verdict knows nothing.
    """

    measurement: Measurement
    answer: str
    sentence: str
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    place: str
    storage: str = ""

    def lines(self) -> list[str]:
        """The main numbers, as a terminal shows them."""
        row = values_of(self.measurement)
        return [cell(line, row) for line in SENTENCES["summary"]]

    def __repr__(self) -> str:
        numbers = [*self.lines(), *filter(None, [self.storage])]
        return "\n".join([self.sentence, *(f"  - {line}" for line in numbers)])

    def _repr_html_(self) -> str:
        numbers = [*self.lines(), *filter(None, [self.storage])]
        listed = Html("").join(tag("li", line) for line in numbers)
        return tag("p", tag("strong", self.sentence)) + tag("ul", Html(listed))

    def to_frame(self) -> pd.DataFrame:
        """One row: what was found, with the ends of 95 % intervals; shares are fractions."""
        m = self.measurement
        _, low, high = m.kurtosis
        row: dict[str, Any] = {"model": title_of(m), "level": m.level, "answer": self.answer}
        row |= {"kurtosis": m.kurtosis.value, "kurtosis_low": low, "kurtosis_high": high}
        row |= {"outlier_coordinates": m.value("outlier_coordinates").tolist()}
        kept = [name for name in m.values if name.startswith("four_bits")]
        named = ("persistence_coordinate", "persistence_fraction", *kept)
        row |= {name: m.value(name) for name in named}
        return pd.DataFrame([row | {"last_layer": layer(m), "images": m.counts["images"]}])


class Marks(NamedTuple):
    """The highest κ of recorded controls and the lowest of zero-shot models with outlier features.

    Both are of signed layers; such a model's coordinate leads no less often than any control's.
    Controls learned without texts, or not at all. Both are `KURTOSIS_THRESHOLD` if one sort is
    absent, or if the two overlap; else ``plain_of`` and ``outlying_of`` name the two models.
    """

    plain: float = KURTOSIS_THRESHOLD
    plain_of: str = ""
    outlying: float = KURTOSIS_THRESHOLD
    outlying_of: str = ""

    def at(self, way: float) -> float:
        """The κ that lies so far from the controls (0) to the zero-shot models (1), in logs."""
        return float(self.plain * (self.outlying / self.plain) ** way)


def probe(
    features: ArrayLike,
    *others: ArrayLike,
    head: ArrayLike | None = None,
    name: str = "this checkpoint",
    level: Level = "unknown",
    recorded: Iterable[Measurement] | None = None,
    rows_are_images: bool = False,
) -> Probe:
    """Look for outlier features in the features of unlabelled images: (N, d) → `Probe`.

    `features`: what the model's head sees, one row per image, of any length (nothing here changes
    when a row is scaled). `head`: the weights (classes, d) of its classifier, if it has one.
    `level`: how it was trained, if that is known; the verdict does not use it. `recorded`:
    measurements of outlier features to place this one among, by default those of `known_models`;
    those of a model called `name` are left out. `rows_are_images`: whether that is known, so that
    no guess about a transposed array is made. Raises ProbeError for fewer than `FEWEST_IMAGES`
    images, other shapes, transposed arrays, whole numbers, numbers that are not finite, images
    whose features are all equal, and a second array of which nobody says what it is.
    """
    if others:
        raise ProbeError(
            "probe takes one array, the features: give a classifier's weights by name, as head=; "
            "the features of texts are no classifier, so leave them out."
        )
    known = known_models() if recorded is None else [*recorded]
    return place(measure.of_arrays(features, head, name, rows_are_images, level), known)


def place(m: Measurement, recorded: Sequence[Measurement]) -> Probe:
    """The verdict on a measurement of a probe, among recorded models. In order:

    1. The last layer is not signed (`layer`): *cannot tell*. Sparse features have a raised κ
       without outlier features, and those of CLIP's encoders are signed.
    2. The interval of κ lies above two thirds of the way from controls to zero-shot models
       (`Marks`), there are outlier coordinates, and the interval of the share of images that
       they lead in lies above `PERSISTENCE_THRESHOLD`: *shows*; but *cannot tell* if the features
       hardly vary between images (`VARYING_THRESHOLD`), which random weights do too, or if the
       mean image alone makes the sign: the interval of κ after mean subtraction is not above
       `LESS_MEAN_THRESHOLD`. A constant that a bias adds to one coordinate does that.
    3. The interval of κ lies below one third of that way, and there is no outlier coordinate:
       *none*, in this basis.
    4. Anything else: *cannot tell*, because there are too few images, or because κ, outlier
       coordinates and persistence do not go together.
    """
    others = [other for other in recorded if other.model not in (m.model, title_of(m))]
    marks, signed = marks_of(others), layer(m) == "signed"
    answer, why = _answer(m, marks)
    alike = [other.kurtosis.value for other in others if _signed(other) == signed]
    rank, among = 1 + sum(kurtosis > m.kurtosis.value for kurtosis in alike), 1 + len(alike)
    row = values_of(m) | marks._asdict() | {"rank": rank, "among": among, "name": title_of(m)}
    row |= {"below": marks.at(1 / 3), "above": marks.at(2 / 3)}
    row |= {"because": said("because", why, row), "kind": "signed" if signed else "not signed"}
    outlying = len(m.value("outlier_coordinates")) > 0
    reasons = ["kurtosis" if marks.plain < marks.outlying else "kurtosis alone"]
    reasons += ["outliers" if outlying else "no outliers", "leader", "mean"]
    if row["least_directions"]:
        reasons += ["unread", "one vector"] if row["one_vector_kurtosis"] else ["unread"]
    leading = share_interval(m, "persistence_fraction")[0] > PERSISTENCE_THRESHOLD
    cautions = {
        "none": answer == "none",
        "unfair": not signed,
        "untrained": leading and not outlying,
        "few": m.distinct_images < images_needed(m),
        "copies": m.distinct_images < m.counts["images"],
    }
    return Probe(
        m,
        answer,
        said("sentences", answer, row),
        (*(said("reasons", name, row) for name in reasons), said("layers", layer(m), row)),
        (
            *SENTENCES["always"],
            *(said("cautions", name, row) for name, applies in cautions.items() if applies),
            *_hanging(m, others, answer),
        ),
        said("place", "alone" if among == 1 else "among", row),
        " ".join(said("storage", part, row) for part in _storage(m)),
    )


def _storage(m: Measurement) -> list[str]:
    """What is said and advised of features in few bits; nothing where nothing was measured."""
    if "four_bits" not in m.values:
        return []
    kept = {name: float(m.value(name)) for name in m.values if name.startswith("four_bits")}
    turned = kept["four_bits_rotated"] - kept["four_bits"] >= rotation.WORTH
    if "four_bits_ranged" not in kept:  # as earlier versions measured
        return ["found before", "rotate" if turned else "neither"]
    centred = kept["four_bits_less_mean"] - kept["four_bits"] >= rotation.WORTH
    as_well = kept["four_bits_less_mean"] > kept["four_bits_rotated"] - rotation.WORTH
    ranged = kept["four_bits_ranged_rotated"] - kept["four_bits_ranged"] >= rotation.WORTH
    of_vector = "mean" if centred and as_well else "rotate" if turned else ""
    if not of_vector and not ranged:
        return ["found", "neither"]
    return ["found", *filter(None, [of_vector]), "ranged" if ranged else "not ranged"]


def _hanging(m: Measurement, others: Sequence[Measurement], answer: str) -> Iterable[str]:
    """The recorded model on which alone the answer depends."""
    marks = marks_of(others)
    for model in filter(None, (marks.plain_of, marks.outlying_of)):
        without = _answer(m, marks_of([other for other in others if other.model != model]))[0]
        if without != answer:
            yield said("cautions", "marks", {"model": model, "without": without})


def _answer(m: Measurement, marks: Marks) -> tuple[str, str]:
    """The answer, and the reason where there is none."""
    why = _doubt(m, marks)
    low = m.kurtosis.high < marks.at(1 / 3)
    return ("cannot tell" if why else "none" if low else "shows"), why


def _doubt(m: Measurement, marks: Marks) -> str:
    """Why there is no answer; "" if there is one."""
    _, low, high = m.kurtosis
    outlying = len(m.value("outlier_coordinates")) > 0
    least, most = share_interval(m, "outliers_lead")
    if layer(m) != "signed":
        return "not signed"
    if high < marks.at(1 / 3):
        return "low with outliers" if outlying else ""
    if marks.at(1 / 3) <= low and high <= marks.at(2 / 3):
        return "between"
    if low <= marks.at(2 / 3):
        return "few for kurtosis"
    if not outlying or most < PERSISTENCE_THRESHOLD:
        return "no persistence"
    if least <= PERSISTENCE_THRESHOLD:
        return "few for persistence"
    if m.value("varying") < VARYING_THRESHOLD:
        return "alike"
    return "mean alone" if kurtosis_less_mean(m).low <= LESS_MEAN_THRESHOLD else ""


# The models to compare with


def marks_of(recorded: Sequence[Measurement]) -> Marks:
    """The marks that recorded models of signed layers set."""
    signed = [m for m in recorded if _signed(m)]
    low = [(m.kurtosis.value, m.model) for m in signed if m.level in CONTROLS]
    high = [(m.kurtosis.value, m.model) for m in _towering(signed)]
    apart = low and high and max(low)[0] < min(high)[0]
    return Marks(*max(low), *min(high)) if apart else Marks()


def _towering(signed: Sequence[Measurement]) -> list[Measurement]:
    """Zero-shot models whose dominant coordinate leads no less often than that of any control.

    Others, as EVA-CLIP, have no outlier features, so they set no mark for having these.
    """
    often = [m.value("persistence_fraction") for m in signed if m.level in CONTROLS]
    every = [m for m in signed if m.level == "zero_shot"]
    return [m for m in every if m.value("persistence_fraction") >= max(often, default=0)]


def known_models() -> list[Measurement]:
    """The recorded models to compare with, so that no verdict depends on the store.

    Captions are no images, and what lies before a model's last layers is no model.
    """
    own = {m.name for f in load_families().values() for m in f.models if m.own_layer}
    recorded = records.read_all("outlier_features")
    return [m for m in recorded if m.model not in own and "captions" not in m.data.name]


def _signed(m: Measurement) -> bool:
    return bool(m.value("negative_share") > 0)


def said_next(judged: Probe) -> str:
    """What to do after this answer."""
    return said("next", judged.answer, values_of(judged.measurement))
