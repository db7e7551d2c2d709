"""What the engine asks of a paper's companion, which answers in a module of its own.

The engine executes notebooks and lays out what they publish. What their subjects are, which files
decide their numbers beyond those that a header names, and what must be done before, is a matter of
the paper: a companion subclasses `Project` and names the object in its ``pyproject.toml``:

    [tool.companion]
    project = "package.module:OBJECT"

The defaults are those of a project whose notebooks read files alone.
"""

from __future__ import annotations

import pkgutil
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.base.roots import ROOT
from analysis.base.texts import CompanionError

if TYPE_CHECKING:
    from companion.engine.run import Experiment, Run

#: The files in a folder, as one who looks at many runs remembers them.
Listed = Callable[[Path], list[Path]]


class Project:
    """A companion, as the engine sees it: subclass it, and override what differs."""

    #: What a notebook may be executed for, each named as the parameter that carries the subject.
    scopes: tuple[str, ...] = ("subject",)
    #: The kinds of measurements that a header may name.
    kinds: tuple[str, ...] = ()
    #: Errors in a cell that say that there is nothing to show, and how to get it.
    nothing: tuple[type[Exception], ...] = ()
    #: Folders in which a killed writer may have left a part of a file.
    written: tuple[Path, ...] = ()
    #: The end of a run's page (MyST), with places for ``$experiment``, ``$subject``, ``$code`` and
    #: the ``$parameters``.
    rerun: Path = Path(__file__).with_name("rerun.md")
    #: What a run's notebook says to a reader who took it along (Markdown), if anything, with places
    #: for ``$clone``, how to get the repository, and ``$command``.
    elsewhere: Path | None = None
    #: What a reader types to execute a run again, with ``{experiment}`` and ``{subject}``.
    command: str = ""

    def editions(self, scope: str) -> Sequence[str]:
        """The editions of a notebook whose header names none."""
        return ("paper",)

    def subjects(self, experiment: Experiment) -> Sequence[str]:
        """The subjects of a notebook: by default one for each edition, called like it."""
        return experiment.editions

    def edition(self, subject: str) -> str:
        """The edition of a subject: its pages have no cells whose tags name others alone."""
        return subject

    def title(self, run: Run) -> str:
        """What goes in front of the title of a run's page, if anything."""
        return ""

    def author(self, subject: str) -> str:
        """Whom to cite for a subject's results, if not the book's authors."""
        return ""

    def reads(self, run: Run) -> Sequence[str]:
        """Patterns of files that a run reads beyond what its header says."""
        return ()

    def entries(self, run: Run, listed: Listed) -> Mapping[str, str]:
        """What a run reads of files that count by their entries, by name; they are `unseen`."""
        return {}

    def unseen(self, run: Run) -> set[Path]:
        """Files that a run may read and shows nothing of, so that they outdate none."""
        return set()

    def has_evidence(self, run: Run) -> bool:
        """Whether there is something that the run's page could show."""
        return True

    def why_nothing(self, run: Run) -> str:
        """A clause on why a run has nothing to show, and how to get it."""
        return ""

    def code(self, kind: str) -> Mapping[str, str]:
        """The code that decides one kind of measurements, by name."""
        return {}

    def recorded(self, kind: str) -> Path:
        """The folder of the recorded measurements of a kind."""
        return ROOT / "data" / "measurements" / kind

    def unsound(self, kinds: Collection[str]) -> list[str]:
        """A sentence on each recorded measurement of some kinds that cannot be used."""
        return []

    def stored(self, run: Run, listed: Listed) -> list[Path]:
        """The files outside the repository, or ignored by git, that a run may read."""
        return []

    def stores(self, run: Run) -> list[Path]:
        """The folders that a run may look into to find them."""
        return []

    def closing(self, run: Run) -> str:
        """What goes below a run's results on its page (MyST), if anything."""
        return ""

    def shelves(self) -> Mapping[str, str]:
        """Titles of the subjects that have a page of their own, with their runs below it.

        It is ``runs/SCOPE/SUBJECT``, of the first of the `scopes`.
        """
        return {}

    def shelf(self, subject: str, pages: Sequence[str]) -> str:
        """The text (MyST) of a subject's page; ``pages``: those of its runs."""
        links = "\n".join(f"- {{doc}}`/{page}`" for page in pages)
        return f"# {self.shelves()[subject]}\n\n{links}\n"

    def pages(self, listed: Sequence[str]) -> Mapping[str, str]:
        """Further pages (MyST) to be made below ``runs/``; ``listed``: those in the contents."""
        return {}

    def knowledge(self) -> str:
        """What changes with anything that decides which runs there are, and what they show.

        That is all but the runs themselves. "": nobody can tell without looking at each of them.
        """
        return ""

    def prepare(self, runs: Sequence[Run], jobs: int, only_theirs: bool) -> None:
        """Bring what runs read in the store up to date; ``only_theirs``: nothing else."""


@cache
def current() -> Project:
    """The project of this checkout; CompanionError if it names none."""
    path = ROOT / "pyproject.toml"
    try:
        named = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["companion"]["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise CompanionError(
            f"{path} names no project: add a table [tool.companion] with project = "
            '"package.module:OBJECT".'
        ) from None
    project = pkgutil.resolve_name(named)
    assert isinstance(project, Project), f"{named} is no companion.engine.project.Project"
    return project
