"""The numbers that notebooks publish, kept in the repository, and how today's runs differ.

    python -m companion.engine.snapshot pruning          compare a notebook's runs with what is kept
    python -m companion.engine.snapshot --write pruning  keep what its runs publish now

Without a name: all notebooks. A file for each keeps numbers and tables, and of a figure's data for
each column how many rows it has, their mean, least, largest and order; of captions and definitions
the numbers. Words count only where a text has no number: a verdict, say.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from analysis.base.files import write_text
from analysis.base.roots import ROOT
from analysis.base.texts import suggestion
from companion.engine.run import OUTPUTS

KEPT = ROOT / "tests/snapshot"
#: A number that is no part of a name, such as the 16 of ViT-B/16.
NUMBER = re.compile(r"(?<![\w/.\-−])[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w/-]|\.\d)")
#: Any number, those of a formula and of a name, too.
DIGITS = re.compile(r"\d+(?:\.\d+)?")
#: A day on which something was taken: a word, since it is another whenever live features are new.
DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
#: Rank correlations, by column or label: of live rows none is compared, since two rows that are
#: nearly equal swap their ranks with the machine.
RANKED = re.compile(r"\bρ|\brho\b|\brank correlation")
#: Live numbers may differ by this, relative to themselves, and by a unit of their last decimal.
CLOSE = 1e-4
#: What comes before the number that tells the order of a column, which of live rows is free.
ORDER = ", in order "
#: Letters of a text without a number that is compared as it is.
WORDS = 80
#: Of a row of differences so many are said.
SAID = 8

#: By subject and label: a text, or for each column its cells or what is kept of them.
Kept = dict[str, dict[str, "dict[str, list[str] | str] | str"]]


class Difference(NamedTuple):
    """What a result was and is, and whether that is a fault: a new result is none."""

    where: str
    says: str
    fault: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.says}"


def published(notebook: Path) -> dict[str, tuple[str, Any]]:
    """What an executed notebook publishes: the kind of evidence and the values of each label.

    Texts have the evidence of the whole run.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    named = [(each.get("metadata", {}).get("companion", {}), each) for each in outputs]
    whole = ", ".join(str(note.get("evidence", "")) for note, _ in named)
    found = dict[str, tuple[str, Any]]()
    for note, output in named:
        texts = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
        data = {kind: DAY.sub("day", text) for kind, text in texts.items()}
        if "label" in note and note["kind"] in VALUES:
            value: Any = VALUES[note["kind"]](data)
            if said := _said(note):
                value |= {"in words": said}
            found[note["label"]] = (note.get("evidence", whole), value)
    return found


def _said(note: dict[str, Any]) -> str:
    """The numbers of a caption, of the line on the method and of columns' definitions."""
    texts = [note.get("caption", ""), note.get("method", ""), *note.get("columns", {}).values()]
    return " ".join(DIGITS.findall(DAY.sub("", " ".join(texts))))


def _text(data: dict[str, str]) -> str:
    """The numbers of a text; without any the words, if they are few."""
    text = " ".join(data["text/markdown"].split())
    return " ".join(numbers(text)) or (text if len(text) <= WORDS else "words")


def _table(data: dict[str, str]) -> dict[str, list[str] | str]:
    """The numbers of each cell, by column; of a column of words how many rows and other words."""
    columns = dict[str, list[str] | str]()
    for name, cells in _columns(data["text/csv"]).items():
        each = [" ".join(numbers(cell)) for cell in cells]
        columns[name] = each if any(each) else _summary(cells)
    return columns


def _figure(data: dict[str, str]) -> dict[str, str]:
    columns = _columns(data.get("text/csv", ""))
    return {name: _summary(cells) for name, cells in columns.items()}


def _explorer(data: dict[str, str]) -> dict[str, str]:
    """Of all numbers below each key, at whatever depth, what is kept of a column."""
    values = json.loads(data["application/json"])
    return {str(key): _summary([*_leaves(below)]) for key, below in values.items()}


VALUES = {"text": _text, "table": _table, "figure": _figure, "explorer": _explorer}


def _columns(text: str) -> dict[str, list[str]]:
    """The cells of each column, which has its place in its name if another is called the same."""
    names, *rows = [*csv.reader(io.StringIO(text))] or [[]]
    called = [f"{name} ({at})" if name in names[:at] else name for at, name in enumerate(names)]
    return {name: [row[at] for row in rows] for at, name in enumerate(called)}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, (dict, list)):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _leaves(below)
    else:
        yield str(value)


def _summary(cells: Sequence[str]) -> str:
    """Rows; mean, least, largest and Σ i·v / n of the numbers, which a change of their order moves.

    Else how many words are unlike.
    """
    values = [float(cell) for cell in cells if _is_number(cell)]
    if not values:
        return f"{len(cells)} rows, {len({*cells})} unlike"
    mean = math.fsum(values) / len(values)
    least, most = min(values), max(values)
    count = f"{len(cells)} rows, {len(values)} numbers"
    ordered = math.fsum(place * value for place, value in enumerate(values)) / len(values)
    return f"{count}: mean {mean:#.6g}, {least:#.6g} to {most:#.6g}{ORDER}{ordered:#.6g}"


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def numbers(text: str) -> list[str]:
    """The numbers in a text, as written, but with plain signs and no commas.

    >>> numbers("ViT-B/16: −1,692.50 ± 0.4 points ($p = 1.2e-6$)")
    ['-1692.50', '0.4', '1.2e-6']
    """
    found = (number[0].replace(",", "").replace("−", "-") for number in NUMBER.finditer(text))
    return [number.removeprefix("+") for number in found]


def alike(before: str, now: str, live: bool) -> bool:
    """Whether two cells give the same numbers, rounded to as many decimals as both are given with.

    Live ones may differ a little, see `CLOSE`. Without numbers the words decide.
    """
    if live:
        before, now = before.partition(ORDER)[0], now.partition(ORDER)[0]
    pairs = numbers(before), numbers(now)
    if not any(pairs):
        return before == now
    return len(pairs[0]) == len(pairs[1]) and all(
        _same(Decimal(one), Decimal(other), live) for one, other in zip(*pairs, strict=True)
    )


def _same(one: Decimal, other: Decimal, live: bool) -> bool:
    places = [-int(number.as_tuple().exponent) for number in (one, other)]
    unit = Decimal(1).scaleb(-min(places))
    if places[0] != places[1]:  # written with other digits
        return abs(one - other) <= unit / 2 + unit * live
    slack = float(unit) * (places[0] > 0) + CLOSE * abs(float(one)) if live else 0.0
    return abs(float(one) - float(other)) <= slack * (1 + 1e-9)


def compare(before: Kept, now: dict[str, dict[str, tuple[str, Any]]]) -> Iterator[Difference]:
    """How the results of a notebook's subjects differ from what is kept of them."""
    for subject, labels in before.items():
        if subject not in now:
            yield Difference(subject, "has no run any more")
            continue
        for label, kept in labels.items():
            if label in now[subject]:
                yield from _differences(f"{subject} {label}", kept, *now[subject][label])
            else:
                yield Difference(f"{subject} {label}", "is no longer published")
    for subject, found in now.items():
        for label in found.keys() - before.get(subject, {}).keys():
            yield Difference(f"{subject} {label}", "is new", fault=False)


def _differences(where: str, before: Any, evidence: str, now: Any) -> Iterator[Difference]:
    live = "live" in evidence
    if live and RANKED.search(where):
        return
    if not isinstance(before, dict) or not isinstance(now, dict):
        if type(before) is not type(now) or not alike(before, now, live):
            yield Difference(where, f"was {before}, is {now}")
        return
    for name, cells in before.items():
        if live and RANKED.search(name):
            continue
        if name in now:
            was, new = ([each] if isinstance(each, str) else each for each in (cells, now[name]))
            yield from _cells(f"{where}, {name}", was, new, live)
        elif others := [other for other in now if now[other] == cells and other not in before]:
            yield Difference(f"{where}, {name}", f"is now called {others[0]}", fault=False)
        else:
            yield Difference(f"{where}, {name}", "is no longer a column")
    for name in now.keys() - before.keys():
        if now[name] not in before.values():
            yield Difference(f"{where}, {name}", "is a new column", fault=False)


def _cells(where: str, before: list[str], now: list[str], live: bool) -> Iterator[Difference]:
    if len(before) != len(now):
        yield Difference(where, f"had {len(before)} rows, has {len(now)}")
        return
    pairs = enumerate(zip(before, now, strict=True), 1)
    other = [(row, *cells) for row, cells in pairs if not alike(*cells, live)]
    if other and sorted(before) == sorted(now):
        yield Difference(where, "has the same numbers in another order")
        return
    said = [f"row {row} was {was or 'empty'}, is {now or 'empty'}" for row, was, now in other]
    if other:
        more = f"; and {len(other) - SAID} rows more" if other[SAID:] else ""
        yield Difference(where, "; ".join(said[:SAID]) + more)


def kept(notebook: str, folder: Path = KEPT) -> Kept:
    """What is kept of a notebook: subject, label, then its text, or the cells of its columns."""
    path = folder / f"{notebook}.json"
    found: Kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def of_runs(notebook: str, runs: Path = OUTPUTS) -> dict[str, dict[str, tuple[str, Any]]]:
    """What the executed notebooks of an experiment publish, by subject and label."""
    return {path.stem: published(path) for path in sorted((runs / notebook).glob("*.ipynb"))}


def differences(
    runs: Path = OUTPUTS, names: Iterable[str] = (), folder: Path = KEPT
) -> list[Difference]:
    """How the runs in a folder differ from what is kept, of all notebooks or of some."""
    found = list[Difference]()
    for name in sorted(names or notebooks(runs, folder)):
        every = compare(kept(name, folder), of_runs(name, runs))
        found += [each._replace(where=f"{name}/{each.where}") for each in every]
    return found


def notebooks(runs: Path = OUTPUTS, folder: Path = KEPT) -> set[str]:
    """Notebooks that have runs, or of which something is kept."""
    return {path.parent.name for path in runs.glob("*/*.ipynb")} | {
        path.stem for path in folder.glob("*.json")
    }


def write(names: Iterable[str] = (), runs: Path = OUTPUTS, folder: Path = KEPT) -> None:
    """Keep what the runs of notebooks publish; of one without runs nothing is kept any more."""
    for name in names or notebooks(runs, folder):
        path, found = folder / f"{name}.json", of_runs(name, runs)
        values = {
            subject: {label: value for label, (_, value) in sorted(labels.items())}
            for subject, labels in found.items()
        }
        if found:
            write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        else:
            path.unlink(missing_ok=True)


def main() -> int:
    """Say how runs differ from what is kept, or keep what they publish; 1 for a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m companion.engine.snapshot", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("notebooks", nargs="*", help="names of notebooks; without any, all")
    parser.add_argument("--write", action="store_true", help="keep what the runs publish now")
    given = parser.parse_args()
    for name in given.notebooks:
        if name not in notebooks():
            parser.error(f"there is no run of {name!r}: {suggestion(name, notebooks())}.")
    found = differences(names=given.notebooks)
    print(*found, sep="\n", end="\n" * bool(found))
    if given.write:
        write(given.notebooks)
    faults = sum(each.fault for each in found)
    print(f"{faults} differences, {len(found) - faults} results new or renamed.")
    return int(bool(faults) and not given.write)


if __name__ == "__main__":
    raise SystemExit(main())
