"""Jobs on this machine: some at a time, with one way to report progress and to note failures.

A job is a function that is called in a process of its own. When one fails, the others finish. What
is to be done follows from what artefacts say they were made from; what is remembered beside that
(`remembered`) only spares looking.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from analysis.base.files import fingerprint, write_text
from analysis.base.roots import WORKSPACE
from analysis.base.texts import CompanionError
from companion.engine import processes

#: Where this machine's state is kept, and what went wrong.
STATE = WORKSPACE / ".companion"
FAILURES = STATE / "failures"
#: Whoever holds it may change inputs, runs, what these read in the store, and pages.
_LOCK = FileLock(STATE / "lock")
_HOLDER = STATE / "lock-holder"
#: The length of a bar of progress.
BAR = 10
Plain = TypeVar("Plain")


def remembered(name: str, follows_from: object, make: Callable[[], Plain]) -> Plain:
    """What a function gives, data that JSON can hold, kept while what they follow from is equal."""
    found: Plain | None = recalled(name, follows_from)
    if found is None:
        keep(name, follows_from, found := make())
    return found


def recalled(name: str, follows_from: object) -> Any:
    """What was kept under a name, if what it follows from is equal; else None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((STATE / f"{name}.json").read_text(encoding="utf-8"))
        if found["state"] == fingerprint(follows_from):
            return found["made"]
    return None


def keep(name: str, follows_from: object, made: object) -> None:
    """Keep data under a name, with what they follow from; where nobody may write, keep nothing."""
    text = json.dumps({"state": fingerprint(follows_from), "made": made})
    with contextlib.suppress(OSError):
        write_text(STATE / f"{name}.json", text)


@dataclass(frozen=True)
class Call:
    """A job: its name, a function at the top of a module, and its arguments.

    ``made_from`` is noted with a failure, so that others see whether it still applies.
    """

    name: str
    function: Callable[..., Any]
    arguments: Sequence[Any] = ()
    made_from: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The function as ``module:function``, by which another process finds it."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


@contextlib.contextmanager
def alone(who: str) -> Iterator[None]:
    """Hold the only right to change the book; waits for another process, and names it.

    A process that has it already goes on; one that dies lets go.
    """
    STATE.mkdir(parents=True, exist_ok=True)
    try:
        # Tried first without waiting, so that whoever waits reads for whom.
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


class Progress:
    """A line for each job that begins or ends, with a bar and how many are done."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done, self.start = what, total, 0, time.monotonic()
        self.stream = sys.stderr  # which may be another when a line is written

    def say(self, how: str, name: str) -> None:
        """Report that a job is ``running``, has ``finished`` or has ``FAILED``."""
        self.done += how != "running"
        bar = "#" * (self.done * BAR // self.total)
        counted = (
            f"[{bar:.<{BAR}}] {self.done} of {self.total}, {time.monotonic() - self.start:.0f} s"
        )
        print(f"{self.what}: {counted}: {how} {name}", file=self.stream, flush=True)


def do_all(what: str, calls: Sequence[Call], places: int) -> dict[str, Any]:
    """Do jobs, some at a time; returns the results of those that succeeded, by name.

    A failure is noted (`read_failure`). An interrupt ends what runs and lets nothing begin.
    """
    progress, done = Progress(what, len(calls)), dict[str, Any]()
    waiting, running = [*reversed(calls)], dict[Any, tuple[Call, BaseProcess]]()
    try:
        while waiting or running:
            while waiting and len(running) < places:
                call = waiting.pop()
                progress.say("running", call.name)
                reader, process = _start(call, places)
                running[reader] = call, process
            for reader in wait([*running]):
                call, process = running.pop(reader)
                try:
                    done[call.name] = _result(call, reader, process)
                    progress.say("finished", call.name)
                except CompanionError:
                    progress.say("FAILED", call.name)
    finally:
        for _, process in running.values():
            # Killed, since they ignore other signals; what they write is replaced as a whole.
            process.kill()
    return done


def attempt(call: Call) -> Any:
    """Do a job and return what its function returns; CompanionError if it fails, which is noted."""
    return _result(call, *_start(call))


def _start(call: Call, places: int = 1) -> tuple[Any, BaseProcess]:
    # Gone before the attempt: a killed one leaves no note of an older failure.
    _failure(call.name).unlink(missing_ok=True)
    log_of(call.name).unlink(missing_ok=True)
    return processes.start(call.address, *call.arguments, jobs=places)


def _result(call: Call, reader: Any, process: BaseProcess) -> Any:
    try:
        return processes.result(reader, process)
    except CompanionError as error:
        note = {"message": str(error), "made_from": fingerprint(dict(call.made_from))}
        write_text(_failure(call.name), json.dumps(note, indent=1))
        if not (log := log_of(call.name)).exists():
            write_text(log, "\n".join(error.__notes__))
        raise


def read_failure(job: str) -> dict[str, Any]:
    """The note on a job's last attempt; empty if it did not fail."""
    try:
        return dict(json.loads(_failure(job).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def log_of(job: str) -> Path:
    """Where the full log of a failed attempt is."""
    return STATE / "logs" / re.sub(r"[^\w.-]+", "-", f"{job}.log")


def _failure(job: str) -> Path:
    return FAILURES / f"{log_of(job).stem}.json"
