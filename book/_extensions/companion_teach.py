"""Sphinx extension: the teaching notebooks as files to download.

The percent sources in `notebooks/teach` become `.ipynb` files in `_build/teach` before the book is
read; pages offer them with the role `download`. Equal sources give equal bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

SOURCES = Path(__file__).resolve().parents[2] / "notebooks" / "teach"


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


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", write_notebooks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
