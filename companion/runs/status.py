"""What has been run: each run of the book with its evidence, code version, day and machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from companion.measurements import records
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement
from companion.runs import experiments, keys
from companion.runs.experiments import Run

#: Chapters whose measurements are called otherwise.
TAKEN_AS = {"effective_robustness": "accuracy"}
KINDS = ("published", "recorded", "live")

#: Family → experiment → its recorded measurements.
Recorded = dict[str, dict[str, list[Measurement]]]


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
    recorded: Recorded = {}
    for experiment in get_args(Experiment):
        for measurement in records.read_all(experiment):
            of_family = recorded.setdefault(measurement.family, {})
            of_family.setdefault(experiment, []).append(measurement)
    return [_entry(run, notebook, recorded) for run, notebook in found if notebook]


def _entry(run: Run, notebook: dict[str, Any], recorded: Recorded) -> Entry:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    notes = [output.get("metadata", {}).get("companion", {}) for output in outputs]
    named = {kind.strip() for note in notes for kind in note.get("evidence", "").split(",")}
    name = TAKEN_AS.get(run.experiment.name, run.experiment.name)
    sources = []
    if "recorded" in named:
        shown = recorded.get(run.subject, {}).get(name, [])
        sources += [(m.provenance.taken or "", m.provenance.device) for m in shown]
    if "live" in named:
        read = [path for path in keys.from_store(run) if path.suffix == ".json"]
        sidecars = [json.loads(path.read_text(encoding="utf-8")) for path in read]
        sources += [(one["made"], one["device"]) for one in sidecars if "made" in one]
    return Entry(
        run,
        tuple(kind for kind in KINDS if kind in named),
        keys.code_version(notebook["metadata"]["companion"]["made_from"]),
        _distinct(day for day, _ in sources),
        _distinct(machine for _, machine in sources),
    )


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text}))
