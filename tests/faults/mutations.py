"""Measurement files that are changed at random: no check may fail, no sound file stop a page."""

import copy
import json

import numpy as np

from companion.measurements import records
from results import experiments

HUGE = (1e15, -1e15, 2e15, 1e308, -1e308, 10**30, 10**309, -(10**400), 5e-324)
TEXTS = ("", " ", "x", "&lt;b&gt;", "---", "a\nb", "\u202e", "x" * 100_000, "../x", "NaN")
OTHERS = (None, True, [], {}, "1", [[]], [1], {"value": 1}, 0, -1, 0.5)
ABSENT = object()


def mutated(content, rng):
    """A file's content with a change, now and then with three, and which these are."""
    changed, made = copy.deepcopy(content), []
    for _ in range(rng.choice([1, 1, 1, 3])):
        *path, last = _place(changed, rng)
        at = changed
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


def _place(content, rng):
    """The path of something in it: of values more often than of the rest."""
    path = []
    at = content
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


def _others(old, rng):
    """Other values of the kind of one."""
    if isinstance(old, bool | str) or old is None:
        return TEXTS
    if isinstance(old, int | float) and abs(old) < 1e300:
        near = (0, 1, -1, 2, 0.5, -old, old + 1, old - 1, old + 0.5, 2 * old, old / 2, 1e3 * old)
        return (*near, float(old), int(old), old * 1.001, *HUGE)
    if not isinstance(old, list):
        return [ABSENT]
    half, place = len(old) // 2, rng.integers(len(old) + 1)
    ways = [[], old[:half], old[::-1], old[:1], old + old[-1:], old[:-1], old + old]
    if old and all(isinstance(part, int | float) and abs(part) < 1e300 for part in old):
        others = _others(old[0], rng)
        value = others[rng.integers(len(others))]
        ways += [[same] * len(old) for same in (old[0], 0, 1.0, value, 1e15, 5e-324)]
        ways += [
            [times * part + more for part in old] for times, more in ((2, 0), (-1, 0), (1, 0.5))
        ]
        ways += [rng.permutation(old).tolist(), [*old[:place], value, *old[place + 1 :]]]
    return ways


def pages(measurement, rng, most):
    """Command lines of some of the runs that read a measurement."""
    family, experiment = measurement["family"], measurement["experiment"]
    runs = [
        ("run", run.experiment.name, run.subject, "-o", "shown.ipynb")
        for run in experiments.all_runs()
        if experiment in run.experiment.measurements
        and (run.experiment.scope == "edition" or run.subject == family)
    ]
    return [runs[number] for number in rng.permutation(len(runs))[:most]]


def files(count, seed):
    """Recorded files in turn, changed: where they lie, how, and what they are then."""
    rng = np.random.default_rng(seed)
    recorded = sorted(records.FOLDER.glob("*/*.json"))
    texts = [json.loads(path.read_text()) for path in recorded]
    for _ in range(count):
        number = int(rng.integers(len(recorded)))
        yield recorded[number], *mutated(texts[number], rng)
