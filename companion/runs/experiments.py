"""Experiments and runs: one notebook, and one notebook executed for one subject.

The subject is a family, or an edition for notebooks that look at all families at once. What a run
is made from, and whether it is current, is a matter of `fingerprints`; executing is one of
`execute` and `engine`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import StrictBool, ValidationError

from analysis.common import (
    ROOT,
    CompanionError,
    Strict,
    first_reason,
    parse_yaml,
    suggestion,
    write_text,
)
from analysis.families.registry import Model, load_families, load_family
from analysis.features.store import default_folder
from companion.measurements.quantities import Experiment as Measured
from companion.measurements.records import live_path, recorded_path

NOTEBOOKS = ROOT / "notebooks"
OUTPUTS = ROOT / "book" / "runs"
#: What the data sets, quantities and looks are, which almost every page names.
NAMED = (
    "data/imagenet/sets.yaml",
    "data/imagenet/objectnet.csv",
    "data/looks.yaml",
    "data/quantities.yaml",
)
#: Stands for the checksum of a notebook while that is computed.
UNSIGNED = "0" * 64


class RunError(CompanionError):
    """A run that does not exist, cannot start, or failed; the message is for the reader."""


class Experiment(Strict):
    """One notebook: its name, scope, editions, and what it declares to read.

    `editions` are by default the paper's and, for a single family, the reader's and the pocket
    lab's. `measurements`: of which experiments it reads all that there are, recorded and live.
    `features`: whether it looks at the features in the store, by default where it reads
    measurements. Of the store it is what belongs to its family, or to all families of its edition.
    `reads` are further glob patterns from the repository's root, in addition to what every run
    reads. `readers`: whether an edition's page shows readers' families, too, else they are hidden
    from it. `evidence`: what a family must have some of to get a page, see `has_evidence`; where
    none is named every subject gets one.
    """

    name: str
    scope: Literal["family", "edition"]
    editions: tuple[str, ...] = ()
    measurements: tuple[Measured, ...] = ()
    reads: tuple[str, ...] = ()
    features: StrictBool = False
    readers: StrictBool = False
    evidence: tuple[str, ...] = ()

    @property
    def notebook(self) -> Path:
        """The percent-format source."""
        return NOTEBOOKS / f"{self.name}.py"

    @property
    def kinds(self) -> set[str]:
        """The `evidence` whatever the data: experiments, ``accuracies``, ``features``, paths."""
        return {kind.partition("--")[0] for kind in self.evidence}

    def shows(self, model: Model) -> bool:
        """Whether there is some of the `evidence` named in the header for a model.

        ``accuracies``: published ones; ``features``: some in the store; a path: a table of which
        the first column names models; ``EXPERIMENT`` or ``EXPERIMENT--DATA``: a measurement,
        recorded or live, of which only the file's name is looked at.
        """
        return any(_is_there(kind, model) for kind in self.evidence)


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
    def hides_readers(self) -> bool:
        """Whether readers' families cannot be seen by it, so that one more changes nothing."""
        return self.experiment.scope == "edition" and not self.experiment.readers

    @property
    def reads(self) -> tuple[str, ...]:
        """The declared patterns, and what every run reads: captions, family files, `NAMED`."""
        name = self.subject if self.experiment.scope == "family" else "*"
        captions = f"book/captions/{self.experiment.name}.yaml"
        written = [captions] * (ROOT / captions).is_file()
        return (*self.experiment.reads, *written, f"families/{name}.yaml", *NAMED)


def load_experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order of their names."""
    paths = sorted(NOTEBOOKS.glob("*.py"))
    return {path.stem: _described(path.stem, path.read_text(encoding="utf-8")) for path in paths}


def all_runs() -> list[Run]:
    """Every run that the book wants: those possible that there is some evidence for."""
    return [run for run in possible_runs() if has_evidence(run)]


def has_evidence(run: Run) -> bool:
    """Whether there is evidence that the run's page could show."""
    models = load_family(run.subject).models if run.experiment.evidence else ()
    return not run.experiment.evidence or any(map(run.experiment.shows, models))


def possible_runs() -> list[Run]:
    """Each experiment for each of its subjects, whether there is evidence or not."""
    experiments = load_experiments().values()
    return [Run(each, subject) for each in experiments for subject in subjects_of(each)]


def subjects_of(experiment: Experiment) -> Sequence[str]:
    """The subjects of an experiment."""
    if experiment.scope == "edition":
        return experiment.editions
    return [f.name for f in load_families().values() if f.edition in experiment.editions]


def find_run(experiment: str, subject: str) -> Run:
    """The run of that experiment and subject; RunError lists what there is otherwise."""
    experiments = load_experiments()
    if experiment not in experiments:
        near = suggestion(experiment, experiments)
        raise RunError(f"there is no experiment {experiment!r}: {near}.")
    subjects = subjects_of(experiments[experiment])
    if subject not in subjects:
        near = suggestion(subject, subjects)
        raise RunError(f"experiment {experiment} does not run for {subject!r}: {near}.")
    return Run(experiments[experiment], subject)


def of_checkpoints(chapter: str) -> Experiment:
    """The experiment of that name, if it runs for a reader's single family; else RunError."""
    every = load_experiments()
    usable = [e.name for e in every.values() if e.scope == "family" and "reader" in e.editions]
    if chapter not in usable:
        what = "does not run for a single checkpoint" if chapter in every else "is unknown"
        raise RunError(f"the chapter {chapter!r} {what}: {suggestion(chapter, usable)}.")
    return every[chapter]


def made(run: Run) -> dict[str, Any]:
    """What the executed notebook on disk says about itself; empty if damaged or edited by hand.

    ``made_from``: what from, part by part; ``evidence``: the kinds of evidence behind its results.
    """
    try:
        return _made(run.output, run.output.stat().st_mtime_ns)
    except OSError:
        return {}


@cache
def _made(path: Path, changed: int) -> dict[str, Any]:
    try:
        text = path.read_bytes()
        metadata = json.loads(b"{" + text[text.rindex(b'\n "metadata": {') :])["metadata"]
        about = dict(metadata["companion"])
        unsigned = text.replace(about["content"].encode(), UNSIGNED.encode())
        intact = hashlib.sha256(unsigned).hexdigest() == about["content"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return about if intact and isinstance(about.get("made_from"), dict) else {}


def write(path: Path, notebook: dict[str, Any], about: dict[str, Any]) -> None:
    """Write an executed notebook with what it says about itself and a checksum of the whole."""
    notebook["metadata"]["companion"] = about | {"content": UNSIGNED}
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(path, text.replace(UNSIGNED, hashlib.sha256(text.encode()).hexdigest()))


def cells(source: str) -> list[tuple[str, str]]:
    """Split a percent notebook into (what follows ``# %%``, text) of each cell; the header first.

    >>> cells("# ---\\n# %% [markdown]\\n# Text\\n# %%\\nx = 1\\n")
    [('', '# ---'), ('[markdown]', '# Text'), ('', 'x = 1')]
    """
    header, *rest = re.split(r"^# %%(.*)$", source, flags=re.M)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return [(mark.strip(), text.strip("\n")) for mark, text in [("", header), *pairs]]


def heading(experiment: Experiment) -> str:
    """The title of an experiment's notebook: its first heading."""
    texts = cells(experiment.notebook.read_text(encoding="utf-8"))
    first = next(text for mark, text in texts if mark.startswith("[markdown]"))
    return first.removeprefix("# # ").partition("\n")[0]


def header(source: str, name: str) -> dict[str, Any]:
    """The YAML header of a percent notebook, between the two `# ---` lines."""
    lines = cells(source)[0][1].splitlines()
    if lines[:1] != ["# ---"] or "# ---" not in lines[1:]:
        raise RunError(f"notebooks/{name} does not start with a jupytext header (`# ---`).")
    text = "\n".join(line.removeprefix("#")[1:] for line in lines[1 : lines.index("# ---", 1)])
    content = parse_yaml(text, f"the header of notebooks/{name}", RunError)
    return content if isinstance(content, dict) else {}


def _is_there(kind: str, model: Model) -> bool:
    """Whether a model has one kind of evidence, as `Experiment.shows` names them."""
    if kind == "accuracies":
        return bool(model.published)
    if kind == "features":
        return any((default_folder() / model.name).glob("*.json"))
    if "/" in kind:
        return f"\n{model.name}," in (ROOT / kind).read_text(encoding="utf-8")
    experiment, _, data = kind.partition("--")
    name, data = model.name, data or "*"
    places = (place(name, data, cast(Any, experiment)) for place in (recorded_path, live_path))
    return any(any(path.parent.glob(path.name)) for path in places)


@cache
def _described(name: str, source: str) -> Experiment:
    """Read the `companion` block of a notebook's header."""
    block = header(source, f"{name}.py").get("jupyter", {}).get("companion")
    where = f"the header of notebooks/{name}.py"
    if not isinstance(block, dict):
        raise RunError(f"{where} has no `companion:` block under `jupyter:`; see another notebook.")
    usual = ["paper"] if block.get("scope") == "edition" else ["paper", "reader", "pocket"]
    given = {"name": name, "editions": usual, "features": "measurements" in block} | block
    if given.get("measurements") == "all":
        given["measurements"] = get_args(Measured)
    try:
        return Experiment.model_validate(given)
    except ValidationError as error:
        raise RunError(
            f"{where}: {first_reason(error)}; its fields are scope (family or edition), editions, "
            "measurements (or all), features and readers (true or false), reads, evidence."
        ) from None
