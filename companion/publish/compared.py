"""How well candidates tell robust models from others: rows of `candidates` in, cells out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Edition, Family, Level, level_title
from analysis.metrics import indicators
from analysis.metrics.peers import left_out_error, off_the_line, share_explained
from analysis.metrics.robustness import logit
from companion.publish.dots import Marks
from companion.publish.style import digits, minus, points, with_interval

ROBUST = {True: "yes", False: "no", None: "not known"}
#: Models of the zoo that a comparison takes at least.
LEAST_OF_THE_ZOO = 12
#: Quantities of the zoo: title, and the scale on which a line may depend on them.
_ZOO: dict[str, tuple[str, Callable[..., Any]]] = {
    "kurtosis": ("κ", np.log),
    "persistence": ("persistence", np.asarray),
    "mean_share": ("share in the mean image", np.asarray),
    "top_importance": ("top importance", np.log),
}
#: Models that a correlation within a group takes at least.
LEAST_WITHIN = 5


def robustness(value: float, low: float, high: float) -> str:
    """Effective robustness in points with its interval, ± where that is symmetric.

    It may come from accuracies of others or of our own: without, it is not known.
    """
    if np.isclose(high - value, value - low):
        return points(value, high - value)
    return with_interval(value, low, high) if np.isfinite(value) else "not known"


def number(value: float, write: Callable[[float], str] = "{:.1f}".format) -> str:
    """A number of our own, unless there is none."""
    return write(value) if np.isfinite(value) else "not measured"


def with_ends(value: float, ends: tuple[float, float] = (np.nan, np.nan)) -> str:
    """A statistic with its interval, if it has one."""
    if not np.isfinite(value):
        return "n/a"
    return minus(
        f"{value:.2f}" + (" ({:.2f} to {:.2f})".format(*ends) if ends[0] == ends[0] else "")
    )


def within(models: pd.DataFrame, candidate: str) -> str:
    """Rank correlation with effective robustness inside one group, which must not be too small."""
    if len(models) < LEAST_WITHIN:
        return f"n/a ({len(models)} model{'s' * (len(models) != 1)})"
    return with_ends(indicators.rank_correlation(models[candidate], models["er"]))


def known(models: pd.DataFrame) -> pd.DataFrame:
    """The models of which it is known whether they are robust."""
    return models.dropna(subset=["robust"]).astype({"robust": bool})


def over_seeds(rows: pd.DataFrame, families: Mapping[str, Family]) -> pd.DataFrame:
    """Lowest to highest over seeds of what `candidates.of_seeds` has, a row per model."""
    shown = [
        {"model": f"{family.title.removeprefix('Pocket ')}, {model.title}"}
        | {title: _ends(write.format, scale * own[quantity])
           for title, (quantity, scale, write) in _OVER_SEEDS.items()}
        for family in families.values() for model in family.models
        if len(rows) and len(own := rows[rows["model"] == model.name])
    ]  # fmt: skip
    return pd.DataFrame(shown)


def _ends(write: Callable[[float], str], values: pd.Series[float]) -> str:
    return minus(f"{write(values.min())} to {write(values.max())}")


#: Column → quantity, what it is multiplied by, how it is written.
_OVER_SEEDS = {
    "accuracy (%)": ("imagenet", 1, "{:.1f}"),
    "ER (points)": ("er", 100, "{:+.1f}"),
    "κ": ("kurtosis", 1, "{:.2f}"),
    "importance": ("top_importance", 1, "{:.1f}"),
    "concepts": ("n_unique", 1, "{:.0f}"),
    "random": ("random_directions", 1, "{:.0f}"),
}


def transfer(models: pd.DataFrame, candidate: str) -> str:
    """Each backbone's balanced accuracy (%) at the cut chosen on all others."""
    told = []
    for backbone, own in models.groupby("backbone", sort=False):
        others = models[models["backbone"] != backbone]
        if min(own["robust"].nunique(), others["robust"].nunique()) == 2:
            cut = indicators.best_cut(others[candidate], others["robust"])
            right = indicators.balanced_accuracy(own[candidate], own["robust"], cut)
            told.append(f"{str(backbone).removeprefix('Pocket ')} {100 * right:.0f}")
    return ", ".join(told) or "n/a"


def judged(
    models: pd.DataFrame, titles: Mapping[str, str], to_beat: str, resamples: int, seed: int
) -> pd.DataFrame:
    """A row of text for each candidate, and its adjusted p-value, NaN where nothing is stated.

    Intervals: 95 % of ``resamples`` of models, all rows of a model together. ``to_beat`` is no
    candidate: its p-value is not among those that are adjusted for how many there are.
    """
    rows = [_judged(models, candidate, to_beat, resamples, seed) for candidate in titles]
    found = pd.DataFrame(rows, columns=_COLUMNS)
    tried = [np.nan if name == to_beat else p for name, p in zip(titles, found["p"], strict=True)]
    found["p"] = indicators.holm(tried)
    found.insert(0, "candidate", [*titles.values()])
    found["p (Holm)"] = [f"{p:.3f}" if np.isfinite(p) else "n/a" for p in found["p"]]
    return found


_COLUMNS = ["rank correlation with ER", "given accuracy", "trained only", "among robust",
            "among others", "area under ROC", "cut from other backbones (%)", "p"]  # fmt: skip


def _judged(
    models: pd.DataFrame, candidate: str, to_beat: str, resamples: int, seed: int
) -> list[str | float]:
    """The cells of one candidate, in the order of `_COLUMNS`."""
    rows = models.dropna(subset=[candidate, "er"])
    trained = rows[rows["level"] != "random"]
    sure = known(rows)
    each = sure.groupby("model").agg({candidate: "mean", "robust": "mean"})
    robust = each["robust"] > 0.5
    enough = min(robust.sum(), (~robust).sum()) >= indicators.LEAST_OF_A_SORT
    area = f"{indicators.separation(each[candidate], robust):.2f}" if enough else None
    given = rows.dropna(subset=[to_beat])

    def drawn(statistic: Callable[..., float], of: pd.DataFrame, *columns: str) -> str:
        own = [of[column] for column in columns]
        ends = indicators.interval(statistic, of["model"], *own, resamples=resamples, seed=seed)
        return with_ends(statistic(*own), ends)

    rank, beside = indicators.rank_correlation, indicators.partial_rank_correlation
    return [
        drawn(rank, rows, candidate, "er"),
        "n/a" if candidate == to_beat else drawn(beside, given, candidate, "er", to_beat),
        drawn(rank, trained, candidate, "er"),
        within(sure[sure["robust"]], candidate),
        within(sure[~sure["robust"]], candidate),
        area or f"n/a ({robust.sum()} robust, {(~robust).sum()} not)",
        transfer(sure, candidate),
        indicators.permutation_p(each[candidate], robust),
    ]


def separating(table: pd.DataFrame) -> str:
    """Which candidates of `judged` separate robust models from others: a sentence."""
    if not table["p"].notna().any():
        return (
            f"Separation cannot be judged: fewer than {indicators.LEAST_OF_A_SORT} models are "
            "known to be robust, or known not to be."
        )
    told = [
        f"{row['candidate']} ({row['area under ROC']}; rank correlation among robust models "
        f"{row['among robust']})"
        for row in table.to_dict("records") if row["p"] <= 0.05
    ]  # fmt: skip
    return "At the 5 % level, robust models are separated from others by " + (
        ", ".join(told) + "." if told else "none of the candidates."
    )


def zoo(models: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """How each quantity of `atlas.measured_zoo` goes with ER, and what it adds to accuracy.

    One row each, and one of ImageNet accuracy; those of fewer than `LEAST_OF_THE_ZOO` models, or of
    fewer than three data families, are left out.
    """
    rows = []
    for name, (title, scaled) in {"imagenet": ("ImageNet accuracy", logit), **_ZOO}.items():
        own = models.dropna(subset=[name])
        families = own["group"].nunique()
        if len(own) < LEAST_OF_THE_ZOO or families < 3:
            continue
        accuracy = own["imagenet"], own["shifted"], own["group"]
        off = off_the_line(own["imagenet"], own["shifted"])
        more = () if name == "imagenet" else (scaled(own[name]),)
        rank = indicators.rank_correlation(own[name], own["er"])
        ends = indicators.interval(indicators.rank_correlation, own["group"], own[name], own["er"],
                                   resamples=resamples, seed=seed)  # fmt: skip
        given = indicators.partial_rank_correlation(own[name], own["er"], own["imagenet"])
        rows.append({
            "quantity": title,
            "models (families)": f"{len(own)} ({families})",
            "rank correlation with ER": with_ends(rank, ends),
            "given accuracy": with_ends(given) if more else "n/a",
            "family left out, accuracy alone (points)": f"{100 * left_out_error(*accuracy):.1f}",
            "with it (points)": f"{100 * left_out_error(*accuracy, *more):.1f}" if more else "n/a",
            "explained by data (%)": f"{100 * share_explained(off, own['group']):.0f}",
            "with it (%)":
                f"{100 * share_explained(off, own['group'], *more):.0f}" if more else "n/a",
        })  # fmt: skip
    return pd.DataFrame(rows if len(rows) > 1 else [])


def coverage(models: pd.DataFrame, edition: Edition) -> pd.DataFrame:
    """For how many models of each level a quantity is known."""
    return pd.DataFrame(
        {
            "level": level_title(level, edition),
            "models": len(own),
            "with ER": own["er"].notna().sum(),
            "with κ per image": own["kurtosis"].notna().sum(),
            "with importance": own["top_importance"].notna().sum(),
            "with concepts": own["n_unique"].notna().sum(),
            "with ER and κ": own[["er", "kurtosis"]].notna().all(axis="columns").sum(),
        }
        for level in get_args(Level)
        for own in [models[models["level"] == level]]
    )


def candidates(models: pd.DataFrame) -> pd.DataFrame:
    """Each model's effective robustness and candidates as finished text."""
    return pd.DataFrame(
        {
            "model": f"{row['backbone'].removeprefix('Pocket ')}, {row['title']}{row['on']}",
            "ER (points)": robustness(row["er"], row["low"], row["high"]),
            "robust": "not known" if np.isnan(row["er"]) else ROBUST[row["robust"]],
            "κ": digits(row["kurtosis"]),
            "largest": digits(row["largest"]),
            "persistence (%)": f"{row['persistence']:.1f}",
            "importance": number(row["top_importance"], digits),
            "concepts": number(
                row["n_unique"], f"{{:.1f}} of {row['probed']:.0f}{row['probe']}".format
            ),
            "(random)": number(row["random_directions"]),
            "mean best AP (%)": number(row["best"]),
        }
        for row in models.to_dict("records")
    )


def marks(models: pd.DataFrame, candidate: str, edition: Edition) -> list[Marks]:
    """Effective robustness against a candidate; of two backbones the second is hollow.

    More are not told apart.
    """
    if models["backbone"].nunique() > 2:
        models = models.assign(backbone="")
    return [
        Marks(f"{backbone}, {level_title(level, edition)}".removeprefix(", "), level,
              own[candidate], own["er"], own["low"], own["high"],
              "hollow" if place else "filled", own["model"])
        for place, backbone in enumerate(models["backbone"].unique())
        for level in get_args(Level)
        if len(own := models[(models["backbone"] == backbone) & (models["level"] == level)])
    ]  # fmt: skip
