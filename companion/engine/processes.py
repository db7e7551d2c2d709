"""Functions called in processes of their own, without loading the libraries each time.

On Linux a process that has loaded what notebooks and measurements import is forked for each call
(`multiprocessing`'s forkserver). Elsewhere, where forking after loading libraries is not safe, and
where the path of temporary files is too long for a socket, each call starts Python. What a function
leaves behind goes with its process, and a call that crashes harms no other. The processes end when
the one that started them ends, however that happens.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from analysis.base.code import PLACES
from analysis.base.files import about_disk
from analysis.base.roots import ROOT
from analysis.base.texts import CompanionError
from companion.engine import threads

#: What each run of a notebook imports, and what figures import besides, which takes seconds.
NOTEBOOKS = ["IPython", "jupytext", "papermill"]
FIGURES = ["matplotlib.backends.backend_svg", "numba", "seaborn"]
#: So many runs load faster together: of fewer, most draw nothing.
MANY = 9
#: The same everywhere, since the order of sets follows from it, and numbers from that order.
PATHS = [*map(str, PLACES)]
ENVIRONMENT = {"PYTHONHASHSEED": "0", "MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(PATHS)}
#: A socket's path has at most 107 bytes, of which the server's own name takes 32.
SHORT = len(os.fsencode(tempfile.gettempdir())) <= 75
FORKS = sys.platform == "linux" and SHORT
CONTEXT: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
CONTEXT.set_forkserver_preload(["numpy"])


def expect(runs: int) -> None:
    """Load once what so many runs import; of use before the first call of this process."""
    CONTEXT.set_forkserver_preload(NOTEBOOKS + (FIGURES if runs >= MANY else []))


def start(function: str, *arguments: Any, jobs: int = 1) -> tuple[Connection, BaseProcess]:
    """Call ``module:function``; returns the connection that its answer comes through, and its
    process, which is one of some ``jobs`` that share the cores.
    """
    reader, writer = CONTEXT.Pipe(duplex=False)
    with writer, _surroundings(ENVIRONMENT | threads.of_a_job(jobs)):
        given = writer, dict(os.environ), function, arguments
        process = CONTEXT.Process(target=_answer, args=given)
        process.start()
    return reader, process


def result(reader: Connection, process: BaseProcess) -> Any:
    """Wait for what the function returns, as JSON keeps it; if interrupted, end its process.

    Raises CompanionError with the message of an error in it, or how its process ended; a note on it
    has the details.
    """
    try:
        answer = json.loads(reader.recv_bytes())
    # It died before it could answer: how, its exit status says below.
    except EOFError:
        answer = {}
    except BaseException:  # Ctrl-C
        process.kill()
        raise
    reader.close()
    process.join()
    if "value" in answer:
        return answer["value"]
    how = f"exit status {process.exitcode}"
    if process.exitcode and process.exitcode < 0:
        how = signal.Signals(-process.exitcode).name
    error = CompanionError(answer.get("error") or f"its process died ({how}).")
    error.add_note(answer.get("details", ""))
    raise error


@contextlib.contextmanager
def _surroundings(wanted: Mapping[str, str]) -> Iterator[None]:
    """What a new process inherits: the environment and modules of this checkout, no main module.

    The main module would be imported in each process, whatever program it is.
    """
    main, path, environment = sys.modules["__main__"], sys.path, dict(os.environ)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path = [*PATHS, *path]
    os.environ.update(wanted)
    try:
        yield
    finally:
        sys.modules["__main__"], sys.path = main, path
        for name in wanted:
            os.environ.pop(name)
        os.environ.update(environment)


def _answer(
    writer: Connection, environment: dict[str, str], function: str, arguments: tuple[Any, ...]
) -> None:
    """Call the function and send its result or error; what it prints is dropped."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # sent to a group: the one that asked decides
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    gc.freeze()  # what is loaded stays shared between the forks
    writer.send_bytes(json.dumps(_outcome(function, arguments)).encode())
    writer.close()


def _outcome(function: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    module, _, name = function.partition(":")
    try:
        value = getattr(importlib.import_module(module), name)(*arguments)
        # Tried here, where an answer that is no JSON can still be reported.
        json.dumps(value)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, CompanionError | OSError):
            message = about_disk(error) if isinstance(error, OSError) else str(error)
        return {"error": message, "details": traceback.format_exc()}
    return {"value": value}


def _end_with_parent() -> None:
    """End this process once its parent is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
