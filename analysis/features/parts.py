"""Weights in several files, as the hub stores large models: an index, and parts next to it.

``model.safetensors.index.json`` says which of ``model-00001-of-00002.safetensors`` and so on holds
which tensor. Wherever a file of weights is named, the index represents the whole. No torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from analysis.base.files import fingerprint, sha256_of

#: What the name of an index ends in.
INDEX = ".safetensors.index.json"
#: An index of some hundred thousand tensors has less.
LONGEST = 50_000_000


def is_index(path: Path) -> bool:
    """Whether a file is an index, by its name."""
    return path.name.endswith(INDEX)


def places(path: Path) -> dict[str, Path]:
    """Where each tensor of an index is; ValueError if it is no index or names absent files."""
    if path.stat().st_size > LONGEST:
        raise ValueError(f"an index of {path.stat().st_size:,} bytes is none")
    try:
        named = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        found = {str(tensor): str(part) for tensor, part in named.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("it does not say under weight_map which part holds which tensor") from None
    wrong = [part for part in found.values() if not re.fullmatch(r"[\w.-]+\.safetensors", part)]
    if wrong or not found:
        raise ValueError("its parts are not all called NAME.safetensors")
    lying = {part: path.parent / part for part in found.values()}
    if waited := [name for name, part in lying.items() if part.exists() and not part.is_file()]:
        raise ValueError(f"its part {waited[0]} is no file")  # but a pipe, say
    return {tensor: lying[part] for tensor, part in found.items()}


def files(path: Path) -> list[Path]:
    """The files that contain the weights: the file itself, or an index and all its parts."""
    return [path, *sorted({*places(path).values()})] if is_index(path) else [path]


def checksum(path: Path) -> str:
    """The sha256 of weights: of the file, or of an index and the checksums of its parts.

    Raises ValueError as `places` does, OSError if a part is not there.
    """
    if not is_index(path):
        return sha256_of(path)
    return fingerprint([sha256_of(file) for file in files(path)])
