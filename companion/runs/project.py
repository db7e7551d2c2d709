"""What this companion answers to the engine: its subjects are families, or editions of them.

A run reads its family's file, or those of all families, and of the store what belongs to these.
Before runs, the pocket lab's features and live measurements are brought up to date; with nothing to
do, what reads images is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

from analysis.base.code import OURS, PLACES, installed
from analysis.base.files import fingerprint, looks, sha256_of, write_text
from analysis.base.quoting import as_markdown
from analysis.base.reach import Code
from analysis.base.roots import ROOT
from analysis.base.texts import suggestion
from analysis.families.registry import (
    BOOK,
    FAMILIES,
    Family,
    Model,
    load_families,
    load_family,
)
from analysis.features.store import default_folder, local_weights
from companion.engine import downloads
from companion.engine.experiments import RunError, load_experiments
from companion.engine.fingerprints import code_and_libraries
from companion.engine.jobs import STATE, alone, remembered
from companion.engine.project import Listed, Project
from companion.engine.run import Experiment, Run
from companion.measurements import records
from companion.measurements.measurement import NothingMeasuredError
from companion.measurements.quantities import Measurable
from companion.runs import entries, status

#: What ObjectNet's classes are in ImageNet's, which almost every page opens.
CLASSES = "data/imagenet/objectnet.csv"
#: What decides which features and live measurements there should be, apart from the store.
STORE_CODE = "from companion.runs import grid_jobs\ngrid_jobs"
#: The folders that decide what the companion knows, apart from the store and its code.
KNOWLEDGE = ("data", "course", "notebooks", "book/captions", "pyproject.toml")
STORE_DATA = ("emoji", "imagenet", "pocket", "measurements")


class Companion(Project):
    """The companion to *Interpreting CLIP*."""

    scopes = ("family", "edition")
    kinds = get_args(Measurable)
    nothing = (NothingMeasuredError,)
    written = (default_folder(), ROOT / "data", ROOT / "families")
    rerun = Path(__file__).with_name("rerun.md")
    elsewhere = Path(__file__).with_name("elsewhere.md")
    command = "companion run {experiment} {subject}"

    def editions(self, scope: str) -> Sequence[str]:
        """The paper's and, for a single family, the reader's and the pocket lab's."""
        return ["paper"] if scope == "edition" else ["paper", "reader", "pocket"]

    def subjects(self, experiment: Experiment) -> Sequence[str]:
        """Editions, or the families of some."""
        if experiment.scope == "edition":
            return experiment.editions
        return [f.name for f in load_families().values() if f.edition in experiment.editions]

    def edition(self, subject: str) -> str:
        """A family's, or what an edition is called."""
        known = (FAMILIES / f"{subject}.yaml").is_file() or (BOOK / f"{subject}.yaml").is_file()
        return load_family(subject).edition if known else subject

    def title(self, run: Run) -> str:
        """The family's, if it is one family's page."""
        return load_family(run.subject).title if run.experiment.scope == "family" else ""

    def author(self, subject: str) -> str:
        """A blank for whoever added the family: she measured it, this project is the software."""
        return downloads.BLANK if self.edition(subject) == "reader" else ""

    def reads(self, run: Run) -> Sequence[str]:
        """Its family's file, or all of them, and `CLASSES`."""
        name = run.subject if run.experiment.scope == "family" else "*"
        return (f"families/{name}.yaml", CLASSES)

    def entries(self, run: Run, listed: Listed) -> Mapping[str, str]:
        """Those that it reads of the tables of quantities and data sets."""
        recorded = [
            path for kind in run.experiment.measurements for path in listed(self.recorded(kind))
        ]
        data = set(map(_data_of, recorded))
        data |= {
            path.stem.rpartition("--")[2].partition(".")[0] for path in self.stored(run, listed)
        }
        return entries.of_run(run, data)

    def unseen(self, run: Run) -> set[Path]:
        """Tables whose `entries` count, and families that readers added, for others' pages.

        The notebook of an edition's page leaves these out of what it loads (`load_families`), and a
        test says so.
        """
        hidden = load_families("reader") if _hides_readers(run) else ()
        tables = {ROOT / name for name in entries.FILES if name not in run.experiment.reads}
        return tables | {FAMILIES / f"{name}.yaml" for name in hidden}

    def has_evidence(self, run: Run) -> bool:
        """Whether a model of the family has some of the evidence that the header names."""
        models = load_family(run.subject).models if run.experiment.evidence else ()
        shown = (status.shows(run.experiment, model) for model in models)
        return not run.experiment.evidence or any(shown)

    def why_nothing(self, run: Run) -> str:
        """What the family's models lack, and the commands that bring it."""
        return status.why_nothing(run)

    def code(self, kind: str) -> Mapping[str, str]:
        """The version of the experiment that takes them."""
        return records.version_parts(_kind(kind))

    def recorded(self, kind: str) -> Path:
        """The folder of the recorded measurements of an experiment."""
        return records.FOLDER / kind

    def unsound(self, kinds: Collection[str]) -> list[str]:
        """A sentence on each recorded measurement that is broken, or gone."""
        return records.unsound(map(_kind, kinds))

    def stored(self, run: Run, listed: Listed) -> list[Path]:
        """What a run may read in the store for its family, or its edition's families.

        These are all live measurements and, where the run reads features and heads, their sidecars,
        which hold checksums, and local files of weights: features made from others are not used.
        """
        models, wanted = _models(run), run.experiment.measurements
        folders = [default_folder() / model.name for model in models]
        live = [path for folder in folders for path in listed(folder / "measurements")]
        read = [path for path in live if path.name.partition("--")[0] in wanted]
        if run.experiment.features:
            read += [path for folder in folders for path in listed(folder)]
            read += [path for path in map(local_weights, models) if path and path.is_file()]
        return read

    def stores(self, run: Run) -> list[Path]:
        """The folders that a run may look into to find them."""
        if not run.experiment.features and not run.experiment.measurements:
            return []
        folders = [default_folder() / model.name for model in _models(run)]
        return [default_folder(), *folders, *(folder / "measurements" for folder in folders)]

    def closing(self, run: Run) -> str:
        """A box on its recorded measurements of an earlier version."""
        return status.older_code([*map(_kind, run.experiment.measurements)], families_read(run))

    def shelves(self) -> Mapping[str, str]:
        """All families."""
        return {name: family.title for name, family in load_families().items()}

    def shelf(self, subject: str, pages: Sequence[str]) -> str:
        """The family at a glance."""
        title, lines = as_markdown(load_family(subject).title), "\n".join(pages)
        return f"# {title} at a glance\n\n```{{glance}} {subject}\n{lines}\n```\n"

    def pages(self, listed: Sequence[str]) -> Mapping[str, str]:
        """What chapters lack, and the table of all runs."""

        def make() -> dict[str, str]:
            return {"not_measured": status.not_measured(), "status": status.table(listed)}

        runs = looks(ROOT / "book" / "runs", ending=".ipynb")
        return remembered("pages", [self.knowledge(), runs, [*listed]], make)

    def knowledge(self) -> str:
        """Time and size of families, data, code, captions and what is in the store; libraries."""
        weights = map(local_weights, _models_of(load_families().values()))
        folders = {default_folder(), FAMILIES, BOOK, *(ROOT / name for name in KNOWLEDGE)}
        code = [place / name for place in PLACES for name in OURS]
        files = looks(*folders, *code, *filter(None, weights))
        given = sorted(pair for pair in os.environ.items() if pair[0].startswith("COMPANION_"))
        return fingerprint([files, given, sys.version, installed()])

    def prepare(self, runs: Sequence[Run], jobs: int, only_theirs: bool) -> None:
        """Bring the pocket lab's features up to date, and live measurements of all features.

        That nothing is to be done is remembered by the content of everything it follows from,
        because finding it out again takes seconds. Raises RunError, after all others have finished,
        if a job failed.
        """
        reading = [run for run in runs if self.stores(run)]
        families = {f.name: f for run in reading for f in families_read(run)}
        named = {_kind(name) for run in reading for name in run.experiment.measurements}
        measured = named if only_theirs else None
        if not families:
            return
        state = state_of_store(families)
        if any(_mark(state, some).exists() for some in (None, measured)):
            return
        from companion.runs import grid_jobs

        pocket = [f.name for f in families.values() if f.edition == "pocket"]
        with alone("what measures features in the store"):
            grid_jobs.refresh_pocket_lab(pocket, jobs)
            grid_jobs.measure_live(families.values(), jobs, measured)
            write_text(_mark(state_of_store(families), measured), "")


def families_read(run: Run) -> list[Family]:
    """The families that a run looks at: its own, or its edition's."""
    if run.experiment.scope == "family":
        return [load_family(run.subject)]
    editions = {run.subject, *(() if _hides_readers(run) else ("reader",))}
    return [family for family in load_families().values() if family.edition in editions]


def of_checkpoints(chapter: str) -> Experiment:
    """The experiment of that name, if it runs for a reader's single family; else RunError."""
    every = load_experiments()
    usable = [e.name for e in every.values() if e.scope == "family" and "reader" in e.editions]
    if chapter not in usable:
        what = "does not run for a single checkpoint" if chapter in every else "is unknown"
        raise RunError(f"the chapter {chapter!r} {what}: {suggestion(chapter, usable)}.")
    return every[chapter]


def _hides_readers(run: Run) -> bool:
    return run.experiment.scope == "edition" and not run.experiment.readers


@cache  # for each family's runs of the measurements of all families
def _data_of(recorded: Path) -> str:
    """The data set of a recorded measurement, by its file's name."""
    return recorded.stem.partition("--")[2]


def _kind(name: str) -> Measurable:
    """A kind of measurements that a header names, which was checked."""
    kind: Measurable = name  # type: ignore[assignment]
    return kind


def _models(run: Run) -> list[Model]:
    return _models_of(families_read(run))


def _models_of(families: Iterable[Family]) -> list[Model]:
    return [model for family in families for model in family.models]


def _mark(state: str, measured: Iterable[str] | None) -> Path:
    """The file that says that a store of this state has what is ``measured``, all if None."""
    part = "" if measured is None else f"-{fingerprint(sorted(measured))}"
    return STATE / "store-up-to-date" / (state + part)


def state_of_store(families: Iterable[str]) -> str:
    """What decides which features and live measurements of families there should be, and are."""
    parts = code_and_libraries(STORE_CODE, Code())
    folders = [default_folder(), ROOT / "families", *(ROOT / "data" / name for name in STORE_DATA)]
    every = [path for folder in folders for path in folder.rglob("*.*") if path.is_file()]
    files = [path for path in every if path.parent.name != "__pycache__"]
    features = {*default_folder().rglob("*.safetensors")}  # their sidecars have the checksums
    content = {path for path in {*files} - features if path.suffix not in (".lock", ".part")}
    parts |= {str(path): sha256_of(path) for path in content}
    kept = sorted(map(str, features))
    return fingerprint([parts, kept, sorted(families), os.environ.get("COMPANION_DATA")])


PROJECT = Companion()
