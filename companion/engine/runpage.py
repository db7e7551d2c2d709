"""An executed notebook as a page of the book: findings first, all code at the end."""

from __future__ import annotations

from string import Template
from typing import Any

from companion.engine import project
from companion.engine.style import unusable


def of(notebook: dict[str, Any], edition: str) -> dict[str, Any]:
    """The notebook with its results as directives of the book, and its code in one place.

    ``edition`` is that of its subject: words for another one are left out.
    """
    about = notebook["metadata"]["companion"]
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    given = next((c["source"] for c in code if "parameters" in c["metadata"].get("tags", [])), "")
    rest = "\n\n".join(c["source"] for c in code if not c["metadata"].get("tags"))
    cells = []
    for cell in in_the_pages_order(notebook["cells"], edition):
        notes = _notes(cell)
        labels = [note["label"] for note in notes]
        if labels:
            run = "{experiment}/{subject}".format(**about)
            shown = [f"```{{result}} {run}#{label}\n```" for label in labels]
            if all(map(_is_by_hand, notes)):
                shown.insert(0, f"```python\n{cell['source']}\n```")
            cell = _markdown(cell["id"], "\n\n".join(shown))
        elif cell["cell_type"] == "code":
            cell["metadata"]["tags"] = ["hide-input"]
        if cell["cell_type"] == "markdown" or cell["outputs"]:
            cells.append(cell)
    if lacks := about.get("lacks"):
        cells.insert(1, _markdown("lacks", unusable(lacks)))
    end = Template(project.current().rerun.read_text(encoding="utf-8"))
    cells.append(_markdown("rerun", end.substitute(about, parameters=given, code=rest)))
    return notebook | {"cells": cells}


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def in_the_pages_order(cells: list[dict[str, Any]], edition: str) -> list[dict[str, Any]]:
    """A notebook's cells as a page shows them: what was found, what is worked out by hand, what is
    missing. Cells whose tags name other editions alone, empty texts and sections that show nothing
    are left out.
    """
    ours = project.current()
    known = {name for scope in ours.scopes for name in ours.editions(scope)}
    sections: list[list[dict[str, Any]]] = [[]]
    for cell in cells:
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if not _is_bare(output)]
        tags = {*cell["metadata"].get("tags", [])}
        heading = cell["cell_type"] == "markdown" and cell["source"].startswith("## ")
        if heading or "remove-input" in tags:  # what ends a page belongs to no section
            sections.append([])
        named = tags & known
        if _shows(cell) is not False and (not named or edition in named):
            sections[-1].append(cell)
    first, *rest = sections
    kept = [section for section in rest if any(_shows(cell) for cell in section)]
    return [*first, *(cell for section in sorted(kept, key=_rank) for cell in section)]


def _rank(section: list[dict[str, Any]]) -> tuple[bool, bool]:
    """Where a section comes: first those with results, then what is worked out, then the end."""
    ends = any("remove-input" in cell["metadata"].get("tags", []) for cell in section)
    return ends, all(_is_by_hand(note) for cell in section for note in _notes(cell))


def _notes(cell: dict[str, Any]) -> list[dict[str, str]]:
    """A cell's notes on the results that it published, figures first."""
    outputs = [output.get("metadata", {}).get("companion") for output in cell.get("outputs", [])]
    results = (note for note in outputs if note and note["kind"] != "not-so")
    return sorted(results, key=lambda note: note["kind"] != "figure")


def _is_by_hand(note: dict[str, Any]) -> bool:
    """Whether a result is worked out by hand, so that its cell is shown with it."""
    return bool(note.get("by_hand"))


def _is_bare(output: dict[str, Any]) -> bool:
    """Whether an output is for another page: a number or a name for a sentence, or a slide's."""
    note = output.get("metadata", {}).get("companion", {})
    return note.get("kind") == "slide" or bool(note.get("inline"))


def _shows(cell: dict[str, Any]) -> bool | None:
    """Whether a cell's outputs can be seen; None of a cell that has none."""
    outputs = cell.get("outputs", [])
    texts = [output.get("text") or output.get("data", {}).get("text/plain") for output in outputs]
    return any((text or "").strip() for text in texts) if outputs else None
