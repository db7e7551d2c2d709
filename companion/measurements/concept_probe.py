"""The concept probe: images with the concepts that they show, and models' features of them.

The paper probes with Broden. The pocket lab has a probe of its own: the test images of all ten
drawing styles with the tags and subgroups of the emoji and with computed colours and textures. No
pocket model has seen any of these emoji in any style. Features come from the store, row by row
those of the probe's images. No torch.

What a concept must have to count is decided in `measures.concepts`. The images of one emoji are not
independent: a tag that two emoji carry has twenty images, but a direction needs only a liking for
these two drawings. So besides a least number of positive images a concept needs a least number of
*clusters*, emoji that do not look alike.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from analysis.families.registry import Model
from analysis.features import store
from analysis.metrics.concept_counts import ConceptImages
from companion.measurements.pending import CONCEPTS, largest_head
from companion.sources import emoji
from companion.sources.broden import CATEGORIES, concepts, find_root

Rows = NDArray[np.intp]
#: Less than the share of any pixel.
SOME = 1e-9


@functools.cache
def pocket() -> ConceptImages:
    """The pocket lab's probe with all concepts that some test image shows."""
    names, kinds, labels = emoji.concepts(1)
    table = emoji.metadata()
    test = np.flatnonzero(table["split"] == "test")
    rows = table.iloc[test]
    keys = (rows["concept"] + "/" + rows["style"]).tolist()
    return ConceptImages(
        title="the test emoji in ten drawing styles",
        data=CONCEPTS["pocket"],
        names=names,
        kinds=kinds,
        labels=scipy.sparse.csr_array(labels[test]),
        numbers=store.row_numbers(keys),
        units=_codes(rows["concept"]),
        places=_codes(rows["style"]),
        clusters=_codes(rows["cluster"]),
    )


class Reading(NamedTuple):
    """How Broden is read, where the known text of the paper leaves it open; by default plainly.

    ``annotated``: a concept's negatives are drawn from images that are annotated in its category,
    and labels are permuted among images annotated in the same ones. ``least_percent`` of a mask's
    pixels make a positive, one pixel if 0.
    """

    annotated: bool = False
    least_percent: int = 0

    @property
    def data(self) -> str:
        """What measurements on this reading call their data: `broden` for the plain one."""
        percent = f"-{self.least_percent}-percent" if self.least_percent else ""
        return "broden" + "-annotated" * self.annotated + percent

    @classmethod
    def of(cls, data: str) -> Reading:
        """The reading that measurements call so."""
        percent = re.search(r"-(\d+)-percent$", data)
        return cls("-annotated" in data, int(percent[1]) if percent else 0)

    def __str__(self) -> str:
        """In words, to be added to the data's title."""
        percent = f", shown from {self.least_percent} % of a mask on" if self.least_percent else ""
        return ", negatives annotated in the concept's category" * self.annotated + percent


PLAIN = Reading()


def broden(models: Sequence[Model] = (), reading: Reading = PLAIN) -> ConceptImages:
    """The paper's probe; DatasetError, saying how to get it, where Broden is not there.

    Where the store's features by one of the models were made of an incomplete copy, accepted as it
    was, or without damaged images, the probe is what these features are of; its title says so.
    """
    made_of = []
    for model in models:
        with contextlib.suppress(store.StoreError):
            made_of.append(_read(model, "broden").sidecar["data"])
    accepted = any(data.get("what") for data in made_of)
    table = concepts(find_root(), store.default_folder() / "concepts", accept_counts=accepted)
    left_out = {name for data in made_of for name in data["left_out"]}
    kept = np.flatnonzero([image not in left_out for image in table.images])
    numbers = store.row_numbers(table.images)
    rows = np.arange(len(kept))
    title = (table.what or "Broden") + str(reading)
    shares, annotated = scipy.sparse.csr_array(table.shares[kept]), table.annotated[kept]
    alike = np.unique(annotated, axis=0, return_inverse=True)[1].ravel()
    return ConceptImages(
        title=f"{title}, damaged images left out: {len(left_out):,}" if left_out else title,
        data=("broden",),
        names=table.names,
        kinds=table.categories,
        labels=scipy.sparse.csr_array(shares >= max(reading.least_percent / 100, SOME)),
        numbers=numbers[kept],
        left_out=np.delete(numbers, kept),
        units=rows,
        places=alike if reading.annotated else np.zeros_like(rows),
        clusters=rows,
        annotated=dict(zip(CATEGORIES, annotated.T, strict=True)),
        shares=shares,
    )


#: What the labels of a data set name, by how its name begins.
KINDS = {"dtd": "texture", "caltech101": "object", "sun397": "scene"}


def textures(model: Model) -> ConceptImages:
    """Photographs of textures, objects and places that others embedded, with their classes.

    The store's features by the model say which images and classes these are; raises StoreError if
    they are not there.
    """
    parts = {name: _read(model, name) for name in CONCEPTS["textures"]}
    shown = [(name, part.classes[row]) for name, part in parts.items() for row in part.labels]
    names = list(dict.fromkeys(label for _, label in shown))
    kinds = {label: KINDS[name.partition("_")[0]] for name, label in shown}
    rows, index = np.arange(len(shown)), {label: column for column, label in enumerate(names)}
    columns = [index[label] for _, label in shown]
    labels = scipy.sparse.csr_array(
        (np.ones(len(rows), np.bool_), (rows, columns)), shape=(len(rows), len(names))
    )
    return ConceptImages(
        title=f"{len(rows):,} photographs of textures (DTD), objects (Caltech101) and places "
        "(SUN397) with their classes",
        data=tuple(parts),
        names=tuple(names),
        kinds=tuple(kinds[name] for name in names),
        labels=labels,
        numbers=np.concatenate([part.rows for part in parts.values()]),
        units=rows,
        places=np.zeros_like(rows),
        clusters=rows,
    )


def of_data(name: str, models: Sequence[Model] = ()) -> ConceptImages:
    """The probe that consists of data sets of the store, by its name.

    Names are those in `pending.CONCEPTS`, and what a `Reading` of Broden is called. `models`: those
    whose features are looked at, see `broden`.
    """
    if name.startswith("broden"):
        return broden(models, Reading.of(name))
    if name == "textures":
        return textures(models[0])
    return pocket()


def features(model: Model, probe: ConceptImages) -> NDArray[np.float32]:
    """Features (N, d) of the probe's images by a model, in the probe's order.

    Raises StoreError if they are not in the store, or are of other images or in another order.
    """
    found = [_read(model, name) for name in probe.data]
    rows = np.concatenate([part.rows for part in found])
    parts = [np.asarray(part.features, dtype=np.float32) for part in found]
    features = parts[0] if len(parts) == 1 else np.concatenate(parts)  # one stays on disk
    if len(probe.left_out):
        kept = np.isin(rows, probe.left_out, invert=True)
        rows, features = rows[kept], features[kept]
    if not np.array_equal(rows, probe.numbers):
        raise store.StoreError(
            f"the store's features of {', '.join(probe.data)} by {model.name} are not of the "
            "probe's images in its order: remove them and extract again."
        )
    return features


def head(model: Model, data: Sequence[str] = ()) -> store.Head:
    """The head that a model uses on one of the data sets, else the one of most classes.

    Raises StoreError if the store has none.
    """
    return store.read_head(largest_head(model, data), model)


def _read(model: Model, data: str) -> store.Features:
    return store.read_features(store.features_path(model.name, data), model)


def _codes(column: pd.Series) -> Rows:
    codes: Rows = pd.factorize(column)[0].astype(np.intp)
    return codes
