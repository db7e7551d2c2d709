"""Slides as one HTML file: text between rules, and results of runs as in the book.

The file loads nothing: it contains `slides.css` and `slides.js` of the book's static files. Arrow
keys, space, Page Up and Down, Home and End turn the slides, N shows what is for the speaker
(quotations in the source), and a print has one slide a page. A slide fits a screen of 1280 × 720: a
figure takes the height that the text leaves. Formulas are plain text in a block `formula`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any
from xml.etree import ElementTree

from analysis.quoting import Html, in_html, tag
from analysis.roots import ROOT
from results import policy
from results.svg import inline_svg

#: A result's reference → its note (kind, caption, alt, …) and what it holds by MIME type.
Find = Callable[[str], tuple[dict[str, str], dict[str, Any]]]
STATIC = ROOT / "book" / "_static"
SVG = "{http://www.w3.org/2000/svg}"
ElementTree.register_namespace("", SVG[1:-1])
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
PAGE = Template(Path(__file__).with_name("slides.html").read_text(encoding="utf-8"))


def deck(source: str, find: Find) -> str:
    """The slides of a source, HTML; each starts with a heading, and a line `---` ends it.

    A block `{result}` is a figure or a table, the role `result` a text, both by the reference that
    pages use; a number after that of a figure selects one of its panels. `find` raises for a
    reference that leads nowhere.
    """
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML

    def block(renderer: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
        """A fenced block: a result, or its text unchanged."""
        name, reference, panel = [*tokens[place].info.split(), "", "", ""][:3]
        if name != "{result}":
            return str(RendererHTML.fence(renderer, tokens, place, options, env))
        note, data = find(reference)
        if note["kind"] != "figure":
            return str(markdown.render(data["text/markdown"]))
        svg = inline_svg(data["image/svg+xml"], note["alt"])
        return f"<figure>{one_panel(svg, int(panel)) if panel else svg}</figure>"

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("fence", block)
    role = re.compile(r"\{result\}`([^`]+)`")
    texts = re.split(r"^---$", source, flags=re.MULTILINE)
    slides = []
    for number, text in enumerate(texts, 1):
        body = markdown.render(role.sub(lambda m: find(m[1])[1]["text/markdown"], text.strip()))
        label, footer = f"Slide {number} of {len(texts)}", tag("footer", f"{number} / {len(texts)}")
        slides.append(tag("section", Html(body), footer, id=f"slide-{number}", aria_label=label))
    style, script = ((STATIC / name).read_text("utf-8") for name in ("slides.css", "slides.js"))
    title = in_html(source.strip().splitlines()[0].removeprefix("#").strip())
    parts = {"style": style, "slides": "".join(slides), "script": script}
    return PAGE.substitute(parts, title=title, policy=policy.of_single_page(script))


def one_panel(svg: str, number: int) -> str:
    """A figure with one of its panels, counted from 1, and its legend.

    Labels to the left of the panel and below it stay. If others are above or below it, the legend
    and labels of the whole figure go, which would be far from it.
    """
    root = ElementTree.fromstring(svg)
    whole = next(group for group in root if group.tag == f"{SVG}g")
    panels = [group for group in whole if "axes_" in group.get("id", "")]
    if not 1 <= number <= len(panels):
        raise ValueError(f"the figure has {len(panels)} panels, none is number {number}")
    frames = [_frame(group) for group in panels]
    left, top, right, bottom = frames[number - 1]
    for place, group in enumerate(panels, 1):
        if place != number:  # glyphs that others use are defined where they first occur
            group[:] = list(group.iter(f"{SVG}defs"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    low, high, rest = 0.0, height, whole[list(whole).index(panels[-1]) + 1 :]
    if any(abs(frame[1] - top) > 1 for frame in frames):
        low, high = max(0.0, top - 30), min(height, bottom + 40)
        for group in rest:
            whole.remove(group)
    else:  # a text of the legend begins where it is put, and is at most this wide
        legends = [group for group in rest if "legend_" in group.get("id", "")]
        texts = [text for legend in legends for text in legend.iter(f"{SVG}text")]
        right = max([right, *(float(text.get("x", 0)) + 110 for text in texts)])
    left = max(0.0, left - 70) if min(frames)[0] < left - 1 else 0.0
    right = min(width, right + 15)
    root.set("viewBox", f"{left:g} {low:g} {right - left:g} {high - low:g}")
    return ElementTree.tostring(root, encoding="unicode")


def _frame(panel: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a panel's frame, the first path in it."""
    path = next(panel.iter(f"{SVG}path")).get("d", "")
    x, y = (
        [float(pair[at]) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)] for at in (0, 1)
    )
    return min(x), min(y), max(x), max(y)
