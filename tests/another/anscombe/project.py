"""What this companion answers to the engine: its subjects are data sets, or the paper."""

from __future__ import annotations

from collections.abc import Sequence

from anscombe.quartet import SETS
from results.experiments import Experiment, Run
from results.project import Project


class Quartet(Project):
    """A notebook is about one data set, or about the whole paper."""

    scopes = ("dataset", "paper")

    def subjects(self, experiment: Experiment) -> Sequence[str]:
        """The four sets, or the paper."""
        return SETS if experiment.scope == "dataset" else ("paper",)

    def title(self, run: Run) -> str:
        """Which set a page is about."""
        return f"Set {run.subject}" if run.experiment.scope == "dataset" else ""


PROJECT = Quartet()
