"""The fault matrix: kills, pairs, flipped bits and hostile texts.

    python tests/faults/matrix.py [--only kills pairs flips texts] [--tries 5] [--seed 0]

It takes the better part of an hour, and ends with 1 if anything was not survived.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ground
from kills import Row, kills, pairs
from texts import texts

KINDS = ("kills", "pairs", "flips", "texts")


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
    asked = parser.parse_args()
    wrong = False
    for row in rows(asked.only, asked.tries, asked.seed):
        wrong = wrong or bool(row.failed)
        print(f"{row.kind}: {row.fault}: {row.tries - len(row.failed)} of {row.tries}", flush=True)
        print(*(f"    {one}" for one in row.failed), sep="\n", end="\n" if row.failed else "")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
