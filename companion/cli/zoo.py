"""The zoo: a family file for every architecture of open_clip with published accuracies.

The files are made from the published table and from what the installed open_clip can load, so they
lie in a folder of their own, which git ignores, and are written whole each time. No page of the
book is about them; their measurements are compared with effective robustness.

    python -m companion.cli.zoo              # into families/zoo/
    python -m companion.cli.zoo FOLDER       # with weights in FOLDER/ARCHITECTURE--TAG.safetensors
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.base.files import write_text
from analysis.base.texts import CompanionError
from analysis.families.registry import FAMILIES, ZOO, Family, Model
from companion.cli.readers import as_yaml
from companion.engine.jobs import alone
from companion.measurements import accuracies, atlas

HEADER = "# Written by `python -m companion.cli.zoo`, with the whole folder: edit nothing here.\n"


def describe(table: pd.DataFrame, weights: Path | None = None) -> tuple[list[Family], list[str]]:
    """Describe every published checkpoint of open_clip that can be loaded here, and why not others.

    ``table``: `accuracies.load`; models that `atlas.facts` sets aside do not count. ``weights``: a
    folder that has, or will have, files ``ARCHITECTURE--TAG.safetensors`` in place of the hub's.
    """
    from analysis.features.encoders import ModelError
    from companion.checkpoints import lookup

    models: dict[str, list[Model]] = {}
    left_out = []
    for row in atlas.clip(table).itertuples():
        name, tag = str(row.model), str(row.weights)
        try:
            model = lookup.of_published(name, tag, str(row.zoo))
        except ModelError as error:
            left_out.append(f"left out: {error}")
            continue
        fields: dict[str, object] = {
            "published": [{"source": "open_clip", "model": name, "weights": tag}]
        }
        if weights is not None:
            file = weights.resolve() / f"{model.architecture}--{model.weights}.safetensors"
            fields |= {"weights": file.as_posix()}
        described = Model.model_validate(model.model_dump() | fields)
        models.setdefault(model.architecture or "", []).append(described)
    return [_family(name, of_name) for name, of_name in models.items()], left_out


def _family(architecture: str, models: Sequence[Model]) -> Family:
    name, backbone = f"{ZOO}-{architecture.lower()}", f"{architecture} of open_clip."
    about = {"name": name, "title": architecture, "edition": ZOO, "order": 0}
    return Family.model_validate(about | {"backbone": backbone, "models": models})


def write(families: Sequence[Family], folder: Path = FAMILIES / ZOO) -> None:
    """Write the families' files in place of those that are there."""
    wanted = {folder / f"{family.name}.yaml": HEADER + as_yaml(family) for family in families}
    with alone("a change of the families"):
        for path, text in wanted.items():
            write_text(path, text)
        for path in {*folder.glob("*.yaml")} - {*wanted}:
            path.unlink()


def make(weights: Path | None = None) -> list[str]:
    """Describe the zoo, write it and return a report. CompanionError if there is no folder."""
    if weights is not None and not weights.is_dir():
        raise CompanionError(f"{weights} is not a folder: create it or correct the path.")
    families, left_out = describe(accuracies.load(), weights)
    write(families)
    models = sum(len(family.models) for family in families)
    return [
        *left_out,
        f"families/{ZOO}: {len(families)} architectures, {models} checkpoints",
        f"next: companion grid --edition {ZOO} --dry-run",
    ]


if __name__ == "__main__":
    try:
        print(*make(Path(sys.argv[1]) if sys.argv[1:] else None), sep="\n")
    except CompanionError as error:
        sys.exit(str(error))
