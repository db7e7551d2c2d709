"""Measurement files that are changed at random: no check may fail, no sound file stop a page.

    python mutations.py FILES PAGES SEED    run inside a copy of the checkout, which it changes

Each of FILES changed files is checked; of those that are sound, PAGES stand in for their original
while four of the pages that read them are executed. Prints a line of JSON: how many were sound, and
what failed.
"""

from __future__ import annotations

import contextlib
import copy
import json
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from analysis.families.registry import load_families
from companion.measurements import plausible, records
from companion.runs import execute, experiments
from companion.runs.experiments import Run

HUGE = (1e15, -1e15, 2e15, 1e308, -1e308, 10**30, 10**309, -(10**400), 5e-324)
TEXTS = ("", " ", "x", "&lt;b&gt;", "---", "a\nb", "\u202e", "x" * 100_000, "../x", "NaN")
OTHERS = (None, True, [], {}, "1", [[]], [1], {"value": 1}, 0, -1, 0.5)


def mutated(content: dict[str, Any], rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """A file's content with a change, now and then with three, and which these are."""
    changed, told = copy.deepcopy(content), []
    for _ in range(rng.choice([1, 1, 1, 3])):
        *path, last = _place(changed, rng)
        at: Any = changed
        for step in path:
            at = at[step]
        how, new = _change(at[last], rng)
        told.append(f"{'/'.join(map(str, [*path, last]))}: {how}")
        if how == "absent":
            del at[last]
        else:
            at[last] = new
        if isinstance(at, dict) and rng.random() < 0.01:
            at["new"] = 1
    return "; ".join(told), changed


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


def _change(old: Any, rng: np.random.Generator) -> tuple[str, Any]:
    kind = rng.random()
    if kind < 0.06:
        return "absent", None
    if kind < 0.14:
        new = OTHERS[rng.integers(len(OTHERS))]
        return f"{new!r}", new
    if isinstance(old, list):
        return _other_list(old, rng)
    if isinstance(old, bool | str) or old is None:
        new = TEXTS[rng.integers(len(TEXTS))]
        return repr(new[:20]), new
    return _other_number(old, rng) if _is_small(old) else ("absent", None)


def _is_small(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e300


def _other_number(old: float, rng: np.random.Generator) -> tuple[str, Any]:
    known = (0, 1, -1, 2, 0.5, -old, old + 1, old - 1, old + 0.5, 2 * old, old / 2, 1e3 * old,
             float(old), int(old), old * 1.001, *HUGE)  # fmt: skip
    new = known[rng.integers(len(known))]
    return f"{old!r:.12} → {new!r:.24}", new


def _other_list(old: list[Any], rng: np.random.Generator) -> tuple[str, Any]:
    half = len(old) // 2
    flat = old and all(map(_is_small, old))
    ways: dict[str, Any] = {
        "empty": [], "first half": old[:half], "reversed": old[::-1], "first": old[:1],
        "one more": old + old[-1:], "one less": old[:-1], "twice": old + old, "first only": old[:1],
        "shuffled": [old[i] for i in rng.permutation(len(old))],
    }  # fmt: skip
    if flat:
        place, value = rng.integers(len(old)), _other_number(old[0], rng)[1]
        ways |= {
            "all equal": [old[0]] * len(old), "all zero": [0] * len(old),
            "all one": [1.0] * len(old), "doubled": [2 * one for one in old],
            "halved": [one / 2 for one in old], "floats": [float(one) for one in old],
            "negative": [-one for one in old], "shifted": [one + 0.5 for one in old],
            "one other": [*old[:place], value, *old[place + 1 :]], "all other": [value] * len(old),
            "largest": [1e15] * len(old), "smallest": [5e-324] * len(old),
        }  # fmt: skip
    name = list(ways)[rng.integers(len(ways))]
    return name, ways[name]


def pages(m: dict[str, Any]) -> list[Run]:
    """The runs that read a measurement."""
    family, experiment = m["family"], m["experiment"]
    return [
        run
        for run in experiments.all_runs()
        if experiment in run.experiment.measurements
        and (run.experiment.scope == "edition" or run.subject == family)
    ]


def stopped(run: Run) -> str:
    """What stops a page, "" if nothing does."""
    given: dict[str, Any] = {run.experiment.scope: run.subject}
    reads: Any = SimpleNamespace(on=False)
    source = run.experiment.notebook
    return in_a_fork(lambda: bool(execute.in_this_process(source, given, reads)))[1]


def in_a_fork(work: Callable[[], Any]) -> tuple[Any, str]:
    """What a function returns in a fork of this process, and what stops it, "" if nothing does."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def do() -> None:
        try:
            writer.send((work(), ""))
        except Exception as error:
            writer.send((None, f"{getattr(error, 'evalue', '')}{traceback.format_exc()[-1500:]}"))

    process = context.Process(target=do)
    process.start()
    writer.close()
    try:
        returned, error = reader.recv()
    except EOFError:
        return None, "it died"
    finally:
        process.join()
    return returned, str(error)


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
        with standing_in(path, content):
            try:
                sound += [(path, how, content)] * (not plausible.problems(path, families))
            except Exception as error:
                failed.append(f"check {path.parent.name}/{path.name} ({how}): {error!r}")
    for place in rng.permutation(len(sound))[:shown]:
        path, how, content = sound[place]
        runs = pages(json.loads(path.read_text(encoding="utf-8")))
        some = [runs[number] for number in rng.permutation(len(runs))[:4]]
        print(path.name, how, *some, file=sys.stderr, flush=True)
        with standing_in(path, content):
            for run in some:
                if error := stopped(run):
                    failed.append(f"{run} by {path.parent.name}/{path.name} ({how}): {error}")
    print(json.dumps([len(sound), failed]))


@contextlib.contextmanager
def standing_in(path: Path, content: dict[str, Any]) -> Iterator[None]:
    """Put a changed file into the place of the recorded one for a while."""
    kept = path.read_bytes()
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(kept)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
