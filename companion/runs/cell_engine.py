"""An engine for papermill that runs a notebook's cells in this process, with IPython.

A kernel would be a process more to start for each notebook, and sockets to talk to it. What a cell
shows, prints and raises is kept as a kernel keeps it; what it writes to the error output is not.

Where a recorded measurement is broken, a cell is run statement by statement, and what needs the
absent one is left out, see `what_it_can`.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import sys
from collections.abc import Iterator
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
    #: Where what fails is left out, no traceback is made: that would read sources.
    brief = False

    def showtraceback(self, *args: Any, **options: Any) -> None:
        """Keep the error that ended a cell, or with `brief` a statement."""
        if self.brief:
            kind, error = sys.exc_info()[:2]
            self._showtraceback(kind, error, [])
        else:
            super().showtraceback(*args, **options)

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        """Keep the error that ended a cell."""
        _outputs.append(
            v4.new_output("error", ename=etype.__name__, evalue=str(evalue), traceback=stb)
        )


def engine(reads: Any, lost: list[str] | None = None) -> type[Engine]:
    """Return the engine; ``reads.on`` says meanwhile whether a cell is running.

    With a list ``lost`` a statement that fails is left out, and the list gets its error.
    """

    class InThisProcess(Engine):  # type: ignore[misc]
        """Runs the cells until one fails."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
            """Run the code cells in order, and keep each one's outputs in it."""
            shell: Any = _Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
            if lost is not None:
                shell.reset()  # it is the second try
            shell.brief = lost is not None
            for number, cell in enumerate(c for c in nb_man.nb.cells if _has_code(c)):
                _outputs.clear()
                reads.on = True
                with contextlib.redirect_stdout(_Printed()):
                    if lost is None:
                        done = shell.run_cell(cell.source, store_history=True).success
                    else:
                        lost.extend(what_it_can(shell, cell.source))
                        done = True
                reads.on = False
                cell.execution_count = number + 1
                cell.outputs = list(_outputs)
                if not done:
                    break

    return InThisProcess


def what_it_can(shell: Any, source: str) -> list[str]:
    """Run a cell's statements one by one; return the errors of those that failed.

    A name that a failed statement was to bind or to change is taken away, so that what needs it
    fails as well and shows nothing that is not so.
    """
    lost, statements, usual = [], list(_statements(source)), shell.ast_node_interactivity
    for code, names in statements:
        shell.ast_node_interactivity = usual if code is statements[-1][0] else "none"
        if shell.run_cell(code).success:
            continue
        if _outputs and _outputs[-1].output_type == "error":
            error = _outputs.pop()
            lost.append(f"{error.ename}: {error.evalue}")
        for name in names:
            shell.user_ns.pop(name, None)
    shell.ast_node_interactivity = usual
    return lost


def _statements(source: str) -> Iterator[tuple[str, set[str]]]:
    """The statements of a cell, and the names that each binds or changes."""
    lines = source.splitlines()
    for one in ast.parse(source).body:
        first = min(n.lineno for n in (one, *getattr(one, "decorator_list", ())))
        nodes = list(ast.walk(one))
        names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        names |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        for node in nodes:  # what an item or an attribute is set of
            if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                names |= {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        yield "\n".join(lines[first - 1 : one.end_lineno]), names


def _has_code(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _as_text(data: dict[str, Any]) -> dict[str, Any]:
    """Pictures as text, as a notebook keeps them."""
    return {
        kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }
