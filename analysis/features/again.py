"""After an upgrade, features are kept if a sample of them comes out equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.features import store
from analysis.features.plan import same_inputs
from analysis.features.preprocess import to_pixels
from analysis.images.imagelist import ImageList

#: Images that are encoded again, evenly spaced, and how far their features may move, as a share of
#: their length: rounding differs between versions of libraries, and more so in 16 bits.
SAMPLED = 64
ROUNDING = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 1e-2, "bf16": 5e-2}


def kept(
    encode: Callable[[Tensor], Tensor],
    geometry: Any,
    images: ImageList,
    path: Path,
    described: Mapping[str, Any],
) -> bool:
    """Sign features at ``path`` by the code of today if a sample of them comes out equal.

    ``described`` is what the sidecar of new ones would say. Features of other weights, images or
    settings are never kept, nor are damaged ones. The sidecar then says which parts changed and how
    far the sample moved.
    """
    try:
        old = store.read_features(path)
    except store.StoreError:
        return False
    left_out = old.sidecar["data"]["left_out"]
    changed = same_inputs(old.sidecar.get("made_from", {}), described["made_from"])
    if not changed:
        return False
    sound = [i for i, key in enumerate(images.keys) if key not in left_out]
    if len(sound) != len(old.features):
        return False
    rows = np.unique(np.linspace(0, len(sound) - 1, SAMPLED).round().astype(int))
    pixels = [torch.from_numpy(to_pixels(images.image(sound[r]), geometry).copy()) for r in rows]
    now, then = encode(torch.stack(pixels)), old.features[rows].astype(np.float64)
    moved = np.linalg.norm(now.cpu().numpy() - then, axis=1) / np.linalg.norm(then, axis=1)
    if moved.max() > ROUNDING[described["precision"]]:
        return False
    note = {"changed": changed, "sampled": len(rows), "moved": float(moved.max())}
    about = {name: value for name, value in old.sidecar.items() if name != "digest"}
    about |= {"made_from": described["made_from"], "kept": note}
    store.write_features(path, old.features, old.labels, old.rows, sidecar=about)
    return True
