"""The results of full-size trainings: a checkpoint, its description, and how to use it."""

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

from base.files import replaced, sha256_of, write_text
from base.texts import changes
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
            f"{path} is not a sound state or result of a training: remove it to start again."
        ) from None
    if different:
        raise TrainingError(
            f"{path} belongs to another training ({different}): use the same settings, or another "
            "folder with --out."
        )


def write(
    path: Path, weights: Mapping[str, Tensor], notes: Mapping[str, str], about: Mapping[str, Any]
) -> None:
    """Write a checkpoint's description and then the checkpoint, so that neither lacks the other."""
    with replaced(path) as part:
        write_tensors(weights, part, notes)
        content = {"name": path.stem, "level": notes["level"], "sha256": sha256_of(part), **about}
        content["libraries"] = {name: version(name) for name in LIBRARIES}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_text(path.with_suffix(".json"), text)


def next_commands(path: Path) -> str:
    """Say how to make a finished checkpoint a family."""
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    name = about["name"].replace(".", "-")
    line = ["companion", "add", name, str(path), "--model", f"{name}-trained"]
    line += ["--level", about["level"], "--pretraining", about["pretraining"]]
    return f"{path}\nnext: {shlex.join(line)}"
