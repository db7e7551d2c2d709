"""Top-1 accuracy of a model on a data set, among the data set's own classes, and its ER.

A prediction chooses among the classes of the data set only: 200 for ImageNet-R and ImageNet-A, 113
for ObjectNet. Of a head with more classes the other rows are left out.

One class of ObjectNet may be several of ImageNet (``chair`` is barber, folding and rocking chair).
For a head of ImageNet's classes the convention is that of the ImageNet testbed (Taori et al. 2020)
and of WiSE-FT: the largest of the 125 ImageNet logits decides, and any of a class's own counts as
right. A zero-shot head is made of ObjectNet's own 113 names instead, as in CLIP_benchmark, from
which open_clip's published accuracies come (they kept the images' red border, which WiSE-FT, the
testbed and we cut off).

Accuracies are fractions. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.images.imagelist import is_whole
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    Baseline,
    effective_robustness,
    sampling_error,
)
from companion.measurements.published import FIVE_SHIFTS
from companion.measurements.records import Measurement

#: Data sets by the names that `published` gives them.
NAMES = {
    "imagenet": "imagenet",
    "imagenet_v2": "imagenet-v2",
    "imagenet_r": "imagenet-r",
    "imagenet_sketch": "imagenet-sketch",
    "objectnet": "objectnet",
    "imagenet_a": "imagenet-a",
}


@dataclass(frozen=True)
class Accuracy:
    """How many of ``images`` were recognised among ``classes``; ``what`` says which images.

    ``data`` is the data set's name in the store, ``live`` as in `Measurement`.
    """

    data: str
    right: int
    images: int
    classes: int
    what: str
    live: bool = False

    @property
    def complete(self) -> bool:
        """Whether the images are those of the data set, as far as its description says."""
        return is_whole(self.what)

    @property
    def top1(self) -> float:
        """The fraction of the images that is recognised."""
        return self.right / self.images

    @property
    def standard_error(self) -> float:
        """Binomial standard error of `top1` from the finite number of images, a fraction."""
        return float(np.sqrt(self.top1 * (1 - self.top1) / self.images))


@dataclass(frozen=True)
class Robustness:
    """Mean accuracy over the five shifts, effective robustness and its standard error."""

    shifted: float
    er: float
    error: float


def of_measurement(measured: Measurement) -> Accuracy:
    """Return a measured accuracy, exactly: from its counts, not from the rounded fraction."""
    counts = measured.counts
    hits = int(measured.value("right_per_class").sum())
    about = measured.data
    return Accuracy(
        about.name, hits, counts["images"], counts["classes"], about.what, measured.live
    )  # fmt: skip


def by_model(measured: Sequence[Measurement]) -> dict[str, dict[str, Accuracy]]:
    """Model → its accuracies on ImageNet and the shifts, by the names that `published` gives."""
    names = {data: name for name, data in NAMES.items()}
    found: dict[str, dict[str, Accuracy]] = {}
    for one in measured:
        if one.data.name in names:
            found.setdefault(one.model, {})[names[one.data.name]] = of_measurement(one)
    return found


def missing(accuracies: Mapping[str, Accuracy]) -> list[str]:
    """Name the data sets, as they are called in the store, that effective robustness lacks."""
    return [data for name, data in NAMES.items() if name not in accuracies]


def robustness(
    accuracies: Mapping[str, Accuracy], baseline: Baseline = PAPER_BASELINE
) -> Robustness:
    """Effective robustness of one model from its accuracies on ImageNet and the five shifts.

    ImageNet-V2 is the matched-frequency variant; the baseline is held fixed. Raises ValueError
    when one of the six is absent, since a mean over fewer shifts is another quantity, and where
    ImageNet accuracy is 0 or 1, which has no logit.
    """
    absent = missing(accuracies)
    if absent:
        raise ValueError(
            f"effective robustness needs accuracies on six data sets, {', '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} missing: extract and measure the rest."
        )
    shifts = [accuracies[shift] for shift in FIVE_SHIFTS]
    inside, top1 = accuracies["imagenet"], [one.top1 for one in shifts]
    shifted = float(np.mean(top1))
    er = effective_robustness(shifted, inside.top1, baseline)
    error = sampling_error(top1, [s.images for s in shifts], inside.top1, inside.images, baseline)
    return Robustness(shifted, float(er), float(error))
