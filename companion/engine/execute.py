"""Execute one notebook strictly, and write the result so that two executions compare equal.

papermill does the executing. What it lets pass is an error here: unknown or ill-typed
parameters, and files that the notebook reads without declaring them (they would be missing from
what the run says it was made from, and it would silently go stale). The cells run in this process,
which must be one of its own: see `processes`.
"""

from __future__ import annotations

import json
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import Field, TypeAdapter, ValidationError

from analysis.base.code import MEMORY, OURS, PLACES
from analysis.base.files import temporary_folder, write_text
from analysis.base.roots import ROOT
from companion.engine import experiments, fingerprints, project
from companion.engine.experiments import RunError
from companion.engine.fingerprints import Parts
from companion.engine.jobs import log_of
from companion.engine.run import Run

Parameter = str | int | float | bool
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
ENGINE = "in this process"
#: No number that a notebook takes is larger, in size. Counts are positive, seeds may be 0.
LARGEST = 1_000_000
TYPES: dict[str, type] = {"str": str, "bool": bool, "int": int, "float": float}


def check_parameters(run: Run, given: Mapping[str, str]) -> dict[str, Parameter]:
    """Values of the parameters that were `given` as text, converted to the notebook's types.

    Raises RunError for an unknown or ill-typed one, listing those that exist, and what the check
    raises that the notebook's header names for a parameter.
    """
    subject, parameters = run.experiment.scope, _parameters(run) if given else {}
    parameters.pop(subject, None)  # which the command's own argument sets
    listed = " Its parameters:" + "".join(
        f"\n  {name}: {about['inferred_type_name']} = {about['default']}  {about['help']}"
        for name, about in parameters.items()
    )
    values: dict[str, Parameter] = {subject: run.subject}
    checks = dict(run.experiment.refused)
    for name, text in given.items():
        if name not in parameters:
            raise RunError(f"notebook {run.experiment.name} has no parameter {name!r}.{listed}")
        kind, choices = parameters[name]["inferred_type_name"], _choices(parameters[name]["help"])
        if choices and text not in choices:
            raise RunError(f"parameter {name} must be one of {', '.join(choices)}, got {text!r}.")
        # An integer is a count, at least 1, unless its default is 0, as a seed's is.
        least = {"int": int(parameters[name]["default"] != "0"), "float": -LARGEST}.get(kind)
        wanted: Any = TYPES[kind]
        if least is not None:
            least, most = _ends(parameters[name]["help"]) or (least, LARGEST)
            wanted = Annotated[wanted, Field(ge=least, le=most)]
        try:
            values[name] = TypeAdapter(wanted).validate_strings(text)
        except ValidationError:
            ends = "" if least is None else f" from {least:,} to {most:,}"
            raise RunError(
                f"parameter {name} must be of type {kind}{ends}, got {text!r}.{listed}"
            ) from None
        if name in checks:
            pkgutil.resolve_name(checks[name])(run.subject, values[name])
    return values


def _ends(help_: str) -> tuple[int, int] | None:
    """Between which numbers a parameter is, where the comment on it ends so.

    >>> _ends("share of directions: from 0 to 1")
    (0, 1)
    """
    ends = re.search(r": from (\d+) to (\d+)$", help_)
    return (int(ends[1]), int(ends[2])) if ends else None


def _choices(help_: str) -> list[str]:
    """What a parameter can be, where the comment on it ends so.

    >>> _choices("the colour: one of red, dark green")
    ['red', 'dark green']
    """
    return help_.partition(": one of ")[2].split(", ") if ": one of " in help_ else []


def _parameters(run: Run) -> dict[str, Any]:
    """The notebook's parameters, as papermill finds them."""
    import papermill

    return dict(papermill.inspect_notebook(_as_ipynb(run.experiment.notebook)))


def execute(
    experiment: str, subject: str, parameters: dict[str, Parameter], output: str, made_from: Parts
) -> list[str]:
    """Execute a run in this process and write the notebook to `output`, or leave what was there.

    `parameters` come from `check_parameters`, `made_from` from `fingerprints.parts`. Raises
    RunError if a cell fails or an undeclared file is read; the full log is then where the message
    says. Where a recorded measurement is broken, or nothing is measured, a run for the book that
    fails has no results: returns why, a sentence for each such file.
    """
    run = experiments.find_run(experiment, subject)
    reads = Reads()
    notebook, unsound = executed(run, parameters, reads)
    labels = [note["label"] for note in _notes(notebook) if "label" in note]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise RunError(
            f"notebook {experiment} gives two results the name {twice[0]!r}: rename one of them."
        )
    given = {ROOT / str(value) for value in parameters.values()}
    unseen = project.current().unseen(run)  # opened, and seen by none
    _check_reads(run, reads, made_from, given | unseen)
    about: dict[str, Any] = {"experiment": experiment, "subject": subject}
    about["made_from"] = fingerprints.folded(made_from)
    about |= _evidence(notebook)
    lacks = {"lacks": unsound} if unsound else {}
    experiments.write(Path(output), _canonical(run, notebook), about | lacks)
    return unsound


def _notes(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """What each output of an executed notebook says of itself."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [output.get("metadata", {}).get("companion", {}) for output in outputs]


def _evidence(notebook: dict[str, Any]) -> dict[str, list[str]]:
    """The kinds of evidence that an executed notebook's figures and tables rest on.

    Also what the book says of recorded or published numbers and does not hold of them, if anything.
    """
    notes = _notes(notebook)
    named = {kind.strip() for note in notes for kind in note.get("evidence", "").split(",")}
    not_so = [note for note in notes if note.get("kind") == "not-so"]
    false = [note["says"] for note in not_so if "live" not in note["evidence"]]
    kinds = [kind for kind in ("published", "recorded", "live") if kind in named]
    return {"evidence": kinds} | ({"false": false} if false else {})


def _as_ipynb(source: Path) -> Any:
    """The percent source as a notebook."""
    import jupytext

    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = KERNELSPEC
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


class Reads(set[tuple[str, str]]):
    """The files of the repository that are opened, and the folders listed, while it is `on`."""

    def __init__(self) -> None:
        super().__init__()
        self.on = False
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or event not in ("open", "os.listdir", "os.scandir") or not arguments:
            return
        if isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - as Python opens it
            if path.startswith(f"{ROOT}{os.sep}") and not path.startswith(sys.prefix + os.sep):
                self.add((event, path))


def in_this_process(notebook: Path, parameters: Mapping[str, Parameter], reads: Any) -> Any:
    """A percent notebook executed with papermill, its cells in this process.

    ``reads.on`` says meanwhile whether a cell runs. Raises `CellError` if one fails.
    """
    import papermill
    from papermill.engines import papermill_engines

    from companion.engine.cell_engine import InThisProcess

    papermill_engines.register(ENGINE, InThisProcess)
    with temporary_folder() as folder:
        os.environ["IPYTHONDIR"] = str(folder / "settings")  # nobody's reach the notebook
        (empty := folder / "empty").mkdir()  # a reader may open it in any folder
        return papermill.execute_notebook(
            _as_ipynb(notebook),
            None,
            dict(parameters),
            engine_name=ENGINE,
            cwd=str(empty),
            progress_bar=False,
            reads=reads,
        )


def executed(
    run: Run, parameters: Mapping[str, Parameter], reads: Reads
) -> tuple[dict[str, Any], list[str]]:
    """Execute with papermill, the cells in this process; RunError, with a log, if one fails.

    Unless a recorded measurement is broken, or nothing is measured, and no parameter is set: then
    the notebook without any results, and a sentence for each such file.
    """
    import nbformat

    from companion.engine.cell_engine import CellError

    source, unsound = run.experiment.notebook, list[str]()
    try:
        notebook = in_this_process(source, parameters, reads)
    except CellError as cell:
        error, what = cell.error, f"{type(cell.error).__name__}: {cell.error}"
        unsound = project.current().unsound(run.experiment.measurements)
        if isinstance(error, project.current().nothing):
            unsound = [str(error)]
        if not unsound or len(parameters) > 1:
            _fail(run, str(cell), what, traceback.format_exception(error))
        reads.clear()  # the traceback read sources
        notebook = _as_ipynb(source)
        write_text(log_of(str(run)), "\n".join([f"{run}: no results", *unsound, "", what, ""]))
    except Exception as error:
        _fail(run, "the kernel", f"{type(error).__name__}: {error}", [traceback.format_exc()])
    return dict(json.loads(nbformat.writes(notebook, split_lines=False))), unsound


def _fail(run: Run, where: str, what: str, details: list[str]) -> NoReturn:
    """Write the log and raise an error that points to it.

    A measurement that cannot be read is left out; where a page is about just that one, the error
    does not say so.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(details))
    log = log_of(str(run))
    write_text(log, f"{run}: {where} failed\n{what}\n\n{text}\n")
    unsound = project.current().unsound(run.experiment.measurements)
    why = f"; left out, perhaps the reason: {unsound[0]}" if unsound else ""
    raise RunError(
        f"notebook {run.experiment.name} failed for {run.experiment.scope} {run.subject} in "
        f"{where}: {(what.splitlines() or [''])[0]} (full log: {log.relative_to(ROOT)}){why}"
    )


def _check_reads(run: Run, reads: Reads, made_from: Parts, given: set[Path]) -> None:
    """Every file of the repository that was read must be part of what the run is made from.

    Or be `given` as a parameter: a run by hand is no part of the book, and is never current.
    """
    parts, stored = {ROOT / name for name in made_from}, fingerprints.from_store(run)
    declared = {*given, *parts, *stored, *(path.with_suffix(".safetensors") for path in stored)}
    packages = {place / room for place in PLACES for room in OURS}
    listed = {*project.current().stores(run), *fingerprints.recorded(run)}
    listed |= {Path(place or ROOT) for place in sys.path}  # an import lists those that have changed
    patterns = [pattern for pattern in experiments.reads(run) if set(pattern) & set("*?[")]
    listed |= {folder for p in patterns for folder in ROOT.glob(p.rpartition("/")[0])}
    for event, name in sorted(reads):
        path = Path(name)
        if path in declared or (event != "open" and path in listed):
            continue
        of_python = (
            "__pycache__" in path.parts or ".egg-info" in name or MEMORY in (path, *path.parents)
        )
        if not packages.isdisjoint((path, *path.parents)):  # code counts by what is reached of it
            of_python |= event != "open" or path.suffix == ".py"
        if of_python or not path.exists():
            continue
        _fail(
            run,
            "its reads",
            f"it reads {path.relative_to(ROOT).as_posix()} without declaring it; "
            "add it to `reads` in the notebook's header, so that a change to it re-runs this "
            "notebook",
            [f"{event} {name}"],
        )


def _canonical(run: Run, notebook: dict[str, Any]) -> dict[str, Any]:
    """Remove whatever differs between equal executions; add what the project says at the end."""
    if closing := project.current().closing(run):
        notebook["cells"].append({"cell_type": "markdown", "metadata": {}, "source": closing})
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
        if "outputs" in cell:
            cell["outputs"] = json.loads(_clean(json.dumps(cell["outputs"], ensure_ascii=False)))
    if title := project.current().title(run):  # goes in front of the notebook's own
        first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
        first["source"] = re.sub(
            r"^# (\w)", lambda m: f"# {title}: {m[1].lower()}", first["source"]
        )
    notebook["metadata"] = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    return notebook


def _clean(outputs: str) -> str:
    """Outputs, as JSON, without this machine's paths and without memory addresses."""
    text = outputs.replace(str(ROOT) + os.sep, "").replace(sys.prefix, "<environment>")
    return re.sub(r"\bat 0x[0-9a-f]{6,}", "at 0x…", text)
