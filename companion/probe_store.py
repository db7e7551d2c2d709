"""Probes of features that lie in the store, and the models to compare them with. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis.families.registry import Model, load_families
from analysis.features import store
from companion.measurements import records, take
from companion.probe import Probe, Recorded, probe, recorded_of

#: The pocket lab's data set that stands for ImageNet.
POCKET_DATA = "pocket-twemoji-test"


def from_store(
    model: Model,
    data: str,
    recorded: Iterable[Recorded] = (),
    *,
    name: str = "",
    folder: Path | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Probe:
    """Probe the features of a data set by a model, with the head that lies beside them if any.

    `left_out`: images that were left out, and why (default: what the store says). Raises StoreError
    if the features are not there or not sound, ProbeError as `probe` does.
    """
    found = store.read_features(store.features_path(model.name, data, folder), model)
    head_path = store.head_path(model.name, data, folder)
    head = store.read_head(head_path, model) if head_path.is_file() else None
    origin = about(found.sidecar)
    return probe(
        found.features,
        head.weight if head else None,
        name=name or model.name,
        recorded=recorded,
        about=origin if left_out is None else origin | {"left_out": dict(left_out)},
    )


def recorded_models(folder: Path | None = None) -> list[Recorded]:
    """The models to compare with: recorded measurements, and the pocket lab's from the store.

    Pocket features that are not there or not current are left out.
    """
    found = recorded_of(records.read_all("outlier_features"))
    for family in load_families("pocket").values():
        for model in family.models:
            path = store.features_path(model.name, POCKET_DATA, folder)
            if not store.problem(path, model):
                taken = take.take("outlier_features", family.name, model, POCKET_DATA, folder)
                found += recorded_of([taken])
    return found


def about(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Where features come from, for `Probe.about`: model, images, settings, library versions."""
    data = sidecar["data"]
    return {
        "model": dict(sidecar["model"]),
        "data": {key: data[key] for key in ("name", "what", "manifest", "images") if key in data},
        "left_out": dict(data.get("left_out", {})),
        "precision": sidecar["precision"],
        "device": sidecar["device"],
        "versions": dict(sidecar.get("versions", {})),
    }
