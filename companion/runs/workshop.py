"""Functions called in processes of their own, without starting Python for each.

A `Workshop` keeps some processes that have loaded what notebooks and measurements import; asked
to call a function, one of them does so in a fork of itself. What the function leaves behind goes
with the fork, and a call that crashes takes nothing else along. The processes end when the one that
asked them ends, however it does. Where forking is not safe once libraries are loaded (macOS) or not
possible (Windows), each call starts Python.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from queue import LifoQueue
from typing import Any

from analysis.common import ROOT, CompanionError, about_disk

#: What takes long to import, and is the same for all.
LOADED = (
    "IPython", "jupytext", "matplotlib.backends.backend_svg", "matplotlib.pyplot", "nbformat",
    "numba", "numpy", "pandas", "papermill", "pydantic", "scipy.stats", "scipy.sparse", "seaborn",
    "yaml",
)  # fmt: skip
#: The same everywhere, since the order of sets follows from it, and numbers from that order.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
MODULE = "companion.runs.workshop"
FORKS = sys.platform == "linux"


class Workshop:
    """Calls functions, so many at a time; from any thread. A process is started when needed."""

    def __init__(self, places: int) -> None:
        self.closed = False
        self._processes: list[subprocess.Popen[str]] = []
        self._free: LifoQueue[subprocess.Popen[str] | None] = LifoQueue()
        for _ in range(places):
            self._free.put(None)

    def call(self, function: str, *arguments: Any) -> Any:
        """Return what ``module:function`` returns, as JSON keeps it.

        Raises CompanionError with the message of an error in it, or how its process ended; a note
        on it has the details.
        """
        process = self._free.get()
        try:
            if self.closed:
                raise CompanionError("interrupted before it began.")
            if process is None or process.poll() is not None:
                process = self._start()
            answer = _asked(process, [function, *arguments])
        finally:
            self._free.put(process)
        if "error" in answer:
            error = CompanionError(answer["error"])
            error.add_note(answer.get("details", ""))
            raise error
        return answer["value"]

    def close(self) -> None:
        """End all processes, with what they are doing."""
        self.closed = True
        for process in self._processes:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE], cwd=ROOT, env=os.environ | ENVIRONMENT, text=True,
            encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._processes.append(process)
        return process


def _asked(process: subprocess.Popen[str], call: list[Any]) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))
    except (OSError, ValueError):
        return {"error": f"its process could not be used (exit status {process.wait()})."}


def _serve() -> None:
    """Answer the calls that come in, one a line, until nobody can ask any more."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # what is loaded stays shared with the forks, and is not looked through in each
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a call prints is no answer
    for line in sys.stdin:
        answers.write((_in_a_fork if FORKS else _in_python)(line) + "\n")
        answers.flush()


def _in_a_fork(call: str) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        threading.Thread(target=_end_with, args=(0,), daemon=True).start()
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            pipe.write(_answer(call))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return answer or json.dumps({"error": f"its process died ({_named(status)})."})


def _in_python(call: str) -> str:
    command = [sys.executable, "-m", MODULE, call]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    return done.stdout.strip() or json.dumps({"error": f"its process died ({done.returncode})."})


def _answer(call: str) -> str:
    name, *arguments = json.loads(call)
    module, _, function = name.partition(":")
    try:
        called: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return json.dumps({"value": called(*arguments)})
    except Exception as error:
        named = (
            str(error) if isinstance(error, CompanionError) else f"{type(error).__name__}: {error}"
        )
        message = about_disk(error) if isinstance(error, OSError) else named
        return json.dumps({"error": message, "details": traceback.format_exc()})


def _end_with(pipe: int) -> None:
    """End this process once nobody can write to a pipe any more."""
    while os.read(pipe, 1):
        pass
    os._exit(1)


def _named(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


if __name__ == "__main__":
    if sys.argv[1:]:
        print(_answer(sys.argv[1]))
    else:
        _serve()
