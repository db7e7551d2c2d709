"""Draw the figure that README opens with: `book/_static/seven_encoders.svg`.

    python data/readme/make.py

It is the figure of the book's front page, with its own colours for a light and a dark page, because
README is read without the book's style sheet. The tests compare its title with the measurements.
"""

from __future__ import annotations

import re

from base.files import write_text
from base.quoting import tag
from base.roots import ROOT
from companion.chapters import encoder_tables, measured
from results import style, words
from results.style import Drawing
from results.svg import inline_svg

FIGURE = ROOT / "book" / "_static" / "seven_encoders.svg"
#: The page's variables, light and dark, as in `book/_static/companion.css`.
COLOURS = {
    "ink": (style.INK, "#e6e8ea"),
    "muted": (style.MUTED, "#a8b0b8"),
    "grid": (style.GRID, "#3b4147"),
    "paper": (style.PAPER, "#121212"),
}


def for_readme(drawing: Drawing) -> str:
    """Return a drawing as a file of its own, in the colours that the reader's system prefers."""
    light, dark = (
        "".join(f"--companion-{name}:{both[n]};" for name, both in COLOURS.items()) for n in (0, 1)
    )
    words.place_names(drawing.figure)
    svg = inline_svg(style.to_svg(drawing.figure), drawing.alt)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    head, body = svg.replace("<svg", f'<svg width="{width}pt" height="{height}pt"', 1).split(">", 1)
    look = tag("title", drawing.alt) + (
        f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
        '<rect width="100%" height="100%" style="fill: var(--companion-paper)"/>'
    )
    return f"{head}>{look}{body.rstrip()}\n"


if __name__ == "__main__":
    first = [measurements[0] for measurements in measured.image_sets().values()]
    write_text(FIGURE, for_readme(encoder_tables.kappa(first)))
    print(FIGURE)
