"""Have jobs done by Snakemake, with a progress line, and never leave half of one behind.

Whether something is to be done is decided by what artefacts say that they were made from; Snakemake
gets what is, does some at a time, lets the others finish when one fails, and goes on where a killed
build stopped. With nothing to do it is not even imported.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from analysis.common import ROOT, CompanionError
from analysis.families.registry import load_families
from companion.measurements import due
from companion.runs import experiments, keys, lab
from companion.runs.execute import show_as_written
from companion.runs.experiments import Run, RunError
from companion.runs.keys import Status
from companion.runs.workshop import Workshop

#: What `analysis.common.replaced` writes to.
PART = re.compile(rf"\..*\.{re.escape(platform.node())}\.(\d+)\.part")

_workshop: Workshop | None = None


def bring_up_to_date(jobs: int = 2, wanted: Sequence[Run] | None = None) -> int:
    """Execute every run (or the `wanted` ones) that is not current; returns how many there were.

    The pocket lab's features and the live measurements, which runs read, come first. Raises
    RunError, after all others have finished, if any failed.
    """
    everything = experiments.all_runs()
    _remove_leftovers(everything)
    prepare(everything)
    before = keys.statuses(everything if wanted is None else wanted)
    for status in before:
        if not status.as_written:
            show_as_written(status.run)
    outdated = [status for status in before if status.state != "up to date"]
    ready = [status.run for status in outdated if status.parts]
    errors: list[str] = []
    if ready:
        with working(jobs):
            errors = snakemake("runs", [run.output for run in ready], jobs)
    failed = [status for status in outdated if not status.parts]
    failed += [status for status in keys.statuses(ready) if status.state != "up to date"]
    if errors and all(status.state == "missing" for status in failed):  # no job has begun
        raise RunError(f"Snakemake could not execute the runs: {' '.join(errors)}")
    if failed:
        raise RunError(_report(failed, len(before)))
    return len(outdated)


@contextlib.contextmanager
def working(places: int) -> Iterator[Workshop]:
    """Keep a workshop for the jobs that are done meanwhile."""
    global _workshop
    if _workshop is not None:
        yield _workshop
        return
    _workshop = Workshop(places)
    try:
        yield _workshop
    finally:
        _workshop.close()
        _workshop = None


def prepare(runs: Sequence[Run]) -> None:
    """Bring what runs read in the store up to date."""
    pocket = {"pocket", *load_families("pocket")}
    if any(run.experiment.features and run.subject in pocket for run in runs):
        lab.refresh()
    families = {family.name: family for run in runs for family in keys.families_read(run)}
    waiting = due.pending(families.values())
    if waiting:
        print(f"measurements: {len(waiting)}", file=sys.stderr, flush=True)
        with working(2) as workshop, ThreadPoolExecutor(2) as pool:
            list(pool.map(functools.partial(_measure, workshop), waiting))
    due.remove_outdated(families.values())


def _measure(workshop: Workshop, job: due.Job) -> None:
    """Take a live measurement; pages say of features that cannot be used why."""
    names = (job.experiment, job.family, job.model.name, job.data)
    with contextlib.suppress(CompanionError):
        workshop.call("companion.measurements.take:measure_to_file", *names)


def execute(run: Run, parameters: dict[str, Any], output: Path) -> None:
    """Execute a run in a process of its own; RunError if it fails."""
    _execute(run, parameters, output, keys.parts(run))


def execute_for_book(experiment: str, subject: str) -> None:
    """Execute a run with default parameters into the book; a failure is noted, too."""
    run = experiments.find_run(experiment, subject)
    made_from = keys.parts(run)
    keys.forget_failure(str(run))
    try:
        _execute(run, {run.experiment.scope: subject}, run.output, made_from)
    except CompanionError as error:
        if _workshop is None or not _workshop.closed:
            keys.note_failure(str(run), str(error), made_from)
        raise


def _execute(run: Run, parameters: dict[str, Any], output: Path, made_from: keys.Parts) -> None:
    place, names = output.absolute(), (run.experiment.name, run.subject)
    with working(1) as workshop:
        workshop.call("companion.runs.execute:execute", *names, parameters, str(place), made_from)


def exit_with_parent() -> None:
    """End this process soon after the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Progress(logging.Filter):
    """Turns what Snakemake logs into one line: what runs, how many of how many, how long."""

    def __init__(self, what: str, total: int, stream: TextIO) -> None:
        super().__init__()
        self.what, self.total, self.done, self.stream = what, total, 0, stream
        self.running: dict[int, str] = {}
        self.began = time.monotonic()
        self.errors: list[str] = []
        self.interrupted = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Follow one event; nothing of it is printed otherwise."""
        event = str(getattr(record, "event", None))
        if event == "job_info":
            names = dict(getattr(record, "wildcards", None) or {})
            rule = getattr(record, "rule_name", "")
            name = "/".join(names.values()) if rule == "run" else " ".join([rule, *names.values()])
            if names:
                self.running[getattr(record, "jobid", 0)] = name
                self.show(f"running {name}")
        elif event in ("job_finished", "job_error"):
            number = getattr(record, "job_id", getattr(record, "jobid", None))
            name = self.running.pop(number, "") if number is not None else ""
            if name:
                self.done += 1
                self.show(f"{'finished' if event == 'job_finished' else 'FAILED'} {name}")
        elif "on user request" in record.getMessage():
            self.interrupted = True
            if _workshop is not None:
                _workshop.close()  # or Snakemake would wait for what is under way
        elif record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())
        return False

    def show(self, what: str) -> None:
        """Write the line: over the last one on a terminal, below it elsewhere."""
        counted = f"{self.what}: {self.done} of {self.total}"
        seconds = f"{time.monotonic() - self.began:.0f} s"
        if self.stream.isatty():
            others = ", ".join(self.running.values())
            line = f"\r\x1b[2K{counted} done, {seconds}" + (f": {others}" if others else "\n")
        else:
            line = f"{counted}, {seconds}: {what}\n"
        self.stream.write(line)
        self.stream.flush()


def snakemake(
    what: str, targets: Sequence[Path], jobs: int | None, profile: Path | None = None, *more: str
) -> list[str]:
    """Have targets made, whatever Snakemake remembers of them; returns what errors it logged.

    Which of them came out is for the caller to look up. ``profile`` is a folder with a
    ``config.yaml``, by default this machine; ``more`` are options of Snakemake's command line,
    which is called as a function: it alone reads profiles.
    """
    from snakemake.cli import args_to_api, parse_args
    from snakemake.logging import logger

    names = [os.path.relpath(path, ROOT) for path in targets]
    local = ["--cores", str(jobs or os.cpu_count() or 1), "--force-use-threads"]
    cluster = ["--profile", str(profile), *(["--jobs", str(jobs)] if jobs else [])]
    command = [
        *names, "--forcerun", *names, "--rerun-incomplete", "--rerun-triggers", "params",
        "--keep-going", "--nolock", "--quiet", "all", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(ROOT), *(cluster if profile else local), *more,
    ]  # fmt: skip
    progress = Progress(what, len(targets), sys.stderr)
    logger.addFilter(progress)
    try:
        parser, options = parse_args(command)
        with contextlib.chdir(ROOT):
            args_to_api(options, parser)
    finally:
        logger.removeFilter(progress)
    if progress.interrupted:
        raise KeyboardInterrupt
    return progress.errors


def _report(failed: Sequence[Status], wanted: int) -> str:
    lines = [f"  {s.run}: {s.why or s.state}" for s in failed]
    return "\n".join([f"{len(failed)} of {wanted} runs failed, so no book is built:", *lines])


def _remove_leftovers(everything: Sequence[Run]) -> None:
    """Remove what killed writers left and the runs of notebooks or families that are gone."""
    wanted = {run.output for run in everything}
    for path in [*experiments.OUTPUTS.rglob("*"), *experiments.STATE.rglob("*.part")]:
        part = PART.fullmatch(path.name)
        left = part and not _alive(int(part[1]))
        if left or (path.suffix == ".ipynb" and path not in wanted):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
