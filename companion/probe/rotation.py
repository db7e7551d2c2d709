"""What 4 bits leave of features, as they are and rotated, and what to take along.

No verdict on robustness rests on it. The page `bits` explains the numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.base.files import is_stream, replaced
from analysis.base.texts import CompanionError
from analysis.metrics import basis
from analysis.metrics import quantisation as metrics
from companion.measurements.measures import Quantities

#: Bits per number; the seed of the rotation; at most so many images take part.
BITS, SEED, IMAGES = 4, 0, 4000
#: The share of neighbours that a change must win before it is advised.
WORTH = 0.05
SUFFIX = ".safetensors"


def in_four_bits(features: NDArray[Any]) -> Quantities:
    """The share of ten nearest neighbours that 4 bits keep: (N, d).

    With one scale per vector as written, rotated, and with the mean subtracted (and added after
    decoding); with a range per dimension as written and rotated. Of many images evenly spaced ones
    take part. Nothing for ten images or fewer, of which none has ten neighbours.
    """
    if len(features) <= metrics.NEIGHBOURS:
        return {}
    h = basis.at_length_one(features[metrics.evenly(len(features), IMAGES)])
    queries = metrics.evenly(len(h), metrics.QUERIES)
    found, turned = metrics.nearest(h, queries), h @ basis.random_rotation(h.shape[1], SEED)
    mean = h.mean(axis=0)
    decoded = {
        "four_bits": metrics.uniform(h, BITS),
        "four_bits_rotated": metrics.uniform(turned, BITS),
        "four_bits_less_mean": metrics.uniform(h - mean, BITS) + mean,
        "four_bits_ranged": metrics.ranged(h, BITS, of="dimension"),
        "four_bits_ranged_rotated": metrics.ranged(turned, BITS, of="dimension"),
    }
    return {name: metrics.kept(found, some, queries).mean() for name, some in decoded.items()}


def check_place(path: Path | None) -> None:
    """Raise CompanionError, before anything is computed, if no rotation can be written there."""
    if path is not None and (is_stream(path) or path.suffix != SUFFIX):
        raise CompanionError(f"a rotation is written as a file: give a name that ends in {SUFFIX}.")


def write(width: int, path: Path) -> None:
    """Write the rotation as safetensors: `rotation` (width, width), in float32, with its seed."""
    from safetensors.numpy import save_file

    matrix = basis.random_rotation(width, SEED).astype(np.float32)
    with replaced(path) as part:
        save_file({"rotation": matrix}, part, metadata={"seed": str(SEED)})
        part.chmod(0o644)  # safetensors keeps its files to their owner


def lines(path: Path) -> str:
    """The lines of NumPy that apply it to features and a head."""
    return (
        "from safetensors.numpy import load_file\n"
        f'rotation = load_file("{path.as_posix()}")["rotation"]\n'
        "features = features @ rotation  # and the head's rows, and every query"
    )


def write_mean(mean: NDArray[Any], path: Path) -> None:
    """Write the mean of vectors, (d,), as float32."""
    with replaced(path) as part, part.open("wb") as file:
        np.save(file, mean.astype(np.float32))
