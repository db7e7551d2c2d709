"""Sphinx extension: this checkout, whose packages the book takes and whose source it offers.

It comes first, before another extension imports any of the packages, whichever ones are installed.
Pages may say ``{{ source }}``: how a reader gets the folder in which the book is built. That is an
archive of the last commit, which the book has with it, as there need not be an address.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

#: The archive, from the folder of the pages.
ARCHIVE = "_build/source/companion.tar.gz"


def write_archive(root: Path, archive: Path) -> bool:
    """Pack the last commit of a checkout, unless it is packed; whether there is an archive.

    There is none, and none stays, where `root` is no checkout of its own, or without git.
    """
    git = shutil.which("git")
    commit = archive.with_suffix(".commit")
    try:
        if git is None or not (root / ".git").exists():
            raise FileNotFoundError(root)
        head = _output(git, root, "rev-parse", "HEAD").decode()
        if not archive.is_file() or not commit.is_file() or commit.read_text() != head:
            part = archive.with_suffix(".part")
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(
                _output(git, root, "archive", "--format=tar.gz", "--prefix=companion/", "HEAD")
            )
            part.replace(archive)
            commit.write_text(head)
    except (OSError, subprocess.CalledProcessError):
        archive.unlink(missing_ok=True)
        return False
    return True


def _output(git: str, root: Path, *arguments: str) -> bytes:
    command = [git, "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def offer(app: Sphinx, config: Config) -> None:
    """Give pages ``{{ source }}``."""
    says = "In the folder that you have of this book"
    if write_archive(ROOT, Path(app.srcdir) / ARCHIVE):
        says = f"Unpack {{download}}`the source of this book </{ARCHIVE}>`, and in its folder"
    config.myst_substitutions = config.myst_substitutions | {"source": says}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", offer)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
