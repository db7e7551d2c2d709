"""From features and heads in the store to measurements with their provenance.

What is computed is in `measure`; here the arrays are found, and what the store's sidecars say
about them is carried over, so that a measurement can be traced to weights, images and settings.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Family, Model, shown_weights
from analysis.features import store
from analysis.images.imagelist import LEFT_OUT
from companion.measurements import accuracy, measures, records
from companion.measurements.measures import Quantities
from companion.measurements.quantities import Basis, Experiment
from companion.measurements.records import (
    Data,
    Measurement,
    MeasurementError,
    Origin,
    Provenance,
    code_version,
    today,
    values_with_units,
)


def of_family(
    experiment: Experiment, family: Family, folder: Path | None = None
) -> list[Measurement]:
    """Measure every data set in the store that allows it, for every model of the family.

    Pruning and accuracy need a head and labels, privileged directions and concepts a head. Raises
    MeasurementError if no model has the head that its features of concepts are waiting for.
    """
    everything = [(model, data) for model in family.models for data in data_sets(model, folder)]
    usable = [pair for pair in everything if _measurable(experiment, *pair, folder)]
    if experiment == "concepts" and not usable:
        _ask_for_heads(everything, folder)
    return [take(experiment, family.name, model, data, folder) for model, data in usable]


def of_data(
    experiment: Experiment, family: Family, data: str, folder: Path | None = None
) -> list[Measurement]:
    """Measure one data set for every model of the family of which the store allows it."""
    return [
        take(experiment, family.name, model, data, folder)
        for model in family.models
        if data in data_sets(model, folder) and _measurable(experiment, model, data, folder)
    ]


def gather(
    experiment: Experiment,
    family: Family,
    data: Collection[str] | None = None,
    folder: Path | None = None,
) -> list[Measurement]:
    """All that is known of a family now: live from features in the store, else as recorded.

    `data`: these data sets only. A recorded measurement of the very same features and head is taken
    as it is; one of others gives way to the live one. Features that are damaged or were made by
    another version of the model are not used: `unusable` names them. In the order of the family's
    models.
    """
    kept = {
        (m.model, m.data.name): m
        for m in records.read_all(experiment, family.name)
        if data is None or m.data.name in data
    }
    for model in family.models:
        for name in data_sets(model, folder):
            if (data is None or name in data) and not store.problem(
                store.features_path(model.name, name, folder), model
            ):
                fresh = _unless_kept(experiment, family, model, name, folder, kept)
                kept |= {(model.name, name): fresh} if fresh else {}
    order = [model.name for model in family.models]
    return sorted(kept.values(), key=lambda m: (order.index(m.model), m.data.name))


def known_data(experiment: Experiment, family: Family, folder: Path | None = None) -> set[str]:
    """Names of all data sets that `gather` may find: those recorded, and those in the store."""
    recorded = {m.data.name for m in records.read_all(experiment, family.name)}
    return recorded.union(*(data_sets(model, folder) for model in family.models))


def unusable(family: Family, folder: Path | None = None) -> list[str]:
    """Why features of the family that are in the store cannot be used: a sentence for each."""
    found = [
        store.problem(store.features_path(model.name, data, folder), model)
        for model in family.models
        for data in data_sets(model, folder)
    ]
    return [problem for problem in found if problem]


def data_sets(model: Model, folder: Path | None = None) -> list[str]:
    """Names of the data sets of which the store has finished features by the model."""
    sidecars = sorted(store.features_path(model.name, "any", folder).parent.glob("*.json"))
    return [path.stem for path in sidecars if not path.stem.endswith(".head")]


def take(
    experiment: Experiment, family: str, model: Model, data: str, folder: Path | None = None
) -> Measurement:
    """Measure the features of one data set by one model; StoreError if they are not sound."""
    if experiment == "concepts":
        return _take_concepts(family, model, data, folder)
    found = store.read_features(store.features_path(model.name, data, folder), model)
    path = store.head_path(model.name, data, folder)
    counts = {"images": found.features.shape[0], "components": found.features.shape[1]}
    if experiment in ("pruning", "accuracy"):
        counts["images"] = int((found.labels >= 0).sum())
    head = None
    if experiment != "outlier_features":
        head = store.read_head(path, model)
        counts["classes"] = len(found.classes if experiment == "accuracy" else head.classes)
    numbers = _measured(experiment, found, head)
    about = "" if head is None else _about_head(store.read(path)[1], len(head.classes))
    return build(
        experiment, "per_image", family, model, numbers, counts,
        data=Data(name=data, what=_about_data(found.sidecar)),
        provenance=provenance(experiment, found.sidecar, about),
    )  # fmt: skip


def _take_concepts(family: str, model: Model, data: str, folder: Path | None) -> Measurement:
    from companion.measurements import concept_probe

    try:
        probe = concept_probe.of_data(data, [model], folder)
        if probe is None:
            raise MeasurementError(f"no concepts are known for the images of {data}.")
        head = concept_probe.head(model, probe.data, folder)
        features = concept_probe.features(model, probe, folder)
    except concept_probe.ConceptsMissingError as error:
        raise MeasurementError(str(error)) from None
    numbers = measures.concepts(features, head.weight, probe)
    counts = {"images": len(features), "components": features.shape[1],
              "classes": len(head.classes), "concepts": len(numbers["positives"])}  # fmt: skip
    sidecar = store.read(store.features_path(model.name, data, folder))[1]
    place = concept_probe.head_place(model, probe.data, folder)
    about = _about_head(store.read(place)[1], len(head.classes))
    return build(
        "concepts", "per_image", family, model, numbers, counts,
        data=Data(name=data, what=_about_probe(sidecar, probe.title)),
        provenance=provenance("concepts", sidecar, about),
    )  # fmt: skip


def _ask_for_heads(pairs: Sequence[tuple[Model, str]], folder: Path | None) -> None:
    from companion.measurements import concept_probe

    for model, data in pairs:
        if data in concept_probe.WITH_CONCEPTS:
            try:
                concept_probe.head(model, (data,), folder)
            except concept_probe.ConceptsMissingError as error:
                raise MeasurementError(str(error)) from None


def build(
    experiment: Experiment,
    basis: Basis,
    family: str,
    model: Model,
    numbers: Quantities,
    counts: dict[str, int],
    data: Data,
    provenance: Provenance,
) -> Measurement:
    """Put numbers and provenance together into a checked measurement."""
    return Measurement(
        format=1, experiment=experiment, family=family, model=model.name, level=model.level,
        data=data, basis=basis, counts=counts, provenance=provenance,
        values=values_with_units(experiment, basis, numbers),
    )  # fmt: skip


def provenance(experiment: Experiment, sidecar: Mapping[str, Any], head: str = "") -> Provenance:
    """Carry a sidecar of the store over: weights, files, layer, settings."""
    described = sidecar["model"]
    weights = shown_weights(described["weights"] or "")
    parts = (described["library"], described["architecture"], weights)
    own: dict[str, Any] = {
        "weights": " ".join(str(part) for part in parts if part),
        "weights_note": "",
        "files": [{"name": f"features of {sidecar['data']['name']}", "sha256": sidecar["sha256"]}],
        "layer": "what the head sees (the encoder's output)",
    }
    origin = {**own, **sidecar.get("origin", {})}
    return Provenance(
        weights=origin["weights"],
        weights_sha256=described["weights_sha256"] or None,
        weights_note=origin["weights_note"],
        origins=[Origin(name=file["name"], sha256=file["sha256"]) for file in origin["files"]],
        layer=origin["layer"],
        head=head,
        code=code_version(experiment),
        libraries=libraries(),
        device=sidecar.get("device", "not known"),
        precision=f"features computed in {sidecar['precision']}, kept as {sidecar['dtype']}; "
        "measured in float64",
        taken=today(),
    )


def libraries() -> dict[str, str]:
    """Versions of what the numbers were computed with."""
    return {"python": platform.python_version(), "numpy": importlib.metadata.version("numpy")}


def _unless_kept(
    experiment: Experiment,
    family: Family,
    model: Model,
    data: str,
    folder: Path | None,
    kept: Mapping[tuple[str, str], Measurement],
) -> Measurement | None:
    """Measure one data set, if it can be and was not recorded from the same features."""
    if not _measurable(experiment, model, data, folder):
        return None
    recorded = kept.get((model.name, data))
    if recorded is not None:
        sidecar = store.read(store.features_path(model.name, data, folder))[1]
        same = recorded.provenance.origins == provenance(experiment, sidecar).origins
        if same and recorded.provenance.head == _head_now(
            experiment, model, data, folder, recorded
        ):
            return None
    try:
        fresh = take(experiment, family.name, model, data, folder)
    except MeasurementError:
        if experiment == "concepts":  # features can be here without the images' labels
            return None
        raise
    return fresh.model_copy(update={"live": True})


def _head_now(
    experiment: Experiment, model: Model, data: str, folder: Path | None, recorded: Measurement
) -> str:
    """What a measurement taken now would say of its head; prompts may have changed since."""
    if experiment in ("outlier_features", "concepts"):  # none, and one that has its own ways
        return recorded.provenance.head
    path = store.head_path(model.name, data, folder)
    return _about_head(store.read(path)[1], len(store.read_head(path, model).classes))


def _measured(experiment: Experiment, found: store.Features, head: store.Head | None) -> Quantities:
    if head is None:
        return measures.outlier_features(found.features)
    if experiment == "privileged_directions":
        return measures.privileged_directions(found.features, head.weight)
    if experiment == "accuracy":
        return _accuracy(found, head)
    features, labels = for_head(found, head)
    return measures.pruning(features, labels, head.weight, _rows_of(found, head), head.bias)


def _accuracy(found: store.Features, head: store.Head) -> Quantities:
    labelled = found.labels >= 0
    if not labelled.any():
        raise MeasurementError(
            f"{found.sidecar['data']['name']} has no image with a class, so there is no accuracy "
            "on it."
        )
    labels = found.labels[labelled]
    right = accuracy.right(found.features[labelled], labels, head, found.classes)
    return measures.accuracy(right, labels, len(found.classes))


def for_head(found: store.Features, head: store.Head) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Features (n, d) as the head sees them, and labels (n,) as its rows; unlabelled ones left out.

    Raises MeasurementError if the head lacks a class of the data set.
    """
    classes, labelled = _rows_of(found, head), found.labels >= 0
    features, labels = found.features, found.labels
    if not labelled.all():
        features, labels = features[labelled], labels[labelled]
    return as_seen(head, features), classes[labels]


def as_seen(head: store.Head, features: NDArray[Any]) -> NDArray[Any]:
    """Features (n, d) as a head sees them, at length 1 where that changes a prediction."""
    if head.normalize and head.bias is not None:  # without a bias lengths change none
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return features


def _rows_of(found: store.Features, head: store.Head) -> NDArray[np.intp]:
    """The head's row of each class of the data set, which may have fewer classes than the head."""
    rows = {name: row for row, name in enumerate(head.classes)}
    unknown = [name for name in found.classes if name not in rows]
    if unknown:
        raise MeasurementError(
            f"the head has no class {unknown[0]!r} of {found.sidecar['data']['name']}; use the "
            "head that belongs to this data set."
        )
    return np.array([rows[name] for name in found.classes], dtype=np.intp)


def _measurable(experiment: Experiment, model: Model, data: str, folder: Path | None) -> bool:
    if experiment == "outlier_features":
        return True
    if experiment == "concepts":
        from companion.measurements import concept_probe

        return data in concept_probe.WITH_CONCEPTS and concept_probe.has_head(model, folder)
    if not store.head_path(model.name, data, folder).is_file():
        return False
    if experiment == "privileged_directions":
        return True
    found = store.read_features(store.features_path(model.name, data, folder), model)
    head = store.read_head(store.head_path(model.name, data, folder))
    labelled = bool((found.labels >= 0).any())
    if experiment == "accuracy":
        return labelled and accuracy.knows_some(head, found.classes)
    # A classifier of ImageNet's classes has none of ObjectNet's: `accuracy` can tell, pruning not.
    common = not set(head.classes).isdisjoint(found.classes)
    return model.level != "random" and common and labelled


def _about_data(sidecar: Mapping[str, Any]) -> str:
    data = sidecar["data"]
    what = str(data.get("what") or f"{data['name']}, images listed by manifest {data['manifest']}")
    left_out = len(data.get("left_out") or ())
    return what + f"; {left_out} {LEFT_OUT}" * bool(left_out)


def _about_probe(sidecar: Mapping[str, Any], title: str) -> str:
    """Which images, and which concepts; once if both are the same incomplete Broden."""
    what = sidecar["data"].get("what")
    if what and title.startswith(what):
        return title
    return f"{_about_data(sidecar)}; concepts: {title}"


def _about_head(sidecar: Mapping[str, Any], classes: int) -> str:
    origin = sidecar.get("origin")
    if origin:
        return str(origin["head"])
    prompts = sidecar.get("prompts")
    return (
        f"zero-shot head of {classes} classes, prompts {prompts}"
        if prompts
        else f"the model's own classifier of {classes} classes"
    )
