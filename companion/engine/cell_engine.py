"""An engine for papermill that runs a notebook's cells in this process, with IPython.

A kernel would need another process for each notebook, and sockets to talk to it. What a cell shows
and prints is kept as a kernel keeps it; its error output is not. The first
error ends the notebook.
"""

from __future__ import annotations

import base64
import contextlib
import io
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat import v4
from papermill.engines import Engine
from traitlets.config import Config

_outputs: list[Any] = []


class CellError(Exception):
    """A cell failed: its number among the code cells, and the error."""

    def __init__(self, number: int, error: BaseException) -> None:
        super().__init__(f"cell {number}")
        self.error = error


class _Shown(DisplayPublisher):
    def publish(self, data: Any, metadata: Any = None, *_: Any, **__: Any) -> None:
        """Keep what a cell displays."""
        _outputs.append(v4.new_output("display_data", _as_text(data), metadata=metadata or {}))


class _Result(DisplayHook):
    def __call__(self: Any, result: Any = None) -> None:
        """Keep the value of a cell's last line."""
        if result is not None and not self.quiet():
            data, metadata = self.compute_format_data(result)
            about = {"metadata": metadata or {}, "execution_count": self.shell.execution_count}
            _outputs.append(v4.new_output("execute_result", _as_text(data), **about))


class _Printed(io.TextIOBase):
    def write(self, text: str) -> int:
        """Keep what a cell prints, joined to what it printed just before."""
        if not _outputs or _outputs[-1].output_type != "stream":
            _outputs.append(v4.new_output("stream", name="stdout", text=""))
        _outputs[-1].text += text
        return len(text)


class _Shell(InteractiveShell):
    displayhook_class = _Result
    display_pub_class = _Shown


class InThisProcess(Engine):  # type: ignore[misc]
    """Runs the cells until one fails; ``reads.on`` says meanwhile whether a cell is running."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, reads: Any, **_: Any) -> None:
        """Run the code cells in order, and keep what each one shows; CellError if one fails."""
        shell: Any = _Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        code = (c for c in nb_man.nb.cells if c.cell_type == "code" and c.source.strip())
        for number, cell in enumerate(code, 1):
            _outputs.clear()
            reads.on = True
            with contextlib.redirect_stdout(_Printed()):
                done = shell.run_cell(cell.source, store_history=True)
            reads.on = False
            if not done.success:
                raise CellError(number, done.error_before_exec or done.error_in_exec)
            cell.execution_count, cell.outputs = number, list(_outputs)


def _as_text(data: dict[str, Any]) -> dict[str, Any]:
    """Pictures as text, as a notebook keeps them."""
    return {
        kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }
