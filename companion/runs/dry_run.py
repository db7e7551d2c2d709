"""What is left of a grid, without doing any of it: jobs, images and disk."""

from __future__ import annotations

from typing import Any

from analysis.common import aligned
from analysis.images import sets
from companion.runs.grid import Plan

#: Bytes of an image's label and row number.
LABEL_BYTES = 16


def to_extract(plan: Plan) -> list[dict[str, Any]]:
    """What is left to extract of each family and data set, also of data sets that are not here.

    A data set that is not here counts with the number of images that its authors published.
    """
    families = {family.name: family for family in plan.families}
    images = {name: sum(map(len, lists)) for name, lists in plan.data.items()}
    left = [(job.family, job.data, models) for job, models in plan.lacking().items()]
    for name in plan.absent:
        described = sets.descriptions()[name]
        images[name] = (described.used or described).images
        left += [(family, name, plan.choice.of(families[family])) for family in families]
    each = 4 if plan.choice.precision in ("fp32", "tf32") else 2
    return [
        {
            "family": family,
            "data": data,
            "models": [model.name for model in models],
            "images": images[data],
            "bytes": images[data] * sum(model.width * each + LABEL_BYTES for model in models),
            "here": data in plan.data,
        }
        for family, data, models in left
    ]


def describe(plan: Plan) -> str:
    """Say which jobs a plan comes to, for how many images, and how much disk they take."""
    left, measuring = to_extract(plan), plan.unrecorded()
    here = sum(row["here"] for row in left)
    absent = f", {len(plan.absent)} more are not here" * bool(plan.absent)
    first = (
        f"{len(plan.families)} families on {len(plan.data)} data sets of "
        f"{sum(map(len, plan.images)):,} images{absent}: {here} jobs to extract and "
        f"{len(measuring)} to measure what is there"
    )
    if not left:
        return f"{first}\nnothing is left to extract"
    table = [("family", "data set", "models", "images", "MB")]
    for row in left:
        counts = str(len(row["models"])), f"{row['images']:,}", f"{row['bytes'] / 1e6:,.0f}"
        table.append((row["family"], row["data"], *counts))
    last = f"{sum(row['bytes'] for row in left) / 1e9:.1f} GB of disk for the features"
    return "\n".join([first, *aligned(table), last])
