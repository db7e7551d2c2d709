"""An experiment is one notebook; a run is that notebook executed for one subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, StrictBool

from analysis.base.roots import ROOT
from analysis.base.strict import Strict

NOTEBOOKS = ROOT / "notebooks"
OUTPUTS = ROOT / "book" / "runs"


def _pairs(given: Any) -> Any:
    """A mapping as pairs, which can be hashed."""
    return tuple(given.items()) if isinstance(given, Mapping) else given


class Experiment(Strict):
    """One notebook: its name, scope, editions, and what it declares to read.

    `scope` says what its subjects are, and is the parameter that carries one. `measurements`: of
    which kinds it reads all that there are, recorded and live. `reads` are further glob patterns
    from the repository's root, in addition to what every run reads. `refused` names for a parameter
    the function, ``module:name``, that is called with the subject and what was given before
    anything runs, and raises CompanionError for what cannot be. The rest is for the project to
    read: `features`, whether it looks at the features in the store, by default where it reads
    measurements; `readers`, whether an edition's page shows what readers added; `evidence`, what a
    subject must have some of to get a page.
    """

    name: str
    scope: str
    editions: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    refused: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = ()
    features: StrictBool = False
    readers: StrictBool = False
    evidence: tuple[str, ...] = ()

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
