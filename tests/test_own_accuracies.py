"""A reader's family from miniatures of the six data sets to its pages: numbers against loops.

The pictures are noise, so nobody is robust here; what is checked is that the numbers on the pages
are those of a literal computation from the features.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import copy_checkout, run_in

from analysis import accuracy, imagenet, miniatures, store

torch = pytest.importorskip("torch", reason="extraction is not installed")
pytest.importorskip("open_clip")

from safetensors.torch import load_file, save_file  # noqa: E402

FAMILY = """name: mini
title: Mini
edition: reader
order: 1
backbone: The pocket lab's transformer, with ImageNet's classes.
models:
  - &clip
    name: mini-web
    level: zero_shot
    library: open_clip
    architecture: pocket-vit
    weights: data/pocket/checkpoints/pocket-vit-web-large.safetensors
    pretraining: Emoji captions
    width: 128
    head: zero_shot
    templates: ["a {}"]
    preprocessing:
      {size: 32, interpolation: box, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
  - <<: *clip
    name: mini-own
    level: supervised
    weights: mini-own.safetensors
    head: own
    templates: null
  - <<: *clip
    name: mini-random
    level: random
    weights: null
"""
DATA = tuple(accuracy.NAMES.values())


def make(folder: Path) -> Path:
    """A checkout with miniatures, features of the six data sets and the family `mini`."""
    copy_checkout(folder)
    miniatures.save_all(folder / "sets")
    (folder / "families/mini.yaml").write_text(FAMILY, encoding="utf-8")
    companion(folder, "extract", "mini", "--model", "mini-web", "mini-random", "--data", *DATA)
    save_own(folder)
    companion(folder, "extract", "mini", "--model", "mini-own", "--data", *DATA)
    return folder


def save_own(folder: Path) -> None:
    """A classifier on mini-web's tower that knows some pictures of every set: ridge regression."""
    h, rows = [], []
    for data in DATA:
        found = store.read_features(folder / "store/mini-web" / f"{data}.safetensors")
        several = imagenet.objectnet_to_imagenet()
        names = [several.get(name, (name,))[0] for name in found.classes]
        h.append(found.features.astype(np.float64))
        rows += [imagenet.classes().index(names[label]) for label in found.labels]
    x = np.concatenate(h)
    gram = x.T @ x
    weight = np.linalg.solve(gram + 1e-3 * np.trace(gram) * np.eye(128), x.T @ np.eye(1000)[rows])
    tower = load_file(folder / "data/pocket/checkpoints/pocket-vit-web-large.safetensors")
    tower = {name: value for name, value in tower.items() if name.startswith("visual.")}
    tower["head.weight"] = torch.from_numpy(np.ascontiguousarray(weight.T, np.float32))
    about = {"classes": json.dumps(imagenet.classes()), "normalize": "false"}
    save_file(tower, folder / "mini-own.safetensors", about | {"architecture": "pocket-vit"})


def companion(folder: Path, *words: str) -> str:
    accept = ["--accept-counts", "-q"] * (words[0] == "extract")
    done = run_in(folder, "analysis.cli", *words, *accept)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
