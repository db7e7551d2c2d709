"""Files that are whole or not there, and fingerprints of what they hold."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from analysis.base.texts import CompanionError


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path next to ``path`` to write to; it replaces ``path``, flushed, if nothing fails.

    A link stays one: what it leads to is replaced. Readers see the old file or the whole new one.
    What a killed process leaves ends in ``.HOST.PID.part``: the machine's name too, since on a
    shared file system another's process may have the same number; it is removed when the file, or
    what lies next to it, is written again.
    """
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(path.parent.glob(".*.part"))
    part = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        yield part
        # Flushed first: after a crash there is the old file, or the whole new one.
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno and error.filename in (None, str(part)):  # a full disk does not say where
            error.filename = str(path)
        raise
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))  # safetensors has only this of it
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
    finally:
        with contextlib.suppress(OSError):  # a read-only disk says so even of what is not there
            part.unlink(missing_ok=True)


#: Numbers of errors: a disk is full, or may not be written to.
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def about_disk(error: OSError) -> str:
    """A sentence that says what the disk refused, where, and what to do."""
    what = error.strerror or str(error)
    where = f" ({place})" if (place := error.filename2 or error.filename) else ""  # copied to there
    if error.errno in FULL:
        return f"{what}{where}: free some space and call again; finished work is kept."
    if error.errno in DENIED:
        return f"{what}{where}: allow reading and writing there, and call again."
    return f"{what}{where}."


def remove_parts(found: Iterable[Path]) -> None:
    """Remove what killed processes of this machine left of files that were to be `replaced`."""
    for path in found:
        part = re.fullmatch(rf"\..*\.{re.escape(platform.node())}\.(\d+)\.part", path.name)
        if part and not alive(int(part[1])):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(within: Path | None = None) -> Iterator[Path]:
    """A temporary folder, removed at the end, or by the next one if this process is killed."""
    prefix, within = f"companion.{platform.node()}.", within or Path(tempfile.gettempdir())
    within.mkdir(parents=True, exist_ok=True)
    for left in within.glob(f"{prefix}*"):
        number = left.name.removeprefix(prefix).partition(".")[0]
        if number.isdecimal() and not alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{prefix}{os.getpid()}.", dir=within, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def alive(process: int) -> bool:
    """Whether a process with that number runs on this machine."""
    try:
        os.kill(process, 0)
    except OSError as error:
        # Another user's process is there, and may not be signalled.
        return isinstance(error, PermissionError)
    return True


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, in UTF-8, or leave what was there."""
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")


def write_output(path: Path, text: str) -> None:
    """Write text where a reader wants it: to a file, replaced whole, a pipe or device, or ``-``."""
    if str(path) == "-":
        sys.stdout.write(text)
    elif is_stream(path):
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
    else:
        write_text(path, text)


def is_stream(path: Path) -> bool:
    """Whether a path is ``-``, a pipe or a device, which is written to and not replaced."""
    return str(path) == "-" or (path.exists() and not path.is_file() and not path.is_dir())


def check_writable(*paths: Path, suffix: str = "") -> None:
    """Raise CompanionError, before anything is computed, if files cannot be written there later.

    ``suffix``: what their names must end in.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise CompanionError(f"{paths[0]} would be written twice: give each file its own name.")
    for path in paths:
        if is_stream(path):
            continue
        if path.is_dir():
            raise CompanionError(f"{path} is a folder: give the name of the file to write.")
        if suffix and path.suffix != suffix:
            raise CompanionError(f"{path} is written as {suffix}: give a name that ends so.")
        try:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise CompanionError(
                f"{path.name} cannot be written into {path.parent} ({error.strerror}): give an "
                "existing folder into which you may write."
            ) from None


def looks(*places: Path, ending: str = "") -> list[tuple[str, int, int, int]]:
    """Path, inode, time and size of some files, and of each file below folders; nothing is read.

    Whatever replaces or writes a file changes one of them, even where it keeps the file's date.
    """
    found, waiting = [], [*map(str, places)]
    while waiting:
        with contextlib.suppress(FileNotFoundError):
            try:
                entries = [*os.scandir(at := waiting.pop())]
            except NotADirectoryError:
                entries, about = [], Path(at).stat()
                found.append((at, about.st_ino, about.st_ctime_ns, about.st_size))
            for entry in entries:
                if entry.is_dir():
                    waiting += [entry.path] if entry.name != "__pycache__" else []
                elif entry.name.endswith(ending) and not entry.name.endswith((".lock", ".part")):
                    about = entry.stat()
                    found.append((entry.path, about.st_ino, about.st_ctime_ns, about.st_size))
    return sorted(found)


def sha256_of(path: Path) -> str:
    """Checksum of a file's bytes, computed once per process while the file stays unchanged."""
    about = path.stat()
    return _sha256(path, about.st_size, about.st_mtime_ns, about.st_ino)


@cache
def _sha256(path: Path, size: int, changed: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(parts: object) -> str:
    """Hash of what something is made from: mappings, lists, models, numbers, texts."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(part: Any) -> Any:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    raise TypeError(f"{type(part).__name__} has no fingerprint")


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Data to be written as JSON where no git protects them, with a hash of themselves."""
    return {**content, "digest": fingerprint(content)}


def is_intact(content: object) -> bool:
    """Whether JSON that was read is still what `sealed` made."""
    if not isinstance(content, Mapping) or "digest" not in content:
        return False
    rest = {name: value for name, value in content.items() if name != "digest"}
    return bool(content["digest"] == fingerprint(rest))


def write_or_compare(path: Path, text: str, check: bool) -> int:
    """Write a file, or with ``check`` say whether it has this text; the exit status, 1 if not."""
    if not check:
        write_text(path, text)
        return 0
    same = text == path.read_text(encoding="utf-8")
    print(f"{path.name} is {'what' if same else 'not what'} comes out here.")
    return int(not same)
