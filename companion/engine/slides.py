"""Slides as one HTML file: text between rules, results of runs, and a clock.

The file loads nothing: it contains `slides.css` and `slides.js` of the book's static files. Arrow
keys, space, Page Up and Down, Home and End turn the slides, N shows what is for the speaker
(quotations in the source), P shows it in a window of its own, with the clock and the next slide. A
print has one slide a page, with notes next to it if they are shown. A slide fits a screen of 1280 ×
720: a figure takes the height that the text leaves. Formulas are plain text in a block `formula`.
The numbers of a list are letters on a slide whose heading starts with `Vote`.

Every slide says how long it stays: a line `> 6 min`, or `> 15 min: outlier-2, in pairs` where the
room works. `minutes` adds them up, so that a plan of the course need not repeat them. In the notes
brackets state what takes time without being said: `(Board, 1 min: a table of z.)`. A slide's clock
shows both next to its minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from analysis.base.quoting import Html, in_a_row, in_html, tag
from companion.engine import policy
from companion.engine.svg import inline_svg

#: A result's reference → its note (kind, caption, alt, …) and what it holds by MIME type.
Find = Callable[[str], tuple[dict[str, str], dict[str, Any]]]
STATIC = Path(__file__).with_name("static")
PAGE = Template(Path(__file__).with_name("slides.html").read_text(encoding="utf-8"))
#: Words a minute that a lecturer says who wants to be understood.
PACE = 130
#: What is done instead of said, and the time that it states.
BRACKET = re.compile(r"\(([^()]*)\)")
STATED = re.compile(r"(\d+(?:\.\d+)?) (min|s)\b")
TIME = re.compile(r"^> (\d+) min(?:: (.+))?$", re.MULTILINE)


class Slide(NamedTuple):
    """A slide's source without its time, its minutes, and what the room does in them, or ""."""

    text: str
    minutes: int
    work: str

    @property
    def notes(self) -> str:
        """What is for the speaker."""
        return " ".join(re.findall(r"^>[ ]?(.*)$", self.text, re.MULTILINE))

    @property
    def words(self) -> int:
        """How many words of its notes are said: what stands in brackets is done."""
        return len(re.findall(r"\S*\w\S*", BRACKET.sub("", self.notes)))

    @property
    def said(self) -> float:
        """How many minutes these words take."""
        return self.words / PACE

    @property
    def stated(self) -> float:
        """How many minutes the brackets state; the first time in each counts."""
        times = (STATED.search(bracket) for bracket in BRACKET.findall(self.notes))
        return sum(float(t[1]) / (60 if t[2] == "s" else 1) for t in times if t)


def slides(source: str) -> list[Slide]:
    """The slides of a source, which a line `---` separates.

    Raises
    ------
    ValueError
        If a slide does not say in one line how many minutes it takes.
    """
    found = []
    for number, text in enumerate(re.split(r"^---$", source, flags=re.MULTILINE), 1):
        times = TIME.findall(text)
        if len(times) != 1:
            raise ValueError(
                f"slide {number} has {len(times)} lines like `> 6 min`; it needs one, or "
                "`> 15 min: in pairs` where the room works."
            )
        [(minutes, work)] = times
        text = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", TIME.sub(">", text, count=1))
        found.append(Slide(text.strip(), int(minutes), work))
    return found


def minutes(source: str) -> tuple[int, int]:
    """How many minutes of a deck the lecturer talks, and how many the room works."""
    every = slides(source)
    talk, work = (sum(s.minutes for s in every if bool(s.work) is of) for of in (False, True))
    return talk, work


def deck(source: str, find: Find) -> str:
    """The slides of a source, HTML; each starts with a heading, and a line `---` ends it.

    A block `{result}` is a drawing or a table, the role `result` a text, both by the reference that
    pages use. `find` raises for a reference that leads nowhere.

    Raises
    ------
    ValueError
        If a slide does not say in one line how many minutes it takes.
    """
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML

    def block(renderer: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
        """A fenced block: a result, or its text unchanged."""
        name, reference = [*tokens[place].info.split(), "", ""][:2]
        if name != "{result}":
            return str(RendererHTML.fence(renderer, tokens, place, options, env))
        note, data = find(reference)
        if note["kind"] not in ("figure", "slide"):
            return str(markdown.render(data["text/markdown"]))
        return f"<figure>{inline_svg(data['image/svg+xml'], note['alt'], next(drawn))}</figure>"

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    drawn = count()
    markdown.add_render_rule("fence", block)
    role = re.compile(r"\{result\}`([^`]+)`")
    every, sections, before = slides(source), [], 0
    whole = sum(slide.minutes for slide in every)
    for number, slide in enumerate(every, 1):
        body = markdown.render(role.sub(lambda m: find(m[1])[1]["text/markdown"], slide.text))
        after = before + slide.minutes
        brackets = f", {slide.stated:.1f} in brackets" if slide.stated else ""
        takes = f"{slide.said:.1f} to say{brackets}"
        clock = tag("span", f"minutes {before} to {after} of {whole}: {takes}", class_="clock")
        told = tag("p", f"{slide.minutes} minutes: {slide.work}", class_="work")
        place = tag("footer", clock, f"{number} / {len(every)}")
        look = "vote" if slide.text.startswith("# Vote") else None
        about = {"id": f"slide-{number}", "aria_label": f"Slide {number} of {len(every)}"}
        shown = _heading_apart(body, told if slide.work else "")
        sections.append(tag("section", shown, place, class_=look, **about))
        before = after
    style, script = ((STATIC / name).read_text("utf-8") for name in ("slides.css", "slides.js"))
    title = in_html(source.strip().splitlines()[0].removeprefix("#").strip())
    parts_of_page = {"style": style, "slides": "".join(sections), "script": script}
    return PAGE.substitute(parts_of_page, title=title, policy=policy.of_single_page(script))


def _heading_apart(body: str, told: str) -> Html:
    """A slide's HTML with the room's task below its heading, and its notes after the rest."""
    quotation = re.compile(r"<blockquote>(.*?)</blockquote>\n?", re.DOTALL)
    notes = [match[0] for match in quotation.finditer(body) if match[1].strip()]
    heading, end, rest = quotation.sub("", body).partition("</h1>")
    slide = tag("div", Html(heading + end + told + rest), class_="slide")
    return in_a_row(slide, *map(Html, notes))
