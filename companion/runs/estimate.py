"""What is left of a grid, and how long it takes: jobs, images, time and disk, measured here.

Nothing is assumed about the machine: decoding with resizing and the encoders are timed on it for
about half a minute, with weights drawn at random. Only `estimate` needs torch.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from analysis.families.registry import Family, Model
from analysis.features.plan import Settings
from analysis.features.preprocess import Geometry, geometry
from analysis.images import imagelist
from analysis.images.imagelist import ImageList
from analysis.images.sets import descriptions
from companion.runs.grid import Choice, Job, Kind, Plan, missing, models_of

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.features.extract import Encoder

#: Images that are decoded for an estimate.
SAMPLE = 48


@dataclass(frozen=True)
class Speed:
    """Seconds that one image takes, and what was measured: a sentence's part for the reader."""

    seconds: float
    what: str


@dataclass(frozen=True)
class Left:
    """One family's models that have still to extract one data set of so many images."""

    family: Family
    data: str
    images: int
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Row:
    """What is left to do for one family on one data set: images, seconds, bytes on disk."""

    family: str
    data: str
    encoders: int
    images: int
    seconds: float
    bytes: int


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
        return sum(row.bytes for row in self.rows)


def describe(plan: Plan) -> str:
    """Say which jobs a plan comes to, on how many images, and how long what is left takes."""
    waiting, left = plan.waiting(), _left(plan)
    kinds = {kind: [job for job in waiting if job.kind == kind] for kind in get_args(Kind)}
    counted = ", ".join(f"{len(jobs)} {kind}" for kind, jobs in kinds.items() if jobs)
    images = sum(len(images) for images in plan.data)
    lines = [
        f"{len(plan.jobs)} jobs, {len(plan.jobs) - len(waiting)} done, {len(waiting)} to do"
        + (f" ({counted})" if counted else "")
        + f": {len(plan.families)} families on {len(plan.data)} data sets of {images:,} images"
        + f", {len(plan.absent)} more are not here" * bool(plan.absent),
        *(f"  {job}{_for_some(plan, job)}" for job in waiting),
    ]
    if not left:
        return "\n".join([*lines, "nothing is left to extract"])
    found = estimate(plan)
    table = [("family", "data set", "encoders", "images", "time", "disk")]
    table += [
        (r.family, r.data, str(r.encoders), f"{r.images:,}", _time(r.seconds), _size(r.bytes))
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


def to_json(plan: Plan) -> str:
    """What `describe` says, for programs: seconds and bytes, and models that a job still lacks."""
    waiting = plan.waiting()
    found = estimate(plan) if _left(plan) else None
    content = {
        "jobs": len(plan.jobs),
        "waiting": [
            {"kind": job.kind, "family": job.family, "data": job.data, "part": job.number or None,
             "of": job.of or None, "models": [m.name for m in missing(plan.choice, job)]}
            for job in waiting
        ],
        "data": {images.name: len(images) for images in plan.data},
        "absent": {one.name: one.why for one in plan.absent},
        "estimate": None if found is None else {
            "precision": plan.choice.precision, "seconds": found.seconds, "bytes": found.size,
            **asdict(found),
        },
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False)


def estimate(plan: Plan, seconds: float = 30) -> Estimate:
    """Estimate what is left, absent data sets included, from a measurement of about ``seconds``.

    Measured are, on this machine, decoding with resizing for each data set and each family's
    encoders, with weights drawn at random, on which speed does not depend. On a GPU the slower of
    both decides; on the CPU they share the cores, so their times are added.
    """
    from analysis.features.extract import device_for

    device, choice, left = device_for(plan.choice.device), plan.choice, _left(plan)
    families = {one.family.name: one.family for one in left}
    began = time.monotonic()
    encode: dict[str, float] = {}
    how: list[str] = []
    for name in families:
        models = {m.name: m for one in left if one.family.name == name for m in one.models}
        speed, what = _encoding(list(models.values()), choice, device, seconds / 2 / len(families))
        encode |= speed
        how.append(f"{name}: {what}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        generated = _generated(Path(folder))
        here = {images.name: images for images in plan.data}
        for one in left:
            decode = _decoding(one.models, here.get(one.data, generated), choice)
            both = sum(encode[model.name] for model in one.models), decode.seconds
            each = max(both) if device.startswith("cuda") else sum(both)
            size = one.images * _bytes(one.models, choice)
            row = (one.family.name, one.data, len(one.models), one.images, one.images * each, size)
            rows.append(Row(*row))
            how.append(decode.what)
    took = f"measured in {time.monotonic() - began:.0f} s, setting up models included"
    return Estimate(tuple(rows), _named(device), (*dict.fromkeys(how), took))


def _left(plan: Plan) -> list[Left]:
    """What is still to be extracted, also of data sets that are not here, as they are published."""
    families = {family.name: family for family in plan.families}
    sizes = {images.name: len(images) for images in plan.data}
    here = [
        Left(families[job.family], job.data, sizes[job.data], tuple(missing(plan.choice, job)))
        for job in plan.waiting()
        if job.kind == "features"
    ]
    published = descriptions()
    absent = {
        one.name: (published[one.name].used or published[one.name]).images for one in plan.absent
    }
    return here + [
        Left(family, name, size, models_of(plan.choice, family.name))
        for family in plan.families
        for name, size in absent.items()
    ]


def _for_some(plan: Plan, job: Job) -> str:
    """Which models a job is still for, where that is not all of them."""
    lacking = missing(plan.choice, job)
    if len(lacking) == len(models_of(plan.choice, job.family)):
        return ""
    return f" (for {', '.join(model.name for model in lacking)})"


def _bytes(models: Sequence[Model], choice: Choice) -> int:
    """Bytes per image in the store: features of every model, a label and a row number."""
    each = 4 if choice.precision == "fp32" else 2
    return sum(model.width * each + 16 for model in models)


def _encoding(
    models: Sequence[Model], choice: Choice, device: str, seconds: float
) -> tuple[dict[str, float], str]:
    """Time encoders, each architecture once, on batches of noise: seconds per image by model."""
    kinds: dict[tuple[str | None, ...], list[Model]] = {}
    for model in models:
        kinds.setdefault((model.library, model.architecture), []).append(model)
    speed: dict[str, float] = {}
    for same in kinds.values():
        one = _seconds_per_image(same[0], choice, device, seconds / len(kinds))
        speed |= {model.name: one for model in same}
    return speed, (
        f"{len(models)} encoders ({len(kinds)} architectures, weights drawn at random) "
        f"{1 / sum(speed.values()):.3g} images/s through all of them"
    )


def _seconds_per_image(model: Model, choice: Choice, device: str, seconds: float) -> float:
    import torch

    from analysis.features.encoders import load
    from analysis.features.extract import Encoder
    from analysis.features.networks import threads_for

    drawn = model.model_copy(
        update={"weights": None, "weights_sha256": None, "level": "random", "head": None,
                "classes": None, "templates": None},
    )  # fmt: skip
    settings = Settings(precision=choice.precision, batch_size=choice.batch_size)
    encoder = Encoder(replace(load(drawn, None, device), text=None), settings)
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


def _decoding(models: Sequence[Model], images: ImageList, choice: Choice) -> Speed:
    """Time decoding and resizing of some images, spread over the data set."""
    wanted = tuple(sorted({geometry(model.preprocessing) for model in models}))
    seconds = _seconds_to_decode(images, wanted, choice.workers)
    return Speed(
        seconds, f"{images.name}: decoding, and resizing in {len(wanted)} "
        f"way{'s' * (len(wanted) > 1)}, {1 / seconds:.3g} images/s by {choice.workers} threads "
        f"(sample of {min(SAMPLE, len(images))})",
    )  # fmt: skip


_TIMES: dict[tuple[str, tuple[Geometry, ...]], float] = {}


def _seconds_to_decode(images: ImageList, wanted: tuple[Geometry, ...], workers: int) -> float:
    from analysis.features.decode import decoded

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
    return imagelist.folder(folder, name="generated images")


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
