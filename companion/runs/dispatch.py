"""Jobs that Snakemake does: one way to call it, one progress line, one way to note a failure.

Snakemake gets what is to be done, does some at a time and lets the others finish when one fails.
What is to be done follows from what artefacts say that they were made from, not from what
Snakemake remembers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout

from analysis.common import ROOT, CompanionError, fingerprint, temporary_folder, write_text
from companion.runs.experiments import STATE
from companion.runs.workshop import Workshop

_workshop: Workshop | None = None
#: Whoever holds it may change families, runs, what these read in the store, and pages.
_LOCK = FileLock(STATE / "lock")
_HOLDER = STATE / "lock-holder"


@contextlib.contextmanager
def alone(who: str) -> Iterator[None]:
    """Hold the one right to change the book; waits for another process, and says for which.

    A process that has it already goes on; one that dies lets go.
    """
    STATE.mkdir(parents=True, exist_ok=True)
    try:
        _LOCK.acquire(timeout=0)
    except Timeout:
        with contextlib.suppress(OSError):
            print(f"waiting for {_HOLDER.read_text('utf-8')}", file=sys.stderr, flush=True)
        _LOCK.acquire()
    try:
        if _LOCK.lock_counter == 1:
            write_text(_HOLDER, f"{who} (process {os.getpid()} on {platform.node()})")
        yield
    finally:
        _LOCK.release()


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
        _on_sigterm(signal.default_int_handler)  # as Ctrl-C: Snakemake would wait for what runs
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

    ``targets`` are paths as the rules' outputs have them. Which came out is for the caller to see.
    ``profile`` is a folder with a ``config.yaml``, by default this machine; ``more`` are options of
    Snakemake's command line, which is called as a function: it alone reads profiles.
    """
    from snakemake.cli import args_to_api, parse_args
    from snakemake.logging import logger

    _drop_unreadable_notes()
    names = [str(path) for path in targets]
    local = ["--cores", str(jobs or os.cpu_count() or 1), "--force-use-threads"]
    cluster = ["--profile", str(profile), *(["--jobs", str(jobs)] if jobs else [])]
    command = [
        *names, "--forcerun", *names, "--rerun-incomplete", "--rerun-triggers", "params",
        "--keep-going", "--nolock", "--quiet", "all", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(ROOT), *(cluster if profile else local), *more,
    ]  # fmt: skip
    progress = Progress(what, len(targets), sys.stderr)
    logger.addFilter(progress)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        parser, options = parse_args(command)
        with contextlib.chdir(ROOT), temporary_folder() as folder:
            tempfile.tempdir = str(folder)  # or what it makes there would stay if it is killed
            args_to_api(options, parser)
    finally:
        tempfile.tempdir = None
        logger.removeFilter(progress)
        _on_sigterm(on_sigterm)  # Snakemake leaves its own, which does nothing any more
    if progress.interrupted:
        raise KeyboardInterrupt
    return progress.errors


def _on_sigterm(handler: Any) -> None:
    """What SIGTERM does; only the main thread can say it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _drop_unreadable_notes() -> None:
    """Remove what Snakemake could not read of its own notes; nothing follows from them."""
    for path in (ROOT / ".snakemake" / "metadata").rglob("*"):
        with contextlib.suppress(IsADirectoryError, FileNotFoundError):
            try:
                json.loads(path.read_bytes())
            except ValueError:
                path.unlink()


def attempt(job: str, made_from: Mapping[str, str], function: str, *arguments: Any) -> Any:
    """Call a function for a job, in the workshop; CompanionError if it fails, which is noted."""
    _failure(job).unlink(missing_ok=True)
    log_of(job).unlink(missing_ok=True)
    try:
        with working(1) as workshop:
            return workshop.call(function, *arguments)
    except CompanionError as error:
        if not workshop.closed:
            note = {"message": str(error), "made_from": fingerprint(dict(made_from))}
            write_text(_failure(job), json.dumps(note, indent=1))
            if not log_of(job).exists():
                write_text(log_of(job), "\n".join(error.__notes__))
        raise


def read_failure(job: str) -> dict[str, Any]:
    """What was noted of a job's last attempt; empty if it did not fail."""
    try:
        return dict(json.loads(_failure(job).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def log_of(job: str) -> Path:
    """Where the full log of a failed attempt lies."""
    return STATE / "logs" / f"{_slug(job)}.log"


def _failure(job: str) -> Path:
    return STATE / "failures" / f"{_slug(job)}.json"


def _slug(job: str) -> str:
    return re.sub(r"[^\w.-]+", "-", job)
