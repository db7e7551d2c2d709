"""What is measured inside one model: beside other models, and as its directions are pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from analysis.families.registry import Edition, Model
from analysis.metrics.pruning import Sweep
from companion.measurements.due import STYLES, TRAINING
from companion.measurements.measures import sweeps_of
from companion.measurements.records import Measurement
from companion.publish import overview, words
from companion.publish.charts import ORDERS, Curve
from companion.publish.dots import Marks, Row, look
from companion.publish.style import digits, percent, points, span, with_interval

Interval = tuple[float, float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Inside:
    """What is measured of one model; ``sweep`` prunes by importance."""

    outliers: Measurement
    directions: Measurement
    sweep: Sweep

    @property
    def model(self) -> Model:
        """The model."""
        return words.whose(self.outliers)[1]

    @property
    def backbone(self) -> str:
        """What its family is called."""
        return words.whose(self.outliers)[0].title

    @property
    def title(self) -> str:
        """Backbone and model, without what all pocket models have in common."""
        return f"{self.backbone.removeprefix('Pocket ')}, {self.model.title}"

    @property
    def rank(self) -> int:
        """How many directions the head has."""
        return len(self.sweep.curves.inside)

    @property
    def robustness(self) -> Interval:
        """Effective robustness with all directions, and the ends of its 95 % interval."""
        ends = (self.sweep.curves, self.sweep.low, self.sweep.high)
        value, low, high = (float(end.robustness[-1]) for end in ends)
        return value, low, high

    def kept(self, pruned_share: float) -> int:
        """How many directions are left with a share of them pruned."""
        return round((1 - pruned_share) * self.rank)

    def accuracy(self, pruned_share: float) -> float:
        """Accuracy in the training distribution with a share of the directions pruned."""
        return float(self.sweep.curves.inside[self.kept(pruned_share) - 1])

    def change(self, quantity: str, pruned_share: float) -> Interval:
        """What pruning a share of the directions changes, and its 95 % interval."""
        return change(self.sweep, quantity, self.kept(pruned_share))


def change(sweep: Sweep, quantity: str, kept: int) -> Interval:
    """What keeping so many directions changes, and its 95 % interval; fractions."""
    ends = (sweep.change, sweep.change_low, sweep.change_high)
    value, low, high = (float(getattr(end, quantity)[sweep.at(kept)]) for end in ends)
    return value, low, high


def models(edition: Edition) -> list[Inside]:
    """Those models of which everything is measured, on the training images and all data sets."""
    found = []
    for m in overview.known("outlier_features", edition):
        if m.data.name == TRAINING:
            directions = words.of_same_model(m, "privileged_directions").get(TRAINING)
            pruned = words.of_same_model(m, "pruning_under_shift").get("pocket")
            if directions and pruned:
                found.append(Inside(m, directions, sweeps_of(pruned)["importance"]))
    return found


def by_family(found: Iterable[Inside], shown: Callable[[Inside], T]) -> dict[str, list[T]]:
    """What is shown of each model, by its family's title."""
    rows: dict[str, list[T]] = {}
    for one in found:
        rows.setdefault(one.backbone, []).append(shown(one))
    return rows


def robust_at_kurtosis(one: Inside) -> Marks:
    """Effective robustness at the model's κ; hollow for the small web."""
    model, kurtosis = one.model, one.outliers.value("kurtosis_mean")
    return Marks(model.title, model.level, kurtosis, *one.robustness, look=look(model.name))


def top_importance(one: Inside) -> Row:
    """The largest importance, and that with the head centred."""
    importance, centred = map(one.directions.value, ("importance", "importance_head_centred"))
    return Row(one.model.title, one.model.level, importance.max(), other=centred[0])


def control(found: Iterable[Inside]) -> str:
    """Persistence of random weights beside that of trained models; "" without random weights."""
    measured = list(found)
    random, trained = (
        [one.outliers for one in measured if (one.model.level == "random") == untrained]
        for untrained in (True, False)
    )
    if not random:
        return ""
    leads, led = (
        span(100 * m.value("persistence_fraction") for m in some) for some in (random, trained)
    )
    kurtosis = span(m.value("kurtosis_mean") for m in random)
    return (
        f"With random weights one coordinate is dominant in {leads} % of the images, in trained "
        f"models in {led} %. Yet κ of the random weights is {kurtosis}: persistence without a high "
        "κ is not an outlier feature."
    )


def by_style(found: Iterable[Measurement]) -> pd.DataFrame:
    """κ and persistence P (%) of a family's models, on average over groups of the pocket styles.

    Where a model was measured on some of the unseen styles, a column says of each on how many.
    Empty for measurements of other images.
    """
    every = pd.DataFrame(
        {
            "model": words.whose(m)[1].title,
            "group": group,
            "κ": m.value("kurtosis_mean"),
            "P": 100 * m.value("persistence_fraction"),
        }
        for m in found
        for group, names in STYLES.items()
        if m.data.name in names
    )
    if every.empty:
        return every
    grouped = every.groupby(["model", "group"], sort=False)
    means, counts = grouped.mean().unstack(), grouped.size().unstack(fill_value=0)
    cells = {
        f"{quantity}, {group}": means[quantity, group].map(form, "ignore").fillna("n/a")
        for group in STYLES
        for quantity, form in (("κ", digits), ("P", "{:.1f}".format))
        if (quantity, group) in means
    }
    if "unseen" in counts and not counts["unseen"].isin((0, len(STYLES["unseen"]))).all():
        cells["unseen styles"] = counts["unseen"]
    return pd.DataFrame(cells).reset_index()


def signed(value: Interval) -> str:
    """A difference with its interval, in points."""
    return with_interval(*value, ", ")


def pruning_curves(orders: Mapping[str, Sweep], quantity: str, lowest: float) -> dict[str, Curve]:
    """One quantity in each order of pruning, with its interval in two of them.

    ``lowest``: the accuracy below which the baseline is extrapolated, and robustness not sound.
    """
    found = {}
    for order in ORDERS:
        sweep, band = orders[order], order in ("importance", "random")
        low, high = (getattr(end, quantity) if band else None for end in (sweep.low, sweep.high))
        sound = sweep.curves.inside >= (lowest if quantity == "robustness" else 0)
        found[order] = Curve(sweep.steps, getattr(sweep.curves, quantity), low, high, sound)
    return found


def pruning_rows(
    title: str, sweep: Sweep, shares: Iterable[float], inside: str, outside: str, lowest: float
) -> Iterator[dict[str, str]]:
    """A row for each share of directions kept: accuracies, robustness, and how they change.

    ``inside``, ``outside``: what the training distribution and its shifts are called.
    """
    rank = int(sweep.steps[-1])
    for kept in dict.fromkeys(max(1, round(share * rank)) for share in shares):
        top1, mean, er = (values[sweep.at(kept)] for values in sweep.curves)
        whole = kept == rank
        yield {
            "model": title,
            "kept": str(kept),
            f"{inside} (%)": percent(top1),
            "change (points)": "" if whole else signed(change(sweep, "inside", kept)),
            f"{outside.removesuffix(' styles')} (%)": percent(mean),
            "ER (points)": points(er) + " (*)" * bool(top1 < lowest),
            "change of ER": "" if whole else signed(change(sweep, "robustness", kept)),
        }


def pruning_told(title: str, sweep: Sweep, share: float) -> str:
    """What pruning a share of the directions changes, and from where on a loss is established."""
    rank, least = int(sweep.steps[-1]), sweep.fewest_without_loss("inside")
    kept, high = round((1 - share) * rank), sweep.change_high
    lost = 0 if high is None else np.sum(high.robustness < 0)
    return (
        f"- **{title}:** with {kept} of {rank} directions kept accuracy changes by "
        f"{with_interval(*change(sweep, 'inside', kept))} points, effective robustness by "
        f"{with_interval(*change(sweep, 'robustness', kept))} points. A loss of accuracy is "
        f"established below {least} directions ({100 * (1 - least / rank):.0f} % pruned), one of "
        f"effective robustness with {lost} of the {len(sweep.steps) - 1} smaller heads."
    )
