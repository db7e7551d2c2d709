"""An engine for papermill that runs a notebook's cells in this process, with IPython.

A kernel would be a process more to start for each notebook, and sockets to talk to it. What a cell
shows, prints and raises is kept as a kernel keeps it; what it writes to the error output is not.
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


class _Shown(DisplayPublisher):
    def publish(self, data: Any, metadata: Any = None, *_: Any, **__: Any) -> None:
        """Keep what a cell displays."""
        _outputs.append(v4.new_output("display_data", _as_text(data), metadata=metadata or {}))


class _Result(DisplayHook):
    shell: Any

    def write_output_prompt(self) -> None:
        """Print no `Out[1]:`."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        """Keep the value of a cell's last line."""
        about = {"metadata": md_dict or {}, "execution_count": self.shell.execution_count}
        _outputs.append(v4.new_output("execute_result", _as_text(format_dict), **about))

    def finish_displayhook(self) -> None:
        """End without the line break that IPython prints."""
        self._is_active = False


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

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        """Keep the error that ended a cell."""
        _outputs.append(
            v4.new_output("error", ename=etype.__name__, evalue=str(evalue), traceback=stb)
        )


def engine(reads: Any) -> type[Engine]:
    """Return the engine; ``reads.on`` says meanwhile whether a cell is running."""

    class InThisProcess(Engine):  # type: ignore[misc]
        """Runs the cells until one fails."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
            """Run the code cells in order, and keep each one's outputs in it."""
            shell: Any = _Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
            for number, cell in enumerate(c for c in nb_man.nb.cells if _has_code(c)):
                _outputs.clear()
                reads.on = True
                with contextlib.redirect_stdout(_Printed()):
                    done = shell.run_cell(cell.source, store_history=True).success
                reads.on = False
                cell.execution_count = number + 1
                cell.outputs = list(_outputs)
                if not done:
                    break

    return InThisProcess


def _has_code(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _as_text(data: dict[str, Any]) -> dict[str, Any]:
    """Pictures as text, as a notebook keeps them."""
    return {
        kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }
