"""Libraries that take seconds to import, and that are imported when something of them is used.

A file of a timm model needs no open_clip, which may import transformers.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import open_clip as of_type  # noqa: F401 - its version counts with those that are imported


class _Library:
    """A module of which the first attribute that is asked for imports it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


open_clip: Any = _Library("open_clip")


def configurations() -> Path:
    """The folder in which open_clip has a file for each architecture; nothing is imported."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("open_clip is not installed", name="open_clip")
    return Path(spec.origin).with_name("model_configs")
