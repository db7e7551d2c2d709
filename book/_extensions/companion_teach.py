"""Sphinx extension: what to teach with. Notebooks and slides, and exercises with answers.

The percent sources in `notebooks/teach` become `.ipynb` files in `_build/teach` before the book is
read; pages offer them with the role `download`. Equal sources give equal bytes. `guide/slides.md`
becomes `slides.html` beside the pages, to which the role `slides` leads. The role `answer` takes an
exercise, and which of its values, and shows what `companion.exercises` computes.

Whom a build is for says the setting `companion_for` or the environment variable COMPANION_FOR:
*readers* find solutions hidden below exercises, *students* find none, *instructors* also the
answers of the exam. What is left out is left out of the pages' sources as well.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from companion_results import NotMeasuredError, ResultError, find_result
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `companion`, whichever one is installed
from companion import exercises  # noqa: E402
from companion.publish.slides import deck  # noqa: E402

SOURCES = ROOT / "notebooks" / "teach"
#: Whom a build is for → the classes of boxes that it leaves out.
LEFT_OUT = {"readers": ("instructor",), "students": ("solution", "instructor"), "instructors": ()}


def as_notebook(source: Path) -> str:
    """A percent notebook as the text of an `.ipynb` file, not executed."""
    import jupytext

    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem}-{number}"
    text: str = jupytext.writes(notebook, fmt="ipynb")
    return text


def write_files(app: Sphinx, config: Config) -> None:
    """Write each notebook, and the slides, whose text has changed."""
    if config.companion_for not in LEFT_OUT:
        allowed = ", ".join(LEFT_OUT)
        raise ConfigError(f"companion_for is {config.companion_for!r}; it is one of {allowed}.")
    folder = Path(app.srcdir) / "_build" / "teach"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"{path.stem}.ipynb": as_notebook(path) for path in sorted(SOURCES.glob("*.py"))}
    slides = Path(app.srcdir) / "guide" / "slides.md"
    if slides.is_file():
        texts["slides.html"] = deck(slides.read_text(encoding="utf-8"), _published)
        config.html_extra_path = [*config.html_extra_path, str(folder / "slides.html")]
    for name, text in texts.items():
        target = folder / name
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def _published(reference: str) -> tuple[dict[str, str], dict[str, str]]:
    """A result for the slides; a sentence where this build has no evidence of it."""
    try:
        _, output, _ = find_result(reference)
    except NotMeasuredError:
        return {"kind": "text"}, {"text/markdown": "*Not measured in this build.*"}
    except ResultError as error:
        raise ConfigError(f"guide/slides.md: {error}") from error
    return output["metadata"]["companion"], output["data"]


class AnswerRole(SphinxRole):
    """The role `answer`: `outlier-3 2` is the second value of that exercise's answer."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the number."""
        label, _, place = self.text.partition(" ")
        try:
            value = exercises.shown(label, int(place or 1) - 1)
        except (ValueError, IndexError) as error:
            message = self.inliner.reporter.error(f"answer: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        self.env.note_dependency(exercises.__file__)
        return [nodes.inline("", value)], []


class SlidesRole(SphinxRole):
    """The role `slides`: a link with this text to the slides."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the link."""
        up = "../" * self.env.docname.count("/")
        return [nodes.reference("", self.text, refuri=f"{up}slides.html", internal=True)], []


def leave_out(app: Sphinx, doctree: nodes.document) -> None:
    """Take off the page what is not for those whom the build is for."""
    for node in list(doctree.findall(nodes.admonition)):
        if {*LEFT_OUT[app.config.companion_for]} & {*node["classes"]}:
            node.parent.remove(node)


def leave_out_of_sources(app: Sphinx, failed: Exception | None) -> None:
    """The same with the pages' sources, which stand beside the pages."""
    classes = "|".join(LEFT_OUT[app.config.companion_for])
    if failed or not classes:
        return
    box = rf"^:::\{{admonition\}}[^\n]*\n:class: [^\n]*\b(?:{classes})\b.*?^:::\n*"
    for path in Path(app.outdir, "_sources").rglob("*.md*"):
        text = path.read_text(encoding="utf-8")
        less = re.sub(box, "", text, flags=re.MULTILINE | re.DOTALL)
        if less != text:
            path.write_text(less, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("companion_for", os.environ.get("COMPANION_FOR", "readers"), "env", str)
    app.connect("config-inited", write_files)
    app.connect("doctree-read", leave_out)
    app.connect("build-finished", leave_out_of_sources)
    app.add_role("answer", AnswerRole())
    app.add_role("slides", SlidesRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
