"""The build's status: each run of the book with its evidence, code version, day and machine.

It also lists what has not been run, because evidence is missing, and the command that brings it.
"""

from __future__ import annotations

import itertools
import json
import time
from bisect import bisect_left
from collections.abc import Collection, Container, Sequence
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any, cast, get_args

from analysis.base.roots import ROOT
from analysis.families.registry import Family, Model, load_families, load_family
from analysis.features.store import default_folder
from companion.engine import experiments, fingerprints
from companion.engine.run import Experiment, Run
from companion.measurements import pending, records
from companion.measurements.measurement import Measurement
from companion.measurements.pending import in_words
from companion.measurements.quantities import Measurable, declared
from companion.measurements.records import live_path, recorded_path


def table(pages: Container[str]) -> str:
    """A table (MyST) of every run that was executed, with links to those that are among the pages.

    Days and machines are those of the evidence, where that notes them.
    """
    recorded = [m for experiment in get_args(Measurable) for m in records.read_all(experiment)]
    rows = []
    for run in experiments.all_runs():
        if about := experiments.made(run):
            page, evidence = f"runs/{run}", about["evidence"]
            code = fingerprints.code_version(about["made_from"])
            noted = list(zip(*_noted(run, evidence, recorded), strict=True)) or [(), ()]
            cells = [
                run.experiment.name.replace("_", " "),
                f"{{doc}}`{run.subject} </{page}>`" if page in pages else f"`{run.subject}`",
                ", ".join(evidence) or "none",
                f"`{code}`",
                *(", ".join(sorted({*filter(None, texts)})) for texts in noted),
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return _filled("status_table.md", rows)


def _noted(run: Run, evidence: Collection[str], recorded: Sequence[Measurement]) -> list[Any]:
    """Day and machine of each measurement and each set of features that a run rests on."""
    pairs, shown = [], measured(run.experiment)
    if "recorded" in evidence:
        of_family = (m for m in recorded if m.family == run.subject and m.experiment in shown)
        pairs += [(m.provenance.taken, m.provenance.device) for m in of_family]
    if "live" in evidence:
        read = [path for path in fingerprints.from_store(run) if path.suffix == ".json"]
        texts = [path.read_text("utf-8") for path in read if path.parent.name != "measurements"]
        sidecars = map(json.loads, texts)
        pairs += [(note["made"], note["device"]) for note in sidecars if "made" in note]
    return pairs


def older_code(kinds: Sequence[Measurable], families: Sequence[Family]) -> str:
    """A box (MyST) on recorded measurements of earlier versions; "" if none is.

    For each kind: how many of them, and of which models.
    """
    rows = []
    for kind in kinds:
        every = [m for family in families for m in records.available(kind, family) if not m.live]
        older = [m for m in every if records.is_older(m)]
        models = ", ".join(dict.fromkeys(m.model for m in older))
        if older:
            rows.append(f"- `{kind}`: {len(older)} of {len(every)} ({models})")
    return _filled("older_code.md", rows) if rows else ""


def without_evidence() -> list[fingerprints.Status]:
    """The possible runs without a page in the book, and what each family lacks."""
    runs = (run for run in experiments.possible_runs() if not experiments.has_evidence(run))
    return [fingerprints.Status(run, "not measured", why_nothing(run)) for run in runs]


def why_nothing(run: Run) -> str:
    """Why a run has no page, and how to get one."""
    lacking = lacks(run.experiment, load_family(run.subject))
    return in_words([(what, command) for _, what, command in lacking])


def lacks(experiment: Experiment, family: Family) -> list[tuple[Model, str, str]]:
    """What each of a family's models lacks to be shown, and the command that brings it, or "".

    Models of random weights count where they say something: not where accuracies are looked at.
    """
    labelled = {"accuracies", *(name for name, kind in declared().items() if kind.labels)}
    of_classes = not labelled.isdisjoint(kinds_of(experiment))
    models = [m for m in family.models if not (of_classes and m.level == "random")]
    return [(m, *_lack(experiment, family, m)) for m in models if not shows(experiment, m)]


def shows(experiment: Experiment, model: Model) -> bool:
    """Whether there is some of the `evidence` named in a notebook's header for a model.

    ``accuracies``: published ones; ``features``: some in the store; a path: a table of which the
    first column names models; ``EXPERIMENT`` or ``EXPERIMENT--DATA``: a measurement, recorded or
    live, of which only the file's name is looked at.
    """
    return any(_is_there(kind, model) for kind in experiment.evidence)


def kinds_of(experiment: Experiment) -> set[str]:
    """The `evidence` whatever the data: experiments, ``accuracies``, ``features``, paths."""
    return {kind.partition("--")[0] for kind in experiment.evidence}


def measured(experiment: Experiment) -> list[Measurable]:
    """The measurements among the `evidence`, whatever the data."""
    return [name for name in get_args(Measurable) if name in kinds_of(experiment)]


def _is_there(kind: str, model: Model) -> bool:
    """Whether a model has one kind of evidence, as `shows` names them."""
    if kind == "accuracies":
        return bool(model.published)
    if kind == "features":
        return _has(default_folder() / model.name, "*.json")
    if "/" in kind:
        return f"\n{model.name}," in (ROOT / kind).read_text(encoding="utf-8")
    experiment, _, data = kind.partition("--")
    name, data = model.name, data or "*"
    places = (place(name, data, cast(Any, experiment)) for place in (recorded_path, live_path))
    return any(_has(path.parent, path.name) for path in places)


def _has(folder: Path, name: str) -> bool:
    """Whether a folder has a file of that name, which may have one * in it."""
    try:
        changed = folder.stat().st_mtime_ns
    except OSError:
        return False
    # Of two changes within a clock's tick only the first shows.
    names = (_names if time.time_ns() - changed > 1e8 else _names.__wrapped__)(folder, changed)
    start, _, end = name.partition("*")
    place = bisect_left(names, start)
    if start == name:
        return names[place : place + 1] == [name]
    alike = itertools.takewhile(lambda one: one.startswith(start), names[place:])
    return any(one.endswith(end) for one in alike)


@lru_cache(maxsize=4096)
def _names(folder: Path, _changed: int) -> list[str]:
    """The names in a folder, sorted; listed once until it changes."""
    return sorted(path.name for path in folder.iterdir())


def not_measured() -> str:
    """The page (MyST) of all that models lack to be shown: one row for each thing that brings it.

    Chapters that show the same evidence count once, under the first one's heading.
    """
    chapters: dict[tuple[str, ...], Experiment] = {}
    for experiment in experiments.load_experiments().values():
        chapters.setdefault(experiment.evidence, experiment)
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for experiment, family in itertools.product(chapters.values(), load_families().values()):
        if experiment.evidence and family.edition in experiment.editions:
            chapter = experiments.heading(experiment)
            for model, what, command in lacks(experiment, family):
                guide = "your_checkpoint" if model.loadable else "train"
                brings = f"`{command}`" if command else f"{{doc}}`/guide/{guide}`"
                alike.setdefault((chapter, family.title, what, brings), []).append(model.title)
    rows = [
        f"| {chapter} | {family} | {'; '.join(models)} | {what} | {brings} |"
        for (chapter, family, what, brings), models in alike.items()
    ]
    return _filled("not_measured.md", rows)


def _filled(template: str, rows: Sequence[str]) -> str:
    """A text (MyST) from the file next to this module, with the rows of its table."""
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    return Template(text).substitute(rows="\n".join(rows))


def _lack(experiment: Experiment, family: Family, model: Model) -> tuple[str, str]:
    wanted = measured(experiment)
    for job in pending.jobs(family, wanted):
        names = {job.experiment, f"{job.experiment}--{job.data}"}
        if job.model.name == model.name and names & {*experiment.evidence}:  # a run takes it first
            command = f"companion run {experiment.name} {family.name}"
            return "measurements of their features", command
    groups = pending.CONCEPTS | pending.SHIFTED
    parts = [kind.partition("--")[2] for kind in experiment.evidence]
    named = [
        name for part in parts if part not in ("", "pocket") for name in groups.get(part, [part])
    ]
    what, command = pending.lack(wanted, family, model, named)
    also = "published accuracies, " if "accuracies" in experiment.evidence else ""
    return also + what, command
