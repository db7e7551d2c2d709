"""Effective robustness as a column of the accuracies, and its intervals.

A view is the shifts whose accuracies are averaged and the pool of models that the baseline is
fitted to. Values of different views are never compared. The paper's families have a view on five
shifts and, for models without ObjectNet, which timm does not measure, one on four. Pocket families
have one on unseen styles and one on the seen style. All views take the same steps: accuracies from
one table (`accuracies`), the pool's line, and the distance to it (`analysis.metrics.robustness`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import LEVELS, Edition, Family, Level, level_title
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
from companion.measurements import accuracies
from companion.measurements.accuracies import (
    CLIP_V2,
    FIVE_SHIFTS,
    FOUR_SHIFTS,
    MEASURED,
    TRAININGS,
    V2,
    Pool,
)
from companion.measurements.measurement import Measurement
from companion.sources import emoji
from companion.sources.sets import is_whole

Array = NDArray[np.float64]
Name = Literal["five", "four", "unseen", "seen"]

#: What is averaged in each view.
SHIFTS_OF: dict[Name, tuple[str, ...]] = {
    "five": FIVE_SHIFTS,
    "four": FOUR_SHIFTS,
    "unseen": accuracies.styles("unseen"),
    "seen": accuracies.styles("seen"),
}
#: Which models of the testbed are in the pool, in words.
POOL_TITLES = {"all": "all but more data", "standard": "standard training only"}
#: The levels that the paper orders, the most robust first.
ORDER: tuple[Level, ...] = ("zero_shot", "finetuned", "supervised")
MODELS = ["family", "title", "name", "pretraining", "level", "seed", "source", "model"]


class Words(NamedTuple):
    """The names of a view's axes and of its shifts."""

    inside: str
    outside: str
    shifts: str


IN_POCKET = "accuracy in the training style"
WORDS = {
    SHIFTS_OF["five"]: Words("ImageNet top-1", "mean top-1 of five shifts", "five shifts"),
    SHIFTS_OF["four"]: Words("ImageNet top-1", "mean top-1 of four shifts", "four shifts"),
    SHIFTS_OF["unseen"]: Words(IN_POCKET, "mean accuracy in unseen styles", "unseen styles"),
    SHIFTS_OF["seen"]: Words(IN_POCKET, "accuracy in the seen style", "the seen style"),
}


class View(NamedTuple):
    """The shifts that are averaged, and the models that the baseline is fitted to.

    ``pool`` has a row for each model, as `accuracies.wide` gives them.
    """

    shifts: tuple[str, ...]
    pool: pd.DataFrame

    @property
    def words(self) -> Words:
        """The names of its axes and of its shifts."""
        return WORDS[self.shifts]

    @property
    def line(self) -> Baseline:
        """The line through the pool."""
        return _line(self.pool)

    @property
    def reference(self) -> Baseline:
        """What effective robustness is measured from: the paper's printed line, if it has one."""
        return PAPER_BASELINE if self.shifts == FIVE_SHIFTS else self.line

    def models(self, table: pd.DataFrame) -> pd.DataFrame:
        """The `effective` robustness of the models of a long table of accuracies.

        Measured and published accuracies share the view on five shifts. On four shifts only one
        finetuning recipe counts, timm's, so neither model soups nor measured accuracies do.
        """
        if self.shifts == FOUR_SHIFTS:
            table = table[~table["source"].isin(["model_soups", MEASURED])]
        return effective(table, self.shifts, self.reference)

    def candidates(self) -> list[tuple[str, Baseline, int | None]]:
        """The candidates for its baseline: title, line, and how many models it is fitted to."""
        if self.shifts != SHIFTS_OF["five"]:
            return [(self.words.shifts, self.line, len(self.pool))]
        choices = fit_choices()
        names = "V2 " + choices["v2"].str.replace("_", " ") + ", "
        names += choices["kinds"].map(POOL_TITLES)
        lines = [Baseline(*c) for c in choices[["slope", "intercept", "r"]].to_numpy().tolist()]
        first = ("printed constants", PAPER_BASELINE, None)
        return [first, *zip(names, lines, choices["models"], strict=True)]


def view(name: Name, v2: V2 = CLIP_V2) -> View:
    """The view of that name. ``v2``: the variant of ImageNet-V2 in the published pool."""
    if name == "unseen" or name == "seen":
        return View(SHIFTS_OF[name], accuracies.pocket_pool(name))
    every = accuracies.wide(accuracies.load(), v2, SHIFTS_OF[name])
    return View(SHIFTS_OF[name], accuracies.baseline_pool(every))


def views(edition: Edition, v2: V2 = CLIP_V2) -> tuple[View, View]:
    """The two views of an edition, the main one first."""
    if edition == "pocket":
        return view("unseen"), view("seen")
    return view("five", v2), view("four", v2)


def effective(
    table: pd.DataFrame, shifts: Sequence[str], baseline: Baseline = PAPER_BASELINE
) -> pd.DataFrame:
    """Effective robustness of the models in a long table of accuracies, in its order.

    Columns: `MODELS`, imagenet, the shifts, shifted, er, low, high and evidence; fractions. `low`
    and `high` end the 95 % interval from the finite test sets, with the baseline held fixed; NaN in
    the pocket lab, whose styles show the same concepts and are no independent samples. ImageNet-V2
    is the matched-frequency variant. Left out are models that lack a data set; models that
    recognise none or all of ImageNet's images, which has no logit; all but the first of several
    published sources of a model; and measured models with random weights.
    """
    rows = accuracies.wide(table, CLIP_V2, shifts)
    images = accuracies.wide(table, CLIP_V2, shifts, values="images")
    measured, inside = rows["source"] == MEASURED, rows["imagenet"]
    first = rows.groupby(["name", measured], sort=False)["source"].transform("first")
    kept = (rows["source"] == first) & (inside > 0) & (inside < 1)
    kept &= ~(measured & (rows["level"] == "random"))
    rows, images = rows[kept].reset_index(drop=True), images[kept]
    top1, tops = rows["imagenet"].to_numpy(float), rows[list(shifts)].to_numpy(float)
    counts: Any = images["imagenet"].to_numpy(float)
    error = sampling_error(tops, images[list(shifts)].to_numpy(float), top1, counts, baseline)
    er = effective_robustness(rows["shifted"].to_numpy(float), top1, baseline)
    error = np.where(rows["source"] == TRAININGS, np.nan, NORMAL_95 * error)
    kinds = table.groupby(["name", "source"])["evidence"].min()  # live, if any of them is
    of_rows = kinds.reindex(pd.MultiIndex.from_frame(rows[["name", "source"]])).to_numpy()
    rows = rows.assign(er=er, low=er - error, high=er + error, evidence=of_rows)
    return rows[[*MODELS, "imagenet", *shifts, "shifted", "er", "low", "high", "evidence"]]


def of_measured(families: Mapping[str, Family], measured: Iterable[Measurement]) -> pd.DataFrame:
    """`effective` robustness on five shifts from measured accuracies.

    Copies of a data set that differ from the published one are left out: they decide no claim.
    """
    table = accuracies.measured(families.values(), measured)
    return effective(table[table["what"].map(is_whole).astype(bool)], FIVE_SHIFTS)


def fit_choices(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Constants of the baseline on five shifts under every choice that the paper leaves open.

    Columns: v2, kinds, models (in the pool), slope, intercept, r.
    """
    table = accuracies.load() if table is None else table
    rows = []
    for kinds, v2 in itertools.product(get_args(Pool), get_args(V2)):
        pool = accuracies.baseline_pool(accuracies.wide(table, v2), kinds)
        line = _line(pool)
        rows.append((v2, kinds, len(pool), line.slope, line.intercept, line.r))
    return pd.DataFrame(rows, columns=["v2", "kinds", "models", "slope", "intercept", "r"])


def by_pretraining(er: pd.DataFrame, families: Mapping[str, Family]) -> pd.DataFrame:
    """One row for each zero-shot model and level: its effective robustness.

    Columns: family, title, name of the zero-shot model, pretraining, level; er, low, high, NaN
    where no accuracy is known. The median represents several checkpoints of one description (model
    soups), with no interval. Models of other levels belong to each zero-shot model of their
    pretraining set; a supervised model is its backbone's only one, and belongs to all.
    """
    rows = []
    for family in families.values():
        for model in family.at_level("zero_shot"):
            for level in ORDER:
                same = er[(er["family"] == family.name) & (er["level"] == level)]
                if level == "zero_shot":
                    same = same[same["name"] == model.name]
                elif level != "supervised":
                    same = same[same["pretraining"] == model.pretraining]
                median = same[["er", "low", "high"]].median()
                median[["low", "high"]] *= 1 if len(same) == 1 else np.nan
                about = family.name, family.title, model.name, model.pretraining
                rows.append((*about, level, *median))
    columns = ["family", "title", "name", "pretraining", "level", "er", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def in_paper_order(family: Family, er: pd.DataFrame) -> list[bool]:
    """Whether zero-shot exceeds finetuned and that exceeds supervised, wherever all are known.

    One answer for each zero-shot model, in the pocket lab for each seed. Measured and published
    accuracies are never compared across levels, so measured ones are left out.
    """
    answers: list[bool] = []
    for _, same in er[er["source"] != MEASURED].groupby("seed"):
        each = by_pretraining(same, {family.name: family}).set_index(["name", "level"])["er"]
        complete = each.unstack("level")[list(ORDER)].dropna()
        answers += (complete.diff(axis=1).iloc[:, 1:] < 0).all(axis=1).tolist()
    return answers


def once(models: pd.DataFrame) -> pd.DataFrame:
    """The models without the measured ones that another source has, too."""
    measured = models["source"] == MEASURED
    return models[~measured | ~models["name"].isin(models.loc[~measured, "name"])]


def by_shift(
    views: Sequence[View], table: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Baseline]]:
    """Effective robustness on each shift alone, against that shift's own line, and these lines.

    One row for each model and shift: `MODELS`, imagenet, shift, accuracy and er. A shift that
    several views have is taken from the first. Pool models that are never right on a shift have no
    logit there and are left out of its line.
    """
    parts: list[pd.DataFrame] = []
    lines: dict[str, Baseline] = {}
    for view in views:
        new = [shift for shift in view.shifts if shift not in lines]
        lines |= {shift: _line(view.pool[view.pool[shift] > 0], shift) for shift in new}
        models = once(view.models(table))
        parts.append(models.melt([*MODELS, "imagenet"], list(view.shifts), "shift", "accuracy"))
    rows = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    rows = rows.drop_duplicates(["name", "source", "model", "seed", "shift"])
    pairs = rows[["shift", "imagenet"]].itertuples(index=False)
    expects = [float(lines[str(shift)].predict(inside)) for shift, inside in pairs]
    return rows.assign(er=rows["accuracy"].astype(float) - expects), lines


def drawn(models: pd.DataFrame, edition: Edition) -> pd.DataFrame:
    """The models by level with the columns that figures need: `of`, `series` and `look`.

    Many checkpoints of one description are small marks; measured accuracies, and those of the
    pocket lab's second zero-shot model, are hollow ones.
    """
    soups, measured = (models["source"] == name for name in ("model_soups", MEASURED))
    small = models["name"].str.endswith("web-small")
    large = models["level"].isin(models.loc[small, "level"]) & ~small
    many = f" (model soups, {models.loc[soups, 'model'].nunique()} models)"
    which = [many, ", measured here", ", small web", ", large web"]
    titles = models["level"].map(lambda level: level_title(level, edition))
    models = models.assign(
        level_title=titles,
        series=titles + np.select([soups, measured, small, large], which, ""),
        look=np.select([soups, measured | small], ["small", "hollow"], "filled"),
        of=models["model"].where(soups, models["title"] + ", " + trained_on(models)),
    )
    return models.sort_values("level", key=lambda level: level.map(LEVELS.index), kind="stable")


def trained_on(models: pd.DataFrame) -> pd.Series[Any]:
    """The pretraining set of each model or group, with a name where one set has several models."""
    first = models.loc[models["level"] == ORDER[0]]
    several = first.groupby(["family", "pretraining"])["name"].transform("nunique") > 1
    named = models["name"].isin(first.loc[several, "name"])
    return models["pretraining"].where(~named, models["pretraining"] + " (" + models["name"] + ")")


# Intervals


def averaged(models: pd.DataFrame, drawn: Mapping[str, Array]) -> pd.DataFrame:
    """One row for each model and source, in their order, from `effective`.

    Columns: name, level, source, er, imagenet, shifted, low, high and each, the effective
    robustness of every seed or checkpoint. Of seeds the mean is given, with the 95 % interval from
    `drawn` (`resampled_lab`, empty outside the pocket lab); of several checkpoints of one
    description the median, the lowest and the highest.
    """
    rows = []
    for (name, source), same in models.groupby(["name", "source"], sort=False):
        numbers = same[["er", "imagenet", "shifted", "low", "high"]]
        row = (numbers.mean() if drawn else numbers.median()).to_dict()
        if drawn:
            row["low"], row["high"] = np.percentile(drawn[str(name)].mean(axis=1), [2.5, 97.5])
        elif len(same) > 1:
            row["low"], row["high"] = same["er"].min(), same["er"].max()
        about = {"name": name, "level": same["level"].iloc[0], "source": source}
        rows.append(about | row | {"each": list(same["er"])})
    columns = ["name", "level", "source", "er", "imagenet", "shifted", "low", "high", "each"]
    return pd.DataFrame(rows, columns=columns)


def resampled_lab(view: View, models: pd.DataFrame, resamples: int, seed: int) -> dict[str, Array]:
    """Effective robustness in the pocket lab under resampled test concepts and resampled pools.

    Model name → (resamples, seeds of training), fractions. Every resample draws the test concepts
    with replacement, the same ones for all styles and models (near-duplicates are drawn alone),
    and refits the baseline to a resample of the pool. Empty of models that were not trained there.
    """
    models = models[models["source"] == TRAININGS]
    if models.empty:
        return {}
    pool = view.pool
    refits = bootstrap_baselines(pool["imagenet"], pool["shifted"], resamples, seed + 1)
    accuracy = _accuracy_resampled(resamples, seed)
    by_model: dict[str, list[Array]] = {}
    for name, number in models[["name", "seed"]].itertuples(index=False):
        shifted = np.mean([accuracy[name, number, style] for style in view.shifts], axis=0)
        inside = accuracy[name, number, emoji.IMAGENET]
        column = shifted - expected(inside[:, None], refits)[:, 0]
        by_model.setdefault(name, []).append(column)
    return {name: np.column_stack(columns) for name, columns in by_model.items()}


@lru_cache(maxsize=4)
def _accuracy_resampled(resamples: int, seed: int) -> dict[tuple[str, int, str], Array]:
    """(model, seed, style) → accuracy under every resample of the test concepts."""
    table = emoji.metadata()
    table = table[(table["split"] == "test") & (table["class_index"] >= 0)]
    units = table.assign(unit=pd.factorize(table["concept"], sort=True)[0])
    of_style = {str(style): rows["unit"] for style, rows in units.groupby("style", sort=False)}
    drawn = resampled_units(list(of_style.values()), resamples, seed)
    right = accuracies.recognised()
    by_key: dict[tuple[str, int, str], Array] = {}
    for style, weights in zip(of_style, drawn, strict=True):
        keys = [key for key in right if key[2] == style]
        accuracy = weighted_accuracy(np.array([right[key] for key in keys]), weights)
        by_key |= zip(keys, accuracy.T, strict=True)
    return by_key


def _line(pool: pd.DataFrame, shifted: str = "shifted") -> Baseline:
    return fit_baseline(pool["imagenet"], pool[shifted])
