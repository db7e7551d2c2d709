"""Build `course/lessons/lab/lab.npz`, from which the lab is done without a clone.

    python course/data/lab/make.py           # write it
    python course/data/lab/make.py --check   # compare it with the committed one

Features are read from the store, where `companion extract pocket_cnn --data pocket-twemoji-test`
puts them.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from analysis.base.roots import ROOT
from analysis.families.registry import load_family
from analysis.features import store

TARGET = ROOT / "course" / "lessons" / "lab" / "lab.npz"
DATA = "pocket-twemoji-test"


def arrays() -> dict[str, np.ndarray]:
    """Features (484, 128) and head (34, 128) of each model of the CNN, in half precision."""
    found = {}
    for model in load_family("pocket_cnn").models:
        name = model.name.removeprefix("pocket-cnn-")
        features = store.read_features(store.features_path(model.name, DATA), model).features
        head = store.read_head(store.head_path(model.name, DATA), model).weight
        found[f"{name} features"] = np.asarray(features).astype(np.float16)
        found[f"{name} head"] = np.asarray(head).astype(np.float16)
    return found


def main() -> int:
    """Write or compare; the exit status is 1 if the file differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    made = arrays()
    if not parser.parse_args().check:
        np.savez_compressed(TARGET, **made)
        return 0
    with np.load(TARGET) as kept:
        same = sorted(kept) == sorted(made) and all(
            np.allclose(kept[n], made[n], rtol=2e-3, atol=1e-3) for n in made
        )
    print("the file is as built" if same else f"differs: {TARGET.name}")
    return not same


if __name__ == "__main__":
    sys.exit(main())
