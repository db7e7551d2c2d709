"""Jobs that Snakemake does elsewhere, on a cluster, by a profile (`profiles/README.md`).

Each job is a file that says what to call, and an output with its result, a receipt. Both
lie in a folder of the store that all machines see and that lives as long as the call. The Snakefile
has the rules, whose names profiles use to give memory and GPUs.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.base.code import installing
from analysis.base.files import looks, temporary_folder, write_text
from analysis.base.roots import ROOT
from analysis.features.store import default_folder
from companion.engine.experiments import RunError
from companion.engine.jobs import STATE, Call, Progress, attempt

PROFILES = ROOT / "profiles"
LOG = STATE / "logs" / "snakemake.log"


def profile_folder(name: str) -> Path | None:
    """The folder of a profile; None for this machine."""
    folder = PROFILES / name if (PROFILES / name).is_dir() else Path(name)
    if name == "local":
        return None
    if not (folder / "config.yaml").is_file():
        names = ", ".join(["local", *sorted(p.parent.name for p in PROFILES.glob("*/config.yaml"))])
        raise RunError(
            f"there is no profile {name!r}: known are {names}; or name a folder with a config.yaml "
            "of Snakemake."
        )
    return folder


def do_all(
    what: str,
    calls: Sequence[Call],
    profile: Path,
    places: int | None,
    config: Mapping[str, int],
    needs: Sequence[Mapping[str, int]],
) -> dict[str, Any]:
    """Have Snakemake do jobs; returns what those that succeeded returned, by name.

    ``profile`` is a folder with a ``config.yaml``, ``places`` the number of jobs at a time instead
    of the profile's, ``config`` what the Snakefile's rules ask the cluster for, and ``needs`` what
    each job does besides. What Snakemake says goes to `LOG`.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise RunError(
            f"a profile needs Snakemake, which is not installed: {installing('grid')} (or with "
            "slurm for the executor for SLURM)."
        )
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(default_folder()) as folder, LOG.open("w", encoding="utf-8") as log:
        receipts = {call.name: folder / f"{call.name.replace(' ', '/')}.json" for call in calls}
        for call, need in zip(calls, needs, strict=True):
            asked = {"call": [call.name, call.address, *call.arguments], "needs": need}
            write_text(receipts[call.name].with_suffix(".call"), json.dumps(asked))
        snakemake = subprocess.Popen(
            command(folder, receipts.values(), profile, places, config),
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches it once, from here
            preexec_fn=_end_with_parent,
        )
        try:
            _watch(snakemake, Progress(what, len(calls)), folder, receipts)
        # Ctrl-C, too: no job may go on where nobody waits for it.
        except BaseException:
            snakemake.send_signal(signal.SIGINT)  # it ends its jobs
            snakemake.wait()
            raise
        done = {name: path for name, path in receipts.items() if path.is_file()}
        return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in done.items()}


def command(
    folder: Path,
    receipts: Iterable[Path],
    profile: Path,
    places: int | None,
    config: Mapping[str, int],
) -> list[str]:
    """The command that has Snakemake make receipts, as short for many of them as for one.

    Their names are written into a file, since a command line holds some ten thousand.
    """
    names = folder / "receipts.txt"
    write_text(names, "\n".join(map(str, receipts)))
    words = ["jobs", "--snakefile", PROFILES / "Snakefile", "--directory", ROOT]
    words += ["--profile", profile, "--keep-going", "--nolock", "--rerun-incomplete"]
    words += ["--jobs", places] if places else []
    asked = {**config, "names": json.dumps(str(names))}
    words += ["--config", *(f"{name}={value}" for name, value in asked.items())]
    return [sys.executable, "-m", "snakemake", *map(str, words)]


def do(asked: Path, receipt: Path) -> None:
    """Do the job that a file says, and write its receipt; a failure is noted."""
    name, address, *arguments = json.loads(asked.read_text(encoding="utf-8"))["call"]
    call = Call(name, pkgutil.resolve_name(address), arguments)
    write_text(receipt, json.dumps(attempt(call)))


def _end_with_parent() -> None:
    """Have this process interrupted when its parent is gone, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _watch(
    snakemake: subprocess.Popen[bytes],
    progress: Progress,
    folder: Path,
    receipts: Mapping[str, Path],
) -> None:
    """Until Snakemake ends, report each job as finished once its receipt is there."""
    waiting, ended = {str(path): name for name, path in receipts.items()}, False
    while waiting and not ended:
        ended = snakemake.poll() is not None
        for path, *_ in looks(folder, ending=".json"):  # one walk, however many are waited for
            if name := waiting.pop(path, ""):
                progress.say("finished", name)
        time.sleep(0.5)
    for name in waiting.values():
        progress.say("FAILED", name)
    snakemake.wait()


if __name__ == "__main__":
    do(*map(Path, sys.argv[1:]))
