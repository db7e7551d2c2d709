"""Sphinx extension: the site offers the source that it is built from, as an archive."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from base.files import replaced
from base.roots import ROOT
from results.sphinx.offline import when_written

#: Where it lies on the site.
ARCHIVE = "_downloads/source.zip"


def pack(app: Sphinx) -> None:
    """Put the archive there, of the commit that is checked out; without git, of what is here."""
    target, top = Path(app.outdir) / ARCHIVE, f"{ROOT.name}/"
    asked = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True)
        commit = done.stdout.strip() if (ROOT / ".git").exists() else ""
    except OSError:  # no git on this computer
        commit = ""
    if target.is_file() and _of(target) == commit:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced(target) as part:
        if commit:
            options = [f"--output={part}", "--format=zip", f"--prefix={top}"]
            subprocess.run(["git", "-C", str(ROOT), "archive", *options, commit], check=True)
            return
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(_files(ROOT)):
                archive.write(path, top + path.relative_to(ROOT).as_posix())


def _of(archive: Path) -> str:
    """The commit that an archive is of, which git notes in its comment."""
    with zipfile.ZipFile(archive) as read:
        return read.comment.decode()


def _files(root: Path) -> Iterator[Path]:
    """The files of a checkout but for what `.gitignore` names."""
    ignored = (root / ".gitignore").read_text(encoding="utf-8").split()
    names = [line.strip("/") for line in ignored]
    for folder, inside, files in os.walk(root):
        at = Path(folder).relative_to(root)

        def kept(name: str, at: Path = at) -> bool:
            return not any(fnmatch(of, each) for each in names for of in (name, str(at / name)))

        inside[:] = [name for name in inside if name != ".git" and kept(name)]
        yield from (Path(folder) / name for name in files if kept(name))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    when_written(app, pack)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
