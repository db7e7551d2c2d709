"""A notebook as one page by itself: its prose and results, without its code.

The page loads nothing: figures are inline SVG, the style sheet is part of its template, and a
content security policy says so to the browser.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from companion.publish.svg import inline_svg

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Cells with this tag are of the book alone.
BOOK = "book"
TEMPLATE = Path(__file__).with_name("report.html.j2")
SCROLL = '<div class="scroll" tabindex="0" role="{role}" aria-label="{label}">{content}</div>'


def page(executed: NotebookNode, title: str) -> str:
    """An executed notebook as a page, HTML."""
    import mistune
    from nbconvert.exporters import TemplateExporter

    prose = mistune.create_markdown(escape=True, plugins=["table"])

    def result(output: NotebookNode) -> str:
        """A published result; a name in it is no markup."""
        note, data = output.metadata["companion"], output.data
        label, words = note["label"], f"{note.get('caption', '')} {note.get('more', '')}"
        caption = f'<div class="caption">{prose(words)}</div>'
        if note["kind"] == "figure":
            svg = inline_svg(data["image/svg+xml"], note["alt"])
            figure = SCROLL.format(role="group", label="Figure", content=svg)
            return f"<figure>{figure}<figcaption>{caption}</figcaption></figure>"
        html = re.sub(r"<th(?=[ >])", '<th scope="col"', str(prose(data["text/markdown"])))
        if note["kind"] == "text":
            return f'<section class="{label}">{html}</section>'
        return SCROLL.format(role="region", label=f"Table: {label}", content=html) + caption

    exporter = TemplateExporter(
        raw_template=TEMPLATE.read_text(encoding="utf-8"),
        exclude_input=True,
        filters={"prose": prose, "result": result},
    )
    cells = [cell for cell in executed.cells if BOOK not in cell.metadata.get("tags", [])]
    resources = {"title": title}
    body, _ = exporter.from_notebook_node(type(executed)(executed, cells=cells), resources)
    return str(body)
