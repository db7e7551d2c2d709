"""Effective robustness: models and a baseline's pool on the same shifts, with intervals.

A view names its shifts and what its baseline is fitted to. Values of different views are never
compared with each other. The paper's families have one view on five shifts and, for models without
ObjectNet, which timm does not measure, one on four; pocket families one on unseen styles and one on
the seen style. All go the same way: accuracies in one table (`accuracies`), the pool's line, and
the distance to it (`analysis.metrics.robustness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Family
from analysis.images import emoji, sets
from analysis.images.imagelist import is_whole
from analysis.metrics.robustness import (
    NORMAL_95,
    PAPER_BASELINE,
    Baseline,
    bootstrap_baselines,
    effective_robustness,
    expected,
    fit_baseline,
    resampled_units,
    sampling_error,
    weighted_accuracy,
)
from companion.measurements import accuracies, records
from companion.measurements.accuracies import (
    CLIP_V2,
    FIVE_SHIFTS,
    FOUR_SHIFTS,
    OWN,
    TRAININGS,
    V2,
    Pool,
    Role,
)
from companion.measurements.records import Measurement

Array = NDArray[np.float64]
Name = Literal["five", "four", "unseen", "seen"]

#: Which models of the testbed are in the pool, in words.
POOL_TITLES = {"all": "all but more data", "standard": "standard training only"}
MODELS = ["family", "title", "name", "pretraining", "level", "seed", "source", "model"]


@dataclass(frozen=True)
class View:
    """Models and pool with their accuracies (fractions) on the same shifts.

    ``models`` is as `effective` gives it; ``pool`` has imagenet, the shifts and shifted. ``line``
    is fitted to the pool, ``reference`` is what effective robustness is measured from: the line, or
    the paper's printed one. ``fits`` are the lines that could stand for it, each with the number of
    models that it is fitted to.
    """

    name: Name
    shifts: Mapping[str, str]  # column → short title
    inside: str  # what the accuracy on the horizontal axis is of
    outside: str
    where: str  # the shifts in words
    pool: pd.DataFrame
    line: Baseline
    reference: Baseline
    fits: Mapping[str, tuple[Baseline, int | None]]
    models: pd.DataFrame = field(default_factory=pd.DataFrame)


def view(
    name: Name,
    families: Iterable[Family] = (),
    measured: Sequence[Measurement] = (),
    v2: V2 = CLIP_V2,
) -> View:
    """A view with the models of some families.

    ``measured``: accuracies of this book's own, which join the view on five shifts as models of
    the source `OWN`. ``v2``: the ImageNet-V2 variant in the published pool.
    """
    families = list(families)
    if name == "five" or name == "four":
        return _of_published(name, families, measured, v2)
    return _of_pocket(name, families)


def of_family(
    family: Family, v2: V2 = CLIP_V2, measured: Sequence[Measurement] = ()
) -> tuple[View, View]:
    """The two views of a family, the arguments as for `view`."""
    names: tuple[Name, Name] = (
        ("unseen", "seen") if family.edition == "pocket" else ("five", "four")
    )
    return view(names[0], [family], measured, v2), view(names[1], [family], measured, v2)


def effective(
    table: pd.DataFrame, shifts: Sequence[str], baseline: Baseline = PAPER_BASELINE
) -> pd.DataFrame:
    """Effective robustness of the models in a table of accuracies, in its order.

    Columns: `MODELS`, imagenet, the shifts, shifted, er, er_95 and evidence. er_95 is half the
    width of the 95 % interval from the finite test sets, the baseline held fixed; NaN in the pocket
    lab, whose styles show the same concepts and are no independent samples. ImageNet-V2 is the
    matched-frequency variant. Models that lack a data set are left out, and those that recognise
    none or all of ImageNet's images, which has no logit; of published models, what other sources
    than a model's first one say; of own features, models with random weights.
    """
    rows = accuracies.wide(table, CLIP_V2, shifts)
    images = accuracies.wide(table, CLIP_V2, shifts, values="images")
    own, inside = rows["source"] == OWN, rows["imagenet"]
    first = rows.groupby(["name", own], sort=False)["source"].transform("first")
    kept = (rows["source"] == first) & (inside > 0) & (inside < 1)
    kept &= ~(own & (rows["level"] == "random"))
    rows, images = rows[kept].reset_index(drop=True), images[kept]
    top1, tops = rows["imagenet"].to_numpy(float), rows[list(shifts)].to_numpy(float)
    counts: Any = images["imagenet"].to_numpy(float)
    error = sampling_error(tops, images[list(shifts)].to_numpy(float), top1, counts, baseline)
    er = effective_robustness(rows["shifted"].to_numpy(float), top1, baseline)
    error = np.where(rows["source"] == TRAININGS, np.nan, NORMAL_95 * error)
    kinds = table.groupby(["name", "source"])["evidence"].min()  # live, if any of them is
    found = rows.assign(er=er, er_95=error).join(kinds, on=["name", "source"])
    return found[[*MODELS, "imagenet", *shifts, "shifted", "er", "er_95", "evidence"]]


def of_own_features(
    families: Mapping[str, Family], measured: Iterable[Measurement] | None = None
) -> pd.DataFrame:
    """`effective` on five shifts of all that was measured of the families, live or recorded.

    Copies of a data set that differ from the published one are left out: they decide no claim.
    ``measured``: judge these instead.
    """
    if measured is None:
        measured = [
            m for f in families.values() for m in records.available("accuracy", f, sets.GRID)
        ]
    whole = [one for one in measured if is_whole(one.data.what)]
    return effective(accuracies.measured(families.values(), whole), FIVE_SHIFTS)


def fit_choices(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Constants of the baseline on five shifts under every choice that the paper leaves open.

    Columns: v2, kinds, models (in the pool), slope, intercept, r.
    """
    table = accuracies.load() if table is None else table
    rows = []
    for kinds in get_args(Pool):
        for v2 in get_args(V2):
            pool = accuracies.baseline_pool(accuracies.wide(table, v2), kinds)
            line = _line(pool)
            rows.append((v2, kinds, len(pool), line.slope, line.intercept, line.r))
    return pd.DataFrame(rows, columns=["v2", "kinds", "models", "slope", "intercept", "r"])


def groups(er: pd.DataFrame, families: Mapping[str, Family]) -> pd.DataFrame:
    """One row per backbone and pretraining set, with each level's effective robustness.

    Columns: family, title, pretraining; zero_shot, finetuned, supervised and their `_95`; NaN
    where no accuracy is published. Where many finetuned models were measured (model soups), the
    median stands for them and its `_95` is NaN. The supervised model is its backbone's only one.
    """
    rows = []
    for name, family in families.items():
        own = er[er["family"] == name]
        supervised = _median(own[own["level"] == "supervised"])
        for model in family.at_level("zero_shot"):
            same = own[own["pretraining"] == model.pretraining]
            row: dict[str, object] = {"family": name, "title": family.title}
            row["pretraining"] = model.pretraining
            row["zero_shot"], row["zero_shot_95"] = _median(same[same["level"] == "zero_shot"])
            row["finetuned"], row["finetuned_95"] = _median(same[same["level"] == "finetuned"])
            row["supervised"], row["supervised_95"] = supervised
            rows.append(row)
    return pd.DataFrame(rows)


def triples(family: Family, view: View) -> pd.DataFrame:
    """Effective robustness of a zero-shot model, the one finetuned from it, and a supervised one.

    `groups` where all three are known: one row for each pretraining set, in the pocket lab for each
    seed. Own and published accuracies are never compared across levels, so those of the source
    `OWN` are left out.
    """
    found = [
        groups(own, {family.name: family})
        for _, own in view.models[view.models["source"] != OWN].groupby("seed")
    ]
    levels = ["zero_shot", "finetuned", "supervised"]
    return pd.concat(found or [pd.DataFrame(columns=levels)]).dropna(subset=levels)


def once(models: pd.DataFrame) -> pd.DataFrame:
    """The models without those of the source `OWN` that another source has, too."""
    published = models.loc[models["source"] != OWN, "name"]
    return models[(models["source"] != OWN) | ~models["name"].isin(published)]


def by_shift(shown: Sequence[View]) -> tuple[pd.DataFrame, dict[str, Baseline]]:
    """Effective robustness on each shift alone, against that shift's own line, and these lines.

    One row per model and shift of the views: the models' columns, `shift`, and its `er`. Of a
    shift that several views have the first one counts, and each model once. Pool models that are
    never right on a shift have no logit there and are left out of its line.
    """
    lines = {
        shift: _line(view.pool[view.pool[shift] > 0], shift)
        for view in reversed(shown)
        for shift in view.shifts
    }
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


# Intervals


def with_interval(models: pd.DataFrame, drawn: Mapping[str, Array] | None = None) -> pd.DataFrame:
    """Models with ``low`` and ``high``, the ends of the 95 % interval of each effective robustness.

    In the pocket lab those of what is `drawn` (`resampled`), else `er_95` to either side.
    """
    if drawn is None:
        return models.assign(
            low=models["er"] - models["er_95"], high=models["er"] + models["er_95"]
        )
    ends = [np.percentile(drawn[name], [2.5, 97.5], axis=0) for name in models["name"].unique()]
    low, high = np.concatenate([np.empty((2, 0)), *ends], axis=1)
    return models.assign(low=low, high=high)


def averaged(family: Family, view: View, resamples: int, seed: int) -> pd.DataFrame:
    """One row for each model and source of a view, in its order.

    Columns: name, level, source; er, imagenet and shifted, in the pocket lab the mean over seeds,
    of many checkpoints of one description the median; ``low`` and ``high``, of seeds the 95 %
    interval from `resamples` resamples of the test concepts and the pool (drawn with `seed`), of
    checkpoints the lowest and highest; ``er_95`` of a single one instead, else NaN; ``each``, the
    effective robustness of every seed or checkpoint.
    """
    in_pocket = family.edition == "pocket"
    drawn = resampled(view, resamples, seed) if in_pocket else {}
    rows = []
    for (name, source), own in view.models.groupby(["name", "source"], sort=False):
        numbers = own[["er", "imagenet", "shifted"]]
        middle = numbers.mean() if in_pocket else numbers.median()
        low, high = own["er"].min(), own["er"].max()
        if in_pocket:
            low, high = np.percentile(drawn[str(name)].mean(axis=1), [2.5, 97.5])
        error = np.nan if len(own) > 1 else own["er_95"].iloc[0]
        rows.append({"name": name, "level": own["level"].iloc[0], "source": source, **middle,
                     "low": low, "high": high, "er_95": error,
                     "each": list(own["er"])})  # fmt: skip
    columns = ["name", "level", "source", "er", "imagenet", "shifted", "low", "high", "er_95"]
    return pd.DataFrame(rows, columns=[*columns, "each"])


def resampled(view: View, resamples: int, seed: int) -> dict[str, Array]:
    """Effective robustness in the pocket lab under resampled test concepts and resampled pools.

    Model name → (resamples, seeds of training), fractions. Every resample draws the test concepts
    with replacement, the same ones for all styles and models (near-duplicates are drawn alone),
    and refits the baseline to a resample of the pool.
    """
    pool = view.pool
    refits = bootstrap_baselines(pool["imagenet"], pool["shifted"], resamples, seed + 1)
    accuracy = _accuracy_resampled(resamples, seed)
    found: dict[str, list[Array]] = {}
    for name, number in view.models[["name", "seed"]].itertuples(index=False):
        shifted = np.mean([accuracy[name, number, style] for style in view.shifts], axis=0)
        inside = accuracy[name, number, emoji.IMAGENET]
        column = shifted - expected(inside[:, None], refits)[:, 0]
        found.setdefault(name, []).append(column)
    return {name: np.column_stack(columns) for name, columns in found.items()}


@lru_cache(maxsize=4)
def _accuracy_resampled(resamples: int, seed: int) -> dict[tuple[str, int, str], Array]:
    """(model, seed, style) → accuracy under every resample of the test concepts."""
    table = emoji.metadata()
    table = table[(table["split"] == "test") & (table["class_index"] >= 0)]
    units = table.assign(unit=pd.factorize(table["concept"], sort=True)[0])
    of_style = {str(style): rows["unit"] for style, rows in units.groupby("style", sort=False)}
    drawn = dict(
        zip(of_style, resampled_units(list(of_style.values()), resamples, seed), strict=True)
    )
    right = accuracies.recognised()
    found: dict[tuple[str, int, str], Array] = {}
    for style, weights in drawn.items():
        keys = [key for key in right if key[2] == style]
        accuracy = weighted_accuracy(np.array([right[key] for key in keys]), weights)
        found |= zip(keys, accuracy.T, strict=True)
    return found


# What each view is of


def _of_published(
    name: Literal["five", "four"],
    families: Sequence[Family],
    measured: Sequence[Measurement],
    v2: V2,
) -> View:
    shifts = FIVE_SHIFTS if name == "five" else FOUR_SHIFTS
    table = accuracies.load()
    pool = accuracies.baseline_pool(accuracies.wide(table, v2, shifts))
    line = _line(pool)
    reference, known = line, accuracies.published(families, table)
    fits: dict[str, tuple[Baseline, int | None]] = {f"{name} shifts": (line, len(pool))}
    if name == "five":
        reference = PAPER_BASELINE
        known = accuracies.joined([known, accuracies.measured(families, measured)])
        fits = {"printed constants": (PAPER_BASELINE, None)}
        for c in fit_choices(table).itertuples():
            title = f"V2 {str(c.v2).replace('_', ' ')}, {POOL_TITLES[str(c.kinds)]}"
            fits[title] = Baseline(c.slope, c.intercept, c.r), int(c.models)  # type: ignore[arg-type]
    models = effective(known, shifts, reference)
    if name == "four":  # one finetuning recipe: here timm's
        models = models[models["source"] != "model_soups"]
    titles = {sets.column(shift): sets.short(shift) for shift in sets.SHIFTS}
    return View(name, {shift: titles[shift] for shift in shifts}, "ImageNet top-1",
                f"mean top-1 of {len(shifts)} shifts", f"{name} shifts", pool, line, reference,
                fits, models)  # fmt: skip


def _of_pocket(role: Role, families: Sequence[Family]) -> View:
    styles = accuracies.styles(role)
    unseen = role == "unseen"
    pool = accuracies.pocket_pool(role)
    line = _line(pool)
    where = "unseen styles" if unseen else "the seen style"
    return View(role, {style: style.replace("_", " ") for style in styles},
                "accuracy in the training style",
                "mean accuracy in unseen styles" if unseen else "accuracy in the seen style",
                where, pool, line, line, {where: (line, len(pool))},
                effective(accuracies.pocket(families), styles, line))  # fmt: skip


def _line(pool: pd.DataFrame, shifted: str = "shifted") -> Baseline:
    return fit_baseline(pool["imagenet"], pool[shifted])


def _median(models: pd.DataFrame) -> tuple[float, float]:
    """The value and interval of one model, or the median of several."""
    if len(models) == 1:
        return float(models["er"].iloc[0]), float(models["er_95"].iloc[0])
    return float(models["er"].median()) if len(models) else np.nan, np.nan
