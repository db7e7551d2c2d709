"""What a grid still has to do, without doing it: jobs, images and disk."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence

from analysis.families.registry import Model
from analysis.features.store import default_folder
from base.texts import aligned
from companion.runs.grid import GridPlan, Task
from companion.sources import sets

#: Bytes of an image's label and row number.
LABEL_BYTES = 16


def describe(plan: GridPlan) -> str:
    """Describe the jobs of a plan, their number of images, and the disk that they take.

    A data set that is not here counts with the number of images that its authors published.
    """
    images = {name: sum(map(len, lists)) for name, lists in plan.data.items()}
    left = here = plan.lacking()
    for name, family in itertools.product(plan.absent, plan.families):
        left = left | {Task("features", family.name, name): plan.choice.of(family)}
    each = 4 if plan.choice.precision in ("fp32", "tf32") else 2
    table, total = [("family", "data set", "models", "images", "MB")], 0
    for job, models in left.items():
        of_family, data = job.family, job.data
        number = images[data] if data in images else sets.images(data)
        size = number * sum(model.width * each + LABEL_BYTES for model in models)
        table.append((of_family, data, str(len(models)), f"{number:,}", f"{size / 1e6:,.0f}"))
        total += size
    others = f", {len(plan.absent)} more are not here" if plan.absent else ""
    first = (
        f"{len(plan.families)} families on {len(plan.data)} data sets of "
        f"{sum(images.values()):,} images{others}: {len(here)} jobs to extract and "
        f"{len(plan.unrecorded())} to measure what is there"
    )
    if not left:
        return f"{first}\nnothing is left to extract"
    return "\n".join([first, *aligned(table), _space(left, total)])


def _space(jobs: Mapping[Task, Sequence[Model]], total: float) -> str:
    """The disk that features take, what is free, and which weights come first."""
    folder = next(one for one in (default_folder(), *default_folder().parents) if one.is_dir())
    free = shutil.disk_usage(folder).free
    weights = {model.name for models in jobs.values() for model in models if not model.drawn}
    short = "; that is too little" if free < total else ""
    return (
        f"{total / 1e9:.1f} GB of disk for the features, and a job's own once more until it is "
        f"whole ({free / 1e9:,.1f} GB are free in {folder}{short}); weights of {len(weights)} "
        "models"
    )
