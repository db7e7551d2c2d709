"""Sphinx extension: what to teach with. Notebooks and slides, and exercises with answers.

The percent sources in `course/lessons` become archives in `_build/teach` before the book is read;
pages offer them with the role `download`. Equal sources give equal bytes. `guide/slides/NAME.md`
becomes `slides/NAME.html` next to the pages, to which the role `slides` leads. The role `answer`
takes an exercise, and which of its values, and shows what `companion/engine/answers.json` has.

Whom a build is for says the setting `companion_for` or the environment variable COMPANION_FOR:
*readers* find solutions hidden below exercises, *students* find none, *instructors* also the
answers of the exam. What is left out is left out of the pages' sources as well. Model answers to
exercises to design end with the criteria of the answer key.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxRole

from analysis.base.files import fingerprint, looks, sha256_of, write_text
from analysis.base.roots import ROOT
from companion.engine import course, lite
from companion.engine.slides import PACE, deck, minutes, slides
from companion.engine.sphinx.offline import when_written, write_if_changed
from companion.engine.sphinx.pages import OFFERED, github
from companion.engine.sphinx.result import NotMeasuredError, ResultError, find_result

#: Whom a build is for → the classes of boxes that it leaves out.
LEFT_OUT = {"readers": ("instructor",), "students": ("solution", "instructor"), "instructors": ()}
#: The page with the answer keys.
KEY = "guide/teach"
#: What notebooks and slides are made from.
READ = "course/lessons/*.* course/lessons/lab/* data/pocket/accuracies.csv book/*.md"
READ += " companion/engine/*.* companion/engine/s*/*.* book/_*/*.* book/guide/slides/*"
READ += " book/runs/*/*.ipynb"


def write_files(app: Sphinx, config: Config) -> None:
    """Write each notebook with what it needs, and the slides, unless they follow from the same."""
    if config.companion_for not in LEFT_OUT:
        allowed = ", ".join(LEFT_OUT)
        raise ConfigError(f"companion_for is {config.companion_for!r}; it is one of {allowed}.")
    folder = Path(app.srcdir) / "_build" / "teach"
    config.html_extra_path = [*config.html_extra_path, str(folder / "site")]
    made_from, note = _made_from(app, config), folder / "made_from"
    if note.is_file() and note.read_bytes() == made_from:
        return
    shutil.rmtree(folder / "site", ignore_errors=True)  # solutions of a build for others
    (folder / "site").mkdir(parents=True)
    files = {"check.zip": course.packed(course.checking())}
    if course.LAB.is_file():  # which a book of another course lacks
        lab = course.lab(solved=config.companion_for == "instructors")
        files["lab.zip"] = course.packed(lab)
        files |= {f"site/{OFFERED}/{path}": lab[path] for path in course.lab_data()}
    for name in course.names():
        contents = course.files(name, github(app), config.companion_for != "students")
        contents[f"{name}.zip"] = files[f"{name}.zip"] = course.packed(contents)
        files |= {f"site/{OFFERED}/{path}": content for path, content in contents.items()}
    for source in sorted((Path(app.srcdir) / "guide" / "slides").glob("*.md")):
        try:
            page = deck(source.read_text(encoding="utf-8"), partial(_published, source.name))
        except ValueError as error:
            raise ConfigError(f"guide/slides/{source.name}: {error}") from error
        files[f"site/slides/{source.stem}.html"] = page.encode()
    for name, content in (files | {note.name: made_from}).items():
        write_if_changed(folder / name, content)


def _made_from(app: Sphinx, config: Config) -> bytes:
    """Hash of all that notebooks and slides follow from."""
    paths = [path for place in READ.split() for path in ROOT.glob(place) if path.is_file()]
    read = {str(path): sha256_of(path) for path in paths}
    libraries = [version(name) for name in ("jupytext", "markdown-it-py")]
    return fingerprint([config.companion_for, github(app), libraries, read]).encode()


def _published(deck: str, reference: str) -> tuple[dict[str, str], dict[str, str]]:
    """A result for the slides; a sentence where this build has no evidence of it."""
    try:
        result = find_result(reference)
    except NotMeasuredError:
        return {"kind": "text"}, {"text/markdown": "*Not measured in this build.*"}
    except ResultError as error:
        raise ConfigError(f"guide/slides/{deck}: {error}") from error
    return result.note, result.data


class AnswerRole(SphinxRole):
    """The role `answer`: `outlier-3 2` is the second value of that exercise's answer."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the number."""
        label, _, place = self.text.partition(" ")
        try:
            value = course.ANSWERS[label][int(place or 1) - 1]
        except (ValueError, LookupError):
            message = self.inliner.reporter.error(
                f"answer: answers.json has no {self.text!r}; after a change to an exercise, run "
                "`python course/data/make.py --answers`.",
                line=self.lineno,
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        self.env.note_dependency(str(course.CHECK.with_name("answers.json")))
        text = f"{value:{',.0f' if abs(value) >= 1000 else '.3g'}}".replace("-", "−")
        return [nodes.inline("", text)], []


class MinutesRole(SphinxRole):
    """The role `minutes`: how long a deck takes, of talk and of work, from its slides."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the sum."""
        path = Path(self.env.srcdir, "guide", "slides", f"{self.text}.md")
        self.env.note_dependency(str(path))
        talk, work = minutes(path.read_text(encoding="utf-8"))
        return [nodes.inline("", f"{talk} + {work} = {talk + work}")], []


class SpokenRole(SphinxRole):
    """The role `spoken`: how many minutes a deck's notes take, of speech and of all else."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the sentence's end."""
        path = Path(self.env.srcdir, "guide", "slides", f"{self.text}.md")
        self.env.note_dependency(str(path))
        every = slides(path.read_text(encoding="utf-8"))
        words, planned = (
            sum(of) for of in zip(*((s.words, s.minutes) for s in every), strict=True)
        )
        stated = sum(slide.stated for slide in every)
        text = (
            f"their {words:,} words take {words / PACE:.0f} minutes at {PACE} a minute, and what "
            f"stands in brackets {stated:.0f}; the slides plan {planned}"
        )
        return [nodes.inline("", text)], []


class SlidesRole(SphinxRole):
    """The role `slides`: links to the slides of this name, with notes, and for the speaker."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the link."""
        address = "../" * self.env.docname.count("/") + f"slides/{self.text}.html"
        shown = nodes.reference("", "slides", refuri=address, internal=True)
        notes = nodes.reference("", "notes", refuri=f"{address}?notes", internal=True)
        speaker = nodes.reference("", "presenter", refuri=f"{address}?presenter", internal=True)
        return [shown, nodes.Text(", "), notes, nodes.Text(", "), speaker], []


def add_criteria(app: Sphinx, name: str, source: list[str]) -> None:
    """Below each model answer to an exercise to design: what an answer needs, from the key."""
    key = Path(app.srcdir, f"{KEY}.md")
    exercise = (
        r"(^:::\{admonition\} Exercise (\S+) · design · .*?\{admonition\} Solution\n.*?)(?=^:::$)"
    )

    def with_criteria(box: re.Match[str]) -> str:
        row = re.search(
            rf"^\| \{{ref\}}`{box[2]} <{box[2]}>` \| \d+ \| (.*) \|$", rows, re.MULTILINE
        )
        if not row:
            return box[0]
        listed = "\n".join(f"- {one}" for one in re.findall(r"(.+?) \(\d\)(?:; |$)", row[1]))
        return f"{box[0]}\n**Compare yours.** A complete answer has:\n\n{listed}\n"

    if "· design ·" in source[0] and key.is_file() and not name.endswith(KEY):
        app.env.note_dependency(str(key))
        rows = key.read_text(encoding="utf-8")
        source[0] = re.sub(exercise, with_criteria, source[0], flags=re.MULTILINE | re.DOTALL)


def leave_out(app: Sphinx, name: str, source: list[str]) -> None:
    """Take out of a page's text what is not for those whom the build is for."""
    for kind in LEFT_OUT[app.config.companion_for]:
        box = rf"^:::\{{admonition\}}[^\n]*\n:class: [^\n]*\b{kind}\b.*?^:::\n*"
        source[0] = re.sub(box, "", source[0], flags=re.MULTILINE | re.DOTALL)


def leave_out_marks(app: Sphinx, page: nodes.document) -> None:
    """Show code of teaching notebooks without the marks of which their blanks are made.

    Students see the blanks, which are theirs to fill in.
    """
    shown = course.students if app.config.companion_for == "students" else course.unmarked
    for code in page.findall(nodes.literal_block):
        if Path(code.get("source", "")).parent == course.TEACH:
            text = f"{code.astext().rstrip()}\n"
            if text.count("#:[") > text.count("#:]"):  # an object of Python ends before a remark
                text += re.findall(r"^([ ]*)#:\[", text, re.MULTILINE)[-1] + "#:]\n"
            code.rawsource = shown(text).rstrip("\n")
            code[:] = [nodes.Text(code.rawsource)]


def leave_out_of_sources(app: Sphinx) -> None:
    """The same with the pages' sources, which lie next to the pages."""
    for path in Path(app.outdir, "_sources").rglob("*.md*"):
        leave_out(app, path.name, text := [path.read_text(encoding="utf-8")])
        path.write_text(text[0], encoding="utf-8")


def leave_nothing(app: Sphinx) -> None:
    """Remove downloads and slides that a build for others put next to the pages."""
    given, out = Path(app.srcdir) / "_build" / "teach" / "site", Path(app.outdir)
    for folder in (OFFERED, "slides"):
        for path in (out / folder).glob("*"):
            if path.is_file() and not (given / folder / path.name).exists():
                path.unlink()
    kept = {"/".join(Path(of).parts[:1]) for _, of in app.env.dlfiles.values()}
    for path in (out / "_downloads").glob("*"):
        if path.name not in {*kept, Path(OFFERED).name}:
            shutil.rmtree(path)


def bring_python(app: Sphinx, error: Exception | None) -> None:
    """Put Python for the browser into the book, if `make lite` has fetched it."""
    if error is None and app.builder.name == "html":
        leave_nothing(app)
        solved, placed = app.config.companion_for != "students", Path(app.doctreedir) / "placed"
        if not placed.is_file() or placed.read_text(encoding="utf-8") != _of_lite(app, solved):
            lite.place(Path(app.outdir), solved=solved)
            write_text(placed, _of_lite(app, solved))


def _of_lite(app: Sphinx, solved: bool) -> str:
    """What decides the pages that run Python, and which of them are there, in a word."""
    sources = looks(course.TEACH, Path(course.__file__).parent, lite.KEPT)
    out = Path(app.outdir)
    return fingerprint(
        [sources, solved, looks(out / "lite"), looks(out / "_static", ending="lite.js")]
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.setup_extension(
        "companion.engine.sphinx.offline"
    )  # which knows the pages that were written
    app.add_config_value("companion_for", os.environ.get("COMPANION_FOR", "readers"), "env", str)
    app.connect("config-inited", write_files)
    app.connect("source-read", add_criteria)
    app.connect("source-read", leave_out)
    app.connect("doctree-read", leave_out_marks)
    when_written(app, leave_out_of_sources)
    app.connect("build-finished", bring_python)
    app.add_role("answer", AnswerRole())
    app.add_role("minutes", MinutesRole())
    app.add_role("spoken", SpokenRole())
    app.add_role("slides", SlidesRole())
    return {
        "version": "1",
        "env_version": 2,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
