"""How the book's commands grow with what there is: models, measurements, families.

    python benchmarks/growth.py --write    some minutes
    python benchmarks/growth.py --small    the two smallest of each; writes nothing

In a copy of this checkout one thing at a time is made smaller or larger: models in the table of
published accuracies, recorded measurements, families of the paper (each with a measurement).
Each time three commands are timed that have nothing to execute: `companion status`, `companion
claims` and `companion build --runs`, which is what every build of the book begins with. Runs are
not executed but written as if they had been. Seconds are of the processor, the least of several
calls: other programs on the machine hardly change them.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conftest import ROOT, copy_checkout
from full_size import cpu

from companion.measurements import records

RESULT = ROOT / "data" / "throughput" / "growth.json"
COMMANDS = {"status": ["status"], "claims": ["claims", "--json"], "build": ["build", "--runs"]}
SIZES = {"models": (10, 100, 1000), "measurements": (50, 200, 1000), "families": (5, 25, 100)}
CALLS = 2
#: Written into the copy and run there: every run as if it had been executed just now.
AS_EXECUTED = """
from analysis.common import sha256_of, write_text
from companion.runs import engine, experiments, keys
code = {}
for run in experiments.all_runs():
    about = {"made_from": keys.parts(run, code), "source": sha256_of(run.experiment.notebook)}
    run.output.parent.mkdir(parents=True, exist_ok=True)
    experiments.write(run.output, {"cells": [], "metadata": {}}, about)
reading = [r for r in experiments.possible_runs() if keys.folders_in_store(r)]
families = {f.name: f for r in reading for f in keys.families_read(r)}
write_text(engine._known(families), "")
"""


def environment(project):
    return os.environ | {"PYTHONPATH": str(project), "COMPANION_STORE": str(project / "store"),
                         "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip


def seconds(project, command):
    """Seconds of the processor that a command takes; an error if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "companion.cli", *command], cwd=project, text=True,
        env=environment(project), capture_output=True, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"companion {' '.join(command)} failed:\n{done.stdout[-500:]}{done.stderr[-500:]}")
    if command[0] == "build" and not done.stdout.startswith("0 runs executed"):
        sys.exit(f"there was something to execute: {done.stdout}")
    return sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))


def models(project, count):
    """Keep the rows of the book's families, and so many other models, spread over the table."""
    path = project / "data" / "published" / "accuracies.csv"
    table = pd.read_csv(ROOT / path.relative_to(project), dtype=str, keep_default_na=False)
    key = table[["source", "model", "weights", "image_size"]].agg("\x00".join, axis=1)
    own = set(key[table["family"] != ""])
    pool = key[table["kind"] == "Standard training"].drop_duplicates().tolist()
    rest = [name for name in key.drop_duplicates() if name not in own and name not in {*pool}]
    kept = np.linspace(0, len(rest) - 1, count).astype(int) if count < len(rest) else range(count)
    chosen = own | {*pool[: max(10, count // 4)]} | {rest[place] for place in kept}
    table[key.isin(chosen)].to_csv(path, index=False, lineterminator="\n")
    return int(key[key.isin(chosen)].nunique())


def measurements(project, count):
    """Keep so many recorded measurements, or add copies under names of other data sets."""
    folder = project / "data" / "measurements"
    there = sorted(folder.rglob("*.json"))
    for path in there[count:]:
        path.unlink()
    one = records.read(records.recorded_path("vit_b_16-openai", "coco_500_images", "basis"))
    for number in range(count - len(there)):
        data = one.data.model_copy(update={"name": f"growth-{number:04}"})
        records.write(one.model_copy(update={"data": data}), folder)
    return len([*folder.rglob("*.json")])


def families(project, count):
    """Add families of one model each, with a measurement; there are five of the paper already."""
    folder = project / "families"
    there = sum("edition: paper" in path.read_text() for path in folder.glob("*.yaml"))
    text = (folder / "vit_b_32.yaml").read_text()
    first = re.split(r"(?m)^  - name: ", text)[1]
    measured = records.read(records.recorded_path("vit_b_16-openai", "coco_500_images", "basis"))
    for number in range(count - there):
        name = f"growth_{number:03}"
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\ntitle: Growth {number}\nedition: paper\norder: {100 + number}\n"
            f"backbone: A copy.\nmodels:\n  - name: {first.replace('vit_b_32-openai', f'{name}-x')}"
        )
        update = {"family": name, "model": f"{name}-x"}
        records.write(measured.model_copy(update=update), project / "data" / "measurements")
    return there + max(0, count - there)


GROW = {"models": models, "measurements": measurements, "families": families}


def point(what, count):
    """Seconds of each command with so many of one thing."""
    with tempfile.TemporaryDirectory() as scratch:
        project = copy_checkout(Path(scratch) / "book")
        there = GROW[what](project, count)
        subprocess.run([sys.executable, "-c", AS_EXECUTED], cwd=project, check=True,
                       env=environment(project))  # fmt: skip
        runs = len([*(project / "book" / "runs").rglob("*.ipynb")])
        took = {name: round(min(seconds(project, command) for _ in range(CALLS)), 2)
                for name, command in COMMANDS.items()}  # fmt: skip
    return {"what": what, "count": there, "runs": runs, "seconds": took}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two sizes; writes nothing")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULT.name}")
    parser.add_argument("--only", choices=[*SIZES], help="let one thing grow; writes nothing")
    options = parser.parse_args()
    result = {"taken": datetime.now(UTC).date().isoformat(), "device": cpu(),
              "cores": os.cpu_count(), "calls": CALLS, "points": []}  # fmt: skip
    for what, sizes in SIZES.items():
        if options.only in (None, what):
            for count in sizes[: 2 if options.small else None]:
                result["points"].append(point(what, count))
                print(result["points"][-1], flush=True)
    if options.write and not options.small and not options.only:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {RESULT}")


if __name__ == "__main__":
    main()
