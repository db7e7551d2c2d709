"""Candidates for an indicator of robustness: tables of models, and how well each candidate does.

A table of models has a row for each model (and seed), NaN where a quantity is not known; shares
are in percent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Edition, Family, Level, level_title
from analysis.metrics import indicators
from analysis.metrics.robustness import logit
from companion.chapters import unread_figures
from companion.chapters.measured import one_set_each
from companion.chapters.peers import left_out_error, off_the_line, share_explained
from companion.claims.evidence import Evidence, on_unseen_styles
from companion.measurements.accuracies import POCKET
from companion.measurements.intervals import Interval
from companion.measurements.kept_counts import counts_of
from companion.measurements.measurement import Measurement
from companion.measurements.quantities import Measurable

CANDIDATES = {
    "kurtosis": "κ",
    "persistence": "persistence (%)",
    "top_importance": "top importance (× mean)",
    "n_unique": "concepts",
    "best": "mean best AP (%)",
    "unread": "energy where texts hardly vary (%)",
    "imagenet": "accuracy without shift (%)",
}
#: No candidate, but what each has to beat: it needs labels, and no shifted data either.
TO_BEAT = "imagenet"
EXPERIMENTS: list[Measurable] = ["outlier_features", "privileged_directions", "concepts", "unread"]
#: Sets of random directions that are averaged, as in the recorded table.
CHANCE = 5
#: Models that a comparison takes at least; those of one group, of the zoo, families of the zoo.
LEAST, LEAST_WITHIN, LEAST_OF_THE_ZOO, LEAST_FAMILIES = 6, 5, 12, 3
#: What is stated of a candidate.
STATISTICS = (
    "rank",
    "gain",
    "given",
    "trained",
    "among_robust",
    "among_others",
    "area",
    "cut",
    "p",
)
#: Quantity of the zoo → its title, and the scale on which a line may depend on it.
ZOO_QUANTITIES: dict[str, tuple[str, Callable[..., Any]]] = {
    "imagenet": ("ImageNet accuracy", logit),
    "kurtosis": ("κ", np.log),
    "persistence": ("persistence", np.asarray),
    "mean_share": ("share in the mean image", np.asarray),
    "top_importance": ("top importance", np.log),
}
ByModel = dict[str, dict[Measurable, Measurement]]


# Tables of models


def measured(evidence: Evidence, anywhere: bool = False) -> ByModel:
    """Model → experiment → its measurement on the data that claims are about.

    ``anywhere``: where there is none, a measurement on the images that figures show.
    """
    measurements: ByModel = {}
    for experiment in EXPERIMENTS:
        wanted = evidence.probe if experiment == "concepts" else evidence.reference
        every = evidence.measured(experiment, *get_args(Level))
        on_wanted = [m for m in every if m.data.name == wanted]
        for m in on_wanted + (one_set_each(every) if anywhere else []):
            measurements.setdefault(m.model, {}).setdefault(experiment, m)
    return measurements


def of_models(evidence: Evidence, taken: ByModel) -> pd.DataFrame:
    """Each model's effective robustness, whether it is robust (None: not known), and candidates."""
    accuracies = [rows for view, rows in evidence.robustness.items() if view != "four"]
    accuracy = pd.concat(accuracies).groupby("name")["imagenet"].last()
    rows = [
        {"backbone": family.title, "model": model.name, "title": model.title, "level": model.level}
        | quantities(taken.get(model.name, {}), evidence)
        | evidence.intervals.get(model.name, Interval(*[np.nan] * 3))._asdict()
        | {"robust": evidence.robust[model.name].robust if model.name in evidence.robust else None}
        for family in evidence.families.values()
        for model in family.models
    ]
    models = pd.DataFrame(rows).rename(columns={"value": "er"})
    robust = models["robust"].astype(object).where(models["er"].notna(), None)
    inside = 100 * models["model"].map(accuracy).where(models["er"].notna())
    return models.assign(imagenet=inside, robust=robust)


def quantities(taken: Mapping[Measurable, Measurement], evidence: Evidence) -> dict[str, Any]:
    """The candidates of one model, and other quantities that are shown with them."""
    row: dict[str, Any] = {"on": ""}
    row |= dict.fromkeys([*CANDIDATES, "largest", "random_directions", "probed"], np.nan)
    if m := taken.get("outlier_features"):
        row["on"] = "" if m.data.name == evidence.reference else f": {m.data.title}"
        row["kurtosis"], row["largest"] = m.value("kurtosis_mean"), m.value("profile").max()
        row["persistence"] = 100 * m.value("persistence_fraction")
    if m := taken.get("privileged_directions"):
        row["top_importance"] = m.value("importance").max()
    if m := taken.get("unread"):
        row["unread"] = 100 * unread_figures.pairs([m])["energy"].iloc[0]
    if m := taken.get("concepts"):
        counts = counts_of(m)
        row["n_unique"], row["best"] = counts.value(evidence.counts), 100 * counts.value("best")
        row["random_directions"] = counts.of("random", evidence.counts)[:CHANCE].mean()
        row["probed"] = len(m.value("positives"))
    return row


def of_seeds(families: Mapping[str, Family], resamples: int, seed: int) -> pd.DataFrame:
    """The recorded candidates for every seed of pocket families; other families have none."""
    in_pocket = {name: f for name, f in families.items() if f.edition == "pocket"}
    if not in_pocket:
        return pd.DataFrame()
    models = on_unseen_styles(in_pocket, resamples, seed)
    models = models.assign(backbone=models["title"], imagenet=100 * models["imagenet"])
    models = models[["model", "seed", "er", "backbone", "low", "high", "imagenet", "robust"]]
    recorded = pd.read_csv(POCKET / "representations.csv")
    recorded[["persistence", "best"]] *= 100  # kept as fractions
    return recorded.merge(models, on=["model", "seed"])


def judgeable(models: pd.DataFrame) -> dict[str, str]:
    """Candidates that enough models have, with titles, and the quantity to beat."""
    return {
        candidate: title
        for candidate, title in CANDIDATES.items()
        if candidate in models
        if models.dropna(subset=[candidate, "er"])["model"].nunique() >= LEAST
    }


def against_robustness(
    models: pd.DataFrame, titles: Mapping[str, str], er: str, edition: Edition
) -> pd.DataFrame:
    """A row for each trained model and candidate: `value`, and effective robustness, in points.

    The column of the latter is ``er``. Seeds of a model are one row, their mean. Marks of the
    second backbone are hollow; the levels of the first are named.
    """
    if models.empty or (models["level"] == "random").all():
        return pd.DataFrame()
    models = models[models["level"] != "random"]
    by = ["model", "backbone", "level"]
    numbers = models.select_dtypes("number").columns
    models = models.groupby(by, sort=False)[[*numbers]].mean().reset_index()
    two = models["backbone"].nunique() == 2
    second = two & (models["backbone"] != models["backbone"].iloc[0])
    levels = models["level"].map(lambda level: level_title(level, edition))
    marks = models.rename(columns={"model": "of", "er": er} | {**titles})
    marks[er] *= 100
    marks = marks.assign(series=levels.mask(second, ""), look=np.where(second, "hollow", "filled"))
    about = ["of", "level", "series", "look"]
    rows = marks.melt([*about, er], [*titles.values()], var_name="panel")
    columns = ["panel", *about, "value", er]
    return rows[columns].dropna(subset=["value"]).reset_index(drop=True)


def of_known_robustness(models: pd.DataFrame) -> pd.DataFrame:
    """The models whose robustness, or lack of it, is known."""
    return models.dropna(subset=["robust"]).astype({"robust": bool})


def coverage(models: pd.DataFrame, edition: Edition) -> tuple[pd.DataFrame, str]:
    """For how many models of each level a quantity is known, and in words of which none is."""
    quantities = ["er", "kurtosis", "top_importance", "n_unique", "both"]
    both = models["er"].where(models["kurtosis"].notna())
    counted = models.assign(both=both).groupby("level")[["model", *quantities]].count()
    counted = counted.reindex([level for level in get_args(Level) if level in counted.index])
    counted["title"] = [level_title(level, edition) for level in counted.index]
    known = (counted[quantities] > 0).any(axis=1)
    absent = [f"{row['title']} ({row['model']})" for _, row in counted[~known].iterrows()]
    words = f"Models of which nothing is known: {', '.join(absent)}." if absent else ""
    return counted[known], words


# What is said of candidates


def judged(
    models: pd.DataFrame, titles: Mapping[str, str], to_beat: str, resamples: int, seed: int
) -> pd.DataFrame:
    """A row of `STATISTICS` for each candidate, NaN where one is undefined.

    The first four have the ends of a 95 % interval from ``resamples`` of models, all rows of a
    model together. ``to_beat`` is no candidate: its p-value is not among those that are adjusted
    for how many there are.
    """
    columns = [f"{name}{end}" for name in STATISTICS for end in ("", "_low", "_high")]
    rows = [_judged(models, candidate, to_beat, resamples, seed) for candidate in titles]
    table = pd.DataFrame(rows, columns=columns, dtype=float)
    table.insert(0, "candidate", [*titles.values()])
    table["p"] = indicators.holm(table["p"].where(np.array([*titles]) != to_beat))
    return table


def _judged(
    models: pd.DataFrame, candidate: str, to_beat: str, resamples: int, seed: int
) -> dict[str, float]:
    """The statistics of one candidate."""
    rows = models.dropna(subset=[candidate, "er"])
    sure = of_known_robustness(rows)
    each = sure.groupby("model").agg({candidate: "mean", "robust": "mean"})
    robust = each["robust"] > 0.5
    rank, given = indicators.rank_correlation, indicators.partial_rank_correlation
    beside = rows.dropna(subset=[to_beat])
    row: dict[str, float] = {}
    for name, statistic, some, more in (
        ("rank", rank, rows, ()),
        ("gain", indicators.rank_gain, beside, (to_beat,)),
        ("given", given, beside, (to_beat,)),
        ("trained", rank, rows[rows["level"] != "random"], ()),
    ):
        values = [some[column] for column in (candidate, "er", *more)]
        draws = {"resamples": resamples, "seed": seed}
        row[name] = statistic(*values)
        row[f"{name}_low"], row[f"{name}_high"] = indicators.interval(
            statistic, some["model"], *values, **draws
        )
    if candidate == to_beat:
        row |= dict.fromkeys(("gain", "gain_low", "gain_high"), float("nan"))
    for name, group in (("robust", sure[sure["robust"]]), ("others", sure[~sure["robust"]])):
        if len(group) >= LEAST_WITHIN:
            row[f"among_{name}"] = rank(group[candidate], group["er"])
    if min(robust.sum(), (~robust).sum()) >= indicators.LEAST_OF_A_SORT:
        row["area"] = indicators.separation(each[candidate], robust)
    p = indicators.permutation_p(each[candidate], robust)
    return row | {"cut": 100 * transfer(sure, candidate), "p": p}


def transfer(models: pd.DataFrame, candidate: str) -> float:
    """Balanced accuracy at the cut chosen on all other backbones, the mean over backbones."""
    right = []
    for backbone, group in models.groupby("backbone", sort=False):
        others = models[models["backbone"] != backbone]
        if min(group["robust"].nunique(), others["robust"].nunique()) == 2:
            cut = indicators.best_cut(others[candidate], others["robust"])
            right.append(indicators.balanced_accuracy(group[candidate], group["robust"], cut))
    return float(np.mean(right)) if right else float("nan")


def zoo(models: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """How each quantity of `atlas.measured_zoo` correlates with ER, and what it adds to accuracy.

    One row each, and one of ImageNet accuracy; those of too few models or data families are left
    out, and without any other there is no table.
    """
    rows, rank = [], indicators.rank_correlation
    for name, (title, scaled) in ZOO_QUANTITIES.items():
        some = models.dropna(subset=[name])
        if len(some) < LEAST_OF_THE_ZOO or some["group"].nunique() < LEAST_FAMILIES:
            continue
        pair, line = (some[name], some["er"]), (some["imagenet"], some["shifted"])
        group = some["group"]
        ends = indicators.interval(rank, group, *pair, resamples=resamples, seed=seed)
        row = {"quantity": title, "models": len(some), "families": group.nunique()}
        row |= {"rank": rank(*pair), "rank_low": ends[0], "rank_high": ends[1]}
        row["given"] = indicators.partial_rank_correlation(*pair, some["imagenet"])
        for end, more in (("", ()), ("_with", () if name == "imagenet" else (scaled(some[name]),))):
            row[f"missed{end}"] = 100 * left_out_error(*line, group, *more)
            row[f"explained{end}"] = 100 * share_explained(off_the_line(*line), group, *more)
        rows.append(row)
    return pd.DataFrame(rows if len(rows) > 1 else [])


def named(models: pd.DataFrame) -> pd.Series[str]:
    """Each model's backbone and title, and the images if others than usual."""
    backbones = models["backbone"].str.removeprefix("Pocket ")
    return backbones + ", " + models["title"] + models["on"]


def over_seeds(rows: pd.DataFrame, families: Mapping[str, Family]) -> pd.DataFrame:
    """The columns of `of_seeds` as lists over seeds, a row per model."""
    titles = {
        model.name: f"{family.title.removeprefix('Pocket ')}, {model.title}"
        for family in families.values()
        for model in family.models
    }
    lists = rows.groupby("model").agg(list) if len(rows) else rows
    lists = lists.reindex([name for name in titles if name in lists.index])
    return lists.assign(title=lists.index.map(titles))
