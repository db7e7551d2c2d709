"""What README opens with: one figure and one paragraph, as the book's front page has them.

``python -m companion.publish.front`` makes both from the measurements. A test holds them to what is
measured now. The figure is that of the encoders' notebook, with colours of its own for a light and
a dark page, since README is read without the book's style sheet.
"""

from __future__ import annotations

import html
import re
import sys
import textwrap

from analysis.common import ROOT, write_text
from companion.claims.evidence import gather
from companion.measurements.quantities import Experiment
from companion.publish import encoders, overview, style, words
from companion.publish.style import Drawing, digits
from companion.publish.svg import inline_svg

README = ROOT / "README.md"
FIGURE = ROOT / "book" / "_static" / "seven_encoders.svg"
#: The paragraph stands between these lines of README.
START = "<!-- what was found: written by `python -m companion.publish.front` -->"
END = "<!-- end of what was found -->"
#: The page's variables, light and dark, as in `book/_static/companion.css`.
COLOURS = {
    "ink": (style.INK, "#e6e8ea"), "muted": (style.MUTED, "#a8b0b8"),
    "grid": (style.GRID, "#3b4147"), "paper": (style.PAPER, "#121212"),
}  # fmt: skip


def figure() -> Drawing:
    """κ and leader of every encoder, contrast and control."""
    return encoders.seven(own[0] for own in encoders.outliers().values())


def for_readme(drawing: Drawing) -> str:
    """A drawing as a file of its own: on paper, its colours by what the reader's system prefers."""
    light, dark = (
        "".join(f"--companion-{name}:{both[n]};" for name, both in COLOURS.items()) for n in (0, 1)
    )
    svg = inline_svg(style.to_svg(drawing.figure), drawing.alt)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    head, body = svg.replace("<svg", f'<svg width="{width}pt" height="{height}pt"', 1).split(">", 1)
    look = (
        f"<title>{html.escape(drawing.alt)}</title>"
        f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
        '<rect width="100%" height="100%" style="fill: var(--companion-paper)"/>'
    )
    return f"{head}>{look}{body.rstrip()}\n"


def paragraph() -> str:
    """What was found, in Markdown; see the book's front page."""
    found = overview.known("outlier_features", "paper")
    clip = {name: own for name, own in encoders.outliers().items() if own[0].level == "zero_shot"}
    accuracy: Experiment = "accuracy"
    evidence = gather("paper", experiments=(accuracy,))
    beside = encoders.beside_robustness(clip, evidence.intervals)
    robust = sum(known.robust is True for name, known in evidence.robust.items() if name in clip)
    changed = overview.known("interventions", "paper")
    front = overview.front(changed)
    of_front = words.of_same_model(front, "basis")[front.data.name]
    turned = digits(front.value("kurtosis_rotated"))
    told = (
        "Outlier features are a few coordinates that tower above the rest; κ, the activation "
        "kurtosis, measures them, and a Gaussian has 3. The figure has κ of features that others "
        "published of the paper's encoders: single images exist for "
        f"{overview.coverage(found, 'paper')}, and none is one of ImageNet's validation images. "
        f"{encoders.order_told(beside, robust)} What κ measures depends on the basis in which "
        f"features are written: rotating the features of {encoders.told(front)} on "
        f"{front.data.title} and the head together lowers κ from "
        f"{digits(of_front.value('kurtosis'))} to {turned}. By construction no prediction changes; "
        f"in a check of all models tested, {overview.predictions_changed(changed)} did. "
        "[What kurtosis measures](book/what_kurtosis_measures.md) explains what follows."
    )
    return textwrap.fill(told, 100, break_long_words=False, break_on_hyphens=False)


def opening(text: str) -> str:
    """README with the paragraph as it is now; ValueError if its place is not marked."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{README.name} lacks the lines {START} and {END}.")
    return f"{before}{START}\n{paragraph()}\n{END}{after}"


def main() -> int:
    """Write the figure, and the paragraph into README."""
    write_text(FIGURE, for_readme(figure()))
    write_text(README, opening(README.read_text(encoding="utf-8")))
    print(FIGURE, README, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
