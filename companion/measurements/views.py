"""The views under which a family's effective robustness is shown: models beside one baseline.

Values of different views are never compared with each other: each has its own shifts and line.
The paper's families have one view on five shifts and, for models without ObjectNet, one on four;
pocket families one on unseen styles and one on the seen style. Accuracies from features of this
book's own are a view of their own, beside the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from analysis.families.registry import Family
from analysis.metrics.robustness import PAPER_BASELINE, Baseline, fit_baseline
from companion.measurements import (
    accuracy,
    pocket_robustness,
    published,
    published_robustness,
    records,
)
from companion.measurements.published import FIVE_SHIFTS, FOUR_SHIFTS, V2
from companion.measurements.records import Measurement

SHIFT_TITLES = {
    "imagenet_v2": "V2",
    "imagenet_r": "R",
    "imagenet_sketch": "Sketch",
    "objectnet": "ObjectNet",
    "imagenet_a": "A",
}
#: The source of accuracies that were measured here.
OWN = "own features"


@dataclass(frozen=True)
class View:
    """Models and pool with their accuracies (fractions) on the same shifts.

    ``models`` has at least name, level, pretraining, source, imagenet, the shifts, shifted and er;
    ``pool`` imagenet, the shifts and shifted. ``line`` is fitted to the pool, ``reference`` is
    what ``er`` is measured from: the line, or the paper's printed one.
    """

    name: Literal["five", "four", "own", "unseen", "seen"]
    shifts: Mapping[str, str]  # column → short title
    models: pd.DataFrame
    pool: pd.DataFrame
    line: Baseline
    reference: Baseline
    inside: str  # what the accuracy on the horizontal axis is of
    outside: str


def of_family(family: Family, v2: V2) -> tuple[View, View]:
    """The two views of a family; ``v2`` is the ImageNet-V2 variant in the published pool."""
    if family.edition == "pocket":
        return _pocket(family, "unseen"), _pocket(family, "seen")
    return _five(family, v2), _four(family, v2)


def own(family: Family, v2: V2, measured: Sequence[Measurement]) -> View:
    """The view on five shifts of the family's own accuracies (`of_measurements`)."""
    return replace(_five(family, v2), name="own", models=of_measurements({family.name: family},
                                                                         measured))  # fmt: skip


def of_measurements(
    families: Mapping[str, Family], measured: Sequence[Measurement]
) -> pd.DataFrame:
    """Effective robustness from measured accuracies: `published_robustness.of_families`' columns.

    One row per model that was measured on ImageNet and all five shifts, in the families' order,
    against the paper's printed line. Models with random weights are left out, and those that
    recognise none or all of ImageNet's images, which has no logit. `measured`: of the experiment
    `accuracy`; other data sets are left alone. One more column, `live`: whether any of the
    accuracies was just computed.
    """
    found = accuracy.by_model(measured)
    rows = []
    for family in families.values():
        for model in family.models:
            own = found.get(model.name, {})
            if model.level == "random" or accuracy.missing(own) or own["imagenet"].top1 in (0, 1):
                continue
            er = accuracy.robustness(own)
            tops = {name: own[name].top1 for name in ("imagenet", *FIVE_SHIFTS)}
            rows.append(
                {"family": family.name, "title": family.title, "name": model.name,
                 "pretraining": model.pretraining, "level": model.level, "source": OWN,
                 "model": model.name, **tops, "shifted": er.shifted, "er": er.er,
                 "er_95": published_robustness.NORMAL_95 * er.error,
                 "live": any(one.live for one in own.values())}
            )  # fmt: skip
    columns = ["family", "title", "name", "pretraining", "level", "source", "model"]
    columns += ["imagenet", *FIVE_SHIFTS, "shifted", "er", "er_95", "live"]
    return pd.DataFrame(rows, columns=columns)


def of_published_sets(families: Mapping[str, Family]) -> pd.DataFrame:
    """`of_measurements` of all that is known of the families, live or recorded.

    Copies of a data set that differ from the published one are left out: they decide no claim.
    """
    data = list(accuracy.NAMES.values())
    measured = [m for f in families.values() for m in records.available("accuracy", f, data)]
    complete = [m for m in measured if accuracy.of_measurement(m).complete]
    return of_measurements(families, complete)


def own_line(view: View, shift: str) -> Baseline:
    """The baseline of one shift alone; pool models never right there have no logit, left out."""
    sound = view.pool[view.pool[shift] > 0]
    return fit_baseline(sound["imagenet"], sound[shift])


def _five(family: Family, v2: V2) -> View:
    table = published.load()
    pool = published_robustness.pool(table, FIVE_SHIFTS, v2)
    line = fit_baseline(pool["imagenet"], pool["shifted"])
    models = published_robustness.of_families(table, {family.name: family})
    return View("five", SHIFT_TITLES, models, pool, line, PAPER_BASELINE,
                "ImageNet top-1", "mean top-1 of 5 shifts")  # fmt: skip


def _four(family: Family, v2: V2) -> View:
    table = published.load()
    pool = published_robustness.pool(table, FOUR_SHIFTS, v2)
    line = fit_baseline(pool["imagenet"], pool["shifted"])
    models = published_robustness.of_families(table, {family.name: family}, FOUR_SHIFTS, line)
    shifts = {shift: SHIFT_TITLES[shift] for shift in FOUR_SHIFTS}
    return View("four", shifts, models, pool, line, line, "ImageNet top-1",
                "mean top-1 of 4 shifts")  # fmt: skip


def _pocket(family: Family, role: pocket_robustness.Role) -> View:
    shifts = {style: style.replace("_", " ") for style in pocket_robustness.styles(role)}
    outside = "mean accuracy in unseen styles" if role == "unseen" else "accuracy in the seen style"
    line = pocket_robustness.baseline(role)
    return View(role, shifts, pocket_robustness.of_family(family, role),
                pocket_robustness.pool(role), line, line, "accuracy in the training style",
                outside)  # fmt: skip
