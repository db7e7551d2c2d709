"""Pruning under shift from features in the store: which data sets, which head, which baseline.

Finds the arrays that `pruning` computes on. In the pocket lab: the test emoji of the training
style, which plays ImageNet, of the styles that play its shifts, and the lab's own baseline. For the
paper's and a reader's models: ImageNet, its five shifts and the paper's printed line. No torch.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Model
from analysis.features import store
from analysis.images import emoji
from analysis.metrics import directions, pruning
from analysis.metrics.pruning import Flags, Images, Integers, Order, Sweep
from analysis.metrics.robustness import PAPER_BASELINE, bootstrap_baselines
from companion.measurements import accuracy, pocket_robustness, take
from companion.measurements.measures import RANDOM_ORDERS

#: Data sets by what their style is for. No model trains on the unseen ones.
GROUPS: dict[str, tuple[str, ...]] = {
    "training": (f"pocket-{emoji.IMAGENET}-test",),
    "seen": tuple(f"pocket-{s}-test" for s, role in emoji.STYLES.items() if role == "seen"),
    "unseen": tuple(f"pocket-{style}-test" for style in emoji.UNSEEN),
}
TRAINING = GROUPS["training"][0]
#: The training distribution, then its shifts.
POCKET = (TRAINING, *GROUPS["unseen"])
PAPER = tuple(accuracy.NAMES.values())
#: Shares of the directions that are kept on ImageNet, where every number would take hours.
SHARES = tuple(step / 40 for step in range(1, 41))


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
    sets = [images(model, name, folder) for name in POCKET]
    models, baseline = pocket_robustness.pool("unseen"), pocket_robustness.baseline("unseen")
    refits = bootstrap_baselines(models["imagenet"], models["shifted"], resamples, seed + 1)
    units = [one.units for one in sets if one.units is not None]

    def judge(flags: Sequence[Flags]) -> Sweep:
        return pruning.resampled(flags, units, baseline, refits, seed)

    parts = directions.decompose(head.weight)
    return pruning.sweeps(sets, parts, head.bias, orders, baseline, judge, RANDOM_ORDERS)


def sweeps_on_imagenet(
    model: Model,
    orders: Sequence[Order] = get_args(Order),
    random_orders: int = 3,
    shares: Sequence[float] = SHARES,
    folder: Path | None = None,
) -> dict[str, Sweep]:
    """Prune a model's ImageNet head in some orders; the shifts are the paper's five.

    One head is pruned, and its directions are ordered once, by their importance for ImageNet's
    images; a shift's classes are rows of that head, several for a class of ObjectNet (see
    `accuracy`), also for zero-shot models. `shares` of the directions that are kept, the last 1.
    The baseline is the paper's printed line, held fixed. Raises StoreError as `sweeps` does.
    """
    head = store.read_head(store.head_path(model.name, PAPER[0], folder), model)
    sets = [_images_for(model, head, name, folder) for name in PAPER]
    parts = directions.decompose(head.weight)
    kept = np.unique([max(1, round(share * parts.rank)) for share in shares]).astype(np.intp)

    def judge(flags: Sequence[Flags]) -> Sweep:
        return pruning.sampled(flags, PAPER_BASELINE, kept)

    return pruning.sweeps(
        sets, parts, head.bias, orders, PAPER_BASELINE, judge, random_orders, kept
    )


def complete(model: Model, names: Sequence[str] = POCKET, folder: Path | None = None) -> bool:
    """Whether features of the training distribution and of all shifts can be used, and its head."""
    head = store.head_path(model.name, names[0], folder)
    problems = (store.problem(store.features_path(model.name, n, folder), model) for n in names)
    return head.is_file() and not any(problems)


def _images_for(model: Model, head: store.Head, data: str, folder: Path | None) -> Images:
    """The images of a data set that have a class, as one head sees them."""
    found = store.read_features(store.features_path(model.name, data, folder), model)
    rows, owners = accuracy.rows_of(head, found.classes)
    labelled = found.labels >= 0
    features = take.as_seen(head, found.features[labelled])
    labels = found.labels[labelled].astype(np.intp)
    return Images(features, labels, None, np.array(rows, dtype=np.intp), owners)


def images(model: Model, data: str, folder: Path | None = None) -> Images:
    """The test emoji of one style that have a class, as the model's head sees them."""
    found = store.read_features(store.features_path(model.name, data, folder), model)
    head = store.read_head(store.head_path(model.name, data, folder), model)
    features, labels = take.for_head(found, head)
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
