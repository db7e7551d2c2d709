"""Candidates for an indicator of robustness, put together for the page that compares them.

One row per model (and seed), NaN where a quantity is not known; shares in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import Family, Level
from companion.claims.evidence import Evidence, beside_ordinary
from companion.claims.ledger import Interval
from companion.measurements.accuracies import POCKET, pocket
from companion.measurements.effective_robustness import resampled, view, with_interval
from companion.measurements.measures import counts_of
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement
from companion.publish import encoders, unread

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
EXPERIMENTS: tuple[Experiment, ...] = (
    "outlier_features",
    "privileged_directions",
    "concepts",
    "unread",
)
#: Sets of random directions that are averaged, as in the recorded table.
CHANCE = 5
#: Models that a comparison takes at least.
LEAST = 6

Measured = dict[str, dict[Experiment, Measurement]]


def measured(evidence: Evidence, anywhere: bool = False) -> Measured:
    """Model → experiment → its measurement on the data that claims are about.

    ``anywhere``: on other data where there is none on those, on the images that figures show.
    """
    found: Measured = {}
    for experiment in EXPERIMENTS:
        wanted = evidence.probe if experiment == "concepts" else evidence.reference
        known = evidence.measured(experiment, *get_args(Level))
        own = [m for m in known if m.data.name == wanted]
        for m in own + (encoders.one_set_each(known) if anywhere else []):
            found.setdefault(m.model, {}).setdefault(experiment, m)
    return found


def of_models(evidence: Evidence, known: Measured) -> pd.DataFrame:
    """Each model's effective robustness, whether it is robust (None: not known), and candidates."""
    inside = _inside(evidence)
    rows = [
        {"backbone": family.title, "model": model.name, "title": model.title, "level": model.level}
        | evidence.intervals.get(model.name, Interval(*[np.nan] * 3))._asdict()
        | quantities(known.get(model.name, {}), evidence)
        | inside.get(model.name, {"imagenet": np.nan, "robust": None})
        for family in evidence.families.values()
        for model in family.models
    ]
    return pd.DataFrame(rows).rename(columns={"value": "er"}).astype({"robust": object})


def _inside(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Accuracy without shift in percent, and whether it is robust, of each model with an ER."""
    accuracy = {
        name: value
        for view, rows in evidence.robustness.items()
        if view != "four"
        for name, value in rows[["name", "imagenet"]].to_numpy().tolist()
    }
    return {
        name: {"imagenet": 100 * accuracy[name], "robust": evidence.robust[name].robust}
        for name in evidence.intervals
    }


def quantities(known: Mapping[Experiment, Measurement], evidence: Evidence) -> dict[str, Any]:
    """The candidates of one model, and what is shown beside them."""
    beside = ("largest", "random_directions", "probed")
    found: dict[str, Any] = {"on": "", "probe": ""}
    found |= dict.fromkeys([*CANDIDATES, *beside], np.nan)
    if m := known.get("outlier_features"):
        found["on"] = "" if m.data.name == evidence.reference else f": {m.data.title}"
        found["kurtosis"] = m.value("kurtosis_mean")
        found["persistence"] = 100 * m.value("persistence_fraction")
        found["largest"] = m.value("profile").max()
    if m := known.get("privileged_directions"):
        found["top_importance"] = m.value("importance").max()
    if m := known.get("unread"):
        found["unread"] = 100 * unread.Pair(m, 0).at("energy")
    if m := known.get("concepts"):
        counts = counts_of(m)
        found["n_unique"] = counts.of("draws", evidence.counts).mean()
        found["best"] = 100 * counts.of("draws", "best").mean()
        found["random_directions"] = counts.of("random", evidence.counts)[:CHANCE].mean()
        found["probed"] = len(m.value("positives"))
        found["probe"] = "" if m.data.name == evidence.probe else f" ({m.data.title})"
    return found


def of_seeds(families: Mapping[str, Family], resamples: int, seed: int) -> pd.DataFrame:
    """The recorded candidates of every seed of pocket families; of others there are none."""
    in_pocket = {name: f for name, f in families.items() if f.edition == "pocket"}
    if not in_pocket:
        return pd.DataFrame()
    unseen = view("unseen")
    models = unseen.models(pocket(in_pocket.values()))
    models = with_interval(models, resampled(unseen, models, resamples, seed))
    models = beside_ordinary(models, unseen)
    models = models.assign(backbone=models["title"], imagenet=100 * models["imagenet"])
    models = models[["model", "seed", "er", "backbone", "low", "high", "imagenet", "robust"]]
    recorded = pd.read_csv(POCKET / "representations.csv")
    recorded[["persistence", "best"]] *= 100  # kept as fractions
    return recorded.merge(models, on=["model", "seed"])


def judgeable(models: pd.DataFrame) -> dict[str, str]:
    """Candidates, with titles, of enough models, and what they have to beat."""
    return {
        candidate: title
        for candidate, title in CANDIDATES.items()
        if candidate in models
        for own in [models.dropna(subset=[candidate, "er"])]
        if own["model"].nunique() >= LEAST
    }
