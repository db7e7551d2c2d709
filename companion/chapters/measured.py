"""The measurements of a page: which ones, in which order, and under which titles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import pandas as pd

from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from analysis.families.registry import (
    LEVEL_TITLES,
    Edition,
    Family,
    Level,
    Model,
    load_families,
    load_family,
)
from companion.engine.captions import Caption
from companion.engine.cells import joined
from companion.measurements.measurement import Measurement, MeasurementError
from companion.measurements.quantities import Measurable, Measured, declared
from companion.measurements.records import STYLES_BY_ROLE, available

#: The model and the data that the paper's pages discuss in detail.
EXAMPLE, DATA = "vit_b_16", "coco_500_"
INFERRED = "(inferred)"


def family_of(measurement: Measurement) -> Family:
    """The family that was measured, from its file."""
    return load_family(measurement.family)


def model_of(measurement: Measurement) -> Model:
    """The model that was measured, as its family's file describes it."""
    return family_of(measurement).model(measurement.model)


def of_same_model(m: Measurement, experiment: Measurable) -> dict[str, Measurement]:
    """Data set → another experiment's measurement of the same model."""
    update = {"models": (model_of(m),)}  # no other model's files are read
    alone = family_of(m).model_copy(update=update)
    return {other.data.name: other for other in available(experiment, alone)}


def model_and_data(measurement: Measurement) -> str:
    """The model and the data of a measurement, as words."""
    return f"{model_of(measurement).title}: {measurement.data.title}"


def by_title(measured: Sequence[Measurement]) -> dict[str, Measurement]:
    """A family's measurements by title, which names the data, unless all are this build's of one.

    Titles of recorded measurements say which images they used, and whether a model is inferred.
    """
    alone = len({m.data.name for m in measured}) == 1 and all(m.live for m in measured)
    return {model_of(m).title if alone else model_and_data(m): m for m in measured}


def of_editions(experiment: Measurable, *editions: Edition) -> list[Measurement]:
    """Measurements of the editions' models, in the order of families and models; captions last."""
    measurements: list[Measurement] = []
    for family in (f for edition in editions for f in load_families(edition).values()):
        order = [model.name for model in family.models]
        of_family = available(experiment, family)
        measurements += sorted(of_family, key=lambda m: (order.index(m.model), of_captions(m)))
    return measurements


def of_captions(m: Measurement) -> bool:
    """Whether a measurement is of texts instead of images."""
    return "captions" in m.data.name


def example(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements of the pages' example; MeasurementError if none is sound."""
    chosen = [m for m in measurements if m.family == EXAMPLE and m.data.name.startswith(DATA)]
    return chosen or _absent(f"{EXAMPLE} on {DATA}images")


def of_level(level: Level, measurements: Sequence[Measurement]) -> Measurement:
    """The first measurement of a level on images; MeasurementError if there is none."""
    on_images = (m for m in measurements if m.level == level and not of_captions(m))
    return next(on_images, None) or _absent(f"a model of the level {level}")


def _absent(what: str) -> NoReturn:
    raise MeasurementError(
        f"the page discusses {what}, of which no sound measurement is recorded: companion check "
        "says what is wrong with a file, companion measure --record takes it."
    )


@cache
def published_embeddings() -> dict[tuple[str, str], dict[str, Any]]:
    """Features of single images that others published, in the order of `data/embeddings.yaml`.

    Model and data set → what the file says of them.
    """
    content = read_yaml(ROOT / "data" / "embeddings.yaml", MeasurementError)
    return {(entry["model"], entry["data"]): entry for entry in content["embeddings"]}


def image_sets() -> dict[str, list[Measurement]]:
    """Outlier features on images by model, of the paper's families and of supervised networks.

    Models in the order of their families, image sets in that of `data/embeddings.yaml`. Features
    before the projection are no other encoder, and left out; so are the `contrasts`.
    """
    by_model: dict[str, list[Measurement]] = {}
    for m in of_editions("outlier_features", "paper", "contrast"):
        if not of_captions(m) and not model_of(m).own_layer and not _in_contrast(m):
            by_model.setdefault(m.model, []).append(m)
    return {model: _in_order(sets) for model, sets in by_model.items()}


def contrasts() -> list[Measurement]:
    """Outlier features of encoders of other kinds than the paper's and supervised networks."""
    return [m for m in _in_order(of_editions("outlier_features", "contrast")) if _in_contrast(m)]


def _in_contrast(m: Measurement) -> bool:
    return family_of(m).edition == "contrast" and m.level != "supervised"


def _in_order(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements in the order of `data/embeddings.yaml`, others last."""
    places = {name: place for place, name in enumerate(published_embeddings())}
    return sorted(measurements, key=lambda m: places.get((m.model, m.data.name), len(places)))


def one_set_each(measurements: Sequence[Measurement]) -> list[Measurement]:
    """One image set per model, the first in `data/embeddings.yaml`, and its captions.

    Sets that are not listed there, a reader's own, come before.
    """
    listed = published_embeddings()
    first: dict[tuple[str, bool], Measurement] = {}
    # Stable: unlisted sets come first, each group in its own order.
    for m in sorted(_in_order(measurements), key=lambda m: (m.model, m.data.name) in listed):
        first.setdefault((m.model, of_captions(m)), m)
    return [m for m in measurements if m in first.values()]


def with_imagenets_head(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Measurements of zero-shot models with the published 80-template head, on one set each."""
    heads = {name for name, entry in published_embeddings().items() if "head" in entry}
    return one_set_each([m for m in measurements if (m.model, m.data.name) in heads])


def model_title(m: Measurement) -> str:
    """Backbone and pretraining set, or level where it is not zero-shot; inferred if it is."""
    family, model = family_of(m), model_of(m)
    if family.edition == "pocket":
        return f"{family.title}, {model.title}"
    what = model.title
    if m.level == "zero_shot":
        words = [other.pretraining.split()[0] for other in family.at_level("zero_shot")]
        word = model.pretraining.split()[0]
        what = word if words.count(word) == 1 else f"{word} ({model.name})"
    title = family.title if family.edition == "contrast" else f"{family.title} {what}"
    return f"{title} {INFERRED}" if m.provenance.inferred else title


def set_title(m: Measurement) -> str:
    """Model and images; that a model is inferred is said once."""
    return f"{model_title(m)}: {m.data.title.removesuffix(' (model inferred)')}"


def full_title(m: Measurement, data: bool = True) -> str:
    """Backbone and model as the families call them, and the data if wanted."""
    family, model = family_of(m), model_of(m)
    return f"{family.title}, {model_and_data(m) if data else model.title}"


def coverage(measurements: Sequence[Measurement], *editions: Edition) -> str:
    """How many zero-shot models are measured on images, and which of these are inferred."""
    measurements = [m for m in measurements if not of_captions(m)]
    families = [f for edition in editions for f in load_families(edition).values()]
    names = {model.name for f in families for model in f.at_level("zero_shot")}
    text = f"{len({m.model for m in measurements} & names)} of the {len(names)} zero-shot models"
    inferred = dict.fromkeys(family_of(m).title for m in measurements if m.provenance.inferred)
    return f"{text} (we inferred the identity of {', '.join(inferred)})" if inferred else text


def how_trained(family: Family, level: Level) -> str | None:
    """The level in words of a reader's model, whose title does not say it; else None."""
    return LEVEL_TITLES[level] if family.edition == "reader" else None


def frame(
    measurements: Iterable[Measurement],
    more: Callable[[Measurement], Mapping[str, Any]] = lambda m: {},
) -> pd.DataFrame:
    """A row for each measurement: its subject, its counts and quantities by name, and ``more``.

    A list or table is one value; a quantity that is not in a file is None, or pandas' NA if it is
    in none of them, so that a table shows the column. ``how_trained`` has a column of its own.
    """
    measurements = [*measurements]
    rows = pd.DataFrame(
        {"of": model_title(m), "set": set_title(m), "data": m.data.title, "level": m.level}
        | {"how_trained": how_trained(family_of(m), m.level)}
        | dict.fromkeys(m.lacks)
        | m.counts
        | {name: m.value(name) for name in m.values}
        | dict(more(m))
        for m in measurements
    )
    lacking = set.intersection(*({*m.lacks} for m in measurements)) if measurements else set()
    rows[[*lacking]] = pd.NA
    rows.attrs["more"] = _own_columns({m.experiment for m in measurements})
    return rows


def _own_columns(experiments: Iterable[Measured]) -> Caption:
    """The columns that quantities bring to every table of their experiment, and what these mean."""
    every = [item for name in experiments for item in declared()[name].quantities.items()]
    shown = {quantity.column: (name, quantity.means) for name, quantity in every if quantity.column}
    return Caption(
        cells={column: f"{{{name}:digits}} | not measured" for column, (name, _) in shown.items()},
        columns={column: means for column, (_, means) in shown.items()},
    )


def top_direction(m: Measurement) -> dict[str, Any]:
    """Quantities of a model's most important direction, in addition to those of `frame`.

    ``in_dominant``: its share in the dominant coordinate of the same images, where that is known.
    """
    row = {"largest": m.value("importance").max(), "dominant": None, "in_dominant": None}
    row["cosine"] = m.value("cosine_with_images")[m.value("top_direction")]
    if outliers := of_same_model(m, "outlier_features").get(m.data.name):
        row["dominant"] = dominant = outliers.value("persistence_coordinate")
        row["in_dominant"] = m.value("top_components")[dominant] ** 2
    return row


def by_style(measurements: Iterable[Measurement]) -> pd.DataFrame:
    """κ and persistence of a family's models, on average over groups of the pocket styles.

    ``styles_unseen``: on how many of these a model was measured, where that differs. Empty for
    measurements of other images.
    """
    groups = {name: group for group, names in STYLES_BY_ROLE.items() for name in names}
    every = frame(
        (m for m in measurements if m.data.name in groups),
        lambda m: {"model": model_of(m).title, "group": groups[m.data.name]},
    )
    if every.empty:
        return every
    quantities = ["kurtosis_mean", "persistence_fraction"]
    grouped = every.groupby(["model", "group"], sort=False)
    columns = [f"{quantity}_{group}" for quantity in quantities for group in STYLES_BY_ROLE]
    means = joined(grouped[quantities].mean().unstack()).reindex(columns=columns)
    unseen = (
        grouped.size()
        .unstack(fill_value=0)
        .reindex(columns=[*STYLES_BY_ROLE], fill_value=0)["unseen"]
    )
    few = ~unseen.isin((0, len(STYLES_BY_ROLE["unseen"]))).all()
    return means.assign(styles_unseen=unseen if few else None)
