"""What is left of a grid, and how long it takes: jobs, images, time and disk, measured here.

Nothing is assumed about the machine: decoding with resizing and the encoders are timed on it for
about half a minute, with weights drawn at random. Only `estimate` needs torch.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from analysis import datasets
from analysis.datasets import ImageList
from analysis.grid import Choice, Kind, Plan, models_of
from analysis.paper_sets import descriptions
from analysis.preprocess import Geometry, geometry
from analysis.registry import Family, Model

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.extract import Encoder

#: Images that are decoded for an estimate.
SAMPLE = 48


@dataclass(frozen=True)
class Speed:
    """Seconds that one image takes, and what was measured: a sentence's part for the reader."""

    seconds: float
    what: str


@dataclass(frozen=True)
class Row:
    """What is left to do for one family on one data set: images, seconds, bytes on disk."""

    family: str
    data: str
    models: int
    images: int
    seconds: float
    size: int


@dataclass(frozen=True)
class Estimate:
    """Time and disk of what is left of a grid, and how they were measured."""

    rows: tuple[Row, ...]
    device: str
    how: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Time of all jobs, one after the other."""
        return sum(row.seconds for row in self.rows)

    @property
    def size(self) -> int:
        """Bytes that the features take in the end."""
        return sum(row.size for row in self.rows)


def describe(plan: Plan) -> str:
    """Say which jobs a plan comes to, on how many images, and how long what is left takes."""
    waiting = plan.waiting()
    kinds = {kind: [job for job in waiting if job.kind == kind] for kind in get_args(Kind)}
    counted = ", ".join(f"{len(jobs)} {kind}" for kind, jobs in kinds.items() if jobs)
    images = sum(len(images) for images in plan.data)
    lines = [
        f"{len(plan.jobs)} jobs, {len(plan.jobs) - len(waiting)} done, {len(waiting)} to do"
        + (f" ({counted})" if counted else "")
        + f": {len(plan.families)} families on {len(plan.data)} data sets of {images:,} images"
        + f", {len(plan.absent)} more are not here" * bool(plan.absent),
        *(f"  {job}" for job in waiting),
    ]
    if not [job for job in waiting if job.kind == "features"] and not plan.absent:
        return "\n".join([*lines, "nothing is left to extract"])
    found = estimate(plan)
    table = [("family", "data set", "encoders", "images", "time", "disk")]
    table += [
        (r.family, r.data, str(r.models), f"{r.images:,}", _time(r.seconds), _size(r.size))
        for r in found.rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
              for row in table]  # fmt: skip
    absent = ", ".join(one.name for one in plan.absent)
    lines.append(
        f"extraction takes about {_time(found.seconds)} in all, one job after the other on "
        f"{found.device} in {plan.choice.precision}, and {_size(found.size)} of disk in the end, "
        "twice that of a data set while it is put together"
        + (f"; {absent} counted as published, though not here" if absent else "")
        + ". Reading weights, heads and measuring come on top."
    )
    return "\n".join([*lines, *(f"  {line}" for line in found.how)])


def estimate(plan: Plan, seconds: float = 30) -> Estimate:
    """Estimate what is left, absent data sets included, from a measurement of about ``seconds``.

    Measured are, on this machine, decoding with resizing for each data set and each family's
    encoders, with weights drawn at random, on which speed does not depend. On a GPU the slower of
    both decides; on the CPU they share the cores, so their times are added.
    """
    from analysis.extract import device_for

    device = device_for(plan.choice.device)
    left = [*_left(plan), *_left_of_absent(plan)]
    names = {name for name, _, _ in left}
    families = [family for family in plan.families if family.name in names]
    began = time.monotonic()
    encode = {f.name: _encoding(f, plan.choice, device, seconds / 2 / len(families))
              for f in families}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        generated = _generated(Path(folder))
        here = {images.name: images for images in plan.data}
        decode = {
            (f.name, data): _decoding(f, here.get(data, generated), plan.choice)
            for f in families
            for data in dict.fromkeys(data for _, data, _ in left)
        }
    rows = []
    for name, data, count in left:
        slow, other = encode[name].seconds, decode[name, data].seconds
        each = max(slow, other) if device.startswith("cuda") else slow + other
        rows.append(Row(name, data, len(models_of(name)), count, count * each,
                        count * _bytes(name, plan.choice)))  # fmt: skip
    how = [*(s.what for s in encode.values()), *dict.fromkeys(s.what for s in decode.values())]
    took = f"measured in {time.monotonic() - began:.0f} s, setting up models included"
    return Estimate(tuple(rows), _named(device), (*how, took))


def _left(plan: Plan) -> list[tuple[str, str, int]]:
    """Family, data set and images of what is still to be extracted."""
    size = {images.name: len(images) for images in plan.data}
    waiting = [job for job in plan.waiting() if job.kind == "features"]
    return [(job.family, job.data, size[job.data]) for job in waiting]


def _left_of_absent(plan: Plan) -> list[tuple[str, str, int]]:
    """The same for data sets that are not here, with their published counts."""
    published = descriptions()
    sizes = {
        one.name: (published[one.name].used or published[one.name]).images for one in plan.absent
    }
    return [(family.name, name, size) for family in plan.families for name, size in sizes.items()]


def _bytes(family: str, choice: Choice) -> int:
    """Bytes per image in the store: features of every model, a label and a row number."""
    each = 4 if choice.precision == "fp32" else 2
    return sum(model.width * each + 16 for model in models_of(family))


def _encoding(family: Family, choice: Choice, device: str, seconds: float) -> Speed:
    """Time the family's encoders, each architecture once, on batches of noise."""
    models = models_of(family.name)
    kinds: dict[tuple[str | None, ...], list[Model]] = {}
    for model in models:
        kinds.setdefault((model.library, model.architecture), []).append(model)
    total = 0.0
    for same in kinds.values():
        total += len(same) * _seconds_per_image(same[0], choice, device, seconds / len(kinds))
    return Speed(
        total, f"{family.name}: {len(models)} encoders ({len(kinds)} architectures, weights drawn "
        f"at random) {1 / total:.3g} images/s through all of them",
    )  # fmt: skip


def _seconds_per_image(model: Model, choice: Choice, device: str, seconds: float) -> float:
    import torch

    from analysis.extract import Encoder, Settings, threads_for
    from analysis.models import load

    drawn = model.model_copy(
        update={"weights": None, "weights_sha256": None, "level": "random", "head": None,
                "classes": None, "templates": None},
    )  # fmt: skip
    settings = Settings(precision=choice.precision, batch_size=choice.batch_size)
    encoder = Encoder(replace(load(drawn, None, device), text=None), settings, Path())
    size = model.preprocessing.size
    batch = choice.batch_size if device.startswith("cuda") else min(choice.batch_size, 8)
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    with threads_for([encoder.loaded.encoder]):
        _, one = _timed(encoder, pixels[:1]), _timed(encoder, pixels[:1])  # the first sets up
        if one > seconds / 4 and device == "cpu":
            return one
        encoder(pixels).cpu()
        took, calls = _timed(encoder, pixels), 1
        while took < seconds / 2:
            took, calls = took + _timed(encoder, pixels), calls + 1
    return took / calls / batch


def _timed(encoder: Encoder, pixels: Tensor) -> float:
    """Seconds until the features of some pixels are on the CPU."""
    began = time.monotonic()
    encoder(pixels).cpu()
    return time.monotonic() - began


def _decoding(family: Family, images: ImageList, choice: Choice) -> Speed:
    """Time decoding and resizing of some images, spread over the data set."""
    wanted = tuple(sorted({geometry(model.preprocessing) for model in models_of(family.name)}))
    seconds = _seconds_to_decode(images, wanted, choice.workers)
    return Speed(
        seconds, f"{images.name}: decoding, and resizing in {len(wanted)} "
        f"way{'s' * (len(wanted) > 1)}, {1 / seconds:.3g} images/s by {choice.workers} threads "
        f"(sample of {min(SAMPLE, len(images))})",
    )  # fmt: skip


_TIMES: dict[tuple[str, tuple[Geometry, ...]], float] = {}


def _seconds_to_decode(images: ImageList, wanted: tuple[Geometry, ...], workers: int) -> float:
    from analysis.extract import Settings, decoded

    if (images.name, wanted) not in _TIMES:
        rows = np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)
        some = np.zeros(len(images), dtype=bool)
        some[rows] = True
        sample = images.select(some, images.name)
        settings = Settings(batch_size=len(sample), shard_size=len(sample), workers=workers)
        began = time.monotonic()
        for _ in decoded(sample, {0: wanted}, settings):
            pass
        _TIMES[images.name, wanted] = (time.monotonic() - began) / len(sample)
    return _TIMES[images.name, wanted]


def _generated(folder: Path) -> ImageList:
    """Photographs of nothing of ImageNet's usual size, for data sets that are not here."""
    rng = np.random.default_rng(0)
    for number in range(SAMPLE):
        coarse = Image.fromarray(rng.integers(0, 256, (40, 53, 3), dtype=np.uint8))
        coarse.resize((500, 375)).save(folder / f"{number}.jpg", quality=95)
    return datasets.folder(folder, name="generated images")


def _named(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
