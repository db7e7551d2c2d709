"""Figures, and the explorer's numbers, as parts of a page."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING, Any

from base.quoting import Html, in_a_row, in_html, tag
from results import style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The smallest text on a narrow screen, in its pixels, and how far a drawing is enlarged at most.
LEAST_TEXT, LARGEST_SCALE = 9, 1.45
#: Stand-ins of `results.style` → the page's variables.
THEME = {"#1f2328": "ink", "#57606a": "muted", "#d8dee4": "grid", "#ffffff": "paper"}


def inline_svg(svg: str, alt: str, look: str = "") -> str:
    """SVG ready for a page: named for screen readers, themed, with ids of its own.

    `svg` is what `figures.to_svg` returns. The page's style sheet gives `--companion-ink`,
    `-muted`, `-grid` and `-paper` their colours. `look`: the class of the element.
    """
    body = svg[svg.index("<svg") :]
    prefix = "f" + hashlib.sha256(body.encode()).hexdigest()[:8]
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = body.replace('href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    for colour, name in THEME.items():
        body = body.replace(colour, f"var(--companion-{name})")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'( (?:d|x|y|points)="|translate\()([^")]*)', _rounded, body)
    label = in_html(alt)
    look = f' class="{look}"' if look else ""
    body = body.replace("<svg", f'<svg role="img" aria-label="{label}"{look} {_size(body)}', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)


def _rounded(place: re.Match[str]) -> str:
    """Places in a drawing to a hundredth of a point, which nobody sees: a third of a page."""
    return place[1] + re.sub(
        r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), place[2]
    )


def stack_panels(figure: Figure) -> bool:
    """Lay a figure out again as wide as a phone shows legibly, its panels below one another.

    What has no axes, as small pictures, keeps its place and shrinks. False, and nothing is done,
    if the figure is no wider.
    """
    if figure.get_figwidth() <= style.PHONE:
        return False
    for axes in figure.axes:
        if not axes.get_visible():
            axes.remove()
    shown = [axes for axes in figure.axes if axes.get_subplotspec()]
    places: Any = shown[0].get_subplotspec()
    rows, columns = places.get_gridspec().get_geometry()
    height = figure.get_figheight() / rows * (0.6 if any(axes.images for axes in shown) else 1)
    figure.set(figwidth=style.PHONE, layout_engine="constrained")
    if not any(axes.axison and len(axes.get_yticks()) for axes in shown):
        figure.set_figheight(rows * (style.PHONE / columns + 0.3))
        for axes in shown:
            if name := axes.get_ylabel().replace("\n", " "):
                name = f"{name}\n{axes.get_title('left')}".strip()
                words.put(axes, name, (0, 1), (0, 6), xycoords="axes fraction", in_layout=False)
                axes.set(ylabel="", title=name.count("\n") * "\n" + " ")
        return True
    figure.set_figheight(height * len(shown))
    grid, label = figure.add_gridspec(len(shown)), shown[0].get_ylabel()
    for number, axes in enumerate(shown):
        axes.set_subplotspec(grid[number])
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.set(ylabel=axes.get_ylabel() or label)
    words.place_names(figure)
    least = 0.4 * style.PHONE * figure.dpi
    if narrow := [axes for axes in shown if axes.get_window_extent().width < least]:
        figure.set_figheight(1.3 * figure.get_figheight())
        for axes in narrow:
            _names_above_rows(axes)
        words.place_names(figure)
    for axes in shown:
        _make_labels_fit(axes)
    figure.set_layout_engine(None)
    return True


def lay_out_for_slides(figure: Figure, height: float) -> None:
    """Lay a figure out as wide as a screen, `height` inches tall: its type is then large enough."""
    figure.set(figwidth=style.SLIDE, figheight=height, layout_engine="constrained")
    for _ in range(2):  # a legend makes the axes lower
        figure.draw_without_rendering()  # or words are as large as in a picture of more dots
        for axes in figure.axes:
            _wrap_label(axes)
        words.place_names(figure)
    figure.set_layout_engine(None)
    figure.draw_without_rendering()  # settles axes whose units are equal
    words.place_names(figure)


def _wrap_label(axes: Axes) -> None:
    """Break a label of the y axis that is longer than the axis."""
    label, whole = axes.yaxis.label, axes.get_window_extent().height
    long = label.get_window_extent().height / whole
    if label.get_text() and label.get_rotation() and long > 1:
        letters = int(len(label.get_text()) / long)
        label.set_text(fill(label.get_text(), letters, break_long_words=False))


def _names_above_rows(axes: Axes) -> None:
    """Put the names of rows above them, into the axes."""
    at = axes.get_yaxis_transform()
    look: dict[str, Any] = {
        "fontsize": 9,
        "va": "center",
        "bbox": {"color": style.PAPER, "pad": 0.5},
    }
    for place, name in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        text = name.get_text().replace("\n", ", ")
        axes.text(0.01, place + 0.36, text, transform=at, in_layout=False, **look)
    axes.tick_params(labelleft=False)
    axes.set_ylim(top=axes.get_ylim()[1] + 0.3)


def _make_labels_fit(axes: Axes) -> None:
    """Put a long label of the x axis to the right, and every second of ticks that overlap away."""
    if axes.xaxis.label.get_window_extent().width > axes.get_window_extent().width:
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
        tag("script", defer="defer", src=f"{static}/explorer_plot.js"),
        tag("script", defer="defer", src=f"{static}/{script}.js"),
    )


def explorable(numbers: str, script: str, static: str) -> Html:
    """What turns a figure into one that a reader changes: numbers (JSON) and the book's scripts.

    Without JavaScript, and on paper, the figure stays as it is.
    """
    return in_a_row(
        tag("div", _numbers(numbers), class_="explorable-place", data_script=script),
        tag("link", rel="stylesheet", href=f"{static}/explorable.css"),
        tag("script", defer="defer", src=f"{static}/explorable.js"),
        tag("script", defer="defer", src=f"{static}/{script}.js"),
    )


def _numbers(numbers: str) -> Html:
    return tag("script", Html(numbers.replace("<", "\\u003c")), type="application/json")
