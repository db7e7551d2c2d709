"""Sphinx extension: bring all runs up to date before the book is read.

Connected to `config-inited` ahead of sphinx-external-toc (priority 900), so that the table of
contents finds notebooks which are made here. If a run fails, the build stops and no book is
published.
"""

from __future__ import annotations

import os
import sys
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
    from analysis.engine import bring_up_to_date
    from analysis.registry import RegistryError
    from analysis.runs import RunError

    try:
        bring_up_to_date(jobs=int(os.environ.get("COMPANION_JOBS", "2")))
    except (RunError, RegistryError) as error:
        raise RunsError(str(error)) from None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", update_runs, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
