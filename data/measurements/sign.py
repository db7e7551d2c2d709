"""Take recorded measurements of older code again, and sign those whose numbers are equal.

    python data/measurements/sign.py        # those that an earlier version of the code took
    python data/measurements/sign.py --all  # every one

Features that others published are entered into a store of its own, which is removed at the end.
No recorded number changes: a file whose numbers differ by more than rounding stays as it is and is
named, and the exit status is 1.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator

from analysis.families.registry import load_family
from base.roots import ROOT
from base.texts import CompanionError
from companion import cli
from companion.measurements import from_store, pending, records
from companion.measurements.measurement import Measurement, MeasurementError
from companion.sources import sets


def main() -> int:
    """Sign what is older, family by family; 1 if a file could not be signed."""
    every = [records.read(path) for path in sorted(records.FOLDER.glob("*/*.json"))]
    older = [m for m in every if "--all" in sys.argv[1:] or records.changed_code(m)]
    of_family, failed = defaultdict[str, list[Measurement]](list), 0
    for m in older:
        of_family[m.family].append(m)
    for family, measured in of_family.items():
        for said, sound in _signed(family, measured):
            failed += not sound
            print(said, flush=True)
    print(f"{len(older) - failed} of {len(older)} signed; {len(every) - len(older)} were current.")
    return int(failed > 0)


def _signed(family: str, measured: list[Measurement]) -> Iterator[tuple[str, bool]]:
    """A line on each file, and whether it was signed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMPANION_STORE"] = folder
        try:
            _enter(family, {m.data.name for m in measured})
        except (CompanionError, SystemExit) as error:
            for m in measured:
                yield f"{m.place}: its features are not here: {error}", False
            return
        for m in measured:
            jobs = pending.jobs(load_family(family), [m.experiment])
            try:
                job = next(j for j in jobs if (j.model.name, j.data) == (m.model, m.data.name))
                records.record(from_store.measure(job))
                yield f"{m.place}: signed", True
            except StopIteration:
                yield f"{m.place}: the features that are published allow no such one", False
            except MeasurementError as error:
                yield f"{m.place}: {error}", False


def _enter(family: str, data: set[str]) -> None:
    """Put a family's published features, and those of pictures in packages, into the store."""
    for name in sorted(data & sets.packaged().keys()):
        words = ("extract", family, "--data", name, "--quiet", "--device", "cpu", "--workers", "1")
        with contextlib.redirect_stdout(io.StringIO()):
            failed = cli.main([*words])
        if failed:
            raise CompanionError(f"companion {' '.join(words)} failed.")
    if data - sets.packaged().keys():
        make = runpy.run_path(str(ROOT / "data" / "embeddings" / "make.py"))
        make["into_store"](load_family(family))


if __name__ == "__main__":
    sys.exit(main())
