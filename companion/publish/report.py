"""A notebook as a single page: its prose and results, without its code.

The page loads nothing: figures are inline SVG, the style sheet is part of its template, and a
content security policy says so to the browser.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from analysis.quoting import Html, in_html, tag
from companion.publish import policy
from companion.publish.page import definitions
from companion.publish.svg import inline_svg

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Cells with this tag are of the book alone.
BOOK = "book"
PAGE = Path(__file__).with_name("report.html")


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
        label, caption = note["label"], tag("div", Html(prose(" ".join(words))), class_="caption")
        if note["kind"] == "figure":
            svg = inline_svg(data["image/svg+xml"], note["alt"])
            return tag("figure", _scrolling(svg, "group", "Figure"), tag("figcaption", caption))
        table = re.sub(r"<th(?=[ >])", '<th scope="col"', prose(data["text/markdown"]))
        if note["kind"] == "text":
            return tag("section", Html(table), class_=label)
        return _scrolling(table, "region", f"Table: {label}") + caption

    parts = []
    for cell in executed.cells:
        if BOOK not in cell.metadata.get("tags", []):
            parts += [prose(cell.source)] * (cell.cell_type == "markdown")
            outputs = (o for o in cell.get("outputs", []) if "companion" in o.get("metadata", {}))
            parts += map(result, outputs)
    template = Template(PAGE.read_text(encoding="utf-8"))
    shown = {"title": in_html(title), "policy": policy.of_single_page()}
    return template.substitute(shown, body="\n".join(parts))


def _scrolling(content: str, role: str, label: str) -> Html:
    """A part of the page that scrolls by itself where it is too wide."""
    look = {"class": "scroll", "tabindex": "0", "role": role, "aria-label": label}
    return tag("div", Html(content), **look)
