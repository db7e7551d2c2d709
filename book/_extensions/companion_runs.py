"""Sphinx extension: bring all runs up to date before the book is read.

Connected to `config-inited` ahead of sphinx-external-toc (priority 900), so that the table of
contents finds notebooks which are made here, and again after it, to put them in the families'
order. If a run fails, the build stops and no book is
published.
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


class RunsError(SphinxError):
    """At least one run could not be brought up to date."""

    category = "The runs"


def update_runs(app: Sphinx, config: Config) -> None:
    """Execute what is stale or missing, `COMPANION_JOBS` (2) at a time."""
    from analysis.common import CompanionError
    from companion.runs.dispatch import alone
    from companion.runs.engine import bring_up_to_date
    from companion.runs.experiments import all_runs

    held = ExitStack()  # until the pages are written
    app.connect("build-finished", lambda *_: held.close(), priority=999)
    try:
        held.enter_context(alone("a build of the book"))
        bring_up_to_date(jobs=int(os.environ.get("COMPANION_JOBS", "2")))
        app.companion_runs = all_runs()  # type: ignore[attr-defined]
    except CompanionError as error:
        raise RunsError(str(error)) from None


def order_runs(app: Sphinx, config: Config) -> None:
    """List a chapter's runs in the families' order where the table of contents has a glob."""
    from sphinx_external_toc.api import GlobItem

    from companion.runs.experiments import OUTPUTS

    outputs = [run.output for run in app.companion_runs]  # type: ignore[attr-defined]
    names = [path.relative_to(OUTPUTS.parent).with_suffix("").as_posix() for path in outputs]
    documents = list(config.external_site_map)
    for document in config.external_site_map.values():
        for tree in document.subtrees:
            documents += [
                name for name in names for glob in tree.globs() if fnmatchcase(name, glob)
            ]
            tree.items = [
                entry
                for item in tree.items
                for entry in (
                    [GlobItem(name) for name in names if fnmatchcase(name, item)]
                    if isinstance(item, GlobItem) and item.startswith("runs/")
                    else [item]
                )
            ]
    # No others are read; where the checkout's path has brackets, no glob would leave them out.
    config.include_patterns = [f"{name}.*" for name in documents]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", update_runs, priority=100)
    app.connect("config-inited", order_runs, priority=901)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
