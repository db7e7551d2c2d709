"""Figures, and the explorer's numbers, as parts of a page."""

from __future__ import annotations

import hashlib
import re

from base.quoting import Html, in_a_row, in_html, tag

#: The smallest text on a narrow screen, in its pixels, and how far a drawing is enlarged at most.
LEAST_TEXT, LARGEST_SCALE = 9, 1.6
#: Stand-ins of `results.style` → the page's variables.
#: Opaque lines, one after another, that differ in their places alone.
LINES = re.compile(
    r'<path d="[^"]*" ((?:(?!opacity)[^>])*fill: none(?:(?!opacity)[^>])*)/>'
    r'(?:<path d="[^"]*" \1/>)+'
)
THEME = {"#1f2328": "ink", "#57606a": "muted", "#d8dee4": "grid", "#ffffff": "paper"}


def inline_svg(svg: str, alt: str) -> str:
    """SVG ready for a page: named for screen readers, themed, with ids of its own.

    `svg` is what `figures.to_svg` returns. The page's style sheet gives `--companion-ink`,
    `-muted`, `-grid` and `-paper` their colours.
    """
    body = svg[svg.index("<svg") :]
    prefix = "f" + hashlib.sha256(body.encode()).hexdigest()[:8]
    named = dict.fromkeys(re.findall(r'(?:href="|url\()#([^")]*)', body))
    short = {name: f"{prefix}-{number}" for number, name in enumerate(named)}
    body = re.sub(
        r'(\bid="|href="#|url\(#)([^")]*)',
        lambda found: found[1] + short.get(found[2], f"{prefix}-{found[2]}"),
        body,
    )
    for colour, name in THEME.items():
        body = body.replace(colour, f"var(--companion-{name})")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'( (?:d|x|y|points)="|translate\()([^")]*)', _rounded, body)
    body = LINES.sub(_as_one, re.sub(r">\s*\n\s*<", "><", body))
    label = in_html(alt)
    body = body.replace("<svg", f'<svg role="img" aria-label="{label}" {_size(body)}', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)


def _rounded(place: re.Match[str]) -> str:
    """Places in a drawing to a hundredth of a point, which nobody sees, without blanks."""
    places = re.sub(
        r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), place[2]
    )
    return place[1] + re.sub(r"\s*([A-Z])\s*", r"\1", places.rstrip("\n"))


def _as_one(lines: re.Match[str]) -> str:
    """Lines that are drawn alike as one path: a stem plot has two thousand of them."""
    places = re.findall(r'<path d="([^"]*)"', lines[0])
    return f'<path d="{"".join(places)}" {lines[1]}/>'


def _size(svg: str) -> str:
    """The widths between which a drawing's text is neither too small to read nor huge."""
    box = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    if not box:
        return ""
    width = float(box[1])
    smallest = min(map(float, re.findall(r"font-size: ([\d.]+)px", svg)), default=LEAST_TEXT)
    least, most = width * LEAST_TEXT / smallest, width * LARGEST_SCALE
    return f'style="--companion-least: {least:.0f}px; --companion-most: {most:.0f}px"'


def explorer(numbers: str, static: str, script: str = "explorer") -> Html:
    """Numbers (JSON) inside a page, for the book's own script that shows what a reader chooses.

    `static`: the way from the page to `_static`. The numbers are read as JSON and never as HTML:
    no `<` of theirs may end the element that holds them.
    """
    return in_a_row(
        tag("link", rel="stylesheet", href=f"{static}/explorer.css"),
        tag(
            "div",
            tag("p", "This part of the page needs JavaScript."),
            _numbers(numbers),
            class_=f"companion-{script}",
        ),
        *_scripts(static, "drawn", *["explorer_plot"] * (script == "explorer"), script),
    )


def explorable(numbers: str, script: str, static: str) -> Html:
    """What turns a figure into one that a reader changes: numbers (JSON) and the book's scripts.

    Without JavaScript, and on paper, the figure stays as it is.
    """
    return in_a_row(
        tag("div", _numbers(numbers), class_="explorable-place", data_script=script),
        tag("link", rel="stylesheet", href=f"{static}/explorable.css"),
        *_scripts(static, "drawn", "explorable", script),
    )


def _scripts(static: str, *names: str) -> list[Html]:
    """The book's own scripts, of which each may use those before it."""
    return [tag("script", defer="defer", src=f"{static}/{name}.js") for name in names]


def _numbers(numbers: str) -> Html:
    return tag("script", Html(numbers.replace("<", "\\u003c")), type="application/json")
