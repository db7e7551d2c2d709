"""Which entries of shared tables a run reads: what it is made from of files that all runs open.

`data/quantities.yaml` and `data/imagenet/sets.yaml` describe every quantity and every data set. A
run counts the parsed entries of what it shows, so that a comment there outdates none, a new data
set none, and a new quantity those that read its experiment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from analysis.base.files import fingerprint
from analysis.base.strict import read_yaml
from companion.engine import experiments
from companion.engine.run import Run
from companion.measurements import quantities
from companion.sources import sets

FILES = ("data/imagenet/sets.yaml", "data/quantities.yaml")
#: What of a quantity no page shows: what `companion check` holds its numbers against.
HELD_AGAINST = {"same_as", "last_as", "at_length_one", "share_of", "choice"}
#: The table of published accuracies, in which many sets have columns.
PUBLISHED = "data/published/"


def of_run(run: Run, data: Iterable[str]) -> dict[str, str]:
    """Hashes of the entries that a run reads; ``data``: the data sets of its measurements.

    These are its kinds of measurements with their units; the pocket lab's styles and groups; and
    the sets of the paper's grid, of its measurements, of published accuracies if it reads these,
    and those that its notebook names.
    """
    sets_file, quantities_file = FILES
    kinds = {f"{quantities_file}: {kind}": _kind(kind) for kind in run.experiment.measurements}
    known, words = _sets(), {*re.findall(r"[\w.-]+", run.experiment.notebook.read_text("utf-8"))}
    named = {*sets.GRID, *data, *words}
    if any(pattern.startswith(PUBLISHED) for pattern in experiments.reads(run)):
        named |= {*sets.published().values()}
    groups = {f"{sets_file}: {of}": known[of] for of in ("styles", "subgroups")}
    used = {f"{sets_file}: {name}": known[name] for name in sorted(named & known.keys())}
    return kinds | groups | used


@cache
def _kind(name: str) -> str:
    about = quantities.declared()[name]  # type: ignore[index]
    held = {quantity: HELD_AGAINST for quantity in about.quantities}
    used = {quantity.unit for quantity in about.quantities.values()}
    units = {unit: of.model_dump() for unit, of in quantities.units().items() if unit in used}
    return fingerprint([about.model_dump(exclude={"quantities": held}), units])


@cache
def _sets() -> Mapping[str, str]:
    return {name: fingerprint(entry) for name, entry in _parsed()}


def _parsed() -> Iterator[tuple[str, Any]]:
    """Every entry of the table of data sets, as it is parsed, by the name of what it describes."""
    table = read_yaml(sets.SETS)
    for group in ("styles", "subgroups"):
        yield group, table[group]
    for entry in (*table["sets"], *table["packaged"]):
        yield entry["name"], entry
    yield from table["titles"].items()
