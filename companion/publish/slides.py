"""Slides as one HTML file: text between rules, results of runs as they stand in the book.

The file loads nothing. Arrow keys, space, Page Up and Down, Home and End turn the slides, N shows
what is for the speaker (quotations in the source), and a print has one slide a page. A slide fits
a screen of 1280 × 720: a figure takes the height that the text leaves. Formulas are plain text in a
block `formula`.
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
section { display: none; flex-direction: column; justify-content: center; height: 100vh;
  max-width: 72rem; margin: 0 auto; padding: 1.5rem 2.5rem 2.5rem; position: relative; }
section.shown { display: flex; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 1rem; }
section:first-of-type h1 { font-size: 2.8rem; }
p, ul, ol { margin: .4rem 0; } li { margin: .35rem 0; }
figure { margin: .6rem 0; flex: 1 1 0; min-height: 0; } figure svg { width: 100%; height: 100%; }
pre { margin: .6rem 0; padding: .8rem 1.2rem; background: #f6f8fa; font-size: 1.5rem; }
table { border-collapse: collapse; font-size: 1.1rem; }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #d8dee4; }
blockquote { display: none; margin: 1rem 0 0; padding-left: 1rem; border-left: .3rem solid #1f83c4;
  color: var(--companion-muted); font-size: 1.1rem; }
.notes blockquote { display: block; }
footer { position: absolute; bottom: 1rem; right: 2.5rem; color: var(--companion-muted);
  font-size: 1rem; }
code { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; font-size: .9em; }
@media (max-width: 36rem) { body { font-size: 1.1rem; }
  pre { white-space: pre-wrap; font-size: 1rem; }
  section { padding: 1rem 1rem 3rem; height: auto; min-height: 100vh; }
  section:first-of-type h1 { font-size: 2rem; } table { font-size: .9rem; }
  figure { flex: none; } figure svg { height: auto; } }
@page { size: 13.33in 7.5in; margin: 0; }
@media print { section { display: flex; height: 7.5in; break-after: page; } }
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
TEXT = re.compile(r'<text[^>]* x="([\d.]+)"')
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def deck(source: str, find: Find) -> str:
    """The slides of a source, HTML; each starts with a heading, and a line `---` ends it.

    A block `{result}` is a figure or a table, the role `result` a text, both by the reference that
    pages use; a number after that of a figure selects one of its panels. `find` raises for a
    reference that leads nowhere.
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
    parts = re.split(r"^```\{result\} (\S+(?: \d+)?)\n```$", text, flags=re.MULTILINE)
    shown = []
    for place, part in enumerate(parts):
        if place % 2:
            reference, _, panel = part.partition(" ")
            note, data = find(reference)
            if note["kind"] == "figure":
                svg = inline_svg(data["image/svg+xml"], note["alt"])
                shown.append(f"<figure>{one_panel(svg, int(panel)) if panel else svg}</figure>")
            else:
                shown.append(markdown.render(data["text/markdown"]))
        else:
            shown.append(markdown.render(re.sub(r"\{result\}`([^`]+)`", inline, part)))
    return "".join(shown)


def one_panel(svg: str, number: int) -> str:
    """A figure with one of its panels, counted from 1, and its legend.

    Labels to the left of the panel and below it stay. If others are above or below it, the legend
    and labels of the whole figure go, which would be far from it.
    """
    starts = [m.start() for m in re.finditer(r'<g id="[^"]*axes_\d+">', svg)]
    groups = [svg[start : _end_of_group(svg, start)] for start in starts]
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if not 1 <= number <= len(groups) or not found:
        raise ValueError(f"the figure has {len(groups)} panels, none is number {number}")
    left, top, right, bottom = _frame(groups[number - 1])
    stacked = any(abs(_frame(one)[1] - top) > 1 for one in groups)
    after = svg[starts[-1] + len(groups[-1]) :]
    legend = re.search(r'<g id="[^"]*legend_\d+">', after)
    for place, group in enumerate(groups, 1):
        if place != number:  # glyphs that others use are defined where they first occur
            svg = svg.replace(group, "".join(re.findall(r"<defs>.*?</defs>", group, re.DOTALL)))
    low, high = 0.0, float(found[2])
    if stacked:
        low, high = max(0.0, top - 30), min(high, bottom + 40)
        svg = svg.replace(after[: after.index("\n </g>")], "")
    elif legend:  # a text of it begins where it is put, and is at most this wide
        right = max([right, *(float(x) + 110 for x in TEXT.findall(after, legend.start()))])
    beside = any(_frame(one)[0] < left - 1 for one in groups)
    left, right = max(0.0, left - 70) if beside else 0.0, min(float(found[1]), right + 15)
    box = f'viewBox="{left:g} {low:g} {right - left:g} {high - low:g}"'
    return svg.replace(found[0], box, 1)


def _frame(group: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the first path of a group: a panel's or a legend's frame."""
    path = re.search(r' d="([^"]*)"', group)
    pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)(?= *[A-Z\n])", path[1] if path else "0 0 Z")
    x, y = zip(*((float(a), float(b)) for a, b in pairs), strict=True)
    return min(x), min(y), max(x), max(y)


def _end_of_group(svg: str, start: int) -> int:
    """Where the group that starts there ends."""
    depth = 0
    for tag in re.finditer(r"<g\b[^>]*?(/?)>|</g>", svg[start:]):
        depth += -1 if tag[0] == "</g>" else not tag[1]
        if depth == 0:
            return start + tag.end()
    return len(svg)
