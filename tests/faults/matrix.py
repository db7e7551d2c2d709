"""The fault matrix: kills, pairs, flipped bits and hostile texts, and how many were survived.

    python tests/faults/matrix.py [--only kills pairs flips texts] [--tries 5] [--seed 0] [--record]

It takes the better part of an hour; ``--record`` keeps the figures in data/survives.json, from
which the book's page "What this book survives" is made. It ends with 1 if anything was not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ground
from kills import Row, kills, pairs
from texts import texts

KINDS = ("kills", "pairs", "flips", "texts")
RECORD = ground.ROOT / "data" / "survives.json"


def flips(kept: Path, project: Path, tries: int, seed: int) -> Iterator[Row]:
    """Flip single bits in a project that has extracted, measured and built."""
    ground.fresh(kept, project)
    ground.do(project, "extract", "measure", "update")
    script = Path(__file__).with_name("flips.py")
    line = [sys.executable, str(script), str(tries), str(seed)]
    code, said = ground.run(project, line)
    assert code == 0, said
    for row in said.splitlines():
        if row.startswith("["):
            yield Row("flips", *json.loads(row))


def rows(only: list[str], tries: int, seed: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        kept = ground.template(Path(folder) / "kept")
        project = Path(folder) / "work" / "a project"
        if "flips" in only:
            yield from flips(kept, project, 25 * tries, seed)
        if "kills" in only:
            yield from kills(kept, project, tries, seed)
        if "pairs" in only:
            yield from pairs(kept, project, tries, seed)
        if "texts" in only:
            yield from texts(kept, project, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    done = []
    for row in rows(asked.only, asked.tries, asked.seed):
        done.append(row)
        print(f"{row.kind}: {row.fault}: {row.tries - len(row.failed)} of {row.tries}", flush=True)
        print(*(f"    {one}" for one in row.failed), sep="\n", end="\n" if row.failed else "")
    if asked.record:
        record(done)
    return int(any(row.failed for row in done))


def record(done: list[Row]) -> None:
    """Keep the figures; those of kinds that were not tried now stay as they are."""
    kept = json.loads(RECORD.read_text("utf-8"))["rows"] if RECORD.exists() else []
    tried = {row.kind for row in done}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ground.ROOT,
                            capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    machine = f"{platform.system()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    found = [row._asdict() | {"commit": commit} for row in done]
    found += [row for row in kept if row["kind"] not in tried]
    found.sort(key=lambda row: KINDS.index(row["kind"]))
    about = {"machine": machine, "rows": found}
    RECORD.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
