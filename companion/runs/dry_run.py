"""What a grid still has to do, without doing it: jobs, images, hours, weights and disk."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Mapping, Sequence

from analysis.families.registry import Family, Model
from analysis.features.store import default_folder, local_weights
from base.texts import aligned
from companion.measurements import atlas
from companion.runs import rates
from companion.runs.grid import GridPlan, Task, tasks
from companion.sources import sets

#: Bytes of an image's label and row number.
LABEL_BYTES = 16
#: Bytes of a parameter, as weights are published.
PARAMETER_BYTES = 4


def describe(plan: GridPlan) -> str:
    """Describe the jobs of a plan: images, hours by the last measured rates, disk and weights.

    A data set that is not here counts with the number of images that its authors published.
    """
    images = {name: sum(map(len, lists)) for name, lists in plan.data.items()}
    left = here = plan.lacking()
    for name, family in itertools.product(plan.absent, plan.families):
        left = left | tasks(plan.choice, family, name, plan.choice.of(family))
    each = 4 if plan.choice.precision in ("fp32", "tf32") else 2
    table, sizes = [("family", "data set", "models", "images", "MB", "hours")], list[float]()
    known, hours, without = rates.read(), list[float](), set[str]()
    for job, models in left.items():
        number = images[job.data] if job.data in images else sets.images(job.data)
        sizes.append(number * sum(model.width * each + LABEL_BYTES for model in models))
        names = [model.name for model in models]
        rate = rates.last_of(names, plan.choice.precision, known)
        if rate is None:
            without.add(job.family)
        else:
            hours.append(number * len(models) * rate.seconds / rate.encoded / 3600)
        row = (job.model or job.family, job.data, str(len(models)), f"{number:,}")
        table.append((*row, f"{sizes[-1] / 1e6:,.0f}", f"{hours[-1]:.1f}" if rate else "–"))
    others = f", {len(plan.absent)} more are not here" if plan.absent else ""
    first = (
        f"{len(plan.families)} families on {len(plan.data)} data sets of "
        f"{sum(images.values()):,} images{others}: {len(here)} jobs to extract and "
        f"{len(plan.unrecorded())} to measure what is there"
    )
    if not left:
        return f"{first}\nnothing is left to extract"
    after = [_time(sum(hours), without, known), _space(sizes), _weights(plan.families, left)]
    return "\n".join([first, *aligned(table), *after])


def _time(hours: float, without: Iterable[str], known: Sequence[rates.Rate]) -> str:
    """How long the jobs take one after the other, and of which nothing is known."""
    unknown = ", ".join(sorted(without))
    if not hours:
        return f"hours: not known, for no rate of {unknown} is measured yet (a first job does so)"
    more = f"; no rate of {unknown} is measured yet" if unknown else ""
    return f"{hours:.1f} hours one after the other, at the last rates, as of {known[-1]}{more}"


def _space(sizes: Sequence[float]) -> str:
    """The disk that features take, with the shards of the largest job, and what is free."""
    folder = next(one for one in (default_folder(), *default_folder().parents) if one.is_dir())
    free, total = shutil.disk_usage(folder).free, sum(sizes)
    short = "; that is too little" if free < total + max(sizes) else ""
    return (
        f"{total / 1e9:.1f} GB of disk for the features, and up to {max(sizes) / 1e9:.1f} GB more "
        f"for the shards of each job until it is whole; {free / 1e9:,.1f} GB are free in "
        f"{folder}{short}"
    )


def _weights(families: Sequence[Family], jobs: Mapping[Task, Sequence[Model]]) -> str:
    """The weights that the jobs need: how many, and how much is to be downloaded at most.

    Parameters are those that open_clip publishes; a model of timm in the same family has no more,
    since it lacks a text encoder.
    """
    facts = atlas.facts().query("source == 'open_clip'").dropna(subset=["parameters"])
    published = dict(zip(facts["model"], facts["parameters"].astype(float), strict=True))
    wanted = {model.name for models in jobs.values() for model in models if not model.drawn}
    total, count, there, unknown = 0.0, 0, 0, 0
    for family in families:
        sizes = [published[m.architecture] for m in family.models if m.architecture in published]
        chosen = [model for model in family.models if model.name in wanted]
        for model in {(m.library, m.architecture, m.weights): m for m in chosen}.values():
            size = published.get(model.architecture or "", max(sizes, default=0.0))
            file, count = local_weights(model), count + 1
            if file is not None and file.exists():
                there += 1
            elif size:
                total += size
            else:
                unknown += 1
    parts = [f"weights of {count} models"]
    parts += [f"{there} of them are here"] if there else []
    parts += [f"at most {total * 1e6 * PARAMETER_BYTES / 1e9:.1f} GB to download"] if total else []
    parts += [f"{unknown} of unknown size"] if unknown else []
    return ", ".join(parts)
