"""Effective robustness in the pocket lab: its models against its own baseline, with intervals.

The accuracies of all seeds, and which test image each model recognises, are kept in
``data/pocket``: reading them needs no torch. The training style stands for ImageNet. The styles
that no model trains on (*unseen*) and the one that the web sets hold (*seen*) are kept apart; each
has a baseline of its own, fitted to the pool of small supervised models. Fractions throughout.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.common import ROOT
from analysis.families.registry import Family
from analysis.images import emoji
from analysis.metrics.robustness import (
    Baseline,
    bootstrap_baselines,
    effective_robustness,
    expected,
    fit_baseline,
    resampled_units,
    weighted_accuracy,
)

Role = Literal["unseen", "seen"]
Array = NDArray[np.float64]

POCKET = ROOT / "data" / "pocket"
ROLES: tuple[Role, ...] = get_args(Role)
ACCURACIES = POCKET / "accuracies.csv"
RECOGNISED = POCKET / "recognised.csv"


def styles(role: Role) -> tuple[str, ...]:
    """The styles of that role, in the order of `emoji.STYLES`."""
    return tuple(style for style, own in emoji.STYLES.items() if own == role)


def pool(role: Role) -> pd.DataFrame:
    """The baseline models: name, imagenet (the training style), each style, and their mean."""
    models = _wide()
    return _with_mean(models[models["family"] == "pool"], role)


def baseline(role: Role) -> Baseline:
    """The line fitted to the pool."""
    models = pool(role)
    return fit_baseline(models["imagenet"], models["shifted"])


def of_family(family: Family, role: Role) -> pd.DataFrame:
    """One row for each model and seed of the family, in its order.

    Columns: name, level, seed, pretraining, source, imagenet, the styles, shifted and er, the
    effective robustness against the pocket lab's own baseline.
    """
    models = _with_mean(_wide(), role)
    order = {model.name: place for place, model in enumerate(family.models)}
    own = models[models["name"].isin(order)]
    own = own.sort_values("name", key=lambda names: names.map(order), kind="stable")
    er = effective_robustness(own["shifted"], own["imagenet"], baseline(role))
    pretraining = own["name"].map({model.name: model.pretraining for model in family.models})
    return own.assign(pretraining=pretraining, source="pocket", er=er).reset_index(drop=True)


def resampled(family: Family, role: Role, resamples: int, seed: int) -> dict[str, Array]:
    """Effective robustness under resampled test concepts and resampled pools.

    Model name → (resamples, seeds of training), fractions. Every resample draws the test concepts
    with replacement, the same ones for all styles and models (near-duplicates are drawn alone),
    and refits the baseline to a resample of the pool.
    """
    models = pool(role)
    refits = bootstrap_baselines(models["imagenet"], models["shifted"], resamples, seed + 1)
    accuracy = _accuracy_resampled(resamples, seed)
    found = {}
    for model in family.models:
        seeds = sorted({s for name, s, _ in accuracy if name == model.name})
        columns = []
        for number in seeds:
            shifted = np.mean([accuracy[model.name, number, s] for s in styles(role)], axis=0)
            inside = accuracy[model.name, number, emoji.IMAGENET]
            columns.append(shifted - expected(inside[:, None], refits)[:, 0])
        found[model.name] = np.column_stack(columns)
    return found


def recognised() -> dict[tuple[str, int, str], NDArray[np.bool_]]:
    """(model, seed, style) → whether each test image that has a class is recognised.

    In the order of the images in the emoji table.
    """
    rows = pd.read_csv(RECOGNISED, dtype={"right": str}).to_dict("records")
    return {
        (str(row["model"]), int(row["seed"]), str(row["style"])): unpacked(
            str(row["right"]), int(row["images"])
        )
        for row in rows
    }


def packed(right: NDArray[np.bool_]) -> str:
    """Flags as hexadecimal digits, eight to two digits, filled up with zeros."""
    return np.packbits(right).tobytes().hex()


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """The `count` flags that `packed` wrote; ValueError if the text is of another length."""
    flags = np.frombuffer(bytes.fromhex(text), np.uint8)
    if len(flags) != -(-count // 8):
        raise ValueError(
            f"{len(flags)} bytes do not hold {count} flags; run `python data/pocket/make.py`."
        )
    return np.unpackbits(flags, count=count).astype(bool)


def _wide() -> pd.DataFrame:
    """One row per model and seed with the accuracy in each style on the test concepts."""
    kept = pd.read_csv(ACCURACIES)
    kept = kept[kept["split"] == "test"].rename(columns={"model": "name"})
    keys = ["name", "family", "level", "seed"]
    wide = kept.pivot(index=keys, columns="style", values="accuracy").reset_index()
    return wide.rename(columns={emoji.IMAGENET: "imagenet"}).rename_axis(columns=None)


def _with_mean(models: pd.DataFrame, role: Role) -> pd.DataFrame:
    """The columns of one role, with their mean as `shifted`."""
    columns = list(styles(role))
    found = models[["name", "level", "seed", "imagenet", *columns]].reset_index(drop=True)
    return found.assign(shifted=found[columns].mean(axis="columns"))


@lru_cache(maxsize=4)
def _accuracy_resampled(resamples: int, seed: int) -> dict[tuple[str, int, str], Array]:
    """(model, seed, style) → accuracy under every resample of the test concepts."""
    table = emoji.load().table
    table = table[(table["split"] == "test") & (table["class_index"] >= 0)]
    units = table.assign(unit=pd.factorize(table["concept"], sort=True)[0])
    of_style = {str(style): rows["unit"] for style, rows in units.groupby("style", sort=False)}
    drawn = dict(
        zip(of_style, resampled_units(list(of_style.values()), resamples, seed), strict=True)
    )
    return {
        key: weighted_accuracy(right[None], drawn[key[2]])[:, 0]
        for key, right in recognised().items()
    }
