"""Slides as one HTML file: text between rules, results of runs as they stand in the book.

The file loads nothing. Arrow keys, space, Page Up and Down, Home and End turn the slides, N shows
what is for the speaker (quotations in the source), and a print has one slide a page.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from companion.publish.svg import inline_svg

#: A result's reference → its note (kind, caption, alt, …) and what it holds by MIME type.
Find = Callable[[str], tuple[dict[str, str], dict[str, Any]]]
STYLE = """
:root { color-scheme: light; --companion-ink: #1f2328; --companion-muted: #57606a;
  --companion-grid: #d8dee4; --companion-paper: #ffffff; }
* { box-sizing: border-box; }
body { margin: 0; background: #ffffff; color: var(--companion-ink);
  font: 1.55rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
section { display: none; flex-direction: column; justify-content: center; min-height: 100vh;
  max-width: 68rem; margin: 0 auto; padding: 2rem 2.5rem 3.5rem; position: relative; }
section.shown { display: flex; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 1rem; }
section:first-of-type h1 { font-size: 2.8rem; }
p, ul, ol { margin: .4rem 0; } li { margin: .35rem 0; }
figure { margin: .6rem 0; } figure svg { width: 100%; max-height: 74vh; }
table { border-collapse: collapse; font-size: 1.1rem; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid #d8dee4; }
blockquote { display: none; margin: 1rem 0 0; padding-left: 1rem; border-left: .3rem solid #1f83c4;
  color: var(--companion-muted); font-size: 1.1rem; }
.notes blockquote { display: block; }
footer { position: absolute; bottom: 1rem; right: 2.5rem; color: var(--companion-muted);
  font-size: 1rem; }
code { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; font-size: .9em; }
@media (max-width: 36rem) { body { font-size: 1.1rem; } section { padding: 1rem 1rem 3rem; } }
@page { size: 13.33in 7.5in; margin: 0; }
@media print { section { display: flex; height: 7.5in; min-height: 0; break-after: page; }
  figure svg { max-height: 5.3in; } }
"""
SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const place = () => Math.max(0, slides.findIndex((s) => "#" + s.id === location.hash));
const show = () => slides.forEach((s, i) => s.classList.toggle("shown", i === place()));
const go = (to) => { location.hash = slides[Math.min(Math.max(to, 0), slides.length - 1)].id; };
const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
  PageUp: -1, Home: -Infinity, End: Infinity };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in keys) { event.preventDefault(); go(place() + keys[event.key]); }
  if (event.key === "n") document.body.classList.toggle("notes");
});
addEventListener("click", (event) => {
  if (!event.target.closest("a")) go(place() + (event.clientX < innerWidth / 4 ? -1 : 1));
});
addEventListener("hashchange", show);
show();
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def deck(source: str, find: Find) -> str:
    """The slides of a source, HTML; each starts with a heading, and a line `---` ends it.

    A block `{result}` is a figure or a table, the role `result` a text, both by the reference that
    pages use. `find` raises for one that leads nowhere.
    """
    texts = [text.strip() for text in re.split(r"^---$", source, flags=re.MULTILINE)]
    title = re.sub(r"^#\s*", "", texts[0].splitlines()[0])
    slides = [
        f'<section id="slide-{number}" aria-label="Slide {number} of {len(texts)}">'
        f"{_slide(text, find)}<footer>{number} / {len(texts)}</footer></section>"
        for number, text in enumerate(texts, 1)
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{''.join(slides)}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _slide(text: str, find: Find) -> str:
    """One slide's HTML, without the element around it."""
    from markdown_it import MarkdownIt

    def inline(match: re.Match[str]) -> str:
        return str(find(match[1])[1]["text/markdown"])

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    parts = re.split(r"^```\{result\} (\S+)\n```$", text, flags=re.MULTILINE)
    shown = []
    for place, part in enumerate(parts):
        if place % 2:
            note, data = find(part)
            shown.append(
                f"<figure>{inline_svg(data['image/svg+xml'], note['alt'])}</figure>"
                if note["kind"] == "figure"
                else markdown.render(data["text/markdown"])
            )
        else:
            shown.append(markdown.render(re.sub(r"\{result\}`([^`]+)`", inline, part)))
    return "".join(shown)
