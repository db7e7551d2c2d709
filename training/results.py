"""What trainings at full size leave: a checkpoint, what it is, and how to go on with it."""

from __future__ import annotations

import json
import pickle
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.common import changes, replaced, sha256_of, write_text
from training.objectives import write_tensors
from training.recipes import TrainingError

LIBRARIES = ("torch", "torchvision", "lightning", "open_clip_torch", "numpy", "pillow")


def check_same(path: Path, made_from: Mapping[str, Any]) -> None:
    """Raise TrainingError if what a state or result was made from differs, or cannot be read."""
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        different = changes(content["made_from"], json.loads(json.dumps(made_from)))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError):
        raise TrainingError(
            f"{path} is not a sound state or result of a training: remove it to begin anew."
        ) from None
    if different:
        raise TrainingError(
            f"{path} is of another training ({different}): give the same, or another folder with "
            "--out."
        )


def write(
    path: Path,
    weights: Mapping[str, Tensor],
    notes: Mapping[str, str],
    about: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> None:
    """Write a checkpoint and what it is, in the reverse order: with the first all is there.

    ``entry`` is for a family file that is edited by hand; where the weights lie is added to it.
    """
    with replaced(path) as part:
        write_tensors(weights, part, notes)
        sha256 = sha256_of(part)
        content = {
            "name": path.stem, "level": notes["level"], "sha256": sha256, **about,
            "libraries": {name: version(name) for name in LIBRARIES},
            "entry": {**entry, "weights": str(path.resolve()), "weights_sha256": sha256},
        }  # fmt: skip
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_text(path.with_suffix(".json"), text)


def next_commands(path: Path) -> str:
    """Say how to make a finished checkpoint part of a family."""
    beside = path.with_suffix(".json")
    entry = json.loads(beside.read_text(encoding="utf-8"))["entry"]
    name = entry["name"].replace(".", "-")
    line = ["companion", "add", name, str(path), "--model", f"{name}-trained", "--level",
            entry["level"], "--pretraining", entry["pretraining"]]  # fmt: skip
    return f"{path}\nnext: {shlex.join(line)}\nor put `entry` of {beside.name} into a family file"
