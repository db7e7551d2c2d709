"""The sentences that a writer keeps for the results of a notebook, in `book/captions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from analysis.base.roots import ROOT
from analysis.base.strict import Strict, first_reason, parse_yaml
from analysis.base.texts import CompanionError

CAPTIONS_FOLDER = ROOT / "book" / "captions"


class CaptionError(CompanionError):
    """A captions file that does not fit its notebook; the message is for whoever edits either."""


class Caption(Strict):
    """The text below a result (MyST).

    `caption` gives the message, then how to read the marks, in at most 35 words; `more` is small
    print below it, and `method`, how it was computed, is in the menu. `editions` has the texts of
    single editions where they differ. Instead of all this, `numbers` has templates of texts by name
    (`Page.numbers`). The others are for tables: `missing` replaces an empty one and says how to get
    its numbers, where the page does not; `cells` has a template (`companion.engine.cells`) for
    each heading, in order; `columns` defines headings (`definitions`); `search` labels a box that
    filters rows by what is typed; `choose` names a column of few values by which rows are filtered.
    """

    caption: str = ""
    more: str = ""
    method: str = ""
    numbers: Mapping[str, str] = {}
    editions: Mapping[str, Caption] = {}
    missing: str = ""
    columns: Mapping[str, str] = {}
    cells: Mapping[str, str] = {}
    search: str = ""
    choose: str = ""


def read_captions(notebook: str) -> dict[str, Caption]:
    """The captions of a notebook by result. A key may name several results, with commas between.

    A text alone, instead of fields, is a sentence that the notebook fills and publishes.
    """
    where = f"book/captions/{notebook}.yaml"
    content = parse_yaml((CAPTIONS_FOLDER / f"{notebook}.yaml").read_bytes(), where, CaptionError)
    try:
        entries = TypeAdapter(dict[str, Caption | str]).validate_python(content)
    except ValidationError as error:
        raise CaptionError(f"{where}: {first_reason(error)}.") from None
    captions: dict[str, Caption] = {}
    for names, entry in entries.items():
        for name in names.split(", "):
            if name in captions:
                raise CaptionError(f"{where}: the result {name!r} has two captions.")
            captions[name] = Caption(caption=entry) if isinstance(entry, str) else entry
    return captions


def definitions(note: Mapping[str, Any], table: str) -> dict[str, str]:
    """What columns of a table (Markdown) mean: by its own `columns`, or else by `columns.yaml`."""
    there = (CAPTIONS_FOLDER / "columns.yaml").is_file()
    shared = read_captions("columns")["every"].columns if there else {}
    known = {**shared, **note.get("columns", {})}
    headings = map(str.strip, table.partition("\n")[0].split("|"))
    return {heading: known[heading] for heading in headings if known.get(heading)}
