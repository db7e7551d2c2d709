"""What a checkpoint is called, by what was typed alone. No torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

from analysis.base.texts import CompanionError
from analysis.families.registry import HUB, LOCAL_DIR, WEIGHT_FILES
from analysis.features import parts


def check_named(checkpoint: str, architecture: str | None) -> None:
    """Raise CompanionError for a file of weights of which nobody says the architecture.

    Before PyTorch is imported, which takes seconds. A file of safetensors may name it.
    """
    path = Path(checkpoint).expanduser()
    if (
        architecture is None
        and path.is_file()
        and not parts.is_index(path)
        and not _names_one(path)
    ):
        raise CompanionError(without_architecture(path))


def without_architecture(path: Path) -> str:
    """What is said where neither a file nor anybody else names its architecture."""
    return (
        f"{path.name} does not name its architecture: give open_clip's or timm's with "
        "--architecture, for example ViT-B-32 or resnet50."
    )


def _names_one(path: Path) -> bool:
    """Whether a file of safetensors names an architecture; also if it is no sound file."""
    with path.open("rb") as file:
        start = file.read(9)
        if start[8:] != b"{":
            return path.suffix == ".safetensors"
        text = b"{" + file.read(min(int.from_bytes(start[:8], "little"), parts.LONGEST) - 1)
    try:
        return "architecture" in (json.loads(text).get("__metadata__") or {})
    except (ValueError, AttributeError, RecursionError):
        return True


def default_name(text: str) -> str:
    """Return a name for a checkpoint that was given none: its own, as a name of the registry.

    >>> default_name("ViT-B-32-quickgelu/openai")
    'vit-b-32-quickgelu-openai'
    """
    slug = re.sub(r"[^a-z0-9_.]+", "-", short_name(text).lower()).strip("-._")[:60]
    return slug if slug[:1].isascii() and slug[:1].isalpha() else f"model-{slug}".strip("-")


def short_name(text: str) -> str:
    """Return a checkpoint's name without what says of which kind it is, a path's last part."""
    path = text.removeprefix(LOCAL_DIR)
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    if path != text or is_file(text):
        ends = [end for end in WEIGHT_FILES if last.endswith(end)]
        return last[: -len(max(ends, key=len))] if ends else last
    return text.removeprefix(HUB).partition("@")[0]


def is_file(text: str) -> bool:
    """Whether what was typed is meant as a file of weights."""
    if text.startswith(HUB):
        return False
    return text.endswith(WEIGHT_FILES) or "\\" in text or Path(text).expanduser().exists()
