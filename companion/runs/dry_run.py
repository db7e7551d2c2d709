"""What a grid still has to do, without doing it: jobs, images, weights and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

from analysis.base.texts import aligned
from analysis.families.registry import Family, Model
from analysis.features.store import Precision, default_folder, local_weights
from companion.runs import sizes
from companion.runs.grid import GridPlan, Lacks, Task, extractions

#: Bytes of an image's label and row number.
LABEL_BYTES = 16


def describe(plan: GridPlan) -> str:
    """Describe the jobs of a plan: images, disk and weights.

    A data set that is not here counts with the number of images that its authors published.
    """
    left, here, precision = dict[Task, Lacks](), 0, plan.grid.settings.precision
    for family in plan.families:
        lacks = plan.lacks(family)
        here += len(extractions(plan.grid, family, lacks))
        absent = {name: plan.grid.of(family) for name in plan.absent}
        left |= extractions(plan.grid, family, lacks | absent)
    table, space = [("family", "data sets", "models", "images", "MB")], list[list[int]]()
    for job, lacks in left.items():
        images = {name: plan.images(name) for name in lacks}
        space.append([images[name] * _each(precision, lacks[name]) for name in lacks])
        data = next(iter(images)) if len(images) == 1 else str(len(images))
        row = (f"{job.family} {job.part}".strip(), data, str(len(job.models)))
        table.append((*row, f"{sum(images.values()):,}", f"{sum(space[-1]) / 1e6:,.0f}"))
    others = f", {len(plan.absent)} more are not here" if plan.absent else ""
    first = (
        f"{len(plan.families)} families on {len(plan.data)} data sets of "
        f"{sum(map(plan.images, plan.data)):,} images{others}: {here} jobs to extract and "
        f"{len(plan.unrecorded())} to measure what is there"
    )
    if not left:
        return f"{first}\nnothing is left to extract"
    after = [_space(space), _weights(plan.families, left)]
    return "\n".join([first, *aligned(table), *after])


def _each(precision: Precision, models: Sequence[Model]) -> int:
    """Bytes that the store keeps of an image, for all of some models together."""
    number = 4 if precision in ("fp32", "tf32") else 2
    return sum(model.width * number + LABEL_BYTES for model in models)


def _space(jobs: Sequence[Sequence[int]]) -> str:
    """The disk that features take, with the shards of the largest data set, and what is free."""
    folder = next(one for one in (default_folder(), *default_folder().parents) if one.is_dir())
    free, total = shutil.disk_usage(folder).free, sum(map(sum, jobs))
    most = max(map(max, jobs))
    short = "; that is too little" if free < total + most else ""
    return (
        f"{total / 1e9:,.1f} GB of disk for the features, and up to {most / 1e9:.1f} GB more for "
        f"each job's shards of a data set until it is whole; {free / 1e9:,.1f} GB are free in "
        f"{folder}{short}"
    )


def _weights(families: Sequence[Family], jobs: Iterable[Task]) -> str:
    """The weights that the jobs need: how many, and how much is to be downloaded at most.

    A model of timm has no more parameters than open_clip's largest of its family, since it lacks a
    text encoder.
    """
    wanted = {name for job in jobs for name in job.models}
    total, count, there, unknown = 0.0, 0, 0, 0
    for family in families:
        known = sizes.parameters(family.models)
        chosen = [m for m in family.models if m.name in wanted and not m.drawn]
        for model in {(m.library, m.architecture, m.weights): m for m in chosen}.values():
            file, count = local_weights(model), count + 1
            if file is not None and file.exists():
                there += 1
            elif known[model.name]:
                total += known[model.name] * sizes.PARAMETER_BYTES
            else:
                unknown += 1
    parts = [f"weights of {count} models"]
    parts += [f"{there} of them are here"] if there else []
    parts += [f"at most {total / 1e9:,.1f} GB to download"] if total else []
    parts += [f"{unknown} of unknown size"] if unknown else []
    return ", ".join(parts)
