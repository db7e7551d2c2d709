"""Bring runs up to date through Snakemake, with a progress line, and never leave half a run.

Whether a run is current is decided by the key that it carries (`runs.status`). Snakemake gets
those that are not, executes them some at a time, lets the others finish when one fails, and goes
on where a killed build stopped. With nothing to do it is not even imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from analysis.common import ROOT
from companion.runs import experiments, lab
from companion.runs.experiments import Run, RunError, Status


def bring_up_to_date(jobs: int = 2, wanted: Sequence[Run] | None = None) -> int:
    """Execute every run (or the `wanted` ones) that is not current; returns how many there were.

    The pocket lab's features, which runs read, are brought up to date before.
    Raises RunError, after all others have finished, if any failed.
    """
    everything = experiments.all_runs()
    _remove_leftovers(everything)
    lab.refresh()
    wanted = everything if wanted is None else wanted
    outdated = [s for s in map(experiments.status, wanted) if s.state != "up to date"]
    ready, broken = _split_by_key(outdated)
    if ready:
        _snakemake([s.run for s in ready], jobs)
    after = [*broken, *(experiments.status(_reread(s.run)) for s in ready)]
    failed = [s for s in after if s.state != "up to date"]
    if failed:
        raise RunError(_report(failed, len(wanted)))
    return len(outdated)


def exit_with_parent() -> None:
    """End this process, and with it its kernel, soon after the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Progress(logging.Handler):
    """Turns Snakemake's log events into one line: what runs, how many of how many, how long."""

    def __init__(self, total: int, stream: TextIO) -> None:
        super().__init__()
        self.total, self.done, self.stream = total, 0, stream
        self.running: dict[int, str] = {}
        self.began = time.monotonic()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Follow one event."""
        event = str(getattr(record, "event", None))
        if event == "job_info" and getattr(record, "rule_name", "") == "run":
            wildcards = dict(getattr(record, "wildcards", {}))
            name = f"{wildcards.get('experiment')}/{wildcards.get('subject')}"
            self.running[getattr(record, "jobid", 0)] = name
            self.show(f"running {name}")
        elif event in ("job_finished", "job_error"):
            number = getattr(record, "job_id", getattr(record, "jobid", None))
            name = self.running.pop(number, "") if number is not None else ""
            if name:
                self.done += 1
                self.show(f"{'finished' if event == 'job_finished' else 'FAILED'} {name}")
        elif record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())

    def show(self, what: str) -> None:
        """Write the line: over the last one on a terminal, below it elsewhere."""
        line = f"runs: {self.done} of {self.total}, {time.monotonic() - self.began:.0f} s: {what}"
        if self.stream.isatty():
            others = ", ".join(self.running.values())
            line = f"\r\x1b[2Kruns: {self.done} of {self.total} done, "
            line += f"{time.monotonic() - self.began:.0f} s" + (f": {others}" if others else "\n")
            self.stream.write(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()


def _snakemake(outdated: Sequence[Run], jobs: int) -> None:
    """Give the runs to Snakemake; which of them came out is for the caller to look up."""
    from snakemake.api import SnakemakeApi
    from snakemake.logging import logger
    from snakemake.settings import types
    from snakemake.settings.enums import Quietness, RerunTrigger

    targets = frozenset(run.output.relative_to(ROOT).as_posix() for run in outdated)
    progress = Progress(len(outdated), sys.stderr)
    output = types.OutputSettings(quiet={Quietness.ALL}, enable_file_logging=False)
    with _directory(ROOT), SnakemakeApi(output) as api:
        workflow = api.workflow(
            resource_settings=types.ResourceSettings(cores=jobs), snakefile=ROOT / "Snakefile"
        )
        dag = workflow.dag(
            types.DAGSettings(
                targets=targets,
                forcerun=targets,
                force_incomplete=True,
                rerun_triggers=frozenset([RerunTrigger.PARAMS]),
            )
        )
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.addHandler(progress)
        try:
            dag.execute_workflow(
                execution_settings=types.ExecutionSettings(lock=False, keep_going=True)
            )
        except Exception as error:
            if not _failures_noted(outdated):
                details = " ".join(progress.errors) or f"{type(error).__name__}: {error}"
                raise RunError(f"Snakemake could not execute the runs: {details}") from error
        finally:
            logger.removeHandler(progress)


def _failures_noted(outdated: Sequence[Run]) -> bool:
    return any(run.failure.exists() for run in outdated)


def _split_by_key(outdated: Sequence[Status]) -> tuple[list[Status], list[Status]]:
    """Runs whose key can be computed, and those that lack a declared file."""
    ready, broken = [], []
    for status in outdated:
        try:
            _ = status.run.key
            ready.append(status)
        except RunError:
            broken.append(status)
    return ready, broken


def _reread(run: Run) -> Run:
    """The same run without the key remembered from before."""
    return Run(run.experiment, run.subject)


def _report(failed: Sequence[Status], wanted: int) -> str:
    lines = [f"  {s.run}: {s.why or s.state}" for s in failed]
    return "\n".join([f"{len(failed)} of {wanted} runs failed, so no book is built:", *lines])


def _remove_leftovers(everything: Sequence[Run]) -> None:
    """Remove what killed writers left and the runs of notebooks or families that are gone."""
    wanted = {run.output for run in everything}
    for path in [*experiments.OUTPUTS.rglob("*"), *experiments.STATE.rglob("*.part")]:
        part = path.suffix == ".part" and not _alive(path.name.split(".")[-2])
        gone = path.suffix == ".ipynb" and path not in wanted
        if path.is_file() and (part or gone):
            path.unlink(missing_ok=True)


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _directory(folder: Path) -> Iterator[None]:
    """Work in `folder`, with it on the import path of Snakemake's own jobs."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
