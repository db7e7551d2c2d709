"""The pocket lab under shift, from features in the store: styles, baseline, pruning.

Finds the arrays that `pruned` computes on: the test emoji of the training style, which plays
ImageNet, and of the styles that play its shifts; and the baseline, fitted to the pocket lab's own
pool of supervised models. No torch.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import directions, emoji, evidence, pruned, store
from analysis.directions import Order
from analysis.measure import RANDOM_ORDERS
from analysis.pruned import Curves, Flags, Images, Integers
from analysis.registry import ROOT, Model
from analysis.robustness import Baseline, bootstrap_baselines, fit_baseline

ACCURACIES = ROOT / "data" / "pocket" / "accuracies.csv"
#: Data sets by what their style is for. No model trains on the unseen ones.
GROUPS: dict[str, tuple[str, ...]] = {
    "training": (f"pocket-{emoji.IMAGENET}-test",),
    "seen": tuple(f"pocket-{s}-test" for s, role in emoji.STYLES.items() if role == "seen"),
    "unseen": tuple(f"pocket-{style}-test" for style in emoji.UNSEEN),
}
TRAINING = GROUPS["training"][0]


@dataclass(frozen=True)
class Sweep:
    """Pruning of one model in one order.

    `curves`: (rank,) each; for the order `random` their mean over orders. `low`, `high`: ends of
    the 95 % interval, or for `random` the lowest and the highest of all orders. `change`,
    `change_low`, `change_high`: the same for the difference from the whole head; `random` lacks it.
    """

    curves: Curves
    low: Curves
    high: Curves
    change: Curves | None = None
    change_low: Curves | None = None
    change_high: Curves | None = None


def pool(path: Path = ACCURACIES) -> pd.DataFrame:
    """Accuracies of the baseline pool's models: columns `imagenet`, `seen` and `unseen`."""
    kept = pd.read_csv(path)
    kept = kept[(kept["split"] == "test") & (kept["family"] == "pool")]
    wide = kept.groupby(["model", "role"])["accuracy"].mean().unstack()
    return wide[["imagenet", "seen", "unseen"]]


def sweeps(model: Model, resamples: int, seed: int, folder: Path | None = None) -> dict[str, Sweep]:
    """Prune a pocket model in every order; the shifts are the unseen styles.

    Importance is that on the test emoji of the training style which have a class. Raises StoreError
    if features or head are absent, damaged or outdated.
    """
    head = store.read_head(store.head_path(model.name, TRAINING, folder), model)
    inside = images(model, TRAINING, folder)
    outside = [images(model, name, folder) for name in GROUPS["unseen"]]
    parts = directions.decompose(head.weight)
    importance = directions.importance(inside.features, parts)
    models = pool()
    baseline = fit_baseline(models["imagenet"], models["unseen"])
    refits = bootstrap_baselines(models["imagenet"], models["unseen"], resamples, seed + 1)

    def flags(kind: Order, number: int | None = None) -> list[Flags]:
        order = directions.pruning_order(importance, kind, number)
        return [pruned.right(one, parts, order, head.bias) for one in (inside, *outside)]

    units = [one.units for one in (inside, *outside)]
    ordered: tuple[Order, ...] = ("importance", "singular_value", "reversed")
    found: dict[str, Sweep] = {
        kind: _sweep(flags(kind), units, baseline, refits, seed) for kind in ordered
    }
    random = [flags("random", number) for number in range(RANDOM_ORDERS)]
    return {**found, "random": _spread([pruned.curves(f[0], f[1:], baseline) for f in random])}


def images(model: Model, data: str, folder: Path | None = None) -> Images:
    """The test emoji of one style that have a class, as the model's head sees them."""
    found = store.read_features(store.features_path(model.name, data, folder), model)
    head = store.read_head(store.head_path(model.name, data, folder), model)
    features, labels = evidence.for_head(found, head)
    style = data.removeprefix("pocket-").removesuffix("-test")
    return Images(features, labels, concepts_of(found.rows[found.labels >= 0], style))


def concepts_of(rows: NDArray[np.uint64], style: str) -> Integers:
    """A number for each image's concept, the same in every style: (N,) from the store's rows."""
    known = store.row_numbers([f"{concept}/{style}" for concept in _test_concepts()])
    place = {number: concept for concept, number in enumerate(known.tolist())}
    unknown = [row for row in rows.tolist() if row not in place]
    if unknown:
        raise store.StoreError(
            f"{len(unknown)} images of pocket-{style}-test are none of the test emoji in "
            f"{emoji.ARCHIVE.name}: extract the features again."
        )
    return np.array([place[row] for row in rows.tolist()], dtype=np.intp)


def _sweep(
    flags: Sequence[Flags],
    units: Sequence[Integers],
    baseline: Baseline,
    refits: Sequence[Baseline],
    seed: int,
) -> Sweep:
    point = pruned.curves(flags[0], flags[1:], baseline)
    pairs = list(zip(flags, units, strict=True))
    drawn = pruned.resampled_curves(pairs[0], pairs[1:], refits, seed)
    return Sweep(point, *_ends(drawn), point.less_whole(), *_ends(drawn.less_whole()))


def _ends(drawn: Curves) -> tuple[Curves, Curves]:
    parts = (drawn.inside, drawn.outside, drawn.robustness)
    low, high = zip(*(pruned.interval(part) for part in parts), strict=True)
    return Curves(*low), Curves(*high)


def _spread(found: Sequence[Curves]) -> Sweep:
    """Mean, lowest and highest of several random orders."""
    inside = np.array([one.inside for one in found])
    outside = np.array([one.outside for one in found])
    robustness = np.array([one.robustness for one in found])
    parts = (inside, outside, robustness)
    return Sweep(
        Curves(*(part.mean(axis=0) for part in parts)),
        Curves(*(part.min(axis=0) for part in parts)),
        Curves(*(part.max(axis=0) for part in parts)),
    )


@cache
def _test_concepts() -> tuple[str, ...]:
    """The test concepts, sorted."""
    with zipfile.ZipFile(emoji.ARCHIVE) as archive:
        table = emoji.read_table(archive.read(emoji.TABLE))
    return tuple(sorted(table[table["split"] == "test"]["concept"]))
