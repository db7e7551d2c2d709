"""A run: one experiment's notebook for one subject, and the key that says if it is current.

The subject is a family, or an edition for notebooks that look at all families at once. A run
depends on its notebook, its family file, the files it declares to read, exactly the `analysis`
modules that it imports, directly or not, and the versions of the libraries that these import.
Each of them is one *part* of the key, by content; a run carries the parts it was made from, so
that anyone can ask why it is stale. Executing is not done here: see `execute` and `engine`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from analysis.code import import_closure, libraries_of, version_of
from analysis.common import ROOT
from analysis.families.registry import Model, load_families
from analysis.features.store import default_folder

FORMAT = "1"
"""Changes when `execute` writes runs differently: part of every key."""

NOTEBOOKS = ROOT / "notebooks"
OUTPUTS = ROOT / "book" / "runs"
STATE = ROOT / ".companion"

Scope = Literal["family", "edition"]
Parts = dict[str, str]


class RunError(Exception):
    """A run that does not exist, cannot start, or failed; the message is for the reader."""


@dataclass(frozen=True)
class Experiment:
    """One notebook: its name, scope, editions, and what it declares to read.

    `reads` are glob patterns from the repository's root; `{subject}` stands for the subject.
    `features`: whether it reads the features in the store, of its family or of all families of
    its edition.
    """

    name: str
    scope: Scope
    editions: tuple[str, ...]
    reads: tuple[str, ...]
    features: bool = False

    @property
    def notebook(self) -> Path:
        """The percent-format source."""
        return NOTEBOOKS / f"{self.name}.py"


@dataclass(frozen=True)
class Run:
    """One experiment for one subject."""

    experiment: Experiment
    subject: str

    def __str__(self) -> str:
        return f"{self.experiment.name}/{self.subject}"

    @property
    def output(self) -> Path:
        """Where the executed notebook lies for the book."""
        return OUTPUTS / self.experiment.name / f"{self.subject}.ipynb"

    @property
    def failure(self) -> Path:
        """Where the last failure is noted, if the last attempt failed."""
        return STATE / "failures" / f"{self.experiment.name}-{self.subject}.json"

    @property
    def log(self) -> Path:
        """Where the full log of a failed attempt lies."""
        return STATE / "logs" / f"{self.experiment.name}-{self.subject}.log"

    @property
    def reads(self) -> tuple[str, ...]:
        """The declared patterns, the family file included, with the subject filled in."""
        declared = [pattern.replace("{subject}", self.subject) for pattern in self.experiment.reads]
        if self.experiment.scope == "family":
            declared.append(f"families/{self.subject}.yaml")
        return tuple(dict.fromkeys(declared))

    @cached_property
    def key(self) -> Parts:
        """Part of the key → its content hash or version, as things are on disk now."""
        return key_parts(self)


def digest(parts: Parts) -> str:
    """One hash over all parts: what Snakemake compares."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def key_parts(run: Run) -> Parts:
    """The parts of a run's key.

    Raises RunError if a declared pattern matches no file.
    """
    source = run.experiment.notebook.read_text(encoding="utf-8")
    try:
        modules = import_closure(source)
    except SyntaxError as error:
        raise RunError(
            f"notebooks/{run.experiment.name}.py, or a module that it imports, is not valid "
            f"Python: {error.msg}, in the line {(error.text or '').strip()!r}."
        ) from None
    libraries = libraries_of([source, *(path.read_text(encoding="utf-8") for path in modules)])
    files = [run.experiment.notebook, *modules, *declared_files(run)]
    parts = {path.relative_to(ROOT).as_posix(): file_hash(path) for path in files}
    parts |= {f"features {p.parent.name}/{p.stem}": file_hash(p) for p in feature_sidecars(run)}
    parts |= {f"weights {p.name}": _hash_once(p, p.stat()) for p in feature_weights(run)}
    parts |= {name: version_of(name) for name in libraries}
    return parts | {"python": platform.python_version(), "run format": FORMAT}


def declared_files(run: Run) -> list[Path]:
    """The files that a run declares to read; each pattern but for measurements must match one."""
    found: list[Path] = []
    for pattern in run.reads:
        matches = sorted(path for path in ROOT.glob(pattern) if path.is_file())
        if not matches and not _may_be_empty(pattern):
            raise RunError(
                f"notebooks/{run.experiment.name}.py declares that it reads {pattern}, which "
                "matches no file; add the file or correct `reads` in the notebook's header."
            )
        found += matches
    return found


def _may_be_empty(pattern: str) -> bool:
    """Whether a pattern is for measurements of a known experiment: none may be recorded yet."""
    from companion.measurements.quantities import Experiment as Measured

    return pattern in {f"data/measurements/{name}/*.json" for name in get_args(Measured)}


def feature_sidecars(run: Run) -> list[Path]:
    """The sidecars of all features and heads in the store that a run may read, perhaps none.

    A sidecar holds the checksum of its features, so it stands for them in the key.
    """
    names = [model.name for model in _models_read(run)]
    return [path for name in names for path in sorted((default_folder() / name).glob("*.json"))]


def feature_weights(run: Run) -> list[Path]:
    """Weights that are files here, of the models whose features a run may read.

    Features made from other weights are not used, so a change of these changes the run.
    """
    paths = [ROOT / model.weights for model in _models_read(run) if model.weights]
    return [path for path in paths if path.is_file()]


def _models_read(run: Run) -> list[Model]:
    """The models whose features a run may read: of its family, or of its edition's families."""
    if not run.experiment.features:
        return []
    families = load_families()
    if run.experiment.scope == "family":
        wanted = [families[run.subject]] if run.subject in families else []
    else:
        editions = {run.subject, *(("reader",) if run.subject == "paper" else ())}
        wanted = [family for family in families.values() if family.edition in editions]
    return [model for family in wanted for model in family.models]


def load_experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order of their names."""
    return {path.stem: _experiment(path) for path in sorted(NOTEBOOKS.glob("*.py"))}


def all_runs() -> list[Run]:
    """Every run that the book wants: each experiment for each of its subjects."""
    families = load_families()
    return [
        Run(experiment, subject)
        for experiment in load_experiments().values()
        for subject in (
            experiment.editions
            if experiment.scope == "edition"
            else [f.name for f in families.values() if f.edition in experiment.editions]
        )
    ]


def find_run(experiment: str, subject: str) -> Run:
    """The run of that experiment and subject; RunError lists what there is otherwise."""
    runs = all_runs()
    subjects = [run.subject for run in runs if run.experiment.name == experiment]
    if not subjects:
        known = ", ".join(dict.fromkeys(run.experiment.name for run in runs))
        raise RunError(f"there is no experiment {experiment!r}; the experiments are {known}.")
    if subject not in subjects:
        raise RunError(
            f"experiment {experiment} does not run for {subject!r}; it runs for "
            f"{', '.join(subjects)}."
        )
    return next(r for r in runs if r.experiment.name == experiment and r.subject == subject)


def content_hash(notebook: dict[str, Any]) -> str:
    """Hash of an executed notebook without the note on its own hash: finds edits by hand."""
    companion = {k: v for k, v in notebook["metadata"]["companion"].items() if k != "content"}
    bare = notebook | {"metadata": notebook["metadata"] | {"companion": companion}}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Status:
    """Where a run stands, and why."""

    run: Run
    state: Literal["up to date", "stale", "missing", "failed"]
    why: str = ""


def status(run: Run) -> Status:
    """Compare what is on disk with the run's key; nothing is executed."""
    made_from = recorded_key(run)
    try:
        if made_from == run.key:
            return Status(run, "up to date")
    except RunError as error:  # there is no key: a declared file is missing, say
        return Status(run, "failed", str(error))
    failure = _read_json(run.failure)
    if failure and failure.get("key") == digest(run.key):
        return Status(run, "failed", str(failure["message"]))
    if made_from is None:
        why = "is damaged or was edited by hand" if run.output.exists() else "never executed"
        return Status(run, "stale" if run.output.exists() else "missing", why)
    return Status(run, "stale", _difference(made_from, run.key))


def executed(run: Run) -> dict[str, Any] | None:
    """The executed notebook on disk; None if it is absent, damaged or was edited by hand."""
    notebook = _read_json(run.output)
    try:
        companion = notebook["metadata"]["companion"] if notebook else {}
        intact = bool(companion) and companion["content"] == content_hash(notebook or {})
    except (KeyError, TypeError):
        return None
    return notebook if intact and isinstance(companion.get("key"), dict) else None


def recorded_key(run: Run) -> Parts | None:
    """The parts that the run on disk was made from; None if there is no sound one."""
    notebook = executed(run)
    return dict(notebook["metadata"]["companion"]["key"]) if notebook else None


def _difference(old: Parts, new: Parts) -> str:
    changed = [name for name in new if name in old and old[name] != new[name]]
    added = [name for name in new if name not in old]
    gone = [name for name in old if name not in new]
    named = [("changed", changed), ("new", added), ("gone", gone)]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in named if names)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def file_hash(path: Path) -> str:
    """Hash of a file's bytes, line ends normalised: git may check text out with others."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


@lru_cache(maxsize=256)
def _hash_once(path: Path, state: os.stat_result) -> str:
    """Hash of a large file, read again only when its size or time has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _experiment(path: Path) -> Experiment:
    """Parse the `companion` block of a notebook's header."""
    block = _header(path).get("jupyter", {}).get("companion")
    where = f"the header of notebooks/{path.name}"
    if not isinstance(block, dict):
        raise RunError(f"{where} has no `companion:` block under `jupyter:`; see another notebook.")
    unknown = sorted(set(block) - {"scope", "editions", "reads", "features"})
    if unknown:
        raise RunError(f"{where} has an unknown field {unknown[0]!r}; known: scope, editions, "
                       "reads, features.")  # fmt: skip
    if block.get("scope") not in ("family", "edition"):
        raise RunError(f"{where} needs a `scope`, which is family or edition.")
    usual = ["paper"] if block["scope"] == "edition" else ["paper", "reader"]
    editions, reads = block.get("editions", usual), block.get("reads", [])
    for name, value in (("editions", editions), ("reads", reads)):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise RunError(f"{where}: `{name}` must be a list of strings.")
    features = block.get("features", False)
    if not isinstance(features, bool):
        raise RunError(f"{where}: `features` must be true or false.")
    return Experiment(path.stem, block["scope"], tuple(editions), tuple(reads), features)


def _header(path: Path) -> dict[str, Any]:
    """The YAML header of a percent notebook, between the two `# ---` lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["# ---"] or "# ---" not in lines[1:]:
        raise RunError(f"notebooks/{path.name} does not start with a jupytext header (`# ---`).")
    end = lines.index("# ---", 1)
    try:
        header = yaml.safe_load("\n".join(line.removeprefix("#")[1:] for line in lines[1:end]))
    except yaml.YAMLError as error:
        raise RunError(f"the header of notebooks/{path.name} is not YAML: {error}.") from error
    return header if isinstance(header, dict) else {}
