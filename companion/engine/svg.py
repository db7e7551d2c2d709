"""Figures, and the explorer's numbers, as parts of a page.

matplotlib names every part of a drawing, puts each mark into groups of its own and repeats its
look; a page has the same drawing in two thirds of the bytes.
"""

from __future__ import annotations

import hashlib
import re

from analysis.base.quoting import Html, in_a_row, in_html, tag

#: The smallest text on a narrow screen, in its pixels, and how far a drawing is enlarged at most.
LEAST_TEXT, LARGEST_SCALE = 9, 1.6
#: Behind what stands in a tag: no words of a drawing look like it.
WITHIN = "(?=[^<>]*>)"
#: Opaque lines, one after another, that differ in their places alone.
LINES = re.compile(
    r'<path d="[^"]*" ((?:(?!opacity)[^>])*fill:none(?:(?!opacity)[^>])*)/>'
    r'(?:<path d="[^"]*" \1/>)+'
)
#: What marks inherit from a group: all but an opacity, which a group has as a whole.
LOOK = r'(?P<look>style="(?:(?:(?<=-)|(?!opacity))[^"])*")'
#: Marks, one after another, that differ in their places alone, or in these and their tooltips.
MARKS = re.compile(
    rf"<use (?P<of>\S+) [^>]* {LOOK}/>"
    r"(?:<use (?P=of) [^>]* (?P=look)/>)+"
)
NAMED_MARKS = re.compile(
    rf"<g><title>[^<]*</title><g (?P<group>[^>]*)><use (?P<of>\S+) [^>]* {LOOK}/></g></g>"
    r"(?:<g><title>[^<]*</title><g (?P=group)><use (?P=of) [^>]* (?P=look)/></g></g>)+"
)
#: Stand-ins of `companion.engine.style` → the page's variables.
THEME = {"#1f2328": "ink", "#57606a": "muted", "#d8dee4": "grid", "#ffffff": "paper"}


def inline_svg(svg: str, alt: str, place: object = "") -> str:
    """SVG ready for a page: named for screen readers, themed, with ids of its own.

    `svg` is what `figures.to_svg` returns; `place` tells a drawing from the same one elsewhere on
    the page. The page's style sheet gives `--companion-ink`,
    `-muted`, `-grid` and `-paper` their colours.
    """
    body = svg[svg.index("<svg") :]
    prefix = "f" + hashlib.sha256(f"{body}{place}".encode()).hexdigest()[:8]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    for part in ("axes", "axis", "xtick", "ytick"):
        body = re.sub(rf' id="(?:matplotlib\.)?{part}_\d+"{WITHIN}', f' class="{part}"', body)
    named = dict.fromkeys(re.findall(r'(?:href="|url\()#([^")]*)', body))
    short = {name: f"{prefix}-{number}" for number, name in enumerate(named)}
    body = re.sub(
        rf'( id="|href="#|url\(#)([^")]*){WITHIN}',
        lambda found: f"{found[1]}{short.get(found[2], '')}",
        body,
    ).replace(' id=""', "")
    for colour, name in THEME.items():
        body = body.replace(colour, f"var(--companion-{name})")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    return _lighter(body, f'role="img" aria-label="{in_html(alt)}" {_size(body)}')


def _lighter(svg: str, look: str) -> str:
    """The same drawing with what it says twice said once, and without what is not to be seen."""
    if len(fonts := {*re.findall('font-family: ([^;"]*)', svg)}) == 1:
        svg = re.sub('font-family: [^;"]*;? ?' + WITHIN, "", svg)
        look += f' font-family="{fonts.pop()}"'
    svg = re.sub(r">\s*\n\s*<", "><", svg)
    places = r'( (?:d|x|y|width|height|points)="|\btranslate\()([^")]*)'
    svg = re.sub(places + WITHIN, _rounded, svg)
    svg = re.sub(' style="[^"]*"' + WITHIN, lambda look: re.sub("([:;]) ", r"\1", look[0]), svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"' + WITHIN, "", svg)
    svg = _without_idle_groups(LINES.sub(_as_one, svg))
    svg = MARKS.sub(_as_group, NAMED_MARKS.sub(_as_group, svg))
    return svg.replace("<svg", f"<svg {look}", 1)


def _rounded(place: re.Match[str]) -> str:
    """Places in a drawing to a hundredth of a point, which nobody sees, without blanks.

    A line straight across or down names the one place that changes.
    """
    places = re.sub(
        r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), place[2]
    )
    if place[1] != ' d="':
        return place[1] + places
    path, x, y = [place[1]], "", ""
    for command, to in re.findall(r"([A-Za-z])([^A-Za-z]*)", places):
        ends = said = to.split()
        if command == "L" and x == ends[0]:
            command, said = "V", ends[1:]
        elif command == "L" and y == ends[1]:
            command, said = "H", ends[:1]
        path.append(command + " ".join(said))
        x, y = ends[-2:] or (x, y)
    return "".join(path)


def _without_idle_groups(svg: str) -> str:
    """A drawing without groups that have neither a look nor a tooltip."""
    kept: list[bool] = []

    def seen(group: re.Match[str]) -> str:
        if group[0] != "</g>":
            kept.append(group[0] != "<g>" or svg.startswith("<title>", group.end()))
            return group[0] * kept[-1]
        return group[0] * kept.pop()

    return re.sub("<g(?: [^>]*)?>|</g>", seen, svg)


def _as_one(lines: re.Match[str]) -> str:
    """Lines that are drawn alike as one path: a stem plot has two thousand of them."""
    places = re.findall(r'<path d="([^"]*)"', lines[0])
    return f'<path d="{"".join(places)}" {lines[1]}/>'


def _as_group(marks: re.Match[str]) -> str:
    """Marks that are drawn alike as one group, which has their look."""
    look, group = marks["look"], marks.groupdict().get("group")
    within = marks[0].replace(f" {look}/>", "/>")
    if group:
        within = within.replace(f"<g {group}>", "").replace("</g></g>", "</g>")
    return f"<g {group} {look}>{within}</g>" if group else f"<g {look}>{within}</g>"


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
