"""What is left of a grid: jobs, images, disk, and hours at speeds that others published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pandas as pd

from analysis.common import ROOT, aligned
from analysis.families.registry import Model
from analysis.images import sets
from companion.measurements import atlas
from companion.measurements.accuracies import GELU
from companion.runs.grid import Plan
from companion.runs.options import Choice

THROUGHPUT = ROOT / "data" / "throughput"


@dataclass(frozen=True)
class Row:
    """What is left to extract for one family on one data set.

    ``hours``: on a GPU as fast as the published ones, its images decoded by so many workers; None
    where an encoder's speed is not published.
    """

    family: str
    data: str
    models: tuple[str, ...]
    images: int
    bytes: int
    hours: float | None


def rows(plan: Plan) -> list[Row]:
    """What is left to extract, absent data sets as they are published included."""
    families = {family.name: family for family in plan.families}
    sizes = {name: sum(map(len, lists)) for name, lists in plan.data.items()}
    published = sets.descriptions()
    left = [(job.family, job.data, models) for job, models in plan.lacking().items()]
    for name in plan.absent:
        sizes[name] = (published[name].used or published[name]).images
        left += [(family, name, plan.choice.of(families[family])) for family in families]
    return [_row(plan.choice, *one, sizes[one[1]]) for one in left]


def _row(choice: Choice, family: str, data: str, models: Sequence[Model], images: int) -> Row:
    each = 4 if choice.precision in ("fp32", "tf32") else 2
    size = images * sum(model.width * each + 16 for model in models)  # a label and a row number
    speeds, decoding = _throughput()
    known = [speeds[m.architecture] for m in models if m.architecture in speeds]
    seconds = max(sum(1 / speed for speed in known), decoding / choice.workers)
    hours = images * seconds / 3600 if len(known) == len(models) else None
    return Row(family, data, tuple(m.name for m in models), images, size, hours)


@cache
def _throughput() -> tuple[dict[str | None, float], float]:
    """Images per second by architecture, and seconds that a core decodes an image.

    Speeds are the published ones. Of open_clip's other architectures whose operations are known:
    what the GPU does at the median rate of those, in operations a second.
    """
    table = pd.read_csv(THROUGHPUT / "published.csv").set_index("architecture")
    operations = atlas.operations()
    rate = (table["images_per_second"] * operations).median()
    speeds = (rate / operations).to_dict() | table["images_per_second"].to_dict()
    measured = json.loads((THROUGHPUT / "full_size.json").read_text(encoding="utf-8"))["encoders"]
    return {**speeds}, sum(one["decoding_seconds"] for one in measured) / len(measured)


def describe(plan: Plan) -> str:
    """Say which jobs a plan comes to, on how many images, how long they take and how much disk."""
    left, measuring = rows(plan), plan.unrecorded()
    here = [row for row in left if row.data in plan.data]
    lines = [
        f"{len(plan.families)} families on {len(plan.data)} data sets of "
        f"{sum(map(len, plan.images)):,} images"
        + f", {len(plan.absent)} more are not here" * bool(plan.absent)
        + f": {len(here)} jobs to extract and {len(measuring)} to measure what is there",
    ]
    table = [("family", "data set", "models", "images", "hours", "MB")]
    table += [
        (r.family, r.data, str(len(r.models)), f"{r.images:,}",
         "?" if r.hours is None else f"{r.hours:.2f}", f"{r.bytes / 1e6:,.0f}") for r in left
    ]  # fmt: skip
    lines += aligned(table) if left else []
    hours = sum(row.hours or 0 for row in left)
    lines.append(
        f"{hours:.1f} hours in all, one job after the other, on a GPU as fast as the one of "
        f"data/throughput/published.csv with {plan.choice.workers} cores that decode (an estimate, "
        "for other networks of open_clip from their number of operations; ? where neither is "
        f"known), {sum(row.bytes for row in left) / 1e9:.1f} GB of disk for the features, and "
        f"{weights(plan, left) / 1e9:.0f} GB of weights in float32, if none was fetched yet"
        if left
        else "nothing is left to extract"
    )
    return "\n".join(lines)


def weights(plan: Plan, left: Sequence[Row]) -> int:
    """Bytes of the weights of all models that something is left to extract of, in float32.

    Those of open_clip whose parameters are published, by another name for the activation or not.
    """
    names = {name for row in left for name in row.models}
    sizes = {str(name).removesuffix(GELU): size for name, size in atlas.sizes().items()}
    every = [model for family in plan.families for model in family.models if model.name in names]
    drawn = [model for model in every if model.weights]
    known = [sizes.get((model.architecture or "").removesuffix(GELU), 0.0) for model in drawn]
    return round(4e6 * sum(known))


def to_json(plan: Plan) -> str:
    """What `describe` says, for programs."""
    left = rows(plan)
    content = {
        "extract": [vars(row) | {"here": row.data in plan.data} for row in left],
        "measure": [
            {"family": job.family, "data": job.data, "models": [m.name for m in models]}
            for job, models in plan.unrecorded().items()
        ],
        "data": {name: sum(map(len, lists)) for name, lists in plan.data.items()},
        "absent": dict(plan.absent),
        "weights_bytes": weights(plan, left),
    }
    return json.dumps(content, indent=1, ensure_ascii=False)
