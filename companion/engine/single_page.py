"""A notebook as a single page: its prose and results, without its code.

The page loads nothing: figures are inline SVG, the style sheet is part of its template, and a
content security policy says so to the browser.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, TypeAlias

from analysis.base.quoting import Html, in_a_row, in_html, tag
from companion.engine import policy
from companion.engine.captions import definitions
from companion.engine.downloads import ENDINGS, content_of
from companion.engine.svg import inline_svg

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Cells with this tag are of the book alone.
BOOK = "book"
#: A heading with this tag opens what is below it.
FOLDED = "folded"
#: How to cite a result, from the note on it.
Cite: TypeAlias = Callable[[Mapping[str, Any]], str]
PAGE = Path(__file__).with_name("report.html")


def page(executed: NotebookNode, title: str, cite: Cite | None = None) -> str:
    """An executed notebook as a page, HTML; ``cite``: how to cite a result, from its note.

    What follows a heading that is tagged as folded is shown when a reader opens it.
    """
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
            below = tag("figcaption", caption, _menu(note, data, cite))
            return tag("figure", _scrolling(svg, "group", "Figure"), below)
        table = re.sub(r"<th(?=[ >])", '<th scope="col"', prose(data["text/markdown"]))
        if note["kind"] == "text":
            return tag("section", Html(table), class_=label)
        below = Html(caption + _menu(note, data, cite))
        return _scrolling(table, "region", f"Table: {label}") + below

    parts, folded = list[str](), False
    for cell in executed.cells:
        tags = cell.metadata.get("tags", [])
        if BOOK in tags:
            continue
        if cell.cell_type == "markdown":
            parts += ["</details>"] * folded
            folded = FOLDED in tags
            heading = cell.source.lstrip("# ")
            opened = f'<details class="folded">{tag("summary", heading)}'
            parts.append(opened if folded else prose(cell.source))
        outputs = (o for o in cell.get("outputs", []) if "companion" in o.get("metadata", {}))
        parts += map(result, outputs)
    parts += ["</details>"] * folded
    template = Template(PAGE.read_text(encoding="utf-8"))
    shown = {"title": in_html(title), "policy": policy.of_single_page()}
    return template.substitute(shown, body="\n".join(parts))


def _menu(note: Mapping[str, Any], data: Mapping[str, Any], cite: Cite | None) -> Html:
    """What a reader can take from a result: files, which the page itself holds, and a citation."""
    if cite is None:
        return Html("")
    links = []
    for kind, end in ENDINGS.items():
        if kind in data:
            content = content_of(data[kind], end, note)
            address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
            links.append(tag("a", end.upper(), href=address, download=f"{note['label']}.{end}"))
    files = Html(" · ".join(links))
    names = ", ".join([*(["Data"] if links else []), "cite"]).capitalize()
    of_what = tag("span", f" of {note['label']}", class_="visually-hidden")
    inside = in_a_row(tag("p", files) if links else "", tag("pre", cite(note)))
    return tag("details", tag("summary", names, of_what), inside, class_="menu")


def _scrolling(content: str, role: str, label: str) -> Html:
    """A part of the page that scrolls by itself where it is too wide."""
    look = {"class": "scroll", "tabindex": "0", "role": role, "aria-label": label}
    return tag("div", Html(content), **look)
