"""What has been run: each run of the book with its evidence, code version, day and machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast, get_args

from companion.measurements import records
from companion.measurements.quantities import Experiment
from companion.runs import experiments
from companion.runs.experiments import Parts, Run

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
    return [_entry(run, notebook) for run, notebook in found if notebook]


def code_version(key: Parts) -> str:
    """Eight digits that change when the notebook or a module that it imports does."""
    return experiments.digest({name: part for name, part in key.items() if name.endswith(".py")})[
        :8
    ]


def _entry(run: Run, notebook: dict[str, Any]) -> Entry:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    notes = [output.get("metadata", {}).get("companion", {}) for output in outputs]
    named = {kind.strip() for note in notes for kind in note.get("evidence", "").split(",")}
    evidence = tuple(kind for kind in KINDS if kind in named)
    sources = [*_recorded(run, evidence), *_live(run, evidence)]
    return Entry(
        run,
        evidence,
        code_version(notebook["metadata"]["companion"]["key"]),
        _distinct(day for day, _ in sources),
        _distinct(machine for _, machine in sources),
    )


def _recorded(run: Run, evidence: tuple[str, ...]) -> list[tuple[str, str]]:
    """Day and machine of the recorded measurements that a family's run shows."""
    name = TAKEN_AS.get(run.experiment.name, run.experiment.name)
    if "recorded" not in evidence or name not in get_args(Experiment):
        return []
    found = records.read_all(cast(Experiment, name), run.subject)
    return [(m.provenance.taken or "", m.provenance.device) for m in found]


def _live(run: Run, evidence: tuple[str, ...]) -> list[tuple[str, str]]:
    """Day and machine of the features that a run read from the store."""
    if "live" not in evidence:
        return []
    sidecars = [
        json.loads(p.read_text(encoding="utf-8")) for p in experiments.feature_sidecars(run)
    ]
    return [(sidecar["made"], sidecar["device"]) for sidecar in sidecars if "made" in sidecar]


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text}))
