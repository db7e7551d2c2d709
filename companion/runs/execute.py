"""Execute one notebook strictly, and write the result so that two executions compare equal.

papermill does the executing. What it lets pass is an error here: unknown or ill-typed
parameters, and files that the notebook reads without declaring them (they would be missing from
the run's key, and the run would silently go stale).
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml

from analysis.common import ROOT
from analysis.families.registry import load_family
from analysis.features.store import default_folder
from companion.runs.experiments import (
    Run,
    RunError,
    content_hash,
    declared_files,
    digest,
    feature_sidecars,
    feature_weights,
    import_closure,
)

Parameter = str | int | float | bool
LAUNCH = ("-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}

WATCH_READS = '''
"""Note every file of the repository that this kernel opens or lists, for `companion.runs.execute`."""
def _watch(log, root, skip):
    import os, sys
    sink = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def hook(event, arguments):
        if event not in ("open", "os.listdir", "os.scandir") or not arguments:
            return
        if not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(root + os.sep) and not path.startswith(skip + os.sep):
            os.write(sink, (event + "\\t" + path + "\\n").encode())
    sys.addaudithook(hook)
'''


def notebook_parameters(run: Run) -> dict[str, dict[str, Any]]:
    """Name → {type, default, help} of the notebook's parameters, as papermill infers them."""
    import papermill

    with tempfile.TemporaryDirectory() as folder:
        found = papermill.inspect_notebook(_as_ipynb(run, Path(folder) / "source.ipynb"))
    return {
        name: {
            "type": parameter["inferred_type_name"],
            "default": parameter["default"],
            "help": parameter["help"],
        }
        for name, parameter in found.items()
    }


def check_parameters(run: Run, given: Mapping[str, str]) -> dict[str, Parameter]:
    """Values of the parameters that were `given` as text, converted to the notebook's types.

    Raises RunError for an unknown or ill-typed one, listing those that exist.
    """
    known = notebook_parameters(run)
    subject = run.experiment.scope
    values: dict[str, Parameter] = {subject: run.subject}
    for name, text in given.items():
        if name == subject:
            raise RunError(
                f"{name!r} is set by the command's own argument; run {run.experiment.name} for "
                f"another {name} instead: companion run {run.experiment.name} {text}."
            )
        if name not in known:
            raise RunError(
                f"notebook {run.experiment.name} has no parameter {name!r}.{_list(known)}"
            )
        values[name] = _convert(name, text, known)
    return values


def execute(run: Run, parameters: Mapping[str, Parameter], output: Path) -> None:
    """Execute the run and write the finished notebook to `output`, or leave `output` as it was.

    `parameters` come from `check_parameters`. Raises RunError if a cell fails or an undeclared
    file is read; the full log is then at `run.log`.
    """
    import nbformat

    with tempfile.TemporaryDirectory(prefix="companion-") as name:
        folder = Path(name)
        source = _as_ipynb(run, folder / "source.ipynb")
        with _jupyter_home(folder) as reads:
            _papermill(run, source, folder / "executed.ipynb", parameters)
        _check_reads(run, reads)
        notebook = nbformat.read(folder / "executed.ipynb", as_version=4)
    content = _canonical(run, json.loads(nbformat.writes(notebook)))
    _write(output, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def execute_for_book(run: Run) -> bool:
    """Execute with default parameters into the book; note a failure instead of raising it."""
    run.failure.unlink(missing_ok=True)
    run.log.unlink(missing_ok=True)
    try:
        execute(run, check_parameters(run, {}), run.output)
    except Exception as error:
        if not isinstance(error, RunError):
            _write(run.log, traceback.format_exc())
        failure = {"key": digest(run.key), "message": str(error)}
        _write(run.failure, json.dumps(failure, indent=1))
        return False
    return True


def _list(known: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"\n  {n}: {p['type']} = {p['default']}  {p['help']}" for n, p in known.items()]
    return " Its parameters:" + "".join(lines)


def _convert(name: str, text: str, known: Mapping[str, Mapping[str, Any]]) -> Parameter:
    wanted = TYPES.get(known[name]["type"])
    if wanted is None:
        raise RunError(f"parameter {name} cannot be set from the command line.{_list(known)}")
    if wanted is str:
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is float and isinstance(value, str):  # YAML reads 1e-3 as text
        value = _number_or_text(value)
    if type(value) is not wanted:
        raise RunError(
            f"parameter {name} must be of type {known[name]['type']}, got {text!r}.{_list(known)}"
        )
    return wanted(value)  # type: ignore[no-any-return]


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _as_ipynb(run: Run, path: Path) -> str:
    """Convert the percent source; papermill reads .ipynb only."""
    import jupytext

    notebook = jupytext.read(run.experiment.notebook)
    notebook.metadata["kernelspec"] = KERNELSPEC
    notebook.metadata["language_info"] = {"name": "python"}
    jupytext.write(notebook, path)
    return str(path)


@contextmanager
def _jupyter_home(folder: Path) -> Iterator[Path]:
    """A kernel of this Python that nobody's settings reach and whose reads are noted in a file."""
    reads, startup = folder / "reads", folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    call = f"_watch({str(reads)!r}, {str(ROOT)!r}, {sys.prefix!r})\ndel _watch\n"
    (startup / "00-watch-reads.py").write_text(WATCH_READS + call, encoding="utf-8")
    kernel = folder / "kernels" / "companion"
    kernel.mkdir(parents=True)
    specification = {
        "argv": [sys.executable, *LAUNCH],
        "display_name": "Companion",
        "language": "python",
        "env": {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython"),
                "MPLBACKEND": "agg", "PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
    }  # fmt: skip
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    (folder / "runtime").mkdir()
    changed = {"JUPYTER_PATH": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield reads
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _papermill(run: Run, source: str, output: Path, parameters: Mapping[str, Parameter]) -> None:
    """Execute with papermill; a kernel that does not even start is started again once."""
    from papermill.exceptions import PapermillExecutionError

    try:
        for attempt in (1, 2):
            try:
                _execute_once(source, output, parameters)
                return
            except RuntimeError as error:  # nothing was executed: two kernels took one port, say
                if attempt == 2 or "before replying" not in str(error):
                    raise
    except PapermillExecutionError as error:
        _fail(run, f"cell {error.exec_count}", f"{error.ename}: {error.evalue}", error.traceback)
    except Exception as error:
        _fail(run, "the kernel", f"{type(error).__name__}: {error}", [str(error)])


def _execute_once(source: str, output: Path, parameters: Mapping[str, Parameter]) -> None:
    import papermill
    from traitlets.config import Config

    # Sockets in a folder of its own; TCP ports could be taken by another kernel meanwhile.
    socket = f"{os.environ['JUPYTER_RUNTIME_DIR']}/kernel"
    in_folder = {"transport": "ipc", "ip": socket}
    config = Config({"KernelManager": in_folder} if os.name == "posix" and len(socket) < 80 else {})
    papermill.execute_notebook(
        source, str(output), dict(parameters), kernel_name="companion", cwd=str(ROOT),
        progress_bar=False, log_output=False, config=config,
    )  # fmt: skip


def _fail(run: Run, where: str, what: str, details: list[str]) -> NoReturn:
    """Write the log and raise the sentence that points to it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(details))
    _write(run.log, f"{run}: {where} failed\n{what}\n\n{text}\n")
    raise RunError(
        f"notebook {run.experiment.name} failed for {run.experiment.scope} {run.subject} in "
        f"{where}: {what.splitlines()[0]} (full log: {run.log.relative_to(ROOT)})"
    )


def _check_reads(run: Run, log: Path) -> None:
    """Every file of the repository that was read must be part of the run's key."""
    declared = {*declared_files(run), run.experiment.notebook}
    modules = import_closure(run.experiment.notebook.read_text(encoding="utf-8"))
    declared |= set(modules)
    listed = {(ROOT / pattern).parent for pattern in run.reads if set(pattern) & set("*?[")}
    listed |= {ROOT, *(path.parent for path in modules)}  # as an import does
    if run.experiment.features:
        sidecars = feature_sidecars(run)
        declared |= {*sidecars, *(path.with_suffix(".safetensors") for path in sidecars)}
        declared |= set(feature_weights(run))
        listed |= {default_folder(), *(path.parent for path in sidecars)}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        event, _, name = line.partition("\t")
        path = _source_of(Path(name))
        if path in declared or (event != "open" and path in listed):
            continue
        of_python = "__pycache__" in path.parts or ".egg-info" in name
        if of_python or not path.exists():
            continue
        _fail(
            run, "its reads", f"it reads {path.relative_to(ROOT).as_posix()} without declaring it; "
            "add it to `reads` in the notebook's header, so that a change to it re-runs this "
            "notebook", [line],
        )  # fmt: skip


def _source_of(path: Path) -> Path:
    """The .py file behind a cached .pyc, any other path as it is."""
    if path.suffix == ".pyc" and path.parent.name == "__pycache__":
        return path.parent.parent / f"{path.name.split('.')[0]}.py"
    return path


def _canonical(run: Run, notebook: dict[str, Any]) -> dict[str, Any]:
    """Drop what differs between equal executions, and note what the run was made from."""
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
        if "outputs" in cell:
            cell["outputs"] = [_clean(o) for o in cell["outputs"] if o.get("name") != "stderr"]
    if run.experiment.scope == "family":
        _name_the_family(notebook["cells"], load_family(run.subject).title)
    notebook["metadata"] = {
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python"},
        "companion": {"experiment": run.experiment.name, "subject": run.subject, "key": run.key},
    }
    notebook["metadata"]["companion"]["content"] = content_hash(notebook)
    return notebook


def _name_the_family(cells: list[dict[str, Any]], title: str) -> None:
    """Put the family's name in front of the notebook's own title."""
    first = next(cell for cell in cells if cell["cell_type"] == "markdown")
    source = "".join(first["source"])
    first["source"] = re.sub(r"^# (\w)", lambda m: f"# {title}: {m[1].lower()}", source)


def _clean(value: Any) -> Any:
    """Output without this machine's paths and without memory addresses."""
    if isinstance(value, str):
        value = value.replace(str(ROOT) + os.sep, "").replace(sys.prefix, "<environment>")
        return re.sub(r"\bat 0x[0-9a-f]{6,}", "at 0x…", value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    return value


def _write(path: Path, text: str) -> None:
    """Write beside and rename, so that a killed process leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
