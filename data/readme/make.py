"""Draw the figure that README opens with: `book/_static/two_clips.svg`.

    python data/readme/make.py

It is the figure of the book's front page, with its own colours for a light and a dark page, because
README is read without the book's style sheet. The tests compare its title with the measurements.
"""

from __future__ import annotations

import re

from analysis.base.files import write_text
from analysis.base.quoting import tag
from analysis.base.roots import ROOT
from analysis.families.registry import load_families
from companion.chapters import encoder_tables
from companion.engine import style, words
from companion.engine.style import Drawing
from companion.engine.svg import inline_svg
from companion.measurements import accuracies
from companion.measurements.effective_robustness import view
from companion.measurements.records import read_all

FIGURE = ROOT / "book" / "_static" / "two_clips.svg"
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
    words.lay_out(drawing.figure)
    svg = inline_svg(style.to_svg(drawing.figure), drawing.alt)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    head, body = svg.replace("<svg", f'<svg width="{width}pt" height="{height}pt"', 1).split(">", 1)
    look = tag("title", drawing.alt) + (
        f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
        '<rect width="100%" height="100%" style="fill: var(--companion-paper)"/>'
    )
    return f"{head}>{look}{body.rstrip()}\n"


def two_clips() -> Drawing:
    """The book's first picture: two robust CLIP models on nine photographs, one with towers."""
    encoders = {
        "OpenAI's ViT-L/14 (224 pixels)": "vit_l_14",
        "EVA-CLIP's ViT-L/14 (336)": "eva_clip_l_14_336",
    }
    measurements = {
        name: next(m for m in read_all("outlier_features", family) if m.data.name == "clothes_9")
        for name, family in encoders.items()
    }
    families = [f for of in ("paper", "contrast") for f in load_families(of).values()]
    er = view("five").models(accuracies.known(families)).set_index("name")["er"]
    return encoder_tables.profiles_beside_robustness(
        measurements, {name: er[m.model] for name, m in measurements.items()}
    )


if __name__ == "__main__":
    write_text(FIGURE, for_readme(two_clips()))
    print(FIGURE)
