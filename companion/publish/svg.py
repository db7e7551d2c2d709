"""Figures, and numbers to choose from, as parts of a page."""

from __future__ import annotations

import hashlib
import html
import re

#: The smallest text on a narrow screen, in its pixels, and how far a drawing is enlarged at most.
LEAST_TEXT, LARGEST_SCALE = 9, 1.45
#: Stand-ins of `companion.publish.style` → the page's variables.
THEME = {"#1f2328": "ink", "#57606a": "muted", "#d8dee4": "grid", "#ffffff": "paper"}


def inline_svg(svg: str, alt: str, look: str = "") -> str:
    """SVG ready to stand in a page: named for screen readers, themed, with ids of its own.

    `svg` is what `figures.to_svg` returns. The page's style sheet gives `--companion-ink`,
    `-muted`, `-grid` and `-paper` their colours. `look`: the class of the element.
    """
    body = svg[svg.index("<svg") :]
    prefix = "f" + hashlib.sha256(body.encode()).hexdigest()[:8]
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'(href=")#([^"]+)"', rf'\1#{prefix}-\2"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", body)
    for colour, name in THEME.items():
        body = body.replace(colour, f"var(--companion-{name})")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    label = html.escape(alt, quote=True)
    look = f' class="{look}"' * bool(look)
    body = body.replace("<svg", f'<svg role="img" aria-label="{label}"{look} {_size(body)}', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)


def _size(svg: str) -> str:
    """Between which widths a drawing is shown: its text neither too small to read nor huge."""
    box = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    if not box:
        return ""
    width = float(box[1])
    smallest = min(map(float, re.findall(r"font-size: ([\d.]+)px", svg)), default=LEAST_TEXT)
    least, most = width * LEAST_TEXT / smallest, width * LARGEST_SCALE
    return f'style="--companion-least: {least:.0f}px; --companion-most: {most:.0f}px"'


def explorer(numbers: str, static: str) -> str:
    """Numbers (JSON) inside a page, for the book's own script that shows what a reader chooses.

    `static`: the way from the page to `_static`. The numbers are read as JSON and never as HTML:
    no `<` of theirs may end the element that holds them.
    """
    safe = numbers.replace("<", "\\u003c")
    return (
        f'<link rel="stylesheet" href="{static}/explorer.css">'
        '<div class="companion-explorer"><p>This part of the page needs JavaScript.</p>'
        f'<script type="application/json">{safe}</script></div>'
        f'<script defer src="{static}/explorer_plot.js"></script>'
        f'<script defer src="{static}/explorer.js"></script>'
    )
