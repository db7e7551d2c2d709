"""What all packages share: errors that readers see, strict models, whole files, fingerprints."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from analysis.quoting import LONGEST_TEXT, in_short, is_shown, printable, quoted

#: The folder of our packages: a checkout, or where an installed package lies.
CODE = Path(__file__).resolve().parents[1]
#: What an installed package brings along of a checkout: families, small inputs, the probe's report.
SHIPPED = CODE / "analysis" / "shipped"

#: An error lists at most so many known names.
MOST_LISTED = 20

#: What HTML, MyST or mathematics reads as more than characters, entities among it.
MARKUP = re.compile(r"[<>{}\[\]`$*|\\]|&[#\w]+;?")

#: Names become file names: letters, digits, ``_``, ``-`` and ``.``, starting with a letter.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=100)]
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


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
PACKAGES = ROOT if (ROOT / "analysis" / "common.py").is_file() else CODE


def plain(text: str) -> str:
    """The same text; ValueError if it holds what a page could read as more than characters."""
    unprintable = (one for one in text if not is_shown(one))
    wrong = next(unprintable, "") or next((match[0] for match in MARKUP.finditer(text)), "")
    if wrong:
        raise ValueError(f"plain words are expected, without {wrong!r}")
    return text


def worded(text: str) -> str:
    """The same text; ValueError if it has neither a letter nor a digit, or is too long."""
    if not any(map(str.isalnum, text)):
        raise ValueError("words are expected, with a letter or a digit at least")
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{len(text):,} characters are given, at most {LONGEST_TEXT:,} are expected"
        )
    return text


def as_words(text: str) -> str:
    """A text as `Words`: a question mark for each character that a page could read as more."""
    shown = "".join(c if is_shown(c) else "?" for c in text.replace("\\", "/"))
    shown = MARKUP.sub(lambda found: f"?{found[0][1:]}", shown)[:LONGEST_TEXT]
    return shown if any(map(str.isalnum, shown)) else f"without a name {shown}"


def is_template(text: str) -> bool:
    """Whether a text has one ``{}`` for a name, and no other braces."""
    before, name, after = text.partition("{}")
    return bool(name) and not {*"{}"} & {*before, *after}


#: What pages show as it stands: no markup and no control character gets in, so none is to be
#: escaped.
Plain = Annotated[str, AfterValidator(plain)]
Words = Annotated[Plain, Field(min_length=1), AfterValidator(worded)]


class CompanionError(Exception):
    """The root of all errors that a reader sees: one sentence on what is wrong and what to do."""

    def __str__(self) -> str:
        """The message, which may quote files that anyone may have written, as it can be printed."""
        return printable(super().__str__())


class Strict(BaseModel):
    """An immutable model in which an unknown field is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


S = TypeVar("S", bound=Strict)


def checked(
    kind: type[S], content: object, file: str, error: type[CompanionError] = CompanionError
) -> S:
    """What a file holds, as a strict model; ``error`` names the file, the field and the reason."""
    try:
        return kind.model_validate(content)
    except ValidationError as wrong:
        raise error(f"{file}: {first_reason(wrong)}.") from None


def read_yaml(path: Path, error: type[CompanionError] = CompanionError) -> Any:
    """What a YAML file holds; ``error``, in one sentence, if that is not YAML."""
    return parse_yaml(path.read_bytes(), path.name, error)


def parse_yaml(content: str | bytes, file: str, error: type[CompanionError]) -> Any:
    """What YAML says, by PyYAML's parser in C where it has one; ``error`` names file and line."""
    try:
        return yaml.load(content, Loader=_UniqueKeyLoader)
    except Exception as wrong:  # of many kinds, by the tags that a file gives to its values
        mark = getattr(wrong, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        problem = str(getattr(wrong, "problem", None) or wrong).splitlines()[0]
        if isinstance(wrong, LookupError | AttributeError):
            problem = "a value is not what its tag says"
        raise error(f"{file}: {place}the file is not readable as YAML ({problem}).") from None


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as usual, but a key given twice is an error instead of silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; ConstructorError at the second of two equal keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            # A merged anchor may be overridden and appear more than once.
            if key.tag != "tag:yaml.org,2002:merge":
                seen.add(key.value)
        return dict(super().construct_mapping(node, deep=deep))


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


def about_disk(error: OSError) -> str:
    """A sentence that says what the disk refused, where, and what to do."""
    what = error.strerror or str(error)
    where = f" ({place})" if (place := error.filename2 or error.filename) else ""  # copied to there
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return f"{what}{where}: free some space and call again; finished work is kept."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
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


def changes(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """How two mappings of parts differ, in words; "" if they do not."""
    changed = [name for name in new if name in old and old[name] != new[name]]
    added = [name for name in new if name not in old]
    gone = [name for name in old if name not in new]
    named = [("changed", changed), ("new", added), ("gone", gone)]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in named if names)


def aligned(rows: Iterable[Iterable[str]]) -> list[str]:
    """Rows of a table as lines with aligned columns; a cell shows only its first line."""
    cells = [[text.split("\n")[0] for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``known are …; did you mean …`` for an error about an unknown name.

    Of many known names only the nearest are listed.
    """
    names = list(known)
    if len(names) > MOST_LISTED:
        nearest = difflib.get_close_matches(name, names, n=5, cutoff=0.3)
        listed = f"the nearest of the {len(names)} known are {', '.join(nearest)}"
        return listed if nearest else f"none of the {len(names)} known is near"
    listing = f"known are {', '.join(names)}" if names else "none is known"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"{listing}; did you mean {close[0]!r}" if close else listing


def _field(name: object) -> str:
    """The name of a field, in one line: a file may have given it."""
    return " ".join(in_short(name).split())


def first_reason(error: ValidationError) -> str:
    """Return ``field.path[index]: reason (got …)`` of the first problem, and how many follow."""
    errors = error.errors(include_url=False)
    # pydantic calls a list too short, too, whose entries are wrong
    problems = [problem for problem in errors if problem["type"] != "too_short"] or errors
    first = problems[0]
    path = "".join(f"[{n}]" if isinstance(n, int) else f".{_field(n)}" for n in first["loc"])
    field = path.removeprefix(".") or "the family"
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if first["type"] not in {"missing", "value_error", "extra_forbidden"}:
        reason += f", got {quoted(first['input'])}"
    more = len(problems) - 1
    return f"{field}: {reason}" + (f" (and {more} more to correct)" if more else "")
