"""An exam as a page to print: one HTML file that loads nothing, with room to write below questions.

The key is a page of its own, without room. The text is that of the Markdown files.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from analysis.base.quoting import Html, in_html, tag
from companion.engine import policy

PAGE = Template(Path(__file__).with_name("sheet.html").read_text(encoding="utf-8"))
#: Lines of empty paper for each point, and how high one is.
LINES, HEIGHT = 2.5, 1.0
QUESTION = re.compile(r"^## .* · (\d+) points$", re.MULTILINE)


def to_print(text: str, *, room: bool) -> str:
    """A sheet's Markdown as a page, HTML; with ``room``, to be filled in by a student by hand."""
    from markdown_it import MarkdownIt

    render = MarkdownIt("commonmark", {"html": False}).enable("table").render
    text = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)
    title = text.splitlines()[0].removeprefix("# ").strip()
    head, *questions = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    parts = [render(head)]
    if room:
        fields = (tag("span", "Name:"), tag("span", "Number:", class_="number"))
        parts.append(tag("div", *fields, class_="student"))
    for question in questions:
        found = QUESTION.match(question)
        high = LINES * HEIGHT * int(found[1]) if room and found else 0
        space = tag("div", "", class_="room", style=f"height: {high:.1f}rem") if high else Html("")
        parts.append(tag("section", Html(render(question)), space))
    body = "\n".join(parts)
    return PAGE.substitute(title=in_html(title), policy=policy.of_single_page(), body=body)
