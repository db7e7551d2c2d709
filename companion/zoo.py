"""The zoo: a family file for every architecture of open_clip that published accuracies are of.

The files are made from the published table and from what the installed open_clip can load, so they
lie in a folder of their own, which git ignores, and are written whole each time. No page of the
book is about them; what is measured of them is set against effective robustness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.common import CompanionError, write_text
from analysis.families.registry import FAMILIES, ZOO, Family, Model, PublishedKey
from companion.measurements import accuracies, atlas
from companion.readers import as_yaml, writing

HEADER = "# Written by `companion families zoo`, with the whole folder: edit nothing here.\n"


@dataclass(frozen=True)
class Found:
    """The families, and why other published checkpoints are in none: name → a sentence."""

    families: tuple[Family, ...]
    left_out: Mapping[str, str]

    @property
    def lines(self) -> list[str]:
        """What to say of it."""
        models = sum(len(one.models) for one in self.families)
        return [
            *(f"left out: {why}" for why in self.left_out.values()),
            f"families/{ZOO}: {len(self.families)} architectures, {models} checkpoints",
            f"next: companion grid --edition {ZOO} --dry-run",
        ]


def describe(table: pd.DataFrame, weights: Path | None = None) -> Found:
    """Describe every published checkpoint of open_clip that can be loaded here.

    ``table``: `accuracies.load`; rows that `atlas.set_aside` names do not count. ``weights``: a
    folder that has, or will have, files ``ARCHITECTURE--TAG.safetensors`` in place of the hub's.
    """
    from analysis.features import checkpoints
    from analysis.features.weights import ModelError

    models: dict[str, list[Model]] = {}
    left_out: dict[str, str] = {}
    for row in atlas.clip(table).itertuples():
        name, tag = str(row.model), str(row.weights)
        try:
            model = checkpoints.of_published(name, tag, atlas.zoo_name(row))
        except ModelError as error:
            left_out[f"{name}/{tag}"] = str(error)
            continue
        key = PublishedKey(source="open_clip", model=name, weights=tag)
        fields: dict[str, Any] = {"published": (key,)}
        if weights is not None:
            file = weights.resolve() / f"{model.architecture}--{model.weights}.safetensors"
            fields["weights"] = file.as_posix()
        described = Model.model_validate(model.model_dump() | fields)
        models.setdefault(model.architecture or "", []).append(described)
    return Found(tuple(family(name, own) for name, own in models.items()), left_out)


def family(architecture: str, models: Sequence[Model]) -> Family:
    """The family of an architecture's checkpoints."""
    return Family.model_validate({
        "name": f"{ZOO}-{architecture.lower()}", "title": architecture, "edition": ZOO,
        "order": 0, "backbone": f"{architecture} of open_clip.", "models": models,
    })  # fmt: skip


def write(families: Sequence[Family], folder: Path = FAMILIES / ZOO) -> Path:
    """Write the families' files in place of those that are there; return the folder."""
    wanted = {folder / f"{one.name}.yaml": HEADER + as_yaml(one) for one in families}
    with writing(folder):
        for path, text in wanted.items():
            write_text(path, text)
        for path in {*folder.glob("*.yaml")} - {*wanted}:
            path.unlink()
    return folder


def make(weights: Path | None = None) -> Found:
    """Describe the zoo and write it; what was found. CompanionError if there is no such folder."""
    if weights is not None and not weights.is_dir():
        raise CompanionError(f"--weights {weights} is no folder: make it, or correct the path.")
    found = describe(accuracies.load(), weights)
    write(found.families)
    return found
