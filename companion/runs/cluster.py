"""Jobs that Snakemake does elsewhere: on a cluster, by a profile (`profiles/README.md`).

Each job is a file that says what to call, and an output that holds what came of it, a receipt. Both
lie in a folder of the store that all machines see and that lives as long as the call. The Snakefile
has the rules, whose names profiles use to give memory and GPUs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.common import ROOT, alive, temporary_folder, write_text
from analysis.features.store import default_folder
from companion.runs.experiments import STATE, RunError
from companion.runs.jobs import Call, Progress, attempt

LOG = STATE / "logs" / "snakemake.log"


def do_all(
    what: str, calls: Sequence[Call], profile: Path, places: int | None, config: Mapping[str, int]
) -> dict[str, Any]:
    """Have Snakemake do jobs; returns what those that succeeded returned, by name.

    ``profile`` is a folder with a ``config.yaml``, ``places`` the number of jobs at a time instead
    of the profile's, and ``config`` what the Snakefile's rules ask the cluster for.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise RunError(
            "a profile needs Snakemake, which is not installed: pip install -e '.[grid]' (or "
            "'.[slurm]' with the executor for SLURM)."
        )
    with _receipts() as folder:
        receipts = {call.name: folder / f"{call.name.replace(' ', '/')}.json" for call in calls}
        for call in calls:
            asked = receipts[call.name].with_suffix(".call")
            write_text(asked, json.dumps(asdict(call)))
        settings = [f"{name}={value}" for name, value in config.items()]
        command = [
            *map(str, receipts.values()),
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--directory",
            str(ROOT),
            "--profile",
            str(profile),
            "--keep-going",
            "--nolock",
            "--rerun-incomplete",
            *(["--jobs", str(places)] if places else []),
            "--config",
            *settings,
        ]
        with _watched(Progress(what, len(calls)), receipts):
            _snakemake(command)
        done = {name: path for name, path in receipts.items() if path.is_file()}
        return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in done.items()}


def do(asked: Path, receipt: Path) -> None:
    """Do the job that a file says, and write its receipt; a failure is noted."""
    call = Call(**json.loads(asked.read_text(encoding="utf-8")))
    write_text(receipt, json.dumps(attempt(call)))


def _snakemake(command: Sequence[str]) -> None:
    """Call Snakemake's command line as a function; what it says goes to `LOG`."""
    from snakemake.cli import args_to_api, parse_args

    interrupted = []

    def interrupt(*_: Any) -> None:
        interrupted.append(True)
        raise KeyboardInterrupt  # Snakemake ends its jobs, and returns

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, interrupt)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            contextlib.chdir(ROOT),
            temporary_folder() as folder,
            LOG.open("w", encoding="utf-8") as log,
            contextlib.redirect_stderr(log),
            contextlib.redirect_stdout(log),
        ):
            tempfile.tempdir = str(folder)  # or what it makes there would stay if it is killed
            parser, options = parse_args(list(command))
            args_to_api(options, parser)
    except SystemExit:
        pass  # which jobs are done is for the caller to see
    finally:
        tempfile.tempdir = None
        for number, handler in before.items():  # Snakemake leaves its own
            signal.signal(number, handler)
    if interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _watched(progress: Progress, receipts: Mapping[str, Path]) -> Iterator[None]:
    """Meanwhile say of each job that it is finished, once its receipt is there."""
    waiting, ended = dict(receipts), threading.Event()
    for name in waiting:
        progress.began(name)

    def look() -> None:
        for name in [name for name, path in waiting.items() if path.is_file()]:
            progress.ended(name, "finished")
            del waiting[name]

    def watch() -> None:
        while not ended.wait(1):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()
        for name in [*waiting]:
            progress.ended(name, "FAILED")
        progress.bar.close()


@contextlib.contextmanager
def _receipts() -> Iterator[Path]:
    """A folder that all machines see, in the store; those of killed grids are removed."""
    own = f".receipts-{platform.node()}-"
    folder = default_folder() / f"{own}{os.getpid()}"
    for old in default_folder().glob(f"{own}*"):
        if not alive(int(old.name.removeprefix(own))):
            shutil.rmtree(old, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    do(*map(Path, sys.argv[1:]))
