"""Sphinx extension: bring all runs up to date before the book is read.

Connected to `config-inited` ahead of sphinx-external-toc (priority 900), so that the table of
contents finds notebooks which are made here, and again after it, to put them in the families'
order, under short titles that say on which evidence a page rests. One page, `runs/not_measured`,
lists what chapters lack. If a run fails, the build stops and no book is published.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import SphinxError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `analysis`, whichever one is installed

from analysis.common import CompanionError, write_text  # noqa: E402
from analysis.families.registry import load_families  # noqa: E402
from companion.runs import experiments, status  # noqa: E402
from companion.runs.engine import bring_up_to_date  # noqa: E402
from companion.runs.experiments import OUTPUTS  # noqa: E402
from companion.runs.jobs import alone  # noqa: E402


class RunsError(SphinxError):
    """At least one run could not be brought up to date."""

    category = "The runs"


def update_runs(app: Sphinx, config: Config) -> None:
    """Execute what is stale or missing, `COMPANION_JOBS` (2) at a time."""
    held = ExitStack()  # until the pages are written
    app.connect("build-finished", lambda *_: held.close(), priority=999)
    try:
        held.enter_context(alone("a build of the book"))
        bring_up_to_date(jobs=int(os.environ.get("COMPANION_JOBS", "2")))
        app.companion_runs = experiments.all_runs()  # type: ignore[attr-defined]
        write_not_measured()
    except CompanionError as error:
        raise RunsError(str(error)) from None


def write_not_measured() -> None:
    """Write the page of what is not measured, if it is not the same as before."""
    path, text = OUTPUTS / "not_measured.md", status.not_measured()
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        write_text(path, text)


def order_runs(app: Sphinx, config: Config) -> None:
    """List a chapter's runs in the families' order where the table of contents has a glob."""
    from sphinx_external_toc.api import Document, FileItem, GlobItem

    titles = short_titles(app)
    documents = list(config.external_site_map)
    for document in list(config.external_site_map.values()):
        globs = [glob for tree in document.subtrees for glob in tree.globs()]
        for tree in document.subtrees:
            items: list[Any] = []
            for item in tree.items:
                if not (isinstance(item, GlobItem) and item.startswith("runs/")):
                    items.append(item)
                    continue
                names = [name for name in titles if fnmatchcase(name, item)]
                for name in names:  # the chapter's own experiment is named by the chapter
                    short, whole = titles[name]
                    title = short if item == globs[0] else whole
                    config.external_site_map[name] = Document(name, title=title)
                items += [FileItem(name) for name in names]
                documents += names
            tree.items = items
    # No others are read; where the checkout's path has brackets, no glob would leave them out.
    config.include_patterns = [f"{name}.*" for name in documents]


def short_titles(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Page → how the table of contents calls it: in its chapter, and elsewhere."""
    found, families = {}, load_families()
    for run in app.companion_runs:  # type: ignore[attr-defined]
        notebook = experiments.executed(run)
        if notebook is None or run.subject not in families:
            continue
        about = f"{families[run.subject].title}"
        mark = " · " + (", ".join(status.kinds(notebook)) or "no evidence")
        heading = next(c for c in notebook["cells"] if c["cell_type"] == "markdown")["source"]
        title = heading.partition("\n")[0].removeprefix("# ")
        found[f"runs/{run}"] = about + mark, title + mark
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", update_runs, priority=100)
    app.connect("config-inited", order_runs, priority=901)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
