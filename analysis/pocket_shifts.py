"""The pocket lab under shift, from features in the store: styles, baseline, pruning.

Finds the arrays that `pruned` computes on: the test emoji of the training style, which plays
ImageNet, and of the styles that play its shifts; and the baseline, fitted to the pocket lab's own
pool of supervised models. No torch.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from analysis import directions, emoji, evidence, pocket_robustness, pruned, store
from analysis.directions import Order
from analysis.measure import RANDOM_ORDERS
from analysis.pruned import Flags, Images, Integers, Sweep
from analysis.registry import Model
from analysis.robustness import bootstrap_baselines

#: Data sets by what their style is for. No model trains on the unseen ones.
GROUPS: dict[str, tuple[str, ...]] = {
    "training": (f"pocket-{emoji.IMAGENET}-test",),
    "seen": tuple(f"pocket-{s}-test" for s, role in emoji.STYLES.items() if role == "seen"),
    "unseen": tuple(f"pocket-{style}-test" for style in emoji.UNSEEN),
}
TRAINING = GROUPS["training"][0]


def sweeps(
    model: Model,
    resamples: int,
    seed: int,
    orders: Sequence[Order] = get_args(Order),
    folder: Path | None = None,
) -> dict[str, Sweep]:
    """Prune a pocket model in some orders; the shifts are the unseen styles.

    Importance is that on the test emoji of the training style which have a class. Raises StoreError
    if features or head are absent, damaged or outdated.
    """
    head = store.read_head(store.head_path(model.name, TRAINING, folder), model)
    sets = [images(model, name, folder) for name in (TRAINING, *GROUPS["unseen"])]
    parts = directions.decompose(head.weight)
    importance = directions.importance(sets[0].features, parts)
    models, baseline = pocket_robustness.pool("unseen"), pocket_robustness.baseline("unseen")
    refits = bootstrap_baselines(models["imagenet"], models["shifted"], resamples, seed + 1)

    def flags(kind: Order, number: int | None = None) -> list[Flags]:
        order = directions.pruning_order(importance, kind, number)
        return [pruned.right(one, parts, order, head.bias) for one in sets]

    found: dict[str, Sweep] = {}
    for kind in orders:
        if kind == "random":
            drawn = (flags(kind, number) for number in range(RANDOM_ORDERS))
            found[kind] = pruned.spread([pruned.curves(f[0], f[1:], baseline) for f in drawn])
        else:
            units = [one.units for one in sets]
            found[kind] = pruned.sweep(flags(kind), units, baseline, refits, seed)
    return found


def complete(model: Model, folder: Path | None = None) -> bool:
    """Whether features of the training style and of all unseen styles can be used."""
    names = (TRAINING, *GROUPS["unseen"])
    return not any(store.problem(store.features_path(model.name, n, folder), model) for n in names)


def fewest_without_loss(sweep: Sweep, quantity: Literal["inside", "outside", "robustness"]) -> int:
    """The smallest number of directions kept from which on no loss is established.

    A loss is established where the whole interval of the change lies below zero. With few images
    that is a weak test: no loss found is not no loss.
    """
    if sweep.change_high is None:
        raise ValueError("random orders have no interval of their change; give another order.")
    lost = np.flatnonzero(getattr(sweep.change_high, quantity) < 0)
    return int(lost.max(initial=-1)) + 2


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


@cache
def _test_concepts() -> tuple[str, ...]:
    """The test concepts, sorted."""
    with zipfile.ZipFile(emoji.ARCHIVE) as archive:
        table = emoji.read_table(archive.read(emoji.TABLE))
    return tuple(sorted(table[table["split"] == "test"]["concept"]))
