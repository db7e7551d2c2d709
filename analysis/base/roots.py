"""Where things are: the code, the inputs that it reads, and where a reader's own are written."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import tomllib
from pathlib import Path

from analysis.base.texts import CompanionError

#: The folder of our packages: a checkout, or where an installed package lies.
CODE = Path(__file__).resolve().parents[2]
#: What an installed package brings along of a checkout: families, small inputs, the probe's report.
SHIPPED = CODE / "analysis" / "shipped"


def is_checkout(folder: Path) -> bool:
    """Whether a folder is a checkout of this repository, or of another paper's companion.

    Raises tomllib.TOMLDecodeError for a ``pyproject.toml`` that cannot be read.
    """
    named = folder / "pyproject.toml"
    text = named.read_text(encoding="utf-8") if named.is_file() else ""
    return "companion" in tomllib.loads(text).get("tool", {})


def _named() -> Path | None:
    """The folder that ``COMPANION_ROOT`` names; a sentence, and the end, if it is no root.

    It must be a checkout, or for an installed package any folder. Whatever was started, nothing is
    read or built of another checkout instead, and nothing is written.
    """
    if not (name := os.environ.get("COMPANION_ROOT")):
        return None
    folder = Path(name).expanduser().resolve()
    try:
        lacks = "not there" if not folder.is_dir() else "no checkout of a companion"
        if folder.is_dir() and (is_checkout(folder) or SHIPPED.is_dir()):
            return folder
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        lacks = f"no checkout, since its pyproject.toml is no TOML ({error})"
    raise SystemExit(
        f"companion: COMPANION_ROOT is {name!r}, which is {lacks}: set it to a checkout (a folder "
        "whose pyproject.toml has [tool.companion]), or unset it."
    )


def _nearest() -> Path | None:
    """The nearest checkout above the current folder, for an installed package."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        with contextlib.suppress(tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
            if is_checkout(folder):
                return folder
    return None


def _root() -> Path:
    """The checkout to use, or else the files that come with the installed package.

    That is ``COMPANION_ROOT``, the checkout that this code lies in, or the nearest above the
    current folder.
    """
    if not SHIPPED.is_dir():
        return NAMED or CODE
    if NAMED:
        return NAMED if is_checkout(NAMED) else SHIPPED
    return _nearest() or SHIPPED


def _workspace() -> Path:
    """Where families are added and features kept: the checkout.

    Without one it is ``COMPANION_ROOT``, the nearest folder above the current one that has been
    used so, or the current one.
    """
    if ROOT != SHIPPED:
        return ROOT
    if NAMED:
        return NAMED
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / ".companion" / "lock").exists()), here)


#: The folder that ``COMPANION_ROOT`` names, if it does.
NAMED = _named()
#: Where inputs are read: the root of the checkout, or of what an installed package brings along.
ROOT = _root()
#: Where families and features are written: the root of the checkout, or a folder of the reader's.
WORKSPACE = _workspace()
#: Where the modules are that decide numbers.
PACKAGES = ROOT if (ROOT / "analysis" / "base" / "roots.py").is_file() else CODE


class ArtifactError(CompanionError, RuntimeError):
    """An artefact is unknown, missing or damaged; the message says what to do."""


def in_package(place: str) -> Path:
    """Return the path of a file or folder in an installed Python package: ``NAME/PATH``.

    ``NAME`` is the package's name on PyPI; it is not imported. Raises ArtifactError if the path
    does not exist.
    """
    package, _, inside = place.partition("/")
    try:
        return Path(str(importlib.metadata.distribution(package).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        raise ArtifactError(f"{package} is not installed: pip install {package}.") from None
