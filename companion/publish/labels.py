"""Which results a notebook names, whether a run of it published them or not."""

from __future__ import annotations

import ast
import re
from typing import Any


def kind_in_source(notebook: dict[str, Any], label: str) -> str:
    """What a notebook's code publishes under a label: figure, table or text; "" if it names none.

    It names a label in full, with underscores for hyphens, or with parts that are filled in. Where
    results are lacking, any other may be a text whose label is computed.
    """
    sources = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    for call in (node for node in nodes if isinstance(node, ast.Call) and node.args):
        kind = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if kind in ("figure", "table") and _may_be(call.args[0], label):
            return kind
    lacks = "lacks" in notebook["metadata"].get("companion", {})
    return "text" if lacks or any(_may_be(node, label) for node in nodes) else ""


def line_in_source(source: str, label: str) -> int:
    """The first line of a notebook's source that names a label; 1 if none does."""
    named = (n for n in ast.walk(ast.parse(source)) if _may_be(n, label))
    return min((n.lineno for n in named if isinstance(n, ast.expr | ast.keyword)), default=1)


def _may_be(node: ast.AST, label: str) -> bool:
    """Whether an expression is this text, up to what is filled in; or an argument has its name."""
    if isinstance(node, ast.keyword):
        return (node.arg or "").replace("_", "-") == label
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value.replace("_", "-") == label
    if not isinstance(node, ast.JoinedStr):
        return False
    parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
    pattern = "".join("[A-Za-z0-9-]+" if part is None else re.escape(part) for part in parts)
    said = re.search("[A-Za-z0-9]", "".join(filter(None, parts)))
    return bool(said and re.fullmatch(pattern, label))
