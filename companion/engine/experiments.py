"""Which experiments and runs there are, and what each was made from.

What subjects there are is a matter of the `project`. What a run is made from, and whether it is
current, is a matter of `fingerprints`; executing is one of `execute` and `engine`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, create_model

from analysis.base.files import write_text
from analysis.base.roots import ROOT
from analysis.base.strict import first_reason, parse_yaml
from analysis.base.texts import CompanionError, suggestion
from companion.engine import project
from companion.engine.run import NOTEBOOKS, Experiment, Run

#: Begins what a person has still to fill in.
BLANK = "‹"
#: How figures look, in each run.
LOOK = "companion/engine/book.mplstyle"
#: Stands for the checksum of a notebook while that is computed.
UNSIGNED = "0" * 64


class RunError(CompanionError):
    """A run that does not exist, cannot start, or failed; the message is for the reader."""


def reads(run: Run) -> tuple[str, ...]:
    """The patterns a run declares, its captions and looks, and what the project adds."""
    optional = (f"book/captions/{run.experiment.name}.yaml", "data/looks.yaml", LOOK)
    there = [name for name in optional if (ROOT / name).is_file()]
    return (*run.experiment.reads, *there, *project.current().reads(run))


def load_experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order of their names; drafts are none yet."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in _notebooks()}
    return {name: _described(name, text) for name, text in sources.items() if BLANK not in text}


def drafts() -> list[Path]:
    """Notebooks in which blanks are left to fill in."""
    return [path for path in _notebooks() if BLANK in path.read_text(encoding="utf-8")]


def _notebooks() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.py"))


def all_runs() -> list[Run]:
    """Every run that the book wants: those possible that there is some evidence for."""
    return [run for run in possible_runs() if has_evidence(run)]


def has_evidence(run: Run) -> bool:
    """Whether there is evidence that the run's page could show."""
    return project.current().has_evidence(run)


def possible_runs() -> list[Run]:
    """Each experiment for each of its subjects, whether there is evidence or not."""
    experiments = load_experiments().values()
    return [Run(each, subject) for each in experiments for subject in subjects_of(each)]


def subjects_of(experiment: Experiment) -> Sequence[str]:
    """The subjects of an experiment."""
    return project.current().subjects(experiment)


def find_run(experiment: str, subject: str) -> Run:
    """The run of that experiment and subject; RunError lists what there is otherwise."""
    experiments = load_experiments()
    if experiment in {path.stem for path in drafts()}:
        raise RunError(f"notebooks/{experiment}.py has blanks, between ‹ and ›: fill them in.")
    if experiment not in experiments:
        near = suggestion(experiment, experiments)
        raise RunError(f"there is no experiment {experiment!r}: {near}.")
    subjects = subjects_of(experiments[experiment])
    if subject not in subjects:
        near = suggestion(subject, subjects)
        raise RunError(f"experiment {experiment} does not run for {subject!r}: {near}.")
    return Run(experiments[experiment], subject)


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


@cache
def _described(name: str, source: str) -> Experiment:
    """Read the `companion` block of a notebook's header."""
    block = header(source, f"{name}.py").get("jupyter", {}).get("companion")
    where = f"the header of notebooks/{name}.py"
    if not isinstance(block, dict):
        raise RunError(f"{where} has no `companion:` block under `jupyter:`; see another notebook.")
    ours = project.current()
    usual = ours.editions(str(block.get("scope")))
    given = {"name": name, "editions": usual, "features": "measurements" in block} | block
    if given.get("measurements") == "all":
        given["measurements"] = ours.kinds
    try:
        kind: Any = Literal.__getitem__(ours.kinds or ("none",))
        scope: Any = Literal.__getitem__(ours.scopes)
        fields: Any = {"scope": (scope, ...), "measurements": (tuple[kind, ...], ())}
        strict: Any = create_model("Header", __base__=Experiment, **fields)
        strict.model_validate(given)
        return Experiment.model_validate(given)
    except ValidationError as error:
        raise RunError(
            f"{where}: {first_reason(error)}; its fields are scope ({' or '.join(ours.scopes)}), "
            "editions, measurements (or all), features and readers (true or false), reads, "
            "evidence."
        ) from None


def false_sentences() -> list[str]:
    """What the book says of recorded or published numbers and does not hold of them."""
    return [
        f"{run}: the book says “{says}”, which does not hold of these numbers; correct the page, "
        "and the guard in its notebook, or the measurement."
        for run in all_runs()
        for says in made(run).get("false", [])
    ]
