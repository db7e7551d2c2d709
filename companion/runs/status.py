"""What has been run: each run of the book with its evidence, code version, day and machine.

And what has not, because there is nothing to show: which models lack what, and what brings it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from analysis.families.registry import Family, Model, load_families, load_family
from analysis.features import store
from companion.measurements import pending, records
from companion.measurements.quantities import Experiment as Measured
from companion.measurements.quantities import declared
from companion.measurements.records import Measurement
from companion.runs import experiments, fingerprints
from companion.runs.experiments import Experiment, Run

#: Chapters whose measurements are called otherwise.
TAKEN_AS = {"effective_robustness": "accuracy"}
KINDS = ("published", "recorded", "live")


@dataclass(frozen=True)
class Entry:
    """One run. ``days`` and ``machines`` are of its evidence, where that notes them."""

    run: Run
    evidence: tuple[str, ...]
    code: str
    days: tuple[str, ...]
    machines: tuple[str, ...]


def entries() -> list[Entry]:
    """Every run that was executed, in the book's order."""
    found = [(run, experiments.executed(run)) for run in experiments.all_runs()]
    recorded = [m for experiment in get_args(Measured) for m in records.read_all(experiment)]
    return [_entry(run, notebook, recorded) for run, notebook in found if notebook]


def kinds(notebook: dict[str, Any]) -> tuple[str, ...]:
    """The kinds of evidence that an executed notebook's figures and tables rest on."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    notes = [output.get("metadata", {}).get("companion", {}) for output in outputs]
    named = {kind.strip() for note in notes for kind in note.get("evidence", "").split(",")}
    return tuple(kind for kind in KINDS if kind in named)


def _entry(run: Run, notebook: dict[str, Any], recorded: list[Measurement]) -> Entry:
    named = kinds(notebook)
    name = TAKEN_AS.get(run.experiment.name, run.experiment.name)
    sources = []
    if "recorded" in named:
        shown = [m.provenance for m in recorded if (m.family, m.experiment) == (run.subject, name)]
        sources += [(one.taken or "", one.device) for one in shown]
    if "live" in named:
        read = [path for path in fingerprints.from_store(run) if path.suffix == ".json"]
        sidecars = [json.loads(path.read_text(encoding="utf-8")) for path in read]
        sources += [(one["made"], one["device"]) for one in sidecars if "made" in one]
    return Entry(
        run,
        named,
        fingerprints.code_version(notebook["metadata"]["companion"]["made_from"]),
        _distinct(day for day, _ in sources),
        _distinct(machine for _, machine in sources),
    )


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text}))


@dataclass(frozen=True)
class Lack:
    """What a model lacks to be shown in an experiment; ``command``: what brings it, or nothing."""

    family: Family
    model: Model
    what: str
    command: str


def without_evidence() -> list[fingerprints.Status]:
    """The possible runs that the book has no page of, and what each family lacks."""
    runs = (run for run in experiments.possible_runs() if not experiments.has_evidence(run))
    return [fingerprints.Status(run, "not measured", _in_words(run)) for run in runs]


def nothing_to_show(run: Run) -> str:
    """A sentence on why a run has no page, and what to do."""
    family = load_family(run.subject)
    told = f"there is nothing to show of {run.experiment.name} for {family.name}: {_in_words(run)}"
    problems = "".join(f" {problem}" for problem in pending.unusable(family))
    return f"{told}, then run this again.{problems}" if problems else f"{told}."


def lacks(experiment: Experiment, family: Family) -> list[Lack]:
    """What each of a family's models lacks to be shown.

    Models of random weights count where they say something: not where accuracies are looked at.
    """
    measured = [kind.partition("--")[0] for kind in experiment.evidence]
    labelled = {"accuracies", *(name for name, kind in declared().items() if kind.labels)}
    of_classes = not labelled.isdisjoint(measured)
    models = [m for m in family.models if not (of_classes and m.level == "random")]
    return [_lack(experiment, family, m) for m in models if not experiment.shows(m)]


def lacking() -> dict[str, list[Lack]]:
    """Chapter → what each model lacks to be shown there, of all families that the chapter shows.

    Chapters that show the same evidence count once, under the first one's heading.
    """
    families, chapters = load_families().values(), dict[tuple[str, ...], tuple[str, list[Lack]]]()
    for one in experiments.load_experiments().values():
        if one.evidence and one.evidence not in chapters:
            shown = (family for family in families if family.edition in one.editions)
            found = [lack for family in shown for lack in lacks(one, family)]
            chapters[one.evidence] = experiments.heading(one), found
    return dict(chapters.values())


def not_measured() -> str:
    """The page (MyST) of everything that is lacking: one row for each thing that brings it."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for chapter, found in lacking().items():
        for one in found:
            guide = "your_checkpoint" if one.model.loadable else "train"
            brings = f"`{one.command}`" if one.command else f"{{doc}}`/guide/{guide}`"
            key = chapter, one.family.title, one.what, brings
            alike.setdefault(key, []).append(one.model.title)
    rows = [
        f"| {chapter} | {family} | {'; '.join(models)} | {what} | {brings} |"
        for (chapter, family, what, brings), models in alike.items()
    ]
    return PAGE.format(rows="\n".join(rows)) if rows else NOTHING_LACKS


NOTHING_LACKS = "# What is not measured yet\n\nEvery chapter shows every model.\n"
PAGE = """# What is not measured yet

Each row names models that a chapter cannot show, what they lack, and the command or page that \
brings it. A backbone gets its own page in a chapter once one of its models can be shown.

::::{{table}} Models that a chapter cannot show yet, and what brings the missing part.
:name: not-measured
:class: sortable

| chapter | backbone | models | missing | what brings it |
|---|---|---|---|---|
{rows}

::::

The next `jupyter-book build book/` after such a command shows the model; `pip install -e \
'.[extract]'` is needed once. {{doc}}`/guide/contribute` says how a measurement is recorded for \
everyone, {{doc}}`/guide/your_checkpoint` how a checkpoint that you have takes part.
"""


def _lack(experiment: Experiment, family: Family, model: Model) -> Lack:
    published = "published accuracies, " * ("accuracies" in experiment.evidence)
    if not model.loadable:
        return Lack(family, model, f"{published}public weights", "")
    kinds = {kind.partition("--")[0] for kind in experiment.evidence}
    for job in pending.jobs(family, [one for one in get_args(Measured) if one in kinds]):
        names = {job.experiment, f"{job.experiment}--{job.data}"}
        if job.model.name == model.name and names & {*experiment.evidence}:  # a run takes it first
            command = f"companion run {experiment.name} {family.name}"
            return Lack(family, model, "measurements of its features", command)
    needs = [declared()[one].head for one in get_args(Measured) if one in kinds]
    if model.head == "none" and needs and not {"none", "optional"} & {*needs}:
        return Lack(family, model, f"{published}a head (its file says `head: none`)", "")
    groups = {**pending.CONCEPTS, **pending.SHIFTED}
    parts = (kind.partition("--")[2] for kind in experiment.evidence)
    named = [
        one for part in parts if part not in ("", "pocket") for one in groups.get(part, [part])
    ]
    data = "pocket" if family.edition == "pocket" else " ".join(named) or "FOLDER"
    here = [
        one
        for one in pending.data_sets(model)
        if one in named or (not named and {*experiment.evidence} & {*pending.experiments_on(one)})
    ]
    problems = (store.problem(store.features_path(model.name, one), model) for one in here)
    otherwise = "labels, or a head of their classes" if here else f"{published}features"
    what = next(filter(None, problems), otherwise)
    return Lack(family, model, what, f"companion extract {family.name} --data {data}")


def _in_words(run: Run) -> str:
    family = load_family(run.subject)
    found = lacks(run.experiment, family)
    commands = dict.fromkeys(lack.command for lack in found if lack.command)
    missing = dict.fromkeys(lack.what for lack in found if lack.command)
    if not commands and any(lack.model.loadable for lack in found):
        return pending.why_headless(family)
    if not commands:
        return "no public weights of its models are known, and nothing was published"
    return f"no {' or '.join(missing)} yet; get them by `{'`, `'.join(commands)}`"
