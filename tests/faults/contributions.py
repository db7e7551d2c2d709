"""Plausible but wrong contributions: how many does `companion check` see?

    python tests/faults/contributions.py 100
    python tests/faults/contributions.py 100 --record  # to data/rates, for the guide

Each is a recorded file, or several, with one error as people make them; the form is right, and so
are units, counts and checksums of weights. The rest of the evidence is as recorded.
"""

import contextlib
import copy
import csv
import functools
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from analysis.base.roots import ROOT
from analysis.families.registry import load_families
from companion.checks import plausible
from companion.measurements import records
from companion.measurements.measurement import MeasurementError

#: The rates that the guide to contributions prints.
FILE = ROOT / "data" / "rates" / "contributions.csv"
HEADING = ("what is wrong", "tried", "refused")
#: Parts of names of lists whose entries are draws, so that their order says nothing.
DRAWS = ("rotated", "random", "permuted", "halves", "draws", "other", "control", "sample")
#: What identifies a model, which a mistaken contribution keeps.
OF_MODEL = ("family", "model", "level")


def recorded():
    """Path → content of all recorded files."""
    return {path: json.loads(path.read_text()) for path in sorted(records.FOLDER.glob("*/*.json"))}


def _numbers(content, least=1):
    """The quantities whose size says something: no thresholds, counts and places."""
    return [
        name
        for name, value in content["values"].items()
        if value["unit"] not in ("count", "coordinate", "direction", "images", "concept")
        and "threshold" not in name
        and np.size(value["value"]) >= least
        and np.any(np.asarray(value["value"]) != 0)
    ]


def _times(factor):
    def change(path, known, rng):
        content = copy.deepcopy(known[path])
        if not (names := _numbers(content)):
            return None
        value = content["values"][names[rng.integers(len(names))]]
        value["value"] = (np.asarray(value["value"], float) * factor).tolist()
        return {path: content}

    return change


def _of_same_size(path, known, rng, others):
    """Another file of the experiment whose lists are as long."""
    size = known[path]["counts"].get("components")
    found = [
        other
        for other in known
        if other.parent == path.parent
        and known[other]["counts"].get("components") == size
        and others(known[other], known[path])
    ]
    return found[rng.integers(len(found))] if found else None


def _other_model(one, other):
    return one["model"] != other["model"]


def swapped(path, known, rng):
    """Two models' files have each other's numbers, counts and images."""
    other = _of_same_size(path, known, rng, _other_model)
    if other is None:
        return None
    first, second = copy.deepcopy(known[path]), copy.deepcopy(known[other])
    for of in ("values", "counts", "names"):
        if of in first or of in second:
            first[of], second[of] = second.get(of), first.get(of)
    return {path: first, other: second}


def another_checkpoint(path, known, rng):
    """All files of a model on some images are those of another model: its features were taken."""
    other = _of_same_size(path, known, rng, _other_model)
    if other is None:
        return None
    ours, theirs = known[path], known[other]
    made = {}
    for place, content in known.items():
        if (content["model"], content["data"]["name"]) == (theirs["model"], theirs["data"]["name"]):
            name = f"{ours['model']}--{ours['data']['name']}_again.json"
            data = {"name": f"{ours['data']['name']}_again", "what": content["data"]["what"]}
            new = copy.deepcopy(content) | {of: ours[of] for of in OF_MODEL} | {"data": data}
            weights = {n: ours["provenance"][n] for n in ("weights", "weights_sha256")}
            weights["made_from"] = _other_features(content, data["name"], rng)
            new["provenance"] |= weights
            made[place.with_name(name)] = new
    return made


def _other_features(content, name, rng):
    """What a file is made from, of features that nobody has recorded, of images of that name."""
    made = content["provenance"]["made_from"]
    return {
        (f"features of {name}" if key.startswith("features of") else key): (
            rng.bytes(32).hex() if key.startswith("features of") else value
        )
        for key, value in made.items()
    }


def doubled(path, known, rng):
    """Every row of the features counts twice, in all files: more images, and smaller errors."""
    same = (known[path]["model"], known[path]["data"]["name"])
    made_from = _other_features(known[path], same[1], rng)
    features = {name: of for name, of in made_from.items() if name.startswith("features of")}
    return {
        place: _twice(content, features)
        for place, content in known.items()
        if (content["model"], content["data"]["name"]) == same
    }


def _twice(content, features):
    content = copy.deepcopy(content)
    content["provenance"]["made_from"] |= features
    content["counts"]["images"] *= 2
    for name, value in content["values"].items():
        if name.endswith("_error"):
            value["value"] = (np.asarray(value["value"]) / 2**0.5).tolist()
        if name in ("right_per_class", "images_per_class"):
            value["value"] = (2 * np.asarray(value["value"])).tolist()
    return content


def other_images(path, known, rng):
    """The numbers of the model's other images."""
    other = _of_same_size(
        path, known, rng, lambda a, b: a["model"] == b["model"] and a["data"] != b["data"]
    )
    if other is None:
        return None
    content = copy.deepcopy(known[path])
    content["values"] = copy.deepcopy(known[other]["values"])
    return {path: content}


def one_of_another(path, known, rng):
    """One number, or list, is another model's."""
    other = _of_same_size(path, known, rng, _other_model)
    if other is None:
        return None
    content = copy.deepcopy(known[path])
    same = [
        name
        for name in _numbers(content)
        if np.shape(content["values"][name]["value"])
        == np.shape(known[other]["values"].get(name, {}).get("value"))
        and content["values"][name] != known[other]["values"][name]
    ]
    if not same:
        return None
    name = same[rng.integers(len(same))]
    content["values"][name] = copy.deepcopy(known[other]["values"][name])
    return {path: content}


def shuffled(path, known, rng):
    """The entries of a list are in another order, as of other coordinates or images."""
    content = copy.deepcopy(known[path])
    names = [n for n in _numbers(content, 10) if np.ndim(content["values"][n]["value"]) == 1]
    names = [n for n in names if not any(draws in n for draws in DRAWS)]
    if not names:
        return None
    value = content["values"][names[rng.integers(len(names))]]
    value["value"] = rng.permutation(value["value"]).tolist()
    return {path: content} if content != known[path] else None


def renamed(path, known, rng):
    """A file once more, as of other images."""
    content = copy.deepcopy(known[path])
    content["data"] = {"name": f"{content['data']['name']}_again", "what": content["data"]["what"]}
    content["provenance"]["made_from"] = _other_features(content, content["data"]["name"], rng)
    return {path.with_name(f"{content['model']}--{content['data']['name']}.json"): content}


#: What a contribution got wrong → how it is made of recorded files; None where that cannot be.
WAYS = {
    "a value × 10": _times(10),
    "a value ÷ 10": _times(0.1),
    "percent for fractions": _times(100),
    "two models swapped": swapped,
    "another checkpoint's features": another_checkpoint,
    "rows doubled": doubled,
    "other images of the model": other_images,
    "one quantity of another model": one_of_another,
    "a list in another order": shuffled,
    "a file once more": renamed,
}


def rates(count, seed):
    """Way → how many of ``count`` contributions were refused."""
    rng, known, families = np.random.default_rng(seed), recorded(), load_families()
    paths, made, seen = [*known], Counter(), Counter()
    for way, change in WAYS.items():
        while made[way] < count:
            files = change(paths[rng.integers(len(paths))], known, rng)
            if files is None:
                continue
            made[way] += 1
            gone = {} if change is not another_checkpoint else _sources(files, known)
            seen[way] += bool(noticed(files, gone, families))
    return {way: (seen[way], made[way]) for way in WAYS}


def _sources(files, known):
    """The recorded files that have the numbers of given ones."""
    values = [content["values"] for content in files.values()]
    return {path for path, content in known.items() if content["values"] in values}


@functools.cache
def all_recorded():
    return plausible.evidence([])


def noticed(files, gone, families):
    """What the check says of a contribution in place of recorded files, or beside them.

    ``gone``: recorded files that are taken for unknown, or a copy would be known by its digits.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for path, content in files.items():
            place = Path(folder) / path.parent.name / path.name
            place.parent.mkdir(exist_ok=True)
            place.write_text(json.dumps(content))
            copies.append(place)
        names = {(path.parent.name, path.name) for path in {*gone, *copies}}
        beside = [m for m in all_recorded() if (m.experiment, m.file_name) not in names]
        for path in copies:
            with contextlib.suppress(MeasurementError):
                beside.append(records.read(path))
        return [said for path in copies for said in plausible.problems(path, families, beside)]


def table(found):
    """The rates as the guide prints them: rows of texts, the sum last."""
    every = {**found, "all": tuple(map(sum, zip(*found.values(), strict=True)))}
    yield HEADING
    for way, (refused, count) in every.items():
        yield way, f"{count:,}", f"{100 * refused / count:.0f} %"


if __name__ == "__main__":
    rows = [*table(rates(int(sys.argv[1]), seed=0))]
    for row in rows:
        print("{:32} {:>6} {:>8}".format(*row))
    if "--record" in sys.argv[2:]:
        with FILE.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
