"""Where things are: the code, the inputs that it reads, and where a reader's own are written."""

from __future__ import annotations

import os
from pathlib import Path

#: The folder of our packages: a checkout, or where an installed package lies.
CODE = Path(__file__).resolve().parents[1]
#: What an installed package brings along of a checkout: families, small inputs, the probe's report.
SHIPPED = CODE / "analysis" / "shipped"


def is_checkout(folder: Path) -> bool:
    """Whether a folder is a checkout of this repository, or of another paper's companion."""
    named = folder / "pyproject.toml"
    ours = all((folder / name).exists() for name in ("Snakefile", "families", "notebooks"))
    return ours or (named.is_file() and "\n[tool.results]" in named.read_text(encoding="utf-8"))


#: Whether the folder that ``COMPANION_ROOT`` names was there before anything could be written.
ROOT_WAS_THERE = Path(os.environ.get("COMPANION_ROOT") or CODE).expanduser().is_dir()


def _root() -> Path:
    """The checkout to use, or else the files that come with the installed package.

    That is ``COMPANION_ROOT``, the checkout that this code lies in, or the nearest above the
    current folder.
    """
    named = os.environ.get("COMPANION_ROOT")
    places = [Path(named).expanduser().resolve()] if named else [CODE]
    if SHIPPED.is_dir() and not named:
        places = [Path.cwd(), *Path.cwd().parents]
    return next(filter(is_checkout, places), SHIPPED if SHIPPED.is_dir() else CODE)


def _workspace() -> Path:
    """Where families are added and features kept: the checkout.

    Without one it is ``COMPANION_ROOT``, the nearest folder above the current one that has been
    used so, or the current one.
    """
    if ROOT != SHIPPED:
        return ROOT
    named = os.environ.get("COMPANION_ROOT")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / ".companion" / "lock").exists()), here)


#: Where inputs are read: the root of the checkout, or of what an installed package brings along.
ROOT = _root()
#: Where families and features are written: the root of the checkout, or a folder of the reader's.
WORKSPACE = _workspace()
#: Where the modules are that decide numbers.
PACKAGES = ROOT if (ROOT / "base" / "roots.py").is_file() else CODE
