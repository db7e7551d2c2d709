"""Sphinx extension: the teaching notebooks as files to download, and exercises with answers.

The percent sources in `notebooks/teach` become `.ipynb` files in `_build/teach` before the book is
read; pages offer them with the role `download`. Equal sources give equal bytes. The role `answer`
takes an exercise, and which of its values, and shows what `companion.exercises` computes. With
`companion_solutions: false` in `_config.yml` the solutions are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `companion`, whichever one is installed
from companion import exercises  # noqa: E402

SOURCES = ROOT / "notebooks" / "teach"


def as_notebook(source: Path) -> str:
    """A percent notebook as the text of an `.ipynb` file, not executed."""
    import jupytext

    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem}-{number}"
    text: str = jupytext.writes(notebook, fmt="ipynb")
    return text


def write_notebooks(app: Sphinx, config: Config) -> None:
    """Write each notebook whose text has changed."""
    folder = Path(app.srcdir) / "_build" / "teach"
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(SOURCES.glob("*.py")):
        target, text = folder / f"{source.stem}.ipynb", as_notebook(source)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


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


def leave_out_solutions(app: Sphinx, doctree: nodes.document) -> None:
    """Take the solutions off the page, if the settings say so."""
    if not app.config.companion_solutions:
        for node in list(doctree.findall(nodes.admonition)):
            if "solution" in node["classes"]:
                node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", write_notebooks)
    app.add_config_value("companion_solutions", True, "env", bool)
    app.connect("doctree-read", leave_out_solutions)
    app.add_role("answer", AnswerRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
