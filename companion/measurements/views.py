"""The views under which a family's effective robustness is shown: models beside one baseline.

Values of different views are never compared with each other: each has its own shifts and line.
The paper's families have one view on five shifts and, for models without ObjectNet, one on four;
pocket families one on unseen styles and one on the seen style. Accuracies from features of this
book's own are a view of their own, beside the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.families.registry import Family
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    Baseline,
    effective_robustness,
    fit_baseline,
)
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
#: Which models of the testbed are in the pool, in words.
POOL_TITLES = {"all": "all but more data", "standard": "standard training only"}


@dataclass(frozen=True)
class View:
    """Models and pool with their accuracies (fractions) on the same shifts.

    ``models`` has at least family, name, level, pretraining, source, seed, imagenet, the shifts,
    shifted and er; ``pool`` imagenet, the shifts and shifted. ``line`` is fitted to the pool,
    ``reference`` is what ``er`` is measured from: the line, or the paper's printed one. ``fits``
    are the lines that could stand for it, each with the number of models that it is fitted to.
    """

    name: Literal["five", "four", "unseen", "seen"]
    shifts: Mapping[str, str]  # column → short title
    models: pd.DataFrame
    pool: pd.DataFrame
    line: Baseline
    reference: Baseline
    inside: str  # what the accuracy on the horizontal axis is of
    outside: str
    where: str  # the shifts in words
    fits: Mapping[str, tuple[Baseline, int | None]]


def of_family(family: Family, v2: V2, measured: Sequence[Measurement] = ()) -> tuple[View, View]:
    """The two views of a family; ``v2`` is the ImageNet-V2 variant in the published pool.

    ``measured``: accuracies of this book's own, which join the view on five shifts as models of
    the source `OWN`.
    """
    if family.edition == "pocket":
        return _pocket(family, "unseen"), _pocket(family, "seen")
    return _five(family, v2, measured), _four(family, v2)


def once(models: pd.DataFrame) -> pd.DataFrame:
    """The models without those of the source `OWN` that another source has, too."""
    published = models.loc[models["source"] != OWN, "name"]
    return models[(models["source"] != OWN) | ~models["name"].isin(published)]


def averaged(family: Family, view: View, resamples: int, seed: int) -> pd.DataFrame:
    """One row for each model and source of a view, in its order.

    Columns: name, level, source; er, imagenet and shifted, in the pocket lab the mean over seeds,
    of many checkpoints of one description the median; ``low`` and ``high``, of seeds the 95 %
    interval from `resamples` resamples of the test concepts and the pool (drawn with `seed`), of
    checkpoints the lowest and highest; ``er_95`` of a single one instead, else NaN; ``each``, the
    effective robustness of every seed or checkpoint.
    """
    in_pocket = family.edition == "pocket"
    drawn = (
        pocket_robustness.resampled(family, view.name, resamples, seed)
        if view.name in ("unseen", "seen")
        else {}
    )
    rows = []
    for (name, source), own in view.models.groupby(["name", "source"], sort=False):
        numbers = own[["er", "imagenet", "shifted"]]
        middle = numbers.mean() if in_pocket else numbers.median()
        ends = own["er"].min(), own["er"].max()
        if in_pocket:
            low, high = np.percentile(drawn[str(name)].mean(axis=1), [2.5, 97.5])
            ends = float(low), float(high)
        error = np.nan if in_pocket or len(own) > 1 else own["er_95"].iloc[0]
        rows.append({"name": name, "level": own["level"].iloc[0], "source": source, **middle,
                     "low": ends[0], "high": ends[1], "er_95": error,
                     "each": list(own["er"])})  # fmt: skip
    columns = ["name", "level", "source", "er", "imagenet", "shifted", "low", "high", "er_95"]
    return pd.DataFrame(rows, columns=[*columns, "each"])


def triples(family: Family, view: View) -> pd.DataFrame:
    """Effective robustness of a zero-shot model, the one finetuned from it, and a supervised one.

    `published_robustness.groups` where all three are known: one row for each pretraining set, in
    the pocket lab for each seed. Own and published accuracies are never compared across levels,
    so those of the source `OWN` are left out.
    """
    found = [
        published_robustness.groups(own, {family.name: family})
        for _, own in view.models[view.models["source"] != OWN].groupby("seed")
    ]
    levels = ["zero_shot", "finetuned", "supervised"]
    return pd.concat(found or [pd.DataFrame(columns=levels)]).dropna(subset=levels)


def by_shift(shown: Sequence[View]) -> tuple[pd.DataFrame, dict[str, Baseline]]:
    """Effective robustness on each shift alone, against that shift's own line, and these lines.

    One row per model and shift of the views: the models' columns, `shift`, and its `er`. Of a
    shift that several views have the first one counts, and each model once.
    """
    lines = {shift: own_line(view, shift) for view in reversed(shown) for shift in view.shifts}
    parts = [
        models.assign(shift=shift, er=effective_robustness(models[shift], models["imagenet"], line))
        for view in shown
        for models in [once(view.models)]
        for shift, line in lines.items()
        if shift in view.shifts
    ]
    found = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    found = found.drop_duplicates(["name", "source", "model", "seed", "shift"])
    order = list(dict.fromkeys(shift for view in shown for shift in view.shifts))
    return found, {shift: lines[shift] for shift in order}


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


def _five(family: Family, v2: V2, measured: Sequence[Measurement]) -> View:
    table = published.load()
    pool = published_robustness.pool(table, FIVE_SHIFTS, v2)
    line = fit_baseline(pool["imagenet"], pool["shifted"])
    families = {family.name: family}
    parts = [
        published_robustness.of_families(table, families), of_measurements(families, measured)
    ]  # fmt: skip
    models = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    fits: dict[str, tuple[Baseline, int | None]] = {"printed constants": (PAPER_BASELINE, None)}
    for c in published_robustness.fit_choices(table).itertuples():
        title = f"V2 {str(c.v2).replace('_', ' ')}, {POOL_TITLES[str(c.kinds)]}"
        fits[title] = Baseline(c.slope, c.intercept, c.r), int(c.models)  # type: ignore[arg-type]
    return View("five", SHIFT_TITLES, models.assign(seed=0), pool, line, PAPER_BASELINE,
                "ImageNet top-1", "mean top-1 of 5 shifts", "five shifts", fits)  # fmt: skip


def _four(family: Family, v2: V2) -> View:
    table = published.load()
    pool = published_robustness.pool(table, FOUR_SHIFTS, v2)
    line = fit_baseline(pool["imagenet"], pool["shifted"])
    models = published_robustness.of_families(table, {family.name: family}, FOUR_SHIFTS, line)
    models = models[models["source"] != "model_soups"]  # one finetuning recipe: here timm's
    shifts = {shift: SHIFT_TITLES[shift] for shift in FOUR_SHIFTS}
    return View("four", shifts, models.assign(seed=0), pool, line, line, "ImageNet top-1",
                "mean top-1 of 4 shifts", "four shifts",
                {"four shifts": (line, len(pool))})  # fmt: skip


def _pocket(family: Family, role: pocket_robustness.Role) -> View:
    shifts = {style: style.replace("_", " ") for style in pocket_robustness.styles(role)}
    outside = "mean accuracy in unseen styles" if role == "unseen" else "accuracy in the seen style"
    where = "unseen styles" if role == "unseen" else "the seen style"
    pool, line = pocket_robustness.pool(role), pocket_robustness.baseline(role)
    models = pocket_robustness.of_family(family, role).assign(family=family.name)
    models = models.assign(model=models["name"], er_95=np.nan)
    return View(role, shifts, models, pool, line, line, "accuracy in the training style",
                outside, where, {where: (line, len(pool))})  # fmt: skip
