"""Figures, and the explorer's numbers, as parts of a page."""

from __future__ import annotations

import hashlib
import html
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from companion.publish import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The smallest text on a narrow screen, in its pixels, and how far a drawing is enlarged at most.
LEAST_TEXT, LARGEST_SCALE = 9, 1.45
#: Stand-ins of `companion.publish.style` → the page's variables.
THEME = {"#1f2328": "ink", "#57606a": "muted", "#d8dee4": "grid", "#ffffff": "paper"}


def inline_svg(svg: str, alt: str, look: str = "") -> str:
    """SVG ready for a page: named for screen readers, themed, with ids of its own.

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


def stack_panels(figure: Figure) -> bool:
    """Lay a figure out again as wide as a phone shows legibly, its panels below one another.

    False, and nothing is done, if it is no wider or has other parts than panels with axes.
    """
    shown = [axes for axes in figure.axes if axes.get_visible()]
    place = shown[0].get_subplotspec()
    if (
        place is None
        or figure.get_figwidth() <= style.PHONE
        or any(not axes.axison or axes.images for axes in shown)
    ):
        return False
    height = figure.get_figheight() / place.get_gridspec().nrows
    grid, label = figure.add_gridspec(len(shown)), shown[0].get_ylabel()
    for number, axes in enumerate(shown):
        axes.set_subplotspec(grid[number])
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.set(ylabel=axes.get_ylabel() or label)
    figure.set(figwidth=style.PHONE, figheight=height * len(shown), layout_engine="constrained")
    for wide in figure.legends:
        wide.remove()
        style.legend(figure, shown[0])
    figure.draw_without_rendering()
    for axes in shown:
        _give_room(axes)
    return True


def _give_room(axes: Axes) -> None:
    """Put long names above their rows, a long label to the right, and every second tick away."""
    figure: Any = axes.get_figure()
    inches, names = axes.get_window_extent().width / figure.dpi, axes.get_yticklabels()
    if inches < 0.4 * style.PHONE:
        for place, name in zip(axes.get_yticks(), names, strict=True):
            text = name.get_text().replace("\n", ", ")
            at = axes.get_yaxis_transform()
            written = axes.text(0.01, place + 0.36, text, fontsize=9, transform=at, va="center")
            written.set_in_layout(False)
        axes.tick_params(labelleft=False)
        axes.set_ylim(top=axes.get_ylim()[1] + 0.3)
        figure.set_figheight(1.3 * figure.get_figheight())
        figure.draw_without_rendering()
    width = axes.get_window_extent().width
    if axes.xaxis.label.get_window_extent().width > width:
        axes.set_xlabel(axes.get_xlabel(), loc="right")
    ticks, labels = axes.get_xticks(), [text.get_text() for text in axes.get_xticklabels()]
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    if any(left.x1 > right.x0 for left, right in pairwise(boxes)):
        axes.set_xticks(ticks[::2], labels[::2])


def _size(svg: str) -> str:
    """The widths between which a drawing's text is neither too small to read nor huge."""
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
