"""Sphinx extension: take the packages of this checkout, whichever one is installed.

It comes first, before another extension imports any of them.
"""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, which has done its work."""
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
