"""What a run is made from, part by part, and whether the run on disk was made from just that.

A run depends on its notebook, the files it declares to read and those that the project adds, on
exactly those of our definitions that it reaches (`analysis.base.reach`), and on the versions of the
libraries that these use. Code counts by what it does, all else word for word, a notebook since it
is shown. The executed notebook carries these parts, one hash for all files of a folder, so that
anyone can ask why it is stale; which file of a folder is another, this machine's state says.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Literal

from analysis.base.code import PLACES, import_closure, version_of
from analysis.base.files import fingerprint, sha256_of, write_text
from analysis.base.reach import Code, ReachError
from analysis.base.roots import ROOT
from analysis.base.texts import changes
from companion.engine import project
from companion.engine.experiments import RunError, made, reads
from companion.engine.jobs import STATE, read_failure
from companion.engine.project import Listed
from companion.engine.run import Experiment, Run

#: Changes when `execute` writes runs differently.
FORMAT = "6"

#: What is in folders that runs were made from, by the hash of each: see `note_folders`.
FOLDERS = STATE / "folders"

Parts = dict[str, str]
Described = Callable[[Experiment], Parts]


@dataclass(frozen=True)
class Status:
    """The status of a run, and why; ``parts`` is what it would be made from now."""

    run: Run
    state: Literal["up to date", "stale", "missing", "failed", "not measured"]
    why: str = ""
    parts: Parts = field(default_factory=dict, repr=False)


def statuses(runs: Iterable[Run]) -> list[Status]:
    """Compare what is on disk with what each run would be made from now; nothing is executed.

    What several runs share is looked at once: runs for all subjects read the same measurements.
    """
    listed = cache(_listed)
    code = cache(partial(_experiment_parts, code=Code(), listed=listed))
    return [_status(run, code, listed) for run in runs]


def _status(run: Run, code: Described, listed: Listed) -> Status:
    try:
        now = parts(run, code, listed)
    except RunError as error:  # a declared file is missing, say
        return Status(run, "failed", str(error))
    made_from = made(run).get("made_from")
    if made_from == folded(now):
        return Status(run, "up to date", parts=now)
    failure = read_failure(str(run))
    if failure and failure.get("made_from") == fingerprint(now):
        return Status(run, "failed", str(failure["message"]), now)
    if made_from is not None:
        return Status(run, "stale", _differences(made_from, now), now)
    if run.output.exists():
        return Status(run, "stale", "is damaged or was edited by hand", now)
    return Status(run, "missing", "never executed", now)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _experiment_parts(
    experiment: Experiment, code: Code | None = None, listed: Listed = _listed
) -> Parts:
    """The notebook, what it reaches in modules of ours, and the libraries that all this uses.

    Also the recorded measurements that it reads, and what decides these, by the modules' names,
    which are no part of the code version that pages show: they say if one was taken with other
    code.
    """
    path = experiment.notebook
    try:
        made_from = code_and_libraries(path.read_text(encoding="utf-8"), code or Code())
        for measured in experiment.measurements:
            made_from |= project.current().code(measured)
    except ReachError as error:
        raise RunError(str(error)) from None
    except SyntaxError as error:
        raise RunError(
            f"{_shown(path)}, or a module that it imports, is not valid Python: {error.msg}, in "
            f"the line {(error.text or '').strip()!r}."
        ) from None
    files = [file for kind in experiment.measurements for file in listed(_recorded(kind))]
    return made_from | {_shown(file): sha256_of(file) for file in (path, *files)}


def parts(run: Run, code: Described = _experiment_parts, listed: Listed = _listed) -> Parts:
    """What a run would be made from now: part → its content's hash, or version.

    ``code`` and ``listed`` may remember what experiments' runs share and the files in folders.
    Raises RunError if a declared pattern matches no file, or code is not valid Python.
    """
    declared = {_shown(path): sha256_of(path) for path in _declared(run)}
    made_from = code(run.experiment) | declared | dict(project.current().entries(run, listed))
    rooms = project.current().stores(run)[:1]
    for path in from_store(run, listed):
        kind = "weights" if path.suffix == ".safetensors" else "store"
        room = rooms[0] if rooms and rooms[0] in path.parents else path.parent.parent
        made_from[f"{kind} {path.relative_to(room).as_posix()}"] = sha256_of(path)
    return made_from | {"python": platform.python_version(), "run format": FORMAT}


def folded(parts: Parts) -> Parts:
    """The same parts with one hash for all files of a folder, where it has several, but for code.

    So a notebook grows with the folders that it reads, and not with the files in them.
    """
    folders = _folders(parts)
    within = {name for files in folders.values() for name in files}
    whole = {folder: _hash_of(tuple(files.items())) for folder, files in folders.items()}
    return {name: of for name, of in parts.items() if name not in within} | whole


def note_folders(parts: Parts) -> None:
    """Keep the hash of each file of the folders once, however many runs read them."""
    for files in _folders(parts).values():
        path = FOLDERS / f"{fingerprint(files)}.json"
        if not path.exists():
            write_text(path, json.dumps(files))


def _folders(parts: Parts) -> dict[str, Parts]:
    """The folders of which several files, or entries of files, are among the parts."""
    found: dict[str, Parts] = {}
    for name, of in parts.items():
        if folder := _folder_of(name):
            found.setdefault(folder, {})[name] = of
    return {folder: files for folder, files in found.items() if len(files) > 1}


@cache
def _folder_of(part: str) -> str:
    """The folder of a file, or of an entry of one, as a part; "" for code and where there is none.

    Of each file asked for each run that reads it, as is `_hash_of` of each folder.
    """
    folder, _, file = part.partition(": ")[0].rpartition("/")
    return f"{folder}/*" if folder and not file.endswith(".py") else ""


@lru_cache(maxsize=256)
def _hash_of(files: tuple[tuple[str, str], ...]) -> str:
    return fingerprint(dict(files))


def _differences(made_from: Parts, now: Parts) -> str:
    """How what a run was made from, folded, differs from what it would be made from now, in words.

    Of a folder that differs its files are named, if it is known here which they were.
    """
    before, after, folders = {**made_from}, folded(now), _folders(now)
    for folder in [name for name in {**before, **after} if name.endswith("/*")]:
        if before.get(folder) != after.get(folder):
            files = _noted(before[folder]) if folder in before else {}
            if files is not None:
                before.pop(folder, None), after.pop(folder, None)
                before, after = before | files, after | folders.get(folder, {})
    return changes(before, after)


def _noted(folder: str) -> Parts | None:
    """The hash of each file of a folder that had this hash, if that was noted here."""
    with suppress(OSError, ValueError):
        files: Parts = json.loads((FOLDERS / f"{folder}.json").read_text(encoding="utf-8"))
        if fingerprint(files) == folder:
            return files
    return None


def code_and_libraries(source: str, code: Code) -> Parts:
    """What Python ``source`` reaches in each module of ours; the versions of all libraries."""
    reached = code.from_source(source)
    modules = {code.path(module): hash_ for module, hash_ in reached.by_module().items()}
    versions = {library: version_of(library) for library in reached.libraries}
    return {_shown(path): hash_ for path, hash_ in modules.items() if path} | versions


def declared_files(run: Run, listed: Listed = _listed) -> list[Path]:
    """The files that a run declares to read, recorded measurements first.

    Raises RunError for a pattern that matches no file.
    """
    return [path for folder in recorded(run) for path in listed(folder)] + _declared(run)


def _declared(run: Run) -> list[Path]:
    """The files that the patterns of a run match; RunError for one that matches none."""
    paths, hidden = list[Path](), project.current().unseen(run)
    for pattern in reads(run):
        matches = sorted(path for path in {*ROOT.glob(pattern)} - hidden if path.is_file())
        if not matches:
            raise RunError(
                f"notebooks/{run.experiment.name}.py declares that it reads {pattern}, which "
                "matches no file; add the file or correct `reads` in the notebook's header."
            )
        paths += matches
    return paths


def recorded(run: Run) -> list[Path]:
    """The folders of the recorded measurements that a run reads."""
    return [_recorded(kind) for kind in run.experiment.measurements]


def _recorded(kind: str) -> Path:
    return project.current().recorded(kind)


def from_store(run: Run, listed: Listed = _listed) -> list[Path]:
    """What a run may read in the store, perhaps nothing."""
    return project.current().stored(run, listed)


def code_version(made_from: Parts) -> str:
    """Eight digits that change when the notebook or a definition that it reaches does."""
    return fingerprint({k: v for k, v in made_from.items() if k.endswith(".py")})[:8]


def inputs(run: Run) -> list[Path]:
    """The files that a run reads: its notebook, its modules, declared files, the store's files."""
    source = run.experiment.notebook.read_text(encoding="utf-8")
    modules = import_closure(source)
    return [run.experiment.notebook, *modules, *declared_files(run), *from_store(run)]


@cache
def _shown(path: Path) -> str:
    place = next(place for place in (ROOT, *PLACES) if place in path.parents)
    return path.relative_to(place).as_posix()
