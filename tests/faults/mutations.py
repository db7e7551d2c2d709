"""Measurement files that are changed at random: no check may fail, no sound file stop a page.

    python mutations.py FILES PAGES SEED    run inside a copy of the checkout, which it changes

Each of FILES changed files is checked; of those that are sound, PAGES stand in for their original
while three of the pages that read them are executed, and each experiment's files are cut in half
under two of its pages, which may lack what needs them and may not stop. Prints a line of JSON: how
many were sound, and what failed.
"""

from __future__ import annotations

import contextlib
import copy
import json
import multiprocessing
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.families.registry import load_families
from companion.measurements import plausible, records
from companion.runs import execute, experiments
from companion.runs.experiments import Run

HUGE = (1e15, -1e15, 2e15, 1e308, -1e308, 10**30, 10**309, -(10**400), 5e-324)
TEXTS = ("", " ", "x", "&lt;b&gt;", "---", "a\nb", "\u202e", "x" * 100_000, "../x", "NaN")
OTHERS = (None, True, [], {}, "1", [[]], [1], {"value": 1}, 0, -1, 0.5)
ABSENT = object()


def mutated(content: dict[str, Any], rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """A file's content with a change, now and then with three, and which these are."""
    changed, made = copy.deepcopy(content), []
    for _ in range(rng.choice([1, 1, 1, 3])):
        *path, last = _place(changed, rng)
        at: Any = changed
        for step in path:
            at = at[step]
        others = _others(at[last], rng) if rng.random() > 0.14 else [ABSENT, *OTHERS]
        new = others[rng.integers(len(others))]
        made.append(f"{'/'.join(map(str, [*path, last]))}: {at[last]!r:.20} → {new!r:.40}")
        if new is ABSENT:
            del at[last]
        else:
            at[last] = new
    return "; ".join(made), changed


def _place(content: dict[str, Any], rng: np.random.Generator) -> list[Any]:
    """The path of something in it: of values more often than of the rest."""
    path: list[Any] = []
    at: Any = content
    while isinstance(at, dict | list) and at:
        names = list(at) if isinstance(at, dict) else range(len(at))
        name = names[rng.integers(len(names))]
        if not path and rng.random() < 0.6:
            name = "values" if "values" in at else name
        path.append(name)
        at = at[name]
        if len(path) > 1 and rng.random() < (0.5 if isinstance(at, list) else 0.1):
            break
    return path


def _others(old: Any, rng: np.random.Generator) -> Sequence[Any]:
    """Other values of the kind of one."""
    if isinstance(old, bool | str) or old is None:
        return TEXTS
    if isinstance(old, int | float) and abs(old) < 1e300:
        near = (0, 1, -1, 2, 0.5, -old, old + 1, old - 1, old + 0.5, 2 * old, old / 2, 1e3 * old)
        return (*near, float(old), int(old), old * 1.001, *HUGE)
    if not isinstance(old, list):
        return [ABSENT]
    half, count = len(old) // 2, len(old)
    ways = [[], old[:half], old[::-1], old[:1], old + old[-1:], old[:-1], old + old]
    ways.append([old[i] for i in rng.permutation(count)])
    if old and all(isinstance(one, int | float) and abs(one) < 1e300 for one in old):
        place, others = rng.integers(count), _others(old[0], rng)
        value = others[rng.integers(len(others))]
        ways += [[one] * count for one in (old[0], 0, 1.0, value, 1e15, 5e-324)]
        ways += [[times * one + more for one in old] for times, more in ((2, 0), (0.5, 0), (-1, 0))]
        ways += [list(map(float, old)), [one + 0.5 for one in old]]
        ways.append([*old[:place], value, *old[place + 1 :]])
    return ways


def pages(m: dict[str, Any]) -> list[Run]:
    """The runs that read a measurement."""
    family, experiment = m["family"], m["experiment"]
    return [
        run
        for run in experiments.all_runs()
        if experiment in run.experiment.measurements
        and (run.experiment.scope == "edition" or run.subject == family)
    ]


def stopped(runs: Sequence[Run]) -> list[str]:
    """What stops pages, each in a fork of this process: they may lack what is broken."""
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        said = pool.map_async(_executed, runs, chunksize=1).get(timeout=900)
    return [f"{run}: {error}" for run, error in zip(runs, said, strict=True) if error]


def _executed(run: Run) -> str:
    try:
        given: dict[str, Any] = {run.experiment.scope: run.subject}
        notebook, _ = execute.executed(run, given, execute.Reads())
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        assert not any(output["output_type"] == "error" for output in outputs)
    except Exception as error:
        return f"{getattr(error, 'evalue', '')}{traceback.format_exc()[-1500:]}"
    return ""


def files(count: int, seed: int) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Recorded files in turn, changed: where they lie, how, and what they are then."""
    rng = np.random.default_rng(seed)
    recorded = sorted(records.FOLDER.glob("*/*.json"))
    texts = [json.loads(path.read_text(encoding="utf-8")) for path in recorded]
    for _ in range(count):
        number = int(rng.integers(len(recorded)))
        yield recorded[number], *mutated(texts[number], rng)


def main(count: int, shown: int, seed: int) -> None:
    families, rng = load_families(), np.random.default_rng(seed)
    failed: list[str] = []
    sound: list[tuple[Path, str, dict[str, Any]]] = []
    for path, how, content in files(count, seed):
        with standing_in({path: json.dumps(content)}):
            try:
                sound += [(path, how, content)] * (not plausible.problems(path, families))
            except Exception as error:
                failed.append(f"check {path.parent.name}/{path.name} ({how}): {error!r}")
    cases = []
    for place in rng.permutation(len(sound))[:shown]:
        path, how, content = sound[place]
        runs = pages(json.loads(path.read_text(encoding="utf-8")))
        some = [runs[number] for number in rng.permutation(len(runs))[:3]]
        cases.append((f"{path.parent.name}/{path.name} ({how})", {path: json.dumps(content)}, some))
    folders = {path.parent for path in records.FOLDER.glob("*/*.json")}
    for folder in sorted(folders):  # all of an experiment's files end early
        texts = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
        runs = pages(json.loads(next(iter(texts.values()))))
        broken = {path: text[: len(text) // 2] for path, text in texts.items()}
        some = [runs[number] for number in rng.permutation(len(runs))[:2]]
        cases.append((folder.name, broken, some))
    for name, texts, runs in cases:
        print(name, *runs, file=sys.stderr, flush=True)
        with standing_in(texts):
            failed += [f"by {name}: {error}" for error in stopped(runs)]
    print(json.dumps([len(sound), failed]))


@contextlib.contextmanager
def standing_in(texts: Mapping[Path, str]) -> Iterator[None]:
    """Put texts into the places of recorded files for a while."""
    kept = {path: path.read_bytes() for path in texts}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
