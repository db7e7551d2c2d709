"""A notebook as a single page: its prose and results, without its code.

The page loads nothing: figures are inline SVG, the style sheet is part of its template, and a
content security policy says so to the browser.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from companion.publish.page import definitions
from companion.publish.svg import inline_svg

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Cells with this tag are of the book alone.
BOOK = "book"
PAGE = Path(__file__).with_name("report.html")
SCROLL = '<div class="scroll" tabindex="0" role="{role}" aria-label="{label}">{content}</div>'


def page(executed: NotebookNode, title: str) -> str:
    """An executed notebook as a page, HTML."""
    from markdown_it import MarkdownIt

    prose = MarkdownIt("commonmark", {"html": False}).enable("table").render

    def result(output: NotebookNode) -> str:
        """A published result; a name in it is no markup."""
        note, data = output.metadata["companion"], output.data
        columns = definitions(note, data.get("text/markdown", "")).items()
        words = [note.get(of, "") for of in ("caption", "more", "method")]
        words += [f"*{heading}*: {meaning}" for heading, meaning in columns]
        label, caption = note["label"], f'<div class="caption">{prose(" ".join(words))}</div>'
        if note["kind"] == "figure":
            svg = inline_svg(data["image/svg+xml"], note["alt"])
            figure = SCROLL.format(role="group", label="Figure", content=svg)
            return f"<figure>{figure}<figcaption>{caption}</figcaption></figure>"
        table = re.sub(r"<th(?=[ >])", '<th scope="col"', prose(data["text/markdown"]))
        if note["kind"] == "text":
            return f'<section class="{label}">{table}</section>'
        return SCROLL.format(role="region", label=f"Table: {label}", content=table) + caption

    parts = []
    for cell in executed.cells:
        if BOOK not in cell.metadata.get("tags", []):
            parts += [prose(cell.source)] * (cell.cell_type == "markdown")
            outputs = (o for o in cell.get("outputs", []) if "companion" in o.get("metadata", {}))
            parts += map(result, outputs)
    template = Template(PAGE.read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(title), body="\n".join(parts))
