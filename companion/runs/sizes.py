"""How large networks are, as far as that is known without their weights, and what jobs need.

Parameters are those that open_clip publishes, both encoders together, or the size of a file that is
here. A model of which neither is known counts as the largest known one of its family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from analysis.families.registry import Model
from analysis.features.plan import ExtractionSettings
from analysis.features.store import local_weights
from companion.measurements import atlas

#: Bytes of a parameter, as weights are published and networks keep them.
PARAMETER_BYTES = 4
#: Parameters of a family of which nothing is known: those of a ViT-L/14.
UNKNOWN = 4.3e8
#: Bytes that a job takes beside networks and arrays: Python and PyTorch (measured, 0.53 GB), and on
#: a GPU its libraries and context, which are allowed for and were not measured.
BASE_CPU, BASE_GPU = 1e9, 4e9
#: Bytes of memory that an encoder on the CPU takes for each pixel of its batch: measured for seven
#: of open_clip's (batches of 4 to 128 images, PyTorch 2), it was 66 (ViT-B/32) to 392 (RN50x16).
PIXEL = 400
#: Bytes for each pixel of a batch in the images that were decoded ahead: three colours in up to
#: thirteen batches, two turns of four and five under way (`analysis.features.decode`).
DECODED = 3 * 13
#: Minutes that a job may take, unless the profile says otherwise.
MINUTES = 240


class Needs(NamedTuple):
    """What a job asks a cluster for: memory (MB) and time (minutes), as Snakemake calls them."""

    mem_mb: int = 0
    runtime: int = 0


@cache
def _published() -> dict[str, float]:
    """Parameters by the name of an architecture of open_clip."""
    known = atlas.facts().query("source == 'open_clip'").dropna(subset=["parameters"])
    return dict(zip(known["model"], known["parameters"].astype(float) * 1e6, strict=True))


def parameters(models: Sequence[Model]) -> dict[str, float]:
    """Numbers of parameters by the names of one family's models; 0 where nothing is known."""
    known = {}
    for model in models:
        file = local_weights(model)
        of_file = file.stat().st_size / PARAMETER_BYTES if file and file.is_file() else 0.0
        known[model.name] = _published().get(model.architecture or "", of_file)
    largest = max(known.values(), default=0.0)
    return {name: number or largest for name, number in known.items()}


def together(models: Sequence[Model], gigabytes: float) -> list[list[Model]]:
    """Divide a family's models into as few groups as memory allows, of about as many each."""
    whole = sum(number or UNKNOWN for number in parameters(models).values()) * PARAMETER_BYTES
    count = min(len(models), math.ceil(whole / (gigabytes * 1e9)))
    ends = [len(models) * part // count for part in range(count + 1)] if count else []
    return [[*models[start:end]] for start, end in pairwise(ends)]


def extracting(models: Sequence[Model], images: int, settings: ExtractionSettings) -> Needs:
    """What it takes to extract features by some models, of at most ``images`` at once.

    All networks are loaded, each of which is held twice meanwhile, before the first batch is
    encoded; on a GPU they lie in its own memory, and so does what they compute. Features are joined
    at the end. `tests/cases/grid.yaml` has measured peaks, of which this asked 1.2 to 2.7 times.
    """
    weights = [(number or UNKNOWN) * PARAMETER_BYTES for number in parameters(models).values()]
    arrays = 2 * images * max(model.width for model in models) * 4
    pixels = settings.batch_size * max(model.preprocessing.size for model in models) ** 2
    if settings.device == "cpu":
        there, encoding = BASE_CPU + sum(weights), pixels * (DECODED + PIXEL)
    else:
        there, encoding = BASE_GPU + max(weights), pixels * DECODED
    memory = there + max(*weights, encoding) + arrays
    return Needs(round(memory / 1e6), MINUTES)
